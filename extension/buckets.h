/*
 * buckets.h
 *		Which token bucket is whose: those of streams and of client addresses, shared by all workers.
 */
#ifndef SLUICE_BUCKETS_H
#define SLUICE_BUCKETS_H

#include "postgres.h"

#include "record.h"

/* What a stream says in place of the settings. */
#define SLUICE_BUCKETS_DEFAULT (-1)

/* A copy of what shared memory holds about the bucket of a stream. */
typedef struct SluiceBucketStatus
{
	uint64		pauses;
	uint64		paused_us;
} SluiceBucketStatus;

/* For _PG_init: hooks that ask for the memory and set it up. */
extern void sluice_buckets_install(void);

/*
 * A call opens: give its sender the buckets of its stream and of its address.
 * rate and burst are the stream's own, or SLUICE_BUCKETS_DEFAULT.
 */
extern void sluice_buckets_open(SluiceSender *sender, Oid database, int32 stream_id, int32 rate, int32 burst);

/* Worker: the settings of rates and bursts may have changed.  Open calls follow. */
extern PGDLLEXPORT void sluice_buckets_reload(void);

/* Worker: streams may have changed since the last time.  A transaction of its own, where there is something to look at. */
extern PGDLLEXPORT void sluice_buckets_refresh(void);

/* False: no call of the stream was open for a long time. */
extern bool sluice_buckets_status(Oid database, int32 stream_id, SluiceBucketStatus *status);

#endif							/* SLUICE_BUCKETS_H */
