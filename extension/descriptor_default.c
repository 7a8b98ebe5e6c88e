/*
 * descriptor_default.c
 *		The default of a field.
 *
 * A default that was written down (proto2) stands in the descriptor as text:
 * numbers in decimal, enums by name, bytes with C's escapes.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "descriptor_default.h"
#include "format_error.h"
#include "utf8.h"

static bool
set_int(SluiceValue *value, const char *text, int64_t least, int64_t most)
{
	char	   *end;
	long long	number;

	errno = 0;
	number = strtoll(text, &end, 10);
	if (errno != 0 || end == text || *end != '\0' || number < least || number > most)
		return false;
	value->integer = number;
	return true;
}

static bool
set_uint(SluiceValue *value, const char *text, uint64_t most)
{
	char	   *end;
	unsigned long long number;

	errno = 0;
	number = strtoull(text, &end, 10);
	if (errno != 0 || end == text || *end != '\0' || *text == '-' || number > most)
		return false;
	value->integer = (int64_t) number;
	return true;
}

static bool
set_real(SluiceValue *value, const char *text, bool single)
{
	char	   *end;

	if (strcmp(text, "inf") == 0)
		value->real = INFINITY;
	else if (strcmp(text, "-inf") == 0)
		value->real = -INFINITY;
	else if (strcmp(text, "nan") == 0)
		value->real = NAN;
	else
	{
		value->real = single ? (double) strtof(text, &end) : strtod(text, &end);
		return end != text && *end == '\0';
	}
	return true;
}

static bool
set_enum(SluiceValue *value, const char *text, const Google__Protobuf__EnumDescriptorProto *enumeration)
{
	for (size_t i = 0; i < enumeration->n_value; i++)
	{
		const Google__Protobuf__EnumValueDescriptorProto *candidate = enumeration->value[i];

		if (candidate->name != NULL && strcmp(candidate->name, text) == 0)
		{
			value->integer = candidate->number;
			return true;
		}
	}
	return false;
}

static int
octal_digit(char c)
{
	return c >= '0' && c <= '7' ? c - '0' : -1;
}

/* C's escapes as protoc writes them (octal and letters), in place; the length, or -1. */
static int64_t
unescape(char *text)
{
	static const char letters[] = "nrtabfv\\'\"?";
	static const char meanings[] = "\n\r\t\a\b\f\v\\'\"?";
	char	   *to = text;
	const char *from = text;

	while (*from != '\0')
	{
		const char *letter;

		if (*from != '\\')
		{
			*to++ = *from++;
			continue;
		}
		from++;
		if (octal_digit(*from) >= 0)
		{
			int			code = 0;

			for (int i = 0; i < 3 && octal_digit(*from) >= 0; i++)
				code = code * 8 + octal_digit(*from++);
			*to++ = (char) code;
			continue;
		}
		letter = *from != '\0' ? strchr(letters, *from) : NULL;
		if (letter == NULL)
			return -1;
		*to++ = meanings[letter - letters];
		from++;
	}
	return to - text;
}

static bool
set_bytes(SluiceArena *arena, SluiceField *field, const char *text)
{
	size_t		length = strlen(text);
	char	   *copy = sluice_arena_copy(arena, text, length);
	int64_t		unescaped = (int64_t) length;

	if (copy == NULL)
		return false;
	if (field->type == SLUICE_FIELD_BYTES)
		unescaped = unescape(copy);
	else if (!sluice_utf8_valid((const uint8_t *) copy, length, true))
		return false;
	if (unescaped < 0)
		return false;
	field->default_value.bytes = copy;
	field->default_value.length = (uint32_t) unescaped;
	return true;
}

static bool
parse_default(SluiceArena *arena, SluiceField *field, const char *text,
			  const Google__Protobuf__EnumDescriptorProto *enumeration)
{
	SluiceValue *value = &field->default_value;

	switch (field->type)
	{
		case SLUICE_FIELD_DOUBLE:
		case SLUICE_FIELD_FLOAT:
			return set_real(value, text, field->type == SLUICE_FIELD_FLOAT);
		case SLUICE_FIELD_INT64:
		case SLUICE_FIELD_SFIXED64:
		case SLUICE_FIELD_SINT64:
			return set_int(value, text, INT64_MIN, INT64_MAX);
		case SLUICE_FIELD_INT32:
		case SLUICE_FIELD_SFIXED32:
		case SLUICE_FIELD_SINT32:
			return set_int(value, text, INT32_MIN, INT32_MAX);
		case SLUICE_FIELD_UINT64:
		case SLUICE_FIELD_FIXED64:
			return set_uint(value, text, UINT64_MAX);
		case SLUICE_FIELD_UINT32:
		case SLUICE_FIELD_FIXED32:
			return set_uint(value, text, UINT32_MAX);
		case SLUICE_FIELD_BOOL:
			value->integer = strcmp(text, "true") == 0;
			return value->integer == 1 || strcmp(text, "false") == 0;
		case SLUICE_FIELD_STRING:
		case SLUICE_FIELD_BYTES:
			return set_bytes(arena, field, text);
		case SLUICE_FIELD_ENUM:
			return set_enum(value, text, enumeration);
		default:
			return false;
	}
}

static SluiceValueKind
kind_of(uint8_t type)
{
	switch (type)
	{
		case SLUICE_FIELD_DOUBLE:
			return SLUICE_VALUE_DOUBLE;
		case SLUICE_FIELD_FLOAT:
			return SLUICE_VALUE_FLOAT;
		case SLUICE_FIELD_UINT64:
		case SLUICE_FIELD_FIXED64:
		case SLUICE_FIELD_UINT32:
		case SLUICE_FIELD_FIXED32:
			return SLUICE_VALUE_UINT;
		case SLUICE_FIELD_BOOL:
			return SLUICE_VALUE_BOOL;
		case SLUICE_FIELD_STRING:
			return SLUICE_VALUE_TEXT;
		case SLUICE_FIELD_BYTES:
			return SLUICE_VALUE_BYTES;
		case SLUICE_FIELD_MESSAGE:
		case SLUICE_FIELD_GROUP:
			return SLUICE_VALUE_NULL;
		default:
			return SLUICE_VALUE_INT;
	}
}

bool
sluice_descriptor_default_set(SluiceArena *arena, SluiceField *field,
							  const Google__Protobuf__FieldDescriptorProto *proto,
							  const Google__Protobuf__EnumDescriptorProto *enumeration,
							  SluiceFormatError *error)
{
	SluiceValue *value = &field->default_value;

	memset(value, 0, sizeof(SluiceValue));
	value->kind = kind_of(field->type);
	if (value->kind == SLUICE_VALUE_TEXT || value->kind == SLUICE_VALUE_BYTES)
		value->bytes = "";
	else if (value->kind == SLUICE_VALUE_DOUBLE || value->kind == SLUICE_VALUE_FLOAT)
		value->real = 0;
	else if (enumeration != NULL)
		value->integer = enumeration->value[0]->number;
	if (proto->default_value == NULL)
		return true;
	field->has_default = true;
	if (!field->repeated && parse_default(arena, field, proto->default_value, enumeration))
		return true;
	return sluice_format_error_set(error, "22023", "invalid descriptor set: field \"%s\" has a default that does not fit its type",
								   field->name);
}
