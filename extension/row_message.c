/*
 * row_message.c
 *		A row as field "rows" of sluice.v1.Rows, plain C.
 *
 * How long what lies before the payload is, is known only when the payload is
 * there.  Room is made for a header as most rows have it; where it turns out
 * longer or shorter, the payload is moved.
 */
#include <string.h>

#include "row_message.h"

#define ROW_TAG 0x22			/* Rows.rows, a message */
#define OFFSET_TAG 0x08			/* Row.offset and the others */
#define PAYLOAD_TAG 0x12
#define REDRIVE_TAG 0x18
#define ATTEMPTS_TAG 0x20

/* Five tags, two lengths, two 64-bit numbers and a 32-bit one. */
#define HEADER_MAX (5 + 5 + 5 + 10 + 10 + 5)

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

static size_t
varint_size(uint64_t value)
{
	size_t		n = 1;

	while (value >= 0x80)
	{
		value >>= 7;
		n++;
	}
	return n;
}

/* A payload of less than 128 bytes, and neither redrive nor attempts. */
static size_t
usual_size(int64_t offset)
{
	return 2 + (offset != 0 ? 1 + varint_size((uint64_t) offset) : 0) + 2;
}

static size_t
put_header(uint8_t *to, int64_t offset, size_t length, int64_t redrive, uint32_t attempts)
{
	uint8_t		fields[HEADER_MAX];
	size_t		nfields = 0;
	size_t		n = 0;

	if (offset != 0)
	{
		fields[nfields++] = OFFSET_TAG;
		nfields += put_varint(fields + nfields, (uint64_t) offset);
	}
	if (redrive != 0)
	{
		fields[nfields++] = REDRIVE_TAG;
		nfields += put_varint(fields + nfields, (uint64_t) redrive);
	}
	if (attempts != 0)
	{
		fields[nfields++] = ATTEMPTS_TAG;
		nfields += put_varint(fields + nfields, attempts);
	}
	fields[nfields++] = PAYLOAD_TAG;
	nfields += put_varint(fields + nfields, length);
	to[n++] = ROW_TAG;
	n += put_varint(to + n, nfields + length);
	memcpy(to + n, fields, nfields);
	return n + nfields;
}

size_t
sluice_row_message_begin(SluiceBuffer *rows, int64_t offset)
{
	size_t		begin = rows->length;

	if (sluice_buffer_reserve(rows, usual_size(offset)))
		rows->length += usual_size(offset);
	return begin;
}

void
sluice_row_message_end(SluiceBuffer *rows, size_t begin, int64_t offset, int64_t redrive, uint32_t attempts)
{
	size_t		usual = usual_size(offset);
	uint8_t		header[HEADER_MAX];
	size_t		size;
	size_t		length;

	if (rows->failed)
		return;
	length = rows->length - begin - usual;
	size = put_header(header, offset, length, redrive, attempts);
	if (size != usual)
	{
		if (!sluice_buffer_reserve(rows, HEADER_MAX))
			return;
		memmove(rows->data + begin + size, rows->data + begin + usual, length);
	}
	memcpy(rows->data + begin, header, size);
	rows->length = begin + size + length;
}
