/*
 * store_records.c
 *		The records of the store, by sequence.
 *
 * A value is a head of 16 bytes (CRC-32 of the sequence and all that follows,
 * length of the entity, time), the entity, and the bytes of the record.
 */
#include "store_internal.h"

#include <string.h>
#include <zlib.h>

#include "../sluice.h"
#include "little_endian.h"

#define HEAD_SIZE 16
#define RECORD_LENGTH_MAX (UINT32_MAX - 4096)

/* What a record takes of the map beside its bytes, at most on small pages: entry, pointer, head. */
#define ENTRY_OVERHEAD 32

uint32_t
sluice_store_crc(uint64_t sequence, const uint8_t *value, size_t size)
{
	uint8_t		number[8];
	uLong		crc;

	sluice_put_u64(number, sequence);
	crc = crc32(0, number, sizeof(number));
	return (uint32_t) crc32_z(crc, value + 4, size - 4);
}

bool
sluice_store_record_decode(uint64_t sequence, const MDB_val *value, SluiceStoreRecord *record)
{
	const uint8_t *bytes = value->mv_data;
	uint32_t	entity_length;

	if (value->mv_size < HEAD_SIZE || value->mv_size - HEAD_SIZE > UINT32_MAX ||
		sluice_get_u32(bytes) != sluice_store_crc(sequence, bytes, value->mv_size))
		return false;
	entity_length = sluice_get_u32(bytes + 4);
	if (entity_length > value->mv_size - HEAD_SIZE)
		return false;
	record->sequence = sequence;
	record->at = (int64_t) sluice_get_u64(bytes + 8);
	record->entity = entity_length > 0 ? (const char *) bytes + HEAD_SIZE : NULL;
	record->entity_length = entity_length;
	record->bytes = bytes + HEAD_SIZE + entity_length;
	record->length = (uint32_t) (value->mv_size - HEAD_SIZE - entity_length);
	return true;
}

static void
record_encode(const SluiceStoreRecord *record, uint8_t *bytes, size_t size)
{
	sluice_put_u32(bytes + 4, record->entity_length);
	sluice_put_u64(bytes + 8, (uint64_t) record->at);
	if (record->entity_length > 0)
		memcpy(bytes + HEAD_SIZE, record->entity, record->entity_length);
	if (record->length > 0)
		memcpy(bytes + HEAD_SIZE + record->entity_length, record->bytes, record->length);
	sluice_put_u32(bytes, sluice_store_crc(record->sequence, bytes, size));
}

/* Only its head is looked at: what goes need not be whole, but the sums must be right. */
static uint32_t
value_length(const MDB_val *value)
{
	uint64_t	before;

	if (value->mv_size < HEAD_SIZE)
		return 0;
	before = HEAD_SIZE + (uint64_t) sluice_get_u32((const uint8_t *) value->mv_data + 4);
	return before <= value->mv_size ? (uint32_t) (value->mv_size - before) : 0;
}

static int
find_highest(SluiceStore *store)
{
	MDB_val		key,
				value;
	int			rc = mdb_cursor_get(store->cursor, &key, &value, MDB_LAST);

	store->highest = 0;
	if (rc == 0)
		memcpy(&store->highest, key.mv_data, sizeof(store->highest));
	store->highest_known = rc == 0 || rc == MDB_NOTFOUND;
	return store->highest_known ? 0 : rc;
}

/* Room for the value; what was there before is taken off the totals. */
static int
place(SluiceStore *store, uint64_t sequence, MDB_val *value)
{
	MDB_val		key = sluice_store_key(&sequence);
	MDB_val		before;
	int			rc = store->highest_known ? 0 : find_highest(store);

	if (rc != 0)
		return rc;
	if (sequence > store->highest || store->next_totals.records == 0)
	{
		rc = mdb_cursor_put(store->cursor, &key, value, MDB_APPEND | MDB_RESERVE);
		if (rc == 0)
			store->highest = sequence;
		return rc;
	}
	rc = mdb_cursor_get(store->cursor, &key, &before, MDB_SET);
	if (rc == 0)
	{
		store->next_totals.records--;
		store->next_totals.bytes -= value_length(&before);
	}
	else if (rc != MDB_NOTFOUND)
		return rc;
	key = sluice_store_key(&sequence);
	return mdb_cursor_put(store->cursor, &key, value, MDB_RESERVE);
}

