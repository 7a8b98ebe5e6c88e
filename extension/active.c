/*
 * active.c
 *		Which durable subscriptions are active, and where: slots in shared memory.
 *
 * Locking.  A slot is claimed, written and given back under the lock exclusive,
 * and copied under it shared.  The keys are atomic and lie beside each other, so that
 * looking for one needs no lock; a key is written last.  What others
 * tell the owner of a slot, changes and unsubscribe, is atomic as well.  Telling it to a
 * slot that has just gone to another subscription is harmless for the
 * changes: its worker reads a row once more.  A call is ended under the lock.
 */
#include "postgres.h"

#include "active.h"

#include "access/xact.h"
#include "common/hashfn.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "port/atomics.h"
#include "shared.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

typedef struct ActiveSlot
{
	pg_atomic_uint64 changes;
	pg_atomic_uint32 unsubscribe;
	int			worker;
	int			pid;
	uint64		epoch;			/* 0: not yet */
	TimestampTz since;
	char		consumer[SLUICE_ACTIVE_TEXT];
	char		address[SLUICE_ACTIVE_TEXT];
	SluiceActiveReport report;
} ActiveSlot;

/* Calls of Unsubscribe that ended all calls of a subscription: the last so many of the cluster. */
#define ENDINGS 256

typedef struct ActiveState
{
	LWLock	   *lock;
	pg_atomic_uint64 nendings;	/* ever; written under the lock */
	uint64		endings[ENDINGS];	/* keys */
	pg_atomic_uint64 keys[SLUICE_ACTIVE_SLOTS]; /* 0: free */
	ActiveSlot	slots[SLUICE_ACTIVE_SLOTS];
} ActiveState;

static ActiveState *active_state = NULL;
static shmem_request_hook_type next_request_hook = NULL;
static shmem_startup_hook_type next_startup_hook = NULL;

/* What this transaction has changed by SQL: ids, in TopTransactionContext. */
static List *changed = NIL;

#define TRANCHE_NAME "sluice active"

static void
active_request(void)
{
	if (next_request_hook)
		next_request_hook();
	RequestAddinShmemSpace(MAXALIGN(sizeof(ActiveState)));
	RequestNamedLWLockTranche(TRANCHE_NAME, 1);
}

static void
active_startup(void)
{
	bool		found;

	if (next_startup_hook)
		next_startup_hook();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	active_state = ShmemInitStruct("pg_sluice active", sizeof(ActiveState), &found);
	if (!found)
	{
		memset(active_state, 0, sizeof(ActiveState));
		pg_atomic_init_u64(&active_state->nendings, 0);
		active_state->lock = &GetNamedLWLockTranche(TRANCHE_NAME)->lock;
		for (int i = 0; i < SLUICE_ACTIVE_SLOTS; i++)
		{
			pg_atomic_init_u64(&active_state->keys[i], 0);
			pg_atomic_init_u64(&active_state->slots[i].changes, 0);
			pg_atomic_init_u32(&active_state->slots[i].unsubscribe, 0);
		}
	}
	LWLockRelease(AddinShmemInitLock);
}

void
sluice_active_install(void)
{
	next_request_hook = shmem_request_hook;
	shmem_request_hook = active_request;
	next_startup_hook = shmem_startup_hook;
	shmem_startup_hook = active_startup;
}

static inline uint64
active_key(int32 subscription)
{
	return ((uint64) MyDatabaseId << 32) | (uint32) subscription;
}

/* The slot that has the key (0: one that is free), or -1.  Where the search begins depends on the subscription, so it is short. */
static int
find_slot(uint64 key, int32 subscription)
{
	uint32		start = murmurhash32((uint32) subscription) % SLUICE_ACTIVE_SLOTS;

	for (uint32 i = 0; i < SLUICE_ACTIVE_SLOTS; i++)
	{
		uint32		index = (start + i) % SLUICE_ACTIVE_SLOTS;

		if (pg_atomic_read_u64(&active_state->keys[index]) == key)
			return index;
	}
	return -1;
}

/* ---- the worker's side ---- */

static void
release_all(int code, Datum arg)
{
	bool		any = false;

	LWLockAcquire(active_state->lock, LW_EXCLUSIVE);
	for (int i = 0; i < SLUICE_ACTIVE_SLOTS; i++)
		if (pg_atomic_read_u64(&active_state->keys[i]) != 0 && active_state->slots[i].pid == MyProcPid)
		{
			pg_atomic_write_u64(&active_state->keys[i], 0);
			any = true;
		}
	LWLockRelease(active_state->lock);
	if (any)
		sluice_shared_workers_wake(MyDatabaseId);
}

static void
copy_clipped(char *to, const char *utf8)
{
	int			length = pg_encoding_mbcliplen(PG_UTF8, utf8, strlen(utf8), SLUICE_ACTIVE_TEXT - 1);

	memcpy(to, utf8, length);
	to[length] = '\0';
}

static void
fill_slot(ActiveSlot *slot, int worker, const char *consumer, const char *address)
{
	slot->worker = worker;
	slot->pid = MyProcPid;
	slot->epoch = 0;
	slot->since = GetCurrentTimestamp();
	copy_clipped(slot->consumer, consumer);
	copy_clipped(slot->address, address);
	memset(&slot->report, 0, sizeof(slot->report));
	slot->report.state = SLUICE_ACTIVE_STARTING;
	pg_atomic_write_u32(&slot->unsubscribe, 0);
}

