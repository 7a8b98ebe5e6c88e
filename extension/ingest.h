/*
 * ingest.h
 *		The ingest transaction, as the worker sees it.
 */
#ifndef SLUICE_INGEST_H
#define SLUICE_INGEST_H

#include "postgres.h"

#include "record.h"

/* Why records of a group are still pending. */
typedef enum SluiceHold
{
	SLUICE_HOLD_NONE = 0,		/* all have their verdict, or only some keys are busy */
	SLUICE_HOLD_LOCKED,			/* the target is locked by another transaction */
	SLUICE_HOLD_ERROR,			/* sqlstate, message: retry with backoff */
	SLUICE_HOLD_PAUSED,			/* sluice.hold(), or restored from a dump: message */
	SLUICE_HOLD_DENIED,			/* the role of the clients may not (any more): end their calls */
	SLUICE_HOLD_GONE			/* the stream was dropped: end its calls */
} SluiceHold;

/* The records of one stream, from clients of one role, that a batch takes. */
typedef struct SluiceGroup
{
	int32		stream_id;
	Oid			role;			/* InvalidOid: they act as the stream's owner */
	SluiceRecord **records;
	int			nrecords;

	/* Results. */
	SluiceHold	hold;
	int			npending;		/* records left without verdict */
	char		sqlstate[6];
	char		message[256];	/* UTF-8 */
} SluiceGroup;

/*
 * Store the records of all groups (ascending stream_id) in one transaction,
 * commit it, wait for the standbys that synchronous_commit asks for, and only
 * then set verdicts.  Called outside a transaction.  Where something fails the
 * groups are tried again apart from each other, so that one of them holds
 * nobody else.  Returns normally in all cases but termination; every record
 * has a verdict that is committed, or is SLUICE_PENDING still.  False: the wait
 * for a synchronous standby was given up (shutdown): no verdict may go out, and
 * all records are pending though they may be committed.
 */
extern PGDLLEXPORT bool sluice_ingest_groups(SluiceGroup *groups, int ngroups);

typedef enum SluiceOpenResult
{
	SLUICE_OPEN_DONE,			/* the sender has its stream_id, its epoch, and the answer in its opening */
	SLUICE_OPEN_REFUSED,		/* *refusal tells why */
	SLUICE_OPEN_BUSY,			/* another transaction has the producer's row, or changes the stream: try again later */
	SLUICE_OPEN_UNCONFIRMED,	/* the wait for a synchronous standby was given up: no answer may go out */
	SLUICE_OPEN_FAILED			/* for callers that catch what is thrown */
} SluiceOpenResult;

/*
 * Find the sender's stream by its name ("" = the default stream); where the
 * sender is sequenced, give its producer a new epoch in it (rule P5), durably.
 * Runs a transaction of its own.  Throws on what is transient.
 */
extern PGDLLEXPORT SluiceOpenResult sluice_ingest_open(SluiceSender *sender, SluiceRefusal *refusal);

/* Is the extension installed in this database, at a version that this library serves?  Runs a transaction of its own. */
extern PGDLLEXPORT bool sluice_extension_installed(void);

#endif							/* SLUICE_INGEST_H */
