/*
 * value.c
 *		A decoded value against the column that takes it.
 */
#include <math.h>
#include <string.h>

#include "format_error.h"
#include "instant.h"
#include "number.h"
#include "value.h"

static bool
out_of_range(const SluiceColumn *column, const SluiceValue *value, SluiceFormatError *error)
{
	char		text[SLUICE_CLIP_SIZE];

	switch (value->kind)
	{
		case SLUICE_VALUE_INT:
			text[sluice_number_from_int(text, value->integer)] = '\0';
			break;
		case SLUICE_VALUE_UINT:
			text[sluice_number_from_uint(text, (uint64_t) value->integer)] = '\0';
			break;
		case SLUICE_VALUE_DOUBLE:
		case SLUICE_VALUE_FLOAT:
			sluice_number_from_real(text, value->real, value->kind == SLUICE_VALUE_FLOAT);
			break;
		default:
			sluice_format_error_clip(text, value->bytes, value->length);
			break;
	}
	return sluice_format_error_set(error, "22003", "value %s is out of range for column \"%s\" of type %s",
								   text, column->name, column->type_name);
}

static bool
wrong_kind(const SluiceColumn *column, const SluiceValue *value, SluiceFormatError *error)
{
	/* bind lets no such pair through */
	return sluice_format_error_set(error, "XX000", "unexpected kind of value %d for column \"%s\" of type %s",
								   (int) value->kind, column->name, column->type_name);
}

static bool
fits_int(SluiceColumnType type, int64_t number)
{
	if (type == SLUICE_COLUMN_INT2)
		return number >= INT16_MIN && number <= INT16_MAX;
	if (type == SLUICE_COLUMN_INT4)
		return number >= INT32_MIN && number <= INT32_MAX;
	return true;
}

bool
sluice_value_to_int(const SluiceColumn *column, const SluiceValue *value,
					int64_t *result, SluiceFormatError *error)
{
	char		clip[SLUICE_CLIP_SIZE];

	switch (value->kind)
	{
		case SLUICE_VALUE_INT:
			*result = value->integer;
			break;
		case SLUICE_VALUE_UINT:
			if (value->integer < 0)
				return out_of_range(column, value, error);
			*result = value->integer;
			break;
		case SLUICE_VALUE_NUMBER:
			switch (sluice_number_to_int(value->bytes, value->length, result))
			{
				case SLUICE_NUMBER_OK:
					break;
				case SLUICE_NUMBER_NOT_INTEGRAL:
					return sluice_format_error_set(error, "22P02", "number %s for column \"%s\" of type %s is not an integer",
												   sluice_format_error_clip(clip, value->bytes, value->length),
												   column->name, column->type_name);
				case SLUICE_NUMBER_OUT_OF_RANGE:
					return out_of_range(column, value, error);
			}
			break;
		default:
			return wrong_kind(column, value, error);
	}
	if (!fits_int(column->type, *result))
		return out_of_range(column, value, error);
	return true;
}

static bool
int_is_exact(int64_t number, bool single, double *result)
{
	double		real = (double) number;

	if (single)
		real = (double) (float) real;
	*result = real;
	/* 2^63 is no int64: nothing that was rounded up to it was exact */
	return real < 9223372036854775808.0 && (int64_t) real == number;
}

static bool
uint_is_exact(uint64_t number, bool single, double *result)
{
	double		real = (double) number;

	if (single)
		real = (double) (float) real;
	*result = real;
	return real < 18446744073709551616.0 && (uint64_t) real == number;
}

bool
sluice_value_to_real(const SluiceColumn *column, const SluiceValue *value,
					 double *result, SluiceFormatError *error)
{
	bool		single = column->type == SLUICE_COLUMN_FLOAT4;
	bool		fits = true;

	switch (value->kind)
	{
		case SLUICE_VALUE_FLOAT:
			*result = value->real;
			break;
		case SLUICE_VALUE_DOUBLE:
			*result = value->real;
			if (single && isfinite(value->real) && value->real != 0)
			{
				/* compared as doubles: the cast of what is too large would be undefined */
				if (fabs(value->real) >= 0x1.ffffffp127)
					fits = false;
				else
				{
					*result = (double) (float) value->real;
					fits = *result != 0;
				}
			}
			break;
		case SLUICE_VALUE_INT:
			fits = int_is_exact(value->integer, single, result);
			break;
		case SLUICE_VALUE_UINT:
			fits = uint_is_exact((uint64_t) value->integer, single, result);
			break;
		case SLUICE_VALUE_NUMBER:
			fits = sluice_number_to_real(value->bytes, value->length, single, result) == SLUICE_NUMBER_OK;
			break;
		default:
			return wrong_kind(column, value, error);
	}
	return fits ? true : out_of_range(column, value, error);
}

