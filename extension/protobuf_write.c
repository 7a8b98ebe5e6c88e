/*
 * protobuf_write.c
 *		Writing the protobuf wire format.
 */
#include <math.h>
#include <string.h>

#include "format_error.h"
#include "instant.h"
#include "number.h"
#include "protobuf_value.h"
#include "protobuf_write.h"

#define VARINT_SIZE 10

static size_t
put_varint(uint8_t *to, uint64_t value)
{
	size_t		n = 0;

	while (value >= 0x80)
	{
		to[n++] = (uint8_t) (value | 0x80);
		value >>= 7;
	}
	to[n++] = (uint8_t) value;
	return n;
}

static void
write_varint(SluiceBuffer *out, uint64_t value)
{
	if (sluice_buffer_reserve(out, VARINT_SIZE))
		out->length += put_varint((uint8_t *) out->data + out->length, value);
}

static void
write_fixed(SluiceBuffer *out, uint64_t value, int size)
{
	for (int i = 0; i < size; i++)
		sluice_buffer_append_char(out, (char) (value >> 8 * i));
}

static void
write_bytes(SluiceBuffer *out, const char *bytes, size_t length)
{
	write_varint(out, length);
	sluice_buffer_append(out, bytes, length);
}

static void
write_tag(SluiceBuffer *out, uint32_t number, uint32_t wire_type)
{
	write_varint(out, (uint64_t) number << 3 | wire_type);
}

size_t
sluice_protobuf_write_begin(SluiceBuffer *out, uint32_t number)
{
	write_tag(out, number, SLUICE_WIRE_BYTES);
	return out->length;
}

void
sluice_protobuf_write_end(SluiceBuffer *out, size_t begin)
{
	size_t		length = out->length - begin;
	uint8_t		prefix[VARINT_SIZE];
	size_t		size = put_varint(prefix, length);

	if (!sluice_buffer_reserve(out, size))
		return;
	memmove(out->data + begin + size, out->data + begin, length);
	memcpy(out->data + begin, prefix, size);
	out->length += size;
}

/* -------------------------------------------------------------- refusals */

/* The value as text, cut off. */
static const char *
value_text(const SluiceValue *value, char text[SLUICE_CLIP_SIZE])
{
	switch (value->kind)
	{
		case SLUICE_VALUE_INT:
			text[sluice_number_from_int(text, value->integer)] = '\0';
			return text;
		case SLUICE_VALUE_UINT:
			text[sluice_number_from_uint(text, (uint64_t) value->integer)] = '\0';
			return text;
		case SLUICE_VALUE_DOUBLE:
		case SLUICE_VALUE_FLOAT:
			(void) sluice_number_from_real(text, value->real, value->kind == SLUICE_VALUE_FLOAT);
			return text;
		case SLUICE_VALUE_BOOL:
			return value->integer != 0 ? "true" : "false";
		case SLUICE_VALUE_NUMBER:
		case SLUICE_VALUE_TEXT:
		case SLUICE_VALUE_JSON:
			return sluice_format_error_clip(text, value->bytes, value->length);
		default:
			return "";
	}
}

static bool
refuse(const SluiceField *field, const SluiceValue *value, const char *sqlstate, const char *reason, SluiceFormatError *error)
{
	char		text[SLUICE_CLIP_SIZE];

	return sluice_format_error_set(error, sqlstate, "value \"%s\" %s field \"%s\"", value_text(value, text), reason, field->name);
}

static bool
no_value(const SluiceField *field, const SluiceValue *value, SluiceFormatError *error)
{
	return refuse(field, value, "22P02", "is none of", error);
}

static bool
out_of_range(const SluiceField *field, const SluiceValue *value, SluiceFormatError *error)
{
	return refuse(field, value, "22003", "is out of range for", error);
}

/* --------------------------------------------------------------- scalars */

/* The text of a number; false: it is none. */
static bool
number_text(const SluiceValue *value, char room[SLUICE_NUMBER_SIZE], const char **text, size_t *length)
{
	switch (value->kind)
	{
		case SLUICE_VALUE_NUMBER:
		case SLUICE_VALUE_TEXT:
			*text = value->bytes;
			*length = value->length;
			break;
		case SLUICE_VALUE_DOUBLE:
		case SLUICE_VALUE_FLOAT:
			*length = (size_t) sluice_number_from_real(room, value->real, value->kind == SLUICE_VALUE_FLOAT);
			*text = room;
			break;
		default:
			return false;
	}
	return *length > 0 && sluice_number_scan(*text, *length) == *length;
}

