/*
 * delivery.c
 *		The main thread's way of a row from its table to a consumer.
 *
 * A call of Subscribe is a SluiceSubscriber from the moment its SLUICE_SUBSCRIBE was
 * answered until its SLUICE_LEAVE is.  A turn of the loop does for each what
 * is due: take what the consumer sent, write down what it acknowledged,
 * try to make it active, look for what others changed, and fill one of its pulls.
 * Each of these is a transaction of its own, which may fail without harm to
 * others; nothing is locked between two of them, and nobody is waited for: what is
 * busy is tried again.
 *
 * Acknowledgements are committed without waiting for the disk, one by one, and flushed
 * together at the end of the turn.
 */
#include "postgres.h"

#include "delivery_internal.h"

#include <stdarg.h>

#include "access/xact.h"
#include "access/xlog.h"
#include "miscadmin.h"
#include "refusal_message.h"
#include "settlement.h"
#include "shared.h"
#include "utils/memutils.h"
#include "watch.h"

#define RETRY_US INT64CONST(10000)
#define RETRY_DOUBLINGS 6

/* Acknowledgements wait so long for more of them. */
#define SAVE_DELAY_US INT64CONST(5000)

/* All sources are looked at so often, whoever wrote: one may have been dropped. */
#define TICK_US INT64CONST(1000000)

/* Whoever stands by looks by itself, too: a worker may have died. */
#define STANDBY_US INT64CONST(500000)

SluiceDelivery *
sluice_delivery_create(SluiceNetwork *network, int worker)
{
	SluiceDelivery *delivery = MemoryContextAllocZero(TopMemoryContext, sizeof(*delivery));

	delivery->network = network;
	delivery->worker = worker;
	dlist_init(&delivery->subscribers);
	delivery->context = AllocSetContextCreate(TopMemoryContext, "sluice delivery", ALLOCSET_DEFAULT_SIZES);
	sluice_watch_attach(worker);
	return delivery;
}

/* ---- records ---- */

void
sluice_delivery_queue(SluiceConsumerQueue *queue, SluiceConsumerRecord *record)
{
	record->next = NULL;
	if (queue->first == NULL)
		queue->first = record;
	else
		queue->last->next = record;
	queue->last = record;
}

SluiceConsumerRecord *
sluice_delivery_unqueue(SluiceConsumerQueue *queue)
{
	SluiceConsumerRecord *record = queue->first;

	if (record != NULL)
		queue->first = record->next;
	return record;
}

void
sluice_delivery_answer(SluiceDelivery *delivery, SluiceConsumerRecord *record, SluiceVerdict verdict)
{
	SluiceRecord *first = &record->record;

	first->verdict = verdict;
	sluice_network_deliver(delivery->network, &first, 1);
}

SluiceRefusal
sluice_delivery_refusal(int status, const char *reason, const char *format, ...)
{
	SluiceRefusal refusal = {.status = status,.reason = reason};
	va_list		args;

	va_start(args, format);
	sluice_refusal_message(&refusal, format, args);
	va_end(args);
	return refusal;
}

SluiceRefusal
sluice_delivery_not_ready(SluiceSourceState state, const char *why)
{
	switch (state)
	{
		case SLUICE_SOURCE_GONE:
			return sluice_delivery_refusal(SLUICE_STATUS_NOT_FOUND, "DROPPED", "the stream, or its table, was dropped");
		case SLUICE_SOURCE_HELD:
			return sluice_delivery_refusal(SLUICE_STATUS_UNAVAILABLE, NULL, "the stream is held: %s", why);
		case SLUICE_SOURCE_UNFIT:
			return sluice_delivery_refusal(SLUICE_STATUS_FAILED_PRECONDITION, "NOT_SUBSCRIBABLE", "%s", why);
		case SLUICE_SOURCE_READY:
			break;
	}
	elog(FATAL, "a source that is ready is no reason to end a call");
}

SluiceRefusal
sluice_delivery_beyond_end(int64 position, int64 last_value)
{
	return sluice_delivery_refusal(SLUICE_STATUS_OUT_OF_RANGE, "BEYOND_END",
								   "position " INT64_FORMAT " is above the last offset, " INT64_FORMAT ": set it anew with sluice.seek()",
								   position, last_value);
}

