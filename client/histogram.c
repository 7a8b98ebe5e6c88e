/*
 * histogram.c
 *		Durations, kept to within one per cent in constant space.
 *
 * Values below 128 have a place each; above, every power of two is divided
 * into 128 equal steps, as HDR histograms do it.
 */
#include "histogram.h"

#define STEP_BITS 7

static unsigned
place_of(uint64_t value)
{
	unsigned	shift;

	if (value < SLUICE_HISTOGRAM_STEPS)
		return (unsigned) value;
	shift = 63 - (unsigned) __builtin_clzll(value) - STEP_BITS;
	return (shift + 1) * SLUICE_HISTOGRAM_STEPS + (unsigned) ((value >> shift) - SLUICE_HISTOGRAM_STEPS);
}

/* The largest value of a place. */
static uint64_t
value_of(unsigned place)
{
	unsigned	shift;

	if (place < SLUICE_HISTOGRAM_STEPS)
		return place;
	shift = place / SLUICE_HISTOGRAM_STEPS - 1;
	return ((uint64_t) (place % SLUICE_HISTOGRAM_STEPS + SLUICE_HISTOGRAM_STEPS + 1) << shift) - 1;
}

void
sluice_histogram_add(SluiceHistogram *histogram, uint64_t value)
{
	histogram->counts[place_of(value)]++;
	histogram->total++;
	if (value > histogram->maximum)
		histogram->maximum = value;
}

void
sluice_histogram_add_all(SluiceHistogram *histogram, const SluiceHistogram *other)
{
	for (unsigned i = 0; i < SLUICE_HISTOGRAM_SIZE; i++)
		histogram->counts[i] += other->counts[i];
	histogram->total += other->total;
	if (other->maximum > histogram->maximum)
		histogram->maximum = other->maximum;
}

uint64_t
sluice_histogram_quantile(const SluiceHistogram *histogram, double part)
{
	uint64_t	wanted = (uint64_t) (part * (double) histogram->total);
	uint64_t	seen = 0;

	if ((double) wanted < part * (double) histogram->total || wanted == 0)
		wanted++;
	for (unsigned i = 0; i < SLUICE_HISTOGRAM_SIZE; i++)
	{
		seen += histogram->counts[i];
		if (seen >= wanted)
			return value_of(i) < histogram->maximum ? value_of(i) : histogram->maximum;
	}
	return 0;
}
