/*
 * store.c
 *		The buffer on disk: opening and closing.
 *
 * What opening does, each step resting on the one before: the directory, its
 * lock, what an interrupted replacement left, data.mdb (made where there is none),
 * LMDB's environment on it, a look at every page before LMDB touches any, the
 * state, the sums.  What is damaged on the way is set aside, once, and a new buffer begun.
 */
#include "store_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../sluice.h"
#include "store_pages.h"

#define ATTACH_TRIES 8
#define DATABASES 4

/* ---- the environment ---- */

void
sluice_store_close_env(SluiceStore *store)
{
	MDB_txn    *spare = atomic_exchange(&store->spare_reader, NULL);

	if (spare != NULL)
		mdb_txn_abort(spare);
	if (store->env != NULL)
		mdb_env_close(store->env);
	store->env = NULL;
	store->map = NULL;
}

static int
open_env(SluiceStore *store, const char *path, size_t map_size, unsigned int flags)
{
	int			rc = mdb_env_create(&store->env);

	if (rc != 0)
	{
		store->env = NULL;
		return sluice_store_fail_lmdb(store, false, rc, "open the buffer");
	}
	rc = mdb_env_set_maxdbs(store->env, DATABASES);
	if (rc == 0)
		rc = mdb_env_set_mapsize(store->env, map_size);
	if (rc == 0)
		rc = mdb_env_open(store->env, path, flags, 0600);
	if (rc == 0)
		return SLUICE_OK;
	sluice_store_close_env(store);
	return sluice_store_fail_lmdb(store, false, rc, "open the buffer");
}

static int
open_databases(SluiceStore *store, MDB_txn *txn, unsigned int flags)
{
	int			rc = mdb_dbi_open(txn, "state", flags, &store->state_db);

	if (rc == 0)
		rc = mdb_dbi_open(txn, "records", flags | MDB_INTEGERKEY, &store->records_db);
	if (rc == 0)
		rc = mdb_dbi_open(txn, "gaps", flags | MDB_INTEGERKEY, &store->gaps_db);
	if (rc == 0)
		rc = mdb_dbi_open(txn, "dead", flags | MDB_INTEGERKEY, &store->dead_db);
	return rc == 0 ? SLUICE_OK : sluice_store_fail_lmdb(store, false, rc, "open the buffer");
}

static size_t
map_size(const SluiceStore *store, const SluicePagesMeta *meta, size_t page)
{
	uint64_t	wanted = store->map_bytes;

	if (wanted > 0)
		wanted += SLUICE_STORE_RESERVE;
	if (meta != NULL && wanted < meta->map_size)
		wanted = meta->map_size;
	if (wanted < 2 * SLUICE_STORE_RESERVE)
		wanted = 2 * SLUICE_STORE_RESERVE;
	return (wanted + page - 1) / page * page;
}

static bool
read_only(const SluiceStore *store)
{
	return store->mode == SLUICE_STORE_INSPECT || store->mode == SLUICE_STORE_PEEK;
}

/*
 * With the environment open: is it LMDB's view that the last transaction is the
 * one in the file?  It takes the number from lock.mdb, which can be that of a
 * data.mdb that was replaced, kept alive by a process that only looks.  ERROR_LOCKED: it is not.
 */
static int
check_attached(SluiceStore *store, int fd, bool check_pages, const SluicePagesMeta *meta, MDB_txn *txn)
{
	SluiceError error = {""};
	size_t		leaked;
	int			rc = SLUICE_OK;

	if (store->mode != SLUICE_STORE_PEEK && mdb_txn_id(txn) != meta->transaction)
		return sluice_store_fail(store, false, SLUICE_ERROR_LOCKED, "the buffer \"%s\" is in use by another process",
								 store->directory);
	store->committed = mdb_txn_id(txn);
	if (check_pages)
		rc = sluice_pages_check(fd, store->committed, &leaked, &error);
	return rc == SLUICE_OK ? SLUICE_OK : sluice_store_fail(store, false, rc, "%s", error.text);
}

