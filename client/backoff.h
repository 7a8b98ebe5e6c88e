/*
 * backoff.h
 *		How long to wait before the next connection.
 *
 * Full jitter: any time up to a bound that starts at one second and doubles up
 * to a minute (or as the owner says), so that a thousand clients of one server
 * do not return in step.
 * Reset when something was achieved, not when a connection came up: a server
 * that accepts and dies is spared as well.  No clock, no randomness of its own.
 */
#ifndef SLUICE_BACKOFF_H
#define SLUICE_BACKOFF_H

#include <stdint.h>

#define SLUICE_BACKOFF_FIRST ((int64_t) 1000000000)
#define SLUICE_BACKOFF_LAST ((int64_t) 60 * 1000000000)

typedef struct SluiceBackoff
{
	int64_t		bound;			/* of the next wait, nanoseconds; 0 = the first one */
} SluiceBackoff;

/* first, last: bounds of the first wait and of the longest ones, above 0.  random: 64 uniform bits.  Returns nanoseconds. */
static inline int64_t
sluice_backoff_next(SluiceBackoff *backoff, int64_t first, int64_t last, uint64_t random)
{
	int64_t		bound = backoff->bound > 0 ? backoff->bound : first;

	if (bound > last)
		bound = last;
	backoff->bound = bound < last / 2 ? bound * 2 : last;
	return (int64_t) (random % (uint64_t) bound);
}

/* Where trying soon is of no use: the upper half of the longest wait, still spread. */
static inline int64_t
sluice_backoff_longest(int64_t last, uint64_t random)
{
	return last / 2 + (int64_t) (random % (uint64_t) (last - last / 2));
}

static inline void
sluice_backoff_reset(SluiceBackoff *backoff)
{
	backoff->bound = 0;
}

#endif							/* SLUICE_BACKOFF_H */
