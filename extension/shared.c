/*
 * shared.c
 *		What the processes of pg_sluice share: who works, and statistics.
 *
 * There is a slot for each worker, which that worker alone writes, and an
 * array of slots for the counters of streams, keyed by (database, stream).
 * Nothing in here decides what happens to a record: after a crash it begins
 * anew, and a stream whose slot was taken away only counts from zero again.
 *
 * Locking.  Counters, pids and the keys of the stream slots are atomic; a key
 * is written last, so whoever finds it finds the counters set up.  Slots are
 * given out, and texts and states are written, under the lock exclusive; texts and states
 * are read under the lock shared.  A counter may be raised in a slot that has just
 * been given to another stream: such a slot was the least recently used of
 * all, so that is rare and harmless.
 */
#include "postgres.h"

#include "shared.h"

#include "common/hashfn.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "storage/shmem.h"
#include "utils/timestamp.h"

typedef struct WorkerSlot
{
	int			pid;
	int			pgprocno;		/* whose latch wakes it */
	SluiceWorkerState state;
	Oid			database;
	int			port;
	bool		drained;		/* whoever had the slot last was told to end */
	pg_atomic_uint64 counters[SLUICE_WORKER_COUNTERS];
} WorkerSlot;

typedef struct StreamSlot
{
	pg_atomic_uint64 used;		/* when the counters were last asked for: seconds, not exact */
	SluiceStreamCounters counters;
	int			hold;
	TimestampTz hold_since;
	char		sqlstate[6];
	char		message[SLUICE_HOLD_MESSAGE_SIZE];
} StreamSlot;

typedef struct SharedState
{
	LWLock	   *lock;
	WorkerSlot	workers[SLUICE_MAX_WORKERS];
	pg_atomic_uint64 stream_keys[SLUICE_MAX_STREAM_STATUS]; /* 0: free */
	StreamSlot	streams[SLUICE_MAX_STREAM_STATUS];
} SharedState;

static SharedState *shared = NULL;
static shmem_request_hook_type next_request_hook = NULL;
static shmem_startup_hook_type next_startup_hook = NULL;

#define TRANCHE_NAME "sluice"

static void
shared_request(void)
{
	if (next_request_hook)
		next_request_hook();
	RequestAddinShmemSpace(MAXALIGN(sizeof(SharedState)));
	RequestNamedLWLockTranche(TRANCHE_NAME, 1);
}

static void
stream_counters_init(SluiceStreamCounters *counters)
{
	pg_atomic_init_u64(&counters->received, 0);
	pg_atomic_init_u64(&counters->retries, 0);
	pg_atomic_init_u64(&counters->stored, 0);
	pg_atomic_init_u64(&counters->duplicate, 0);
	pg_atomic_init_u64(&counters->dead_lettered, 0);
	pg_atomic_init_u64(&counters->filtered, 0);
	pg_atomic_init_u64(&counters->key_conflicts, 0);
	pg_atomic_init_u64(&counters->batches, 0);
	pg_atomic_init_u64(&counters->last_commit, 0);
}

static void
shared_startup(void)
{
	bool		found;

	if (next_startup_hook)
		next_startup_hook();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	shared = ShmemInitStruct("pg_sluice", sizeof(SharedState), &found);
	if (!found)
	{
		memset(shared, 0, sizeof(SharedState));
		shared->lock = &GetNamedLWLockTranche(TRANCHE_NAME)->lock;
		for (int i = 0; i < SLUICE_MAX_WORKERS; i++)
			for (int j = 0; j < SLUICE_WORKER_COUNTERS; j++)
				pg_atomic_init_u64(&shared->workers[i].counters[j], 0);
		for (int i = 0; i < SLUICE_MAX_STREAM_STATUS; i++)
		{
			pg_atomic_init_u64(&shared->stream_keys[i], 0);
			pg_atomic_init_u64(&shared->streams[i].used, 0);
			stream_counters_init(&shared->streams[i].counters);
		}
	}
	LWLockRelease(AddinShmemInitLock);
}

void
sluice_shared_install(void)
{
	next_request_hook = shmem_request_hook;
	shmem_request_hook = shared_request;
	next_startup_hook = shmem_startup_hook;
	shmem_startup_hook = shared_startup;
}

bool
sluice_shared_available(void)
{
	return shared != NULL;
}

/* ---- workers ---- */

