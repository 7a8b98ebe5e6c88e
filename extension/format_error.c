/*
 * format_error.c
 *		Filling a SluiceFormatError.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "format_error.h"
#include "utf8.h"

/* Where vsnprintf cut the text inside a character, take the stump away. */
static void
trim_stump(char *text)
{
	size_t		length = strlen(text);
	size_t		start = length;

	while (start > 0 && length - start < 4 && ((uint8_t) text[start - 1] & 0xC0) == 0x80)
		start--;
	if (start > 0 && ((uint8_t) text[start - 1] & 0x80) != 0)
		start--;
	if (start < length &&
		sluice_utf8_length((const uint8_t *) text + start, length - start) != (int) (length - start))
		text[start] = '\0';
}

bool
sluice_format_error_set(SluiceFormatError *error, const char *sqlstate,
						const char *format,...)
{
	va_list		arguments;

	memcpy(error->sqlstate, sqlstate, 5);
	error->sqlstate[5] = '\0';
	error->hint[0] = '\0';
	va_start(arguments, format);
	vsnprintf(error->message, sizeof(error->message), format, arguments);
	va_end(arguments);
	trim_stump(error->message);
	return false;
}

bool
sluice_format_error_hint(SluiceFormatError *error, const char *format,...)
{
	va_list		arguments;

	va_start(arguments, format);
	vsnprintf(error->hint, sizeof(error->hint), format, arguments);
	va_end(arguments);
	trim_stump(error->hint);
	return false;
}

bool
sluice_format_error_buffer(SluiceFormatError *error, const SluiceBuffer *buffer)
{
	if (buffer->over_limit)
		return sluice_format_error_set(error, "54000", "record is too large once decoded: the limit is %zu bytes",
									   buffer->limit > 0 ? buffer->limit : SLUICE_BUFFER_LIMIT);
	return sluice_format_error_set(error, "53200", "out of memory");
}

const char *
sluice_format_error_clip(char out[SLUICE_CLIP_SIZE], const char *data, size_t length)
{
	size_t		used = 0;
	size_t		at = 0;

	while (at < length)
	{
		int			n = sluice_utf8_length((const uint8_t *) data + at, length - at);

		/* room for a character, the dots and the end */
		if (used + 4 + 3 + 1 > SLUICE_CLIP_SIZE)
		{
			memcpy(out + used, "...", 3);
			used += 3;
			break;
		}
		if (n == 0 || (n == 1 && ((uint8_t) data[at] < 0x20 || data[at] == 0x7F)))
		{
			out[used++] = '?';
			at++;
			continue;
		}
		memcpy(out + used, data + at, (size_t) n);
		used += (size_t) n;
		at += (size_t) n;
	}
	out[used] = '\0';
	return out;
}
