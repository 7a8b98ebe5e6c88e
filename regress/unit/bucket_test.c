/*
 * bucket_test.c
 *		A rate holds, a burst passes, a debt is paid, and any number of threads share a bucket.
 */
#include "bucket.h"
#include "tap.h"

#include <pthread.h>

#define MS ((int64_t) 1000 * 1000)
#define SECOND (1000 * MS)
#define START (1000 * SECOND)
#define THREADS 4

static void
no_limit(void)
{
	SluiceBucket bucket = {0};

	sluice_bucket_charge(&bucket, 1000000, START);
	ok(sluice_bucket_wait(&bucket, START) == 0, "a bucket that was not set has no limit");
	sluice_bucket_set(&bucket, 0, 100);
	sluice_bucket_charge(&bucket, 1000000, START);
	ok(sluice_bucket_wait(&bucket, START) == 0 && sluice_bucket_rate(&bucket) == 0, "nor has one with rate 0");
	ok(sluice_bucket_is_full(&bucket, START), "what was taken without a limit is no debt");
}

static void
burst_and_debt(void)
{
	SluiceBucket bucket = {0};

	sluice_bucket_set(&bucket, 100, 20);
	ok(sluice_bucket_rate(&bucket) == 100, "the rate is known");
	sluice_bucket_charge(&bucket, 19, START);
	ok(sluice_bucket_wait(&bucket, START) == 0, "one of a burst of 20 is left after 19");
	sluice_bucket_charge(&bucket, 1, START);
	ok(sluice_bucket_wait(&bucket, START) == 10 * MS, "after 20 the next one comes in 10 ms");
	ok(sluice_bucket_wait(&bucket, START + 9 * MS) == 1 * MS, "9 ms later in 1 ms");
	ok(sluice_bucket_wait(&bucket, START + 10 * MS) == 0, "10 ms later it is there");
	sluice_bucket_charge(&bucket, 50, START + 10 * MS);
	ok(sluice_bucket_wait(&bucket, START + 10 * MS) == 500 * MS, "a message of 50 is taken, and paid for before the next one");
	ok(!sluice_bucket_is_full(&bucket, START + 699 * MS) && sluice_bucket_is_full(&bucket, START + 700 * MS), "in the end it is full");
	sluice_bucket_charge(&bucket, 20, START + 900 * SECOND);
	ok(sluice_bucket_wait(&bucket, START + 900 * SECOND) == 10 * MS, "a long silence saves up no more than the burst");
}

static void
defaults(void)
{
	SluiceBucket bucket = {0};

	sluice_bucket_set(&bucket, 1000, 0);
	sluice_bucket_charge(&bucket, 999, START);
	ok(sluice_bucket_wait(&bucket, START) == 0, "without a burst: a second's worth");
	sluice_bucket_charge(&bucket, 1, START);
	ok(sluice_bucket_wait(&bucket, START) == 1 * MS, "and no more");
	sluice_bucket_set(&bucket, 1000, 1);
	ok(sluice_bucket_wait(&bucket, START) == 951 * MS, "a burst of less than 50 ms is one of 50 ms");
	sluice_bucket_set(&bucket, 1, 1);
	ok(sluice_bucket_wait(&bucket, START + SECOND) == 0, "a rate of one a second has a burst of one");
	sluice_bucket_set(&bucket, 0, 0);
	ok(sluice_bucket_wait(&bucket, START) == 0, "a limit that is taken away holds nobody");
}

static void
extremes(void)
{
	SluiceBucket bucket = {0};

	sluice_bucket_set(&bucket, 1, INT32_MAX);
	sluice_bucket_charge(&bucket, UINT64_MAX, START);
	ok(sluice_bucket_wait(&bucket, START) == 0, "the largest burst is one");
	sluice_bucket_set(&bucket, 1, 1);
	ok(sluice_bucket_wait(&bucket, START) > 0, "the largest message is a debt");
	sluice_bucket_set(&bucket, SLUICE_BUCKET_RATE_MAX, 0);
	ok(sluice_bucket_rate(&bucket) == SLUICE_BUCKET_RATE_MAX, "the largest rate is one");
}

/* A reader that takes messages of 7 whenever it may, and looks every 3 ms. */
static void
rate_holds(void)
{
	SluiceBucket bucket = {0};
	uint64_t	taken = 0;

	sluice_bucket_set(&bucket, 2000, 200);
	for (int64_t now = START; now < START + 60 * SECOND; now += 3 * MS)
		while (sluice_bucket_wait(&bucket, now) == 0)
		{
			sluice_bucket_charge(&bucket, 7, now);
			taken += 7;
		}
	ok(taken >= 120000 && taken <= 120000 + 207, "in a minute 60 times the rate, and the burst once (%d)", (int) taken);
}

static void *
charge_some(void *bucket)
{
	for (int i = 0; i < 100000; i++)
		sluice_bucket_charge(bucket, 1, START);
	return NULL;
}

static void
threads_share(void)
{
	SluiceBucket bucket = {0};
	pthread_t	threads[THREADS];

	sluice_bucket_set(&bucket, 1000, 1000);
	for (int i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, charge_some, &bucket);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	ok(sluice_bucket_wait(&bucket, START) == (THREADS * 100000 - 1000 + 1) * MS, "nothing is lost where %d threads take", THREADS);
}

int
main(void)
{
	no_limit();
	burst_and_debt();
	defaults();
	extremes();
	rate_holds();
	threads_share();
	return finish();
}
