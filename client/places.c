/*
 * places.c
 *		Where records came from, for as long as they have no verdict.
 *
 * A ring of runs, each of consecutive sequences with consecutive lines.
 */
#include "places.h"

#include <pthread.h>
#include <stdlib.h>

#include "memory.h"

typedef struct Run
{
	uint64_t	first;			/* sequence */
	uint64_t	count;
	SluicePlace place;			/* of the first */
} Run;

struct SluicePlaces
{
	pthread_mutex_t mutex;
	Run		   *runs;
	size_t		capacity;
	size_t		oldest;
	size_t		count;
};

SluicePlaces *
sluice_places_create(size_t runs_max)
{
	SluicePlaces *places = sluice_memory_get_zeroed(sizeof(SluicePlaces));

	pthread_mutex_init(&places->mutex, NULL);
	places->runs = sluice_memory_get(runs_max * sizeof(Run));
	places->capacity = runs_max;
	return places;
}

void
sluice_places_free(SluicePlaces *places)
{
	pthread_mutex_destroy(&places->mutex);
	free(places->runs);
	free(places);
}

static Run *
run_at(SluicePlaces *places, size_t i)
{
	return &places->runs[(places->oldest + i) % places->capacity];
}

static void
drop_oldest(SluicePlaces *places)
{
	places->oldest = (places->oldest + 1) % places->capacity;
	places->count--;
}

/* Takes the sequence, and what is above it, away again. */
static void
cut_off_from(SluicePlaces *places, uint64_t sequence)
{
	while (places->count > 0)
	{
		Run		   *newest = run_at(places, places->count - 1);

		if (newest->first + newest->count <= sequence)
			return;
		if (newest->first < sequence)
		{
			newest->count = sequence - newest->first;
			return;
		}
		places->count--;
	}
}

void
sluice_places_note(SluicePlaces *places, uint64_t sequence, SluicePlace place)
{
	Run		   *newest;

	pthread_mutex_lock(&places->mutex);
	cut_off_from(places, sequence);
	newest = places->count > 0 ? run_at(places, places->count - 1) : NULL;
	if (newest != NULL && newest->first + newest->count == sequence && newest->place.source == place.source &&
		newest->place.line + newest->count == place.line)
		newest->count++;
	else
	{
		if (places->count == places->capacity)
			drop_oldest(places);
		*run_at(places, places->count++) = (Run) {sequence, 1, place};
	}
	pthread_mutex_unlock(&places->mutex);
}

bool
sluice_places_find(SluicePlaces *places, uint64_t sequence, SluicePlace *place)
{
	size_t		low = 0;
	size_t		high;
	bool		found = false;

	pthread_mutex_lock(&places->mutex);
	for (high = places->count; low < high;)
	{
		size_t		middle = low + (high - low) / 2;
		const Run  *run = run_at(places, middle);

		if (sequence < run->first)
			high = middle;
		else if (sequence - run->first >= run->count)
			low = middle + 1;
		else
		{
			*place = (SluicePlace) {run->place.source, run->place.line + (sequence - run->first)};
			found = true;
			break;
		}
	}
	pthread_mutex_unlock(&places->mutex);
	return found;
}

void
sluice_places_forget_through(SluicePlaces *places, uint64_t sequence)
{
	pthread_mutex_lock(&places->mutex);
	while (places->count > 0)
	{
		Run		   *oldest = run_at(places, 0);

		if (oldest->first > sequence)
			break;
		if (sequence - oldest->first < oldest->count - 1)
		{
			uint64_t	gone = sequence - oldest->first + 1;

			oldest->first += gone;
			oldest->place.line += gone;
			oldest->count -= gone;
			break;
		}
		drop_oldest(places);
	}
	pthread_mutex_unlock(&places->mutex);
}
