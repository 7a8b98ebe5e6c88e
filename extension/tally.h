/*
 * tally.h
 *		Counting verdicts in the shared statistics, once they are committed.
 */
#ifndef SLUICE_TALLY_H
#define SLUICE_TALLY_H

#include "postgres.h"

#include "record.h"

typedef struct SluiceTally
{
	int32		stream_id;
	SubTransactionId subid;
	uint64		conflicts;
	uint64		verdicts[SLUICE_REFUSED + 1];
} SluiceTally;

/* Count now: the transaction has committed. */
extern void sluice_tally_add(const SluiceTally *tally);

/* Count when the current transaction commits, unless its current subtransaction is rolled back. */
extern void sluice_tally_at_commit(const SluiceTally *tally);

#endif							/* SLUICE_TALLY_H */