static void
worker_detach(int code, Datum index)
{
	WorkerSlot *slot = &shared->workers[DatumGetInt32(index)];

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	if (slot->pid == MyProcPid)
	{
		slot->drained = slot->state == SLUICE_WORKER_DRAINING;
		slot->pid = 0;
		slot->state = SLUICE_WORKER_NONE;
	}
	LWLockRelease(shared->lock);
}

void
sluice_shared_worker_expect(int index)
{
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	shared->workers[index].drained = false;
	LWLockRelease(shared->lock);
}

void
sluice_shared_worker_attach(int index)
{
	WorkerSlot *slot;

	if (shared == NULL)
		elog(ERROR, "shared memory of pg_sluice is not there");
	if (index < 0 || index >= SLUICE_MAX_WORKERS)
		elog(ERROR, "invalid worker number %d", index);
	slot = &shared->workers[index];
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	if (slot->pid != 0)
	{
		int			pid = slot->pid;

		LWLockRelease(shared->lock);
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("sluice worker %d is still running as process %d", index + 1, pid)));
	}
	slot->pid = MyProcPid;
	slot->pgprocno = MyProc->pgprocno;
	slot->state = SLUICE_WORKER_STARTING;
	slot->database = InvalidOid;
	slot->port = 0;
	for (int i = 0; i < SLUICE_WORKER_COUNTERS; i++)
		pg_atomic_write_u64(&slot->counters[i], 0);
	LWLockRelease(shared->lock);
	before_shmem_exit(worker_detach, Int32GetDatum(index));
}

void
sluice_shared_worker_state(int index, SluiceWorkerState state, Oid database, int port)
{
	WorkerSlot *slot = &shared->workers[index];

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	slot->state = state;
	slot->database = database;
	slot->port = port;
	LWLockRelease(shared->lock);
}

void
sluice_shared_worker_count(int index, SluiceWorkerCounter counter, uint64 value)
{
	pg_atomic_write_u64(&shared->workers[index].counters[counter], value);
}

void
sluice_shared_worker_status(int index, SluiceWorkerStatus *status)
{
	WorkerSlot *slot;

	memset(status, 0, sizeof(*status));
	if (shared == NULL)
		return;
	slot = &shared->workers[index];
	LWLockAcquire(shared->lock, LW_SHARED);
	status->pid = slot->pid;
	status->state = slot->state;
	status->database = slot->database;
	status->port = slot->port;
	status->drained = slot->drained;
	LWLockRelease(shared->lock);
	for (int i = 0; i < SLUICE_WORKER_COUNTERS; i++)
		status->counters[i] = pg_atomic_read_u64(&slot->counters[i]);
}

void
sluice_shared_workers_wake(Oid database)
{
	if (shared == NULL)
		return;
	LWLockAcquire(shared->lock, LW_SHARED);
	for (int i = 0; i < SLUICE_MAX_WORKERS; i++)
		if (shared->workers[i].pid != 0 && shared->workers[i].database == database)
			SetLatch(&ProcGlobal->allProcs[shared->workers[i].pgprocno].procLatch);
	LWLockRelease(shared->lock);
}

/* ---- streams ---- */

static inline uint64
stream_key(Oid database, int32 stream_id)
{
	return ((uint64) database << 32) | (uint32) stream_id;
}

/* Where to look for a key first. */
static inline uint32
stream_start(uint64 key)
{
	return hash_combine(murmurhash32((uint32) (key >> 32)), murmurhash32((uint32) key)) %
		SLUICE_MAX_STREAM_STATUS;
}

/* The slot that has the key, or -1.  Where the search begins depends on the key, so the first look nearly always hits. */
static int
stream_find(uint64 key)
{
	uint32		start = stream_start(key);

	for (uint32 i = 0; i < SLUICE_MAX_STREAM_STATUS; i++)
	{
		uint32		index = (start + i) % SLUICE_MAX_STREAM_STATUS;

		if (pg_atomic_read_u64(&shared->stream_keys[index]) == key)
		{
			pg_read_barrier();
			return index;
		}
	}
	return -1;
}

/* A slot for a new key: a free one, else the least recently used.  The lock is held exclusive. */
static int
stream_choose(uint64 key)
{
	uint32		start = stream_start(key);
	int			oldest = start;

	for (uint32 i = 0; i < SLUICE_MAX_STREAM_STATUS; i++)
	{
		uint32		index = (start + i) % SLUICE_MAX_STREAM_STATUS;

		if (pg_atomic_read_u64(&shared->stream_keys[index]) == 0)
			return index;
		if (pg_atomic_read_u64(&shared->streams[index].used) <
			pg_atomic_read_u64(&shared->streams[oldest].used))
			oldest = index;
	}
	return oldest;
}

