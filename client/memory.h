/*
 * memory.h
 *		Memory for the programs of this directory, which cannot go on without.
 */
#ifndef SLUICE_MEMORY_H
#define SLUICE_MEMORY_H

#include <stddef.h>

/* As malloc and realloc, but end the program (status 3: records may be unacknowledged) when there is none. */
extern void *sluice_memory_get(size_t size);
extern void *sluice_memory_get_zeroed(size_t size);
extern void *sluice_memory_resize(void *memory, size_t size);

#endif							/* SLUICE_MEMORY_H */
