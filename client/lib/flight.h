/*
 * flight.h
 *		Batches sent on this connection and not acknowledged.
 */
#ifndef SLUICE_LIB_FLIGHT_H
#define SLUICE_LIB_FLIGHT_H

#include <stddef.h>
#include <stdint.h>

#define SLUICE_FLIGHT_BATCHES 256

typedef struct SluiceFlight
{
	struct
	{
		uint64_t	through;
		uint64_t	bytes;
		uint64_t	entries;
	}			batches[SLUICE_FLIGHT_BATCHES];
	size_t		first;
	size_t		count;
	uint64_t	bytes;
	uint64_t	entries;
} SluiceFlight;

/* Where there are too many they are counted together with the last one. */
static inline void
sluice_flight_add(SluiceFlight *flight, uint64_t through, uint64_t bytes, uint64_t entries)
{
	size_t		last;

	if (flight->count < SLUICE_FLIGHT_BATCHES)
	{
		last = (flight->first + flight->count++) % SLUICE_FLIGHT_BATCHES;
		flight->batches[last].bytes = 0;
		flight->batches[last].entries = 0;
	}
	else
		last = (flight->first + flight->count - 1) % SLUICE_FLIGHT_BATCHES;
	flight->batches[last].through = through;
	flight->batches[last].bytes += bytes;
	flight->batches[last].entries += entries;
	flight->bytes += bytes;
	flight->entries += entries;
}

static inline void
sluice_flight_settle(SluiceFlight *flight, uint64_t through)
{
	while (flight->count > 0 && flight->batches[flight->first].through <= through)
	{
		flight->bytes -= flight->batches[flight->first].bytes;
		flight->entries -= flight->batches[flight->first].entries;
		flight->first = (flight->first + 1) % SLUICE_FLIGHT_BATCHES;
		flight->count--;
	}
}

#endif							/* SLUICE_LIB_FLIGHT_H */
