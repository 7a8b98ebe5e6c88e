/*
 * backlog.h
 *		The records that have arrived and have no verdict yet, and which of them
 *		come next.
 *
 * What goes in and out are runs, each by its first record; only what is taken
 * for a batch comes as single records.
 *
 * Plain C, without clock and I/O: time is an argument, in microseconds of any
 * monotonic clock.  The records belong to the main thread; the backlog links
 * them through their own members and takes memory only for streams and for
 * the records of one batch.
 */
#ifndef SLUICE_BACKLOG_H
#define SLUICE_BACKLOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../record.h"

typedef struct SluiceBacklog SluiceBacklog;

/* The records of one stream that were taken for a batch. */
typedef struct SluicePortion
{
	int32_t		stream_id;
	SluiceRecord **records;		/* the backlog's, until the next take */
	int			nrecords;
} SluicePortion;

/* Nothing is due. */
#define SLUICE_BACKLOG_NEVER INT64_MAX

/* Why a stream is held decides how long. */
typedef enum SluiceBacklogHold
{
	SLUICE_BACKLOG_LOCKED,		/* 0.1 s, doubling to 2 s */
	SLUICE_BACKLOG_FAILED,		/* 0.1 s, doubling to 10 s */
	SLUICE_BACKLOG_PAUSED		/* 1 s, always */
} SluiceBacklogHold;

/* NULL where there is no memory. */
extern SluiceBacklog *sluice_backlog_create(void);

/* Its records stay with the caller. */
extern void sluice_backlog_free(SluiceBacklog *backlog);

/* How many records, of all runs, wait in it; what was taken does not count. */
extern size_t sluice_backlog_count(const SluiceBacklog *backlog);

/* A new record, to the end of its sender's stream.  False: no memory for a new stream. */
extern bool sluice_backlog_add(SluiceBacklog *backlog, SluiceRecord *record);

/*
 * Take what comes next, up to the limits but at least one record if any is due.
 * Streams that are due share the batch evenly; what one of them leaves goes to the
 * others.  A stream that was held is tried apart from the others, in
 * turns with them, until it has succeeded once.  Returns the number of portions,
 * ascending by stream; 0: nothing is due; -1: no memory.  A run is taken whole, but for the
 * records that have their verdict already, also where it has more than the limit.  Every
 * run taken is to be settled by the caller, parked or returned.
 */
extern int	sluice_backlog_take(SluiceBacklog *backlog, int64_t now,
								size_t max_records, size_t max_bytes,
								SluicePortion **portions);

/* The record alone waits (its key is busy): 10 ms, doubling to 1 s with each time in a row.  Others of its stream go on. */
extern void sluice_backlog_park(SluiceBacklog *backlog, int32_t stream_id, SluiceRecord *record, int64_t now);

/* Records that were taken come back to the front of their stream, in order. */
extern void sluice_backlog_return(SluiceBacklog *backlog, int32_t stream_id,
								  SluiceRecord **records, int nrecords);

/* The stream waits.  Returns until when. */
extern int64_t sluice_backlog_hold(SluiceBacklog *backlog, int32_t stream_id,
								   SluiceBacklogHold hold, int64_t now);

/* The stream has stored a batch: it is held no longer.  True: it was held. */
extern bool sluice_backlog_release(SluiceBacklog *backlog, int32_t stream_id);

/* Take any record out, whether it is due or not: of one stream, or of all that are held or parked, or of all.  NULL: none. */
extern SluiceRecord *sluice_backlog_remove(SluiceBacklog *backlog, int32_t stream_id);
extern SluiceRecord *sluice_backlog_remove_waiting(SluiceBacklog *backlog);
extern SluiceRecord *sluice_backlog_remove_any(SluiceBacklog *backlog);

/* When something is due: at or before now, later, or SLUICE_BACKLOG_NEVER. */
extern int64_t sluice_backlog_next(const SluiceBacklog *backlog);

#endif							/* SLUICE_BACKLOG_H */
