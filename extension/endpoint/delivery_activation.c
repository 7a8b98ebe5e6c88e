/*
 * delivery_activation.c
 *		A call becomes active, its subscription is changed by others, it leaves.
 *
 * Of a durable subscription one call is active: the one whose worker has the
 * slot in shared memory (active.h).  The slot is claimed first, then the row takes a
 * fresh epoch; an open sluice.ack() has the row locked, and the takeover
 * waits for its end with the slot in hand.  An ephemeral one is active from the start.
 */
#include "postgres.h"

#include "delivery_internal.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "epoch.h"
#include "utils/timestamp.h"

/* With the delays of sluice_delivery_retry(), somewhat more than a second. */
#define LEAVE_RETRIES 6

/* Of the epochs of an ephemeral subscription, which has no row to count them. */
static uint64 ephemeral_epoch;

typedef struct Activation
{
	SluiceSubscriber *subscriber;
	int64		now;
	SluiceSubscriptionLock lock;
	SluiceSubscription row;
	bool		refused;
	SluiceRefusal refusal;
} Activation;

void
sluice_delivery_begin(SluiceSubscriber *subscriber)
{
	const SluiceWish *wish = subscriber->sender->wish;

	memmove(&subscriber->epochs[1], &subscriber->epochs[0], sizeof(uint64) * (SLUICE_EPOCHS - 1));
	subscriber->epochs[0] = subscriber->row.epoch;
	subscriber->phase = wish->wants_start ? SLUICE_PHASE_STARTING : SLUICE_PHASE_DELIVERING;
	subscriber->tell_standby = false;
	subscriber->tell_active = true;
	subscriber->tell_caught_up = true;
	subscriber->cursor = subscriber->sent = subscriber->acknowledged = subscriber->row.position;
	subscriber->caught_up_at = subscriber->source->state.last_value;
	subscriber->resume_at = 0;
	subscriber->full_until = 0;
	subscriber->before_unwritable = 0;
	subscriber->count = 0;
	subscriber->has_redriven = subscriber->durable;
	subscriber->nletters = subscriber->ndone_letters;
	subscriber->restarts = subscriber->source->restarts;
	subscriber->report_due = true;
	if (subscriber->slot >= 0)
		sluice_active_set_epoch(subscriber->slot, subscriber->row.epoch);
	sluice_delivery_report(subscriber);
}

/* ---- becoming active ---- */

/* The stream and its table are as they should be, and the position is one that was given out. */
static bool
source_fits(Activation *activation, int64 position)
{
	SluiceSource *source = activation->subscriber->source;
	SluiceSourceState state;
	char	   *why;

	sluice_source_soil(source);
	state = sluice_source_look(source, activation->now, &why);
	activation->refused = true;
	if (state != SLUICE_SOURCE_READY)
		activation->refusal = sluice_delivery_not_ready(state, why);
	else if (position > Max(source->state.last_value, 0))
		activation->refusal = sluice_delivery_beyond_end(position, source->state.last_value);
	else
		activation->refused = false;
	return !activation->refused;
}

static void
activate_step(void *argument)
{
	Activation *activation = argument;
	SluiceSubscriber *subscriber = activation->subscriber;
	SluiceSender *sender = subscriber->sender;

	activation->row = subscriber->row;
	activation->lock = SLUICE_SUBSCRIPTION_LOCKED;
	if (subscriber->durable)
		activation->lock = sluice_subscription_lock(subscriber->row.id, false, &activation->row);
	if (activation->lock != SLUICE_SUBSCRIPTION_LOCKED || !source_fits(activation, activation->row.position))
		return;
	if (subscriber->durable)
		sluice_subscription_activate(&activation->row, sender->wish->client[0] != '\0' ? sender->wish->client : sender->address);
	else
		activation->row.epoch = ephemeral_epoch = sluice_epoch_next(ephemeral_epoch);
}

static bool
claim(SluiceSubscriber *subscriber)
{
	SluiceSender *sender = subscriber->sender;
	bool		unsubscribe;

	if (!subscriber->durable || subscriber->slot >= 0)
		return true;
	subscriber->slot = sluice_active_claim(subscriber->row.id, subscriber->delivery->worker, sender->wish->client, sender->address);
	if (subscriber->slot < 0)
		return false;
	subscriber->changes = sluice_active_changes(subscriber->slot, &unsubscribe);
	return true;
}

static const SluiceRefusal *
dropped(void)
{
	static SluiceRefusal refusal;

	refusal = sluice_delivery_refusal(SLUICE_STATUS_NOT_FOUND, "DROPPED", "the subscription was dropped");
	return &refusal;
}

static const SluiceRefusal *
unsubscribed(void)
{
	static SluiceRefusal refusal;

	refusal = sluice_delivery_refusal(SLUICE_STATUS_ABORTED, "UNSUBSCRIBED", "the subscription was ended by Unsubscribe");
	return &refusal;
}

