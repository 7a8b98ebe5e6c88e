/*
 * watch.h
 *		Telling a worker that a transaction has written to a table it delivers from.
 *
 * The library is preloaded, so every backend has a transaction callback of ours:
 * at commit, abort and prepare it asks its own lock table whether it holds
 * RowExclusiveLock on one of the watched tables, and sets the latch of the worker
 * that watches it.  No triggers, no NOTIFY; 11 ns for each watched table of its database,
 * and one read of shared memory where nothing is watched.  An aborted one
 * tells as well: somebody may wait for its end.  COMMIT PREPARED is not told
 * (PREPARE is): who waits for a prepared transaction has to look by itself.
 */
#ifndef SLUICE_WATCH_H
#define SLUICE_WATCH_H

#include "postgres.h"

/* Tables and partitions that a worker can watch one by one; with more of them every writing transaction of the database wakes it. */
#define SLUICE_WATCH_MAX 256

/* For _PG_init. */
extern void sluice_watch_install(void);

/* The worker's, which owns the index: nothing is watched, and again when it exits. */
extern PGDLLEXPORT void sluice_watch_attach(int worker);

/* From here on exactly these tables of this database are watched. */
extern PGDLLEXPORT void sluice_watch_set(const Oid *relids, int n);

/* Has a transaction that wrote to one of them ended since the last time this was asked?  (The latch was set, too.) */
extern PGDLLEXPORT bool sluice_watch_take(void);

#endif							/* SLUICE_WATCH_H */
