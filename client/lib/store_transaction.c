/*
 * store_transaction.c
 *		Transactions of the store: writing, reading, and what their errors mean.
 *
 * LMDB writes new pages also to remove something, so a map that is full to the
 * last page could not be emptied any more.  The map is therefore larger than what
 * was asked for by SLUICE_STORE_RESERVE, and putting a record into the reserve is ERROR_FULL.
 *
 * When LMDB could not write its meta page it refuses everything (MDB_PANIC) until
 * the environment is opened anew; that is done at the next begin.  Whether that page
 * got to the disk nobody knows, so the commit that failed is rolled back there first.
 */
#include "store_internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "../sluice.h"

/* How much of the map may be read before it is let go, and what an entry is beside its value. */
#define TOUCHED_MAX ((size_t) 8 << 20)
#define ENTRY_TOUCHED 32

#define FREE_DB 0				/* LMDB's own: lists of free pages by transaction */

/* ---- errors ---- */

static void
set_message(SluiceStore *store, const char *format, va_list arguments)
{
	pthread_mutex_lock(&store->message_lock);
	vsnprintf(store->message.text, sizeof(store->message.text), format, arguments);
	pthread_mutex_unlock(&store->message_lock);
}

int
sluice_store_fail(SluiceStore *store, bool writing, int code, const char *format, ...)
{
	va_list		arguments;

	va_start(arguments, format);
	set_message(store, format, arguments);
	va_end(arguments);
	if (writing && store->failed == SLUICE_OK)
		store->failed = code;
	return code;
}

static int
error_of_lmdb(int rc)
{
	switch (rc)
	{
		case ENOMEM:
			return SLUICE_ERROR_MEMORY;
		case MDB_MAP_FULL:
		case MDB_TXN_FULL:
			return SLUICE_ERROR_FULL;
		case MDB_VERSION_MISMATCH:
			return SLUICE_ERROR_VERSION;
		case MDB_CORRUPTED:
		case MDB_INVALID:
		case MDB_PAGE_NOTFOUND:
		case MDB_CURSOR_FULL:
		case MDB_PAGE_FULL:
		case MDB_INCOMPATIBLE:
		case MDB_BAD_VALSIZE:
		case MDB_NOTFOUND:
			return SLUICE_ERROR_DAMAGED;
		default:
			return SLUICE_ERROR_DISK;
	}
}

int
sluice_store_fail_lmdb(SluiceStore *store, bool writing, int rc, const char *what)
{
	return sluice_store_fail(store, writing, error_of_lmdb(rc), "could not %s: %s", what, mdb_strerror(rc));
}

/* A copy for the calling thread: another one may be about to fail. */
const char *
sluice_store_message(const SluiceStore *store)
{
	static _Thread_local SluiceError copy;
	pthread_mutex_t *lock = (pthread_mutex_t *) &store->message_lock;

	pthread_mutex_lock(lock);
	copy = store->message;
	pthread_mutex_unlock(lock);
	return copy.text;
}

/* ---- memory ---- */

/*
 * What is read through the map counts as this process's memory, up to the size
 * of the file, until the kernel wants it back.  It is let go before that; what is read again is in the kernel's cache.
 * LMDB does not tell where its map is, but the page that a value lies on has its number.
 */
void
sluice_store_find_map(SluiceStore *store, const void *value, size_t page_size)
{
	uint8_t    *page = (uint8_t *) ((uintptr_t) value & ~(uintptr_t) (page_size - 1));
	size_t		number;

	memcpy(&number, page, sizeof(number));
	store->map = page - number * page_size;
}

void
sluice_store_touched(SluiceStore *store, size_t size)
{
	atomic_fetch_add_explicit(&store->touched, size + ENTRY_TOUCHED, memory_order_relaxed);
}

static void
let_go(SluiceStore *store)
{
	MDB_envinfo info;

	if (store->map == NULL || atomic_load_explicit(&store->touched, memory_order_relaxed) < TOUCHED_MAX)
		return;
	atomic_store_explicit(&store->touched, 0, memory_order_relaxed);
	if (mdb_env_info(store->env, &info) == 0)
		madvise(store->map, info.me_mapsize, MADV_DONTNEED);
}

/* ---- writing ---- */

int
sluice_store_writing(SluiceStore *store)
{
	if (store->writing == NULL)
		return sluice_store_fail(store, false, SLUICE_ERROR_INVALID, "nothing is being written");
	return store->failed;
}

