/* backoff: one second doubling to a minute, full jitter. */
#include "backoff.h"

#include "tap.h"

#define SECOND ((int64_t) 1000000000)

static int64_t
next(SluiceBackoff *backoff, uint64_t random)
{
	return sluice_backoff_next(backoff, SLUICE_BACKOFF_FIRST, SLUICE_BACKOFF_LAST, random);
}

int
main(void)
{
	static const int bounds[] = {1, 2, 4, 8, 16, 32, 60, 60, 60};
	SluiceBackoff backoff = {0};
	bool		good = true;

	for (size_t i = 0; i < sizeof(bounds) / sizeof(bounds[0]); i++)
		good = good && next(&backoff, (uint64_t) (bounds[i] * SECOND - 1)) == bounds[i] * SECOND - 1;
	ok(good, "the longest of each step");
	ok(next(&backoff, 0) == 0, "the shortest is none");
	ok(next(&backoff, UINT64_MAX) < SLUICE_BACKOFF_LAST, "never above the last bound");
	sluice_backoff_reset(&backoff);
	ok(next(&backoff, 999999999) == 999999999 && next(&backoff, 1000000000) == 1000000000,
	   "from one second again after a reset");

	sluice_backoff_reset(&backoff);
	ok(sluice_backoff_next(&backoff, 10, 25, 9) == 9 && sluice_backoff_next(&backoff, 10, 25, 19) == 19 &&
	   sluice_backoff_next(&backoff, 10, 25, 24) == 24 && sluice_backoff_next(&backoff, 10, 25, 25) == 0,
	   "bounds of the owner's");
	sluice_backoff_reset(&backoff);
	ok(sluice_backoff_next(&backoff, 10, 4, 7) == 3, "a first bound above the last one is the last one");
	ok(sluice_backoff_longest(60, 0) == 30 && sluice_backoff_longest(60, 29) == 59 && sluice_backoff_longest(60, 30) == 30 &&
	   sluice_backoff_longest(1, 5) == 0, "the longest wait is in the upper half");
	return done_testing();
}
