/*
 * json.c
 *		Values in JSON, onto a file.
 */
#include "json.h"

#include <string.h>
#include <time.h>

#include "text.h"
#include "uuid7.h"

/* Bytes of the character at the start, 0 where there is none. */
static size_t
character(const char *text, size_t length)
{
	for (size_t n = 1; n <= 4 && n <= length; n++)
	{
		if (sluice_text_is_utf8(text, n))
			return n;
	}
	return 0;
}

void
sluice_json_print_text(FILE *file, const char *text, size_t length)
{
	fputc('"', file);
	for (size_t i = 0; i < length;)
	{
		size_t		n = character(text + i, length - i);

		if (n == 0)
			fputs("\\ufffd", file);
		else if (n == 1 && ((unsigned char) text[i] < 0x20 || text[i] == 0x7F))
			fprintf(file, "\\u%04x", (unsigned char) text[i]);
		else
		{
			if (text[i] == '"' || text[i] == '\\')
				fputc('\\', file);
			fwrite(text + i, 1, n, file);
		}
		i += n > 0 ? n : 1;
	}
	fputc('"', file);
}

void
sluice_json_write_base64(FILE *file, const void *bytes, size_t length)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const unsigned char *at = bytes;

	for (size_t i = 0; i < length; i += 3)
	{
		size_t		n = length - i < 3 ? length - i : 3;
		uint32_t	group = (uint32_t) at[i] << 16 | (n > 1 ? (uint32_t) at[i + 1] << 8 : 0) | (n > 2 ? at[i + 2] : 0);

		fputc(digits[group >> 18], file);
		fputc(digits[group >> 12 & 63], file);
		fputc(n > 1 ? digits[group >> 6 & 63] : '=', file);
		fputc(n > 2 ? digits[group & 63] : '=', file);
	}
}

void
sluice_json_print_base64(FILE *file, const void *bytes, size_t length)
{
	fputc('"', file);
	sluice_json_write_base64(file, bytes, length);
	fputc('"', file);
}

void
sluice_json_print_time(FILE *file, int64_t microseconds)
{
	int64_t		rest = microseconds % 1000000;
	time_t		seconds;
	struct tm	utc;
	char		text[40] = "";

	if (rest < 0)
		rest += 1000000;
	seconds = (time_t) ((microseconds - rest) / 1000000);
	if (gmtime_r(&seconds, &utc) != NULL)
		strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &utc);
	fprintf(file, "\"%s.%06dZ\"", text, (int) rest);
}

void
sluice_json_print_uuid(FILE *file, const uint8_t bytes[16])
{
	char		text[SLUICE_UUID_TEXT_LENGTH];

	sluice_uuid_to_text(bytes, text);
	fprintf(file, "\"%.*s\"", SLUICE_UUID_TEXT_LENGTH, text);
}
