/*
 * store_internal.h
 *		What the files store*.c share.
 *
 *	store.c				open, close; the environment and its reopening
 *	store_directory.c	files around it: directory, lock, leftovers, setting aside
 *	store_registry.c	the directories that this process has open
 *	store_pages.c, store_meta.c		LMDB's pages looked at before LMDB trusts them
 *	store_transaction.c	begin, commit, abort, what is committed; errors; reading transactions
 *	store_state.c, store_records.c, store_gaps.c, store_dead.c		one named database each
 *	store_check.c, store_compact.c
 *
 * Locking.  env_lock is held shared by everything that reads, and exclusively
 * while the environment is closed and opened again (compaction; after an error that
 * LMDB cannot get over).  message_lock covers the message.  The rest belongs to
 * the one thread that writes, but for the totals, which are read atomically.
 */
#ifndef SLUICE_LIB_STORE_INTERNAL_H
#define SLUICE_LIB_STORE_INTERNAL_H

#include <lmdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

#include "store.h"

/* data.mdb in the making, and its compact copy: removed at opening. */
#define SLUICE_STORE_NEW_FILE "new.mdb"
#define SLUICE_STORE_COMPACT_FILE "compact.mdb"
#define SLUICE_STORE_NAME_MAX 64
#define SLUICE_STORE_PATH_MAX 4096

typedef struct SluiceStoreTotals
{
	uint64_t	records;
	uint64_t	bytes;
	uint64_t	gaps;
	uint64_t	dead;
} SluiceStoreTotals;

typedef struct SluiceStoreIdentity
{
	dev_t		device;			/* of the directory */
	ino_t		inode;
	pid_t		process;
} SluiceStoreIdentity;

struct SluiceStore
{
	char		directory[SLUICE_STORE_PATH_MAX - SLUICE_STORE_NAME_MAX];
	SluiceStoreMode mode;
	uint64_t	map_bytes;
	int			owner;			/* file descriptor with the lock, or -1 */
	SluiceStoreIdentity identity;
	bool		is_registered;
	SluiceStore *next_registered;

	pthread_rwlock_t env_lock;
	MDB_env    *env;			/* NULL: could not be opened again so far */
	MDB_dbi		state_db;
	MDB_dbi		records_db;
	MDB_dbi		gaps_db;
	MDB_dbi		dead_db;
	size_t		committed;		/* LMDB's number of the last transaction that we know to be committed */
	bool		rename_unsynced;	/* data.mdb was replaced, and the directory could not be synced yet */
	_Atomic(MDB_txn *) spare_reader;
	uint8_t    *map;			/* where the environment is mapped */
	atomic_size_t touched;		/* bytes of it read since it was last let go */

	/* the transaction that is being written */
	MDB_txn    *writing;
	MDB_cursor *cursor;			/* on records */
	int			failed;			/* the first error in it */
	uint64_t	highest;		/* no record above it, once known */
	bool		highest_known;
	uint64_t	room;			/* bytes that records may still take */
	SluiceStoreState next_state;
	bool		state_changed;
	SluiceStoreTotals next_totals;

	/* what is committed */
	SluiceStoreState state;
	SluiceStoreTotals totals;

	pthread_mutex_t message_lock;
	SluiceError message;
};

/* Pages that only what makes room may take, see store_transaction.c. */
#define SLUICE_STORE_RESERVE ((uint64_t) 8 << 20)

/* ---- store.c ---- */

/* Close the environment and open it again.  Exclusive lock held; on an error env is NULL. */
extern int sluice_store_reopen(SluiceStore *store);
extern void sluice_store_close_env(SluiceStore *store);

/* ---- store_directory.c ---- */

extern void sluice_store_path(const SluiceStore *store, const char *name, char path[SLUICE_STORE_PATH_MAX]);
extern int sluice_store_directory_make(SluiceStore *store);
extern int sluice_store_directory_lock(SluiceStore *store);
extern int sluice_store_directory_make_lock(SluiceStore *store, bool read_only);	/* LMDB's, before it is opened */
extern int sluice_store_directory_sync(SluiceStore *store);

