/*
 * penalty_test.c
 *		Who is shut out, when, and for how long.
 */
#include "endpoint/penalty.h"

#include <string.h>
#include <sys/socket.h>

#include "tap.h"

#define SECOND ((int64_t) 1000 * 1000)
#define TIME (10 * SECOND)

static SluicePenalties penalties;

static SluiceOrigin
network(int n)
{
	return (SluiceOrigin) {.family = AF_INET,.bytes = {192, 0, (uint8_t) (n >> 8), (uint8_t) n}};
}

static const SluicePenalty *
hear(int n, int64_t bytes, int64_t now)
{
	SluiceOrigin from = network(n);

	return sluice_penalties_hear(&penalties, &from, bytes, now);
}

static bool
shut_out(int n)
{
	SluiceOrigin from = network(n);

	return sluice_penalties_shut_out(&penalties, &from);
}

static int
lift(int64_t now)
{
	SluiceOrigin lifted;
	int			n = 0;

	while (sluice_penalties_lift(&penalties, now, &lifted))
		n++;
	return n;
}

static void
begin(void)
{
	memset(&penalties, 0, sizeof(penalties));
	penalties.time = TIME;
}

static void
test_noise(void)
{
	int64_t		now = 1000 * SECOND;
	const SluicePenalty *penalty;

	begin();
	ok(hear(1, SLUICE_PENALTY_NOISE, now) == NULL && !shut_out(1), "as much noise as is forgiven");
	ok(hear(2, SLUICE_PENALTY_NOISE, now) == NULL, "each network has its own");
	penalty = hear(1, 1, now);
	ok(penalty != NULL && penalty->ends_at == now + TIME && shut_out(1), "a byte more, and it is shut out");
	ok(!shut_out(2) && penalties.nshut_out == 1, "the other one is not");
	ok(hear(1, SLUICE_PENALTY_NOISE * 9, now) == NULL, "whatever it says now begins no other penalty");

	begin();
	for (int second = 0; second < 100; second++)
	{
		if (hear(1, SLUICE_PENALTY_LEAK, now + second * SECOND) != NULL)
			ok(false, "shut out after %d seconds", second);
	}
	ok(!shut_out(1), "what leaks away as fast as it comes is nobody's business");
}

static void
test_time(void)
{
	int64_t		now = 1000 * SECOND;
	int64_t		time = TIME;
	bool		doubled = true;

	begin();
	for (int i = 0; i < 8; i++)
	{
		const SluicePenalty *penalty = hear(1, SLUICE_PENALTY_NOISE + 1, now);

		doubled &= penalty != NULL && penalty->ends_at - now == time;
		time = time < TIME * 32 ? time * 2 : time;
		now = penalties.list[0].ends_at;
		doubled &= lift(now - 1) == 0 && shut_out(1) && lift(now) == 1 && !shut_out(1);
		now += SECOND;
	}
	ok(doubled, "each time at once after the last one is twice as long, up to 32 times the first");
	ok(penalties.nshut_out == 0, "nobody is shut out any more");
	now += 2 * 32 * TIME;
	ok(hear(1, SLUICE_PENALTY_NOISE + 1, now)->ends_at == now + TIME, "after a long time without it is forgiven");
}

static void
test_places(void)
{
	int64_t		now = 1000 * SECOND;
	int			out = 0;

	begin();
	(void) hear(9999, SLUICE_PENALTY_NOISE, now);
	for (int i = 0; i < 1000; i++)
		(void) hear(i, 1, now);
	ok(hear(9999, 1, now) != NULL, "the noisiest network is remembered beside any number of others");
	for (int i = 0; i < 1000; i++)
	{
		(void) hear(i, SLUICE_PENALTY_NOISE + 1, now);
		out += shut_out(i);
	}
	is_number(out, SLUICE_PENALTIES_MAX - 1, "as many as there are places are shut out");
	ok(shut_out(9999), "and stay so");
	is_number(lift(now + TIME), SLUICE_PENALTIES_MAX, "the time of all is over");
	ok(hear(5000, SLUICE_PENALTY_NOISE + 1, now + 5 * TIME) != NULL, "then there is a place for others");
}

int
main(void)
{
	test_noise();
	test_time();
	test_places();
	return finish();
}
