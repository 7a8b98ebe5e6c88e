/*
 * source.h
 *		A stream that this worker delivers rows from.
 *
 * All calls that subscribe to the stream share it: one horizon, one plan for
 * each encoding, and the rows that were read last, which consumers that go
 * along side by side take without reading them again.
 */
#ifndef SLUICE_SOURCE_H
#define SLUICE_SOURCE_H

#include "postgres.h"

#include "buffer.h"
#include "horizon.h"
#include "lib/ilist.h"
#include "nodes/pg_list.h"
#include "reading.h"

#define SLUICE_SOURCE_ROWS_MAX 4096

/* Rows that were read in one go. */
typedef struct SluiceExtract
{
	const SluiceReading *reading;	/* that they were read with: by its role, in its encoding */
	int64		after;
	SluiceNacked nacked;
	int64		through;		/* all rows after `after` up to here are in it */
	SluiceBuffer rows;
	int64		offsets[SLUICE_SOURCE_ROWS_MAX];
	int			n;
	bool		valid;
} SluiceExtract;

/* A reading, and what was asked for. */
typedef struct SluiceSourceReading
{
	Oid			role;			/* InvalidOid: the stream's owner */
	SluiceEncoding encoding;	/* may be STREAM */
	SluiceReading *reading;
} SluiceSourceReading;

typedef struct SluiceSource
{
	dlist_node	node;
	int32		stream_id;
	uint8		uid[SLUICE_UID_SIZE];
	int			users;			/* calls */
	SluiceHorizon *horizon;		/* NULL: not looked at yet */
	SluiceHorizonState state;	/* as of the last look */
	uint32		restarts;		/* how often offsets began to mean other rows */
	bool		dirty;			/* something may have been written since */
	int64		looked_at;
	int64		retry_at;		/* not before that: the last look failed */
	int			failures;		/* in a row */
	List	   *readings;		/* of SluiceSourceReading, one for each role and encoding that was asked for */
	SluiceExtract extract;
} SluiceSource;

/* The source of a stream, for one more call. */
extern SluiceSource *sluice_source_join(int32 stream_id);
extern void sluice_source_leave(SluiceSource *source);

/* The next look is to be a fresh one. */
extern void sluice_source_soil(SluiceSource *source);

/* Something that is watched was written: all are to be looked at. */
extern void sluice_source_soil_all(void);

/* A look, or a read, has failed: it is tried again after a while.  Returns when. */
extern int64 sluice_source_failed(SluiceSource *source, int64 now);

/* When the next look is due, on the main thread's clock; PG_INT64_MIN: at once, PG_INT64_MAX: when something was written. */
static inline int64
sluice_source_due(const SluiceSource *source)
{
	return Max(source->retry_at, source->dirty ? PG_INT64_MIN : source->state.look_at);
}

typedef enum SluiceSourceState
{
	SLUICE_SOURCE_READY,
	SLUICE_SOURCE_GONE,			/* the stream was dropped, or its table */
	SLUICE_SOURCE_HELD,			/* it came from a dump, and was not resumed */
	SLUICE_SOURCE_UNFIT			/* its rows cannot be handed out: *why */
} SluiceSourceState;

/*
 * In a transaction: bring it up to date with what was altered, and look at its
 * horizon if that is due.  why is palloc'ed, in the server's encoding.
 */
extern SluiceSourceState sluice_source_look(SluiceSource *source, int64 now, char **why);

/* In a transaction, after a look: the plan for a role and an encoding.  NULL: there can be none, *why tells. */
extern SluiceReading *sluice_source_reading(SluiceSource *source, Oid role, SluiceEncoding encoding, char **why);

/* The same where there is one already; else NULL. */
extern SluiceReading *sluice_source_known_reading(const SluiceSource *source, Oid role, SluiceEncoding encoding);

/* Are rows behind `after` known to be there, or not known not to be? */
extern bool sluice_source_has_more(const SluiceSource *source, int64 after);

/* The rows that were read last, where they are those and no more than so many; else NULL. */
extern const SluiceExtract *sluice_source_extracted(const SluiceSource *source, Oid role, SluiceEncoding encoding, int64 after,
													 SluiceNacked nacked, int max_rows);

/* In a transaction, after a look: read them.  Throws. */
extern const SluiceExtract *sluice_source_extract(SluiceSource *source, SluiceReading *reading, int64 after,
												   SluiceNacked nacked, int max_rows, size_t max_bytes);

#endif							/* SLUICE_SOURCE_H */
