/*
 * wire_writer.h
 *		Writing the protobuf wire format by hand, also wrongly, for tests.
 */
#ifndef SLUICE_WIRE_WRITER_H
#define SLUICE_WIRE_WRITER_H

#include <stdint.h>
#include <string.h>

#include "buffer.h"

static inline void
put_varint(SluiceBuffer *out, uint64_t value)
{
	while (value >= 0x80)
	{
		sluice_buffer_append_char(out, (char) (value | 0x80));
		value >>= 7;
	}
	sluice_buffer_append_char(out, (char) value);
}

static inline void
put_tag(SluiceBuffer *out, uint32_t number, uint32_t type)
{
	put_varint(out, (uint64_t) number << 3 | type);
}

static inline void
put_int(SluiceBuffer *out, uint32_t number, int64_t value)
{
	put_tag(out, number, 0);
	put_varint(out, (uint64_t) value);
}

static inline void
put_sint(SluiceBuffer *out, uint32_t number, int64_t value)
{
	put_tag(out, number, 0);
	put_varint(out, ((uint64_t) value << 1) ^ (uint64_t) (value < 0 ? -1 : 0));
}

static inline void
put_fixed(SluiceBuffer *out, uint32_t number, uint64_t value, int size)
{
	put_tag(out, number, size == 8 ? 1 : 5);
	for (int i = 0; i < size; i++)
		sluice_buffer_append_char(out, (char) (value >> (8 * i)));
}

static inline void
put_double(SluiceBuffer *out, uint32_t number, double value)
{
	uint64_t	bits;

	memcpy(&bits, &value, 8);
	put_fixed(out, number, bits, 8);
}

static inline void
put_float(SluiceBuffer *out, uint32_t number, float value)
{
	uint32_t	bits;

	memcpy(&bits, &value, 4);
	put_fixed(out, number, bits, 4);
}

static inline void
put_bytes(SluiceBuffer *out, uint32_t number, const void *data, size_t length)
{
	put_tag(out, number, 2);
	put_varint(out, length);
	sluice_buffer_append(out, data, length);
}

static inline void
put_text(SluiceBuffer *out, uint32_t number, const char *text)
{
	put_bytes(out, number, text, strlen(text));
}

/* A message that was written to a buffer of its own, which is emptied. */
static inline void
put_message(SluiceBuffer *out, uint32_t number, SluiceBuffer *message)
{
	put_bytes(out, number, message->data, message->length);
	sluice_buffer_reset(message);
}

static inline void
put_seconds(SluiceBuffer *out, uint32_t number, int64_t seconds, int64_t nanos)
{
	SluiceBuffer inner = {0};

	if (seconds != 0)
		put_int(&inner, 1, seconds);
	if (nanos != 0)
		put_int(&inner, 2, nanos);
	put_message(out, number, &inner);
	sluice_buffer_free(&inner);
}

#endif							/* SLUICE_WIRE_WRITER_H */
