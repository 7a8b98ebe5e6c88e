/*
 * keys.c
 *		The tables of idempotency keys, within one transaction.
 *
 * Keys are looked up with a dirty snapshot, in the heap: an index entry alone
 * may belong to an aborted transaction, and believing it would lose the record.
 *
 * They are inserted by multi-insert and index insertion with
 * UNIQUE_CHECK_PARTIAL: the index tells "perhaps a conflict" instead of waiting
 * for the other transaction or raising an error.  Of two transactions that
 * insert one key at the same time the later one always sees the entry of the
 * earlier, as both look under the lock of the index page.
 */
#include "postgres.h"

#include "keys.h"

#include "access/heapam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog.h"
#include "catalog/index.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/uuid.h"

/* Columns of sluice.idempotency_keys_N. */
enum
{
	Anum_payload_hash = 1,
	Anum_key,
	Anum_stream,
	Anum_verdict,
	Natts_key = Anum_verdict
};

/* So many rows a heap_multi_insert. */
#define CHUNK 1000

static void
open_table(SluiceKeyTable *table, int generation)
{
	char		name[64];
	Oid			index;

	snprintf(name, sizeof(name), "idempotency_keys_%d", generation);
	table->heap = table_open(sluice_catalog_relation(name), RowExclusiveLock);
	index = RelationGetPrimaryKeyIndex(table->heap);
	if (!OidIsValid(index))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("relation \"%s.%s\" has no primary key", SLUICE_SCHEMA, name)));
	table->index = index_open(index, RowExclusiveLock);
	table->info = BuildIndexInfo(table->index);
	table->scan = NULL;
}

static void
close_table(SluiceKeyTable *table)
{
	if (table->heap == NULL)
		return;
	if (table->scan != NULL)
	{
		index_endscan(table->scan);
		ExecDropSingleTupleTableSlot(table->slot);
	}
	index_close(table->index, NoLock);
	table_close(table->heap, NoLock);
	table->heap = NULL;
}

/*
 * The greatest key of the previous generation, once that is frozen: time-ordered
 * keys lie above it and need no look-up.  An entry of an aborted transaction
 * may make it too great, which costs look-ups and nothing else.  Remembered for
 * the serial, as nothing is added to a frozen generation.
 */
static void
read_limit(SluiceKeys *keys)
{
	static int64 serial = -1;
	static Oid	database = InvalidOid;
	static uint8 limit[SLUICE_KEY_SIZE];
	SluiceKeyTable *table = &keys->previous;

	if (keys->generations.phase != SLUICE_PHASE_SETTLED)
		return;
	if (serial != keys->generations.serial || database != RelationGetRelid(table->heap))
	{
		IndexScanDesc scan = index_beginscan(table->heap, table->index, SnapshotAny, 0, 0);
		TupleTableSlot *slot = table_slot_create(table->heap, NULL);
		bool		isnull;

		index_rescan(scan, NULL, 0, NULL, 0);
		memset(limit, 0, sizeof(limit));
		if (index_getnext_slot(scan, BackwardScanDirection, slot))
			memcpy(limit, DatumGetUUIDP(slot_getattr(slot, Anum_key, &isnull))->data, SLUICE_KEY_SIZE);
		index_endscan(scan);
		ExecDropSingleTupleTableSlot(slot);
		serial = keys->generations.serial;
		database = RelationGetRelid(table->heap);
	}
	memcpy(keys->limit, limit, sizeof(limit));
	keys->has_limit = true;
}

void
sluice_keys_begin(SluiceKeys *keys)
{
	memset(keys, 0, sizeof(*keys));
	sluice_generations_read(&keys->generations);
	open_table(&keys->current, keys->generations.current);
	/* Before the first rotation nothing has ever been in the others. */
	if (keys->generations.serial <= 1)
		return;
	open_table(&keys->previous, keys->generations.previous);
	read_limit(keys);
}

void
sluice_keys_end(SluiceKeys *keys)
{
	close_table(&keys->current);
	close_table(&keys->previous);
}

static SluiceKeyState
probe_table(SluiceKeyTable *table, const uint8 *key, int32 stream, SluiceKeyFound *found)
{
	ScanKeyData scan_keys[2];
	bool		isnull;

	if (table->scan == NULL)
	{
		InitDirtySnapshot(table->dirty);
		table->scan = index_beginscan(table->heap, table->index, &table->dirty, 2, 0);
		table->slot = table_slot_create(table->heap, NULL);
	}
	ScanKeyInit(&scan_keys[0], 1, BTEqualStrategyNumber, F_UUID_EQ, UUIDPGetDatum((pg_uuid_t *) key));
	ScanKeyInit(&scan_keys[1], 2, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(stream));
	index_rescan(table->scan, scan_keys, 2, NULL, 0);
	if (!index_getnext_slot(table->scan, ForwardScanDirection, table->slot))
		return SLUICE_KEY_UNKNOWN;
	if (TransactionIdIsValid(table->dirty.xmin) || TransactionIdIsValid(table->dirty.xmax))
	{
		found->writer = TransactionIdIsValid(table->dirty.xmin) ? table->dirty.xmin : table->dirty.xmax;
		return SLUICE_KEY_BUSY;
	}
	found->payload_hash = DatumGetInt64(slot_getattr(table->slot, Anum_payload_hash, &isnull));
	found->verdict = DatumGetChar(slot_getattr(table->slot, Anum_verdict, &isnull));
	found->writer = DatumGetTransactionId(slot_getsysattr(table->slot, MinTransactionIdAttributeNumber, &isnull));
	return SLUICE_KEY_KNOWN;
}

