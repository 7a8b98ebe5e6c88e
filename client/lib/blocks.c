/*
 * blocks.c
 *		Blocks in the order of their sequences: a ring of pointers.
 */
#include "blocks.h"

#include <stdlib.h>

#define SIZE_FIRST 64

bool
sluice_blocks_reserve(SluiceBlocks *blocks, size_t more)
{
	size_t		size = blocks->size > 0 ? blocks->size : SIZE_FIRST;
	SluiceBlock **larger;

	if (blocks->count + more <= blocks->size)
		return true;
	while (size < blocks->count + more)
		size *= 2;
	larger = malloc(size * sizeof(SluiceBlock *));
	if (larger == NULL)
		return false;
	for (size_t i = 0; i < blocks->count; i++)
		larger[i] = sluice_blocks_get(blocks, i);
	free(blocks->blocks);
	blocks->blocks = larger;
	blocks->size = size;
	blocks->first = 0;
	return true;
}

void
sluice_blocks_append(SluiceBlocks *blocks, SluiceBlock *block)
{
	blocks->blocks[(blocks->first + blocks->count++) & (blocks->size - 1)] = block;
}

void
sluice_blocks_prepend(SluiceBlocks *blocks, SluiceBlock *block)
{
	blocks->first = (blocks->first - 1) & (blocks->size - 1);
	blocks->blocks[blocks->first] = block;
	blocks->count++;
}

void
sluice_blocks_remove_first(SluiceBlocks *blocks)
{
	blocks->first = (blocks->first + 1) & (blocks->size - 1);
	blocks->count--;
}

void
sluice_blocks_remove_last(SluiceBlocks *blocks)
{
	blocks->count--;
}

size_t
sluice_blocks_find(const SluiceBlocks *blocks, uint64_t sequence)
{
	size_t		low = 0;
	size_t		high = blocks->count;

	while (low < high)
	{
		size_t		middle = low + (high - low) / 2;

		if (sluice_blocks_get(blocks, middle)->last < sequence)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

SluiceBlock *
sluice_blocks_at(const SluiceBlocks *blocks, uint64_t sequence)
{
	size_t		index = sluice_blocks_find(blocks, sequence);
	SluiceBlock *block = index < blocks->count ? sluice_blocks_get(blocks, index) : NULL;

	return block != NULL && block->first <= sequence ? block : NULL;
}
