/*
 * bucket.h
 *		A token bucket in shared memory: so many records a second, and so many at once.
 *
 * Plain C; the time is an argument.  The state of a bucket is one number, the
 * time at which it will be full again (the "theoretical arrival time" of the
 * generic cell rate algorithm): what is taken moves it into the future, each
 * record by an interval, and time does the filling.  So any number of
 * processes take from one bucket by compare and swap, without a lock.
 *
 * Records are charged after they have come, for nobody knows before what a message
 * holds: a bucket can be in debt, and until the debt is paid nothing more is read.
 *
 * All times are nanoseconds of the machine's monotonic clock.
 */
#ifndef SLUICE_BUCKET_H
#define SLUICE_BUCKET_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Records a second: more cannot be told apart from no limit. */
#define SLUICE_BUCKET_RATE_MAX 10000000

/* What a bucket holds at least, as time: else it would overflow while its reader's turn is late. */
#define SLUICE_BUCKET_BURST_MIN ((int64_t) 50 * 1000 * 1000)

typedef struct SluiceBucket
{
	_Atomic int64_t full_at;
	_Atomic int64_t interval;	/* of a record; 0: no limit */
	_Atomic int64_t burst;		/* as time */
	_Atomic int64_t used_at;	/* somebody has it at heart; not exact */
	_Atomic uint64_t pauses;	/* calls that had to wait for it, since it was given out */
	_Atomic uint64_t paused_us; /* for how long, together */
} SluiceBucket;

/* Records a second (0: no limit) and at once (0: as many as in a second). */
extern void sluice_bucket_set(SluiceBucket *bucket, int64_t rate, int64_t burst);

/* Records a second; 0: no limit. */
extern int64_t sluice_bucket_rate(const SluiceBucket *bucket);

/* Take records out, also more than are in it. */
extern void sluice_bucket_charge(SluiceBucket *bucket, uint64_t records, int64_t now);

/* How long it takes until there is a whole record in it; 0: there is one. */
extern int64_t sluice_bucket_wait(const SluiceBucket *bucket, int64_t now);

/* Nothing would be forgotten with it. */
extern bool sluice_bucket_is_full(const SluiceBucket *bucket, int64_t now);

#endif							/* SLUICE_BUCKET_H */
