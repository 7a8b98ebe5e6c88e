/*
 * utf8.c
 *		Validation of UTF-8.
 */
#include <string.h>

#include "utf8.h"

static inline bool
is_continuation(uint8_t c)
{
	return (c & 0xC0) == 0x80;
}

int
sluice_utf8_length(const uint8_t *data, size_t left)
{
	uint8_t		c;

	if (left == 0)
		return 0;
	c = data[0];
	if (c < 0x80)
		return 1;
	if (c < 0xC2)
		return 0;
	if (c < 0xE0)
		return left >= 2 && is_continuation(data[1]) ? 2 : 0;
	if (c < 0xF0)
	{
		if (left < 3 || !is_continuation(data[1]) || !is_continuation(data[2]))
			return 0;
		if ((c == 0xE0 && data[1] < 0xA0) || (c == 0xED && data[1] > 0x9F))
			return 0;
		return 3;
	}
	if (c > 0xF4 || left < 4 || !is_continuation(data[1]) ||
		!is_continuation(data[2]) || !is_continuation(data[3]))
		return 0;
	if ((c == 0xF0 && data[1] < 0x90) || (c == 0xF4 && data[1] > 0x8F))
		return 0;
	return 4;
}

bool
sluice_utf8_valid(const uint8_t *data, size_t length, bool text)
{
	const uint8_t *end = data + length;

	while (data < end)
	{
		int			n;

		/* eight ASCII bytes at a time: none has its high bit set, none is zero */
		while (end - data >= 8)
		{
			uint64_t	word;

			memcpy(&word, data, 8);
			if (word & UINT64_C(0x8080808080808080))
				break;
			if ((word - UINT64_C(0x0101010101010101)) & UINT64_C(0x8080808080808080))
				break;
			data += 8;
		}
		if (data == end)
			break;
		if (text && *data == 0)
			return false;
		n = sluice_utf8_length(data, (size_t) (end - data));
		if (n == 0)
			return false;
		data += n;
	}
	return true;
}

int
sluice_utf8_encode(char out[4], uint32_t code)
{
	if (code < 0x80)
	{
		out[0] = (char) code;
		return 1;
	}
	if (code < 0x800)
	{
		out[0] = (char) (0xC0 | (code >> 6));
		out[1] = (char) (0x80 | (code & 0x3F));
		return 2;
	}
	if (code < 0x10000)
	{
		out[0] = (char) (0xE0 | (code >> 12));
		out[1] = (char) (0x80 | ((code >> 6) & 0x3F));
		out[2] = (char) (0x80 | (code & 0x3F));
		return 3;
	}
	out[0] = (char) (0xF0 | (code >> 18));
	out[1] = (char) (0x80 | ((code >> 12) & 0x3F));
	out[2] = (char) (0x80 | ((code >> 6) & 0x3F));
	out[3] = (char) (0x80 | (code & 0x3F));
	return 4;
}
