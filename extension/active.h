/*
 * active.h
 *		Which durable subscriptions are active, and where: slots in shared memory.
 *
 * A slot is claimed by the worker that serves the active consumer, before the
 * activation is committed, and given back when the call ends or the worker exits;
 * nothing in it expires.  It holds the epoch of the activation, so that an
 * acknowledgement from an earlier run of the server is refused (the row's epoch
 * alone would not do that), and what sluice.stat_subscriptions shows.
 *
 * Sessions that change a subscription by SQL say so here after their commit; the
 * worker sees that the slot has changed and reads the row again.
 */
#ifndef SLUICE_ACTIVE_H
#define SLUICE_ACTIVE_H

#include "postgres.h"

#include "datatype/timestamp.h"

#define SLUICE_ACTIVE_SLOTS 1024
#define SLUICE_ACTIVE_TEXT 64

typedef enum SluiceActiveState
{
	SLUICE_ACTIVE_FREE = 0,
	SLUICE_ACTIVE_STARTING,		/* waits for Start, or for the row */
	SLUICE_ACTIVE_BACKLOG,
	SLUICE_ACTIVE_LIVE,			/* has caught up */
	SLUICE_ACTIVE_RETRYING,		/* after a nack: waits before it delivers again */
	SLUICE_ACTIVE_BLOCKED		/* rows wait for a transaction that wrote to the table: blocker */
} SluiceActiveState;

/* What the worker tells of an active consumer. */
typedef struct SluiceActiveReport
{
	SluiceActiveState state;
	int64		delivered;		/* offset of the last row sent; told before it is, as sluice.ack() refuses later ones */
	int64		acknowledged;
	int64		in_flight;		/* rows */
	uint64		rows;			/* sent since activation */
	uint64		redelivered;	/* of them, sent before */
	TimestampTz caught_up_at;	/* when all rows had been sent; 0: not yet */
	int			blocker;		/* pid; 0: none, or a prepared transaction */
} SluiceActiveReport;

/* A copy of a slot. */
typedef struct SluiceActive
{
	int32		subscription;
	int			worker;			/* index of the worker */
	int			pid;			/* its process */
	uint64		epoch;
	uint64		changes;		/* how often others have changed the subscription */
	bool		unsubscribe;	/* the call is to end */
	TimestampTz since;
	char		consumer[SLUICE_ACTIVE_TEXT];	/* UTF-8, as the address */
	char		address[SLUICE_ACTIVE_TEXT];
	SluiceActiveReport report;
} SluiceActive;

/* For _PG_init. */
extern void sluice_active_install(void);

/*
 * The worker's.  -1: another call has the subscription, or no slot is free.
 * consumer and address are UTF-8 and clipped.  Slots are given back at process exit also, before the worker's own place is.
 */
extern PGDLLEXPORT int sluice_active_claim(int32 subscription, int worker, const char *consumer, const char *address);

/* Wakes the workers of this database: one of them may have a call that stands by. */
extern PGDLLEXPORT void sluice_active_release(int slot);
extern PGDLLEXPORT void sluice_active_set_epoch(int slot, uint64 epoch);
extern PGDLLEXPORT void sluice_active_report(int slot, const SluiceActiveReport *report);

/* How often it was changed by others so far, and whether it is to end.  No lock. */
extern PGDLLEXPORT uint64 sluice_active_changes(int slot, bool *unsubscribe);

/* Anybody's: of this database.  False: not active. */
extern PGDLLEXPORT bool sluice_active_find(int32 subscription, SluiceActive *active);

/* Is it active in this epoch? */
extern bool sluice_active_has_epoch(int32 subscription, uint64 epoch);

/*
 * To be called by whoever changes the row by SQL: when the transaction commits,
 * the worker is told.  At PREPARE TRANSACTION already: then the row is still locked,
 * and whoever was told has to look until it is not.  After an abort
 * the workers are woken, as one may wait for the row.
 */
extern PGDLLEXPORT void sluice_active_change_at_commit(int32 subscription);

/* At once: end the call with this epoch; 0: the active one and all that stand by.  True: one is active. */
extern PGDLLEXPORT bool sluice_active_unsubscribe(int32 subscription, uint64 epoch);

/* For who stands by and has no slot: how often all calls of some subscription were ended so far, */
extern PGDLLEXPORT uint64 sluice_active_endings(void);

/* and was it this one's since then?  *since becomes now. */
extern PGDLLEXPORT bool sluice_active_was_ended(int32 subscription, uint64 *since);

#endif							/* SLUICE_ACTIVE_H */
