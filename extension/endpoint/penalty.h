/*
 * penalty.h
 *		Which networks are shut out for their noise, and for how long.
 *
 * Plain C; the time is an argument, in monotonic microseconds.  Noise (noise.h)
 * leaks away at a rate that is none of anybody's business; who has made more than
 * can be forgiven is shut out for a time, and each time that it begins again soon
 * after for twice as long.
 */
#ifndef SLUICE_PENALTY_H
#define SLUICE_PENALTY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../origin.h"

/* Networks that are looked after.  Another one takes the place of the one that has made the least noise. */
#define SLUICE_PENALTIES_MAX 64

/* Bytes that a network may make at once, and a second. */
#define SLUICE_PENALTY_NOISE ((int64_t) 256 * 1024)
#define SLUICE_PENALTY_LEAK ((int64_t) 256 * 1024)

typedef struct SluicePenalty
{
	SluiceOrigin network;
	int64_t		noise;			/* at that time: */
	int64_t		heard_at;
	int64_t		ends_at;		/* it is, or was last, shut out until then; 0: never */
	int			times;			/* one after the other */
	bool		shut_out;
} SluicePenalty;

typedef struct SluicePenalties
{
	int64_t		time;			/* of the first one, microseconds */
	SluicePenalty list[SLUICE_PENALTIES_MAX];
	int			n;
	int			nshut_out;
} SluicePenalties;

/* Noise comes from a network.  The penalty that begins with it, or NULL. */
extern const SluicePenalty *sluice_penalties_hear(SluicePenalties *penalties, const SluiceOrigin *network,
												  int64_t bytes, int64_t now);

/* True: the time of this one is over.  To be asked until it is false. */
extern bool sluice_penalties_lift(SluicePenalties *penalties, int64_t now, SluiceOrigin *network);

extern bool sluice_penalties_shut_out(const SluicePenalties *penalties, const SluiceOrigin *network);

#endif							/* SLUICE_PENALTY_H */
