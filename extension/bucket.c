/*
 * bucket.c
 *		A token bucket in shared memory: so many records a second, and so many at once.
 */
#include "bucket.h"

#define SECOND ((int64_t) 1000 * 1000 * 1000)

/* Of one charge: no debt is longer than these records take, and no sum overflows. */
#define RECORDS_MAX ((uint64_t) 1000 * 1000)

static int64_t
larger(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

static int64_t
get(const _Atomic int64_t *value)
{
	return atomic_load_explicit(value, memory_order_relaxed);
}

void
sluice_bucket_set(SluiceBucket *bucket, int64_t rate, int64_t burst)
{
	int64_t		interval = rate > 0 ? SECOND / rate : 0;
	int64_t		length = larger((burst > 0 ? burst : rate) * interval, larger(interval, SLUICE_BUCKET_BURST_MIN));

	atomic_store_explicit(&bucket->burst, length, memory_order_relaxed);
	atomic_store_explicit(&bucket->interval, interval, memory_order_relaxed);
}

int64_t
sluice_bucket_rate(const SluiceBucket *bucket)
{
	int64_t		interval = get(&bucket->interval);

	return interval > 0 ? SECOND / interval : 0;
}

void
sluice_bucket_charge(SluiceBucket *bucket, uint64_t records, int64_t now)
{
	int64_t		interval = get(&bucket->interval);
	int64_t		before = get(&bucket->full_at);
	int64_t		length = (int64_t) (records < RECORDS_MAX ? records : RECORDS_MAX) * interval;

	if (interval == 0)
		return;
	while (!atomic_compare_exchange_weak_explicit(&bucket->full_at, &before, larger(before, now) + length,
												  memory_order_relaxed, memory_order_relaxed))
		;
}

int64_t
sluice_bucket_wait(const SluiceBucket *bucket, int64_t now)
{
	int64_t		interval = get(&bucket->interval);

	if (interval == 0)
		return 0;
	return larger(get(&bucket->full_at) + interval - get(&bucket->burst) - now, 0);
}

bool
sluice_bucket_is_full(const SluiceBucket *bucket, int64_t now)
{
	return get(&bucket->full_at) <= now;
}
