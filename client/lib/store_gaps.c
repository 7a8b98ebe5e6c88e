/*
 * store_gaps.c
 *		The gaps of the store, by their first sequence.
 *
 * A value is a CRC-32 of the first sequence and the rest, the reason, and the last sequence.
 */
#include "store_internal.h"

#include <string.h>

#include "../sluice.h"
#include "little_endian.h"

#define GAP_SIZE 16

bool
sluice_store_gap_decode(uint64_t from, const MDB_val *value, SluiceStoreGap *gap)
{
	const uint8_t *bytes = value->mv_data;

	if (value->mv_size != GAP_SIZE || sluice_get_u32(bytes) != sluice_store_crc(from, bytes, GAP_SIZE))
		return false;
	gap->from = from;
	gap->reason = (int) sluice_get_u32(bytes + 4);
	gap->to = sluice_get_u64(bytes + 8);
	return true;
}

static int
damaged_gap(SluiceStore *store, bool writing, uint64_t from)
{
	return sluice_store_fail(store, writing, SLUICE_ERROR_DAMAGED, "the gap from %llu on is damaged",
							 (unsigned long long) from);
}

int
sluice_store_put_gap(SluiceStore *store, const SluiceStoreGap *gap)
{
	uint8_t		bytes[GAP_SIZE];
	MDB_val		key = sluice_store_key(&gap->from);
	MDB_val		value = {.mv_size = sizeof(bytes), .mv_data = bytes};
	int			rc = sluice_store_writing(store);

	if (rc != SLUICE_OK)
		return rc;
	sluice_put_u32(bytes + 4, (uint32_t) gap->reason);
	sluice_put_u64(bytes + 8, gap->to);
	sluice_put_u32(bytes, sluice_store_crc(gap->from, bytes, GAP_SIZE));
	rc = mdb_put(store->writing, store->gaps_db, &key, &value, MDB_NOOVERWRITE);
	if (rc == 0)
		store->next_totals.gaps++;
	else if (rc == MDB_KEYEXIST)
	{
		value = (MDB_val) {.mv_size = sizeof(bytes), .mv_data = bytes};
		rc = mdb_put(store->writing, store->gaps_db, &key, &value, 0);
	}
	return rc == 0 ? SLUICE_OK : sluice_store_fail_lmdb(store, true, rc, "write a gap");
}

int
sluice_store_remove_gap(SluiceStore *store, uint64_t from)
{
	MDB_val		key = sluice_store_key(&from);
	int			rc = sluice_store_writing(store);

	if (rc != SLUICE_OK)
		return rc;
	rc = mdb_del(store->writing, store->gaps_db, &key, NULL);
	if (rc == MDB_NOTFOUND)
		return SLUICE_OK;
	if (rc != 0)
		return sluice_store_fail_lmdb(store, true, rc, "remove a gap");
	store->next_totals.gaps--;
	return SLUICE_OK;
}

/* The first gap, if it begins at or before sequence, goes. */
static int
remove_first(SluiceStore *store, MDB_cursor *cursor, uint64_t sequence, SluiceStoreGap *gap, bool *removed)
{
	MDB_val		key,
				value;
	uint64_t	from;
	int			rc = mdb_cursor_get(cursor, &key, &value, MDB_FIRST);

	*removed = false;
	if (rc == MDB_NOTFOUND)
		return SLUICE_OK;
	if (rc != 0)
		return sluice_store_fail_lmdb(store, true, rc, "find a gap");
	memcpy(&from, key.mv_data, sizeof(from));
	if (from > sequence)
		return SLUICE_OK;
	if (!sluice_store_gap_decode(from, &value, gap))
		return damaged_gap(store, true, from);
	rc = mdb_cursor_del(cursor, 0);
	if (rc != 0)
		return sluice_store_fail_lmdb(store, true, rc, "remove a gap");
	store->next_totals.gaps--;
	*removed = true;
	return SLUICE_OK;
}

int
sluice_store_remove_gaps_through(SluiceStore *store, uint64_t sequence)
{
	MDB_cursor *cursor;
	SluiceStoreGap gap = {0};
	bool		removed = true;
	int			rc = sluice_store_writing(store);

	if (rc != SLUICE_OK)
		return rc;
	rc = mdb_cursor_open(store->writing, store->gaps_db, &cursor);
	if (rc != 0)
		return sluice_store_fail_lmdb(store, true, rc, "find a gap");
	while (rc == SLUICE_OK && removed)
		rc = remove_first(store, cursor, sequence, &gap, &removed);
	mdb_cursor_close(cursor);
	if (rc != SLUICE_OK || gap.to <= sequence)
		return rc;
	gap.from = sequence + 1;
	return sluice_store_put_gap(store, &gap);
}

/* Gaps in it are not needed any more, and one that goes on above it keeps the rest; nor is what was settled and not removed yet. */
int
sluice_store_put_previous(SluiceStore *store, uint64_t sequence)
{
	SluiceStoreGap gap = {1, sequence, SLUICE_REASON_PREVIOUS_STREAM};
	size_t		removed;
	int			rc;

	if (sequence == 0)
		return SLUICE_OK;
	rc = sluice_store_remove_through(store, sequence, SIZE_MAX, &removed);
	if (rc == SLUICE_OK)
		rc = sluice_store_remove_gaps_through(store, sequence);
	return rc == SLUICE_OK ? sluice_store_put_gap(store, &gap) : rc;
}

/* The key of the last gap before `from`, which may go on above it; `from` where there is none. */
static int
gap_before(SluiceStore *store, uint64_t from, uint64_t *before)
{
	MDB_txn    *txn;
	MDB_cursor *cursor;
	MDB_val		key = sluice_store_key(&from);
	MDB_val		value;
	int			code = sluice_store_read_begin(store, &txn);
	int			rc;

	*before = from;
	if (code != SLUICE_OK)
		return code;
	rc = mdb_cursor_open(txn, store->gaps_db, &cursor);
	if (rc == 0)
	{
		rc = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
		if (rc == 0 || rc == MDB_NOTFOUND)
			rc = mdb_cursor_get(cursor, &key, &value, rc == 0 ? MDB_PREV : MDB_LAST);
		if (rc == 0)
			memcpy(before, key.mv_data, sizeof(*before));
		mdb_cursor_close(cursor);
	}
	if (rc != 0 && rc != MDB_NOTFOUND)
		code = sluice_store_fail_lmdb(store, false, rc, "read the buffer");
	sluice_store_read_end(store, txn);
	return code;
}

typedef struct GapScan
{
	SluiceStore *store;
	uint64_t	from;
	SluiceStoreVisitGap visit;
	void	   *argument;
} GapScan;

static bool
scan_entry(void *argument, uint64_t from, const MDB_val *value, int *code)
{
	GapScan    *scan = argument;
	SluiceStoreGap gap;

	if (!sluice_store_gap_decode(from, value, &gap))
	{
		*code = damaged_gap(scan->store, false, from);
		return false;
	}
	return gap.to < scan->from || scan->visit(scan->argument, &gap);
}

int
sluice_store_scan_gaps(SluiceStore *store, uint64_t from, SluiceStoreVisitGap visit, void *argument)
{
	GapScan		scan = {.store = store, .from = from, .visit = visit, .argument = argument};
	uint64_t	first;
	int			rc = gap_before(store, from, &first);

	return rc != SLUICE_OK ? rc : sluice_store_walk(store, store->gaps_db, first, scan_entry, &scan);
}
