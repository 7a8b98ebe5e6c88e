/*
 * tally.c
 *		Counting verdicts in the shared statistics, once they are committed.
 */
#include "postgres.h"

#include "tally.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "shared.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

static List *pending = NIL;		/* of SluiceTally, newest first; in TopTransactionContext */

void
sluice_tally_add(const SluiceTally *tally)
{
	SluiceStreamCounters *counters = sluice_shared_stream_counters(MyDatabaseId, tally->stream_id);

	if (counters == NULL)
		return;
	pg_atomic_fetch_add_u64(&counters->stored, tally->verdicts[SLUICE_STORED]);
	pg_atomic_fetch_add_u64(&counters->duplicate, tally->verdicts[SLUICE_DUPLICATE]);
	pg_atomic_fetch_add_u64(&counters->dead_lettered, tally->verdicts[SLUICE_DEAD_LETTERED]);
	pg_atomic_fetch_add_u64(&counters->filtered, tally->verdicts[SLUICE_FILTERED]);
	pg_atomic_fetch_add_u64(&counters->key_conflicts, tally->conflicts);
	pg_atomic_fetch_add_u64(&counters->batches, 1);
	pg_atomic_write_u64(&counters->last_commit, (uint64) GetCurrentTimestamp());
}

static void
end_transaction(XactEvent event, void *arg)
{
	ListCell   *cell;

	if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT && event != XACT_EVENT_PREPARE)
		return;
	if (event == XACT_EVENT_COMMIT)
		foreach(cell, pending)
			sluice_tally_add(lfirst(cell));
	pending = NIL;
}

static void
end_subtransaction(SubXactEvent event, SubTransactionId subid, SubTransactionId parent, void *arg)
{
	if (event != SUBXACT_EVENT_ABORT_SUB)
		return;
	while (pending != NIL && ((SluiceTally *) linitial(pending))->subid >= subid)
		pending = list_delete_first(pending);
}

void
sluice_tally_at_commit(const SluiceTally *tally)
{
	static bool registered = false;
	MemoryContext old = MemoryContextSwitchTo(TopTransactionContext);
	SluiceTally *copy = palloc(sizeof(SluiceTally));

	if (!registered)
	{
		RegisterXactCallback(end_transaction, NULL);
		RegisterSubXactCallback(end_subtransaction, NULL);
		registered = true;
	}
	*copy = *tally;
	copy->subid = GetCurrentSubTransactionId();
	pending = lcons(copy, pending);
	MemoryContextSwitchTo(old);
}
