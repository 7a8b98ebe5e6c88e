/*
 * sender.c
 *		Brings the records of a queue to the server, each until it is acknowledged.
 *
 * One thread, one loop; a function for each state:
 *
 *		idle		no call.  Opens one as soon as there is something to send.
 *		waiting		no call, until the backoff has passed.
 *		streaming	sends and reads answers.
 *		finishing	everything was sent and the call half-closed: the rest of
 *					the answers and the server's counts are on their way.
 *		closing		the call was cancelled: waits until it is gone.
 *
 * Sending goes in bursts.  A message sent alone costs a write to the socket,
 * one of a burst nearly nothing, and answers that come one by one would make
 * every freed place of the window a burst of one.  So a burst starts when
 * enough of the window is free (patience()), and ends when the window is full,
 * nothing is left, or answers should be looked at again.
 *
 * What is lost with a connection is resent, in the same order and with the
 * same keys, before anything new: the server stores each key once.
 */
#include "sender.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "answer.h"
#include "backoff.h"
#include "clock.h"
#include "connection.h"
#include "memory.h"
#include "window.h"

#define BURST_MAX 1024			/* then look at the answers */
#define PATIENCE_NONE ((int64_t) -1)
#define PATIENCE_POLL ((int64_t) 0)
#define PATIENCE_SHORT SLUICE_MILLISECOND
#define LONGEST_SLEEP SLUICE_SECOND
#define TURNS_PER_CLOCK 256		/* the clock is read after so many events */

typedef struct State
{
	const char *name;
	void		(*run) (SluiceSender *);
} State;

struct SluiceSender
{
	SluiceSenderOptions options;
	SluiceQueue *queue;
	SluiceRecordList supply;	/* taken from the queue, never sent */
	SluiceWindow *window;
	SluiceConnection *connection;
	SluiceBackoff backoff;
	const State *state;			/* NULL: stopped */
	atomic_int	stops;			/* how often sluice_sender_stop() was called */

	bool		input_ended;
	bool		bursting;
	unsigned	burst;			/* messages sent in this one */
	bool		established;	/* the present call has brought a message to the server's side */
	uint64_t	call_acknowledged;	/* answers on the present call */
	uint64_t	call_answers;

	unsigned	turns;
	bool		progressed;		/* an answer came since the clock was read */
	int64_t		progress_at;
	int64_t		tick_at;
	int64_t		retry_at;
	bool		stopping;		/* stop() was called */
	int64_t		flush_until;	/* then */

	SluiceSenderResult result;
	char		message[768];
	bool		too_large;
	SluiceSenderCounts counts;
};

static void run_idle(SluiceSender *sender);
static void run_waiting(SluiceSender *sender);
static void run_streaming(SluiceSender *sender);
static void run_finishing(SluiceSender *sender);
static void run_closing(SluiceSender *sender);

static const State idle = {"idle", run_idle};
static const State waiting = {"waiting to reconnect", run_waiting};
static const State streaming = {"sending", run_streaming};
static const State finishing = {"finishing", run_finishing};
static const State closing = {"closing", run_closing};

static void
wake_sender(void *sender)
{
	sluice_connection_wake(((SluiceSender *) sender)->connection);
}

SluiceSender *
sluice_sender_create(const SluiceSenderOptions *options, SluiceQueue *queue)
{
	SluiceSender *sender = sluice_memory_get_zeroed(sizeof(SluiceSender));

	sender->options = *options;
	sender->queue = queue;
	sender->window = sluice_window_create(options->window, options->window_bytes);
	sender->connection = sluice_connection_create(options->attempts);
	sender->state = &idle;
	sender->flush_until = SLUICE_NEVER;
	atomic_init(&sender->stops, 0);
	sluice_queue_set_wake(queue, wake_sender, sender);
	return sender;
}

void
sluice_sender_free(SluiceSender *sender)
{
	sluice_connection_free(sender->connection);
	sluice_record_list_free(&sender->supply);
	sluice_window_free(sender->window);
	free(sender);
}

void
sluice_sender_stop(SluiceSender *sender)
{
	atomic_fetch_add(&sender->stops, 1);
	sluice_connection_wake(sender->connection);
}

const SluiceSenderCounts *
sluice_sender_counts(const SluiceSender *sender)
{
	return &sender->counts;
}

size_t
sluice_sender_unacknowledged(const SluiceSender *sender)
{
	return sender->window->count + sender->supply.count;
}

