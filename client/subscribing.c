/*
 * subscribing.c
 *		A run of "sluice subscribe".
 *
 * The main thread takes rows as long as some lie ready, settles them in the sink, and acknowledges
 * what the sink has done; so a batch is what came meanwhile, and a single row does not wait.  The library's
 * threads tell what happens (on_log); one waits for signals: the first one ends the
 * taking, the second one the process.
 *
 * A sink whose outcome is not certain is asked anew for its position, with a new consumer.
 */
#include "subscribing.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "exit_status.h"
#include "memory.h"
#include "signals.h"

#define SAME_WISH (SLUICE_SECOND / 2)
#define LOOK_INTERVAL (SLUICE_SECOND / 10)
#define LEAVE_TIMEOUT 10000		/* ms */

/* Before it is subscribed anew; doubles up to the last. */
#define PAUSE_FIRST (SLUICE_SECOND / 10)
#define PAUSE_LAST (10 * SLUICE_SECOND)

struct SluiceSubscribing
{
	const SluiceSubscribingOptions *options;
	SluiceSink *sink;

	pthread_mutex_t mutex;
	pthread_cond_t wake;		/* stopping was set */
	sluice_consumer *consumer;	/* changed under mutex */
	int64_t		stopped_at;		/* the signals' thread's: by the first one; 0: not yet */
	atomic_bool troubled;		/* something went wrong on the way */

	/* the main thread's */
	uint64_t	done;			/* rows */
	uint64_t	pending;		/* taken and not settled */
	uint64_t	given_back;
	uint64_t	renewals;		/* of the consumer */
	int64_t		pause;
	char		trouble[600];	/* with the sink; "": none */
	int64_t		connected_at;	/* the last time that it was */
	int64_t		progress_due;
	bool		over;
	SluiceSubscribingResult result;
	char		message[700];
};

static bool
is_stopping(const SluiceSubscribing *subscribing)
{
	return atomic_load(subscribing->options->stopping);
}

/* ---- the library's threads ---- */

static void
on_log(void *argument, sluice_level level, const char *text)
{
	SluiceSubscribing *subscribing = argument;

	/* That it is connected is news only after it was not.  What ends it is told at the end. */
	if (level == SLUICE_LEVEL_WARNING)
		atomic_store(&subscribing->troubled, true);
	if (level != SLUICE_LEVEL_ERROR && !subscribing->options->quiet && atomic_load(&subscribing->troubled))
		sluice_progress_tell(subscribing->options->progress, "%s", text);
}

/* ---- the signals' thread ---- */

/* As with "sluice send": one wish to stop often comes as two signals. */
static void
on_signal(void *argument, int signal)
{
	SluiceSubscribing *subscribing = argument;
	int64_t		now = sluice_clock_now();

	(void) signal;
	if (subscribing->stopped_at != 0 && now - subscribing->stopped_at < SAME_WISH)
		return;
	if (subscribing->stopped_at != 0)
	{
		sluice_progress_tell(subscribing->options->progress, "stopped by a second signal");
		if (subscribing->sink->kind->abandon != NULL)
			subscribing->sink->kind->abandon(subscribing->sink);
		_exit(SLUICE_EXIT_GAVE_UP);
	}
	subscribing->stopped_at = now;
	pthread_mutex_lock(&subscribing->mutex);
	atomic_store(subscribing->options->stopping, true);
	if (subscribing->consumer != NULL)
		sluice_consumer_stop(subscribing->consumer);
	pthread_cond_broadcast(&subscribing->wake);
	pthread_mutex_unlock(&subscribing->mutex);
}

/* ---- the consumer ---- */

static int
open_consumer(SluiceSubscribing *subscribing, char *message, size_t message_size)
{
	sluice_consumer *consumer;
	int			error = sluice_consumer_open(subscribing->options->library, &consumer, message, message_size);

	pthread_mutex_lock(&subscribing->mutex);
	subscribing->consumer = consumer;
	if (consumer != NULL && is_stopping(subscribing))
		sluice_consumer_stop(consumer);
	pthread_mutex_unlock(&subscribing->mutex);
	return error;
}

static int
close_consumer(SluiceSubscribing *subscribing, int64_t timeout)
{
	sluice_consumer *consumer = subscribing->consumer;

	pthread_mutex_lock(&subscribing->mutex);
	subscribing->consumer = NULL;
	pthread_mutex_unlock(&subscribing->mutex);
	return consumer != NULL ? sluice_consumer_close(consumer, timeout) : SLUICE_OK;
}

