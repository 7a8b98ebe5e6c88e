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
	SLUICE_HOLD_GONE			/* the stream was dropped: end its calls */
} SluiceHold;

/* The records of one stream that a batch takes. */
typedef struct SluiceGroup
{
	int32		stream_id;
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

/*
 * The id of a stream by name ("" = the default stream), or 0 with *refusal
 * telling why not.  Runs a transaction of its own.  Throws on what is transient.
 */
extern PGDLLEXPORT int32 sluice_ingest_find_stream(const char *name, SluiceRefusal *refusal);

/* Is the extension installed in this database, at a version that this library serves?  Runs a transaction of its own. */
extern PGDLLEXPORT bool sluice_extension_installed(void);

#endif							/* SLUICE_INGEST_H */
