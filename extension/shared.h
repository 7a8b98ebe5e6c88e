/*
 * shared.h
 *		What the processes of pg_sluice share: who works, and statistics.
 */
#ifndef SLUICE_SHARED_H
#define SLUICE_SHARED_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "port/atomics.h"
#include "settings.h"

typedef enum SluiceWorkerState
{
	SLUICE_WORKER_NONE = 0,		/* the slot is free */
	SLUICE_WORKER_STARTING,
	SLUICE_WORKER_WAITING,		/* for CREATE EXTENSION */
	SLUICE_WORKER_SERVING,
	SLUICE_WORKER_DRAINING
} SluiceWorkerState;

/* What a worker counts, all since it started. */
typedef enum SluiceWorkerCounter
{
	SLUICE_WORKER_CALLS_NOW = 0,
	SLUICE_WORKER_RECORDS_RECEIVED,
	SLUICE_WORKER_RECORDS_NOW,
	SLUICE_WORKER_BYTES_NOW,
	SLUICE_WORKER_REFUSED_CALLS,
	SLUICE_WORKER_LISTENER_RESTARTS,
	SLUICE_WORKER_PENALTIES,
	SLUICE_WORKER_MAIN_CPU_US,
	SLUICE_WORKER_NETWORK_CPU_US,
	SLUICE_WORKER_COUNTERS		/* how many there are */
} SluiceWorkerCounter;

/* A copy of what shared memory holds about one worker. */
typedef struct SluiceWorkerStatus
{
	int			pid;			/* 0: none */
	SluiceWorkerState state;
	Oid			database;
	int			port;			/* 0: does not listen yet */
	bool		drained;		/* there was one since sluice_shared_worker_expect, and it was told to end */
	uint64		counters[SLUICE_WORKER_COUNTERS];
} SluiceWorkerStatus;

/* What became of the records of a stream since the server started. */
typedef struct SluiceStreamCounters
{
	pg_atomic_uint64 received;	/* the worker's: taken from the network */
	pg_atomic_uint64 retries;	/* the worker's: came back without a verdict */
	pg_atomic_uint64 stored;	/* this one and the rest: the ingest transaction's */
	pg_atomic_uint64 duplicate;
	pg_atomic_uint64 dead_lettered;
	pg_atomic_uint64 filtered;
	pg_atomic_uint64 key_conflicts;
	pg_atomic_uint64 batches;
	pg_atomic_uint64 last_commit;	/* TimestampTz, 0: none yet */
} SluiceStreamCounters;

#define SLUICE_HOLD_MESSAGE_SIZE 256

/* A copy of what shared memory holds about one stream. */
typedef struct SluiceStreamStatus
{
	int32		stream_id;
	const SluiceStreamCounters *counters;	/* in shared memory */
	int			hold;			/* SluiceHold */
	TimestampTz hold_since;
	char		sqlstate[6];
	char		message[SLUICE_HOLD_MESSAGE_SIZE];	/* UTF-8 */
} SluiceStreamStatus;

#define SLUICE_MAX_STREAM_STATUS 512

/* For _PG_init: hooks that ask for the memory and set it up. */
extern void sluice_shared_install(void);

/* False where the library was not preloaded: then nothing below does anything. */
extern PGDLLEXPORT bool sluice_shared_available(void);

/*
 * The worker's side.  Attaching gives the slot back when the process exits,
 * after everything that is registered with before_shmem_exit later on.
 */
extern PGDLLEXPORT void sluice_shared_worker_attach(int index);
extern PGDLLEXPORT void sluice_shared_worker_state(int index, SluiceWorkerState state, Oid database, int port);
extern PGDLLEXPORT void sluice_shared_worker_count(int index, SluiceWorkerCounter counter, uint64 value);

/* The launcher's: a worker is about to be started. */
extern void sluice_shared_worker_expect(int index);

/* Anybody's: set the latches of the workers that are connected to the database.  Also in a transaction callback. */
extern PGDLLEXPORT void sluice_shared_workers_wake(Oid database);

/* Anybody's. */
extern void sluice_shared_worker_status(int index, SluiceWorkerStatus *status);

/*
 * The counters of a stream, NULL where there is no shared memory.  The pointer
 * is good for the batch at hand: the slot may go to another stream later.
 */
extern PGDLLEXPORT SluiceStreamCounters *sluice_shared_stream_counters(Oid database, int32 stream_id);

/* Why a stream is held: hold is a SluiceHold.  message is UTF-8, clipped between characters. */
extern PGDLLEXPORT void sluice_shared_stream_hold(Oid database, int32 stream_id, int hold,
												  const char *sqlstate, const char *message);

/* No stream of the database is known to be held: a worker begins, and it will find out anew. */
extern PGDLLEXPORT void sluice_shared_stream_release_all(Oid database);

/* The stream was dropped: its slot is free again. */
extern PGDLLEXPORT void sluice_shared_stream_forget(Oid database, int32 stream_id);

/* Copies the status of all streams of a database into an array of SLUICE_MAX_STREAM_STATUS; returns how many. */
extern int	sluice_shared_stream_status(Oid database, SluiceStreamStatus *status);

#endif							/* SLUICE_SHARED_H */