static bool
signed_of(const SluiceField *field, const SluiceValue *value, int64_t *result, SluiceFormatError *error)
{
	char		room[SLUICE_NUMBER_SIZE];
	const char *text;
	size_t		length;

	if (value->kind == SLUICE_VALUE_INT)
	{
		*result = value->integer;
		return true;
	}
	if (value->kind == SLUICE_VALUE_UINT)
	{
		*result = value->integer;
		return value->integer >= 0 ? true : out_of_range(field, value, error);
	}
	if (!number_text(value, room, &text, &length))
		return no_value(field, value, error);
	switch (sluice_number_to_int(text, length, result))
	{
		case SLUICE_NUMBER_OK:
			return true;
		case SLUICE_NUMBER_NOT_INTEGRAL:
			return no_value(field, value, error);
		default:
			return out_of_range(field, value, error);
	}
}

static bool
unsigned_of(const SluiceField *field, const SluiceValue *value, uint64_t *result, SluiceFormatError *error)
{
	char		room[SLUICE_NUMBER_SIZE];
	const char *text;
	size_t		length;

	if (value->kind == SLUICE_VALUE_INT || value->kind == SLUICE_VALUE_UINT)
	{
		*result = (uint64_t) value->integer;
		return value->kind == SLUICE_VALUE_UINT || value->integer >= 0 ? true : out_of_range(field, value, error);
	}
	if (!number_text(value, room, &text, &length))
		return no_value(field, value, error);
	switch (sluice_number_to_uint(text, length, result))
	{
		case SLUICE_NUMBER_OK:
			return true;
		case SLUICE_NUMBER_NOT_INTEGRAL:
			return no_value(field, value, error);
		default:
			return out_of_range(field, value, error);
	}
}

static bool
is_text(const SluiceValue *value, const char *text)
{
	return (value->kind == SLUICE_VALUE_TEXT || value->kind == SLUICE_VALUE_NUMBER) &&
		value->length == strlen(text) && memcmp(value->bytes, text, value->length) == 0;
}

static bool
real_of(const SluiceField *field, const SluiceValue *value, double *result, SluiceFormatError *error)
{
	bool		single = field->type == SLUICE_FIELD_FLOAT;

	switch (value->kind)
	{
		case SLUICE_VALUE_DOUBLE:
		case SLUICE_VALUE_FLOAT:
			*result = value->real;
			break;
		case SLUICE_VALUE_INT:
			*result = (double) value->integer;
			break;
		case SLUICE_VALUE_UINT:
			*result = (double) (uint64_t) value->integer;
			break;
		case SLUICE_VALUE_NUMBER:
		case SLUICE_VALUE_TEXT:
			if (is_text(value, "NaN"))
				*result = (double) NAN;
			else if (is_text(value, "Infinity"))
				*result = (double) INFINITY;
			else if (is_text(value, "-Infinity"))
				*result = -(double) INFINITY;
			else if (value->length == 0 || sluice_number_scan(value->bytes, value->length) != value->length)
				return no_value(field, value, error);
			else if (sluice_number_to_real(value->bytes, value->length, single, result) != SLUICE_NUMBER_OK)
				return out_of_range(field, value, error);
			break;
		default:
			return no_value(field, value, error);
	}
	/* compared as doubles: the cast of what is too large would be undefined */
	if (single && isfinite(*result) && fabs(*result) >= 0x1.ffffffp127)
		return out_of_range(field, value, error);
	return true;
}

static bool
bool_of(const SluiceField *field, const SluiceValue *value, bool *result, SluiceFormatError *error)
{
	if (value->kind == SLUICE_VALUE_BOOL)
		*result = value->integer != 0;
	else if (is_text(value, "true") || is_text(value, "t"))
		*result = true;
	else if (is_text(value, "false") || is_text(value, "f"))
		*result = false;
	else
		return no_value(field, value, error);
	return true;
}

