/*
 * text.c
 *		Bytes that grow.
 */
#include "text.h"

#include <stdlib.h>
#include <string.h>

#include "memory.h"

static void
make_room(SluiceText *text, size_t more)
{
	size_t		capacity = text->capacity > 0 ? text->capacity : 256;

	if (text->capacity - text->length >= more)
		return;
	while (capacity - text->length < more)
		capacity *= 2;
	text->bytes = sluice_memory_resize(text->bytes, capacity);
	text->capacity = capacity;
}

void
sluice_text_append(SluiceText *text, const char *bytes, size_t length)
{
	if (length == 0)
		return;
	make_room(text, length);
	memcpy(text->bytes + text->length, bytes, length);
	text->length += length;
}

void
sluice_text_append_byte(SluiceText *text, char byte)
{
	make_room(text, 1);
	text->bytes[text->length++] = byte;
}

void
sluice_text_free(SluiceText *text)
{
	free(text->bytes);
	memset(text, 0, sizeof(*text));
}

/* Length of the well-formed character at the start, or 0. */
static size_t
utf8_character(const unsigned char *s, size_t length)
{
	size_t		n = s[0] < 0x80 ? 1 : s[0] < 0xC2 ? 0 : s[0] < 0xE0 ? 2 : s[0] < 0xF0 ? 3 : s[0] < 0xF5 ? 4 : 0;

	if (n == 0 || n > length)
		return 0;
	for (size_t i = 1; i < n; i++)
	{
		if ((s[i] & 0xC0) != 0x80)
			return 0;
	}
	if ((s[0] == 0xE0 && s[1] < 0xA0) || (s[0] == 0xED && s[1] > 0x9F) ||
		(s[0] == 0xF0 && s[1] < 0x90) || (s[0] == 0xF4 && s[1] > 0x8F))
		return 0;
	return n;
}

int
sluice_text_is_utf8(const char *bytes, size_t length)
{
	const unsigned char *s = (const unsigned char *) bytes;

	while (length > 0)
	{
		size_t		n = utf8_character(s, length);

		if (n == 0)
			return 0;
		s += n;
		length -= n;
	}
	return 1;
}
