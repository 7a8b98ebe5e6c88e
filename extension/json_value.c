/*
 * json_value.c
 *		A JSON value as the value of a column.
 *
 * What a column takes:
 *
 *	json, jsonb		any value, as it stands
 *	text			string, number (its text), boolean
 *	int2, int4, int8	number that is exactly an integer, string holding one
 *	float4, float8, numeric		number, string holding one, "NaN", "Infinity", "-Infinity"
 *	boolean			boolean, "true", "false"
 *	bytea			string "\x" and hexadecimal digits
 *	uuid, timestamp, timestamptz, interval		string
 *	any other		string, number, boolean: its text, through the type's input function
 *	arrays			array of these, also of further dimensions; null elements are NULL
 *
 * null is NULL everywhere.
 */
#include <string.h>

#include "array_literal.h"
#include "format_error.h"
#include "json_value.h"
#include "number.h"

/* PostgreSQL's MAXDIM */
#define MAX_DIMENSIONS 6

static bool
refuse(const SluiceColumn *column, const SluiceJsonSlice *slice, const char *sqlstate,
	   const char *reason, SluiceFormatError *error)
{
	char		clip[SLUICE_CLIP_SIZE];

	return sluice_format_error_set(error, sqlstate, "member \"%s\": %s for column of type %s%s: %s",
								   column->name, reason, column->type_name, column->is_array ? "[]" : "",
								   sluice_format_error_clip(clip, slice->data, slice->length));
}

static bool
refuse_nul(const SluiceColumn *column, SluiceFormatError *error)
{
	return sluice_format_error_set(error, "22P05", "member \"%s\" holds \\u0000, which column of type %s cannot hold",
								   column->name, column->type_name);
}

/* The text of a string: in the payload where it has no escapes, else in the buffer. */
static void
take_text(const SluiceJsonSlice *slice, SluiceBuffer *buffer, SluiceJsonValue *out)
{
	out->value.kind = SLUICE_VALUE_TEXT;
	if (!slice->escaped)
	{
		out->value.bytes = slice->data + 1;
		out->value.length = slice->length - 2;
		return;
	}
	out->in_buffer = true;
	out->start = buffer->length;
	sluice_json_walk_unescape(slice, buffer);
	out->value.length = (uint32_t) (buffer->length - out->start);
}

static const char *
text_of(const SluiceBuffer *buffer, const SluiceJsonValue *converted)
{
	return converted->in_buffer ? buffer->data + converted->start : converted->value.bytes;
}