const char *
sluice_sender_state(const SluiceSender *sender)
{
	if (sender->state == NULL)
		return "done";
	if (sender->state == &streaming && !sender->established)
		return "connecting";
	if (sender->state == &streaming && sluice_sender_unacknowledged(sender) == 0)
		return "waiting for input";
	return sender->state->name;
}

const char *
sluice_sender_message(const SluiceSender *sender)
{
	return sender->message;
}

const SluiceClientRecord *
sluice_sender_oldest(const SluiceSender *sender)
{
	return sender->window->first != NULL ? sender->window->first : sender->supply.first;
}

const SluiceClientRecord *
sluice_sender_too_large(const SluiceSender *sender)
{
	const SluiceClientRecord *largest = sender->window->first;

	if (!sender->too_large)
		return NULL;
	for (const SluiceClientRecord *r = largest; r != NULL; r = r->next)
	{
		if (r->length > largest->length)
			largest = r;
	}
	return largest;
}

static void
notice(SluiceSender *sender, const char *message)
{
	if (sender->options.notice != NULL)
		sender->options.notice(sender->options.argument, message);
}

/* End with this result, once the call, if there is one, is gone. */
static void
stop(SluiceSender *sender, SluiceSenderResult result, bool call_open)
{
	sender->result = result;
	if (call_open)
		sluice_connection_cancel(sender->connection);
	sender->state = call_open ? &closing : NULL;
}

static bool
call_is_open(const SluiceSender *sender)
{
	return sender->state == &streaming || sender->state == &finishing;
}

static void
give_up(SluiceSender *sender, const char *why)
{
	if (sender->message[0] == '\0')
		snprintf(sender->message, sizeof(sender->message), "%s", why);
	stop(sender, SLUICE_SENDER_GAVE_UP, call_is_open(sender));
}

/* The first stop(): no more input comes, and there is only so much time for what has come. */
static void
start_flush(SluiceSender *sender, int64_t now)
{
	char		line[100];

	sender->stopping = true;
	if (sender->options.timeout != SLUICE_NEVER)
		sender->flush_until = now + sender->options.timeout;
	if (sluice_sender_unacknowledged(sender) == 0)
		return;
	snprintf(line, sizeof(line), "stopping: flushing %zu records, a second signal stops at once",
			 sluice_sender_unacknowledged(sender));
	notice(sender, line);
}

/* What depends on the time or on other threads.  May change the state. */
static void
look_at_clock(SluiceSender *sender)
{
	int64_t		now = sluice_clock_now();
	int			stops = atomic_load(&sender->stops);

	sender->turns = 0;
	if (sender->progressed || sluice_sender_unacknowledged(sender) == 0)
		sender->progress_at = now;
	sender->progressed = false;

	if (sender->options.tick != NULL && now >= sender->tick_at)
	{
		sender->tick_at = now + sender->options.tick_interval;
		sender->options.tick(sender->options.argument, sender);
	}
	if (stops > 0 && !sender->stopping)
		start_flush(sender, now);

	if (sender->state == NULL || sender->state == &closing)
		return;
	if (stops > 1)
		give_up(sender, "stopped at once by a second signal");
	else if (now >= sender->flush_until)
		give_up(sender, "could not flush in time");
	else if (sender->options.timeout != SLUICE_NEVER && now - sender->progress_at >= sender->options.timeout)
		give_up(sender, "nothing was acknowledged for too long");
}

static int64_t
earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* The next event within wait nanoseconds; the clock is looked at when it is time to. */
static SluiceConnectionEvent
next_event(SluiceSender *sender, int64_t wait)
{
	SluiceConnectionEvent event;
	int64_t		deadline = 0;

	if (wait > 0)
	{
		deadline = sluice_clock_now() + earlier(wait, LONGEST_SLEEP);
		if (sender->options.tick != NULL)
			deadline = earlier(deadline, sender->tick_at);
		if (sender->options.timeout != SLUICE_NEVER)
			deadline = earlier(deadline, earlier(sender->flush_until, sender->progress_at + sender->options.timeout));
	}
	event = sluice_connection_next(sender->connection, deadline);
	if (event == SLUICE_CONNECTION_WOKEN || (event == SLUICE_CONNECTION_TIMEOUT && wait > 0) ||
		++sender->turns >= TURNS_PER_CLOCK)
		look_at_clock(sender);
	return event;
}

/* Is there something to send?  Looks into the queue when our own supply is used up. */
static bool
has_supply(SluiceSender *sender)
{
	if (sender->window->unsent != NULL || sender->supply.first != NULL)
		return true;
	if (!sender->input_ended && !sluice_queue_take(sender->queue, &sender->supply))
		sender->input_ended = true;
	return sender->supply.first != NULL;
}

