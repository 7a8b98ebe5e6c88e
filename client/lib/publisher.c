/*
 * publisher.c
 *		The thread that brings the buffer's records to the server.
 *
 *	connect -> opening -> publishing -> (closing) -> waiting -> connect ...
 *
 * One function a state: it does what can be done, waits for one event, and
 * returns the next state.  A call ends in one place, sluice_publisher_ended(),
 * whoever ended it; where we do, the reason is noted in outcome first, and
 * the state is closing until gRPC has given back everything.
 *
 * Stopping is a flag that every state looks at; a wake-up comes with it.
 */
#include "publisher.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../clock.h"
#include "publisher_internal.h"
#include "thread.h"

/* Of what the server sends. */
#define MESSAGE_MAX_LENGTH (4 << 20)

#define REPORT_INTERVAL SLUICE_SECOND

/* For the server to confirm that we have nothing more to say. */
#define FINISH_TIMEOUT SLUICE_SECOND

static bool
is_stopping(SluicePublisher *publisher)
{
	return atomic_load(&publisher->stopping);
}

/* End the call ourselves, because of this. */
static SluicePublisherStep
give_up(SluicePublisher *publisher, SluiceEnding ending, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static SluicePublisherStep
give_up(SluicePublisher *publisher, SluiceEnding ending, const char *format, ...)
{
	va_list		arguments;

	va_start(arguments, format);
	vsnprintf(publisher->outcome.text, sizeof(publisher->outcome.text), format, arguments);
	va_end(arguments);
	publisher->outcome.ending = ending;
	publisher->cancelled = true;
	publisher->deadline = SLUICE_NEVER;
	sluice_channel_cancel(publisher->channel);
	return SLUICE_STEP_CLOSING;
}

static SluicePublisherStep
give_up_code(SluicePublisher *publisher, int code)
{
	return give_up(publisher, SLUICE_ENDING_AGAIN, "%s", sluice_error_text(code));
}

/* ---- connect ---- */

static bool
send_open(SluicePublisher *publisher)
{
	SluiceOpening opening;
	uint8_t		bytes[SLUICE_PUBLICATION_MAX];
	size_t		length;

	memset(&opening, 0, sizeof(opening));
	sluice_buffer_opening(publisher->buffer, &opening);
	length = sluice_publication_write_open(bytes, &opening, publisher->settings->client);
	return sluice_channel_send(publisher->channel, bytes, length);
}

static SluicePublisherStep
step_connect(SluicePublisher *publisher)
{
	SluiceError error = {""};

	if (is_stopping(publisher))
		return SLUICE_STEP_DONE;
	publisher->opened = false;
	publisher->acknowledged = false;
	publisher->cancelled = false;
	memset(&publisher->outcome, 0, sizeof(publisher->outcome));
	publisher->deadline = sluice_clock_now() + publisher->settings->connect_timeout;
	atomic_fetch_add(&publisher->status.attempts, 1);
	sluice_status_enter(&publisher->status, SLUICE_STATE_CONNECTING);

	if (!sluice_channel_open(publisher->channel, sluice_attempts_endpoint(&publisher->attempts),
							 &publisher->attempts.passwords, &error))
	{
		publisher->outcome.ending = SLUICE_ENDING_AGAIN;
		snprintf(publisher->outcome.text, sizeof(publisher->outcome.text), "%.190s", error.text);
		return sluice_publisher_failed(publisher);
	}
	if (!send_open(publisher))
		return give_up_code(publisher, SLUICE_ERROR_MEMORY);
	return SLUICE_STEP_OPENING;
}

/* ---- opening ---- */

static SluicePublisherStep
become_open(SluicePublisher *publisher, const SluiceOpened *opened)
{
	publisher->opened = true;
	sluice_attempts_opened(&publisher->attempts);
	publisher->in_flight = 0;
	publisher->through = opened->last_sequence;
	memset(&publisher->reported, 0, sizeof(publisher->reported));
	publisher->report_at = 0;
	atomic_fetch_add(&publisher->status.connections, 1);
	sluice_status_tell(&publisher->status, SLUICE_STATE_CONNECTED, SLUICE_LEVEL_INFO, "connected to \"%s\"",
								 sluice_attempts_endpoint(&publisher->attempts)->name);
	return SLUICE_STEP_PUBLISHING;
}

static SluicePublisherStep
take_opened(SluicePublisher *publisher)
{
	size_t		length;
	const uint8_t *bytes = sluice_channel_message(publisher->channel, &length);
	uint64_t	dead[SLUICE_PUBLICATION_DEAD_MAX];
	SluiceOpened opened;
	int			code;

	if (!sluice_publication_read_opened(bytes, length, &opened, dead))
		return give_up(publisher, SLUICE_ENDING_VIOLATION, "the server's first message is not a valid Opened");
	code = sluice_buffer_opened(publisher->buffer, &opened);
	switch (code)
	{
		case SLUICE_OK:
			return become_open(publisher, &opened);
		case SLUICE_ERROR_FORKED:
			publisher->outcome.last_sequence = opened.last_sequence;
			return give_up(publisher, SLUICE_ENDING_FORKED, "at sequence %llu", (unsigned long long) opened.last_sequence);
		case SLUICE_ERROR_PROTOCOL:
			return give_up(publisher, SLUICE_ENDING_VIOLATION, "the server's Opened does not fit what was sent");
		default:
			return give_up_code(publisher, code);
	}
}

static SluicePublisherStep
step_opening(SluicePublisher *publisher)
{
	if (is_stopping(publisher))
		return give_up_code(publisher, SLUICE_ERROR_CLOSED);
	switch (sluice_channel_next(publisher->channel, publisher->deadline))
	{
		case SLUICE_CHANNEL_MESSAGE:
			return take_opened(publisher);
		case SLUICE_CHANNEL_ENDED:
			return sluice_publisher_ended(publisher);
		case SLUICE_CHANNEL_TIMEOUT:
			return give_up(publisher, SLUICE_ENDING_AGAIN, "no answer within %.1f s",
						   (double) publisher->settings->connect_timeout / SLUICE_SECOND);
		default:
			return SLUICE_STEP_OPENING;
	}
}

/* ---- publishing ---- */

static bool
send_report(SluicePublisher *publisher)
{
	uint8_t		bytes[SLUICE_PUBLICATION_MAX];
	struct timespec now;
	size_t		length;

	clock_gettime(CLOCK_REALTIME, &now);
	length = sluice_publication_write_report(bytes, &publisher->reported,
											 (int64_t) now.tv_sec * 1000000 + now.tv_nsec / 1000);
	return sluice_channel_send(publisher->channel, bytes, length);
}

/* Is there something to tell?  The first time anything is. */
static bool
report_is_due(SluicePublisher *publisher)
{
	int64_t		now = sluice_clock_now();
	bool		first = publisher->report_at == 0;
	uint64_t	before = publisher->reported.records;

	if (now < publisher->report_at)
		return false;
	publisher->report_at = now + REPORT_INTERVAL;
	sluice_buffer_report(publisher->buffer, &publisher->reported);
	return first || publisher->reported.records > 0 || before > 0;
}

/* False: out of memory. */
static bool
send_batch(SluicePublisher *publisher)
{
	bool		alone = publisher->in_flight == 0;
	SluiceOutgoing outgoing;
	int64_t		due = SLUICE_NEVER;
	bool		good;

	if (!sluice_buffer_next(publisher->buffer, alone ? 0 : publisher->settings->linger, &outgoing, &due))
	{
		if (due < publisher->deadline)
			publisher->deadline = due;
		return true;
	}
	good = sluice_channel_send(publisher->channel, outgoing.bytes, outgoing.length);
	sluice_buffer_sent(publisher->buffer, &outgoing);
	publisher->in_flight = sluice_buffer_in_flight(publisher->buffer);
	return good;
}

/* At most one message: the next one when it is SENT.  False: out of memory. */
static bool
send_something(SluicePublisher *publisher)
{
	publisher->deadline = SLUICE_NEVER;
	if (!sluice_channel_can_send(publisher->channel))
		return true;
	if (report_is_due(publisher))
		return send_report(publisher);
	if (publisher->reported.records > 0 || publisher->in_flight > 0)
		publisher->deadline = publisher->report_at;
	return send_batch(publisher);
}

/* Records got through: what went wrong before counts no more. */
static void
note_progress(SluicePublisher *publisher)
{
	publisher->acknowledged = true;
	publisher->violations = 0;
	publisher->had_hole = false;
	sluice_attempts_achieved(&publisher->attempts);
}

static SluicePublisherStep
take_ack(SluicePublisher *publisher)
{
	size_t		length;
	const uint8_t *bytes = sluice_channel_message(publisher->channel, &length);
	SluicePublicationAck *ack = &publisher->ack;
	int			code = sluice_publication_read_ack(bytes, length, ack);

	if (code == SLUICE_OK)
		code = sluice_buffer_settle(publisher->buffer, ack->through, ack->exceptions, ack->nexceptions);
	if (code == SLUICE_ERROR_PROTOCOL)
		return give_up(publisher, SLUICE_ENDING_VIOLATION, "the server's Ack is not valid, or does not fit what was sent");
	if (code != SLUICE_OK)
		return give_up_code(publisher, code);
	publisher->in_flight = sluice_buffer_in_flight(publisher->buffer);
	if (ack->through > publisher->through)
	{
		publisher->through = ack->through;
		note_progress(publisher);
	}
	return SLUICE_STEP_PUBLISHING;
}

/* Half-close where the server owes us nothing: it then knows that we left of our own accord. */
static SluicePublisherStep
leave(SluicePublisher *publisher)
{
	if (publisher->in_flight > 0 || !sluice_channel_can_send(publisher->channel))
		return give_up_code(publisher, SLUICE_ERROR_CLOSED);
	sluice_channel_finish(publisher->channel);
	publisher->deadline = sluice_clock_now() + FINISH_TIMEOUT;
	return SLUICE_STEP_CLOSING;
}

static SluicePublisherStep
step_publishing(SluicePublisher *publisher)
{
	if (is_stopping(publisher))
		return leave(publisher);
	if (!send_something(publisher))
		return give_up_code(publisher, SLUICE_ERROR_MEMORY);
	switch (sluice_channel_next(publisher->channel, publisher->deadline))
	{
		case SLUICE_CHANNEL_MESSAGE:
			return take_ack(publisher);
		case SLUICE_CHANNEL_ENDED:
			return sluice_publisher_ended(publisher);
		default:
			return SLUICE_STEP_PUBLISHING;
	}
}

/* ---- closing, waiting, resting ---- */

static SluicePublisherStep
step_closing(SluicePublisher *publisher)
{
	switch (sluice_channel_next(publisher->channel, publisher->deadline))
	{
		case SLUICE_CHANNEL_ENDED:
			return sluice_publisher_ended(publisher);
		case SLUICE_CHANNEL_TIMEOUT:
			return give_up_code(publisher, SLUICE_ERROR_CLOSED);
		default:
			return SLUICE_STEP_CLOSING;
	}
}

static SluicePublisherStep
step_waiting(SluicePublisher *publisher)
{
	if (is_stopping(publisher))
		return SLUICE_STEP_DONE;
	if (sluice_channel_next(publisher->channel, publisher->deadline) == SLUICE_CHANNEL_TIMEOUT)
		return SLUICE_STEP_CONNECT;
	return SLUICE_STEP_WAITING;
}

static SluicePublisherStep
step_resting(SluicePublisher *publisher)
{
	if (is_stopping(publisher))
		return SLUICE_STEP_DONE;
	sluice_channel_next(publisher->channel, SLUICE_NEVER);
	return SLUICE_STEP_RESTING;
}

/* ---- the thread ---- */

static void
wait_for(sem_t *semaphore)
{
	while (sem_wait(semaphore) != 0 && errno == EINTR)
		continue;
}

static void
wake(void *argument)
{
	SluicePublisher *publisher = argument;

	sluice_channel_wake(publisher->channel);
}

static void
run(SluicePublisher *publisher)
{
	static SluicePublisherStep (*const steps[]) (SluicePublisher *) = {
		[SLUICE_STEP_CONNECT] = step_connect,
		[SLUICE_STEP_OPENING] = step_opening,
		[SLUICE_STEP_PUBLISHING] = step_publishing,
		[SLUICE_STEP_CLOSING] = step_closing,
		[SLUICE_STEP_WAITING] = step_waiting,
		[SLUICE_STEP_RESTING] = step_resting
	};
	SluicePublisherStep step = SLUICE_STEP_CONNECT;

	while (step != SLUICE_STEP_DONE)
		step = steps[step] (publisher);
}

/* gRPC is used in this thread only, but for wake-ups: none comes once the owner said so. */
static void *
thread_main(void *argument)
{
	SluicePublisher *publisher = argument;

	pthread_setname_np(pthread_self(), "sluice-publish");
	publisher->channel = sluice_channel_create(publisher->settings, SLUICE_METHOD_PUBLISH, MESSAGE_MAX_LENGTH);
	sem_post(&publisher->started);
	if (publisher->channel == NULL)
		return NULL;
	sluice_buffer_on_ready(publisher->buffer, wake, publisher);
	run(publisher);
	sluice_buffer_on_ready(publisher->buffer, NULL, NULL);
	wait_for(&publisher->woken);
	sluice_channel_free(publisher->channel);
	return NULL;
}

/* With all signals blocked in it, and so in all threads of gRPC's. */
static int
start_thread(SluicePublisher *publisher)
{
	int			rc = sluice_thread_start(&publisher->thread, thread_main, publisher);

	if (rc != 0)
		return rc;
	wait_for(&publisher->started);
	if (publisher->channel != NULL)
		return 0;
	pthread_join(publisher->thread, NULL);
	return ENOMEM;
}

/* ---- for the owner ---- */

static void
dispose(SluicePublisher *publisher)
{
	sluice_publication_release_ack(&publisher->ack);
	sluice_attempts_release(&publisher->attempts);
	sluice_status_release(&publisher->status);
	sem_destroy(&publisher->started);
	sem_destroy(&publisher->woken);
	free(publisher);
}

static SluicePublisher *
create(const SluiceSettings *settings, SluiceBuffer *buffer)
{
	SluicePublisher *publisher = calloc(1, sizeof(SluicePublisher));

	if (publisher == NULL)
		return NULL;
	publisher->settings = settings;
	publisher->buffer = buffer;
	atomic_init(&publisher->stopping, false);
	sem_init(&publisher->started, 0, 0);
	sem_init(&publisher->woken, 0, 0);
	sluice_status_init(&publisher->status, settings);
	return publisher;
}

int
sluice_publisher_start(const SluiceSettings *settings, SluiceBuffer *buffer, SluicePublisher **publisher,
					   SluiceError *error)
{
	SluicePublisher *created = create(settings, buffer);
	int			code;

	*publisher = NULL;
	if (created == NULL)
		return sluice_error_set(error, SLUICE_ERROR_MEMORY, "out of memory");
	code = sluice_attempts_init(&created->attempts, settings, error);
	if (code == SLUICE_OK)
	{
		int			rc = start_thread(created);

		if (rc != 0)
			code = sluice_error_set(error, SLUICE_ERROR_MEMORY, "could not start a thread: %s", strerror(rc));
	}
	if (code != SLUICE_OK)
	{
		dispose(created);
		return code;
	}
	*publisher = created;
	return SLUICE_OK;
}

void
sluice_publisher_stop(SluicePublisher *publisher)
{
	atomic_store(&publisher->stopping, true);
	sluice_channel_wake(publisher->channel);
	sem_post(&publisher->woken);
	pthread_join(publisher->thread, NULL);
	dispose(publisher);
}

void
sluice_publisher_statistics(SluicePublisher *publisher, sluice_statistics *statistics)
{
	statistics->state = sluice_status_state(&publisher->status);
	statistics->attempts = atomic_load(&publisher->status.attempts);
	statistics->connections = atomic_load(&publisher->status.connections);
}

void
sluice_publisher_message(SluicePublisher *publisher, char *message, size_t message_size)
{
	sluice_status_message(&publisher->status, message, message_size);
}
