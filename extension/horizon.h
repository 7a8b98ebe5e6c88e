/*
 * horizon.h
 *		Up to which offset no row of a table can appear any more.
 *
 * Offsets are drawn from a sequence before their transaction commits, so rows
 * become visible in another order than their offsets'.  The horizon is the
 * offset up to which every row is either visible or never will be: read U, the
 * sequence's last value; then collect W, the transactions that hold a lock on
 * the table, or one of its partitions, that lets them write; when all of W
 * have ended, U is final.  W is collected once for each U and never again, so a steady
 * stream of writers does not hold it up.
 *
 * Never blocks, and holds no lock and no snapshot between two calls.
 */
#ifndef SLUICE_HORIZON_H
#define SLUICE_HORIZON_H

#include "postgres.h"

typedef struct SluiceHorizon SluiceHorizon;

typedef struct SluiceHorizonState
{
	int64		final;			/* every row up to here is visible to a snapshot taken now, and flushed; or never will be */
	int64		last_value;		/* of the sequence, as of this call: final < last_value means that something may come */
	int64		look_at;		/* look again then, on the caller's clock (COMMIT PREPARED tells nobody); PG_INT64_MAX: when something was written */
	int			blocker;		/* pid of a transaction that has been waited for more than 10 ms; 0: none, or it is prepared */
	bool		blocked;		/* there is one */
} SluiceHorizonState;

/*
 * In a transaction: check that the table's offset column can order its rows, and
 * find its sequence and its partitions.  NULL: it cannot; *why tells what to do (server's encoding, palloc'ed).
 * Lives in TopMemoryContext until freed.
 */
extern PGDLLEXPORT SluiceHorizon *sluice_horizon_create(Oid target, const char *offset_column, char **why);
extern PGDLLEXPORT void sluice_horizon_free(SluiceHorizon *horizon);

/*
 * In a transaction without a snapshot: where is it now?  now is in microseconds of
 * a monotonic clock.  Throws where the table or its sequence is gone, or the sequence is locked and was never read.
 */
extern PGDLLEXPORT void sluice_horizon_look(SluiceHorizon *horizon, int64 now, SluiceHorizonState *state);

/* The table and its partitions, to be watched; valid until the next look. */
extern PGDLLEXPORT int sluice_horizon_relations(SluiceHorizon *horizon, const Oid **relids);

/*
 * Two of one stream, the second made because the first was stale: do offsets mean other rows now (TRUNCATE ...
 * RESTART IDENTITY, another table)?  A setval() backwards is seen by last_value only.
 */
extern PGDLLEXPORT bool sluice_horizon_is_restart(const SluiceHorizon *before, const SluiceHorizon *after);

/* Has something of the table changed (ALTER, new partitions, ALTER SEQUENCE), so that it is to be made anew? */
extern PGDLLEXPORT bool sluice_horizon_is_stale(const SluiceHorizon *horizon);

#endif							/* SLUICE_HORIZON_H */
