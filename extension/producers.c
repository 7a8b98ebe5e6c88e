/*
 * producers.c
 *		The rows of sluice.producers, within one transaction.
 */
#include "postgres.h"

#include "producers.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog.h"
#include "catalog/index.h"
#include "executor/executor.h"
#include "storage/bufmgr.h"
#include "utils/fmgroids.h"
#include "utils/pg_crc.h"
#include "utils/snapmgr.h"
#include "utils/uuid.h"

/* Columns of sluice.producers. */
enum
{
	Anum_stream = 1,
	Anum_producer,
	Anum_last_sequence,
	Anum_nonce,
	Anum_epoch,
	Anum_accounts,				/* SLUICE_ACCOUNTS of them */
	Anum_resent = Anum_accounts + SLUICE_ACCOUNTS,
	Anum_opened_at,
	Anum_retired,
	Anum_last_crc,
	Natts_producers = Anum_last_crc
};

void
sluice_producers_begin(SluiceProducers *producers)
{
	producers->heap = table_open(sluice_catalog_relation("producers"), RowExclusiveLock);
	if (RelationGetNumberOfAttributes(producers->heap) != Natts_producers)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("relation \"%s.%s\" is not as the extension made it", SLUICE_SCHEMA, "producers")));
	producers->index = index_open(RelationGetPrimaryKeyIndex(producers->heap), RowExclusiveLock);
	producers->has_other_indexes = list_length(RelationGetIndexList(producers->heap)) > 1;
	producers->slot = table_slot_create(producers->heap, NULL);
	producers->changed = MakeSingleTupleTableSlot(RelationGetDescr(producers->heap), &TTSOpsVirtual);
}

void
sluice_producers_end(SluiceProducers *producers)
{
	if (producers->heap == NULL)
		return;
	ExecDropSingleTupleTableSlot(producers->changed);
	ExecDropSingleTupleTableSlot(producers->slot);
	index_close(producers->index, NoLock);
	table_close(producers->heap, NoLock);
	producers->heap = NULL;
}

static bool
is_row_of(TupleTableSlot *slot, int32 stream, const SluiceProducer *producer)
{
	bool		isnull;

	return DatumGetInt32(slot_getattr(slot, Anum_stream, &isnull)) == stream &&
		memcmp(DatumGetUUIDP(slot_getattr(slot, Anum_producer, &isnull))->data, producer->id, SLUICE_PRODUCER_SIZE) == 0;
}

/* The version at the place where it was seen last: anything may be there by now. */
static bool
fetch_remembered(SluiceProducers *producers, int32 stream, const SluiceProducer *producer, Snapshot snapshot)
{
	ItemPointerData tid;

	if (producer->offset == 0 || producer->block >= RelationGetNumberOfBlocks(producers->heap))
		return false;
	ItemPointerSet(&tid, producer->block, producer->offset);
	return table_tuple_fetch_row_version(producers->heap, &tid, snapshot, producers->slot) &&
		is_row_of(producers->slot, stream, producer);
}

static bool
fetch_by_index(SluiceProducers *producers, int32 stream, const SluiceProducer *producer, Snapshot snapshot)
{
	IndexScanDesc scan = index_beginscan(producers->heap, producers->index, snapshot, 2, 0);
	ScanKeyData keys[2];
	bool		found;

	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(stream));
	ScanKeyInit(&keys[1], 2, BTEqualStrategyNumber, F_UUID_EQ, UUIDPGetDatum((pg_uuid_t *) producer->id));
	index_rescan(scan, keys, 2, NULL, 0);
	found = index_getnext_slot(scan, ForwardScanDirection, producers->slot);
	index_endscan(scan);
	return found;
}

static int64
number(TupleTableSlot *slot, int attnum)
{
	bool		isnull;

	return DatumGetInt64(slot_getattr(slot, attnum, &isnull));
}

static void
read_row(TupleTableSlot *slot, SluiceProducerRow *row)
{
	row->last_sequence = number(slot, Anum_last_sequence);
	row->nonce = (uint64) number(slot, Anum_nonce);
	row->epoch = (uint64) number(slot, Anum_epoch);
	for (int i = 0; i < SLUICE_ACCOUNTS; i++)
		row->accounts[i] = number(slot, Anum_accounts + i);
	row->resent = number(slot, Anum_resent);
	row->last_crc = (uint32) DatumGetInt64(slot_getattr(slot, Anum_last_crc, &row->last_is_gap));
	row->tid = slot->tts_tid;
}

static void
remember_place(SluiceProducer *producer, const ItemPointerData *tid)
{
	producer->block = ItemPointerGetBlockNumber(tid);
	producer->offset = ItemPointerGetOffsetNumber(tid);
}

/* What was fetched, locked in its newest version. */
static SluiceProducerLock
lock_fetched(SluiceProducers *producers, Snapshot snapshot)
{
	ItemPointerData tid = producers->slot->tts_tid;
	TM_FailureData failure;
	TM_Result	result = table_tuple_lock(producers->heap, &tid, snapshot, producers->slot, GetCurrentCommandId(true),
										  LockTupleNoKeyExclusive, LockWaitSkip,
										  TUPLE_LOCK_FLAG_FIND_LAST_VERSION, &failure);

	switch (result)
	{
		case TM_Ok:
			return SLUICE_PRODUCER_LOCKED;
		case TM_WouldBlock:
		case TM_Updated:		/* at this moment */
			return SLUICE_PRODUCER_BUSY;
		case TM_Deleted:
			return SLUICE_PRODUCER_MISSING;
		default:
			elog(ERROR, "unexpected result %d of locking a row of sluice.producers", result);
	}
}