void
sluice_delivery_activate(SluiceSubscriber *subscriber, int64 now)
{
	Activation	activation = {.subscriber = subscriber,.now = now};
	SluiceFailure failure;

	if (subscriber->durable && sluice_active_was_ended(subscriber->row.id, &subscriber->endings))
		subscriber->unsubscribed = true;
	if (subscriber->unsubscribed)
	{
		sluice_delivery_end(subscriber, unsubscribed());
		return;
	}
	if (!claim(subscriber))
	{
		subscriber->tell_standby = subscriber->tell_standby || !subscriber->told_standby;
		subscriber->told_standby = true;
		return;
	}
	if (!sluice_attempt(activate_step, &activation, &failure))
	{
		(void) sluice_source_failed(subscriber->source, now);
		sluice_delivery_failed(subscriber, &failure, now);
	}
	else if (activation.lock == SLUICE_SUBSCRIPTION_BUSY)
		sluice_delivery_retry(subscriber, now);
	else if (activation.lock == SLUICE_SUBSCRIPTION_MISSING)
		sluice_delivery_end(subscriber, dropped());
	else if (activation.refused)
		sluice_delivery_end(subscriber, &activation.refusal);
	else
	{
		subscriber->row = activation.row;
		memset(&subscriber->report, 0, sizeof(subscriber->report));
		sluice_delivery_begin(subscriber);
	}
}

/* ---- changes ---- */

static void
look_step(void *argument)
{
	Activation *activation = argument;

	activation->row = activation->subscriber->row;
	activation->lock = sluice_subscription_lock(activation->row.id, false, &activation->row);
}

/* sluice.ack() of the consumer's own transaction: what it names is not in flight any more. */
static void
take_position(SluiceSubscriber *subscriber, const SluiceSubscription *row)
{
	subscriber->row = *row;
	subscriber->acknowledged = Max(subscriber->acknowledged, row->position);
	sluice_delivery_land(subscriber, row->position);
	subscriber->report_due = true;
}

void
sluice_delivery_look_for_changes(SluiceSubscriber *subscriber, int64 now)
{
	Activation	look = {.subscriber = subscriber};
	SluiceFailure failure;
	bool		unsubscribe;
	uint64		changes = sluice_active_changes(subscriber->slot, &unsubscribe);

	if (unsubscribe)
	{
		sluice_delivery_end(subscriber, unsubscribed());
		return;
	}
	if (changes == subscriber->changes || subscriber->phase == SLUICE_PHASE_STANDBY)
		return;
	if (!sluice_attempt(look_step, &look, &failure))
	{
		sluice_delivery_failed(subscriber, &failure, now);
		return;
	}
	if (look.lock == SLUICE_SUBSCRIPTION_BUSY)
	{
		sluice_delivery_retry(subscriber, now);
		return;
	}
	if (look.lock == SLUICE_SUBSCRIPTION_MISSING)
	{
		sluice_delivery_end(subscriber, dropped());
		return;
	}
	subscriber->changes = changes;
	subscriber->has_redriven = true;
	if (look.row.epoch == subscriber->row.epoch)
		take_position(subscriber, &look.row);
	else
	{
		subscriber->row = look.row;
		sluice_delivery_begin(subscriber);
	}
}

/* ---- leaving ---- */

static void
lose_step(void *argument)
{
	Activation *activation = argument;
	SluiceSubscriber *subscriber = activation->subscriber;
	uint64		epoch = subscriber->row.epoch;

	look_step(activation);
	if (activation->lock != SLUICE_SUBSCRIPTION_LOCKED || activation->row.epoch != epoch)
		return;
	sluice_subscription_lose(&activation->row);
	if (activation->row.max_losses > 0 && activation->row.losses >= activation->row.max_losses)
		sluice_delivery_bury(subscriber, &activation->row, subscriber->in_flight[subscriber->first],
							 psprintf("%d consumers in a row were lost with it", activation->row.losses));
}

/*
 * What the consumer acknowledged before it left counts; that it was lost with rows in flight does, too.
 * False: somebody has the row, who may have it for long: it is tried some times.
 */
static bool
settle_up(SluiceSubscriber *subscriber, int64 now)
{
	Activation	loss = {.subscriber = subscriber};
	SluiceFailure failure;

	if (subscriber->slot < 0 || subscriber->phase == SLUICE_PHASE_STANDBY || subscriber->delivery->give_up)
		return true;
	if (subscriber->retries < LEAVE_RETRIES &&
		(subscriber->advances.first != NULL || (sluice_delivery_is_unsaved(subscriber) && !sluice_delivery_save(subscriber, now))))
		return false;
	if (!subscriber->leaving->graceful && !subscriber->delivery->drain && subscriber->count > 0 && !subscriber->row.at_most_once)
		(void) sluice_attempt(lose_step, &loss, &failure);
	return true;
}

bool
sluice_delivery_leave(SluiceSubscriber *subscriber, int64 now)
{
	SluiceDelivery *delivery = subscriber->delivery;
	SluiceConsumerRecord *record;

	if (!settle_up(subscriber, now))
		return false;
	/* What the consumer is told to be taken is to be on disk. */
	XLogFlush(XactLastCommitEnd);
	if (subscriber->slot >= 0)
		sluice_active_release(subscriber->slot);
	while ((record = sluice_delivery_unqueue(&subscriber->advances)) != NULL)
		sluice_delivery_answer(delivery, record, SLUICE_OPENED);
	while ((record = sluice_delivery_unqueue(&subscriber->pulls)) != NULL)
		sluice_delivery_answer(delivery, record, SLUICE_PENDING);
	record = subscriber->leaving;
	subscriber->sender->consumer = NULL;
	sluice_source_leave(subscriber->source);
	dlist_delete(&subscriber->node);
	delivery->count--;
	if (subscriber->in_flight != NULL)
		pfree(subscriber->in_flight);
	pfree(subscriber);
	sluice_delivery_answer(delivery, record, SLUICE_OPENED);
	return true;
}
