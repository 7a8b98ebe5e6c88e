/*
 * delivery_advance.c
 *		What a consumer sends: starts, acknowledgements and nacks.
 *
 * Acknowledgements are only noted here, and written down together (save).
 * Starts and nacks are transactions of their own; while the row is busy they, and all
 * behind them, wait.
 */
#include "postgres.h"

#include "delivery_internal.h"

#include "token.h"
#include "utils/guc.h"
#include "utils/memutils.h"

/* After a nack: doubling from the subscription's retry_delay, up to this. */
#define RETRY_DELAY_MAX_MS (60 * INT64CONST(1000))

typedef struct Step
{
	SluiceSubscriber *subscriber;
	const SluiceAdvance *advance;
	int64		now;
	SluiceSubscriptionLock lock;
	SluiceSubscription row;
	bool		refused;
	SluiceRefusal refusal;
	bool		counted;		/* nack: an attempt */
} Step;

static void
refuse(Step *step, SluiceRefusal refusal)
{
	step->refused = true;
	step->refusal = refusal;
}

/* Our row, and still ours.  Another epoch is a seek, which will be looked at. */
static bool
lock(Step *step)
{
	SluiceSubscriber *subscriber = step->subscriber;

	step->row = subscriber->row;
	step->lock = sluice_subscription_lock(subscriber->row.id, false, &step->row);
	if (step->lock == SLUICE_SUBSCRIPTION_LOCKED && step->row.epoch != subscriber->row.epoch)
		step->lock = SLUICE_SUBSCRIPTION_BUSY;
	return step->lock == SLUICE_SUBSCRIPTION_LOCKED;
}

/* ---- what was acknowledged ---- */

void
sluice_delivery_land(SluiceSubscriber *subscriber, int64 through)
{
	while (subscriber->count > 0 && subscriber->in_flight[subscriber->first] <= through)
	{
		subscriber->first = (subscriber->first + 1) & (subscriber->room - 1);
		subscriber->count--;
	}
}

/* Of the letters in flight; -1: it is none of them, or was acknowledged before. */
static int
find_letter(const SluiceSubscriber *subscriber, int64 id)
{
	for (int i = subscriber->ndone_letters; i < subscriber->nletters; i++)
		if (subscriber->letters[i] == id)
			return i;
	return -1;
}

static void
note_redriven(SluiceSubscriber *subscriber, const SluiceAdvance *advance)
{
	for (uint32 i = 0; i < advance->nredriven; i++)
	{
		int			found = find_letter(subscriber, advance->redriven[i]);
		int			to = subscriber->ndone_letters;

		if (found < 0)
			continue;
		subscriber->letters[found] = subscriber->letters[to];
		subscriber->letters[to] = advance->redriven[i];
		subscriber->ndone_letters++;
	}
}

/* They are in their rows now, and there is room for others. */
static void
forget_letters(SluiceSubscriber *subscriber, int first, int n)
{
	subscriber->nletters -= n;
	memmove(subscriber->letters + first, subscriber->letters + first + n, sizeof(int64) * (subscriber->nletters - first));
	subscriber->has_redriven = subscriber->has_redriven || n > 0;
}

static void
forget_done_letters(SluiceSubscriber *subscriber)
{
	int			n = subscriber->ndone_letters;

	subscriber->ndone_letters = 0;
	forget_letters(subscriber, 0, n);
}

static void
acknowledge(Step *step, int64 now)
{
	SluiceSubscriber *subscriber = step->subscriber;
	const SluiceAdvance *advance = step->advance;

	if (subscriber->row.at_most_once)
		refuse(step, sluice_delivery_refusal(SLUICE_STATUS_INVALID_ARGUMENT, "MALFORMED", "an at_most_once subscription acknowledges nothing"));
	else if (advance->offset > subscriber->sent)
		refuse(step, sluice_delivery_refusal(SLUICE_STATUS_INVALID_ARGUMENT, "MALFORMED",
											 "offset " INT64_FORMAT " was not sent, and cannot be acknowledged", advance->offset));
	else
	{
		if (!sluice_delivery_is_unsaved(subscriber))
			subscriber->acknowledged_at = now;
		subscriber->acknowledged = Max(subscriber->acknowledged, advance->offset);
		note_redriven(subscriber, advance);
		sluice_delivery_land(subscriber, subscriber->acknowledged);
	}
}

static void
write_down(Step *step)
{
	SluiceSubscriber *subscriber = step->subscriber;

	sluice_subscription_advance(&step->row, subscriber->acknowledged);
	for (int i = 0; i < subscriber->ndone_letters; i++)
		sluice_subscription_settle_redriven(step->row.id, subscriber->letters[i], true, NULL);
}