/* ---- ends ---- */

static void
end(SluiceSubscribing *subscribing, SluiceSubscribingResult result, const char *message)
{
	subscribing->over = true;
	subscribing->result = result;
	snprintf(subscribing->message, sizeof(subscribing->message), "%.690s", message);
}

/* Only a sink that keeps the position sends the token that can be found so. */
static void
end_forked(SluiceSubscribing *subscribing, const char *message)
{
	char		text[700];

	snprintf(text, sizeof(text), "%.600s; --on-fork accept goes on from the position in sluice_sink.positions", message);
	end(subscribing, SLUICE_SUBSCRIBING_FORKED, text);
}

static void
end_with_error(SluiceSubscribing *subscribing, int error)
{
	char		message[600];

	sluice_consumer_message(subscribing->consumer, message, sizeof(message));
	if (message[0] == '\0')
		snprintf(message, sizeof(message), "%s", sluice_error_text(error));
	switch (error)
	{
		case SLUICE_ERROR_CLOSED:
			end(subscribing, SLUICE_SUBSCRIBING_STOPPED, "");
			break;
		case SLUICE_ERROR_FORKED:
			end_forked(subscribing, message);
			break;
		case SLUICE_ERROR_REPLACED:
		case SLUICE_ERROR_BEYOND_END:
			end(subscribing, SLUICE_SUBSCRIBING_FORKED, message);
			break;
		case SLUICE_ERROR_PROTOCOL:
			end(subscribing, SLUICE_SUBSCRIBING_GAVE_UP, message);
			break;
		default:
			end(subscribing, SLUICE_SUBSCRIBING_REFUSED, message);
			break;
	}
}

/* ---- the sink ---- */

/* Until the time is over, or a signal came. */
static void
rest(SluiceSubscribing *subscribing, int64_t duration)
{
	int64_t		until = sluice_clock_now() + duration;
	struct timespec time = {until / SLUICE_SECOND, until % SLUICE_SECOND};
	int			rc = 0;

	pthread_mutex_lock(&subscribing->mutex);
	while (rc == 0 && !is_stopping(subscribing))
		rc = pthread_cond_timedwait(&subscribing->wake, &subscribing->mutex, &time);
	pthread_mutex_unlock(&subscribing->mutex);
}

static void
begin_anew(SluiceSubscribing *subscribing, const char *why)
{
	int64_t		pause = subscribing->pause > 0 ? subscribing->pause : PAUSE_FIRST;
	char		message[600];

	if (!subscribing->options->quiet)
		sluice_progress_tell(subscribing->options->progress, "%s; subscribing anew in %.1f s", why, (double) pause / SLUICE_SECOND);
	snprintf(subscribing->trouble, sizeof(subscribing->trouble), "%s", why);
	close_consumer(subscribing, LEAVE_TIMEOUT);
	subscribing->renewals++;
	rest(subscribing, pause);
	subscribing->pause = pause * 2 < PAUSE_LAST ? pause * 2 : PAUSE_LAST;
	if (is_stopping(subscribing))
		end(subscribing, SLUICE_SUBSCRIBING_STOPPED, "");
	else if (open_consumer(subscribing, message, sizeof(message)) != SLUICE_OK)
		end(subscribing, SLUICE_SUBSCRIBING_GAVE_UP, message);
}

/* What is void meanwhile comes again: the sink knows better, or it is "at least once". */
static void
acknowledge(SluiceSubscribing *subscribing, const SluiceSinkVerdict *verdict)
{
	if (verdict->ndone == 0)
		return;
	sluice_consumer_ack(subscribing->consumer, &verdict->done);
	subscribing->done += verdict->ndone;
	subscribing->pause = 0;
	subscribing->trouble[0] = '\0';
}

static void
give_back(SluiceSubscribing *subscribing, const SluiceSinkVerdict *verdict)
{
	int			error;

	while ((error = sluice_consumer_nack(subscribing->consumer, &verdict->refused, verdict->reason)) == SLUICE_ERROR_MEMORY)
		rest(subscribing, LOOK_INTERVAL);
	if (error == SLUICE_ERROR_INVALID)
	{
		char		message[1200];

		snprintf(message, sizeof(message), "row %" PRId64 " was refused (%s), and this subscription takes none back",
				 verdict->refused.offset, verdict->reason);
		end(subscribing, SLUICE_SUBSCRIBING_GAVE_UP, message);
		return;
	}
	subscribing->given_back++;
	if (!subscribing->options->quiet)
		sluice_progress_tell(subscribing->options->progress, "row %" PRId64 " is given back (attempt %u): %s",
							 verdict->refused.offset, verdict->refused.attempts + 1, verdict->reason);
}

