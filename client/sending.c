/*
 * sending.c
 *		A run of "sluice send".
 *
 * Threads: the reader's puts records into the producer (take) and waits there when
 * the buffer is full; the library's tell verdicts (on_delivery) and what
 * happens (on_log); one waits for signals; the main thread watches, in two phases:
 * until the input has ended, then until all is acknowledged.
 */
#include "sending.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "memory.h"
#include "places.h"
#include "signals.h"

#define PLACES_SHOWN 10			/* dead letters told one by one */
#define PLACES_KEPT 65536		/* runs of places */
#define SAME_WISH (SLUICE_SECOND / 2)
#define LOOK_INTERVAL (SLUICE_SECOND / 10)

struct SluiceSending
{
	const SluiceSendingOptions *options;
	SluiceReaderOptions reader_options;
	SluiceReader *reader;
	sluice_producer *producer;
	SluicePlaces *places;

	pthread_mutex_t mutex;
	pthread_cond_t wake;
	bool		input_ended;	/* under mutex */
	atomic_bool quit;			/* the reader is to put in nothing more */
	atomic_bool full;			/* a record was not put in as the buffer was full */
	atomic_int	refused;		/* the error for which the producer takes nothing more; 0: none */
	atomic_bool second_signal;
	atomic_bool troubled;		/* something went wrong on the way */
	_Atomic int64_t stopped_at; /* by the first signal; 0: not yet */

	uint64_t	next;			/* the next record's sequence, most likely; the reader's */
	bool		complained;		/* the reader has told that the disk fails */
	uint64_t	places_shown;	/* by the delivery callback */

	/* the main thread's */
	sluice_statistics statistics;
	uint64_t	acknowledged;
	int64_t		acknowledged_at;
	int64_t		progress_due;
	char		message[512];
};

/* ---- the reader's thread ---- */

static void
pause_reader(SluiceSending *sending)
{
	int64_t		until = sluice_clock_now() + LOOK_INTERVAL;
	struct timespec time = {until / SLUICE_SECOND, until % SLUICE_SECOND};

	pthread_mutex_lock(&sending->mutex);
	pthread_cond_timedwait(&sending->wake, &sending->mutex, &time);
	pthread_mutex_unlock(&sending->mutex);
}

/* A call that may succeed later: shall it be made again? */
static bool
wait_to_retry(SluiceSending *sending, int error)
{
	if (atomic_load(&sending->quit))
		return false;
	if (error == SLUICE_ERROR_FULL)
	{
		/* The call itself has waited (block_timeout). */
		if (!sending->options->patient)
			atomic_store(&sending->full, true);
		return sending->options->patient;
	}
	if (!sending->complained && !sending->options->quiet)
		sluice_progress_tell(sending->options->progress, "%s; trying again", sluice_error_text(error));
	sending->complained = true;
	pause_reader(sending);
	return true;
}

/*
 * The place is noted before the record is put in, under the number that it will
 * have: its verdict may be there before the call returns.
 */
static bool
take(void *argument, const SluiceInputRecord *found, size_t source, char *message, size_t message_size)
{
	SluiceSending *sending = argument;
	SluicePlace place = {source, found->line};
	sluice_record record = {found->payload, found->payload_length, found->key, found->key_length,
	found->entity, found->entity_length};
	uint64_t	sequence;
	int			error;

	sluice_places_note(sending->places, sending->next, place);
	while ((error = sluice_send(sending->producer, &record, &sequence)) != SLUICE_OK)
	{
		if (sluice_error_class(error) == SLUICE_CLASS_RETRY && wait_to_retry(sending, error))
			continue;
		if (sluice_error_class(error) == SLUICE_CLASS_INPUT)
			snprintf(message, message_size, "%s", sluice_error_text(error));
		else if (sluice_error_class(error) == SLUICE_CLASS_FATAL)
			atomic_store(&sending->refused, error);
		return false;
	}
	sending->complained = false;
	if (sequence != sending->next)
		sluice_places_note(sending->places, sequence, place);
	sending->next = sequence + 1;
	return true;
}

