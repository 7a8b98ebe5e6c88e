/*
 * opening.c
 *		The main thread's answers to calls that open: which stream, which producer.
 *
 * An opening is a transaction of its own.  It never waits for a producer's row
 * that another transaction has (of an older call of the same producer, in another
 * worker; or a user's): it is tried again a little later, and everything else goes on.
 */
#include "postgres.h"

#include "opening.h"

#include "access/xact.h"
#include "cancel.h"
#include "ingest.h"
#include "miscadmin.h"
#include "queue.h"
#include "refusal.h"
#include "settlement.h"
#include "utils/memutils.h"

/* The first wait; it doubles so many times, to more than a second. */
#define RETRY_US (10 * INT64CONST(1000))
#define RETRY_DOUBLINGS 7

struct SluiceOpenings
{
	SluiceNetwork *network;
	SluiceQueue waiting;		/* in the order of their last try */
	const char *drain_message;	/* NULL: not draining */
	bool		suspects_drop;
	bool		abandoned;
};

SluiceOpenings *
sluice_openings_create(SluiceNetwork *network)
{
	SluiceOpenings *openings = MemoryContextAllocZero(TopMemoryContext, sizeof(*openings));

	openings->network = network;
	return openings;
}

/* It could not be answered for a reason that may pass. */
static void
open_failed(SluiceOpenings *openings, SluiceRecord *record, MemoryContext context)
{
	ErrorData  *error;
	char	   *message;

	MemoryContextSwitchTo(context);
	error = CopyErrorData();
	FlushErrorState();
	AbortCurrentTransaction();
	MemoryContextSwitchTo(context);
	ereport(LOG,
			(errcode(error->sqlerrcode),
			 errmsg("could not look up a stream for a client: %s", error->message)));
	message = psprintf("the stream could not be looked up (SQLSTATE %s), open the call again",
					   unpack_sql_state(error->sqlerrcode));
	openings->suspects_drop = true;
	sluice_refuse(openings->network, record, SLUICE_STATUS_UNAVAILABLE, message);
}

static void
wait_for_producer(SluiceOpenings *openings, SluiceRecord *record)
{
	record->due_at = sluice_settlement_clock() + (RETRY_US << record->delay);
	if (record->delay < RETRY_DOUBLINGS)
		record->delay++;
	sluice_queue_append(&openings->waiting, record);
}

static void
answer(SluiceOpenings *openings, SluiceRecord *record)
{
	MemoryContext context = CurrentMemoryContext;
	SluiceRefusal refusal = {0};
	volatile SluiceOpenResult result = SLUICE_OPEN_FAILED;

	sluice_cancel_allow();
	PG_TRY();
	{
		result = sluice_ingest_open(record->sender, &refusal);
	}
	PG_CATCH();
	{
		open_failed(openings, record, context);
	}
	PG_END_TRY();
	sluice_cancel_ignore();
	MemoryContextSwitchTo(context);

	switch (result)
	{
		case SLUICE_OPEN_FAILED:
			break;
		case SLUICE_OPEN_REFUSED:
			sluice_refuse_for(openings->network, record, &refusal);
			break;
		case SLUICE_OPEN_BUSY:
			wait_for_producer(openings, record);
			break;
		case SLUICE_OPEN_DONE:
			record->verdict = SLUICE_OPENED;
			sluice_network_deliver(openings->network, &record, 1);
			break;
		case SLUICE_OPEN_UNCONFIRMED:
			openings->abandoned = true;
			break;
	}
}

static void
answer_or_refuse(SluiceOpenings *openings, SluiceRecord *record)
{
	if (atomic_load(&record->sender->gone))
		sluice_refuse(openings->network, record, SLUICE_STATUS_UNAVAILABLE, "the client has left");
	else if (openings->drain_message != NULL)
		sluice_refuse(openings->network, record, SLUICE_STATUS_UNAVAILABLE, openings->drain_message);
	else
		answer(openings, record);
}

void
sluice_openings_add(SluiceOpenings *openings, SluiceRecord *record)
{
	answer_or_refuse(openings, record);
}

void
sluice_openings_retry(SluiceOpenings *openings)
{
	int64		now = sluice_settlement_clock();

	for (size_t n = openings->waiting.count; n > 0; n--)
	{
		SluiceRecord *record = sluice_queue_pop(&openings->waiting);

		if (record->due_at <= now || openings->drain_message != NULL || atomic_load(&record->sender->gone))
			answer_or_refuse(openings, record);
		else
			sluice_queue_append(&openings->waiting, record);
	}
}

int64
sluice_openings_next(const SluiceOpenings *openings)
{
	int64		next = PG_INT64_MAX;

	for (const SluiceRecord *record = openings->waiting.first; record != NULL; record = record->next)
		next = Min(next, record->due_at);
	return next;
}

void
sluice_openings_drain(SluiceOpenings *openings, const char *message)
{
	openings->drain_message = message;
	sluice_openings_retry(openings);
}

bool
sluice_openings_suspect_drop(SluiceOpenings *openings)
{
	bool		suspects = openings->suspects_drop;

	openings->suspects_drop = false;
	return suspects;
}

bool
sluice_openings_abandoned(const SluiceOpenings *openings)
{
	return openings->abandoned;
}
