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

#include <stddef.h>
#include <stdint.h>

#define SLUICE_BACKOFF_FIRST ((int64_t) 1000000000)
#define SLUICE_BACKOFF_LAST ((int64_t) 60 * 1000000000)

/* However long the server asks us to stay away. */
#define SLUICE_BACKOFF_HINT_MAX ((int64_t) 300 * 1000000000)

#define SLUICE_BACKOFF_NO_HINT ((int64_t) 0)
#define SLUICE_BACKOFF_NOT_SOON ((int64_t) -1)

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

/*
 * grpc-retry-pushback-ms: decimal milliseconds, which become nanoseconds.  Anything else, a negative
 * number for one, is the wish that nobody comes soon (gRPC's proposal A6).
 */
static inline int64_t
sluice_backoff_read_hint(const uint8_t *digits, size_t ndigits)
{
	int64_t		milliseconds = 0;

	if (ndigits == 0)
		return SLUICE_BACKOFF_NOT_SOON;
	for (size_t i = 0; i < ndigits; i++)
	{
		if (digits[i] < '0' || digits[i] > '9')
			return SLUICE_BACKOFF_NOT_SOON;
		if (milliseconds < SLUICE_BACKOFF_HINT_MAX / 1000000)
			milliseconds = milliseconds * 10 + (digits[i] - '0');
	}
	return milliseconds * 1000000 < SLUICE_BACKOFF_HINT_MAX ? milliseconds * 1000000 : SLUICE_BACKOFF_HINT_MAX;
}

/* The server asked for it: at least so long, and spread over as long again.  hint is not NO_HINT; last as above. */
static inline int64_t
sluice_backoff_hinted(int64_t hint, int64_t last, uint64_t random)
{
	if (hint < 0)
		return sluice_backoff_longest(last, random);
	return hint + (int64_t) (random % ((uint64_t) hint + 1));
}

static inline void
sluice_backoff_reset(SluiceBackoff *backoff)
{
	backoff->bound = 0;
}

#endif							/* SLUICE_BACKOFF_H */
