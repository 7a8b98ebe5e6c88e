/*
 * clock.h
 *		Nanoseconds of CLOCK_MONOTONIC.
 */
#ifndef SLUICE_CLOCK_H
#define SLUICE_CLOCK_H

#include <stdint.h>
#include <time.h>

#define SLUICE_SECOND ((int64_t) 1000000000)
#define SLUICE_MILLISECOND ((int64_t) 1000000)
#define SLUICE_NEVER INT64_MAX

static inline int64_t
sluice_clock_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * SLUICE_SECOND + now.tv_nsec;
}

#endif							/* SLUICE_CLOCK_H */
