/*
 * store.h
 *		The buffer on disk: one LMDB environment in one directory.
 *
 * What it keeps: the records by sequence, gaps, records set aside as dead
 * letters, and the state (identity, numbers).  It knows nothing of threads,
 * connections or policies; what must be written together its owner writes in
 * one transaction.  A transaction that was committed is on disk (LMDB syncs; MDB_NOSYNC is never used).
 *
 * Files of the directory:
 *	data.mdb, lock.mdb	LMDB's
 *	owner				locked (flock) by the process that has the buffer open
 *	tail				one page, mapped: the number that was given out last, and the boot it belongs to
 *						(tail.h).  Survives the process, not the machine
 *	damaged-YYYYMMDDTHHMMSS/	a damaged data.mdb that was set aside
 *
 * One thread at a time may write (begin ... commit, all by the same thread); any thread
 * may read at any time, except while sluice_store_compact() runs (it refuses, with ERROR_LOCKED).
 * A process must not have one directory open twice, also not to peek: LMDB's locks are the process's.
 *
 * After a commit that failed the store can be used: the next begin does what is
 * needed, or fails.  Opening reads every page in use (OWN: and every record) before it trusts any.
 *
 * All functions that return int return a sluice_error (sluice.h).
 */
#ifndef SLUICE_LIB_STORE_H
#define SLUICE_LIB_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"

#define SLUICE_STORE_FORMAT 1
#define SLUICE_ID_SIZE 16
#define SLUICE_NONCES_MAX 64

typedef struct SluiceStore SluiceStore;

/* What of the buffer is not records.  Written whole. */
typedef struct SluiceStoreState
{
	uint8_t		producer_id[SLUICE_ID_SIZE];
	uint8_t		stream_uid[SLUICE_ID_SIZE];
	bool		has_stream_uid;
	char		stream[256];	/* the name it was made for */
	uint64_t	nonces[SLUICE_NONCES_MAX];	/* newest last */
	int			nnonces;
	uint64_t	confirmed_nonce;	/* last one that an Opened confirmed; 0: none.  Never trimmed */
	uint64_t	sent_floor;		/* P2 to P4 of the protocol's rules */
	bool		may_send;
	uint64_t	next;			/* the next number to give out; 1 in a new buffer */
	uint64_t	high_water;		/* no number above it may be given out */
	uint64_t	acked_through;
	int			condition;		/* SLUICE_OK, SLUICE_ERROR_FENCED or _FORKED: what the server said last */
	uint64_t	server_sequence;	/* with it */
} SluiceStoreState;

/* A record as it is kept: bytes are an entry of sluice.v1.Batch.records on the wire (tag, length, Record), see encoding.h. */
typedef struct SluiceStoreRecord
{
	uint64_t	sequence;
	int64_t		at;				/* microseconds since 1970 */
	const uint8_t *bytes;
	uint32_t	length;
	const char *entity;			/* not NUL-terminated; NULL: none */
	uint32_t	entity_length;
} SluiceStoreRecord;

typedef struct SluiceStoreGap
{
	uint64_t	from;
	uint64_t	to;
	int			reason;			/* sluice_reason */
} SluiceStoreGap;

typedef struct SluiceStoreCounts
{
	uint64_t	records;
	uint64_t	bytes;			/* of SluiceStoreRecord.bytes */
	uint64_t	gaps;			/* entries */
	uint64_t	dead;
	uint64_t	file_bytes;		/* of data.mdb, as allocated on disk */
	uint64_t	used_bytes;		/* of data.mdb, pages in use */
} SluiceStoreCounts;

typedef enum SluiceStoreMode
{
	SLUICE_STORE_OWN,			/* lock it; make it where there is none; set aside what is damaged */
	SLUICE_STORE_INSPECT,		/* lock it, read only; an error where there is none or where it is damaged */
	SLUICE_STORE_PEEK,			/* read only, without the lock: another process may have it open */
	SLUICE_STORE_MEND			/* lock it, read and write; an error where there is none or where it is damaged */
} SluiceStoreMode;

typedef struct SluiceStoreSettings
{
	const char *directory;
	const char *stream;			/* for a new buffer */
	SluiceStoreMode mode;
	uint64_t	map_bytes;		/* how large data.mdb may become; 0: as it is */
} SluiceStoreSettings;

