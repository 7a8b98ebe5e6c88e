/*
 * row.c
 *		Decoded values as a row of COPY's input.
 *
 * A binary field is an int32 length (-1 for NULL) and the bytes that the
 * type's receive function reads, in network order.
 */
#include <string.h>

#include "format_error.h"
#include "format_methods.h"
#include "row.h"
#include "value.h"

#define JSONB_VERSION 1

static bool
has_binary_form(const SluiceColumn *column)
{
	return !column->is_array && column->type != SLUICE_COLUMN_OTHER &&
		column->type != SLUICE_COLUMN_NUMERIC;
}

bool
sluice_row_is_binary(const SluiceFormat *format, const SluiceColumn *columns, int ncolumns)
{
	for (int i = 0; i < ncolumns; i++)
	{
		if (!sluice_format_filled(format, i))
			continue;
		if (!has_binary_form(&columns[i]) || format->text_only[i])
			return false;
	}
	return true;
}

/* Network order. */
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define to_network16(number) (number)
#define to_network32(number) (number)
#define to_network64(number) (number)
#else
#define to_network16(number) __builtin_bswap16(number)
#define to_network32(number) __builtin_bswap32(number)
#define to_network64(number) __builtin_bswap64(number)
#endif

static inline void
store16(char *to, uint16_t number)
{
	number = to_network16(number);
	memcpy(to, &number, 2);
}

static inline void
store32(char *to, uint32_t number)
{
	number = to_network32(number);
	memcpy(to, &number, 4);
}

static inline void
store64(char *to, uint64_t number)
{
	number = to_network64(number);
	memcpy(to, &number, 8);
}

/* Room for a field of this size, its length already there; NULL where there is none. */
static inline __attribute__((always_inline)) char *
open_field(SluiceBuffer *out, size_t size, SluiceFormatError *error)
{
	char	   *to;

	/* without a call where there is room, as nearly always */
	if ((out->failed || out->capacity - out->length < size + 4) &&
		!sluice_buffer_reserve(out, size + 4))
	{
		sluice_format_error_buffer(error, out);
		return NULL;
	}
	to = out->data + out->length;
	store32(to, (uint32_t) size);
	out->length += size + 4;
	return to + 4;
}

static bool
wrong_kind(const SluiceColumn *column, const SluiceValue *value, SluiceFormatError *error)
{
	/* sluice_row_is_binary tells when there can be such a value */
	return sluice_format_error_set(error, "XX000", "value of kind %d has no binary form for column \"%s\" of type %s",
								   (int) value->kind, column->name, column->type_name);
}

static bool
bool_field(SluiceBuffer *out, const SluiceColumn *column,
		   const SluiceValue *value, SluiceFormatError *error)
{
	char	   *to;

	if (value->kind != SLUICE_VALUE_BOOL)
		return wrong_kind(column, value, error);
	to = open_field(out, 1, error);
	if (to == NULL)
		return false;
	to[0] = value->integer != 0;
	return true;
}

static bool
int_field(SluiceBuffer *out, const SluiceColumn *column,
		  const SluiceValue *value, SluiceFormatError *error)
{
	size_t		size = column->type == SLUICE_COLUMN_INT2 ? 2 : column->type == SLUICE_COLUMN_INT4 ? 4 : 8;
	int64_t		number;
	char	   *to;

	if (!sluice_value_to_int(column, value, &number, error) ||
		(to = open_field(out, size, error)) == NULL)
		return false;
	if (size == 2)
		store16(to, (uint16_t) number);
	else if (size == 4)
		store32(to, (uint32_t) number);
	else
		store64(to, (uint64_t) number);
	return true;
}

static bool
real_field(SluiceBuffer *out, const SluiceColumn *column,
		   const SluiceValue *value, SluiceFormatError *error)
{
	double		real;
	char	   *to;

	/* by far the most frequent pair needs no check */
	if (value->kind == SLUICE_VALUE_DOUBLE && column->type == SLUICE_COLUMN_FLOAT8)
		real = value->real;
	else if (!sluice_value_to_real(column, value, &real, error))
		return false;
	if (column->type == SLUICE_COLUMN_FLOAT4)
	{
		float		single = (float) real;
		uint32_t	bits;

		if ((to = open_field(out, 4, error)) == NULL)
			return false;
		memcpy(&bits, &single, 4);
		store32(to, bits);
	}
	else
	{
		uint64_t	bits;

		if ((to = open_field(out, 8, error)) == NULL)
			return false;
		memcpy(&bits, &real, 8);
		store64(to, bits);
	}
	return true;
}

/* Bytes as they stand, after a prefix: jsonb's version. */
static bool
bytes_field(SluiceBuffer *out, const SluiceValue *value, bool versioned, SluiceFormatError *error)
{
	char	   *to;

	if (value->length > SLUICE_BUFFER_LIMIT)
		return sluice_format_error_set(error, "54000", "value is too large: %u bytes", value->length);
	to = open_field(out, (size_t) value->length + (versioned ? 1 : 0), error);
	if (to == NULL)
		return false;
	if (versioned)
		*to++ = JSONB_VERSION;
	if (value->length > 0)
		memcpy(to, value->bytes, value->length);
	return true;
}

