/*
 * delivery_send.c
 *		Messages to consumers: that they stand by, are active, have caught up; and rows.
 *
 * Rows of an at_most_once subscription are sent after the transaction that has read them and
 * moved the position past them has committed; all others after it has read them, which is
 * the same moment without a commit.  The report in shared memory comes before the message: sluice.ack()
 * looks there for what was delivered.
 */
#include "postgres.h"

#include "delivery_internal.h"

#include "response.h"
#include "token.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* Letters that were put back, sent in one message at most. */
#define REDRIVEN_MAX 16

/* So long a quarter of a window that was full is to become free, before rows go out again. */
#define FULL_US INT64CONST(100000)

typedef struct Reading
{
	SluiceSubscriber *subscriber;
	int64		now;
	int			max_rows;
	const SluiceExtract *extract;
	SluiceSourceState state;
	SluiceSubscriptionLock lock;
	SluiceSubscription row;
	SluiceToken token;
	SluiceRedriven redriven[REDRIVEN_MAX];
	int			nredriven;
	SluiceBuffer rows;			/* redriven */
	bool		unwritable;		/* the encoding fits no more: why */
	bool		restarted;		/* offsets are not what they were */
	bool		extracting;		/* rows are being read */
	char		why[256];
} Reading;

/* ---- what may be sent ---- */

/* The row behind the position, where it was nacked before and is to be sent now. */
static SluiceNacked
nacked(const SluiceSubscriber *subscriber)
{
	if (subscriber->row.attempts == 0 || subscriber->row.attempt_offset <= subscriber->cursor)
		return (SluiceNacked) {0};
	return (SluiceNacked) {.offset = subscriber->row.attempt_offset,.attempts = (uint32) subscriber->row.attempts};
}

static bool
has_window(const SluiceSubscriber *subscriber)
{
	return subscriber->durable && !subscriber->row.at_most_once;
}

/*
 * A consumer that acknowledges row by row would get row by row, each in a message of its own, once its
 * window was full.  Not for ever: it may wait for a few rows more before it acknowledges any.
 */
bool
sluice_delivery_is_narrow(const SluiceSubscriber *subscriber, int64 now)
{
	size_t		max = subscriber->sender->wish->max_in_flight;

	return has_window(subscriber) && now < subscriber->full_until && subscriber->count + max / 4 > max;
}

static int
window(const SluiceSubscriber *subscriber, int64 now)
{
	const SluiceWish *wish = subscriber->sender->wish;

	if (!has_window(subscriber))
		return SLUICE_SOURCE_ROWS_MAX;
	/* A consumer was lost with the first row in flight: it is tried alone. */
	if (subscriber->row.losses > 0)
		return subscriber->count == 0 ? 1 : 0;
	if (sluice_delivery_is_narrow(subscriber, now))
		return 0;
	return subscriber->count >= wish->max_in_flight ? 0 : (int) (wish->max_in_flight - subscriber->count);
}

static bool
may_deliver(const SluiceSubscriber *subscriber, int64 now)
{
	if (subscriber->phase != SLUICE_PHASE_DELIVERING || subscriber->resume_at > now)
		return false;
	if (subscriber->has_redriven)
		return true;
	return (sluice_source_has_more(subscriber->source, subscriber->cursor) && window(subscriber, now) > 0) ||
		(subscriber->tell_caught_up && subscriber->cursor >= Max(subscriber->caught_up_at, subscriber->row.position));
}

bool
sluice_delivery_may_send(const SluiceSubscriber *subscriber, int64 now)
{
	if (subscriber->phase == SLUICE_PHASE_ENDED || subscriber->pulls.first == NULL)
		return false;
	return subscriber->tell_standby || subscriber->tell_active || may_deliver(subscriber, now) ||
		(subscriber->phase == SLUICE_PHASE_DELIVERING && subscriber->resume_at <= now && sluice_source_due(subscriber->source) <= now);
}

/* ---- sending ---- */