static void
save_step(void *argument)
{
	Step	   *step = argument;

	/* Flushed at the end of the turn, together with others. */
	(void) set_config_option("synchronous_commit", "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0, false);
	if (!lock(step))
		return;
	write_down(step);
}

bool
sluice_delivery_save(SluiceSubscriber *subscriber, int64 now)
{
	Step		step = {.subscriber = subscriber};
	SluiceFailure failure;

	if (!subscriber->durable)
		return true;
	if (!sluice_attempt(save_step, &step, &failure))
	{
		sluice_delivery_failed(subscriber, &failure, now);
		return false;
	}
	if (step.lock != SLUICE_SUBSCRIPTION_LOCKED)
	{
		sluice_delivery_retry(subscriber, now);
		return false;
	}
	subscriber->row = step.row;
	forget_done_letters(subscriber);
	subscriber->report_due = true;
	return true;
}

/* ---- starts ---- */

static void
start_step(void *argument)
{
	Step	   *step = argument;
	SluiceSubscriber *subscriber = step->subscriber;
	const SluiceToken *token = &step->advance->token;
	SluiceSourceState state;
	char	   *why;

	step->row = subscriber->row;
	step->lock = SLUICE_SUBSCRIPTION_LOCKED;
	if (subscriber->durable && !lock(step))
		return;
	if (!step->advance->has_token)
		return;
	switch (sluice_token_check(token, subscriber->source->uid))
	{
		case SLUICE_TOKEN_OTHER_STREAM:
			refuse(step, sluice_delivery_refusal(SLUICE_STATUS_FAILED_PRECONDITION, "STREAM_REPLACED",
												 "the position is of another stream of this name"));
			return;
		case SLUICE_TOKEN_FORKED:
			if (step->advance->accept_fork)
				break;
			refuse(step, sluice_delivery_refusal(SLUICE_STATUS_FAILED_PRECONDITION, "FORKED",
												 "the position comes from commits that this server does not have: a failover or a backup has lost them"));
			return;
		case SLUICE_TOKEN_GOOD:
			break;
	}
	/* The consumer's position may be newer than our last look. */
	sluice_source_soil(subscriber->source);
	state = sluice_source_look(subscriber->source, step->now, &why);
	if (state != SLUICE_SOURCE_READY)
		refuse(step, sluice_delivery_not_ready(state, why));
	else if (token->offset > Max(subscriber->source->state.last_value, 0))
		refuse(step, sluice_delivery_beyond_end(token->offset, subscriber->source->state.last_value));
	else if (subscriber->durable)
		sluice_subscription_place(&step->row, token->offset);
	else
		step->row.position = token->offset;
}

static void
started(Step *step)
{
	SluiceSubscriber *subscriber = step->subscriber;

	subscriber->row = step->row;
	subscriber->phase = SLUICE_PHASE_DELIVERING;
	subscriber->cursor = subscriber->sent = subscriber->acknowledged = step->row.position;
	subscriber->report_due = true;
}

/* ---- nacks ---- */

static bool
is_in_flight(const SluiceSubscriber *subscriber, int64 offset)
{
	size_t		low = 0;
	size_t		high = subscriber->count;

	while (low < high)
	{
		size_t		middle = (low + high) / 2;

		if (subscriber->in_flight[(subscriber->first + middle) & (subscriber->room - 1)] < offset)
			low = middle + 1;
		else
			high = middle;
	}
	return low < subscriber->count && subscriber->in_flight[(subscriber->first + low) & (subscriber->room - 1)] == offset;
}

/* A row that is gone by now leaves no letter; one that cannot be read now must not be passed without one. */
void
sluice_delivery_bury(SluiceSubscriber *subscriber, SluiceSubscription *row, int64 offset, const char *reason)
{
	char	   *why = NULL;
	SluiceReading *reading = NULL;
	uint8	   *payload = NULL;
	size_t		length = 0;

	if (sluice_source_look(subscriber->source, 0, &why) == SLUICE_SOURCE_READY)
		reading = sluice_source_reading(subscriber->source, subscriber->sender->role, subscriber->encoding, &why);
	if (reading == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("row " INT64_FORMAT " cannot be read for its dead letter: %s", offset, why != NULL ? why : "the table was dropped")));
	if (!sluice_reading_payload(reading, offset, &payload, &length))
		payload = NULL;
	sluice_subscription_bury(row, offset, payload, length, reason);
}

static void
nack_step(void *argument)
{
	Step	   *step = argument;
	SluiceSubscriber *subscriber = step->subscriber;
	const SluiceAdvance *advance = step->advance;

	if (!lock(step))
		return;
	if (advance->redrive != 0)
	{
		sluice_subscription_settle_redriven(step->row.id, advance->redrive, false, advance->reason);
		return;
	}
	write_down(step);
	step->counted = subscriber->in_flight[subscriber->first] == advance->offset;
	if (!step->counted)
		sluice_subscription_restart(&step->row, step->row.position);
	else if (sluice_subscription_attempt(&step->row, advance->offset) >= step->row.max_attempts)
		sluice_delivery_bury(subscriber, &step->row, advance->offset, advance->reason);
}

