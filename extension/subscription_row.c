/*
 * subscription_row.c
 *		A row of sluice.subscriptions as it lies in the table.
 *
 * A position moves with every acknowledgement.  While somebody, somewhere, holds
 * an old snapshot, each leaves a dead version behind, and who looks for the row by an
 * index walks through all of them: a millisecond after 15,000 acknowledgements.
 * So a session remembers where it has seen the row, as it does for producers
 * (producers.c), and a version that leaves its page enters the indexes without
 * the check for uniqueness: its keys are those of the version before.
 */
#include "postgres.h"

#include "subscription_row.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog.h"
#include "catalog/index.h"
#include "executor/executor.h"
#include "stream.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

/* Columns of sluice.subscriptions. */
enum
{
	Anum_id = 1,
	Anum_position = 6,
	Anum_epoch,
	Anum_attempt_offset,
	Anum_attempts,
	Anum_losses,
	Anum_deleted = 14,
	Anum_consumer,
	Anum_started_at,
	Anum_last_ack_at,
	Natts_subscriptions = 18
};

/* Primary key, and name. */
#define INDEXES 2

typedef struct PlaceEntry
{
	int32		id;				/* hash key */
	ItemPointerData place;
} PlaceEntry;

static HTAB *places = NULL;

bool
sluice_subscription_row_place(int32 id, ItemPointer place)
{
	PlaceEntry *entry = places == NULL ? NULL : hash_search(places, &id, HASH_FIND, NULL);

	if (entry != NULL)
		*place = entry->place;
	return entry != NULL;
}

void
sluice_subscription_row_remember(int32 id, ItemPointer place)
{
	PlaceEntry *entry;

	if (places == NULL)
	{
		HASHCTL		ctl = {.keysize = sizeof(int32),.entrysize = sizeof(PlaceEntry),.hcxt = CacheMemoryContext};

		places = hash_create("sluice subscriptions", 64, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	entry = hash_search(places, &id, HASH_ENTER, NULL);
	entry->place = *place;
}

static void
set(TupleTableSlot *slot, int attnum, Datum value)
{
	slot->tts_values[attnum - 1] = value;
	slot->tts_isnull[attnum - 1] = false;
}

static void
fill_changed(TupleTableSlot *slot, const SluiceSubscription *subscription, SluiceSubscriptionChange change)
{
	Datum		now = TimestampTzGetDatum(GetCurrentTransactionStartTimestamp());

	set(slot, Anum_position, Int64GetDatum(subscription->position));
	set(slot, Anum_epoch, Int64GetDatum((int64) subscription->epoch));
	set(slot, Anum_attempt_offset, Int64GetDatum(subscription->attempt_offset));
	slot->tts_isnull[Anum_attempt_offset - 1] = subscription->attempts == 0;
	set(slot, Anum_attempts, Int32GetDatum(subscription->attempts));
	set(slot, Anum_losses, Int32GetDatum(subscription->losses));
	if (change.deleted)
		set(slot, Anum_deleted, Int64GetDatum(DatumGetInt64(slot->tts_values[Anum_deleted - 1]) + 1));
	if (change.consumer != NULL)
	{
		set(slot, Anum_consumer, CStringGetTextDatum(sluice_stream_text(change.consumer, strlen(change.consumer))));
		set(slot, Anum_started_at, now);
	}
	if (change.acknowledged)
		set(slot, Anum_last_ack_at, now);
}

/* Somebody has made further indexes on the table: as the executor does it, with the check. */
static void
index_everywhere(Relation heap, TupleTableSlot *slot)
{
	EState	   *estate = CreateExecutorState();
	ResultRelInfo *relation = makeNode(ResultRelInfo);

	InitResultRelInfo(relation, heap, 0, NULL, 0);
	ExecOpenIndices(relation, false);
	(void) ExecInsertIndexTuples(relation, slot, estate, false, false, NULL, NIL);
	ExecCloseIndices(relation);
	FreeExecutorState(estate);
}

static void
index_row(Relation heap, TupleTableSlot *slot)
{
	List	   *indexes = RelationGetIndexList(heap);
	ListCell   *cell;

	if (list_length(indexes) > INDEXES)
	{
		index_everywhere(heap, slot);
		return;
	}
	foreach(cell, indexes)
	{
		Relation	index = index_open(lfirst_oid(cell), RowExclusiveLock);
		IndexInfo  *info = BuildIndexInfo(index);
		Datum		values[INDEX_MAX_KEYS];
		bool		nulls[INDEX_MAX_KEYS];

		FormIndexDatum(info, slot, NULL, values, nulls);
		(void) index_insert(index, values, nulls, &slot->tts_tid, heap, UNIQUE_CHECK_NO, true, info);
		index_close(index, NoLock);
	}
}

static void
update_at(Relation heap, ItemPointer place, const SluiceSubscription *subscription, SluiceSubscriptionChange change)
{
	TupleTableSlot *slot = table_slot_create(heap, NULL);
	TupleTableSlot *changed = MakeSingleTupleTableSlot(RelationGetDescr(heap), &TTSOpsVirtual);
	TM_FailureData failure;
	LockTupleMode mode;
	bool		update_indexes;
	bool		isnull;
	TM_Result	result;

	if (!table_tuple_fetch_row_version(heap, place, SnapshotAny, slot) ||
		DatumGetInt32(slot_getattr(slot, Anum_id, &isnull)) != subscription->id)
		elog(ERROR, "a locked row of sluice.subscriptions is gone");
	ExecCopySlot(changed, slot);
	fill_changed(changed, subscription, change);
	/* Allowed to wait, but it has nobody to wait for: the lock on the row is ours. */
	result = table_tuple_update(heap, place, changed, GetCurrentCommandId(true), GetActiveSnapshot(), InvalidSnapshot,
								true, &failure, &mode, &update_indexes);
	if (result != TM_Ok)
		elog(ERROR, "unexpected result %d of updating a row of sluice.subscriptions", result);
	if (update_indexes)
		index_row(heap, changed);
	sluice_subscription_row_remember(subscription->id, &changed->tts_tid);
	ExecDropSingleTupleTableSlot(changed);
	ExecDropSingleTupleTableSlot(slot);
}

void
sluice_subscription_row_update(const SluiceSubscription *subscription, SluiceSubscriptionChange change)
{
	Relation	heap = table_open(sluice_catalog_relation("subscriptions"), RowExclusiveLock);
	ItemPointerData place;

	if (RelationGetNumberOfAttributes(heap) != Natts_subscriptions)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("relation \"%s.%s\" is not as the extension made it", SLUICE_SCHEMA, "subscriptions")));
	if (!sluice_subscription_row_place(subscription->id, &place))
		elog(ERROR, "subscription %d is not locked", subscription->id);
	PushActiveSnapshot(GetLatestSnapshot());
	update_at(heap, &place, subscription, change);
	PopActiveSnapshot();
	table_close(heap, NoLock);
	/* The next command of this transaction sees it. */
	CommandCounterIncrement();
}
