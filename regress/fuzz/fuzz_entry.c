/*
 * fuzz_entry.c
 *		Entries of batches as the client's buffer keeps them.
 *
 * Whatever is read as an entry lies within the input, and written again is the
 * same bytes; whatever numbers and lengths the input makes up are written as announced and read back.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../../client/lib/encoding.h"

extern int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
require(int condition)
{
	if (!condition)
		abort();
}

static int
within(const uint8_t *part, uint32_t length, const uint8_t *data, size_t size)
{
	return length == 0 || (part >= data && part <= data + size && length <= (size_t) (data + size - part));
}

static size_t
read_entry(const uint8_t *data, size_t size)
{
	SluiceEntry entry;
	size_t		length = sluice_entry_read(data, size, &entry);
	uint8_t    *again;

	if (length == 0)
		return 0;
	require(length <= size);
	require(within(entry.payload, entry.payload_length, data, length));
	require(within(entry.key, entry.key_length, data, length));
	require(sluice_entry_size(entry.sequence, entry.payload_length, entry.key_length) == length);
	again = malloc(length);
	require(again != NULL);
	require(sluice_entry_write(again, &entry) == again + length);
	require(memcmp(again, data, length) == 0);
	free(again);
	return length;
}

/* The input as sequence, length of the key, key and payload. */
static void
write_entry(const uint8_t *data, size_t size)
{
	SluiceEntry entry = {0};
	SluiceEntry got;
	uint8_t    *bytes;
	size_t		length;

	if (size < sizeof(entry.sequence) + 1)
		return;
	memcpy(&entry.sequence, data, sizeof(entry.sequence));
	data += sizeof(entry.sequence);
	size -= sizeof(entry.sequence) + 1;
	entry.key_length = *data++ <= size ? data[-1] : (uint32_t) size;
	entry.key = data;
	entry.payload = data + entry.key_length;
	entry.payload_length = (uint32_t) (size - entry.key_length);
	length = sluice_entry_size(entry.sequence, entry.payload_length, entry.key_length);
	bytes = malloc(length);
	require(bytes != NULL);
	require(sluice_entry_write(bytes, &entry) == bytes + length);
	require(sluice_entry_read(bytes, length, &got) == length);
	require(got.sequence == entry.sequence && got.payload_length == entry.payload_length && got.key_length == entry.key_length);
	require(entry.payload_length == 0 || memcmp(got.payload, entry.payload, entry.payload_length) == 0);
	require(entry.key_length == 0 || memcmp(got.key, entry.key, entry.key_length) == 0);
	free(bytes);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t		at = 0;
	size_t		length;

	write_entry(data, size);
	while (at < size && (length = read_entry(data + at, size - at)) > 0)
		at += length;
	return 0;
}
