/*
 * encoding_test.c
 *		Entries of batches: written, read again, and hostile bytes.
 */
#include "tap.h"

#include <stdint.h>
#include <stdlib.h>

#include "../lib/encoding.h"

static uint8_t bytes[100000];

/* Written as announced, and read back the same. */
static bool
goes_round(uint64_t sequence, size_t payload_length, size_t key_length)
{
	static uint8_t payload[70000];
	static uint8_t key[SLUICE_KEY_LENGTH_MAX];
	SluiceEntry entry = {.sequence = sequence, .payload = payload, .key = key,
		.payload_length = (uint32_t) payload_length, .key_length = (uint32_t) key_length};
	SluiceEntry again;
	size_t		size = sluice_entry_size(sequence, payload_length, key_length);

	memset(payload, 'p', sizeof(payload));
	memset(key, 'k', sizeof(key));
	memset(bytes, 0xee, sizeof(bytes));
	if (sluice_entry_write(bytes, &entry) != bytes + size || bytes[size] != 0xee)
		return false;
	return sluice_entry_read(bytes, size + 7, &again) == size && again.sequence == sequence &&
		again.payload_length == payload_length && again.key_length == key_length &&
		(payload_length == 0 || memcmp(again.payload, payload, payload_length) == 0) &&
		(key_length == 0 || memcmp(again.key, key, key_length) == 0);
}

static void
test_round_trips(void)
{
	static const uint64_t sequences[] = {1, 127, 128, 16383, 16384, UINT32_MAX, (uint64_t) 1 << 56, UINT64_MAX};
	static const size_t lengths[] = {0, 1, 100, 127, 128, 16000, 65535, 70000};
	bool		all = true;

	for (size_t i = 0; i < 8; i++)
		for (size_t j = 0; j < 8; j++)
			all = all && goes_round(sequences[i], lengths[j], 0) && goes_round(sequences[i], lengths[j], 1) &&
				goes_round(sequences[i], lengths[j], SLUICE_KEY_LENGTH_MAX);
	ok(all, "what is written is read again, for numbers and lengths of every size");
}

static void
test_known_bytes(void)
{
	SluiceEntry entry = {.sequence = 300, .payload = (const uint8_t *) "ab", .payload_length = 2,
		.key = (const uint8_t *) "k", .key_length = 1};
	uint8_t    *end = sluice_entry_write(bytes, &entry);

	is_bytes((char *) bytes, (size_t) (end - bytes), "\x0a\x0a\x08\xac\x02\x12\x02" "ab\x1a\x01k", "a record, byte for byte");
	end = sluice_gap_write(bytes, 5, 130, 3);
	is_bytes((char *) bytes, (size_t) (end - bytes), "\x12\x07\x08\x05\x10\x82\x01\x18\x03", "a gap, byte for byte");
	end = sluice_batch_header_write(bytes, 300);
	is_bytes((char *) bytes, (size_t) (end - bytes), "\x12\xac\x02", "the head of a batch, byte for byte");
	ok(sluice_gap_write(bytes, UINT64_MAX, UINT64_MAX, 8) - bytes == SLUICE_GAP_ENTRY_MAX, "the largest gap is as large as told");
	ok(sluice_batch_header_write(bytes, SIZE_MAX) - bytes == SLUICE_BATCH_HEADER_MAX, "the largest head is as large as told");
}

static bool
is_refused(const char *hostile, size_t length)
{
	SluiceEntry entry;

	/* In memory of its own, so that a sanitizer or valgrind sees reading behind it. */
	uint8_t    *copy = malloc(length + (length == 0));
	bool		refused;

	if (copy == NULL)
		return false;
	memcpy(copy, hostile, length);
	refused = sluice_entry_read(copy, length, &entry) == 0;
	free(copy);
	return refused;
}

#define REFUSED(text) is_refused(text, sizeof(text) - 1)

static void
test_hostile(void)
{
	ok(REFUSED(""), "nothing is no entry");
	ok(REFUSED("\x12\x02\x08\x01"), "a gap is no record");
	ok(REFUSED("\x0a"), "a tag alone");
	ok(REFUSED("\x0a\x00"), "an empty record has no sequence");
	ok(REFUSED("\x0a\x02\x12\x00"), "a payload without a sequence");
	ok(REFUSED("\x0a\x7f\x08\x01"), "longer than there is");
	ok(REFUSED("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x08\x01"), "of 2^64-1 bytes");
	ok(REFUSED("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02\x08\x01"), "a length of more than 64 bits");
	ok(REFUSED("\x0a\x82\x00\x08\x01"), "a length that is not the shortest");
	ok(REFUSED("\x0a\x03\x08\x81\x00"), "a sequence that is not the shortest");
	ok(REFUSED("\x0a\x04\x08\x01\x12\x05"), "a payload longer than the record");
	ok(REFUSED("\x0a\x04\x08\x01\x12\x00"), "an empty payload is not written");
	ok(REFUSED("\x0a\x08\x08\x01\x1a\x01k\x12\x01p"), "key before payload");
	ok(REFUSED("\x0a\x04\x08\x01\x20\x01"), "an unknown member");
	ok(REFUSED("\x0a\x04\x08\x01\x08\x01"), "two sequences");
}

/* Each prefix and each changed byte is refused, or read as something that fits. */
static void
test_changed_bytes(void)
{
	uint8_t		entry_bytes[64];
	SluiceEntry entry = {.sequence = 300, .payload = (const uint8_t *) "payload", .payload_length = 7,
		.key = (const uint8_t *) "key", .key_length = 3};
	size_t		size = (size_t) (sluice_entry_write(entry_bytes, &entry) - entry_bytes);
	bool		all = true;

	for (size_t length = 0; length < size; length++)
		all = all && is_refused((char *) entry_bytes, length);
	ok(all, "no prefix of a record is one");

	all = true;
	for (size_t at = 0; at < size; at++)
		for (int bit = 0; bit < 8; bit++)
		{
			SluiceEntry got;
			size_t		length;

			entry_bytes[at] ^= (uint8_t) (1 << bit);
			length = sluice_entry_read(entry_bytes, size, &got);
			all = all && (length == 0 ||
						  length == sluice_entry_size(got.sequence, got.payload_length, got.key_length));
			entry_bytes[at] ^= (uint8_t) (1 << bit);
		}
	ok(all, "a record with a bit changed is refused or fits");
}

int
main(void)
{
	test_round_trips();
	test_known_bytes();
	test_hostile();
	test_changed_bytes();
	return done_testing();
}