static void
on_input_ended(void *argument)
{
	SluiceSending *sending = argument;

	pthread_mutex_lock(&sending->mutex);
	sending->input_ended = true;
	pthread_cond_broadcast(&sending->wake);
	pthread_mutex_unlock(&sending->mutex);
}

/* ---- the library's threads ---- */

static bool
locate(const SluiceSending *sending, uint64_t sequence, char *text, size_t size)
{
	SluicePlace place;

	if (!sluice_places_find(sending->places, sequence, &place))
		return false;
	sluice_reader_locate(&sending->reader_options, place, text, size);
	return true;
}

static void
tell_dead_letter(SluiceSending *sending, uint64_t sequence, const char *what)
{
	SluiceProgress *progress = sending->options->progress;
	char		place[400];

	if (sending->options->quiet || sending->places_shown > PLACES_SHOWN)
		return;
	if (sending->places_shown++ == PLACES_SHOWN)
		sluice_progress_tell(progress, "more dead letters are not told one by one");
	else if (locate(sending, sequence, place, sizeof(place)))
		sluice_progress_tell(progress, "%s: %s", place, what);
	else
		sluice_progress_tell(progress, "record %" PRIu64 " of the buffer: %s", sequence, what);
}

static void
on_delivery(void *argument, const sluice_delivery *delivery)
{
	SluiceSending *sending = argument;
	const char *what = NULL;

	if (delivery->verdict == SLUICE_VERDICT_DEAD_LETTERED)
		what = "dead-lettered";
	else if (delivery->verdict == SLUICE_VERDICT_SET_ASIDE)
		what = "set aside, larger than the server takes";
	for (uint64_t sequence = delivery->first; what != NULL && sequence <= delivery->last; sequence++)
		tell_dead_letter(sending, sequence, what);
	sluice_places_forget_through(sending->places, delivery->last);
}

static void
on_log(void *argument, sluice_level level, const char *text)
{
	SluiceSending *sending = argument;

	/* That it is connected is news only after it was not. */
	if (level != SLUICE_LEVEL_INFO)
		atomic_store(&sending->troubled, true);
	if (level == SLUICE_LEVEL_ERROR || (!sending->options->quiet && atomic_load(&sending->troubled)))
		sluice_progress_tell(sending->options->progress, "%s", text);
}

/* ---- the signals' thread ---- */

/*
 * One wish to stop often comes as two signals: timeout(1) signals its child
 * and then the group, a terminal's interrupt is passed on by a shell.
 */
static void
on_signal(void *argument, int signal)
{
	SluiceSending *sending = argument;
	int64_t		now = sluice_clock_now();
	int64_t		before = atomic_load(&sending->stopped_at);

	(void) signal;
	if (before == 0)
		atomic_store(&sending->stopped_at, now);
	else if (now - before >= SAME_WISH)
		atomic_store(&sending->second_signal, true);
	else
		return;
	if (before == 0 && !sending->options->quiet)
		sluice_progress_tell(sending->options->progress, "stopping: no more input is read, flushing");
	sluice_reader_stop(sending->reader);
}

/* ---- the main thread ---- */

static SluiceSendingResult
fail(SluiceSending *sending, SluiceSendingResult result)
{
	if (sending->message[0] == '\0')
		sluice_producer_message(sending->producer, sending->message, sizeof(sending->message));
	return result;
}

static SluiceSendingResult
give_up(SluiceSending *sending, const char *why)
{
	char		last[256];

	sluice_producer_message(sending->producer, last, sizeof(last));
	snprintf(sending->message, sizeof(sending->message), "%s%s%s", why, last[0] != '\0' ? "; " : "", last);
	return SLUICE_SENDING_GAVE_UP;
}

static SluiceSendingResult
give_up_for_time(SluiceSending *sending, const char *why)
{
	char		text[128];

	snprintf(text, sizeof(text), "%s for %.4g s", why, (double) sending->options->timeout / SLUICE_SECOND);
	return give_up(sending, text);
}