static void
nacked(Step *step, int64 now)
{
	SluiceSubscriber *subscriber = step->subscriber;
	int64		delay = step->row.retry_delay;

	if (step->advance->redrive != 0)
	{
		forget_letters(subscriber, find_letter(subscriber, step->advance->redrive), 1);
		return;
	}
	subscriber->row = step->row;
	forget_done_letters(subscriber);
	sluice_delivery_begin(subscriber);
	for (int i = 1; i < step->row.attempts && delay < RETRY_DELAY_MAX_MS; i++)
		delay *= 2;
	if (step->row.attempts > 0)
		subscriber->resume_at = now + Min(delay, RETRY_DELAY_MAX_MS) * 1000;
}

static void
check_nack(Step *step)
{
	SluiceSubscriber *subscriber = step->subscriber;

	if (!subscriber->durable || subscriber->row.at_most_once)
		refuse(step, sluice_delivery_refusal(SLUICE_STATUS_INVALID_ARGUMENT, "MALFORMED",
											 "only rows of a durable at_least_once subscription can be nacked"));
	else if (step->advance->redrive == 0 && step->advance->offset > subscriber->acknowledged &&
			 !is_in_flight(subscriber, step->advance->offset))
		refuse(step, sluice_delivery_refusal(SLUICE_STATUS_INVALID_ARGUMENT, "MALFORMED",
											 "offset " INT64_FORMAT " was not sent, and cannot be nacked", step->advance->offset));
}

/* ---- one after the other ---- */

static bool
is_known(const SluiceSubscriber *subscriber, uint64 epoch)
{
	for (int i = 0; i < SLUICE_EPOCHS; i++)
		if (subscriber->epochs[i] == epoch && epoch != 0)
			return true;
	return false;
}

/* Was it meant for an activation that is over?  On its way it could not know. */
static bool
is_stale(Step *step)
{
	const SluiceSubscriber *subscriber = step->subscriber;

	if (subscriber->phase == SLUICE_PHASE_ENDED)
		return true;
	if (step->advance->epoch == subscriber->epochs[0] && subscriber->epochs[0] != 0)
		return false;
	if (!is_known(subscriber, step->advance->epoch))
		refuse(step, sluice_delivery_refusal(SLUICE_STATUS_ABORTED, "STALE_EPOCH",
											 "this call does not have that epoch: another consumer may have taken over"));
	return true;
}

/* A transaction for it.  False: it has to wait. */
static bool
run_step(Step *step, void (*function) (void *), int64 now)
{
	SluiceFailure failure;

	if (step->refused)
		return true;
	if (!sluice_attempt(function, step, &failure))
	{
		sluice_delivery_failed(step->subscriber, &failure, now);
		return false;
	}
	if (step->lock == SLUICE_SUBSCRIPTION_LOCKED)
		return true;
	if (step->lock == SLUICE_SUBSCRIPTION_MISSING)
	{
		refuse(step, sluice_delivery_refusal(SLUICE_STATUS_NOT_FOUND, "DROPPED", "the subscription was dropped"));
		return true;
	}
	sluice_delivery_retry(step->subscriber, now);
	return false;
}

/* False: it has to wait. */
static bool
take(Step *step, int64 now)
{
	SluiceSubscriber *subscriber = step->subscriber;

	if (is_stale(step))
		return true;
	switch (step->advance->kind)
	{
		case SLUICE_ADVANCE_ACKNOWLEDGE:
			if (subscriber->durable)
				acknowledge(step, now);
			return true;
		case SLUICE_ADVANCE_START:
			if (subscriber->phase != SLUICE_PHASE_STARTING)
				refuse(step, sluice_delivery_refusal(SLUICE_STATUS_INVALID_ARGUMENT, "MALFORMED", "no Start is waited for"));
			if (!run_step(step, start_step, now))
				return false;
			if (!step->refused)
				started(step);
			return true;
		case SLUICE_ADVANCE_NACK:
			check_nack(step);
			/* Done with already, as far as this consumer said itself. */
			if (step->advance->redrive != 0 ? find_letter(subscriber, step->advance->redrive) < 0 :
				step->advance->offset <= subscriber->acknowledged)
				return true;
			if (!run_step(step, nack_step, now))
				return false;
			if (!step->refused)
				nacked(step, now);
			return true;
	}
	return true;
}

void
sluice_delivery_advance(SluiceSubscriber *subscriber, int64 now)
{
	SluiceConsumerRecord *record;

	while ((record = subscriber->advances.first) != NULL)
	{
		Step		step = {.subscriber = subscriber,.advance = record->advance,.now = now};

		if (!take(&step, now))
			return;
		if (step.refused)
		{
			/* With this very record. */
			SluiceConsumerQueue pulls = subscriber->pulls;

			subscriber->pulls = (SluiceConsumerQueue) {0};
			sluice_delivery_end(subscriber, &step.refusal);
			subscriber->pulls = pulls;
			continue;
		}
		(void) sluice_delivery_unqueue(&subscriber->advances);
		sluice_delivery_answer(subscriber->delivery, record, SLUICE_OPENED);
	}
}
