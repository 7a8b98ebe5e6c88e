/*
 * generations.c
 *		The three generations of idempotency keys, and their rotation.
 */
#include "postgres.h"

#include "generations.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

/* Columns of sluice.key_generations. */
enum
{
	Anum_serial = 2,
	Anum_current,
	Anum_phase,
	Anum_spare_empty,
	Anum_settled_at
};

static Datum
column(HeapTuple tuple, Relation rel, int attnum)
{
	bool		isnull;

	return heap_getattr(tuple, attnum, RelationGetDescr(rel), &isnull);
}

static void
read_pointer(Relation rel, SluiceGenerations *generations)
{
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	SysScanDesc scan = systable_beginscan(rel, InvalidOid, false, snapshot, 0, NULL);
	HeapTuple	tuple = systable_getnext(scan);

	*generations = (SluiceGenerations) {.phase = SLUICE_PHASE_SETTLED, .spare_empty = true, .settled_at = 0};
	if (HeapTupleIsValid(tuple))
	{
		generations->serial = DatumGetInt64(column(tuple, rel, Anum_serial));
		generations->current = DatumGetInt16(column(tuple, rel, Anum_current));
		generations->phase = DatumGetChar(column(tuple, rel, Anum_phase));
		generations->spare_empty = DatumGetBool(column(tuple, rel, Anum_spare_empty));
		generations->settled_at = DatumGetTimestampTz(column(tuple, rel, Anum_settled_at));
	}
	generations->previous = (generations->current + 2) % 3;
	generations->spare = (generations->current + 1) % 3;
	systable_endscan(scan);
	UnregisterSnapshot(snapshot);
}

void
sluice_generations_read(SluiceGenerations *generations)
{
	Relation	rel = table_open(sluice_catalog_relation("key_generations"), RowExclusiveLock);

	read_pointer(rel, generations);
	table_close(rel, NoLock);
}

/*
 * Those who held the pointer's lock at some moment and may therefore know an
 * older state.  Collected once for a state (its serial), never anew: under
 * steady load there is always somebody, but nobody stays.
 */
static int64 waiting_serial = -1;
static VirtualTransactionId *waiting = NULL;

static bool
others_have_ended(Relation rel, int64 serial)
{
	if (waiting_serial != serial)
	{
		LOCKTAG		tag;
		VirtualTransactionId *holders;
		int			n;

		if (waiting != NULL)
			pfree(waiting);
		waiting = NULL;
		waiting_serial = -1;
		SET_LOCKTAG_RELATION(tag, MyDatabaseId, RelationGetRelid(rel));
		holders = GetLockConflicts(&tag, ShareLock, &n);
		waiting = MemoryContextAlloc(TopMemoryContext, sizeof(VirtualTransactionId) * (n + 1));
		memcpy(waiting, holders, sizeof(VirtualTransactionId) * (n + 1));
		waiting_serial = serial;
	}
	for (VirtualTransactionId *v = waiting; VirtualTransactionIdIsValid(*v); v++)
		if (!VirtualXactLock(*v, false))
			return false;
	return true;
}

static void
write_pointer(const SluiceGenerations *generations)
{
	Oid			types[] = {INT8OID, INT2OID, CHAROID, BOOLOID, TIMESTAMPTZOID};
	Datum		values[] = {
		Int64GetDatum(generations->serial + 1), Int16GetDatum(generations->current),
		CharGetDatum(generations->phase), BoolGetDatum(generations->spare_empty),
		TimestampTzGetDatum(generations->settled_at)
	};

	(void) sluice_catalog_execute("INSERT INTO sluice.key_generations (serial, current, phase, spare_empty, settled_at) "
								  "VALUES ($1, $2, $3, $4, $5) ON CONFLICT (singleton) DO UPDATE SET serial = $1, "
								  "current = $2, phase = $3, spare_empty = $4, settled_at = $5",
								  5, types, values, NULL, SPI_OK_INSERT);
}

