/*
 * arena.h
 *		Memory that is freed at once: what one bound format keeps.
 */
#ifndef SLUICE_ARENA_H
#define SLUICE_ARENA_H

#include <stddef.h>

typedef struct SluiceArenaBlock SluiceArenaBlock;

typedef struct SluiceArena
{
	SluiceArenaBlock *blocks;
} SluiceArena;

/* Zeroed memory for n things of this size, or NULL. */
extern void *sluice_arena_alloc(SluiceArena *arena, size_t n, size_t size);
extern char *sluice_arena_copy(SluiceArena *arena, const char *data, size_t length);	/* with a NUL behind */
extern void sluice_arena_free(SluiceArena *arena);

#endif							/* SLUICE_ARENA_H */