int
sluice_store_put(SluiceStore *store, const SluiceStoreRecord *record)
{
	MDB_val		value = {.mv_size = HEAD_SIZE + (size_t) record->entity_length + record->length};
	size_t		takes = value.mv_size + ENTRY_OVERHEAD;
	int			rc = sluice_store_writing(store);

	if (rc != SLUICE_OK)
		return rc;
	if (record->length > RECORD_LENGTH_MAX || record->entity_length > 4096 - HEAD_SIZE)
		return sluice_store_fail(store, true, SLUICE_ERROR_TOO_LARGE, "the record is too large");
	if (takes > store->room)
		return sluice_store_fail(store, true, SLUICE_ERROR_FULL, "the buffer's file is as large as it may become");
	rc = place(store, record->sequence, &value);
	if (rc != 0)
		return sluice_store_fail_lmdb(store, true, rc, "write a record");
	store->room -= takes;
	sluice_store_touched(store, value.mv_size);
	record_encode(record, value.mv_data, value.mv_size);
	store->next_totals.records++;
	store->next_totals.bytes += record->length;
	return SLUICE_OK;
}

/* Remove what the cursor is at. */
static int
remove_current(SluiceStore *store, const MDB_val *value)
{
	uint32_t	length = value_length(value);
	size_t		size = value->mv_size;
	int			rc = mdb_cursor_del(store->cursor, 0);

	if (rc != 0)
		return sluice_store_fail_lmdb(store, true, rc, "remove a record");
	sluice_store_touched(store, size);
	store->next_totals.records--;
	store->next_totals.bytes -= length;
	return SLUICE_OK;
}

int
sluice_store_remove(SluiceStore *store, uint64_t sequence)
{
	MDB_val		key = sluice_store_key(&sequence);
	MDB_val		value;
	int			rc = sluice_store_writing(store);

	if (rc != SLUICE_OK)
		return rc;
	rc = mdb_cursor_get(store->cursor, &key, &value, MDB_SET);
	if (rc == MDB_NOTFOUND)
		return SLUICE_OK;
	if (rc != 0)
		return sluice_store_fail_lmdb(store, true, rc, "find a record");
	return remove_current(store, &value);
}

int
sluice_store_remove_through(SluiceStore *store, uint64_t sequence, size_t max, size_t *removed)
{
	int			rc = sluice_store_writing(store);

	*removed = 0;
	if (rc != SLUICE_OK)
		return rc;
	while (*removed < max)
	{
		MDB_val		key,
					value;
		uint64_t	first;

		rc = mdb_cursor_get(store->cursor, &key, &value, MDB_FIRST);
		if (rc == MDB_NOTFOUND)
			break;
		if (rc != 0)
			return sluice_store_fail_lmdb(store, true, rc, "find a record");
		memcpy(&first, key.mv_data, sizeof(first));
		if (first > sequence)
			break;
		if ((rc = remove_current(store, &value)) != SLUICE_OK)
			return rc;
		++*removed;
	}
	return SLUICE_OK;
}

static int
damaged_record(SluiceStore *store, uint64_t sequence)
{
	return sluice_store_fail(store, false, SLUICE_ERROR_DAMAGED, "record %llu is damaged", (unsigned long long) sequence);
}

typedef struct RecordScan
{
	SluiceStore *store;
	SluiceStoreVisit visit;
	void	   *argument;
	uint64_t	next;			/* what comes before is done */
} RecordScan;

static bool
scan_entry(void *argument, uint64_t sequence, const MDB_val *value, int *code)
{
	RecordScan *scan = argument;
	SluiceStoreRecord record;

	if (!sluice_store_record_decode(sequence, value, &record))
	{
		*code = damaged_record(scan->store, sequence);
		return false;
	}
	scan->next = sequence + 1;
	return scan->visit(scan->argument, &record);
}

/*
 * What is damaged is so when a second transaction finds it damaged as well: the pages of the first
 * may have been written over where somebody took away lock.mdb, which says that they are being read.
 */
int
sluice_store_scan(SluiceStore *store, uint64_t from, SluiceStoreVisit visit, void *argument)
{
	RecordScan	scan = {.store = store, .visit = visit, .argument = argument, .next = from};
	bool		again = false;
	uint64_t	damaged = 0;
	int			code;

	while ((code = sluice_store_walk(store, store->records_db, scan.next, scan_entry, &scan)) == SLUICE_ERROR_DAMAGED)
	{
		if (again && scan.next == damaged)
			break;
		again = true;
		damaged = scan.next;
	}
	return code;
}

typedef struct RecordCount
{
	SluiceStore *store;
	bool		verify;
} RecordCount;

static bool
count_entry(void *argument, uint64_t sequence, const MDB_val *value, int *code)
{
	RecordCount *count = argument;
	SluiceStoreRecord record;

	if (count->verify && !sluice_store_record_decode(sequence, value, &record))
	{
		*code = damaged_record(count->store, sequence);
		return false;
	}
	count->store->totals.records++;
	count->store->totals.bytes += value_length(value);
	return true;
}

int
sluice_store_count_records(SluiceStore *store, bool verify)
{
	RecordCount count = {.store = store, .verify = verify};

	store->totals.records = 0;
	store->totals.bytes = 0;
	return sluice_store_walk(store, store->records_db, 0, count_entry, &count);
}
