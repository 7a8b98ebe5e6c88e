/*
 * block.h
 *		Records of consecutive sequences, encoded, one behind the other.
 *
 * A block tells what it covers and what that counts for as long as any of its
 * records is not settled.  Its content, the records themselves, is in memory only for a
 * time: what the store has can be let go.  Content grows at its end and never changes
 * otherwise, so what was in it once may be read without a lock while the block is pinned.
 */
#ifndef SLUICE_LIB_BLOCK_H
#define SLUICE_LIB_BLOCK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../sluice.h"

#define SLUICE_BLOCK_BYTES ((size_t) 64 << 10)
#define SLUICE_BLOCK_RECORDS 1024

typedef struct SluiceBlockRecord
{
	uint32_t	offset;			/* of its entry */
	uint32_t	length;			/* of its entry; 0: there is no record of this sequence here */
	uint32_t	size;			/* of payload and key */
	uint32_t	after;			/* when it was put: microseconds after the block's first */
	uint32_t	entity;			/* offset of its entity, a byte of length before it; 0: none */
	atomic_uint dropped;		/* 0: it is live; else by which capture of a group (group.c) that will be known */
} SluiceBlockRecord;

typedef struct SluiceBlockContent
{
	size_t		taken;			/* memory of all this */
	uint32_t	room;			/* records */
	uint32_t	count;
	uint32_t	end;			/* of the entries */
	uint32_t	entities;		/* they lie at the end, the newest first: where they begin */
	SluiceBlockRecord *records;
	uint8_t    *bytes;
} SluiceBlockContent;

typedef struct SluiceBlock
{
	uint64_t	first;
	uint64_t	last;
	uint64_t	live;			/* records neither settled nor dropped */
	uint64_t	bytes;			/* of their payloads and keys; an estimate once something went that was not in memory */
	uint64_t	length;			/* of all entries */
	uint32_t	largest;		/* payload and key */
	int64_t		at;				/* when the first was put, microseconds since 1970 */
	int			pins;			/* who reads the content now */
	bool		unlinked;		/* settled: it goes with the last pin */
	SluiceBlockContent *content;	/* NULL: in the store only */
	struct SluiceBlock *chain;	/* of a group, with how far it then went */
	uint64_t	chain_last;
} SluiceBlock;

/* What content takes that has room for an entry and an entity of these lengths. */
extern size_t sluice_block_takes(size_t entry_length, size_t entity_length);

/* An empty block that will begin with `first`; NULL: out of memory. */
extern SluiceBlock *sluice_block_create(uint64_t first, size_t entry_length, size_t entity_length);

/* A block that is in the store only. */
extern SluiceBlock *sluice_block_create_stored(uint64_t first);
extern void sluice_block_free(SluiceBlock *block);
extern void sluice_block_free_content(SluiceBlock *block);

extern bool sluice_block_fits(const SluiceBlock *block, size_t entry_length, size_t entity_length, int64_t at);

/* The next sequence; it fits. */
extern void sluice_block_append(SluiceBlock *block, const sluice_record *record, size_t entry_length, int64_t at);

/* A record in the store, at or above the next sequence: what is between is in gaps. */
extern void sluice_block_append_stored(SluiceBlock *block, uint64_t sequence, size_t entry_length, uint32_t size);

/* Payload and key of an entry. */
extern uint32_t sluice_block_stored_size(const uint8_t *entry, size_t entry_length);

/* The next sequence has no record. */
extern void sluice_block_skip(SluiceBlock *block, int64_t at);

/* Everything above sequence was never there; the block goes on at least to its first. */
extern void sluice_block_truncate(SluiceBlock *block, uint64_t sequence);

static inline SluiceBlockRecord *
sluice_block_record(const SluiceBlock *block, uint64_t sequence)
{
	return &block->content->records[sequence - block->first];
}

/* Is there, in memory, a record of this sequence of the block that was not dropped? */
static inline bool
sluice_block_holds(const SluiceBlock *block, uint64_t sequence)
{
	SluiceBlockRecord *record = sluice_block_record(block, sequence);

	return record->length > 0 && !atomic_load_explicit(&record->dropped, memory_order_relaxed);
}

#endif							/* SLUICE_LIB_BLOCK_H */