SluiceProducerLock
sluice_producers_lock(SluiceProducers *producers, int32 stream, SluiceProducer *producer, SluiceProducerRow *row)
{
	SluiceProducerLock result = SLUICE_PRODUCER_MISSING;
	Snapshot	snapshot;

	PushActiveSnapshot(GetLatestSnapshot());
	snapshot = GetActiveSnapshot();
	if (fetch_remembered(producers, stream, producer, snapshot) ||
		fetch_by_index(producers, stream, producer, snapshot))
		result = lock_fetched(producers, snapshot);
	if (result == SLUICE_PRODUCER_LOCKED)
	{
		read_row(producers->slot, row);
		remember_place(producer, &row->tid);
	}
	ExecClearTuple(producers->slot);
	PopActiveSnapshot();
	return result;
}

/* The proof that nothing was lost sight of: what the table's CHECK says of other writers. */
static void
check_account(const SluiceProducerRow *row)
{
	int64		sum = 0;

	for (int i = 0; i < SLUICE_ACCOUNTS; i++)
		sum += row->accounts[i];
	if (sum != row->last_sequence)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("the account of a producer does not add up: " INT64_FORMAT " of " INT64_FORMAT " sequences",
						sum, row->last_sequence)));
}

static void
fill_changed(SluiceProducers *producers, const SluiceProducerRow *row)
{
	TupleTableSlot *slot = producers->changed;

	ExecCopySlot(slot, producers->slot);
	slot->tts_values[Anum_last_sequence - 1] = Int64GetDatum(row->last_sequence);
	slot->tts_values[Anum_nonce - 1] = Int64GetDatum((int64) row->nonce);
	slot->tts_values[Anum_epoch - 1] = Int64GetDatum((int64) row->epoch);
	for (int i = 0; i < SLUICE_ACCOUNTS; i++)
		slot->tts_values[Anum_accounts + i - 1] = Int64GetDatum(row->accounts[i]);
	slot->tts_values[Anum_resent - 1] = Int64GetDatum(row->resent);
	slot->tts_values[Anum_last_crc - 1] = Int64GetDatum((int64) row->last_crc);
	slot->tts_isnull[Anum_last_crc - 1] = row->last_is_gap;
}

/* Somebody has made further indexes on the table: as the executor does it, with the check. */
static void
index_row_everywhere(SluiceProducers *producers)
{
	EState	   *estate = CreateExecutorState();
	ResultRelInfo *relation = makeNode(ResultRelInfo);

	InitResultRelInfo(relation, producers->heap, 0, NULL, 0);
	ExecOpenIndices(relation, false);
	(void) ExecInsertIndexTuples(relation, producers->changed, estate, false, false, NULL, NIL);
	ExecCloseIndices(relation);
	FreeExecutorState(estate);
}

/*
 * A version that found no room on its page enters the index.  Its key is that of
 * the version before, so it cannot be anybody else's: the check for uniqueness,
 * which would walk through every dead version, is left out.
 */
static void
index_row(SluiceProducers *producers)
{
	TupleTableSlot *slot = producers->changed;
	Datum		values[2] = {slot->tts_values[Anum_stream - 1], slot->tts_values[Anum_producer - 1]};
	bool		nulls[2] = {false, false};

	(void) index_insert(producers->index, values, nulls, &slot->tts_tid, producers->heap,
						UNIQUE_CHECK_NO, true, BuildIndexInfo(producers->index));
}

void
sluice_producers_update(SluiceProducers *producers, SluiceProducer *producer, const SluiceProducerRow *row)
{
	ItemPointerData tid = row->tid;
	TM_FailureData failure;
	LockTupleMode mode;
	bool		update_index;
	TM_Result	result;

	check_account(row);
	PushActiveSnapshot(GetLatestSnapshot());
	if (!table_tuple_fetch_row_version(producers->heap, &tid, SnapshotAny, producers->slot))
		elog(ERROR, "a locked row of sluice.producers is gone");
	fill_changed(producers, row);
	/* Allowed to wait, but it has nobody to wait for: the lock on the row is ours. */
	result = table_tuple_update(producers->heap, &tid, producers->changed, GetCurrentCommandId(true),
								GetActiveSnapshot(), InvalidSnapshot, true, &failure, &mode, &update_index);
	if (result != TM_Ok)
		elog(ERROR, "unexpected result %d of updating a row of sluice.producers", result);
	if (update_index && producers->has_other_indexes)
		index_row_everywhere(producers);
	else if (update_index)
		index_row(producers);
	remember_place(producer, &producers->changed->tts_tid);
	ExecClearTuple(producers->changed);
	ExecClearTuple(producers->slot);
	PopActiveSnapshot();
}

uint32
sluice_producers_crc(const void *payload, size_t length)
{
	pg_crc32	crc;

	INIT_TRADITIONAL_CRC32(crc);
	COMP_TRADITIONAL_CRC32(crc, payload, length);
	FIN_TRADITIONAL_CRC32(crc);
	return crc;
}