/* Is there a data.mdb with anything in it? */
extern int sluice_store_directory_look(SluiceStore *store, bool *there);

/* Remove a file, if it is there. */
extern int sluice_store_directory_remove(SluiceStore *store, const char *name);

/* `name` becomes data.mdb.  The environment is closed; *renamed: also on an error it may be in its place. */
extern int sluice_store_directory_replace(SluiceStore *store, const char *name, bool *renamed);

/* data.mdb goes into a directory of its own, whose path is returned. */
extern int sluice_store_directory_set_aside(SluiceStore *store, char *path, size_t path_size);

/* ---- store_registry.c ---- */

/* Before anything of LMDB's is opened.  ERROR_LOCKED: this process has it open already. */
extern int sluice_store_register(SluiceStore *store);
extern void sluice_store_unregister(SluiceStore *store);	/* does nothing where it was not */

/* ---- store_transaction.c ---- */

/* Sets the message, and the first error of the transaction being written (where writing). */
extern int sluice_store_fail(SluiceStore *store, bool writing, int code, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* The same for an error of LMDB's or of the system's. */
extern int sluice_store_fail_lmdb(SluiceStore *store, bool writing, int rc, const char *what);

/* ERROR_INVALID where nothing is being written, the first error where there was one. */
extern int sluice_store_writing(SluiceStore *store);

extern int sluice_store_read_begin(SluiceStore *store, MDB_txn **txn);
extern void sluice_store_read_end(SluiceStore *store, MDB_txn *txn);

/* An entry with a value of this size was read or changed: the pages that this took are let go some time. */
extern void sluice_store_touched(SluiceStore *store, size_t size);

/* From a value of a reading transaction; at each opening of the environment. */
extern void sluice_store_find_map(SluiceStore *store, const void *value, size_t page_size);

/* One entry of a database with sequences as keys; false ends the walk. */
typedef bool (*SluiceStoreEntry) (void *argument, uint64_t key, const MDB_val *value, int *code);

/* Entries from key on, ascending; returns what entry() set as code. */
extern int sluice_store_walk(SluiceStore *store, MDB_dbi db, uint64_t from, SluiceStoreEntry entry, void *argument);

/* Pages in use of LMDB's file, by this transaction. */
extern int sluice_store_free_pages(MDB_txn *txn, uint64_t *pages);

extern MDB_val sluice_store_key(const uint64_t *sequence);

/* ---- store_state.c ---- */

/* What a new buffer has. */
extern int sluice_store_state_new(SluiceStore *store, const char *stream);
extern int sluice_store_state_write(SluiceStore *store, MDB_txn *txn, const SluiceStoreState *state);

/* Where the value lies; ERROR_DAMAGED where there is none. */
extern int sluice_store_state_find(SluiceStore *store, MDB_txn *txn, MDB_val *value);
extern int sluice_store_state_read(SluiceStore *store, MDB_txn *txn, SluiceStoreState *state);

/* ERROR_DAMAGED, ERROR_VERSION. */
extern int sluice_store_state_decode(const MDB_val *value, SluiceStoreState *state);

/* ---- store_records.c, store_gaps.c, store_dead.c ---- */

/* Of a value with its sum in the first four bytes: of the key and the rest. */
extern uint32_t sluice_store_crc(uint64_t sequence, const uint8_t *value, size_t size);

/* false: the value is damaged. */
extern bool sluice_store_record_decode(uint64_t sequence, const MDB_val *value, SluiceStoreRecord *record);
extern bool sluice_store_gap_decode(uint64_t from, const MDB_val *value, SluiceStoreGap *gap);
extern bool sluice_store_dead_decode(uint64_t sequence, const MDB_val *value, SluiceStoreRecord *record, const char **why);

/* Sets the totals of records; verify: also what they hold. */
extern int sluice_store_count_records(SluiceStore *store, bool verify);

#endif							/* SLUICE_LIB_STORE_INTERNAL_H */
