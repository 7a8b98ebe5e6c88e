/*
 * encoding.h
 *		Records and gaps as entries of sluice.v1.Batch, by hand.
 *
 * A record is encoded once, by sluice_send(), and kept, stored and sent in that
 * form: a batch is its entries one behind the other.  No memory of its own; fuzzed.
 */
#ifndef SLUICE_LIB_ENCODING_H
#define SLUICE_LIB_ENCODING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SLUICE_KEY_LENGTH_MAX 1024
#define SLUICE_ENTITY_LENGTH_MAX 255

/* Bytes of a gap's entry at most. */
#define SLUICE_GAP_ENTRY_MAX 26

/* Of PublishRequest and Batch around the entries, at most. */
#define SLUICE_BATCH_HEADER_MAX 11

typedef struct SluiceEntry
{
	uint64_t	sequence;
	const uint8_t *payload;
	const uint8_t *key;
	uint32_t	payload_length;
	uint32_t	key_length;
} SluiceEntry;

/* The bytes of the entry Batch.records: size, and writing it (returns the end). */
extern size_t sluice_entry_size(uint64_t sequence, size_t payload_length, size_t key_length);
extern uint8_t *sluice_entry_write(uint8_t *out, const SluiceEntry *entry);

/* Reads the entry at the beginning of bytes; returns its length, 0: these bytes are no entry. */
extern size_t sluice_entry_read(const uint8_t *bytes, size_t length, SluiceEntry *entry);

/* Gap's entry of Batch.gaps; returns the end. */
extern uint8_t *sluice_gap_write(uint8_t *out, uint64_t from, uint64_t to, int reason);

/* What goes before entries of so many bytes to make a PublishRequest with a Batch; returns the end. */
extern uint8_t *sluice_batch_header_write(uint8_t *out, size_t entries_length);

#endif							/* SLUICE_LIB_ENCODING_H */