int
sluice_active_claim(int32 subscription, int worker, const char *consumer, const char *address)
{
	static bool registered = false;
	uint64		key = active_key(subscription);
	int			index;

	if (active_state == NULL)
		elog(ERROR, "shared memory of pg_sluice is not there");
	if (!registered)
		before_shmem_exit(release_all, (Datum) 0);
	registered = true;
	LWLockAcquire(active_state->lock, LW_EXCLUSIVE);
	index = find_slot(key, subscription) >= 0 ? -1 : find_slot(0, subscription);
	if (index >= 0)
	{
		fill_slot(&active_state->slots[index], worker, consumer, address);
		pg_write_barrier();
		pg_atomic_write_u64(&active_state->keys[index], key);
	}
	LWLockRelease(active_state->lock);
	return index;
}

void
sluice_active_release(int slot)
{
	LWLockAcquire(active_state->lock, LW_EXCLUSIVE);
	pg_atomic_write_u64(&active_state->keys[slot], 0);
	LWLockRelease(active_state->lock);
	sluice_shared_workers_wake(MyDatabaseId);
}

void
sluice_active_set_epoch(int slot, uint64 epoch)
{
	LWLockAcquire(active_state->lock, LW_EXCLUSIVE);
	active_state->slots[slot].epoch = epoch;
	LWLockRelease(active_state->lock);
}

void
sluice_active_report(int slot, const SluiceActiveReport *report)
{
	LWLockAcquire(active_state->lock, LW_EXCLUSIVE);
	active_state->slots[slot].report = *report;
	LWLockRelease(active_state->lock);
}

uint64
sluice_active_changes(int slot, bool *unsubscribe)
{
	*unsubscribe = pg_atomic_read_u32(&active_state->slots[slot].unsubscribe) != 0;
	return pg_atomic_read_u64(&active_state->slots[slot].changes);
}

/* ---- anybody's ---- */

bool
sluice_active_find(int32 subscription, SluiceActive *active)
{
	int			index;

	if (active_state == NULL)
		return false;
	LWLockAcquire(active_state->lock, LW_SHARED);
	index = find_slot(active_key(subscription), subscription);
	if (index >= 0)
	{
		ActiveSlot *slot = &active_state->slots[index];

		active->subscription = subscription;
		active->worker = slot->worker;
		active->pid = slot->pid;
		active->epoch = slot->epoch;
		active->changes = sluice_active_changes(index, &active->unsubscribe);
		active->since = slot->since;
		memcpy(active->consumer, slot->consumer, SLUICE_ACTIVE_TEXT);
		memcpy(active->address, slot->address, SLUICE_ACTIVE_TEXT);
		active->report = slot->report;
	}
	LWLockRelease(active_state->lock);
	return index >= 0;
}

bool
sluice_active_has_epoch(int32 subscription, uint64 epoch)
{
	SluiceActive active;

	return epoch != 0 && sluice_active_find(subscription, &active) && active.epoch == epoch;
}

bool
sluice_active_unsubscribe(int32 subscription, uint64 epoch)
{
	bool		found = false;
	int			index;

	if (active_state == NULL)
		return false;
	LWLockAcquire(active_state->lock, LW_EXCLUSIVE);
	index = find_slot(active_key(subscription), subscription);
	if (index >= 0 && (epoch == 0 || active_state->slots[index].epoch == epoch))
	{
		pg_atomic_write_u32(&active_state->slots[index].unsubscribe, 1);
		found = true;
	}
	if (epoch == 0)
	{
		uint64		n = pg_atomic_read_u64(&active_state->nendings);

		active_state->endings[n % ENDINGS] = active_key(subscription);
		pg_atomic_write_u64(&active_state->nendings, n + 1);
	}
	LWLockRelease(active_state->lock);
	if (found || epoch == 0)
		sluice_shared_workers_wake(MyDatabaseId);
	return found;
}

uint64
sluice_active_endings(void)
{
	return active_state == NULL ? 0 : pg_atomic_read_u64(&active_state->nendings);
}

bool
sluice_active_was_ended(int32 subscription, uint64 *since)
{
	uint64		key = active_key(subscription);
	bool		found = false;
	uint64		n;

	if (active_state == NULL || pg_atomic_read_u64(&active_state->nendings) == *since)
		return false;
	LWLockAcquire(active_state->lock, LW_SHARED);
	n = pg_atomic_read_u64(&active_state->nendings);
	/* Some that nobody has looked at in time are told as if they were of all: a consumer comes again. */
	if (n - *since > ENDINGS)
		found = true;
	for (; !found && *since < n; (*since)++)
		found = active_state->endings[*since % ENDINGS] == key;
	*since = n;
	LWLockRelease(active_state->lock);
	return found;
}

/*
 * At commit the change is visible and its lock is gone.  At PREPARE it is
 * neither, but nobody tells of COMMIT PREPARED: the worker looks, finds the row locked, and
 * goes on looking until it is not.  An abort changes nothing, but who waited
 * for the row can have it now.  What a rolled-back savepoint had changed is told as well: it is
 * a look in vain.
 */
static void
tell_changes(XactEvent event, void *arg)
{
	ListCell   *cell;

	if (changed == NIL)
		return;
	if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_PREPARE && event != XACT_EVENT_ABORT)
		return;
	foreach(cell, changed)
	{
		int			index = find_slot(active_key(lfirst_int(cell)), lfirst_int(cell));

		if (index >= 0 && event != XACT_EVENT_ABORT)
			pg_atomic_fetch_add_u64(&active_state->slots[index].changes, 1);
	}
	changed = NIL;
	sluice_shared_workers_wake(MyDatabaseId);
}

void
sluice_active_change_at_commit(int32 subscription)
{
	static bool registered = false;
	MemoryContext old;

	if (active_state == NULL)
		return;
	if (!registered)
		RegisterXactCallback(tell_changes, NULL);
	registered = true;
	old = MemoryContextSwitchTo(TopTransactionContext);
	changed = list_append_unique_int(changed, subscription);
	MemoryContextSwitchTo(old);
}
