/*
 * backoff.h
 *		How long to wait before the next connection.
 *
 * Full jitter: any time up to a bound that starts at one second and doubles up
 * to a minute, so that a thousand clients of one server do not return in step.
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

/* random: 64 uniform bits.  Returns nanoseconds. */
static inline int64_t
sluice_backoff_next(SluiceBackoff *backoff, uint64_t random)
{
	int64_t		bound = backoff->bound > 0 ? backoff->bound : SLUICE_BACKOFF_FIRST;

	backoff->bound = bound < SLUICE_BACKOFF_LAST / 2 ? bound * 2 : SLUICE_BACKOFF_LAST;
	return (int64_t) (random % (uint64_t) bound);
}

static inline void
sluice_backoff_reset(SluiceBackoff *backoff)
{
	backoff->bound = 0;
}

#endif							/* SLUICE_BACKOFF_H */
