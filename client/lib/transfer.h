/*
 * transfer.h
 *		Records and gaps from elsewhere into a store, numbered anew.
 *
 * What is added gets the next numbers, in the order in which it is added.  It is
 * committed in pieces, so that memory stays bounded; all is on disk after
 * sluice_transfer_end().
 */
#ifndef SLUICE_LIB_TRANSFER_H
#define SLUICE_LIB_TRANSFER_H

#include "store.h"

typedef struct SluiceTransfer
{
	SluiceStore *store;
	SluiceStoreState state;		/* of the store, with the next number */
	uint8_t    *scratch;		/* an entry with its new number */
	size_t		scratch_size;
	size_t		uncommitted;
	uint64_t	records;		/* added */
	uint64_t	declared;		/* sequences of the gaps added */
	int			code;			/* the first error: nothing is added any more */
} SluiceTransfer;

/* The store is open for writing, and nothing is being written. */
extern void sluice_transfer_begin(SluiceTransfer *transfer, SluiceStore *store);

/* Record: as it was kept under its old number.  DAMAGED: its bytes are no record. */
extern int sluice_transfer_record(SluiceTransfer *transfer, const SluiceStoreRecord *record);

/* So many sequences that are not there. */
extern int sluice_transfer_gap(SluiceTransfer *transfer, uint64_t count, int reason);
extern int sluice_transfer_end(SluiceTransfer *transfer);

#endif							/* SLUICE_LIB_TRANSFER_H */
