/*
 * response.c
 *		What a consumer is told: serialized SubscribeResponses.
 */
#include "response.h"

#include <string.h>

#include "wire.h"

/* Fields of SubscribeResponse. */
enum
{
	RESPONSE_STANDBY = 1,
	RESPONSE_ACTIVE = 2,
	RESPONSE_ROWS = 3,
	RESPONSE_CAUGHT_UP = 4
};

/* More than any message but for its rows. */
#define HEAD_SIZE 192

typedef struct Head
{
	uint8_t		bytes[HEAD_SIZE];
	size_t		length;
} Head;

static void
put_varint(Head *head, uint64_t value)
{
	while (value >= 0x80)
	{
		head->bytes[head->length++] = (uint8_t) (value | 0x80);
		value >>= 7;
	}
	head->bytes[head->length++] = (uint8_t) value;
}

static void
put_number(Head *head, uint32_t field, uint64_t value)
{
	if (value == 0)
		return;
	put_varint(head, field << 3 | SLUICE_WIRE_VARINT);
	put_varint(head, value);
}

static void
put_fixed64(Head *head, uint32_t field, uint64_t value)
{
	put_varint(head, field << 3 | SLUICE_WIRE_FIXED64);
	for (int shift = 0; shift < 64; shift += 8)
		head->bytes[head->length++] = (uint8_t) (value >> shift);
}

static void
put_bytes(Head *head, uint32_t field, const void *bytes, size_t length)
{
	put_varint(head, field << 3 | SLUICE_WIRE_BYTES);
	put_varint(head, length);
	memcpy(head->bytes + head->length, bytes, length);
	head->length += length;
}

static void
put_token(Head *head, uint32_t field, const SluiceToken *token)
{
	Head		inner = {.length = 0};

	put_bytes(&inner, 1, token->stream_uid, SLUICE_UID_SIZE);
	put_fixed64(&inner, 2, token->system_identifier);
	put_number(&inner, 3, token->timeline);
	put_fixed64(&inner, 4, token->lsn);
	put_number(&inner, 5, (uint64_t) token->offset);
	put_bytes(head, field, inner.bytes, inner.length);
}

/* The message that the head, and what follows it, are the one field of. */
static void
close_message(SluiceBuffer *message, uint32_t field, const Head *head, const void *rest, size_t length)
{
	Head		outer = {.length = 0};

	put_varint(&outer, field << 3 | SLUICE_WIRE_BYTES);
	put_varint(&outer, head->length + length);
	sluice_buffer_append(message, outer.bytes, outer.length);
	sluice_buffer_append(message, head->bytes, head->length);
	sluice_buffer_append(message, rest, length);
}

void
sluice_response_standby(SluiceBuffer *message)
{
	Head		head = {.length = 0};

	close_message(message, RESPONSE_STANDBY, &head, "", 0);
}

void
sluice_response_active(SluiceBuffer *message, uint64_t epoch, const SluiceToken *token,
					   uint8_t guarantee, uint8_t encoding, uint32_t max_in_flight)
{
	Head		head = {.length = 0};

	put_fixed64(&head, 1, epoch);
	put_number(&head, 2, (uint64_t) token->offset);
	put_token(&head, 3, token);
	put_number(&head, 4, guarantee);
	put_number(&head, 5, encoding);
	put_number(&head, 6, max_in_flight);
	close_message(message, RESPONSE_ACTIVE, &head, "", 0);
}

void
sluice_response_rows(SluiceBuffer *message, uint64_t epoch, int64_t previous, const SluiceToken *token,
					 const void *rows, size_t length)
{
	Head		head = {.length = 0};

	put_fixed64(&head, 1, epoch);
	put_number(&head, 2, (uint64_t) previous);
	put_token(&head, 3, token);
	close_message(message, RESPONSE_ROWS, &head, rows, length);
}

void
sluice_response_caught_up(SluiceBuffer *message, uint64_t epoch, int64_t offset)
{
	Head		head = {.length = 0};

	put_fixed64(&head, 1, epoch);
	put_number(&head, 2, (uint64_t) offset);
	close_message(message, RESPONSE_CAUGHT_UP, &head, "", 0);
}