/*
 * set_aside: room for a path; "" unless a damaged buffer was set aside.  A new
 * buffer (also the one in place of a damaged one) gets a new producer_id.
 * ERROR_LOCKED, ERROR_DISK, ERROR_MEMORY, ERROR_VERSION, ERROR_NOT_FOUND, ERROR_DAMAGED.
 */
extern int sluice_store_open(const SluiceStoreSettings *settings, SluiceStore **store,
							 char *set_aside, size_t set_aside_size, SluiceError *error);
extern void sluice_store_close(SluiceStore *store);

/* As it was committed last; the store's. */
extern const SluiceStoreState *sluice_store_state(const SluiceStore *store);

/* ---- writing: any error (but of begin) means that the transaction is to be aborted; nothing of it happens ---- */

extern int sluice_store_begin(SluiceStore *store);
extern int sluice_store_commit(SluiceStore *store);	/* also ends the transaction when it fails */
extern void sluice_store_abort(SluiceStore *store);

extern int sluice_store_put_state(SluiceStore *store, const SluiceStoreState *state);

/* Fastest in ascending order.  ERROR_FULL: the map is full. */
extern int sluice_store_put(SluiceStore *store, const SluiceStoreRecord *record);
extern int sluice_store_remove(SluiceStore *store, uint64_t sequence);	/* nothing where it is not there */

/* All records up to sequence, at most max of them; *removed tells how many: fewer than max means that all are gone. */
extern int sluice_store_remove_through(SluiceStore *store, uint64_t sequence, size_t max, size_t *removed);

extern int sluice_store_put_gap(SluiceStore *store, const SluiceStoreGap *gap);	/* one of the same from is replaced */
extern int sluice_store_remove_gap(SluiceStore *store, uint64_t from);	/* nothing where none begins there */
extern int sluice_store_remove_gaps_through(SluiceStore *store, uint64_t sequence);	/* a gap that goes on above it keeps the rest */

/*
 * P14.  The stream was replaced: what the old one had acknowledged, all up to sequence (0: nothing),
 * the new one must be told of, for it is not there.  In one transaction with the state that was unbound.
 */
extern int sluice_store_put_previous(SluiceStore *store, uint64_t sequence);
extern void sluice_store_unbind(SluiceStoreState *state);

/* Move a record to the dead letters, with the reason as a sentence.  Its bytes may be given, or NULL: those in the store. */
extern int sluice_store_set_aside(SluiceStore *store, const SluiceStoreRecord *record, const char *why);
extern int sluice_store_discard_dead(SluiceStore *store, uint64_t *discarded);

/* Why the last function failed, for people. */
extern const char *sluice_store_message(const SluiceStore *store);

/* ---- reading: what was committed; pointers are good during the visit; false from visit ends the scan ---- */

typedef bool (*SluiceStoreVisit) (void *argument, const SluiceStoreRecord *record);
typedef bool (*SluiceStoreVisitGap) (void *argument, const SluiceStoreGap *gap);
typedef bool (*SluiceStoreVisitDead) (void *argument, const SluiceStoreRecord *record, const char *why);

/* The records from `from` on, ascending.  ERROR_DAMAGED ends the scan before a record that is not whole. */
extern int sluice_store_scan(SluiceStore *store, uint64_t from, SluiceStoreVisit visit, void *argument);

/* The gaps with anything at or above `from`. */
extern int sluice_store_scan_gaps(SluiceStore *store, uint64_t from, SluiceStoreVisitGap visit, void *argument);
extern int sluice_store_scan_dead(SluiceStore *store, SluiceStoreVisitDead visit, void *argument);
extern int sluice_store_counts(SluiceStore *store, SluiceStoreCounts *counts);

/* Read every page and every entry: numbers in order, sums right, encoding right.  Tells each finding. */
extern int sluice_store_check(SluiceStore *store, void (*finding) (void *argument, bool error, const char *text), void *argument);

/* ---- care ---- */

/*
 * Give the disk back what is not used: a compact copy takes the place of
 * data.mdb (synced, then renamed, then the directory synced).  No thread may be reading.
 */
extern int sluice_store_compact(SluiceStore *store);

#endif							/* SLUICE_LIB_STORE_H */