static void
settle(SluiceSubscribing *subscribing)
{
	SluiceSink *sink = subscribing->sink;

	subscribing->pending = 0;
	while (!subscribing->over && sink->kind->pending(sink))
	{
		SluiceSinkVerdict verdict = {.ndone = 0};
		SluiceSinkOutcome outcome = sink->kind->settle(sink, &verdict);

		acknowledge(subscribing, &verdict);
		switch (outcome)
		{
			case SLUICE_SINK_DONE:
				break;
			case SLUICE_SINK_REFUSED:
				give_back(subscribing, &verdict);
				break;
			case SLUICE_SINK_STOPPED:
				end(subscribing, SLUICE_SUBSCRIBING_STOPPED, "");
				break;
			case SLUICE_SINK_AGAIN:
				begin_anew(subscribing, verdict.message);
				return;
			case SLUICE_SINK_FAILED:
				end(subscribing, SLUICE_SUBSCRIBING_GAVE_UP, verdict.message);
				break;
		}
	}
	if (!subscribing->over && subscribing->options->count > 0 && subscribing->done >= subscribing->options->count)
		end(subscribing, SLUICE_SUBSCRIBING_DONE, "");
}

/* ---- what comes ---- */

static void
on_row(SluiceSubscribing *subscribing, const sluice_row *row)
{
	bool		more = subscribing->sink->kind->take(subscribing->sink, row);
	uint64_t	count = subscribing->options->count;

	subscribing->pending++;
	if (!more || (count > 0 && subscribing->done + subscribing->pending >= count))
		settle(subscribing);
}

static void
on_active(SluiceSubscribing *subscribing, const sluice_row *active)
{
	SluiceSink *sink = subscribing->sink;
	SluiceSinkVerdict verdict = {.ndone = 0};
	sluice_token token;

	if (sink->kind->begin == NULL)
	{
		settle(subscribing);
		return;
	}
	subscribing->pending = 0;
	switch (sink->kind->begin(sink, active, &token, &verdict))
	{
		case SLUICE_SINK_DONE:
			subscribing->trouble[0] = '\0';
			sluice_consumer_start(subscribing->consumer, active, &token, subscribing->options->accept_fork);
			break;
		case SLUICE_SINK_AGAIN:
			begin_anew(subscribing, verdict.message);
			break;
		default:
			end(subscribing, SLUICE_SUBSCRIBING_GAVE_UP, verdict.message);
			break;
	}
}

/* Where settling made it void it comes again, after the rows that do. */
static void
on_caught_up(SluiceSubscribing *subscribing)
{
	uint64_t	given_back = subscribing->given_back;
	uint64_t	renewals = subscribing->renewals;

	settle(subscribing);
	if (!subscribing->over && subscribing->options->until_caught_up && subscribing->given_back == given_back &&
		subscribing->renewals == renewals)
		end(subscribing, SLUICE_SUBSCRIBING_DONE, "");
}

static void
on_event(SluiceSubscribing *subscribing, const sluice_row *row)
{
	switch (row->event)
	{
		case SLUICE_EVENT_ROW:
			on_row(subscribing, row);
			break;
		case SLUICE_EVENT_ACTIVE:
			on_active(subscribing, row);
			break;
		case SLUICE_EVENT_STANDBY:
			if (!subscribing->options->quiet)
				sluice_progress_tell(subscribing->options->progress, "another consumer has the subscription: waiting");
			break;
		case SLUICE_EVENT_CAUGHT_UP:
			on_caught_up(subscribing);
			break;
	}
}

/* ---- watching ---- */

static void
give_up_for_time(SluiceSubscribing *subscribing)
{
	char		last[600];
	char		message[700];

	sluice_consumer_message(subscribing->consumer, last, sizeof(last));
	if (last[0] == '\0')
		strcpy(last, subscribing->trouble);
	snprintf(message, sizeof(message), "no connection for %.4g s%s%s", (double) subscribing->options->timeout / SLUICE_SECOND,
			 last[0] != '\0' ? "; " : "", last);
	end(subscribing, SLUICE_SUBSCRIBING_GAVE_UP, message);
}

