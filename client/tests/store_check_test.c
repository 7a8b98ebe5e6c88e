/*
 * store_check_test.c
 *		What LMDB would take, and the store does not: other formats, and contents that contradict each other.
 */
#include "store_model.h"

#include <lmdb.h>
#include <zlib.h>

/* The value of a key of one of the store's databases, changed by LMDB's own means. */
static void
change_value(const char *database, MDB_val key, void (*change_bytes) (uint8_t *bytes, size_t size))
{
	uint8_t		copy[2000];
	MDB_env    *env;
	MDB_txn    *txn;
	MDB_dbi		db;
	MDB_val		value;

	if (mdb_env_create(&env) != 0 || mdb_env_set_maxdbs(env, 4) != 0 || mdb_env_open(env, directory, 0, 0600) != 0 ||
		mdb_txn_begin(env, NULL, 0, &txn) != 0 || mdb_dbi_open(txn, database, 0, &db) != 0 ||
		mdb_get(txn, db, &key, &value) != 0 || value.mv_size > sizeof(copy))
		exit(2);
	memcpy(copy, value.mv_data, value.mv_size);
	change_bytes(copy, value.mv_size);
	value.mv_data = copy;
	if (mdb_put(txn, db, &key, &value, 0) != 0 || mdb_txn_commit(txn) != 0)
		exit(2);
	mdb_env_close(env);
}

static void
make_newer(uint8_t *bytes, size_t size)
{
	uint32_t	crc;

	bytes[4]++;
	crc = (uint32_t) crc32(crc32(0, bytes, 12), bytes + 16, (uInt) size - 16);
	for (int i = 0; i < 4; i++)
		bytes[12 + i] = (uint8_t) (crc >> 8 * i);
}

static void
change_last(uint8_t *bytes, size_t size)
{
	bytes[size - 1] ^= 1;
}

static void
test_version(void)
{
	MDB_val		key = {.mv_size = 5, .mv_data = "state"};
	SluiceStore *store;
	size_t		size, size_after;
	char	   *before, *after;

	begin_new();
	memset(&model, 0, sizeof(model));
	store = open_own();
	put_range(store, &model, 1, 10, 10);
	sluice_store_close(store);
	change_value("state", key, make_newer);
	before = file_read(directory, "data.mdb", &size);
	ok(open_mode(SLUICE_STORE_OWN, 1 << 20, &store) == SLUICE_ERROR_VERSION && aside[0] == '\0', "a newer format is refused");
	ok(strstr(error.text, "format 2") != NULL, "which the message says");
	ok(open_mode(SLUICE_STORE_PEEK, 0, &store) == SLUICE_ERROR_VERSION, "also to peek");
	after = file_read(directory, "data.mdb", &size_after);
	ok(size == size_after && memcmp(before, after, size) == 0, "and nothing of it is changed");
	free(before);
	free(after);
	change_value("state", key, change_last);
	ok(open_mode(SLUICE_STORE_OWN, 1 << 20, &store) == SLUICE_OK && aside[0] != '\0', "a damaged state is set aside");
	sluice_store_close(store);
}

static void
count_finding(void *argument, bool is_error, const char *text)
{
	(void) text;
	*(int *) argument += is_error;
}

/* How many errors it finds. */
static int
errors_found(SluiceStore *store)
{
	int			errors = 0;
	int			rc = sluice_store_check(store, count_finding, &errors);

	return (rc == SLUICE_ERROR_DAMAGED) == (errors > 0) ? errors : -1;
}

static bool
write_one(SluiceStore *store, const SluiceStoreRecord *record, const SluiceStoreGap *gap)
{
	bool		good = sluice_store_begin(store) == SLUICE_OK;

	if (record != NULL)
		good = good && sluice_store_put(store, record) == SLUICE_OK;
	if (gap != NULL)
		good = good && sluice_store_put_gap(store, gap) == SLUICE_OK;
	return good && sluice_store_commit(store) == SLUICE_OK;
}

static void
test_check(void)
{
	SluiceStore *store;
	SluiceStoreRecord record;
	uint64_t	five = 5;
	uint64_t	seen = 0;

	begin_new();
	memset(&model, 0, sizeof(model));
	store = open_own();
	put_range(store, &model, 1, 20, 10);
	ok(errors_found(store) == 0, "a good buffer has no errors");
	ok(write_one(store, NULL, &(SluiceStoreGap) {18, 19, 1}) && errors_found(store) == 1, "a gap with records in it is one");
	ok(write_one(store, NULL, &(SluiceStoreGap) {19, 25, 1}) && errors_found(store) == 3, "a gap in another one, and with records, is two more");
	sluice_store_begin(store);
	sluice_store_remove_gaps_through(store, 100);
	sluice_store_commit(store);
	record = make_record(30, 10);
	ok(write_one(store, &record, NULL) && errors_found(store) == 1, "a record beyond the end is one");
	record = make_record(7, 10);
	record.sequence = 6;
	ok(write_one(store, &record, NULL) && errors_found(store) == 2, "a record encoded with another number is one");
	record.bytes = (const uint8_t *) "nonsense";
	record.length = 8;
	ok(write_one(store, &record, NULL) && errors_found(store) == 2, "or with none");
	sluice_store_close(store);
	change_value("records", (MDB_val) {.mv_size = sizeof(five), .mv_data = &five}, change_last);
	ok(open_mode(SLUICE_STORE_INSPECT, 0, &store) == SLUICE_OK && errors_found(store) == 3, "a record that is not whole is one");
	ok(sluice_store_scan(store, 1, stop_at_ten, &seen) == SLUICE_ERROR_DAMAGED && seen == 4, "which ends a scan before it");
	ok(sluice_store_scan(store, 6, stop_at_ten, &seen) == SLUICE_OK && seen == 10, "but not one from behind it");
	sluice_store_close(store);
	ok(open_mode(SLUICE_STORE_OWN, 1 << 20, &store) == SLUICE_OK && aside[0] != '\0', "and whoever would send it sets all aside");
	sluice_store_close(store);
}

int
main(void)
{
	directory_make(directory);
	test_version();
	test_check();
	directory_remove(directory);
	return done_testing();
}
