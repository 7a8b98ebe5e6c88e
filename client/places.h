/*
 * places.h
 *		Where records came from, for as long as they have no verdict.
 *
 * Sequences and lines mostly rise together, so a run of records needs no more
 * room than one.  The number of runs is bounded: the oldest are forgotten then.
 * For several threads.
 */
#ifndef SLUICE_PLACES_H
#define SLUICE_PLACES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct SluicePlaces SluicePlaces;

typedef struct SluicePlace
{
	size_t		source;			/* which file */
	uint64_t	line;
} SluicePlace;

extern SluicePlaces *sluice_places_create(size_t runs_max);
extern void sluice_places_free(SluicePlaces *places);

/* In ascending order of sequences; one noted before takes the new place. */
extern void sluice_places_note(SluicePlaces *places, uint64_t sequence, SluicePlace place);
extern bool sluice_places_find(SluicePlaces *places, uint64_t sequence, SluicePlace *place);
extern void sluice_places_forget_through(SluicePlaces *places, uint64_t sequence);

#endif							/* SLUICE_PLACES_H */