SluiceKeyState
sluice_keys_probe(SluiceKeys *keys, const uint8 *key, int32 stream, bool skip_current, SluiceKeyFound *found)
{
	SluiceKeyState state = SLUICE_KEY_UNKNOWN;

	if (!skip_current)
		state = probe_table(&keys->current, key, stream, found);
	if (state != SLUICE_KEY_UNKNOWN || keys->previous.heap == NULL)
		return state;
	if (keys->has_limit && memcmp(key, keys->limit, SLUICE_KEY_SIZE) > 0)
		return SLUICE_KEY_UNKNOWN;
	return probe_table(&keys->previous, key, stream, found);
}

/* Delete the row of a key that is written anew.  False: another transaction was faster. */
static bool
delete_row(SluiceKeyTable *table, const SluiceKeyEntry *entry)
{
	SluiceKeyFound found;
	TM_FailureData failure;

	switch (probe_table(table, entry->key, entry->stream, &found))
	{
		case SLUICE_KEY_UNKNOWN:
			return true;
		case SLUICE_KEY_BUSY:
			return false;
		case SLUICE_KEY_KNOWN:
			break;
	}
	return table_tuple_delete(table->heap, &table->slot->tts_tid, GetCurrentCommandId(true),
							  GetLatestSnapshot(), InvalidSnapshot, false, &failure, false) == TM_Ok;
}

static void
fill_slot(TupleTableSlot *slot, const SluiceKeyEntry *entry)
{
	ExecClearTuple(slot);
	slot->tts_values[Anum_payload_hash - 1] = Int64GetDatum(entry->payload_hash);
	slot->tts_values[Anum_key - 1] = UUIDPGetDatum((pg_uuid_t *) entry->key);
	slot->tts_values[Anum_stream - 1] = Int32GetDatum(entry->stream);
	slot->tts_values[Anum_verdict - 1] = CharGetDatum(entry->verdict);
	memset(slot->tts_isnull, 0, sizeof(bool) * Natts_key);
	ExecStoreVirtualTuple(slot);
}

static bool
insert_chunk(SluiceKeyTable *table, TupleTableSlot **slots, SluiceKeyEntry *entries, int n, CommandId cid)
{
	for (int i = 0; i < n; i++)
		fill_slot(slots[i], &entries[i]);
	table_multi_insert(table->heap, slots, n, cid, 0, NULL);
	for (int i = 0; i < n; i++)
	{
		Datum		values[2] = {UUIDPGetDatum((pg_uuid_t *) entries[i].key), Int32GetDatum(entries[i].stream)};
		bool		nulls[2] = {false, false};

		if (!index_insert(table->index, values, nulls, &slots[i]->tts_tid, table->heap,
						  UNIQUE_CHECK_PARTIAL, false, table->info))
			return false;
	}
	return true;
}

/*
 * Slots for a chunk of rows, kept for the life of the session: their tuple
 * descriptor is a copy that belongs to us, so they pin nothing.  (Slots of a
 * relation's own descriptor would cost more to make and drop than their rows.)
 */
static TupleTableSlot **
chunk_slots(SluiceKeyTable *table)
{
	static TupleTableSlot **slots = NULL;
	MemoryContext old;
	TupleDesc	desc;
	TupleTableSlot **made;

	if (slots != NULL)
		return slots;
	old = MemoryContextSwitchTo(TopMemoryContext);
	desc = CreateTupleDescCopyConstr(RelationGetDescr(table->heap));
	made = palloc(sizeof(TupleTableSlot *) * CHUNK);
	for (int i = 0; i < CHUNK; i++)
		made[i] = MakeSingleTupleTableSlot(desc, table_slot_callbacks(table->heap));
	MemoryContextSwitchTo(old);
	slots = made;
	return slots;
}

static bool
insert_into(SluiceKeyTable *table, SluiceKeyEntry *entries, int n)
{
	CommandId	cid = GetCurrentCommandId(true);
	bool		inserted = true;

	for (int from = 0; from < n && inserted; from += CHUNK)
		inserted = insert_chunk(table, chunk_slots(table), entries + from, Min(CHUNK, n - from), cid);
	return inserted;
}

bool
sluice_keys_insert(SluiceKeys *keys, SluiceKeyEntry *entries, int n)
{
	bool		both = keys->generations.phase == SLUICE_PHASE_DOUBLE;

	if (n == 0)
		return true;
	for (int i = 0; i < n; i++)
		if (entries[i].replace &&
			(!delete_row(&keys->current, &entries[i]) ||
			 (both && !delete_row(&keys->previous, &entries[i]))))
			return false;
	CommandCounterIncrement();
	/* The previous one first: in the double phase it decides between old and new transactions. */
	if (both && !insert_into(&keys->previous, entries, n))
		return false;
	return insert_into(&keys->current, entries, n);
}
