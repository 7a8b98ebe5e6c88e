/*
 * histogram.h
 *		Durations, kept to within one per cent in constant space.
 */
#ifndef SLUICE_HISTOGRAM_H
#define SLUICE_HISTOGRAM_H

#include <stdint.h>

#define SLUICE_HISTOGRAM_STEPS 128	/* of each power of two */
#define SLUICE_HISTOGRAM_SIZE (58 * SLUICE_HISTOGRAM_STEPS)

typedef struct SluiceHistogram
{
	uint64_t	counts[SLUICE_HISTOGRAM_SIZE];
	uint64_t	total;
	uint64_t	maximum;
} SluiceHistogram;

extern void sluice_histogram_add(SluiceHistogram *histogram, uint64_t value);

/* All of another's. */
extern void sluice_histogram_add_all(SluiceHistogram *histogram, const SluiceHistogram *other);

/* The smallest value that at least this part (0 to 1) of all is not above, rounded up; 0 for none. */
extern uint64_t sluice_histogram_quantile(const SluiceHistogram *histogram, double part);

#endif							/* SLUICE_HISTOGRAM_H */