static int
attach_fd(SluiceStore *store, int fd, bool check_pages)
{
	SluicePagesMeta meta;
	SluiceError error = {""};
	MDB_val		state;
	size_t		page = (size_t) sysconf(_SC_PAGESIZE);
	MDB_txn    *txn;
	int			rc = sluice_pages_meta(fd, &meta, &error);

	if (rc != SLUICE_OK)
		return sluice_store_fail(store, false, rc, "%s", error.text);
	if ((rc = sluice_store_directory_make_lock(store, read_only(store))) != SLUICE_OK)
		return rc;
	rc = open_env(store, store->directory, map_size(store, &meta, page),
				  MDB_NOTLS | (read_only(store) ? MDB_RDONLY : 0));
	if (rc != SLUICE_OK)
		return rc;
	rc = mdb_txn_begin(store->env, NULL, MDB_RDONLY, &txn);
	if (rc != 0)
		rc = sluice_store_fail_lmdb(store, false, rc, "read the buffer");
	else
	{
		rc = check_attached(store, fd, check_pages, &meta, txn);
		if (rc == SLUICE_OK)
			rc = open_databases(store, txn, 0);
		if (rc == SLUICE_OK)
			rc = sluice_store_state_find(store, txn, &state);
		if (rc == SLUICE_OK)
			sluice_store_find_map(store, state.mv_data, meta.page_size);

		/* Committed also for its handles' sake. */
		if (rc == SLUICE_OK)
			mdb_txn_commit(txn);
		else
			mdb_txn_abort(txn);
	}
	if (rc != SLUICE_OK)
		sluice_store_close_env(store);
	return rc;
}

static int
attach_once(SluiceStore *store, bool check_pages)
{
	char		path[SLUICE_STORE_PATH_MAX];
	int			fd;
	int			rc;

	sluice_store_path(store, "data.mdb", path);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return sluice_store_fail(store, false, errno == ENOENT ? SLUICE_ERROR_NOT_FOUND : SLUICE_ERROR_DISK,
								 "could not open \"%s\": %s", path, strerror(errno));
	rc = attach_fd(store, fd, check_pages);
	close(fd);
	return rc;
}

/* Somebody who only looks reads while pages are written: what seems damaged may have been replaced while it was read. */
static int
attach(SluiceStore *store, bool check_pages)
{
	int			rc = attach_once(store, check_pages);

	for (int try = 1; try < ATTACH_TRIES; try++)
	{
		if (rc == SLUICE_ERROR_LOCKED)
		{
			if ((rc = sluice_store_directory_remove(store, "lock.mdb")) != SLUICE_OK)
				return rc;
		}
		else if (rc != SLUICE_ERROR_DAMAGED || store->mode != SLUICE_STORE_PEEK)
			return rc;
		rc = attach_once(store, check_pages);
	}
	return rc;
}

static int
roll_back(SluiceStore *store)
{
	char		path[SLUICE_STORE_PATH_MAX];
	SluiceError error = {""};
	int			fd;
	int			rc;

	sluice_store_path(store, "data.mdb", path);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return sluice_store_fail(store, false, SLUICE_ERROR_DISK, "could not open \"%s\": %s", path, strerror(errno));
	rc = sluice_pages_roll_back(fd, store->committed, &error);
	close(fd);
	return rc == SLUICE_OK ? SLUICE_OK : sluice_store_fail(store, false, rc, "%s", error.text);
}

int
sluice_store_reopen(SluiceStore *store)
{
	int			rc;

	sluice_store_close_env(store);
	rc = roll_back(store);
	return rc == SLUICE_OK ? attach(store, false) : rc;
}

/* ---- a new buffer ---- */