int
sluice_store_free_pages(MDB_txn *txn, uint64_t *pages)
{
	MDB_cursor *cursor;
	MDB_val		key,
				list;
	int			rc = mdb_cursor_open(txn, FREE_DB, &cursor);

	*pages = 0;
	if (rc != 0)
		return rc;
	while ((rc = mdb_cursor_get(cursor, &key, &list, MDB_NEXT)) == 0)
	{
		size_t		count;

		memcpy(&count, list.mv_data, sizeof(count));
		*pages += count;
	}
	mdb_cursor_close(cursor);
	return rc == MDB_NOTFOUND ? 0 : rc;
}

/* LMDB shows the lists of free pages to reading transactions only. */
static int
count_free_pages(SluiceStore *store, uint64_t *pages)
{
	MDB_txn    *txn;
	int			code = sluice_store_read_begin(store, &txn);
	int			rc;

	if (code != SLUICE_OK)
		return code;
	rc = sluice_store_free_pages(txn, pages);
	sluice_store_read_end(store, txn);
	return rc == 0 ? SLUICE_OK : sluice_store_fail_lmdb(store, false, rc, "count free pages");
}

/* The free pages are counted only where what is behind the last one does not do. */
static int
measure_room(SluiceStore *store)
{
	MDB_envinfo info;
	MDB_stat	stat;
	uint64_t	pages;
	int			rc = mdb_env_info(store->env, &info);

	if (rc == 0)
		rc = mdb_env_stat(store->env, &stat);
	if (rc != 0)
		return sluice_store_fail_lmdb(store, false, rc, "look at the buffer");
	pages = info.me_mapsize / stat.ms_psize - info.me_last_pgno - 1;
	if (pages < 4 * SLUICE_STORE_RESERVE / stat.ms_psize)
	{
		uint64_t	free_pages;

		if ((rc = count_free_pages(store, &free_pages)) != SLUICE_OK)
			return rc;
		pages += free_pages;
	}
	store->room = pages * stat.ms_psize;
	store->room = store->room > SLUICE_STORE_RESERVE ? store->room - SLUICE_STORE_RESERVE : 0;
	return SLUICE_OK;
}

/* What an earlier error left to be done before anything can be written. */
static int
recover(SluiceStore *store)
{
	int			rc;

	if (store->env == NULL)
	{
		if (pthread_rwlock_trywrlock(&store->env_lock) != 0)
			return sluice_store_fail(store, false, SLUICE_ERROR_DISK, "the buffer is being read and could not be opened again");
		rc = sluice_store_reopen(store);
		pthread_rwlock_unlock(&store->env_lock);
		if (rc != SLUICE_OK)
			return rc;
	}
	return store->rename_unsynced ? sluice_store_directory_sync(store) : SLUICE_OK;
}

static int
reopen_after_panic(SluiceStore *store)
{
	if (pthread_rwlock_trywrlock(&store->env_lock) != 0)
		return sluice_store_fail(store, false, SLUICE_ERROR_DISK, "the buffer is being read and could not be opened again");
	sluice_store_close_env(store);
	pthread_rwlock_unlock(&store->env_lock);
	return recover(store);
}

static int
begin_lmdb(SluiceStore *store)
{
	int			dead;
	int			rc;

	/* A process that was killed while it read would keep the pages of its time from being used again. */
	mdb_reader_check(store->env, &dead);
	rc = mdb_txn_begin(store->env, NULL, 0, &store->writing);
	if (rc != 0)
		store->writing = NULL;
	return rc;
}

/* What a transaction needs beside LMDB's. */
static int
begin_ours(SluiceStore *store)
{
	int			code = measure_room(store);
	int			rc;

	if (code == SLUICE_OK && (rc = mdb_cursor_open(store->writing, store->records_db, &store->cursor)) != 0)
		code = sluice_store_fail_lmdb(store, false, rc, "begin to write");
	if (code != SLUICE_OK)
	{
		mdb_txn_abort(store->writing);
		store->writing = NULL;
	}
	return code;
}

int
sluice_store_begin(SluiceStore *store)
{
	int			rc;

	if (store->writing != NULL || store->mode == SLUICE_STORE_INSPECT || store->mode == SLUICE_STORE_PEEK)
		return sluice_store_fail(store, false, SLUICE_ERROR_INVALID, "the buffer cannot be written to now");
	if ((rc = recover(store)) != SLUICE_OK)
		return rc;
	rc = begin_lmdb(store);
	if (rc == MDB_PANIC)
	{
		if ((rc = reopen_after_panic(store)) != SLUICE_OK)
			return rc;
		rc = begin_lmdb(store);
	}
	if (rc != 0)
		return sluice_store_fail_lmdb(store, false, rc, "begin to write");
	if ((rc = begin_ours(store)) != SLUICE_OK)
		return rc;
	store->failed = SLUICE_OK;
	store->highest_known = false;
	store->state_changed = false;
	store->next_totals = store->totals;
	return SLUICE_OK;
}

