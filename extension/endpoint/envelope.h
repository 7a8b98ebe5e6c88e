/*
 * envelope.h
 *		IngestDataRequest and IngestDataResponse on the wire, by hand.
 *
 * Plain C without gRPC and without memory of its own, so that it can be
 * fuzzed.  The payload (field 2) is not looked into: its message type is the
 * stream's.
 */
#ifndef SLUICE_ENVELOPE_H
#define SLUICE_ENVELOPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Of an idempotency key, in bytes. */
#define SLUICE_KEY_LENGTH_MAX 1024

/* What an IngestDataRequest has beside its key and payload: tags and lengths. */
#define SLUICE_ENVELOPE_SLACK 64

/* IngestDataResponse.Status */
#define SLUICE_ANSWER_ACKNOWLEDGED 1
#define SLUICE_ANSWER_REJECTED_DLQ 2

/* The parts of a request: pointers into its bytes. */
typedef struct SluiceEnvelope
{
	const uint8_t *key;
	const uint8_t *payload;		/* of the first occurrence */
	uint32_t	key_length;
	uint32_t	payload_length; /* of all occurrences together */
	uint32_t	payload_parts;	/* how often field 2 occurs: 0 = no payload */
} SluiceEnvelope;

/* False: *error says why these bytes are not an IngestDataRequest. */
extern bool sluice_envelope_parse(const uint8_t *data, size_t length,
								  SluiceEnvelope *envelope, const char **error);

/*
 * Put all occurrences of the payload one behind the other, which is how
 * protobuf merges a message that was sent in parts.  data must have passed
 * sluice_envelope_parse; payload has room for envelope.payload_length bytes.
 */
extern void sluice_envelope_join(const uint8_t *data, size_t length, uint8_t *payload);

/* An IngestDataResponse: its size, and its bytes. */
extern size_t sluice_envelope_answer_size(size_t key_length);
extern void sluice_envelope_answer(uint8_t *out, const void *key, size_t key_length, int status);

#endif							/* SLUICE_ENVELOPE_H */