static int
write_new(SluiceStore *store, const char *stream)
{
	MDB_txn    *txn;
	int			rc = sluice_store_state_new(store, stream);

	if (rc != SLUICE_OK)
		return rc;
	rc = mdb_txn_begin(store->env, NULL, 0, &txn);
	if (rc != 0)
		return sluice_store_fail_lmdb(store, false, rc, "create the buffer");
	rc = open_databases(store, txn, MDB_CREATE);
	if (rc == SLUICE_OK)
		rc = sluice_store_state_write(store, txn, &store->state);
	if (rc != SLUICE_OK)
	{
		mdb_txn_abort(txn);
		return rc;
	}
	rc = mdb_txn_commit(txn);
	return rc == 0 ? SLUICE_OK : sluice_store_fail_lmdb(store, false, rc, "create the buffer");
}

/* Nobody else knows the file: no lock of LMDB's. */
static int
create(SluiceStore *store, const char *stream)
{
	char		path[SLUICE_STORE_PATH_MAX];
	bool		renamed;
	int			rc = sluice_store_directory_remove(store, SLUICE_STORE_NEW_FILE);

	if (rc != SLUICE_OK)
		return rc;
	sluice_store_path(store, SLUICE_STORE_NEW_FILE, path);
	rc = open_env(store, path, map_size(store, NULL, (size_t) sysconf(_SC_PAGESIZE)), MDB_NOSUBDIR | MDB_NOLOCK | MDB_NOTLS);
	if (rc == SLUICE_OK)
		rc = write_new(store, stream);
	sluice_store_close_env(store);
	if (rc == SLUICE_OK)
		rc = sluice_store_directory_replace(store, SLUICE_STORE_NEW_FILE, &renamed);
	return rc;
}

/* ---- what is in it ---- */

static bool
pass_gap(void *argument, const SluiceStoreGap *gap)
{
	(void) argument;
	(void) gap;
	return true;
}

static bool
pass_dead(void *argument, const SluiceStoreRecord *record, const char *why)
{
	(void) argument;
	(void) record;
	(void) why;
	return true;
}

static int
read_entries(SluiceStore *store)
{
	MDB_txn    *txn;
	MDB_stat	gaps,
				dead;
	int			rc = sluice_store_read_begin(store, &txn);

	if (rc != SLUICE_OK)
		return rc;
	rc = sluice_store_state_read(store, txn, &store->state);
	if (rc == SLUICE_OK && (mdb_stat(txn, store->gaps_db, &gaps) != 0 || mdb_stat(txn, store->dead_db, &dead) != 0))
		rc = sluice_store_fail(store, false, SLUICE_ERROR_DAMAGED, "the buffer's sums are damaged");
	sluice_store_read_end(store, txn);
	if (rc != SLUICE_OK)
		return rc;
	store->totals.gaps = gaps.ms_entries;
	store->totals.dead = dead.ms_entries;
	return SLUICE_OK;
}

/* Whoever is going to send them wants to know now that they are whole; whoever mends wants what is left. */
static int
load(SluiceStore *store)
{
	bool		verify = store->mode == SLUICE_STORE_OWN;
	int			rc = attach(store, true);

	if (rc == SLUICE_OK)
		rc = read_entries(store);
	if (rc == SLUICE_OK)
		rc = sluice_store_count_records(store, verify);
	if (rc == SLUICE_OK && verify)
		rc = sluice_store_scan_gaps(store, 0, pass_gap, NULL);
	if (rc == SLUICE_OK && verify)
		rc = sluice_store_scan_dead(store, pass_dead, NULL);
	return rc;
}

/* ---- opening ---- */

/* Of a creation or a compaction that was interrupted. */
static int
remove_leftovers(SluiceStore *store)
{
	int			rc = sluice_store_directory_remove(store, SLUICE_STORE_NEW_FILE);

	return rc == SLUICE_OK ? sluice_store_directory_remove(store, SLUICE_STORE_COMPACT_FILE) : rc;
}