static void
publish_totals(SluiceStore *store)
{
	__atomic_store_n(&store->totals.records, store->next_totals.records, __ATOMIC_RELAXED);
	__atomic_store_n(&store->totals.bytes, store->next_totals.bytes, __ATOMIC_RELAXED);
	__atomic_store_n(&store->totals.gaps, store->next_totals.gaps, __ATOMIC_RELAXED);
	__atomic_store_n(&store->totals.dead, store->next_totals.dead, __ATOMIC_RELAXED);
}

/* A transaction that changed nothing has no number of its own. */
static void
committed(SluiceStore *store)
{
	MDB_envinfo info;

	if (mdb_env_info(store->env, &info) == 0)
		store->committed = info.me_last_txnid;
	if (store->state_changed)
		store->state = store->next_state;
	publish_totals(store);
	let_go(store);
}

int
sluice_store_commit(SluiceStore *store)
{
	int			rc = sluice_store_writing(store);

	if (rc != SLUICE_OK)
	{
		sluice_store_abort(store);
		return rc;
	}
	mdb_cursor_close(store->cursor);
	rc = mdb_txn_commit(store->writing);
	store->writing = NULL;
	if (rc != 0)
		return sluice_store_fail_lmdb(store, false, rc, "write the buffer to disk");
	committed(store);
	return SLUICE_OK;
}

void
sluice_store_abort(SluiceStore *store)
{
	if (store->writing == NULL)
		return;
	mdb_cursor_close(store->cursor);
	mdb_txn_abort(store->writing);
	store->writing = NULL;
}

/* ---- reading ---- */

int
sluice_store_read_begin(SluiceStore *store, MDB_txn **txn)
{
	int			dead;
	int			rc;

	pthread_rwlock_rdlock(&store->env_lock);
	if (store->env == NULL)
	{
		pthread_rwlock_unlock(&store->env_lock);
		return sluice_store_fail(store, false, SLUICE_ERROR_DISK, "the buffer could not be opened again");
	}
	*txn = atomic_exchange(&store->spare_reader, NULL);
	rc = *txn != NULL ? mdb_txn_renew(*txn) : mdb_txn_begin(store->env, NULL, MDB_RDONLY, txn);
	if (rc == MDB_READERS_FULL && mdb_reader_check(store->env, &dead) == 0)
		rc = mdb_txn_begin(store->env, NULL, MDB_RDONLY, txn);
	if (rc == 0)
		return SLUICE_OK;
	pthread_rwlock_unlock(&store->env_lock);
	return sluice_store_fail_lmdb(store, false, rc, "read the buffer");
}

/* One is kept, as its place in LMDB's table is what costs. */
void
sluice_store_read_end(SluiceStore *store, MDB_txn *txn)
{
	MDB_txn    *none = NULL;

	let_go(store);
	mdb_txn_reset(txn);
	if (!atomic_compare_exchange_strong(&store->spare_reader, &none, txn))
		mdb_txn_abort(txn);
	pthread_rwlock_unlock(&store->env_lock);
}

MDB_val
sluice_store_key(const uint64_t *sequence)
{
	return (MDB_val) {.mv_size = sizeof(*sequence), .mv_data = (void *) sequence};
}

int
sluice_store_walk(SluiceStore *store, MDB_dbi db, uint64_t from, SluiceStoreEntry entry, void *argument)
{
	MDB_txn    *txn;
	MDB_cursor *cursor;
	MDB_val		key = sluice_store_key(&from);
	MDB_val		value;
	int			code = sluice_store_read_begin(store, &txn);
	int			rc;

	if (code != SLUICE_OK)
		return code;
	rc = mdb_cursor_open(txn, db, &cursor);
	if (rc == 0)
	{
		rc = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
		while (rc == 0)
		{
			uint64_t	sequence;

			memcpy(&sequence, key.mv_data, sizeof(sequence));
			sluice_store_touched(store, value.mv_size);
			if (!entry(argument, sequence, &value, &code))
				break;
			let_go(store);
			rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
		}
		mdb_cursor_close(cursor);
	}
	if (rc != 0 && rc != MDB_NOTFOUND)
		code = sluice_store_fail_lmdb(store, false, rc, "read the buffer");
	sluice_store_read_end(store, txn);
	return code;
}
