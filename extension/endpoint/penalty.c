/*
 * penalty.c
 *		Which networks are shut out for their noise, and for how long.
 */
#include "penalty.h"

#define SECOND_US ((int64_t) 1000 * 1000)

/* Doubled at most so often. */
#define TIMES_MAX 6

static SluicePenalty *
find(SluicePenalties *penalties, const SluiceOrigin *network)
{
	for (int i = 0; i < penalties->n; i++)
	{
		if (sluice_origin_equal(&penalties->list[i].network, network))
			return &penalties->list[i];
	}
	return NULL;
}

static int64_t
length_of(const SluicePenalties *penalties, const SluicePenalty *penalty)
{
	return penalties->time << (penalty->times > 0 ? penalty->times - 1 : 0);
}

/* Nothing would be forgotten with it. */
static bool
is_spent(const SluicePenalties *penalties, const SluicePenalty *penalty, int64_t now)
{
	return !penalty->shut_out && now - penalty->ends_at > 2 * length_of(penalties, penalty) &&
		penalty->noise <= (now - penalty->heard_at) * SLUICE_PENALTY_LEAK / SECOND_US;
}

/* NULL: all that are here are shut out. */
static SluicePenalty *
make_place(SluicePenalties *penalties, int64_t now)
{
	SluicePenalty *quietest = NULL;

	if (penalties->n < SLUICE_PENALTIES_MAX)
		return &penalties->list[penalties->n++];
	for (int i = 0; i < penalties->n; i++)
	{
		SluicePenalty *penalty = &penalties->list[i];

		if (is_spent(penalties, penalty, now))
			return penalty;
		if (!penalty->shut_out && (quietest == NULL || penalty->noise < quietest->noise))
			quietest = penalty;
	}
	return quietest;
}

static SluicePenalty *
find_or_make(SluicePenalties *penalties, const SluiceOrigin *network, int64_t now)
{
	SluicePenalty *penalty = find(penalties, network);

	if (penalty != NULL)
		return penalty;
	penalty = make_place(penalties, now);
	if (penalty != NULL)
		*penalty = (SluicePenalty) {.network = *network,.heard_at = now};
	return penalty;
}

static void
leak(SluicePenalty *penalty, int64_t now)
{
	penalty->noise -= (now - penalty->heard_at) * SLUICE_PENALTY_LEAK / SECOND_US;
	if (penalty->noise < 0)
		penalty->noise = 0;
	penalty->heard_at = now;
}

static void
shut_out(SluicePenalties *penalties, SluicePenalty *penalty, int64_t now)
{
	if (penalty->times > 0 && now - penalty->ends_at > 2 * length_of(penalties, penalty))
		penalty->times = 0;
	if (penalty->times < TIMES_MAX)
		penalty->times++;
	penalty->noise = 0;
	penalty->shut_out = true;
	penalties->nshut_out++;
	penalty->ends_at = now + length_of(penalties, penalty);
}

const SluicePenalty *
sluice_penalties_hear(SluicePenalties *penalties, const SluiceOrigin *network, int64_t bytes, int64_t now)
{
	SluicePenalty *penalty = find_or_make(penalties, network, now);

	if (penalty == NULL || penalty->shut_out)
		return NULL;
	leak(penalty, now);
	penalty->noise += bytes;
	if (penalty->noise <= SLUICE_PENALTY_NOISE)
		return NULL;
	shut_out(penalties, penalty, now);
	return penalty;
}

bool
sluice_penalties_lift(SluicePenalties *penalties, int64_t now, SluiceOrigin *network)
{
	for (int i = 0; i < penalties->n; i++)
	{
		SluicePenalty *penalty = &penalties->list[i];

		if (!penalty->shut_out || now < penalty->ends_at)
			continue;
		penalty->shut_out = false;
		penalty->heard_at = now;
		penalties->nshut_out--;
		*network = penalty->network;
		return true;
	}
	return false;
}

bool
sluice_penalties_shut_out(const SluicePenalties *penalties, const SluiceOrigin *network)
{
	for (int i = 0; i < penalties->n; i++)
	{
		if (penalties->list[i].shut_out && sluice_origin_equal(&penalties->list[i].network, network))
			return true;
	}
	return false;
}
