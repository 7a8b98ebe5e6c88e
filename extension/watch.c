/*
 * watch.c
 *		Telling a worker that a transaction has written to a table it delivers from.
 *
 * Each worker has a slot in shared memory with the tables that it watches; a mask tells
 * which slots are in use.  Slots are read without a lock by every transaction that ends, and
 * written by their worker alone: it makes the version odd, writes, and makes it even.  A reader that
 * sees the version odd or changing tells the worker: one wake-up too many does no
 * harm, and waiting at the end of a transaction would.
 *
 * Nothing is lost.  A transaction becomes visible, and only then (behind ProcArrayLock, which
 * is a barrier) its callback reads the mask and the slots.  The worker writes its slot,
 * passes a barrier, and then looks at the transactions.  So either the
 * callback sees the table in the slot, or the worker sees that the transaction has ended.  One without a
 * transaction id passes no barrier: it has committed no row, and who waits for its end looks again by a timer.
 *
 * The number of the worker's PGPROC is kept, not the address of its latch:
 * after the worker's exit another process may have the place, and is woken for nothing.
 */
#include "postgres.h"

#include "watch.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "port/atomics.h"
#include "settings.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lock.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "storage/shmem.h"

typedef struct Slot
{
	pg_atomic_uint32 dirty;		/* somebody wrote since the worker asked last */
	char		apart[PG_CACHE_LINE_SIZE];	/* the rest is read by everybody, and seldom changes */
	pg_atomic_uint32 version;	/* odd: being written */
	Oid			database;
	int			pgprocno;		/* of the worker */
	int			n;				/* over SLUICE_WATCH_MAX: all tables */
	Oid			relids[SLUICE_WATCH_MAX];
} Slot;

typedef struct Watches
{
	pg_atomic_uint32 mask;		/* workers whose slots are in use */
	char		apart[PG_CACHE_LINE_SIZE];
	Slot		slots[SLUICE_MAX_WORKERS];
} Watches;

StaticAssertDecl(SLUICE_MAX_WORKERS <= 32, "the mask has a bit for each worker");

static Watches *watches = NULL;
static int	own = -1;			/* worker: its slot */
static uint32 to_tell = 0;		/* workers, found by PRE_PREPARE, to be told at PREPARE */
static shmem_request_hook_type next_request_hook = NULL;
static shmem_startup_hook_type next_startup_hook = NULL;

/* Has this transaction, whose locks are still held, written to a table in the slot? */
static bool
concerns(Slot *slot, bool has_xid)
{
	uint32		version = pg_atomic_read_u32(&slot->version);
	bool		found = false;

	pg_read_barrier();
	if (slot->database == MyDatabaseId)
	{
		int			n = slot->n;

		if (n > SLUICE_WATCH_MAX)
			found = has_xid;
		else
			for (int i = 0; i < n && !found; i++)
			{
				LOCKTAG		tag;

				SET_LOCKTAG_RELATION(tag, MyDatabaseId, slot->relids[i]);
				found = LockHeldByMe(&tag, RowExclusiveLock);
			}
	}
	pg_read_barrier();
	return found || version % 2 != 0 || pg_atomic_read_u32(&slot->version) != version;
}

static uint32
find_concerned(uint32 mask, bool has_xid)
{
	uint32		concerned = 0;

	for (int i = 0; i < SLUICE_MAX_WORKERS && mask >> i != 0; i++)
		if ((mask >> i & 1) != 0 && concerns(&watches->slots[i], has_xid))
			concerned |= (uint32) 1 << i;
	return concerned;
}

static void
tell(uint32 mask)
{
	for (int i = 0; i < SLUICE_MAX_WORKERS && mask >> i != 0; i++)
	{
		Slot	   *slot = &watches->slots[i];

		if ((mask >> i & 1) == 0)
			continue;
		(void) pg_atomic_exchange_u32(&slot->dirty, 1);
		SetLatch(&ProcGlobal->allProcs[slot->pgprocno].procLatch);
	}
}

static void
transaction_event(XactEvent event, void *arg)
{
	uint32		mask;

	/* The postmaster's memory is not there yet when it loads us. */
	if (watches == NULL)
		return;
	mask = pg_atomic_read_u32(&watches->mask);
	if (mask == 0 && to_tell == 0)
		return;
	switch (event)
	{
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_ABORT:
			to_tell = 0;
			tell(find_concerned(mask, TransactionIdIsValid(GetTopTransactionIdIfAny())));
			break;
		case XACT_EVENT_PRE_PREPARE:
			/* It will have a transaction id; its locks will be another's. */
			to_tell = find_concerned(mask, true);
			break;
		case XACT_EVENT_PREPARE:
			tell(to_tell);
			to_tell = 0;
			break;
		default:
			break;
	}
}

static void
watch_request(void)
{
	if (next_request_hook)
		next_request_hook();
	RequestAddinShmemSpace(sizeof(Watches));
}

static void
watch_startup(void)
{
	bool		found;

	if (next_startup_hook)
		next_startup_hook();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	watches = ShmemInitStruct("pg_sluice watches", sizeof(Watches), &found);
	if (!found)
	{
		memset(watches, 0, sizeof(Watches));
		pg_atomic_init_u32(&watches->mask, 0);
		for (int i = 0; i < SLUICE_MAX_WORKERS; i++)
		{
			pg_atomic_init_u32(&watches->slots[i].dirty, 0);
			pg_atomic_init_u32(&watches->slots[i].version, 0);
		}
	}
	LWLockRelease(AddinShmemInitLock);
}

void
sluice_watch_install(void)
{
	next_request_hook = shmem_request_hook;
	shmem_request_hook = watch_request;
	next_startup_hook = shmem_startup_hook;
	shmem_startup_hook = watch_startup;
	RegisterXactCallback(transaction_event, NULL);
}

static void
watch_detach(int code, Datum arg)
{
	pg_atomic_fetch_and_u32(&watches->mask, ~((uint32) 1 << own));
}

void
sluice_watch_attach(int worker)
{
	if (watches == NULL)
		elog(ERROR, "shared memory of pg_sluice is not there");
	if (worker < 0 || worker >= SLUICE_MAX_WORKERS)
		elog(ERROR, "invalid worker number %d", worker);
	if (own < 0)
		before_shmem_exit(watch_detach, (Datum) 0);
	own = worker;
	sluice_watch_set(NULL, 0);
	(void) sluice_watch_take();
}

void
sluice_watch_set(const Oid *relids, int n)
{
	Slot	   *slot = &watches->slots[own];
	uint32		bit = (uint32) 1 << own;

	Assert(own >= 0);
	if (n == 0)
	{
		pg_atomic_fetch_and_u32(&watches->mask, ~bit);
		return;
	}
	/* Atomic additions are full barriers. */
	pg_atomic_fetch_add_u32(&slot->version, 1);
	slot->database = MyDatabaseId;
	slot->pgprocno = MyProc->pgprocno;
	slot->n = n;
	if (n <= SLUICE_WATCH_MAX)
		memcpy(slot->relids, relids, sizeof(Oid) * n);
	pg_atomic_fetch_add_u32(&slot->version, 1);
	pg_atomic_fetch_or_u32(&watches->mask, bit);
}

bool
sluice_watch_take(void)
{
	return pg_atomic_exchange_u32(&watches->slots[own].dirty, 0) != 0;
}
