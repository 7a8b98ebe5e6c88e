/*
 * leaves.h
 *		What lies in the leaf pages of a damaged buffer's file, in use or not.
 *
 * LMDB cannot be asked: it trusts what it reads.  Every page of the file is
 * looked at by itself; what has its checksum is what it was.  Pages that are free again
 * hold what was removed: the caller can tell by the numbers.
 */
#ifndef SLUICE_LIB_LEAVES_H
#define SLUICE_LIB_LEAVES_H

#include "store.h"

typedef struct SluiceLeaf
{
	uint64_t	sequence;
	uint64_t	at;				/* of the value in the file */
	uint32_t	size;
} SluiceLeaf;

typedef struct SluiceLeaves
{
	SluiceLeaf *records;		/* ascending, each sequence once */
	size_t		nrecords;
	SluiceStoreGap *gaps;		/* ascending, apart from each other */
	size_t		ngaps;
	bool		has_state;
	SluiceStoreState state;		/* the newest one found */

	int			fd;
	size_t		page_size;
	size_t		records_size;
	size_t		gaps_size;
	uint8_t    *value;			/* the one that was read last */
	size_t		value_size;
} SluiceLeaves;

/* ERROR_DISK, ERROR_MEMORY; sluice_leaves_close() in any case. */
extern int sluice_leaves_open(SluiceLeaves *leaves, const char *path);
extern void sluice_leaves_close(SluiceLeaves *leaves);

/* A record found, read again; good until the next call. */
extern int sluice_leaves_read(SluiceLeaves *leaves, const SluiceLeaf *leaf, SluiceStoreRecord *record);

#endif							/* SLUICE_LIB_LEAVES_H */
