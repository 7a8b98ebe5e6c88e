/*
 * batch.h
 *		Records of several streams through the steps of the ingest transaction.
 *
 * This is the part that the worker and sluice.ingest() share.  It runs inside
 * the caller's transaction, which commits or rolls back what it did.  All is
 * touched in one order: streams by id, producers sorted, keys sorted.
 *
 *	1. resolve	each stream: its lock, its target (conditional in the worker), its binding
 *	2. claim	producers: their rows, and which of their records are new
 *	3. know		keys and doubles: which records are new, known, busy
 *	4. store	the new ones of each stream, as its acting role
 *	5. remember	dead letters, gaps and producers, then keys with their verdicts
 */
#ifndef SLUICE_BATCH_H
#define SLUICE_BATCH_H

#include "postgres.h"

#include "claims.h"
#include "ingest.h"
#include "keys.h"
#include "piece.h"

/* The records of one stream, from clients of one role, within a batch. */
typedef struct SluiceShare
{
	int32		stream_id;
	Oid			role;			/* of the worker's clients; InvalidOid: as the stream's owner */
	SluiceGroup *group;			/* the worker's; or NULL */
	SluiceStream *stream;
	bool		ready;			/* false: takes no part in this batch */
	SluiceItem *items;			/* in arrival order */
	int			nitems;
	SluiceHold	hold;			/* why it takes no part */
	uint64		conflicts;		/* keys known with another payload */
} SluiceShare;

typedef struct SluiceBatch
{
	bool		from_sql;		/* the caller's role and transaction; waits for locks and keys */
	bool		careful;		/* store in subtransactions, isolating what fails */
	bool		probe;			/* look keys up in the current generation rather than try */
	bool		patient;		/* see isolate.h */
	bool		redrive;		/* the records are dead letters: a key known as such is tried anew */
	Oid			installation;	/* of the extension, that stream ids belong to; InvalidOid: the one that is there */
	SluiceReason *refuse;		/* refuse all records for this reason: their transaction failed at COMMIT */
	SluiceShare *shares;		/* ascending stream_id */
	int			nshares;
	MemoryContext context;		/* of the batch */

	/* Made by run. */
	SluiceClaims claims;
	SluiceKeys	keys;
	SluiceItem **sorted;		/* keyed items, by key and stream */
	int			nsorted;
	uint64		known;			/* records that were found settled: by their keys, or by their sequences */
	bool		known_keys;		/* worth probing for */
} SluiceBatch;

/* Add the records of a stream. */
extern void sluice_batch_add(SluiceBatch *batch, SluiceShare *share, int32 stream_id,
							 SluiceRecord **records, int n, SluiceGroup *group);

/* Why the share of this role is held after an error of its target. */
extern SluiceHold sluice_batch_hold_for(const ErrorData *error, Oid role);

/*
 * Run the steps.  False: a key turned out to be there already; roll back and run
 * again with probe set.  Errors of a target are thrown, except that in a careful
 * batch of the worker they end up in the share's group.
 */
extern bool sluice_batch_run(SluiceBatch *batch);

/* Count what happened, after the commit. */
extern void sluice_batch_count(const SluiceBatch *batch);

#endif							/* SLUICE_BATCH_H */
