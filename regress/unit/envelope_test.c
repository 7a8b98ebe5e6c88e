/*
 * envelope_test.c
 *		IngestDataRequest and IngestDataResponse, byte by byte.
 */
#include <stdlib.h>

#include "endpoint/envelope.h"
#include "tap.h"

/* Parse a copy that ends where its allocation ends, so that a sanitizer sees every byte too far. */
static bool
parse(const char *bytes, size_t length, char *key, char *payload, int *parts, const char **error)
{
	uint8_t    *copy = malloc(length > 0 ? length : 1);
	SluiceEnvelope envelope;
	bool		valid;

	memcpy(copy, bytes, length);
	valid = sluice_envelope_parse(copy, length, &envelope, error);
	if (valid)
	{
		snprintf(key, 64, "%.*s", (int) envelope.key_length, envelope.key_length > 0 ? (const char *) envelope.key : "");
		memset(payload, 0, 64);
		sluice_envelope_join(copy, length, (uint8_t *) payload);
		*parts = (int) envelope.payload_parts;
		valid = strlen(payload) == envelope.payload_length;
	}
	free(copy);
	return valid;
}

static void
accepts(const char *bytes, size_t length, const char *key, const char *payload, int parts, const char *name)
{
	char		got_key[64] = "";
	char		got_payload[64] = "";
	const char *error = NULL;
	int			got_parts = -1;

	ok(parse(bytes, length, got_key, got_payload, &got_parts, &error) &&
	   strcmp(key, got_key) == 0 && strcmp(payload, got_payload) == 0 && parts == got_parts,
	   "%s: key \"%s\", payload \"%s\" in %d parts %s", name, got_key, got_payload, got_parts,
	   error != NULL ? error : "");
}

static void
refuses(const char *bytes, size_t length, const char *reason, const char *name)
{
	char		key[64];
	char		payload[64];
	const char *error = NULL;
	int			parts;

	if (ok(!parse(bytes, length, key, payload, &parts, &error) && error != NULL, "%s: refused", name))
		is_text(error, reason, name);
}

#define ACCEPTS(bytes, ...) accepts(bytes, sizeof(bytes) - 1, __VA_ARGS__)
#define REFUSES(bytes, ...) refuses(bytes, sizeof(bytes) - 1, __VA_ARGS__)

static void
answers(size_t key_length, int status, const char *start, size_t start_length, const char *name)
{
	char	   *key = malloc(key_length + 1);
	size_t		size = sluice_envelope_answer_size(key_length);
	uint8_t    *out = malloc(size);

	memset(key, 'k', key_length + 1);
	sluice_envelope_answer(out, key, key_length, status);
	ok(memcmp(out, start, start_length) == 0, "%s: begins as it should", name);
	ok(size == start_length + key_length + 2 && out[size - 2] == 0x10 && out[size - 1] == status,
	   "%s: %zu bytes, the status last", name, size);
	free(key);
	free(out);
}

int
main(void)
{
	char		deep[64];

	ACCEPTS("", "", "", 0, "empty message");
	ACCEPTS("\x0a\x01k\x12\x02pp", "k", "pp", 1, "key and payload");
	ACCEPTS("\x12\x02pp\x0a\x01k", "k", "pp", 1, "payload and key");
	ACCEPTS("\x12\x00", "", "", 1, "empty payload");
	ACCEPTS("\x0a\x01" "a\x0a\x01" "b", "b", "", 0, "the last key counts");
	ACCEPTS("\x12\x01" "a\x0a\x01k\x12\x02" "bc\x12\x00", "k", "abc", 3, "payload in parts is merged");
	ACCEPTS("\x18\x7f\x21" "12345678" "\x2a\x03xyz\x35" "1234" "\x0a\x01k", "k", "", 0, "unknown fields are skipped");
	ACCEPTS("\x1b\x08\x01\x23\x24\x1c\x0a\x01k", "k", "", 0, "unknown groups are skipped");
	ACCEPTS("\x0a\x81\x00k", "k", "", 0, "a length written longer than need be");
	ACCEPTS("\x0a\x02\xff\xfe", "\xff\xfe", "", 0, "a key that is not UTF-8 is passed as it is");

	REFUSES("\x0a", "message ends inside a number", "no length");
	REFUSES("\x0a\x02k", "field is longer than its message", "key too short");
	REFUSES("\x12\xff\xff\xff\xff\x0f", "field is longer than its message", "length of 4 GiB");
	REFUSES("\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "field is longer than its message", "length of 2^64 - 1");
	REFUSES("\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", "number has more than 64 bits", "length of 2^65");
	REFUSES("\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "number has more than 64 bits", "number without end");
	REFUSES("\x08\x01", "field 1 is not a string", "key as a number");
	REFUSES("\x15" "1234", "field 2 is not a message", "payload as a fixed number");
	REFUSES("\x02\x00", "field number out of range", "field number 0");
	REFUSES("\xfa\xff\xff\xff\x7f\x00", "field number out of range", "field number over 2^29");
	REFUSES("\x1f", "unknown wire type", "wire type 7");
	REFUSES("\x21" "1234567", "message ends inside a field", "half a fixed number");
	REFUSES("\x1c", "group ends that did not begin", "end of a group");
	REFUSES("\x1b\x24", "group ends with another number than it began with", "crossed groups");
	REFUSES("\x1b\x08", "message ends inside a number", "group without end");
	memset(deep, 0x1b, sizeof(deep));
	refuses(deep, sizeof(deep), "groups are nested too deeply", "64 groups");

	answers(0, SLUICE_ANSWER_REJECTED_DLQ, "", 0, "answer without key");
	answers(36, SLUICE_ANSWER_ACKNOWLEDGED, "\x0a\x24", 2, "answer");
	answers(127, SLUICE_ANSWER_ACKNOWLEDGED, "\x0a\x7f", 2, "answer with 127 bytes");
	answers(1024, SLUICE_ANSWER_ACKNOWLEDGED, "\x0a\x80\x08", 3, "answer with 1024 bytes");
	return finish();
}