/* Its activation is over; what it had in flight is the next one's. */
static void
deactivate(SluiceSubscriber *subscriber)
{
	subscriber->phase = SLUICE_PHASE_ENDED;
	if (subscriber->slot >= 0)
		sluice_active_release(subscriber->slot);
	subscriber->slot = -1;
}

void
sluice_delivery_end(SluiceSubscriber *subscriber, const SluiceRefusal *refusal)
{
	SluiceDelivery *delivery = subscriber->delivery;
	SluiceConsumerRecord *record = subscriber->pulls.first != NULL ? sluice_delivery_unqueue(&subscriber->pulls) :
		sluice_delivery_unqueue(&subscriber->advances);

	/* Without a record to say it with, the call's next one is. */
	if (record == NULL)
		return;
	if (sluice_delivery_is_unsaved(subscriber))
		(void) sluice_delivery_save(subscriber, sluice_settlement_clock());
	deactivate(subscriber);
	sluice_refuse_for(delivery->network, &record->record, refusal);
}

void
sluice_delivery_retry(SluiceSubscriber *subscriber, int64 now)
{
	subscriber->retry_at = now + (RETRY_US << subscriber->retries);
	if (subscriber->retries < RETRY_DOUBLINGS)
		subscriber->retries++;
}

void
sluice_delivery_failed(SluiceSubscriber *subscriber, const SluiceFailure *failure, int64 now)
{
	/* Somebody has locked what is wanted: that is no news. */
	if (subscriber->retries == 0 && failure->sqlstate != ERRCODE_LOCK_NOT_AVAILABLE)
		ereport(WARNING,
				(errcode(failure->sqlstate),
				 errmsg("could not serve a consumer of stream %d: %s", subscriber->source->stream_id, failure->message)));
	subscriber->delivery->suspects_drop = true;
	sluice_delivery_retry(subscriber, now);
}

/* ---- arrivals ---- */

static void
refuse_drained(SluiceDelivery *delivery, SluiceConsumerRecord *record)
{
	sluice_refuse(delivery->network, &record->record, SLUICE_STATUS_UNAVAILABLE, delivery->drain_message);
}

void
sluice_delivery_add(SluiceDelivery *delivery, SluiceRecord *first)
{
	SluiceConsumerRecord *record = (SluiceConsumerRecord *) first;
	SluiceSubscriber *subscriber = first->sender->consumer;

	switch ((SluiceRecordKind) first->kind)
	{
		case SLUICE_SUBSCRIBE:
		case SLUICE_UNSUBSCRIBE:
			if (delivery->drain)
				refuse_drained(delivery, record);
			else
				sluice_delivery_queue(&delivery->joining, record);
			break;
		case SLUICE_PULL:
			sluice_delivery_queue(&subscriber->pulls, record);
			break;
		case SLUICE_ADVANCE:
			sluice_delivery_queue(&subscriber->advances, record);
			break;
		case SLUICE_LEAVE:
			subscriber->leaving = record;
			subscriber->retry_at = 0;
			subscriber->retries = 0;
			break;
		default:
			elog(FATAL, "unexpected record of kind %d", first->kind);
	}
}

/* ---- a turn ---- */

static void
join_all(SluiceDelivery *delivery, int64 now)
{
	SluiceConsumerQueue waiting = delivery->joining;
	SluiceConsumerRecord *record;

	if (now < delivery->join_at)
		return;
	delivery->joining = (SluiceConsumerQueue) {0};
	while ((record = sluice_delivery_unqueue(&waiting)) != NULL)
	{
		bool		done;

		if (delivery->drain)
		{
			refuse_drained(delivery, record);
			continue;
		}
		done = record->record.kind == SLUICE_SUBSCRIBE ? sluice_delivery_join(delivery, record) :
			sluice_delivery_unsubscribe(delivery, record);
		if (!done)
		{
			delivery->join_at = now + RETRY_US;
			sluice_delivery_queue(&delivery->joining, record);
		}
	}
}

static bool
save_due(const SluiceSubscriber *subscriber, int64 now)
{
	return sluice_delivery_is_unsaved(subscriber) && now >= subscriber->acknowledged_at + SAVE_DELAY_US;
}