static void
look(SluiceSubscribing *subscribing)
{
	const SluiceSubscribingOptions *options = subscribing->options;
	int64_t		now = sluice_clock_now();
	sluice_consumption consumption;

	sluice_consumer_statistics(subscribing->consumer, &consumption, sizeof(consumption));
	if (options->show_progress && now >= subscribing->progress_due)
	{
		sluice_progress_show_rows(options->progress, &consumption, subscribing->done, subscribing->given_back, now);
		subscribing->progress_due = now + (options->progress->in_place ? SLUICE_SECOND / 5 : SLUICE_SECOND);
	}
	if ((consumption.state == SLUICE_STATE_CONNECTED || consumption.state == SLUICE_STATE_STANDBY) &&
		subscribing->trouble[0] == '\0')
		subscribing->connected_at = now;
	if (consumption.state == SLUICE_STATE_REFUSED)
	{
		char		message[600];

		sluice_consumer_message(subscribing->consumer, message, sizeof(message));
		end(subscribing, SLUICE_SUBSCRIBING_REFUSED, message);
	}
	else if (options->timeout != SLUICE_NEVER && now - subscribing->connected_at >= options->timeout)
		give_up_for_time(subscribing);
}

static void
take(SluiceSubscribing *subscribing)
{
	bool		pending = subscribing->sink->kind->pending(subscribing->sink);
	sluice_row	row;
	int			error = sluice_consumer_next(subscribing->consumer, pending ? 0 : LOOK_INTERVAL / SLUICE_MILLISECOND, &row);

	if (error == SLUICE_OK)
		on_event(subscribing, &row);
	else if (error == SLUICE_ERROR_TIMEOUT)
		settle(subscribing);
	else if (error == SLUICE_ERROR_MEMORY)
		rest(subscribing, LOOK_INTERVAL);
	else
	{
		settle(subscribing);
		if (!subscribing->over)
			end_with_error(subscribing, error);
	}
}

/* ---- the run ---- */

SluiceSubscribing *
sluice_subscribing_create(const SluiceSubscribingOptions *options, char *message, size_t message_size)
{
	SluiceSubscribing *subscribing = sluice_memory_get_zeroed(sizeof(SluiceSubscribing));
	pthread_condattr_t attributes;

	subscribing->options = options;
	subscribing->sink = options->sink;
	pthread_mutex_init(&subscribing->mutex, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&subscribing->wake, &attributes);
	pthread_condattr_destroy(&attributes);
	sluice_options_on_log(options->library, on_log, subscribing);
	if (open_consumer(subscribing, message, message_size) == SLUICE_OK)
		return subscribing;
	sluice_subscribing_free(subscribing);
	return NULL;
}

SluiceSubscribingResult
sluice_subscribing_run(SluiceSubscribing *subscribing)
{
	SluiceSignals *signals = sluice_signals_start(on_signal, subscribing);
	int64_t		next_look = 0;

	subscribing->connected_at = sluice_clock_now();
	while (!subscribing->over)
	{
		take(subscribing);
		if (!subscribing->over && sluice_clock_now() >= next_look)
		{
			look(subscribing);
			next_look = sluice_clock_now() + LOOK_INTERVAL;
		}
	}
	if (close_consumer(subscribing, LEAVE_TIMEOUT) == SLUICE_ERROR_TIMEOUT && subscribing->sink->kind->begin == NULL &&
		subscribing->result <= SLUICE_SUBSCRIBING_STOPPED)
		end(subscribing, SLUICE_SUBSCRIBING_GAVE_UP, "the server has not confirmed the last acknowledgement: rows may come again");
	sluice_signals_end(signals);
	return subscribing->result;
}

const char *
sluice_subscribing_message(const SluiceSubscribing *subscribing)
{
	return subscribing->message;
}

uint64_t
sluice_subscribing_given_back(const SluiceSubscribing *subscribing)
{
	return subscribing->given_back;
}

void
sluice_subscribing_free(SluiceSubscribing *subscribing)
{
	close_consumer(subscribing, 0);
	pthread_cond_destroy(&subscribing->wake);
	pthread_mutex_destroy(&subscribing->mutex);
	free(subscribing);
}
