/*
 * json_write.c
 *		Writing JSON text.
 */
#include <math.h>
#include <stdio.h>

#include "json_write.h"
#include "number.h"

static void
write_escape(SluiceBuffer *out, char c)
{
	char		escape[8];
	int			length;

	switch (c)
	{
		case '"':
			length = snprintf(escape, sizeof(escape), "\\\"");
			break;
		case '\\':
			length = snprintf(escape, sizeof(escape), "\\\\");
			break;
		case '\n':
			length = snprintf(escape, sizeof(escape), "\\n");
			break;
		case '\r':
			length = snprintf(escape, sizeof(escape), "\\r");
			break;
		case '\t':
			length = snprintf(escape, sizeof(escape), "\\t");
			break;
		default:
			length = snprintf(escape, sizeof(escape), "\\u%04x", (unsigned) (unsigned char) c);
			break;
	}
	sluice_buffer_append(out, escape, (size_t) length);
}

void
sluice_json_write_string(SluiceBuffer *out, const char *text, size_t length)
{
	size_t		start = 0;

	sluice_buffer_append_char(out, '"');
	for (size_t at = 0; at < length; at++)
	{
		if ((unsigned char) text[at] >= 0x20 && text[at] != '"' && text[at] != '\\')
			continue;
		sluice_buffer_append(out, text + start, at - start);
		write_escape(out, text[at]);
		start = at + 1;
	}
	sluice_buffer_append(out, text + start, length - start);
	sluice_buffer_append_char(out, '"');
}

void
sluice_json_write_base64(SluiceBuffer *out, const char *bytes, size_t length)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t		size = (length + 2) / 3 * 4 + 2;
	char	   *to;

	if (!sluice_buffer_reserve(out, size))
		return;
	to = out->data + out->length;
	*to++ = '"';
	for (size_t i = 0; i < length; i += 3)
	{
		uint32_t	group = (uint32_t) (uint8_t) bytes[i] << 16;

		if (i + 1 < length)
			group |= (uint32_t) (uint8_t) bytes[i + 1] << 8;
		if (i + 2 < length)
			group |= (uint32_t) (uint8_t) bytes[i + 2];
		*to++ = digits[group >> 18];
		*to++ = digits[group >> 12 & 63];
		*to++ = i + 1 < length ? digits[group >> 6 & 63] : '=';
		*to++ = i + 2 < length ? digits[group & 63] : '=';
	}
	*to++ = '"';
	out->length += size;
}

void
sluice_json_write_real(SluiceBuffer *out, double value, bool single)
{
	char		text[SLUICE_NUMBER_SIZE];
	int			length = sluice_number_from_real(text, value, single);

	if (!isfinite(value))
		sluice_json_write_string(out, text, (size_t) length);
	else
		sluice_buffer_append(out, text, (size_t) length);
}

static void
write_digits(SluiceBuffer *out, const char *text, int length, bool quoted)
{
	if (quoted)
		sluice_buffer_append_char(out, '"');
	sluice_buffer_append(out, text, (size_t) length);
	if (quoted)
		sluice_buffer_append_char(out, '"');
}

void
sluice_json_write_int(SluiceBuffer *out, int64_t value, bool quoted)
{
	char		text[SLUICE_NUMBER_SIZE];

	write_digits(out, text, sluice_number_from_int(text, value), quoted);
}

void
sluice_json_write_uint(SluiceBuffer *out, uint64_t value, bool quoted)
{
	char		text[SLUICE_NUMBER_SIZE];

	write_digits(out, text, sluice_number_from_uint(text, value), quoted);
}
