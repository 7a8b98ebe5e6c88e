/*
 * buckets.c
 *		Which token bucket is whose: those of streams and of client addresses, shared by all workers.
 *
 * Two tables of fixed size in shared memory.  The main thread of a worker finds
 * or claims a slot when a call opens, under the lock; from then on the network
 * threads take from its bucket by atomic operations alone, and say once in a while
 * that it is in use (bucket->used_at).  So nothing is counted that a worker which dies
 * would leave behind.  A slot is given to another one when nobody has used it
 * for a while and its bucket is full again: that forgets nothing but statistics.
 *
 * Where all slots are busy a newcomer shares one, found by its hash, with whoever
 * has it, and with his limits: it may wait for others, but it is never refused.
 *
 * Rates lie beside the buckets.  Each worker writes them for all slots after
 * a reload, and those of streams after sluice.streams has changed; all write the
 * same, so it does not matter who is last.
 */
#include "postgres.h"

#include "buckets.h"

#include <time.h>

#include "access/xact.h"
#include "bucket.h"
#include "catalog.h"
#include "common/hashfn.h"
#include "endpoint/login.h"
#include "miscadmin.h"
#include "origin.h"
#include "settings.h"
#include "storage/ipc.h"
#include "storage/lmgr.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "stream.h"
#include "worker_transaction.h"

#define SLOTS 4096
#define TRANCHE_NAME "sluice buckets"

/* Ten times as long as the network threads take to say that they use a bucket. */
#define UNUSED_NS (10 * INT64CONST(1000) * 1000 * 1000)

typedef struct Slot
{
	uint64		key;			/* 0: free */
	int32		rate;			/* the stream's own, or SLUICE_BUCKETS_DEFAULT */
	int32		burst;
	SluiceBucket bucket;
} Slot;

typedef struct Buckets
{
	LWLock	   *lock;
	Slot		streams[SLOTS];
	Slot		addresses[SLOTS];
} Buckets;

static Buckets *buckets = NULL;
static uint64 seen_changes = 0; /* of sluice.streams */
static shmem_request_hook_type next_request_hook = NULL;
static shmem_startup_hook_type next_startup_hook = NULL;

static void
buckets_request(void)
{
	if (next_request_hook)
		next_request_hook();
	RequestAddinShmemSpace(MAXALIGN(sizeof(Buckets)));
	RequestNamedLWLockTranche(TRANCHE_NAME, 1);
}

static void
buckets_startup(void)
{
	bool		found;

	if (next_startup_hook)
		next_startup_hook();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	buckets = ShmemInitStruct("pg_sluice buckets", sizeof(Buckets), &found);
	if (!found)
	{
		memset(buckets, 0, sizeof(Buckets));
		buckets->lock = &GetNamedLWLockTranche(TRANCHE_NAME)->lock;
	}
	LWLockRelease(AddinShmemInitLock);
}

void
sluice_buckets_install(void)
{
	next_request_hook = shmem_request_hook;
	shmem_request_hook = buckets_request;
	next_startup_hook = shmem_startup_hook;
	shmem_startup_hook = buckets_startup;
}

/* ---- keys ---- */

static uint64
stream_key(Oid database, int32 stream_id)
{
	return ((uint64) database << 32) | (uint32) stream_id;
}

/* Never 0, which is no key. */
static uint64
address_key(const struct sockaddr_storage *address)
{
	SluiceOrigin origin = sluice_origin_of(address);

	return DatumGetUInt64(hash_any_extended((const unsigned char *) &origin, sizeof(origin), 0)) | 1;
}

/* ---- slots ---- */

static int64
now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * INT64CONST(1000000000) + now.tv_nsec;
}

static Slot *
slot_at(Slot *slots, uint64 key, int step)
{
	uint32		start = hash_combine(murmurhash32((uint32) (key >> 32)), murmurhash32((uint32) key));

	return &slots[(start + (uint32) step) % SLOTS];
}

static Slot *
slot_find(Slot *slots, uint64 key)
{
	for (int i = 0; i < SLOTS; i++)
	{
		Slot	   *slot = slot_at(slots, key, i);

		if (slot->key == key)
			return slot;
		if (slot->key == 0)
			break;				/* a slot never becomes free again, so it is not behind one */
	}
	return NULL;
}

static bool
slot_is_idle(const Slot *slot, int64 now)
{
	return slot->key == 0 ||
		(now - atomic_load_explicit(&slot->bucket.used_at, memory_order_relaxed) > UNUSED_NS &&
		 sluice_bucket_is_full(&slot->bucket, now));
}

/* The first one that is free, or of somebody who is gone; NULL where all are busy. */
static Slot *
slot_claim(Slot *slots, uint64 key, int64 now)
{
	for (int i = 0; i < SLOTS; i++)
	{
		Slot	   *slot = slot_at(slots, key, i);

		if (!slot_is_idle(slot, now))
			continue;
		memset(slot, 0, sizeof(*slot));
		slot->key = key;
		return slot;
	}
	return NULL;
}

