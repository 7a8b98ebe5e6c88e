/*
 * pressure_test.c
 *		The more are refused, the longer they are told to wait.
 */
#include "endpoint/pressure.h"
#include "tap.h"

#define SECOND ((int64_t) 1000 * 1000)

static void
one_by_one(void)
{
	SluicePressure pressure = {0};

	ok(sluice_pressure_refuse(&pressure, 1000 * SECOND) == 250, "the first one is to wait 250 ms");
	ok(sluice_pressure_refuse(&pressure, 1001 * SECOND) == 250, "one that comes a second later, too");
}

static void
many_at_once(void)
{
	SluicePressure pressure = {0};
	int64_t		last = 0;

	for (int i = 0; i < 1000; i++)
		last = sluice_pressure_refuse(&pressure, 1000 * SECOND);
	ok(last == 250 + 999 * 10, "the thousandth of a moment is told 10 ms more for each one before it (%d)", (int) last);
	ok(sluice_pressure_refuse(&pressure, 1005 * SECOND) == 250 + 1000 * 10 - 5000, "five seconds later it is five seconds less");
	ok(sluice_pressure_refuse(&pressure, 1100 * SECOND) == 250, "when all may have come back it is as at first");
}

static void
without_end(void)
{
	SluicePressure pressure = {0};
	int64_t		last = 0;

	for (int i = 0; i < 100000; i++)
		last = sluice_pressure_refuse(&pressure, 1000 * SECOND);
	ok(last == 60000, "nobody is told to wait longer than a minute (%d)", (int) last);
}

int
main(void)
{
	one_by_one();
	many_at_once();
	without_end();
	return finish();
}
