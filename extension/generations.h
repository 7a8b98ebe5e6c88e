/*
 * generations.h
 *		The three generations of idempotency keys, and their rotation.
 *
 * A key is forgotten with its whole generation, by TRUNCATE.  At any time one
 * generation is current (it takes new keys), one previous (it is still known),
 * and one spare (empty, or about to be).  Who ingests first takes
 * RowExclusiveLock on sluice.key_generations and then reads which is which with a
 * fresh snapshot; so rotation can tell, by the holders of that lock, when all
 * that knew an older state have ended.  Nobody ever waits for it:
 *
 *	settled		keys go to current, previous is frozen
 *	   |		spare empty, window over: publish the spare as current
 *	double		keys go to current AND previous (which transactions that began
 *	   |		earlier still take for current: it decides between the two kinds)
 *	   |		all transactions of the settled phase have ended
 *	passing		keys go to current alone; previous may still get keys of
 *	   |		transactions of the double phase
 *	   |		all transactions of the double phase have ended
 *	settled		(settled_at = now), and the one before previous is the spare
 *
 * A generation is given up no sooner than the longest idempotency_window after it
 * was settled, which is after the last key went into it.
 */
#ifndef SLUICE_GENERATIONS_H
#define SLUICE_GENERATIONS_H

#include "postgres.h"

#include "datatype/timestamp.h"

typedef enum SluiceGenerationPhase
{
	SLUICE_PHASE_SETTLED = 's',
	SLUICE_PHASE_DOUBLE = 'd',
	SLUICE_PHASE_PASSING = 'p'
} SluiceGenerationPhase;

typedef struct SluiceGenerations
{
	int64		serial;			/* 0: no rotation yet */
	int			current;
	int			previous;
	int			spare;
	SluiceGenerationPhase phase;
	bool		spare_empty;
	TimestampTz settled_at;
} SluiceGenerations;

/* Lock the pointer against a change being overlooked, for the rest of the transaction, and read it. */
extern void sluice_generations_read(SluiceGenerations *generations);

/* What one step of the rotation did. */
typedef enum SluiceGenerationStep
{
	SLUICE_STEP_IDLE,			/* nothing is due */
	SLUICE_STEP_BLOCKED,		/* due, but somebody's lock or transaction is in the way: later */
	SLUICE_STEP_DONE			/* one step was taken: commit, and call again */
} SluiceGenerationStep;

/*
 * Take one step of the rotation where it is due at the given time.  Within a
 * transaction of its own; only one session at a time takes steps.  Never waits.
 */
extern PGDLLEXPORT SluiceGenerationStep sluice_generations_step(TimestampTz now);

#endif							/* SLUICE_GENERATIONS_H */
