/*
 * subscription_lag.h
 *		How far a position is behind the rows of its stream.
 */
#ifndef SLUICE_SUBSCRIPTION_LAG_H
#define SLUICE_SUBSCRIPTION_LAG_H

#include "postgres.h"

#include "datatype/timestamp.h"

typedef struct SluiceLag
{
	int64		records;		/* committed, beyond the position */
	bool		has_received_at;
	TimestampTz received_at;	/* of the first of them */
} SluiceLag;

/* False: it cannot be told now.  Never throws for a reason that lies with the stream; never waits for long. */
extern bool sluice_subscription_lag(int32 stream_id, int64 position, SluiceLag *lag);

#endif							/* SLUICE_SUBSCRIPTION_LAG_H */
