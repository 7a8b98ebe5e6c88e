/*
 * gaps.h
 *		Sequences that will not be sent, as ranges in order.
 *
 * What changes here must change in the store before it is sent: the changes are noted as amendments (amendments.h).
 */
#ifndef SLUICE_LIB_GAPS_H
#define SLUICE_LIB_GAPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "amendments.h"

#define SLUICE_GAPS_HEIGHT 12

/* So many gaps are kept apart by reason. */
#define SLUICE_GAPS_EXACT 1024

typedef struct SluiceGap
{
	uint64_t	from;
	uint64_t	to;
	int			reason;			/* sluice_reason */
	bool		inherited;		/* from an earlier run: whether it was sent is not known */
	bool		sent;			/* on a connection opened below it, in this run */
	uint64_t	durable_to;		/* the store has it up to here; below `from`: not at all */
	struct SluiceGap *next[];
} SluiceGap;

typedef struct SluiceGaps
{
	SluiceGap  *first[SLUICE_GAPS_HEIGHT];
	uint64_t	total;			/* sequences in all of them */
	size_t		count;
	uint64_t	run_from;		/* all from here on are in gaps, below run_end: what was found last */
	uint64_t	run_end;
	uint32_t	random;
} SluiceGaps;

extern void sluice_gaps_free(SluiceGaps *gaps);

/* The gap that has sequence, or the next one; NULL: there is none. */
extern SluiceGap *sluice_gaps_find(const SluiceGaps *gaps, uint64_t sequence);

/* The gap that has sequence, or NULL. */
extern SluiceGap *sluice_gaps_at(const SluiceGaps *gaps, uint64_t sequence);

/* The first one at or above sequence that is in no gap.  Remembered, as it is asked for often from the same place. */
extern uint64_t sluice_gaps_run_end(SluiceGaps *gaps, uint64_t sequence);

/* As it is in the store; not overlapping others.  False: out of memory. */
extern bool sluice_gaps_add_stored(SluiceGaps *gaps, uint64_t from, uint64_t to, int reason, bool inherited);

/*
 * These sequences, in no gap so far, and not sent: joined to its neighbours where it can be.  False: out of memory, nothing changed.
 * Among very many gaps one that an option of the producer made takes the reason of a
 * neighbour that another option made: so there are not many more gaps than records between them.
 */
extern bool sluice_gaps_declare(SluiceGaps *gaps, uint64_t from, uint64_t to, int reason, SluiceAmendments *amendments);

/* All of `lower`, which lies below all of these, is here then, and not there. */
extern void sluice_gaps_take(SluiceGaps *gaps, SluiceGaps *lower);

extern void sluice_gaps_remove_through(SluiceGaps *gaps, uint64_t sequence);
extern void sluice_gaps_remove_above(SluiceGaps *gaps, uint64_t sequence);

/* How many sequences from first to last are in gaps. */
extern uint64_t sluice_gaps_count(const SluiceGaps *gaps, uint64_t first, uint64_t last);

#endif							/* SLUICE_LIB_GAPS_H */