/* False: it is gone. */
static bool
serve(SluiceSubscriber *subscriber, int64 now)
{
	if (now < subscriber->retry_at)
		return true;
	subscriber->retry_at = 0;
	if (subscriber->advances.first != NULL)
		sluice_delivery_advance(subscriber, now);
	if (subscriber->leaving != NULL)
		return !sluice_delivery_leave(subscriber, now);
	if (subscriber->phase == SLUICE_PHASE_ENDED || subscriber->delivery->drain)
		return true;
	if (subscriber->phase == SLUICE_PHASE_STANDBY)
		sluice_delivery_activate(subscriber, now);
	if (subscriber->slot >= 0)
		sluice_delivery_look_for_changes(subscriber, now);
	if (save_due(subscriber, now) && !sluice_delivery_save(subscriber, now))
		return true;
	if (sluice_delivery_may_send(subscriber, now))
		sluice_delivery_send(subscriber, now);
	if (subscriber->report_due)
		sluice_delivery_report(subscriber);
	if (subscriber->retry_at == 0)
		subscriber->retries = 0;
	return true;
}

void
sluice_delivery_turn(SluiceDelivery *delivery)
{
	int64		now = sluice_settlement_clock();
	dlist_mutable_iter iter;
	XLogRecPtr	before = XactLastCommitEnd;

	if (delivery->count == 0 && delivery->joining.first == NULL)
		return;
	MemoryContextSwitchTo(delivery->context);
	if (sluice_watch_take() || now >= delivery->tick_at)
	{
		sluice_source_soil_all();
		delivery->tick_at = now + TICK_US;
	}
	if (delivery->joining.first != NULL)
		join_all(delivery, now);
	dlist_foreach_modify(iter, &delivery->subscribers)
	{
		CHECK_FOR_INTERRUPTS();
		(void) serve(dlist_container(SluiceSubscriber, node, iter.cur), now);
	}
	if (XactLastCommitEnd != before)
		XLogFlush(XactLastCommitEnd);
	MemoryContextReset(delivery->context);
}

/* When a call wants its next turn. */
static int64
next_of(const SluiceSubscriber *subscriber, int64 now)
{
	int64		next = PG_INT64_MAX;

	if (subscriber->retry_at > now)
		return subscriber->retry_at;
	if (subscriber->leaving != NULL || subscriber->advances.first != NULL)
		return now;
	if (subscriber->phase == SLUICE_PHASE_ENDED)
		return next;
	if (subscriber->phase == SLUICE_PHASE_STANDBY)
		next = now + STANDBY_US;
	if (sluice_delivery_may_send(subscriber, now))
		return now;
	if (subscriber->resume_at > now)
		next = Min(next, subscriber->resume_at);
	else if (subscriber->phase == SLUICE_PHASE_DELIVERING && subscriber->pulls.first != NULL)
		next = Min(next, sluice_source_due(subscriber->source));
	if (sluice_delivery_is_narrow(subscriber, now))
		next = Min(next, subscriber->full_until);
	if (sluice_delivery_is_unsaved(subscriber))
		next = Min(next, subscriber->acknowledged_at + SAVE_DELAY_US);
	return next;
}

int64
sluice_delivery_next(SluiceDelivery *delivery)
{
	int64		now = sluice_settlement_clock();
	int64		next = PG_INT64_MAX;
	dlist_iter	iter;

	if (delivery->joining.first != NULL)
		next = delivery->join_at;
	if (delivery->drain)
		return next;
	dlist_foreach(iter, &delivery->subscribers)
		next = Min(next, next_of(dlist_container(SluiceSubscriber, node, iter.cur), now));
	return next;
}

/* ---- the end ---- */

void
sluice_delivery_drain(SluiceDelivery *delivery, const char *message, bool give_up)
{
	SluiceConsumerRecord *record;

	delivery->drain = true;
	delivery->give_up = give_up;
	strlcpy(delivery->drain_message, message, sizeof(delivery->drain_message));
	while ((record = sluice_delivery_unqueue(&delivery->joining)) != NULL)
		refuse_drained(delivery, record);
}

bool
sluice_delivery_done(const SluiceDelivery *delivery)
{
	return delivery->count == 0 && delivery->joining.first == NULL;
}

bool
sluice_delivery_suspects_drop(SluiceDelivery *delivery)
{
	bool		suspects = delivery->suspects_drop;

	delivery->suspects_drop = false;
	return suspects;
}
