/*
 * throttle_test.c
 *		Calls over a rate wait, go on in turn, and do not make others wait.
 */
#include "bucket.h"
#include "endpoint/thread.h"
#include "endpoint/throttle.h"
#include "tap.h"

#define SECOND ((int64_t) 1000 * 1000)
#define CALLS 4

static SluiceNetwork network;
static SluiceBucket streams[2];
static SluiceBucket addresses[2];
static SluiceCarrier calls[CALLS];
static int	taken[CALLS];

/* carrier.c's: here each call takes one record and reads on. */
void
sluice_carrier_go_on(SluiceCarrier *carrier)
{
	if (sluice_throttle_pause(carrier))
		return;
	sluice_throttle_charge(carrier, 1);
	taken[carrier - calls]++;
	(void) sluice_throttle_pause(carrier);
}

/* All calls are new; which bucket of streams and addresses each has is told by its place. */
static void
begin(int64_t stream_rate, int64_t address_rate)
{
	memset(&network, 0, sizeof(network));
	memset(streams, 0, sizeof(streams));
	memset(addresses, 0, sizeof(addresses));
	memset(calls, 0, sizeof(calls));
	memset(taken, 0, sizeof(taken));
	TAILQ_INIT(&network.throttled);
	network.turn_at = 1000 * SECOND;
	for (int i = 0; i < 2; i++)
	{
		sluice_bucket_set(&streams[i], stream_rate, 1);
		sluice_bucket_set(&addresses[i], address_rate, 1);
	}
	for (int i = 0; i < CALLS; i++)
	{
		calls[i].call.network = &network;
		calls[i].sender.buckets[SLUICE_BUCKET_STREAM] = &streams[0];
		calls[i].sender.buckets[SLUICE_BUCKET_ADDRESS] = &addresses[i == CALLS - 1];
	}
}

/* The loop, every 5 ms. */
static void
run(int64_t time)
{
	for (int64_t end = network.turn_at + time; network.turn_at < end; network.turn_at += 5000)
		(void) sluice_throttle_resume(&network);
}

static void
nobody_waits(void)
{
	begin(0, 0);
	sluice_throttle_charge(&calls[0], 1000000);
	ok(!sluice_throttle_pause(&calls[0]), "without a limit nobody waits");
	ok(sluice_throttle_resume(&network) == -1, "and there is nothing to look at");
	ok(sluice_throttle_batch(&calls[0], 10000) == 10000, "nor a smaller batch to ask for");
	calls[0].sender.buckets[0] = calls[0].sender.buckets[1] = NULL;
	sluice_throttle_charge(&calls[0], 1);
	ok(!sluice_throttle_pause(&calls[0]) && sluice_throttle_batch(&calls[0], 7) == 7, "nor without buckets");
}

static void
in_turn(void)
{
	begin(100, 0);
	sluice_throttle_charge(&calls[0], 5);
	for (int i = 0; i < CALLS; i++)
		ok(sluice_throttle_pause(&calls[i]), "call %d waits", i);
	ok(sluice_throttle_resume(&network) > 0, "not for ever");
	run(20 * SECOND);
	for (int i = 1; i < CALLS; i++)
		ok(taken[i] - taken[0] >= -1 && taken[i] - taken[0] <= 1, "call %d took as much as the first: %d", i, taken[i]);
	ok(taken[0] >= 498 && taken[0] <= 502, "a quarter of the rate each: %d", taken[0]);
	ok(atomic_load(&streams[0].pauses) > 1000 && atomic_load(&streams[0].paused_us) > 70 * SECOND, "waits are counted");
}

static void
addresses_apart(void)
{
	begin(0, 100);
	for (int i = 0; i < CALLS; i++)
	{
		sluice_throttle_charge(&calls[i], 10);
		(void) sluice_throttle_pause(&calls[i]);
	}
	run(20 * SECOND);
	ok(taken[3] >= 1980 && taken[3] <= 2010, "a call with an address of its own has its rate: %d", taken[3]);
	ok(taken[0] + taken[1] + taken[2] <= 2010, "three calls of another address have that of one: %d", taken[0] + taken[1] + taken[2]);
}

static void
changes_and_ends(void)
{
	begin(1, 0);
	sluice_throttle_charge(&calls[0], 3600);
	(void) sluice_throttle_pause(&calls[0]);
	(void) sluice_throttle_pause(&calls[1]);
	ok(sluice_throttle_resume(&network) <= SECOND, "who waits for an hour is looked at all the same");
	sluice_throttle_leave(&calls[1]);
	sluice_throttle_leave(&calls[1]);
	sluice_bucket_set(&streams[0], 0, 0);
	run(SECOND);
	ok(taken[0] == 1 && taken[1] == 0, "for the rate may have changed; who ended does not come back");
	ok(sluice_throttle_resume(&network) == -1, "nobody waits any more");
}

static void
batches(void)
{
	begin(500, 20);
	ok(sluice_throttle_batch(&calls[0], 10000) == 2, "a batch has a tenth of a second of the lower rate");
	begin(3, 0);
	ok(sluice_throttle_batch(&calls[0], 10000) == 1, "and one record at least");
}

int
main(void)
{
	nobody_waits();
	in_turn();
	addresses_apart();
	changes_and_ends();
	batches();
	return finish();
}
