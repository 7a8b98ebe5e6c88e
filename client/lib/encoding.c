/*
 * encoding.c
 *		Records and gaps as entries of sluice.v1.Batch, by hand.
 *
 * Only the one form that is written here is read again (members in order, the
 * shortest varints, nothing unknown): what is read comes from our own buffer,
 * so that anything else is damage.
 */
#include "encoding.h"

#include <string.h>

#define TAG_RECORD 0x0a			/* Batch.records = 1 */
#define TAG_GAP 0x12			/* Batch.gaps = 2 */
#define TAG_BATCH 0x12			/* PublishRequest.batch = 2 */

#define TAG_SEQUENCE 0x08		/* Record.sequence = 1 */
#define TAG_PAYLOAD 0x12		/* Record.payload = 2 */
#define TAG_KEY 0x1a			/* Record.key = 3 */

#define TAG_FROM 0x08			/* Gap.from = 1 */
#define TAG_TO 0x10				/* Gap.to = 2 */
#define TAG_REASON 0x18			/* Gap.reason = 3 */

static size_t
varint_size(uint64_t value)
{
	int			bits = 64 - __builtin_clzll(value | 1);

	return (size_t) (bits + 6) / 7;
}

static uint8_t *
varint_write(uint8_t *out, uint64_t value)
{
	for (; value >= 0x80; value >>= 7)
		*out++ = (uint8_t) (value | 0x80);
	*out++ = (uint8_t) value;
	return out;
}

/* NULL: there is no varint of 64 bits before end. */
static const uint8_t *
varint_read(const uint8_t *in, const uint8_t *end, uint64_t *value)
{
	*value = 0;
	for (int shift = 0; shift < 64 && in < end; shift += 7)
	{
		uint8_t		byte = *in++;

		if (shift == 63 && byte > 1)
			return NULL;
		*value |= (uint64_t) (byte & 0x7f) << shift;
		if (byte < 0x80)
			return in;
	}
	return NULL;
}

/* A member of bytes, not written where it is empty. */
static size_t
bytes_size(size_t length)
{
	return length > 0 ? 1 + varint_size(length) + length : 0;
}

static uint8_t *
bytes_write(uint8_t *out, uint8_t tag, const uint8_t *bytes, size_t length)
{
	if (length == 0)
		return out;
	*out++ = tag;
	out = varint_write(out, length);
	memcpy(out, bytes, length);
	return out + length;
}

/* The same; it may be missing.  NULL: it is not whole. */
static const uint8_t *
bytes_read(const uint8_t *in, const uint8_t *end, uint8_t tag, const uint8_t **bytes, uint32_t *length)
{
	uint64_t	size;

	*bytes = NULL;
	*length = 0;
	if (in == end || *in != tag)
		return in;
	in = varint_read(in + 1, end, &size);
	if (in == NULL || size > (uint64_t) (end - in) || size > UINT32_MAX)
		return NULL;
	*bytes = in;
	*length = (uint32_t) size;
	return in + size;
}

static size_t
record_size(uint64_t sequence, size_t payload_length, size_t key_length)
{
	return 1 + varint_size(sequence) + bytes_size(payload_length) + bytes_size(key_length);
}

size_t
sluice_entry_size(uint64_t sequence, size_t payload_length, size_t key_length)
{
	size_t		size = record_size(sequence, payload_length, key_length);

	return 1 + varint_size(size) + size;
}

uint8_t *
sluice_entry_write(uint8_t *out, const SluiceEntry *entry)
{
	*out++ = TAG_RECORD;
	out = varint_write(out, record_size(entry->sequence, entry->payload_length, entry->key_length));
	*out++ = TAG_SEQUENCE;
	out = varint_write(out, entry->sequence);
	out = bytes_write(out, TAG_PAYLOAD, entry->payload, entry->payload_length);
	return bytes_write(out, TAG_KEY, entry->key, entry->key_length);
}

size_t
sluice_entry_read(const uint8_t *bytes, size_t length, SluiceEntry *entry)
{
	const uint8_t *in = bytes;
	const uint8_t *end = bytes + length;
	uint64_t	size;

	if (length == 0 || *in != TAG_RECORD)
		return 0;
	in = varint_read(in + 1, end, &size);
	if (in == NULL || size == 0 || size > (uint64_t) (end - in))
		return 0;
	end = in + size;
	if (*in != TAG_SEQUENCE)
		return 0;
	in = varint_read(in + 1, end, &entry->sequence);
	if (in != NULL)
		in = bytes_read(in, end, TAG_PAYLOAD, &entry->payload, &entry->payload_length);
	if (in != NULL)
		in = bytes_read(in, end, TAG_KEY, &entry->key, &entry->key_length);
	if (in != end)
		return 0;
	size = sluice_entry_size(entry->sequence, entry->payload_length, entry->key_length);
	return size == (uint64_t) (end - bytes) ? (size_t) size : 0;
}

uint8_t *
sluice_gap_write(uint8_t *out, uint64_t from, uint64_t to, int reason)
{
	uint8_t		gap[SLUICE_GAP_ENTRY_MAX];
	uint8_t    *end = gap;

	*end++ = TAG_FROM;
	end = varint_write(end, from);
	*end++ = TAG_TO;
	end = varint_write(end, to);
	*end++ = TAG_REASON;
	end = varint_write(end, (uint64_t) reason);
	return bytes_write(out, TAG_GAP, gap, (size_t) (end - gap));
}

uint8_t *
sluice_batch_header_write(uint8_t *out, size_t entries_length)
{
	*out++ = TAG_BATCH;
	return varint_write(out, entries_length);
}
