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

/* The moment that is so many milliseconds from now; below 0: none. */
static inline int64_t
sluice_clock_deadline(int64_t timeout)
{
	int64_t		now = sluice_clock_now();

	if (timeout < 0 || timeout > (SLUICE_NEVER - now) / SLUICE_MILLISECOND - 1)
		return SLUICE_NEVER;
	return now + timeout * SLUICE_MILLISECOND;
}

#endif							/* SLUICE_CLOCK_H */
