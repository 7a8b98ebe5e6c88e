/*
 * tail.h
 *		The number that was given out last, in a page shared with the kernel.
 *
 * With durability interval and none numbers are given out below a durable
 * high-water mark before they are on disk.  After a power cut all of the mark is
 * declared as lost; after the mere death of the process this page tells how far
 * numbers were really given out.  It counts only within the boot that wrote it.
 */
#ifndef SLUICE_LIB_TAIL_H
#define SLUICE_LIB_TAIL_H

#include <stdbool.h>
#include <stdint.h>

typedef struct SluiceTail SluiceTail;

/* NULL: not possible (no memory, no such file system): then there is no tail, and all of the mark counts. */
extern SluiceTail *sluice_tail_open(const char *directory, const uint8_t producer_id[16]);
extern void sluice_tail_close(SluiceTail *tail);

/* What the last run in this boot, of this producer, gave out last.  False: not known. */
extern bool sluice_tail_read(const SluiceTail *tail, uint64_t *last);
extern void sluice_tail_write(SluiceTail *tail, uint64_t last);

#endif							/* SLUICE_LIB_TAIL_H */