static bool
text_field(SluiceBuffer *out, const SluiceColumn *column,
		   const SluiceValue *value, SluiceFormatError *error)
{
	size_t		start = out->length;

	if (value->kind == SLUICE_VALUE_TEXT)
		return bytes_field(out, value, false, error);
	if (open_field(out, 0, error) == NULL ||
		!sluice_value_append_text(out, column, value, error))
		return false;
	store32(out->data + start, (uint32_t) (out->length - start - 4));
	return true;
}

static bool
instant_field(SluiceBuffer *out, const SluiceColumn *column,
			  const SluiceValue *value, SluiceFormatError *error)
{
	bool		interval = column->type == SLUICE_COLUMN_INTERVAL;
	char	   *to;

	if (value->kind != (interval ? SLUICE_VALUE_INTERVAL : SLUICE_VALUE_TIMESTAMP))
		return wrong_kind(column, value, error);
	to = open_field(out, interval ? 16 : 8, error);
	if (to == NULL)
		return false;
	store64(to, (uint64_t) value->integer);
	if (interval)
		store64(to + 8, 0);		/* days and months */
	return true;
}

static bool
uuid_field(SluiceBuffer *out, const SluiceColumn *column,
		   const SluiceValue *value, SluiceFormatError *error)
{
	char		clip[SLUICE_CLIP_SIZE];
	uint8_t		uuid[16];
	char	   *to;

	if (value->kind == SLUICE_VALUE_BYTES)
	{
		if (value->length != 16)
			return sluice_format_error_set(error, "22P02", "column \"%s\" of type uuid takes 16 bytes, not %u",
										   column->name, value->length);
		memcpy(uuid, value->bytes, 16);
	}
	else if (value->kind != SLUICE_VALUE_TEXT)
		return wrong_kind(column, value, error);
	else if (!sluice_value_parse_uuid(value->bytes, value->length, uuid))
		return sluice_format_error_set(error, "22P02", "invalid uuid for column \"%s\": \"%s\"", column->name,
									   sluice_format_error_clip(clip, value->bytes, value->length));
	to = open_field(out, 16, error);
	if (to == NULL)
		return false;
	memcpy(to, uuid, 16);
	return true;
}

bool
sluice_row_binary_field(SluiceBuffer *out, const SluiceColumn *column,
						const SluiceValue *value, SluiceFormatError *error)
{
	if (value->kind == SLUICE_VALUE_NULL)
	{
		char		null[4];

		store32(null, UINT32_MAX);
		sluice_buffer_append(out, null, 4);
		return out->failed ? sluice_format_error_buffer(error, out) : true;
	}
	if (value->kind == SLUICE_VALUE_DEFAULT || !has_binary_form(column))
		return wrong_kind(column, value, error);
	switch (column->type)
	{
		case SLUICE_COLUMN_OTHER:
		case SLUICE_COLUMN_NUMERIC:
			break;
		case SLUICE_COLUMN_BOOL:
			return bool_field(out, column, value, error);
		case SLUICE_COLUMN_INT2:
		case SLUICE_COLUMN_INT4:
		case SLUICE_COLUMN_INT8:
			return int_field(out, column, value, error);
		case SLUICE_COLUMN_FLOAT4:
		case SLUICE_COLUMN_FLOAT8:
			return real_field(out, column, value, error);
		case SLUICE_COLUMN_TEXT:
			return text_field(out, column, value, error);
		case SLUICE_COLUMN_BYTEA:
			if (value->kind != SLUICE_VALUE_BYTES)
				return wrong_kind(column, value, error);
			return bytes_field(out, value, false, error);
		case SLUICE_COLUMN_JSON:
		case SLUICE_COLUMN_JSONB:
			if (value->kind != SLUICE_VALUE_JSON && value->kind != SLUICE_VALUE_TEXT)
				return wrong_kind(column, value, error);
			return bytes_field(out, value, column->type == SLUICE_COLUMN_JSONB, error);
		case SLUICE_COLUMN_TIMESTAMPTZ:
		case SLUICE_COLUMN_TIMESTAMP:
		case SLUICE_COLUMN_INTERVAL:
			return instant_field(out, column, value, error);
		case SLUICE_COLUMN_UUID:
			return uuid_field(out, column, value, error);
	}
	return wrong_kind(column, value, error);
}

bool
sluice_row_text_field(SluiceBuffer *out, const SluiceColumn *column,
					  const SluiceValue *value, bool *is_null,
					  SluiceFormatError *error)
{
	*is_null = value->kind == SLUICE_VALUE_NULL;
	if (*is_null)
		return true;
	return sluice_value_append_text(out, column, value, error);
}

void
sluice_row_escape(SluiceBuffer *out, const char *text, size_t length)
{
	size_t		start = 0;

	for (size_t at = 0; at < length; at++)
	{
		char		letter;

		switch (text[at])
		{
			case '\\':
				letter = '\\';
				break;
			case '\t':
				letter = 't';
				break;
			case '\n':
				letter = 'n';
				break;
			case '\r':
				letter = 'r';
				break;
			default:
				continue;
		}
		sluice_buffer_append(out, text + start, at - start);
		sluice_buffer_append_char(out, '\\');
		sluice_buffer_append_char(out, letter);
		start = at + 1;
	}
	sluice_buffer_append(out, text + start, length - start);
}