/* The producer has told the library's threads before it tells its state and its message. */
static SluiceSendingResult
fail_for(SluiceSending *sending, int error)
{
	if (error != SLUICE_ERROR_FENCED && error != SLUICE_ERROR_FORKED)
		return give_up(sending, sluice_error_text(error));
	fail(sending, SLUICE_SENDING_FENCED);
	if (sending->message[0] == '\0')
		snprintf(sending->message, sizeof(sending->message), "%s", sluice_error_text(error));
	return SLUICE_SENDING_FENCED;
}

static bool
is_over(int64_t since, int64_t timeout, int64_t now)
{
	return timeout != SLUICE_NEVER && now - since >= timeout;
}

/* DONE: nothing speaks against going on. */
static SluiceSendingResult
look(SluiceSending *sending)
{
	const SluiceSendingOptions *options = sending->options;
	sluice_statistics *statistics = &sending->statistics;
	int64_t		now = sluice_clock_now();
	int64_t		stopped_at = atomic_load(&sending->stopped_at);

	sluice_producer_statistics(sending->producer, statistics, sizeof(*statistics));
	if (options->show_progress && now >= sending->progress_due)
	{
		sluice_progress_show(options->progress, statistics, now);
		sending->progress_due = now + (options->progress->in_place ? SLUICE_SECOND / 5 : SLUICE_SECOND);
	}
	if (statistics->state == SLUICE_STATE_FENCED || statistics->state == SLUICE_STATE_FORKED)
		return fail(sending, SLUICE_SENDING_FENCED);
	if (statistics->state == SLUICE_STATE_REFUSED)
		return fail(sending, SLUICE_SENDING_REFUSED);
	if (statistics->acknowledged_through != sending->acknowledged ||
		statistics->last_sequence == statistics->acknowledged_through)
		sending->acknowledged_at = now;
	sending->acknowledged = statistics->acknowledged_through;
	if (atomic_load(&sending->second_signal))
		return give_up(sending, "stopped by a second signal");
	if (is_over(sending->acknowledged_at, options->timeout, now))
		return give_up_for_time(sending, "nothing was acknowledged");
	if (stopped_at != 0 && is_over(stopped_at, options->timeout, now))
		return give_up_for_time(sending, "after the signal not everything was acknowledged");
	return SLUICE_SENDING_DONE;
}

/* Until the input has ended, or for a while: has it? */
static bool
wait_for_input_end(SluiceSending *sending)
{
	int64_t		until = sluice_clock_now() + LOOK_INTERVAL;
	struct timespec time = {until / SLUICE_SECOND, until % SLUICE_SECOND};
	bool		ended;

	pthread_mutex_lock(&sending->mutex);
	if (!sending->input_ended)
		pthread_cond_timedwait(&sending->wake, &sending->mutex, &time);
	ended = sending->input_ended;
	pthread_mutex_unlock(&sending->mutex);
	return ended;
}

static SluiceSendingResult
watch_reading(SluiceSending *sending)
{
	SluiceSendingResult result = SLUICE_SENDING_DONE;

	while (result == SLUICE_SENDING_DONE && !wait_for_input_end(sending))
		result = look(sending);
	return result;
}

/* What was refused keeps the run from being done, also when all that was taken is acknowledged. */
static SluiceSendingResult
watch_draining(SluiceSending *sending)
{
	for (;;)
	{
		int			refused = atomic_load(&sending->refused);
		int			error = refused != SLUICE_OK ? refused :
			sluice_flush(sending->producer, LOOK_INTERVAL / SLUICE_MILLISECOND);
		SluiceSendingResult result = look(sending);

		if (error == SLUICE_OK)
			return SLUICE_SENDING_DONE;
		if (result != SLUICE_SENDING_DONE)
			return result;
		if (sluice_error_class(error) == SLUICE_CLASS_FATAL)
			return fail_for(sending, error);
	}
}