static bool
is_text(const SluiceBuffer *buffer, const SluiceJsonValue *converted, const char *text)
{
	return converted->value.length == strlen(text) &&
		memcmp(text_of(buffer, converted), text, converted->value.length) == 0;
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* "\x0a0b", in place; a backslash is always escaped in JSON, so the text is in the buffer. */
static bool
decode_hex(SluiceBuffer *buffer, SluiceJsonValue *out)
{
	size_t		ndigits = out->value.length;
	char	   *to;
	const char *from;

	if (!out->in_buffer || ndigits < 2 || ndigits % 2 != 0)
		return false;
	to = buffer->data + out->start;
	if (to[0] != '\\' || to[1] != 'x')
		return false;
	from = to + 2;
	ndigits -= 2;
	for (size_t i = 0; i < ndigits / 2; i++)
	{
		int			high = hex_digit(from[i * 2]);
		int			low = hex_digit(from[i * 2 + 1]);

		if (high < 0 || low < 0)
			return false;
		to[i] = (char) (high << 4 | low);
	}
	out->value.kind = SLUICE_VALUE_BYTES;
	out->value.length = (uint32_t) (ndigits / 2);
	buffer->length = out->start + ndigits / 2;
	return true;
}

static bool
convert_string(const SluiceColumn *column, const SluiceJsonSlice *slice,
			   SluiceBuffer *buffer, SluiceJsonValue *out, SluiceFormatError *error)
{
	if (slice->nul)
		return refuse_nul(column, error);
	take_text(slice, buffer, out);
	if (buffer->failed)
		return sluice_format_error_buffer(error, buffer);
	switch (column->type)
	{
		case SLUICE_COLUMN_BOOL:
			out->value.kind = SLUICE_VALUE_BOOL;
			if (is_text(buffer, out, "true"))
				out->value.integer = 1;
			else if (is_text(buffer, out, "false"))
				out->value.integer = 0;
			else
				return refuse(column, slice, "22P02", "string that is no boolean", error);
			out->in_buffer = false;
			return true;
		case SLUICE_COLUMN_FLOAT4:
		case SLUICE_COLUMN_FLOAT8:
		case SLUICE_COLUMN_NUMERIC:
			/* JSON has no numbers for these; protobuf's JSON writes them as strings too */
			if (is_text(buffer, out, "NaN") || is_text(buffer, out, "Infinity") || is_text(buffer, out, "-Infinity"))
			{
				const char *text = text_of(buffer, out);

				out->value.kind = SLUICE_VALUE_DOUBLE;
				out->value.real = text[0] == 'N' ? __builtin_nan("") :
					text[0] == '-' ? -__builtin_inf() : __builtin_inf();
				out->in_buffer = false;
				return true;
			}
			/* FALLTHROUGH */
		case SLUICE_COLUMN_INT2:
		case SLUICE_COLUMN_INT4:
		case SLUICE_COLUMN_INT8:
			out->value.kind = SLUICE_VALUE_NUMBER;
			if (out->value.length == 0 ||
				sluice_number_scan(text_of(buffer, out), out->value.length) != out->value.length)
				return refuse(column, slice, "22P02", "string that is no number", error);
			return true;
		case SLUICE_COLUMN_BYTEA:
			if (!decode_hex(buffer, out))
				return refuse(column, slice, "22P02", "string that is not \"\\x\" and pairs of hexadecimal digits", error);
			return true;
		default:
			return true;
	}
}

static bool
convert_number(const SluiceColumn *column, const SluiceJsonSlice *slice,
			   SluiceJsonValue *out, SluiceFormatError *error)
{
	switch (column->type)
	{
		case SLUICE_COLUMN_BOOL:
		case SLUICE_COLUMN_BYTEA:
		case SLUICE_COLUMN_UUID:
		case SLUICE_COLUMN_TIMESTAMPTZ:
		case SLUICE_COLUMN_TIMESTAMP:
		case SLUICE_COLUMN_INTERVAL:
			return refuse(column, slice, "22P02", "unexpected number", error);
		default:
			out->value.kind = SLUICE_VALUE_NUMBER;
			out->value.bytes = slice->data;
			out->value.length = slice->length;
			return true;
	}
}

static bool
convert_bool(const SluiceColumn *column, const SluiceJsonSlice *slice,
			 SluiceJsonValue *out, SluiceFormatError *error)
{
	if (column->type != SLUICE_COLUMN_BOOL && column->type != SLUICE_COLUMN_TEXT &&
		column->type != SLUICE_COLUMN_OTHER)
		return refuse(column, slice, "22P02", "unexpected boolean", error);
	out->value.kind = SLUICE_VALUE_BOOL;
	out->value.integer = slice->type == SLUICE_JSON_TRUE;
	return true;
}

/* One value for the column's type, or for its elements' type. */
bool
sluice_json_value_convert(const SluiceColumn *column, const SluiceJsonSlice *slice,
						  SluiceBuffer *buffer, SluiceJsonValue *out, SluiceFormatError *error)
{
	out->in_buffer = false;
	out->value.kind = SLUICE_VALUE_NULL;
	out->value.length = 0;
	out->value.bytes = NULL;
	if (slice->type == SLUICE_JSON_NULL)
		return true;
	if (column->type == SLUICE_COLUMN_JSON || column->type == SLUICE_COLUMN_JSONB)
	{
		if (slice->nul && column->type == SLUICE_COLUMN_JSONB)
			return refuse_nul(column, error);
		out->value.kind = SLUICE_VALUE_JSON;
		out->value.bytes = slice->data;
		out->value.length = slice->length;
		return true;
	}
	switch (slice->type)
	{
		case SLUICE_JSON_STRING:
			return convert_string(column, slice, buffer, out, error);
		case SLUICE_JSON_NUMBER:
			return convert_number(column, slice, out, error);
		case SLUICE_JSON_TRUE:
		case SLUICE_JSON_FALSE:
			return convert_bool(column, slice, out, error);
		default:
			refuse(column, slice, "2203F",
				   slice->type == SLUICE_JSON_OBJECT ? "unexpected object" : "unexpected array", error);
			return sluice_format_error_hint(error, "Make the column jsonb to keep objects and arrays as they are.");
	}
}

/* dimension counts the brackets around the elements */
static bool
append_dimension(SluiceBuffer *out, SluiceBuffer *unescaped, const SluiceColumn *column,
				 const SluiceJsonSlice *slice, int dimension, SluiceFormatError *error)
{
	bool		nests = column->type != SLUICE_COLUMN_JSON && column->type != SLUICE_COLUMN_JSONB;
	SluiceJsonWalk walk;
	bool		more;

	if (dimension > MAX_DIMENSIONS)
		return refuse(column, slice, "22P02", "array of too many dimensions", error);
	if (dimension == 1)
		sluice_array_literal_open(out);
	else
		sluice_array_literal_open_inner(out);
	sluice_json_walk_start(&walk, slice->data, slice->length, error);
	if (!sluice_json_walk_enter(&walk, '['))
		return false;
	for (bool first = true;; first = false)
	{
		SluiceJsonSlice element;
		SluiceJsonValue converted;

		if (!sluice_json_walk_next(&walk, ']', first, &more))
			return false;
		if (!more)
		{
			if (first && dimension > 1)
				return refuse(column, slice, "22P02", "empty array within an array", error);
			break;
		}
		if (!sluice_json_walk_value(&walk, dimension, &element))
			return false;
		if (nests && element.type == SLUICE_JSON_ARRAY)
		{
			if (!append_dimension(out, unescaped, column, &element, dimension + 1, error))
				return false;
			continue;
		}
		sluice_buffer_reset(unescaped);
		if (!sluice_json_value_convert(column, &element, unescaped, &converted, error))
			return false;
		if (converted.in_buffer)
			converted.value.bytes = unescaped->data + converted.start;
		if (!sluice_array_literal_append(out, column, &converted.value, error))
			return false;
	}
	sluice_array_literal_close(out);
	return true;
}

bool
sluice_json_value_append_array(SluiceBuffer *out, SluiceBuffer *unescaped, const SluiceColumn *column,
							   const SluiceJsonSlice *slice, SluiceFormatError *error)
{
	if (slice->type != SLUICE_JSON_ARRAY)
		return refuse(column, slice, "22P02", "expected an array", error);
	return append_dimension(out, unescaped, column, slice, 1, error);
}