static void
send_message(SluiceSubscriber *subscriber, SluiceBuffer *message, int rows)
{
	SluiceConsumerRecord *record = sluice_delivery_unqueue(&subscriber->pulls);

	if (message->failed)
		ereport(FATAL,
				(errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	record->message = (uint8 *) message->data;
	record->message_length = message->length;
	record->message_rows = rows;
	sluice_delivery_answer(subscriber->delivery, record, SLUICE_MESSAGE);
}

static void
send_standby(SluiceSubscriber *subscriber)
{
	SluiceBuffer message = {0};

	subscriber->tell_standby = false;
	sluice_response_standby(&message);
	send_message(subscriber, &message, 0);
}

static void
send_active(SluiceSubscriber *subscriber)
{
	SluiceBuffer message = {0};
	SluiceToken token;

	subscriber->tell_active = false;
	sluice_token_make(&token, subscriber->source->uid, subscriber->row.position);
	sluice_response_active(&message, subscriber->row.epoch, &token,
						   !subscriber->durable ? SLUICE_GUARANTEE_UNSPECIFIED :
						   subscriber->row.at_most_once ? SLUICE_AT_MOST_ONCE : SLUICE_AT_LEAST_ONCE,
						   subscriber->encoding, subscriber->sender->wish->max_in_flight);
	send_message(subscriber, &message, 0);
}

static void
send_caught_up(SluiceSubscriber *subscriber)
{
	SluiceBuffer message = {0};

	subscriber->tell_caught_up = false;
	subscriber->report.caught_up_at = GetCurrentTimestamp();
	sluice_response_caught_up(&message, subscriber->row.epoch, subscriber->sent);
	send_message(subscriber, &message, 0);
}

/* ---- reports ---- */

static SluiceActiveState
state_of(const SluiceSubscriber *subscriber)
{
	if (subscriber->phase != SLUICE_PHASE_DELIVERING)
		return SLUICE_ACTIVE_STARTING;
	if (subscriber->resume_at != 0)
		return SLUICE_ACTIVE_RETRYING;
	if (sluice_source_has_more(subscriber->source, subscriber->cursor) || subscriber->tell_caught_up)
		return SLUICE_ACTIVE_BACKLOG;
	return subscriber->source->state.blocked ? SLUICE_ACTIVE_BLOCKED : SLUICE_ACTIVE_LIVE;
}

void
sluice_delivery_report(SluiceSubscriber *subscriber)
{
	SluiceActiveReport *report = &subscriber->report;

	if (subscriber->slot < 0)
		return;
	subscriber->report_due = false;
	report->state = state_of(subscriber);
	report->delivered = subscriber->sent;
	report->acknowledged = subscriber->row.position;
	report->in_flight = (int64) subscriber->count;
	report->blocker = subscriber->source->state.blocked ? subscriber->source->state.blocker : 0;
	sluice_active_report(subscriber->slot, report);
}

/* ---- rows ---- */

static void
grow_in_flight(SluiceSubscriber *subscriber, size_t more)
{
	size_t		room = Max(subscriber->room, 64);
	int64	   *grown;

	while (room < subscriber->count + more)
		room *= 2;
	if (room == subscriber->room)
		return;
	grown = MemoryContextAllocHuge(TopMemoryContext, room * sizeof(int64));
	for (size_t i = 0; i < subscriber->count; i++)
		grown[i] = subscriber->in_flight[(subscriber->first + i) & (subscriber->room - 1)];
	if (subscriber->in_flight != NULL)
		pfree(subscriber->in_flight);
	subscriber->in_flight = grown;
	subscriber->room = room;
	subscriber->first = 0;
}

static void
add_in_flight(SluiceSubscriber *subscriber, const SluiceExtract *extract, int64 now)
{
	if (!has_window(subscriber))
		return;
	grow_in_flight(subscriber, extract->n);
	for (int i = 0; i < extract->n; i++)
		subscriber->in_flight[(subscriber->first + subscriber->count++) & (subscriber->room - 1)] = extract->offsets[i];
	if (subscriber->count >= subscriber->sender->wish->max_in_flight)
		subscriber->full_until = now + FULL_US;
}

static void
send_extract(SluiceSubscriber *subscriber, const SluiceExtract *extract, SluiceToken *token, int64 now)
{
	SluiceBuffer message = {0};
	int64		previous = subscriber->sent;

	subscriber->cursor = extract->through;
	if (extract->n == 0)
		return;
	subscriber->sent = extract->offsets[extract->n - 1];
	add_in_flight(subscriber, extract, now);
	subscriber->report.rows += extract->n;
	sluice_delivery_report(subscriber);
	token->offset = subscriber->sent;
	sluice_response_rows(&message, subscriber->row.epoch, previous, token, extract->rows.data, extract->rows.length);
	send_message(subscriber, &message, extract->n);
}

static void
send_redriven(SluiceSubscriber *subscriber, Reading *reading)
{
	SluiceBuffer message = {0};

	subscriber->has_redriven = reading->nredriven > 0;
	if (reading->nredriven == 0)
		return;
	for (int i = 0; i < reading->nredriven; i++)
		subscriber->letters[subscriber->nletters++] = reading->redriven[i].id;
	reading->token.offset = subscriber->sent;
	sluice_response_rows(&message, subscriber->row.epoch, subscriber->sent, &reading->token, reading->rows.data, reading->rows.length);
	send_message(subscriber, &message, reading->nredriven);
}

/* Letters that sluice.redrive() has put back come before all rows. */
static void
read_redriven(Reading *reading)
{
	SluiceSubscriber *subscriber = reading->subscriber;

	int			max = Min(REDRIVEN_MAX, SLUICE_LETTERS - subscriber->nletters);
	int			n = max == 0 ? 0 : sluice_subscription_redriven(subscriber->row.id, subscriber->letters, subscriber->nletters, reading->redriven, max);

	for (int i = 0; i < n && reading->rows.length < SLUICE_MESSAGE_BYTES; i++)
	{
		sluice_reading_append(&reading->rows, reading->redriven[i].offset, reading->redriven[i].payload,
							  reading->redriven[i].length, reading->redriven[i].id, 0);
		reading->nredriven++;
	}
}

static void
read_step(void *argument)
{
	Reading    *reading = argument;
	SluiceSubscriber *subscriber = reading->subscriber;
	SluiceReading *plan;
	char	   *why;

	reading->lock = SLUICE_SUBSCRIPTION_LOCKED;
	reading->state = sluice_source_look(subscriber->source, reading->now, &why);
	sluice_token_make(&reading->token, subscriber->source->uid, 0);
	if (reading->state != SLUICE_SOURCE_READY)
	{
		strlcpy(reading->why, why != NULL ? why : "", sizeof(reading->why));
		return;
	}
	if (subscriber->restarts != subscriber->source->restarts || subscriber->cursor > Max(subscriber->source->state.last_value, 0))
	{
		reading->restarted = true;
		return;
	}
	if (subscriber->has_redriven)
	{
		read_redriven(reading);
		return;
	}
	if (!sluice_source_has_more(subscriber->source, subscriber->cursor) || reading->max_rows == 0)
		return;
	plan = sluice_source_reading(subscriber->source, subscriber->sender->role, subscriber->encoding, &why);
	if (plan == NULL)
	{
		reading->unwritable = true;
		strlcpy(reading->why, why, sizeof(reading->why));
		return;
	}
	if (subscriber->row.at_most_once)
	{
		reading->lock = sluice_subscription_lock(subscriber->row.id, false, &reading->row);
		if (reading->lock != SLUICE_SUBSCRIPTION_LOCKED || reading->row.epoch != subscriber->row.epoch)
			return;
	}
	reading->extracting = true;
	reading->extract = sluice_source_extract(subscriber->source, plan, subscriber->cursor, nacked(subscriber),
											 reading->max_rows, SLUICE_MESSAGE_BYTES);
	if (subscriber->row.at_most_once && reading->extract->n > 0)
		sluice_subscription_advance(&reading->row, reading->extract->offsets[reading->extract->n - 1]);
}

static void
end_for(SluiceSubscriber *subscriber, const Reading *reading)
{
	SluiceRefusal refusal;

	if (reading->state != SLUICE_SOURCE_READY)
		refusal = sluice_delivery_not_ready(reading->state, reading->why);
	else if (reading->restarted)
		refusal = sluice_delivery_refusal(SLUICE_STATUS_OUT_OF_RANGE, "BEYOND_END",
										  "the offsets of the stream were begun anew below position " INT64_FORMAT ": set it anew with sluice.seek()",
										  subscriber->cursor);
	else
		refusal = sluice_delivery_refusal(SLUICE_STATUS_FAILED_PRECONDITION, "NOT_SUBSCRIBABLE", "%s", reading->why);
	sluice_delivery_end(subscriber, &refusal);
}

/*
 * The error was one row's: those before it are sent, and when they are done with, the call ends with
 * what is wrong.  False: it was no row's, and may pass.
 */
static bool
stop_at_unwritable(SluiceSubscriber *subscriber, const Reading *reading, const SluiceFailure *failure, int64 now)
{
	SluiceReading *plan = sluice_source_known_reading(subscriber->source, subscriber->sender->role, subscriber->encoding);
	int			category = ERRCODE_TO_CATEGORY(failure->sqlstate);
	SluiceRefusal refusal;
	int64		offset;

	if (category == ERRCODE_INSUFFICIENT_RESOURCES || category == ERRCODE_OPERATOR_INTERVENTION || !reading->extracting ||
		plan == NULL || !sluice_reading_was_writing(plan, &offset, &subscriber->before_unwritable))
		return false;
	if (subscriber->before_unwritable > 0)
		return true;
	/* Rows before it are with the consumer: it is to acknowledge them in this call. */
	if (has_window(subscriber) && subscriber->count > 0)
	{
		sluice_delivery_retry(subscriber, now);
		return true;
	}
	refusal = sluice_delivery_refusal(SLUICE_STATUS_FAILED_PRECONDITION, "NOT_SUBSCRIBABLE",
									  "row " INT64_FORMAT " cannot be written: %s (change the row, ask for another encoding, or go on behind it with sluice.seek())",
									  offset, failure->message);
	sluice_delivery_end(subscriber, &refusal);
	return true;
}

/* The consumer's role may not read the table any more. */
static bool
stop_at_revoked(SluiceSubscriber *subscriber, const SluiceFailure *failure)
{
	SluiceRefusal refusal;

	if (!OidIsValid(subscriber->sender->role) || failure->sqlstate != ERRCODE_INSUFFICIENT_PRIVILEGE)
		return false;
	refusal = sluice_delivery_refusal(SLUICE_STATUS_PERMISSION_DENIED, NULL, "%s", failure->message);
	sluice_delivery_end(subscriber, &refusal);
	return true;
}

static void
read_and_send(SluiceSubscriber *subscriber, int64 now)
{
	Reading    *reading = palloc0(sizeof(Reading));
	SluiceFailure failure;

	reading->subscriber = subscriber;
	reading->now = now;
	reading->max_rows = window(subscriber, now);
	if (subscriber->before_unwritable > 0)
		reading->max_rows = Min(reading->max_rows, subscriber->before_unwritable);
	subscriber->before_unwritable = 0;
	if (!sluice_attempt(read_step, reading, &failure))
	{
		if (!stop_at_revoked(subscriber, &failure) && !stop_at_unwritable(subscriber, reading, &failure, now))
		{
			(void) sluice_source_failed(subscriber->source, now);
			sluice_delivery_failed(subscriber, &failure, now);
		}
	}
	else if (reading->state != SLUICE_SOURCE_READY || reading->unwritable || reading->restarted)
		end_for(subscriber, reading);
	else if (reading->lock != SLUICE_SUBSCRIPTION_LOCKED)
		sluice_delivery_retry(subscriber, now);
	else
	{
		if (reading->extract != NULL && subscriber->row.at_most_once)
		{
			subscriber->row = reading->row;
			subscriber->acknowledged = reading->row.position;
		}
		if (reading->extract != NULL)
			send_extract(subscriber, reading->extract, &reading->token, now);
		else if (subscriber->has_redriven)
			send_redriven(subscriber, reading);
		subscriber->report_due = true;
	}
	sluice_buffer_free(&reading->rows);
	pfree(reading);
}

static void
deliver(SluiceSubscriber *subscriber, int64 now)
{
	SluiceSource *source = subscriber->source;
	const SluiceExtract *extract = NULL;
	SluiceToken token;

	subscriber->resume_at = 0;
	if (!subscriber->has_redriven && !subscriber->row.at_most_once && sluice_source_due(source) > now)
		extract = sluice_source_extracted(source, subscriber->sender->role, subscriber->encoding, subscriber->cursor, nacked(subscriber),
										  window(subscriber, now));
	if (extract != NULL)
	{
		sluice_token_make(&token, source->uid, 0);
		send_extract(subscriber, extract, &token, now);
	}
	else if (subscriber->has_redriven || sluice_source_due(source) <= now ||
			 (sluice_source_has_more(source, subscriber->cursor) && window(subscriber, now) > 0))
		read_and_send(subscriber, now);
	if (subscriber->tell_caught_up && subscriber->phase == SLUICE_PHASE_DELIVERING && subscriber->pulls.first != NULL &&
		!subscriber->has_redriven && subscriber->cursor >= Max(subscriber->caught_up_at, subscriber->row.position) &&
		!sluice_source_has_more(source, subscriber->cursor))
		send_caught_up(subscriber);
}

void
sluice_delivery_send(SluiceSubscriber *subscriber, int64 now)
{
	if (subscriber->tell_standby)
		send_standby(subscriber);
	else if (subscriber->tell_active)
		send_active(subscriber);
	else
		deliver(subscriber, now);
}