/* The longest window of all streams: keys of all streams share the generations. */
static bool
window_is_over(TimestampTz settled_at, TimestampTz now)
{
	Oid			types[] = {TIMESTAMPTZOID, TIMESTAMPTZOID};
	Datum		values[] = {TimestampTzGetDatum(settled_at), TimestampTzGetDatum(now)};
	bool		isnull;

	(void) sluice_catalog_execute("SELECT COALESCE(bool_and($1 + idempotency_window < $2), false) FROM sluice.streams",
								  2, types, values, NULL, SPI_OK_SELECT);
	return DatumGetBool(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
}

static const char *
generation_name(int generation)
{
	return psprintf("idempotency_keys_%d", generation);
}

/* TRUNCATE the spare, under a lock taken only when it is free at once. */
static SluiceGenerationStep
empty_spare(SluiceGenerations *generations)
{
	if (!ConditionalLockRelationOid(sluice_catalog_relation(generation_name(generations->spare)), AccessExclusiveLock))
		return SLUICE_STEP_BLOCKED;
	(void) sluice_catalog_execute(psprintf("TRUNCATE ONLY sluice.%s", generation_name(generations->spare)),
								  0, NULL, NULL, NULL, SPI_OK_UTILITY);
	generations->spare_empty = true;
	write_pointer(generations);
	return SLUICE_STEP_DONE;
}

/*
 * Keys of open dead letters live as long as these: put into the current
 * generation, which will be the previous one, where they are not yet.
 */
static void
carry_dead_letter_keys(const SluiceGenerations *generations)
{
	(void) sluice_catalog_execute(psprintf("INSERT INTO sluice.%s (payload_hash, key, stream, verdict) "
										   "SELECT DISTINCT ON (p.key, p.stream) p.payload_hash, p.key, p.stream, p.verdict "
										   "FROM sluice.%s p JOIN sluice.dead_letters d "
										   "ON d.stream = p.stream AND d.key = p.key AND d.state = 'open' "
										   "ON CONFLICT DO NOTHING",
										   generation_name(generations->current), generation_name(generations->previous)),
								  0, NULL, NULL, NULL, SPI_OK_INSERT);
}

static SluiceGenerationStep
begin_rotation(SluiceGenerations *generations)
{
	carry_dead_letter_keys(generations);
	generations->current = generations->spare;
	generations->phase = SLUICE_PHASE_DOUBLE;
	generations->spare_empty = false;
	write_pointer(generations);
	return SLUICE_STEP_DONE;
}

static SluiceGenerationStep
end_phase(Relation rel, SluiceGenerations *generations, TimestampTz now)
{
	if (!others_have_ended(rel, generations->serial))
		return SLUICE_STEP_BLOCKED;
	if (generations->phase == SLUICE_PHASE_DOUBLE)
		generations->phase = SLUICE_PHASE_PASSING;
	else
	{
		generations->phase = SLUICE_PHASE_SETTLED;
		generations->settled_at = now;
	}
	write_pointer(generations);
	return SLUICE_STEP_DONE;
}

static SluiceGenerationStep
take_step(Relation rel, TimestampTz now)
{
	SluiceGenerations generations;

	read_pointer(rel, &generations);
	if (generations.phase != SLUICE_PHASE_SETTLED)
		return end_phase(rel, &generations, now);
	if (!generations.spare_empty)
		return empty_spare(&generations);
	if (generations.serial == 0)
	{
		/* The first time: the window counts from now. */
		generations.settled_at = now;
		write_pointer(&generations);
		return SLUICE_STEP_DONE;
	}
	return window_is_over(generations.settled_at, now) ? begin_rotation(&generations) : SLUICE_STEP_IDLE;
}

SluiceGenerationStep
sluice_generations_step(TimestampTz now)
{
	Oid			relid = sluice_catalog_relation("key_generations");
	Relation	rel;
	SluiceGenerationStep step;

	if (!ConditionalLockRelationOid(relid, ShareUpdateExclusiveLock))
		return SLUICE_STEP_BLOCKED;
	rel = table_open(relid, NoLock);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	PushActiveSnapshot(GetTransactionSnapshot());
	step = take_step(rel, now);
	PopActiveSnapshot();
	if (SPI_finish() != SPI_OK_FINISH)
		elog(ERROR, "SPI_finish failed");
	table_close(rel, NoLock);
	return step;
}