static void
slot_set_rate(Slot *slot, int rate, int burst)
{
	sluice_bucket_set(&slot->bucket, slot->rate == SLUICE_BUCKETS_DEFAULT ? rate : slot->rate,
					  slot->burst == SLUICE_BUCKETS_DEFAULT ? burst : slot->burst);
}

/* rate and burst are its owner's own. */
static SluiceBucket *
slot_open(Slot *slots, uint64 key, int32 rate, int32 burst)
{
	int64		now = now_ns();
	Slot	   *slot = slot_find(slots, key);

	if (slot == NULL)
		slot = slot_claim(slots, key, now);
	if (slot == NULL)
		return &slot_at(slots, key, 0)->bucket;
	slot->rate = rate;
	slot->burst = burst;
	atomic_store_explicit(&slot->bucket.used_at, now, memory_order_relaxed);
	if (slots == buckets->streams)
		slot_set_rate(slot, sluice_stream_rate, sluice_stream_burst);
	else
		slot_set_rate(slot, sluice_address_rate, sluice_address_burst);
	return &slot->bucket;
}

void
sluice_buckets_open(SluiceSender *sender, Oid database, int32 stream_id, int32 rate, int32 burst)
{
	if (buckets == NULL)
		return;
	LWLockAcquire(buckets->lock, LW_EXCLUSIVE);
	sender->buckets[SLUICE_BUCKET_STREAM] =
		slot_open(buckets->streams, stream_key(database, stream_id), rate, burst);
	sender->buckets[SLUICE_BUCKET_ADDRESS] =
		slot_open(buckets->addresses, address_key(&sender->login->address), SLUICE_BUCKETS_DEFAULT, SLUICE_BUCKETS_DEFAULT);
	LWLockRelease(buckets->lock);
}

/* ---- changes ---- */

void
sluice_buckets_reload(void)
{
	LWLockAcquire(buckets->lock, LW_EXCLUSIVE);
	for (int i = 0; i < SLOTS; i++)
	{
		if (buckets->streams[i].key != 0)
			slot_set_rate(&buckets->streams[i], sluice_stream_rate, sluice_stream_burst);
		if (buckets->addresses[i].key != 0)
			slot_set_rate(&buckets->addresses[i], sluice_address_rate, sluice_address_burst);
	}
	LWLockRelease(buckets->lock);
}

static void
refresh_stream(Slot *slot, uint64 key)
{
	SluiceStream *stream = sluice_stream_by_id((int32) (uint32) key);

	if (stream == NULL)
		return;					/* dropped: its calls end */
	LWLockAcquire(buckets->lock, LW_EXCLUSIVE);
	if (slot->key == key)
	{
		slot->rate = stream->rate;
		slot->burst = stream->burst;
		slot_set_rate(slot, sluice_stream_rate, sluice_stream_burst);
	}
	LWLockRelease(buckets->lock);
}

static void
refresh_streams(void)
{
	for (int i = 0; i < SLOTS; i++)
	{
		uint64		key;

		LWLockAcquire(buckets->lock, LW_SHARED);
		key = buckets->streams[i].key;
		LWLockRelease(buckets->lock);
		if (key != 0 && (Oid) (key >> 32) == MyDatabaseId)
			refresh_stream(&buckets->streams[i], key);
	}
}

/* False: sluice.streams is locked, or gone. */
static bool
try_refresh(void)
{
	Oid			streams;
	bool		free;

	sluice_worker_transaction_start();
	streams = sluice_catalog_find("streams");
	free = OidIsValid(streams) && sluice_worker_installation_settle() &&
		ConditionalLockRelationOid(streams, AccessShareLock);
	if (free)
		refresh_streams();
	CommitTransactionCommand();
	return free;
}

void
sluice_buckets_refresh(void)
{
	MemoryContext context = CurrentMemoryContext;
	uint64		changes = sluice_stream_changes();
	volatile bool done = false;

	if (changes == seen_changes)
		return;
	PG_TRY();
	{
		done = try_refresh();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		EmitErrorReport();
		FlushErrorState();
		AbortCurrentTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	if (done)
		seen_changes = changes;
}

bool
sluice_buckets_status(Oid database, int32 stream_id, SluiceBucketStatus *status)
{
	Slot	   *slot;

	if (buckets == NULL)
		return false;
	LWLockAcquire(buckets->lock, LW_SHARED);
	slot = slot_find(buckets->streams, stream_key(database, stream_id));
	if (slot != NULL)
	{
		status->pauses = atomic_load_explicit(&slot->bucket.pauses, memory_order_relaxed);
		status->paused_us = atomic_load_explicit(&slot->bucket.paused_us, memory_order_relaxed);
	}
	LWLockRelease(buckets->lock);
	return slot != NULL;
}
