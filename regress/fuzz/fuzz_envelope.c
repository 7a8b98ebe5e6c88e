/*
 * fuzz_envelope.c
 *		libFuzzer: the envelope of IngestData, hand-walked.
 *
 * What was accepted must be consistent: key and payload lie inside the
 * message, the parts add up, and the same request written plainly parses to
 * the same; its answer carries the key.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "endpoint/envelope.h"

int			LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t
put_field(uint8_t *out, uint8_t tag, const uint8_t *bytes, size_t length)
{
	uint8_t    *at = out;
	size_t		rest = length;

	*at++ = tag;
	for (; rest >= 0x80; rest >>= 7)
		*at++ = (uint8_t) (rest | 0x80);
	*at++ = (uint8_t) rest;
	if (length > 0)
		memcpy(at, bytes, length);
	return (size_t) (at - out) + length;
}

static void
check(bool holds)
{
	if (!holds)
		abort();
}

static void
check_inside(const uint8_t *data, size_t size, const uint8_t *part, size_t length)
{
	if (length > 0)
		check(part >= data && length <= size && part <= data + size - length);
}

static void
check_written_plainly(const SluiceEnvelope *envelope, const uint8_t *payload)
{
	uint8_t    *plain = malloc(envelope->key_length + (size_t) envelope->payload_length + 32);
	SluiceEnvelope again;
	const char *error;
	size_t		length;

	length = put_field(plain, 0x0a, envelope->key, envelope->key_length);
	if (envelope->payload_parts > 0)
		length += put_field(plain + length, 0x12, payload, envelope->payload_length);
	check(sluice_envelope_parse(plain, length, &again, &error));
	check(again.key_length == envelope->key_length && again.payload_length == envelope->payload_length);
	check(again.payload_parts == (envelope->payload_parts > 0 ? 1 : 0));
	check(again.key_length == 0 || memcmp(again.key, envelope->key, again.key_length) == 0);
	check(again.payload_length == 0 || memcmp(again.payload, payload, again.payload_length) == 0);
	free(plain);
}

/* A response's field 1 is where a request's is. */
static void
check_answer(const SluiceEnvelope *envelope)
{
	size_t		size = sluice_envelope_answer_size(envelope->key_length);
	uint8_t    *answer = malloc(size);
	SluiceEnvelope parsed;
	const char *error;

	sluice_envelope_answer(answer, envelope->key, envelope->key_length, SLUICE_ANSWER_ACKNOWLEDGED);
	check(sluice_envelope_parse(answer, size - 2, &parsed, &error));
	check(parsed.key_length == envelope->key_length);
	check(parsed.key_length == 0 || memcmp(parsed.key, envelope->key, parsed.key_length) == 0);
	free(answer);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	SluiceEnvelope envelope;
	const char *error = NULL;
	uint8_t    *payload;

	if (!sluice_envelope_parse(data, size, &envelope, &error))
	{
		check(error != NULL && error[0] != '\0');
		return 0;
	}
	check(error == NULL);
	check_inside(data, size, envelope.key, envelope.key_length);
	check(envelope.payload_length <= size);
	/* Exactly as large as it must be: one byte too many is seen. */
	payload = malloc(envelope.payload_length > 0 ? envelope.payload_length : 1);
	sluice_envelope_join(data, size, payload);
	if (envelope.payload_parts == 1)
	{
		check_inside(data, size, envelope.payload, envelope.payload_length);
		check(envelope.payload_length == 0 || memcmp(payload, envelope.payload, envelope.payload_length) == 0);
	}
	check_written_plainly(&envelope, payload);
	check_answer(&envelope);
	free(payload);
	return 0;
}