static bool
enum_of(const SluiceField *field, const SluiceValue *value, int64_t *result, SluiceFormatError *error)
{
	const SluiceEnumType *type = field->enumeration;

	for (int i = 0; value->kind == SLUICE_VALUE_TEXT && i < type->nvalues; i++)
	{
		if (type->values[i].length == value->length && memcmp(type->values[i].name, value->bytes, value->length) == 0)
		{
			*result = type->values[i].number;
			return true;
		}
	}
	return signed_of(field, value, result, error);
}

static bool
write_signed(SluiceBuffer *out, const SluiceField *field, const SluiceValue *value, SluiceFormatError *error)
{
	int64_t		number;
	bool		wide = field->type == SLUICE_FIELD_INT64 || field->type == SLUICE_FIELD_SINT64 ||
		field->type == SLUICE_FIELD_SFIXED64;

	if (field->type == SLUICE_FIELD_ENUM ? !enum_of(field, value, &number, error) : !signed_of(field, value, &number, error))
		return false;
	if (!wide && (number < INT32_MIN || number > INT32_MAX))
		return out_of_range(field, value, error);
	switch (field->type)
	{
		case SLUICE_FIELD_SINT32:
		case SLUICE_FIELD_SINT64:
			write_varint(out, (uint64_t) number << 1 ^ (number < 0 ? UINT64_MAX : 0));
			break;
		case SLUICE_FIELD_SFIXED32:
			write_fixed(out, (uint64_t) number, 4);
			break;
		case SLUICE_FIELD_SFIXED64:
			write_fixed(out, (uint64_t) number, 8);
			break;
		default:
			write_varint(out, (uint64_t) number);
			break;
	}
	return true;
}

static bool
write_unsigned(SluiceBuffer *out, const SluiceField *field, const SluiceValue *value, SluiceFormatError *error)
{
	uint64_t	number;
	bool		wide = field->type == SLUICE_FIELD_UINT64 || field->type == SLUICE_FIELD_FIXED64;

	if (!unsigned_of(field, value, &number, error))
		return false;
	if (!wide && number > UINT32_MAX)
		return out_of_range(field, value, error);
	if (field->type == SLUICE_FIELD_FIXED32 || field->type == SLUICE_FIELD_FIXED64)
		write_fixed(out, number, wide ? 8 : 4);
	else
		write_varint(out, number);
	return true;
}

static bool
write_real(SluiceBuffer *out, const SluiceField *field, const SluiceValue *value, SluiceFormatError *error)
{
	double		real;
	float		single;
	uint64_t	bits = 0;
	uint32_t	single_bits;

	if (!real_of(field, value, &real, error))
		return false;
	if (field->type == SLUICE_FIELD_FLOAT)
	{
		single = (float) real;
		memcpy(&single_bits, &single, sizeof(single));
		write_fixed(out, single_bits, 4);
		return true;
	}
	memcpy(&bits, &real, sizeof(real));
	write_fixed(out, bits, 8);
	return true;
}

static bool
write_string(SluiceBuffer *out, const SluiceField *field, const SluiceValue *value, SluiceFormatError *error)
{
	char		room[SLUICE_CLIP_SIZE];
	const char *text;

	switch (value->kind)
	{
		case SLUICE_VALUE_TEXT:
		case SLUICE_VALUE_NUMBER:
		case SLUICE_VALUE_JSON:
			write_bytes(out, value->bytes, value->length);
			return true;
		case SLUICE_VALUE_INT:
		case SLUICE_VALUE_UINT:
		case SLUICE_VALUE_DOUBLE:
		case SLUICE_VALUE_FLOAT:
		case SLUICE_VALUE_BOOL:
			text = value_text(value, room);
			write_bytes(out, text, strlen(text));
			return true;
		default:
			return no_value(field, value, error);
	}
}

