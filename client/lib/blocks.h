/*
 * blocks.h
 *		Blocks in the order of their sequences.
 */
#ifndef SLUICE_LIB_BLOCKS_H
#define SLUICE_LIB_BLOCKS_H

#include "block.h"

typedef struct SluiceBlocks
{
	SluiceBlock **blocks;
	size_t		size;			/* a power of two, or 0 */
	size_t		first;			/* index of the first, modulo size */
	size_t		count;
} SluiceBlocks;

/* Room for so many more; false: out of memory. */
extern bool sluice_blocks_reserve(SluiceBlocks *blocks, size_t more);

/* Behind the last, before the first one; there is room. */
extern void sluice_blocks_append(SluiceBlocks *blocks, SluiceBlock *block);
extern void sluice_blocks_prepend(SluiceBlocks *blocks, SluiceBlock *block);
extern void sluice_blocks_remove_first(SluiceBlocks *blocks);
extern void sluice_blocks_remove_last(SluiceBlocks *blocks);

/* The first block that has anything at or above sequence: its index, or count. */
extern size_t sluice_blocks_find(const SluiceBlocks *blocks, uint64_t sequence);

/* The block that covers sequence, or NULL. */
extern SluiceBlock *sluice_blocks_at(const SluiceBlocks *blocks, uint64_t sequence);

static inline SluiceBlock *
sluice_blocks_get(const SluiceBlocks *blocks, size_t index)
{
	return blocks->blocks[(blocks->first + index) & (blocks->size - 1)];
}

static inline SluiceBlock *
sluice_blocks_last(const SluiceBlocks *blocks)
{
	return blocks->count > 0 ? sluice_blocks_get(blocks, blocks->count - 1) : NULL;
}

#endif							/* SLUICE_LIB_BLOCKS_H */
