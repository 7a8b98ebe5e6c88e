/* backoff: one second doubling to a minute, full jitter. */
#include "backoff.h"

#include "tap.h"

int
main(void)
{
	static const int bounds[] = {1, 2, 4, 8, 16, 32, 60, 60, 60};
	SluiceBackoff backoff = {0};
	bool		good = true;

	for (size_t i = 0; i < sizeof(bounds) / sizeof(bounds[0]); i++)
		good = good && sluice_backoff_next(&backoff, (uint64_t) bounds[i] * 1000000000 - 1) == (int64_t) bounds[i] * 1000000000 - 1;
	ok(good, "the longest of each step");
	ok(sluice_backoff_next(&backoff, 0) == 0, "the shortest is none");
	ok(sluice_backoff_next(&backoff, UINT64_MAX) < SLUICE_BACKOFF_LAST, "never above the last bound");
	sluice_backoff_reset(&backoff);
	ok(sluice_backoff_next(&backoff, 999999999) == 999999999 && sluice_backoff_next(&backoff, 1000000000) == 1000000000,
	   "from one second again after a reset");
	return done_testing();
}
