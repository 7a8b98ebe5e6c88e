/*
 * throttle.c
 *		Calls that are over the rate of their stream or of their client's address.
 */
#include "throttle.h"

#include "../bucket.h"
#include "thread.h"

/* Rates may change while somebody waits for long. */
#define LOOK_US ((int64_t) 500 * 1000)

/* Calls that go on in one turn of the loop. */
#define RESUME_STEP 64

/* Parts of a second's records that a message should have at most. */
#define MESSAGES_A_SECOND 10

static int64_t
now_ns(const SluiceNetwork *network)
{
	return network->turn_at * 1000;
}

/* How long it has to wait, in nanoseconds, and for which bucket. */
static int64_t
wait_of(const SluiceCarrier *carrier, SluiceBucket **which)
{
	int64_t		longest = 0;

	for (int i = 0; i < SLUICE_SENDER_BUCKETS; i++)
	{
		SluiceBucket *bucket = carrier->sender.buckets[i];
		int64_t		wait = bucket == NULL ? 0 : sluice_bucket_wait(bucket, now_ns(carrier->call.network));

		if (wait > longest)
		{
			longest = wait;
			*which = bucket;
		}
	}
	return longest;
}

/* The loop is to look again after so many nanoseconds, or earlier. */
static void
look_after(SluiceNetwork *network, int64_t wait)
{
	int64_t		us = wait / 1000 + 1;
	int64_t		due_at = network->turn_at + (us < LOOK_US ? us : LOOK_US);

	if (due_at < network->throttle_due_at)
		network->throttle_due_at = due_at;
}

bool
sluice_throttle_pause(SluiceCarrier *carrier)
{
	SluiceNetwork *network = carrier->call.network;
	SluiceBucket *bucket = NULL;
	int64_t		wait;

	if (carrier->throttled_by != NULL)
		return true;
	wait = wait_of(carrier, &bucket);
	if (wait == 0)
		return false;
	if (TAILQ_EMPTY(&network->throttled))
		network->throttle_due_at = INT64_MAX;
	carrier->throttled_by = bucket;
	carrier->throttled_at = network->turn_at;
	TAILQ_INSERT_TAIL(&network->throttled, carrier, throttled_link);
	atomic_fetch_add_explicit(&bucket->pauses, 1, memory_order_relaxed);
	look_after(network, wait);
	return true;
}

void
sluice_throttle_charge(const SluiceCarrier *carrier, uint64_t records)
{
	for (int i = 0; i < SLUICE_SENDER_BUCKETS; i++)
	{
		if (carrier->sender.buckets[i] != NULL)
			sluice_bucket_charge(carrier->sender.buckets[i], records, now_ns(carrier->call.network));
	}
}

void
sluice_throttle_leave(SluiceCarrier *carrier)
{
	SluiceNetwork *network = carrier->call.network;
	SluiceBucket *bucket = carrier->throttled_by;

	if (bucket == NULL)
		return;
	carrier->throttled_by = NULL;
	TAILQ_REMOVE(&network->throttled, carrier, throttled_link);
	atomic_fetch_add_explicit(&bucket->paused_us, (uint64_t) (network->turn_at - carrier->throttled_at), memory_order_relaxed);
}

void
sluice_throttle_keep(const SluiceCarrier *carrier)
{
	for (int i = 0; i < SLUICE_SENDER_BUCKETS; i++)
	{
		if (carrier->sender.buckets[i] != NULL)
			atomic_store_explicit(&carrier->sender.buckets[i]->used_at, now_ns(carrier->call.network), memory_order_relaxed);
	}
}

uint32_t
sluice_throttle_batch(const SluiceCarrier *carrier, uint32_t max)
{
	for (int i = 0; i < SLUICE_SENDER_BUCKETS; i++)
	{
		const SluiceBucket *bucket = carrier->sender.buckets[i];
		int64_t		rate = bucket == NULL ? 0 : sluice_bucket_rate(bucket);

		if (rate > 0 && rate / MESSAGES_A_SECOND < max)
			max = rate < MESSAGES_A_SECOND ? 1 : (uint32_t) (rate / MESSAGES_A_SECOND);
	}
	return max;
}

/* Once through those who wait; who goes on and has to wait again does so behind the others. */
static void
resume_all(SluiceNetwork *network)
{
	SluiceCarrier *last = TAILQ_LAST(&network->throttled, SluiceThrottledList);
	SluiceCarrier *next = TAILQ_FIRST(&network->throttled);
	SluiceBucket *bucket;

	for (int resumed = 0; next != NULL && resumed < RESUME_STEP;)
	{
		SluiceCarrier *carrier = next;
		int64_t		wait = wait_of(carrier, &bucket);

		next = carrier == last ? NULL : TAILQ_NEXT(carrier, throttled_link);
		if (wait > 0)
		{
			look_after(network, wait);
			continue;
		}
		sluice_throttle_leave(carrier);
		sluice_carrier_go_on(carrier);
		resumed++;
	}
	if (next != NULL)
		look_after(network, 0);
}

int64_t
sluice_throttle_resume(SluiceNetwork *network)
{
	if (TAILQ_EMPTY(&network->throttled))
		return -1;
	if (network->turn_at >= network->throttle_due_at)
	{
		network->throttle_due_at = INT64_MAX;
		resume_all(network);
	}
	if (TAILQ_EMPTY(&network->throttled))
		return -1;
	return network->throttle_due_at > network->turn_at ? network->throttle_due_at - network->turn_at : 0;
}
