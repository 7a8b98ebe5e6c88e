/* histogram: quantiles to within one per cent, over the whole range. */
#include "histogram.h"

#include <stdlib.h>

#include "tap.h"

static bool
close_to(uint64_t got, uint64_t expected)
{
	return got >= expected && (double) got <= (double) expected * 1.01 + 1;
}

static void
test_sum(SluiceHistogram *histogram)
{
	SluiceHistogram *other = calloc(1, sizeof(SluiceHistogram));

	memset(histogram, 0, sizeof(*histogram));
	for (uint64_t i = 1; i <= 100; i++)
		sluice_histogram_add(i % 2 == 0 ? histogram : other, i);
	sluice_histogram_add_all(histogram, other);
	ok(histogram->total == 100 && histogram->maximum == 100 && sluice_histogram_quantile(histogram, 0.5) == 50, "a sum");
	free(other);
}

int
main(void)
{
	SluiceHistogram *histogram = calloc(1, sizeof(SluiceHistogram));
	bool		good = true;

	ok(sluice_histogram_quantile(histogram, 0.5) == 0, "empty");
	for (uint64_t i = 1; i <= 100000; i++)
		sluice_histogram_add(histogram, i * 1000);
	ok(close_to(sluice_histogram_quantile(histogram, 0.5), 50000000), "median");
	ok(close_to(sluice_histogram_quantile(histogram, 0.99), 99000000), "99th");
	ok(close_to(sluice_histogram_quantile(histogram, 0.999), 99900000), "99.9th");
	ok(sluice_histogram_quantile(histogram, 1.0) == 100000000, "the maximum is exact");
	ok(close_to(sluice_histogram_quantile(histogram, 0), 1000), "the minimum");
	for (int bit = 0; bit < 64; bit++)
	{
		for (int64_t delta = -1; delta <= 1; delta++)
		{
			uint64_t	value = (1ull << bit) + (uint64_t) delta;

			memset(histogram, 0, sizeof(*histogram));
			sluice_histogram_add(histogram, value);
			sluice_histogram_add(histogram, UINT64_MAX);
			good = good && close_to(sluice_histogram_quantile(histogram, 0.5), value);
		}
	}
	ok(good, "around every power of two");
	test_sum(histogram);
	free(histogram);
	return done_testing();
}