/* A value that is no message, without its tag. */
static bool
write_scalar(SluiceBuffer *out, const SluiceField *field, const SluiceValue *value, SluiceFormatError *error)
{
	bool		flag = false;

	switch (field->type)
	{
		case SLUICE_FIELD_DOUBLE:
		case SLUICE_FIELD_FLOAT:
			return write_real(out, field, value, error);
		case SLUICE_FIELD_BOOL:
			if (!bool_of(field, value, &flag, error))
				return false;
			write_varint(out, flag ? 1 : 0);
			return true;
		case SLUICE_FIELD_STRING:
			return write_string(out, field, value, error);
		case SLUICE_FIELD_BYTES:
			if (value->kind != SLUICE_VALUE_BYTES)
				return no_value(field, value, error);
			write_bytes(out, value->bytes, value->length);
			return true;
		case SLUICE_FIELD_UINT32:
		case SLUICE_FIELD_UINT64:
		case SLUICE_FIELD_FIXED32:
		case SLUICE_FIELD_FIXED64:
			return write_unsigned(out, field, value, error);
		default:
			return write_signed(out, field, value, error);
	}
}

/* -------------------------------------------------------------- messages */

void
sluice_protobuf_write_seconds(SluiceBuffer *out, int64_t seconds, int32_t nanos)
{
	if (seconds != 0)
	{
		write_tag(out, 1, SLUICE_WIRE_VARINT);
		write_varint(out, (uint64_t) seconds);
	}
	if (nanos != 0)
	{
		write_tag(out, 2, SLUICE_WIRE_VARINT);
		write_varint(out, (uint64_t) (int64_t) nanos);
	}
}

static bool
write_seconds(SluiceBuffer *out, const SluiceField *field, const SluiceValue *value, SluiceFormatError *error)
{
	int64_t		seconds;
	int32_t		nanos;

	if (value->kind == SLUICE_VALUE_TIMESTAMP && field->message->kind == SLUICE_MESSAGE_TIMESTAMP)
	{
		/* Infinity is outside, too. */
		if (value->integer < SLUICE_INSTANT_MIN || value->integer >= SLUICE_INSTANT_END)
			return sluice_format_error_set(error, "22008", "timestamp out of range in field \"%s\"", field->name);
		sluice_instant_to_timestamp(value->integer, &seconds, &nanos);
	}
	else if (value->kind == SLUICE_VALUE_INTERVAL && field->message->kind == SLUICE_MESSAGE_DURATION)
	{
		if (!sluice_instant_to_duration(value->integer, &seconds, &nanos))
			return sluice_format_error_set(error, "22008", "duration out of range in field \"%s\"", field->name);
	}
	else
		return no_value(field, value, error);
	sluice_protobuf_write_seconds(out, seconds, nanos);
	return true;
}

static bool
write_message(SluiceBuffer *out, const SluiceField *field, const SluiceValue *value, SluiceFormatError *error)
{
	size_t		begin = sluice_protobuf_write_begin(out, field->number);
	bool		written;

	if (field->message->kind == SLUICE_MESSAGE_WRAPPER)
		written = sluice_protobuf_write_field(out, &field->message->fields[0], value, error);
	else
		written = write_seconds(out, field, value, error);
	sluice_protobuf_write_end(out, begin);
	return written;
}

/* A default is zero in every wire type: nothing but bytes of zero. */
static bool
is_zero(const char *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++)
	{
		if (bytes[i] != 0)
			return false;
	}
	return true;
}

bool
sluice_protobuf_write_field(SluiceBuffer *out, const SluiceField *field,
							const SluiceValue *value, SluiceFormatError *error)
{
	size_t		start = out->length;
	size_t		after_tag;

	if (field->message != NULL)
		return write_message(out, field, value, error);
	write_tag(out, field->number, sluice_protobuf_value_wire_type(field->type));
	after_tag = out->length;
	if (!write_scalar(out, field, value, error))
		return false;
	if (!field->presence && !out->failed && is_zero(out->data + after_tag, out->length - after_tag))
		out->length = start;
	return true;
}

bool
sluice_protobuf_write_is_packed(const SluiceField *field)
{
	return field->message == NULL && field->type != SLUICE_FIELD_STRING && field->type != SLUICE_FIELD_BYTES;
}

bool
sluice_protobuf_write_element(SluiceBuffer *out, const SluiceField *field,
							  const SluiceValue *value, SluiceFormatError *error)
{
	if (!sluice_protobuf_write_is_packed(field))
		write_tag(out, field->number, SLUICE_WIRE_BYTES);
	return write_scalar(out, field, value, error);
}