/* There is supply: may its next record be sent? */
static bool
has_room(const SluiceSender *sender)
{
	return sender->window->unsent != NULL ||
		sluice_window_has_room(sender->window, sender->supply.first->length);
}

/*
 * How long to look for answers before a burst starts, for which there is
 * supply and room.  With half of the window free not at all; with an eighth
 * until none is at hand; with less it pays to wait for a little more room.
 */
static int64_t
patience(const SluiceSender *sender)
{
	const SluiceWindow *window = sender->window;
	size_t		room = window->max_count - window->count;

	if (window->unsent != NULL || window->count == 0 || room >= window->max_count - window->max_count / 2)
		return PATIENCE_NONE;
	return room >= window->max_count / 8 ? PATIENCE_POLL : PATIENCE_SHORT;
}

static void
send_next(SluiceSender *sender)
{
	SluiceClientRecord *record = sluice_window_next_unsent(sender->window);

	if (record != NULL)
		sender->counts.resent++;
	else
	{
		record = sluice_record_list_take_first(&sender->supply);
		sluice_window_add(sender->window, record);
		sender->counts.sent++;
		if (sender->options.sending != NULL)
			sender->options.sending(sender->options.argument, record);
	}
	sender->counts.bytes += record->length;
	sender->burst++;
	sender->bursting = sender->burst < BURST_MAX && has_supply(sender) && has_room(sender);
	sluice_connection_send(sender->connection, record->message, record->length, sender->bursting);
}

/* The server broke the contract: what it says cannot be relied on. */
static void
refuse_answer(SluiceSender *sender, const char *what)
{
	snprintf(sender->message, sizeof(sender->message), "the server's answer is not understood: %s", what);
	stop(sender, SLUICE_SENDER_REFUSED, true);
}

static void
handle_answer(SluiceSender *sender)
{
	SluiceAnswer answer;
	SluiceClientRecord *record;
	size_t		length;
	const uint8_t *bytes = sluice_connection_answer(sender->connection, &length);
	bool		dead_lettered;

	if (!sluice_answer_decode(bytes, length, &answer))
	{
		refuse_answer(sender, "not an IngestDataResponse");
		return;
	}
	dead_lettered = answer.status == SLUICE_ANSWER_REJECTED_DLQ;
	if (!dead_lettered && answer.status != SLUICE_ANSWER_ACKNOWLEDGED)
	{
		refuse_answer(sender, "unknown status");
		return;
	}
	record = sluice_window_answer(sender->window, answer.key, answer.key_length);
	if (record == NULL)
	{
		refuse_answer(sender, "it is for a key that waits for none");
		return;
	}
	sender->progressed = true;
	sender->call_answers++;
	if (dead_lettered)
		sender->counts.dead_letters++;
	else
	{
		sender->counts.acknowledged++;
		sender->call_acknowledged++;
	}
	if (sender->options.answered != NULL)
		sender->options.answered(sender->options.argument, record, dead_lettered);
	free(record);
}

/* The server's counts hold only if they agree with the answers that came. */
static void
take_counts(SluiceSender *sender, const SluiceCallEnd *end)
{
	if (end->counted && end->stored + end->duplicates <= sender->call_acknowledged)
	{
		sender->counts.stored += end->stored;
		sender->counts.duplicates += end->duplicates;
	}
}

static void
schedule_retry(SluiceSender *sender, const SluiceCallEnd *end)
{
	uint64_t	random = 0;
	int64_t		delay;
	char		line[800];

	if (getrandom(&random, sizeof(random), 0) < 0)
		random = (uint64_t) sluice_clock_now() * 0x9E3779B97F4A7C15ull >> 20;
	if (end->pushback != SLUICE_BACKOFF_NO_HINT)
		delay = sluice_backoff_hinted(end->pushback, SLUICE_BACKOFF_LAST, random);
	else
		delay = sluice_backoff_next(&sender->backoff, SLUICE_BACKOFF_FIRST, SLUICE_BACKOFF_LAST, random);
	sender->retry_at = sluice_clock_now() + delay;
	if (sluice_sender_unacknowledged(sender) == 0)
		return;
	snprintf(line, sizeof(line), "%s %s: %s; %zu records unacknowledged, trying again in %.1f s",
			 sender->established ? "lost the connection to" : "could not connect to", sluice_attempts_endpoint(sender->options.attempts)->name,
			 end->message[0] != '\0' ? end->message : "the server ended the call",
			 sluice_sender_unacknowledged(sender), (double) delay / SLUICE_SECOND);
	notice(sender, line);
}

