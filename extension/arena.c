/*
 * arena.c
 *		Memory that is freed at once.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "arena.h"

#define BLOCK_SIZE ((size_t) 8192)
#define ALIGNMENT ((size_t) 16)

struct SluiceArenaBlock
{
	SluiceArenaBlock *next;
	size_t		used;
	size_t		size;
	size_t		unused;			/* keeps data aligned */
	char		data[];
};

void *
sluice_arena_alloc(SluiceArena *arena, size_t n, size_t size)
{
	SluiceArenaBlock *block = arena->blocks;
	size_t		total;
	void	   *result;

	if (size > 0 && n > (SIZE_MAX / 2) / size)
		return NULL;
	total = (n * size + ALIGNMENT - 1) & ~(ALIGNMENT - 1);
	if (block == NULL || total > block->size - block->used)
	{
		size_t		capacity = total > BLOCK_SIZE ? total : BLOCK_SIZE;

		block = calloc(1, sizeof(SluiceArenaBlock) + capacity);
		if (block == NULL)
			return NULL;
		block->size = capacity;
		block->next = arena->blocks;
		arena->blocks = block;
	}
	result = block->data + block->used;
	block->used += total;
	return result;
}

char *
sluice_arena_copy(SluiceArena *arena, const char *data, size_t length)
{
	char	   *copy = sluice_arena_alloc(arena, length + 1, 1);

	if (copy != NULL && length > 0)
		memcpy(copy, data, length);
	return copy;
}

void
sluice_arena_free(SluiceArena *arena)
{
	SluiceArenaBlock *block = arena->blocks;

	while (block != NULL)
	{
		SluiceArenaBlock *next = block->next;

		free(block);
		block = next;
	}
	arena->blocks = NULL;
}