static int
open_producer(SluiceSending *sending, char *message, size_t message_size)
{
	int			error;

	sluice_options_on_delivery(sending->options->library, on_delivery, sending);
	sluice_options_on_log(sending->options->library, on_log, sending);
	error = sluice_producer_open(sending->options->library, &sending->producer, message, message_size);
	if (error != SLUICE_OK)
		return error;
	sluice_producer_statistics(sending->producer, &sending->statistics, sizeof(sending->statistics));
	sending->next = sending->statistics.last_sequence + 1;
	return SLUICE_OK;
}

SluiceSending *
sluice_sending_create(const SluiceSendingOptions *options, int *error, char *message, size_t message_size)
{
	SluiceSending *sending = sluice_memory_get_zeroed(sizeof(SluiceSending));
	pthread_condattr_t attributes;

	sending->options = options;
	sending->reader_options = options->reader;
	sending->reader_options.argument = sending;
	sending->reader_options.take = take;
	sending->reader_options.ended = on_input_ended;
	sending->places = sluice_places_create(PLACES_KEPT);
	pthread_mutex_init(&sending->mutex, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&sending->wake, &attributes);
	pthread_condattr_destroy(&attributes);
	*error = open_producer(sending, message, message_size);
	if (*error == SLUICE_OK)
		return sending;
	sluice_sending_free(sending);
	return NULL;
}

SluiceSendingResult
sluice_sending_run(SluiceSending *sending)
{
	SluiceSendingResult result;
	SluiceSignals *signals;

	sending->acknowledged_at = sluice_clock_now();
	sending->reader = sluice_reader_start(&sending->reader_options);
	signals = sluice_signals_start(on_signal, sending);
	result = watch_reading(sending);
	if (result == SLUICE_SENDING_DONE)
		result = watch_draining(sending);
	atomic_store(&sending->quit, true);
	sluice_reader_stop(sending->reader);
	sluice_signals_end(signals);
	sluice_reader_join(sending->reader);
	if (result == SLUICE_SENDING_DONE && atomic_load(&sending->full))
		result = give_up(sending, sluice_error_text(SLUICE_ERROR_FULL));
	sluice_producer_statistics(sending->producer, &sending->statistics, sizeof(sending->statistics));
	if (sending->options->show_progress)
		sluice_progress_show(sending->options->progress, &sending->statistics, sluice_clock_now());
	return result;
}

bool
sluice_sending_free(SluiceSending *sending)
{
	int			error = SLUICE_OK;

	if (sending->producer != NULL)
		error = sluice_producer_close(sending->producer, 0);
	if (sending->reader != NULL)
		sluice_reader_free(sending->reader);
	sluice_places_free(sending->places);
	pthread_cond_destroy(&sending->wake);
	pthread_mutex_destroy(&sending->mutex);
	free(sending);
	return error == SLUICE_OK || error == SLUICE_ERROR_TIMEOUT || sluice_error_class(error) == SLUICE_CLASS_FATAL;
}

const sluice_statistics *
sluice_sending_statistics(const SluiceSending *sending)
{
	return &sending->statistics;
}

const char *
sluice_sending_message(const SluiceSending *sending)
{
	return sending->message;
}

const char *
sluice_sending_input_error(const SluiceSending *sending)
{
	return sluice_reader_error(sending->reader);
}

bool
sluice_sending_read_all(const SluiceSending *sending)
{
	return sluice_reader_complete(sending->reader);
}

bool
sluice_sending_last_place(const SluiceSending *sending, char *text, size_t size)
{
	SluicePlace place;

	if (!sluice_reader_last(sending->reader, &place))
		return false;
	sluice_reader_locate(&sending->reader_options, place, text, size);
	return true;
}

bool
sluice_sending_oldest_place(const SluiceSending *sending, char *text, size_t size)
{
	return locate(sending, sending->statistics.acknowledged_through + 1, text, size);
}