/* The call is gone, and we did not cancel it. */
static void
call_ended(SluiceSender *sender)
{
	const SluiceCallEnd *end = sluice_connection_end(sender->connection);

	take_counts(sender, end);
	sluice_window_rewind(sender->window);
	if (sluice_call_end_is_refusal(end) && (sluice_sender_unacknowledged(sender) > 0 || !sender->input_ended))
	{
		sender->too_large = sluice_call_end_is_too_large(end);
		snprintf(sender->message, sizeof(sender->message), "%s",
				 end->message[0] != '\0' ? end->message : "the server refuses the call");
		stop(sender, SLUICE_SENDER_REFUSED, false);
		return;
	}
	if (sender->call_answers > 0)
		sluice_backoff_reset(&sender->backoff);
	schedule_retry(sender, end);
	sender->state = &idle;
}

static void
handle_event(SluiceSender *sender, SluiceConnectionEvent event)
{
	switch (event)
	{
		case SLUICE_CONNECTION_ANSWER:
			sender->established = true;
			handle_answer(sender);
			break;
		case SLUICE_CONNECTION_SENT:
			sender->established = true;
			break;
		case SLUICE_CONNECTION_ENDED:
			if (sender->state == &closing)
			{
				take_counts(sender, sluice_connection_end(sender->connection));
				sender->state = NULL;
			}
			else
				call_ended(sender);
			break;
		case SLUICE_CONNECTION_TIMEOUT:
		case SLUICE_CONNECTION_WOKEN:
		case SLUICE_CONNECTION_OTHER:
			break;
	}
}

static void
run_idle(SluiceSender *sender)
{
	SluiceError error = {""};

	if (!has_supply(sender))
	{
		if (sender->input_ended)
			stop(sender, SLUICE_SENDER_DONE, false);
		else
			next_event(sender, SLUICE_NEVER);
		return;
	}
	if (sluice_clock_now() < sender->retry_at)
	{
		sender->state = &waiting;
		return;
	}
	if (!sluice_connection_open(sender->connection, &error))
	{
		snprintf(sender->message, sizeof(sender->message), "%s", error.text);
		stop(sender, SLUICE_SENDER_REFUSED, false);
		return;
	}
	sender->counts.calls++;
	sender->established = false;
	sender->call_acknowledged = 0;
	sender->call_answers = 0;
	sender->bursting = false;
	sender->state = &streaming;
}

static void
run_waiting(SluiceSender *sender)
{
	int64_t		now = sluice_clock_now();

	if (now >= sender->retry_at)
		sender->state = &idle;
	else
		next_event(sender, sender->retry_at - now);
}

static void
start_burst(SluiceSender *sender)
{
	sender->burst = 0;
	send_next(sender);
}

static void
run_streaming(SluiceSender *sender)
{
	bool		can_burst = false;
	int64_t		wait = SLUICE_NEVER;
	SluiceConnectionEvent event;

	if (sluice_connection_can_send(sender->connection))
	{
		if (sender->bursting)
			send_next(sender);
		else if (has_supply(sender))
		{
			can_burst = has_room(sender);
			wait = can_burst ? patience(sender) : SLUICE_NEVER;
			if (wait == PATIENCE_NONE)
			{
				start_burst(sender);
				can_burst = false;
				wait = SLUICE_NEVER;
			}
		}
		else if (sender->input_ended)
		{
			sluice_connection_finish(sender->connection);
			sender->state = &finishing;
		}
	}

	event = next_event(sender, wait);
	handle_event(sender, event);
	if (event == SLUICE_CONNECTION_TIMEOUT && can_burst && sender->state == &streaming)
		start_burst(sender);
}

static void
run_finishing(SluiceSender *sender)
{
	handle_event(sender, next_event(sender, SLUICE_NEVER));
}

static void
run_closing(SluiceSender *sender)
{
	handle_event(sender, next_event(sender, SLUICE_NEVER));
}

SluiceSenderResult
sluice_sender_run(SluiceSender *sender)
{
	sender->progress_at = sluice_clock_now();
	sender->tick_at = sender->progress_at;
	while (sender->state != NULL)
		sender->state->run(sender);
	if (sender->options.tick != NULL)
		sender->options.tick(sender->options.argument, sender);
	return sender->result;
}
