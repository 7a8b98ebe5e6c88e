/*
 * pending.c
 *		Records on their way.
 *
 * A place for each: 0 when nothing has come, else a time, negative for that of the verdict.
 */
#include "pending.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "memory.h"

struct SluicePending
{
	size_t		mask;
	_Atomic int64_t places[];
};

SluicePending *
sluice_pending_create(size_t size)
{
	SluicePending *pending = sluice_memory_get_zeroed(sizeof(SluicePending) + size * sizeof(pending->places[0]));

	pending->mask = size - 1;
	return pending;
}

void
sluice_pending_free(SluicePending *pending)
{
	free(pending);
}

/* Leaves the time there, or takes away what the other has left. */
static int64_t
meet(SluicePending *pending, uint64_t sequence, int64_t time)
{
	_Atomic int64_t *place = &pending->places[sequence & pending->mask];
	int64_t		nothing = 0;

	if (atomic_compare_exchange_strong(place, &nothing, time))
		return 0;
	return atomic_exchange(place, 0);
}

int64_t
sluice_pending_due(SluicePending *pending, uint64_t sequence, int64_t time)
{
	int64_t		other = meet(pending, sequence, time);

	return other < 0 ? -other - time : -1;
}

int64_t
sluice_pending_settled(SluicePending *pending, uint64_t sequence, int64_t time)
{
	int64_t		other = meet(pending, sequence, -time);

	return other > 0 ? time - other : -1;
}