static void
append_hex(SluiceBuffer *out, const char *bytes, size_t length)
{
	static const char digits[] = "0123456789abcdef";
	char	   *to;

	if (!sluice_buffer_reserve(out, length * 2))
		return;
	to = out->data + out->length;
	for (size_t i = 0; i < length; i++)
	{
		*to++ = digits[(uint8_t) bytes[i] >> 4];
		*to++ = digits[(uint8_t) bytes[i] & 15];
	}
	out->length += length * 2;
}

static bool
append_bytes(SluiceBuffer *out, const SluiceColumn *column,
			 const SluiceValue *value, SluiceFormatError *error)
{
	if (column->type == SLUICE_COLUMN_UUID)
	{
		if (value->length != 16)
			return sluice_format_error_set(error, "22P02", "column \"%s\" of type uuid takes 16 bytes, not %u",
										   column->name, value->length);
	}
	else
		sluice_buffer_append(out, "\\x", 2);
	append_hex(out, value->bytes, value->length);
	return true;
}

/* Integers and reals that the column does not take as they stand are checked here; any other column prints them. */
static bool
append_number(SluiceBuffer *out, const SluiceColumn *column,
			  const SluiceValue *value, SluiceFormatError *error)
{
	char		text[SLUICE_NUMBER_SIZE];
	int64_t		integer;
	double		real;

	switch (column->type)
	{
		case SLUICE_COLUMN_INT2:
		case SLUICE_COLUMN_INT4:
		case SLUICE_COLUMN_INT8:
			if (!sluice_value_to_int(column, value, &integer, error))
				return false;
			sluice_buffer_append(out, text, (size_t) sluice_number_from_int(text, integer));
			return true;
		case SLUICE_COLUMN_FLOAT4:
		case SLUICE_COLUMN_FLOAT8:
			if (!sluice_value_to_real(column, value, &real, error))
				return false;
			break;
		default:
			real = value->real;
			break;
	}
	if (value->kind == SLUICE_VALUE_INT)
		sluice_buffer_append(out, text, (size_t) sluice_number_from_int(text, value->integer));
	else if (value->kind == SLUICE_VALUE_UINT)
		sluice_buffer_append(out, text, (size_t) sluice_number_from_uint(text, (uint64_t) value->integer));
	else if (value->kind == SLUICE_VALUE_NUMBER)
		sluice_buffer_append(out, value->bytes, value->length);
	else
		sluice_buffer_append(out, text,
							 (size_t) sluice_number_from_real(text, real, value->kind == SLUICE_VALUE_FLOAT ||
															  column->type == SLUICE_COLUMN_FLOAT4));
	return true;
}

bool
sluice_value_append_text(SluiceBuffer *out, const SluiceColumn *column,
						 const SluiceValue *value, SluiceFormatError *error)
{
	char		text[SLUICE_INSTANT_SIZE];

	switch (value->kind)
	{
		case SLUICE_VALUE_NULL:
		case SLUICE_VALUE_DEFAULT:
			return wrong_kind(column, value, error);
		case SLUICE_VALUE_BOOL:
			sluice_buffer_append_text(out, value->integer != 0 ? "true" : "false");
			break;
		case SLUICE_VALUE_INT:
		case SLUICE_VALUE_UINT:
		case SLUICE_VALUE_DOUBLE:
		case SLUICE_VALUE_FLOAT:
		case SLUICE_VALUE_NUMBER:
			if (!append_number(out, column, value, error))
				return false;
			break;
		case SLUICE_VALUE_BYTES:
			if (!append_bytes(out, column, value, error))
				return false;
			break;
		case SLUICE_VALUE_TEXT:
		case SLUICE_VALUE_JSON:
		case SLUICE_VALUE_ARRAY:
			sluice_buffer_append(out, value->bytes, value->length);
			break;
		case SLUICE_VALUE_TIMESTAMP:
			sluice_buffer_append(out, text,
								 (size_t) sluice_instant_point_text(text, value->integer,
																	column->type != SLUICE_COLUMN_TIMESTAMP));
			break;
		case SLUICE_VALUE_INTERVAL:
			sluice_buffer_append(out, text, (size_t) sluice_instant_span_text(text, value->integer));
			break;
	}
	return out->failed ? sluice_format_error_buffer(error, out) : true;
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

/* As uuid_in: braces around it, and a hyphen after any group of four digits. */
bool
sluice_value_parse_uuid(const char *text, size_t length, uint8_t uuid[16])
{
	const char *at = text;
	const char *end = text + length;
	bool		braces = false;

	if (at < end && *at == '{')
	{
		braces = true;
		at++;
	}
	for (int i = 0; i < 16; i++)
	{
		int			high;
		int			low;

		if (end - at < 2)
			return false;
		high = hex_digit(at[0]);
		low = hex_digit(at[1]);
		if (high < 0 || low < 0)
			return false;
		uuid[i] = (uint8_t) (high << 4 | low);
		at += 2;
		if (at < end && *at == '-' && i % 2 == 1 && i < 15)
			at++;
	}
	if (braces && (at == end || *at++ != '}'))
		return false;
	return at == end;
}