static int
open_own(SluiceStore *store, const char *stream, char *set_aside, size_t set_aside_size)
{
	bool		there;
	int			rc = remove_leftovers(store);

	if (rc == SLUICE_OK)
		rc = sluice_store_directory_look(store, &there);

	if (rc == SLUICE_OK && there)
	{
		rc = load(store);
		if (rc != SLUICE_ERROR_DAMAGED)
			return rc == SLUICE_OK ? sluice_store_directory_sync(store) : rc;
		sluice_store_close_env(store);
		rc = sluice_store_directory_set_aside(store, set_aside, set_aside_size);
	}
	if (rc == SLUICE_OK)
		rc = create(store, stream);
	return rc == SLUICE_OK ? load(store) : rc;
}

/* An existing one. */
static int
open_found(SluiceStore *store)
{
	bool		there;
	int			rc = sluice_store_directory_look(store, &there);

	if (rc == SLUICE_OK && !there)
		rc = sluice_store_fail(store, false, SLUICE_ERROR_NOT_FOUND, "there is no buffer in \"%s\"", store->directory);
	if (rc == SLUICE_OK)
		rc = sluice_store_register(store);
	if (rc == SLUICE_OK && store->mode != SLUICE_STORE_PEEK)
		rc = sluice_store_directory_lock(store);
	if (rc == SLUICE_OK && store->mode == SLUICE_STORE_MEND)
		rc = remove_leftovers(store);
	return rc == SLUICE_OK ? load(store) : rc;
}

static int
open_mode(SluiceStore *store, const SluiceStoreSettings *settings, char *set_aside, size_t set_aside_size)
{
	int			rc;

	if (store->mode != SLUICE_STORE_OWN)
		return open_found(store);
	rc = sluice_store_directory_make(store);
	if (rc == SLUICE_OK)
		rc = sluice_store_register(store);
	if (rc == SLUICE_OK)
		rc = sluice_store_directory_lock(store);
	return rc == SLUICE_OK ? open_own(store, settings->stream, set_aside, set_aside_size) : rc;
}

static SluiceStore *
new_store(const SluiceStoreSettings *settings)
{
	SluiceStore *store = calloc(1, sizeof(*store));

	if (store == NULL)
		return NULL;
	store->mode = settings->mode;
	store->map_bytes = settings->map_bytes;
	store->owner = -1;
	pthread_rwlock_init(&store->env_lock, NULL);
	pthread_mutex_init(&store->message_lock, NULL);
	return store;
}

int
sluice_store_open(const SluiceStoreSettings *settings, SluiceStore **result,
				  char *set_aside, size_t set_aside_size, SluiceError *error)
{
	SluiceStore *store = new_store(settings);
	int			length;
	int			rc;

	*result = NULL;
	if (set_aside_size > 0)
		*set_aside = '\0';
	if (store == NULL)
		return sluice_error_set(error, SLUICE_ERROR_MEMORY, "out of memory");
	length = snprintf(store->directory, sizeof(store->directory), "%s", settings->directory);
	if (length <= 0 || (size_t) length >= sizeof(store->directory))
		rc = sluice_store_fail(store, false, SLUICE_ERROR_OPTION, "the path of the buffer is empty or too long");
	else
		rc = open_mode(store, settings, set_aside, set_aside_size);
	if (rc == SLUICE_OK)
	{
		*result = store;
		return rc;
	}
	sluice_error_set(error, rc, "%s", store->message.text);
	sluice_store_close(store);
	return rc;
}

void
sluice_store_close(SluiceStore *store)
{
	if (store == NULL)
		return;
	sluice_store_abort(store);
	sluice_store_close_env(store);
	sluice_store_unregister(store);
	if (store->owner >= 0)
		close(store->owner);
	pthread_rwlock_destroy(&store->env_lock);
	pthread_mutex_destroy(&store->message_lock);
	free(store);
}
