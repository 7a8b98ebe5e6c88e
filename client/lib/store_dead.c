/*
 * store_dead.c
 *		Records that were set aside, by sequence.
 *
 * A value is a head of 20 bytes (CRC-32 of the sequence and all that follows,
 * lengths of entity and reason, time), the entity, the reason with its NUL, and the bytes of the record.
 */
#include "store_internal.h"

#include <stdlib.h>
#include <string.h>

#include "../sluice.h"
#include "little_endian.h"

#define HEAD_SIZE 20
#define WHY_LENGTH_MAX 255

bool
sluice_store_dead_decode(uint64_t sequence, const MDB_val *value, SluiceStoreRecord *record, const char **why)
{
	const uint8_t *bytes = value->mv_data;
	uint64_t	entity_length,
				why_size;
	size_t		rest;

	if (value->mv_size < HEAD_SIZE || sluice_get_u32(bytes) != sluice_store_crc(sequence, bytes, value->mv_size))
		return false;
	rest = value->mv_size - HEAD_SIZE;
	entity_length = sluice_get_u32(bytes + 4);
	why_size = sluice_get_u32(bytes + 8);
	if (why_size == 0 || entity_length + why_size > rest || rest - entity_length - why_size > UINT32_MAX ||
		bytes[HEAD_SIZE + entity_length + why_size - 1] != 0)
		return false;
	record->sequence = sequence;
	record->at = (int64_t) sluice_get_u64(bytes + 12);
	record->entity = entity_length > 0 ? (const char *) bytes + HEAD_SIZE : NULL;
	record->entity_length = (uint32_t) entity_length;
	*why = (const char *) bytes + HEAD_SIZE + entity_length;
	record->bytes = bytes + HEAD_SIZE + entity_length + why_size;
	record->length = (uint32_t) (rest - entity_length - why_size);
	return true;
}

static void
dead_encode(const SluiceStoreRecord *record, const char *why, size_t why_length, uint8_t *bytes, size_t size)
{
	uint8_t    *out = bytes + HEAD_SIZE;

	sluice_put_u32(bytes + 4, record->entity_length);
	sluice_put_u32(bytes + 8, (uint32_t) why_length + 1);
	sluice_put_u64(bytes + 12, (uint64_t) record->at);
	if (record->entity_length > 0)
		memcpy(out, record->entity, record->entity_length);
	out += record->entity_length;
	memcpy(out, why, why_length);
	out[why_length] = 0;
	out += why_length + 1;
	if (record->length > 0)
		memcpy(out, record->bytes, record->length);
	sluice_put_u32(bytes, sluice_store_crc(record->sequence, bytes, size));
}

static int
put_dead(SluiceStore *store, const SluiceStoreRecord *record, const char *why)
{
	size_t		why_length = strnlen(why, WHY_LENGTH_MAX);
	MDB_val		key = sluice_store_key(&record->sequence);
	MDB_val		value = {.mv_size = HEAD_SIZE + (size_t) record->entity_length + why_length + 1 + record->length};
	MDB_stat	stat;
	int			rc = mdb_put(store->writing, store->dead_db, &key, &value, MDB_RESERVE);

	if (rc != 0)
		return sluice_store_fail_lmdb(store, true, rc, "set a record aside");
	dead_encode(record, why, why_length, value.mv_data, value.mv_size);
	rc = mdb_stat(store->writing, store->dead_db, &stat);
	if (rc != 0)
		return sluice_store_fail_lmdb(store, true, rc, "set a record aside");
	store->next_totals.dead = stat.ms_entries;
	return SLUICE_OK;
}

/* A copy of the record in the store: it may move when something is written. */
static int
copy_record(SluiceStore *store, uint64_t sequence, MDB_val *copy, SluiceStoreRecord *record)
{
	MDB_val		key = sluice_store_key(&sequence);
	MDB_val		value;
	int			rc = mdb_get(store->writing, store->records_db, &key, &value);

	copy->mv_data = NULL;
	if (rc == MDB_NOTFOUND)
		return sluice_store_fail(store, true, SLUICE_ERROR_NOT_FOUND, "there is no record %llu", (unsigned long long) sequence);
	if (rc != 0)
		return sluice_store_fail_lmdb(store, true, rc, "find a record");
	copy->mv_size = value.mv_size;
	copy->mv_data = malloc(value.mv_size + 1);
	if (copy->mv_data == NULL)
		return sluice_store_fail(store, true, SLUICE_ERROR_MEMORY, "out of memory");
	memcpy(copy->mv_data, value.mv_data, value.mv_size);
	if (!sluice_store_record_decode(sequence, copy, record))
		return sluice_store_fail(store, true, SLUICE_ERROR_DAMAGED, "record %llu is damaged", (unsigned long long) sequence);
	return SLUICE_OK;
}

int
sluice_store_set_aside(SluiceStore *store, const SluiceStoreRecord *record, const char *why)
{
	SluiceStoreRecord whole = *record;
	MDB_val		copy = {0};
	int			rc = sluice_store_writing(store);

	if (rc == SLUICE_OK && record->bytes == NULL)
		rc = copy_record(store, record->sequence, &copy, &whole);
	if (rc == SLUICE_OK)
		rc = put_dead(store, &whole, why);
	if (rc == SLUICE_OK)
		rc = sluice_store_remove(store, record->sequence);
	free(copy.mv_data);
	return rc;
}

int
sluice_store_discard_dead(SluiceStore *store, uint64_t *discarded)
{
	int			rc = sluice_store_writing(store);

	*discarded = 0;
	if (rc != SLUICE_OK)
		return rc;
	rc = mdb_drop(store->writing, store->dead_db, 0);
	if (rc != 0)
		return sluice_store_fail_lmdb(store, true, rc, "discard what was set aside");
	*discarded = store->next_totals.dead;
	store->next_totals.dead = 0;
	return SLUICE_OK;
}

typedef struct DeadScan
{
	SluiceStore *store;
	SluiceStoreVisitDead visit;
	void	   *argument;
} DeadScan;

static bool
scan_entry(void *argument, uint64_t sequence, const MDB_val *value, int *code)
{
	DeadScan   *scan = argument;
	SluiceStoreRecord record;
	const char *why;

	if (!sluice_store_dead_decode(sequence, value, &record, &why))
	{
		*code = sluice_store_fail(scan->store, false, SLUICE_ERROR_DAMAGED, "record %llu, set aside, is damaged",
								  (unsigned long long) sequence);
		return false;
	}
	return scan->visit(scan->argument, &record, why);
}

int
sluice_store_scan_dead(SluiceStore *store, SluiceStoreVisitDead visit, void *argument)
{
	DeadScan	scan = {.store = store, .visit = visit, .argument = argument};

	return sluice_store_walk(store, store->dead_db, 0, scan_entry, &scan);
}