static int
stream_claim(uint64 key)
{
	int			index;
	StreamSlot *slot;

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	index = stream_find(key);
	if (index < 0)
	{
		index = stream_choose(key);
		slot = &shared->streams[index];
		pg_atomic_write_u64(&shared->stream_keys[index], 0);
		pg_write_barrier();
		stream_counters_init(&slot->counters);
		slot->hold = 0;
		slot->hold_since = 0;
		slot->sqlstate[0] = '\0';
		slot->message[0] = '\0';
		pg_write_barrier();
		pg_atomic_write_u64(&shared->stream_keys[index], key);
	}
	LWLockRelease(shared->lock);
	return index;
}

static StreamSlot *
stream_slot(Oid database, int32 stream_id)
{
	uint64		key = stream_key(database, stream_id);
	int			index = stream_find(key);
	uint64		now = (uint64) (GetCurrentTimestamp() / USECS_PER_SEC);
	StreamSlot *slot;

	if (index < 0)
		index = stream_claim(key);
	slot = &shared->streams[index];
	if (pg_atomic_read_u64(&slot->used) != now)
		pg_atomic_write_u64(&slot->used, now);
	return slot;
}

SluiceStreamCounters *
sluice_shared_stream_counters(Oid database, int32 stream_id)
{
	if (shared == NULL)
		return NULL;
	return &stream_slot(database, stream_id)->counters;
}

void
sluice_shared_stream_hold(Oid database, int32 stream_id, int hold,
						  const char *sqlstate, const char *message)
{
	StreamSlot *slot;
	int			length;

	if (shared == NULL)
		return;
	slot = stream_slot(database, stream_id);
	if (hold == 0 && slot->hold == 0)
		return;					/* the usual case, after every batch: no lock */
	length = pg_encoding_mbcliplen(PG_UTF8, message, strlen(message), SLUICE_HOLD_MESSAGE_SIZE - 1);
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	if (hold == 0)
		slot->hold_since = 0;
	else if (slot->hold == 0)
		slot->hold_since = GetCurrentTimestamp();
	slot->hold = hold;
	strlcpy(slot->sqlstate, sqlstate, sizeof(slot->sqlstate));
	memcpy(slot->message, message, length);
	slot->message[length] = '\0';
	LWLockRelease(shared->lock);
}

void
sluice_shared_stream_release_all(Oid database)
{
	if (shared == NULL)
		return;
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < SLUICE_MAX_STREAM_STATUS; i++)
	{
		StreamSlot *slot = &shared->streams[i];

		if ((Oid) (pg_atomic_read_u64(&shared->stream_keys[i]) >> 32) != database)
			continue;
		slot->hold = 0;
		slot->hold_since = 0;
		slot->sqlstate[0] = '\0';
		slot->message[0] = '\0';
	}
	LWLockRelease(shared->lock);
}

void
sluice_shared_stream_forget(Oid database, int32 stream_id)
{
	int			index;

	if (shared == NULL)
		return;
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	index = stream_find(stream_key(database, stream_id));
	if (index >= 0)
		pg_atomic_write_u64(&shared->stream_keys[index], 0);
	LWLockRelease(shared->lock);
}

int
sluice_shared_stream_status(Oid database, SluiceStreamStatus *status)
{
	int			n = 0;

	if (shared == NULL)
		return 0;
	LWLockAcquire(shared->lock, LW_SHARED);
	for (int i = 0; i < SLUICE_MAX_STREAM_STATUS; i++)
	{
		uint64		key = pg_atomic_read_u64(&shared->stream_keys[i]);
		StreamSlot *slot = &shared->streams[i];

		if (key == 0 || (Oid) (key >> 32) != database)
			continue;
		status[n].stream_id = (int32) (uint32) key;
		status[n].counters = &slot->counters;
		status[n].hold = slot->hold;
		status[n].hold_since = slot->hold_since;
		memcpy(status[n].sqlstate, slot->sqlstate, sizeof(slot->sqlstate));
		memcpy(status[n].message, slot->message, sizeof(slot->message));
		n++;
	}
	LWLockRelease(shared->lock);
	return n;
}
