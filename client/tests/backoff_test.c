/* backoff: one second doubling to a minute, full jitter. */
#include "backoff.h"

#include "tap.h"

#define SECOND ((int64_t) 1000000000)

static int64_t
next(SluiceBackoff *backoff, uint64_t random)
{
	return sluice_backoff_next(backoff, SLUICE_BACKOFF_FIRST, SLUICE_BACKOFF_LAST, random);
}

static int64_t
hint(const char *text)
{
	return sluice_backoff_read_hint((const uint8_t *) text, strlen(text));
}

static void
test_hints(void)
{
	int64_t		most = SLUICE_BACKOFF_HINT_MAX;

	ok(hint("0") == SLUICE_BACKOFF_NO_HINT && hint("1") == 1000000 && hint("2500") == 2500000000, "hints are milliseconds");
	ok(hint("299999") < most && hint("300000") == most && hint("99999999999999999999999999") == most, "five minutes at most");
	ok(hint("") == SLUICE_BACKOFF_NOT_SOON && hint("-1") == SLUICE_BACKOFF_NOT_SOON && hint("1.5") == SLUICE_BACKOFF_NOT_SOON &&
	   hint("soon") == SLUICE_BACKOFF_NOT_SOON, "what is no time means not soon");
	ok(sluice_backoff_hinted(100, 60, 0) == 100 && sluice_backoff_hinted(100, 60, 100) == 200 && sluice_backoff_hinted(100, 60, 101) == 100,
	   "from the hint to twice as long, whatever the longest wait");
	ok(sluice_backoff_hinted(SLUICE_BACKOFF_NOT_SOON, 60, 29) == 59, "not soon is the longest wait");
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
	test_hints();
	return done_testing();
}
