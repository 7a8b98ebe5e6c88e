/*
 * received.h
 *		A message from gRPC as bytes in one piece.
 */
#ifndef SLUICE_RECEIVED_H
#define SLUICE_RECEIVED_H

#include <stddef.h>
#include <stdint.h>

#include <grpc/byte_buffer.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/slice.h>

typedef struct SluiceReceived
{
	grpc_byte_buffer *message;	/* NULL: none */
	grpc_slice	copy;			/* where it came in several pieces */
	const uint8_t *bytes;
	size_t		length;
} SluiceReceived;

/* Answers are small: nearly always one piece of uncompressed bytes, looked at where they are. */
static inline void
sluice_received_take(SluiceReceived *received, grpc_byte_buffer *message)
{
	const grpc_slice_buffer *pieces = &message->data.raw.slice_buffer;
	const grpc_slice *whole = &received->copy;

	received->message = message;
	received->copy = grpc_empty_slice();
	if (message->type == GRPC_BB_RAW && message->data.raw.compression == GRPC_COMPRESS_NONE && pieces->count == 1)
		whole = &pieces->slices[0];
	else
	{
		grpc_byte_buffer_reader reader;

		if (grpc_byte_buffer_reader_init(&reader, message))
		{
			received->copy = grpc_byte_buffer_reader_readall(&reader);
			grpc_byte_buffer_reader_destroy(&reader);
		}
	}
	received->bytes = GRPC_SLICE_START_PTR(*whole);
	received->length = GRPC_SLICE_LENGTH(*whole);
}

static inline void
sluice_received_drop(SluiceReceived *received)
{
	if (received->message == NULL)
		return;
	grpc_byte_buffer_destroy(received->message);
	received->message = NULL;
	grpc_slice_unref(received->copy);
}

#endif							/* SLUICE_RECEIVED_H */
