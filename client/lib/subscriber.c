/*
 * subscriber.c
 *		The thread that brings rows from the server.
 *
 *	connect -> opening -> reading -> (leaving -> closing) -> waiting -> connect ...
 *
 * One function a state: it does what can be done, waits for one event, and
 * returns the next state.  A call ends in one place, sluice_subscriber_ended(),
 * whoever ended it; where we do, the reason is noted in outcome first, and
 * the state is closing until gRPC has given back everything.
 *
 * Stopping is a flag that every state looks at; a wake-up comes with it.
 */
#include "subscriber.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../clock.h"
#include "subscriber_internal.h"
#include "thread.h"

static bool
is_stopping(SluiceSubscriber *subscriber)
{
	return atomic_load(&subscriber->stopping);
}

/* End the call ourselves, because of this. */
static SluiceSubscriberStep
give_up(SluiceSubscriber *subscriber, SluiceSubscriberEnding ending, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static SluiceSubscriberStep
give_up(SluiceSubscriber *subscriber, SluiceSubscriberEnding ending, const char *format, ...)
{
	va_list		arguments;

	va_start(arguments, format);
	vsnprintf(subscriber->outcome.text, sizeof(subscriber->outcome.text), format, arguments);
	va_end(arguments);
	subscriber->outcome.ending = ending;
	subscriber->cancelled = true;
	subscriber->deadline = SLUICE_NEVER;
	sluice_channel_hold(subscriber->channel, false);
	sluice_channel_cancel(subscriber->channel);
	return SLUICE_SUBSCRIBER_CLOSING;
}

static SluiceSubscriberStep
give_up_code(SluiceSubscriber *subscriber, int code)
{
	return give_up(subscriber, SLUICE_SUBSCRIBER_AGAIN, "%s", sluice_error_text(code));
}

/* Where there is no call. */
static SluiceSubscriberStep
done(SluiceSubscriber *subscriber)
{
	subscriber->confirmed = !sluice_inbox_owes(subscriber->inbox, false);
	return SLUICE_SUBSCRIBER_DONE;
}

/* ---- connect ---- */

static bool
send_subscribe(SluiceSubscriber *subscriber)
{
	uint8_t		bytes[SLUICE_SUBSCRIPTION_MAX];
	size_t		length = sluice_subscription_write_subscribe(bytes, subscriber->settings,
															 subscriber->resumes ? &subscriber->resume : NULL);

	return sluice_channel_send(subscriber->channel, bytes, length);
}

static SluiceSubscriberStep
step_connect(SluiceSubscriber *subscriber)
{
	SluiceError error = {""};

	if (is_stopping(subscriber))
		return done(subscriber);
	subscriber->opened = false;
	subscriber->achieved = false;
	subscriber->cancelled = false;
	subscriber->epoch = 0;
	memset(&subscriber->outcome, 0, sizeof(subscriber->outcome));
	subscriber->deadline = sluice_clock_now() + subscriber->settings->connect_timeout;
	atomic_fetch_add(&subscriber->status.attempts, 1);
	sluice_status_enter(&subscriber->status, SLUICE_STATE_CONNECTING);

	if (!sluice_channel_open(subscriber->channel, sluice_attempts_endpoint(&subscriber->attempts),
							 &subscriber->attempts.passwords, &error))
	{
		subscriber->outcome.ending = SLUICE_SUBSCRIBER_AGAIN;
		snprintf(subscriber->outcome.text, sizeof(subscriber->outcome.text), "%.190s", error.text);
		return sluice_subscriber_failed(subscriber);
	}
	if (!send_subscribe(subscriber))
		return give_up_code(subscriber, SLUICE_ERROR_MEMORY);
	return SLUICE_SUBSCRIBER_OPENING;
}

/* ---- messages ---- */

static void
note_opened(SluiceSubscriber *subscriber)
{
	if (subscriber->opened)
		return;
	subscriber->opened = true;
	sluice_attempts_opened(&subscriber->attempts);
	atomic_fetch_add(&subscriber->status.connections, 1);
}

/* A server that only takes calls and ends them is spared; one that has something for us is not. */
static void
note_progress(SluiceSubscriber *subscriber)
{
	subscriber->achieved = true;
	subscriber->violations = 0;
	sluice_attempts_achieved(&subscriber->attempts);
}

static bool
take_standby(SluiceSubscriber *subscriber)
{
	note_progress(subscriber);
	sluice_status_tell(&subscriber->status, SLUICE_STATE_STANDBY, SLUICE_LEVEL_INFO,
					   "connected to \"%s\", another consumer has the subscription",
					   sluice_attempts_endpoint(&subscriber->attempts)->name);
	return true;
}

static bool
take_active(SluiceSubscriber *subscriber, const SluiceResponse *response)
{
	bool		news = subscriber->epoch == 0;

	subscriber->epoch = response->epoch;
	subscriber->last = response->offset;
	subscriber->started_rows = !subscriber->settings->wants_start;
	if (news)
		sluice_status_tell(&subscriber->status, SLUICE_STATE_CONNECTED, SLUICE_LEVEL_INFO,
						   "connected to \"%s\", active", sluice_attempts_endpoint(&subscriber->attempts)->name);
	return true;
}

/* Each follows the one before: a row that was skipped is noticed here at the latest. */
static bool
take_rows(SluiceSubscriber *subscriber, const SluiceResponse *response)
{
	if (response->epoch != subscriber->epoch || !subscriber->started_rows || response->previous != subscriber->last)
		return false;
	subscriber->last = response->last;
	note_progress(subscriber);
	return true;
}

static bool
take_caught_up(SluiceSubscriber *subscriber, const SluiceResponse *response)
{
	if (response->epoch != subscriber->epoch || !subscriber->started_rows)
		return false;
	note_progress(subscriber);
	return true;
}

/* False: it does not fit what came before. */
static bool
take_response(SluiceSubscriber *subscriber, const SluiceResponse *response)
{
	switch (response->kind)
	{
		case SLUICE_RESPONSE_STANDBY:
			return take_standby(subscriber);
		case SLUICE_RESPONSE_ACTIVE:
			return take_active(subscriber, response);
		case SLUICE_RESPONSE_ROWS:
			return take_rows(subscriber, response);
		case SLUICE_RESPONSE_CAUGHT_UP:
			return take_caught_up(subscriber, response);
		case SLUICE_RESPONSE_NONE:
			break;
	}
	return true;
}

static SluiceSubscriberStep
take_message(SluiceSubscriber *subscriber)
{
	size_t		length;
	const uint8_t *bytes = sluice_channel_message(subscriber->channel, &length);
	SluiceResponse response;

	if (!sluice_subscription_read(bytes, length, &response))
		return give_up(subscriber, SLUICE_SUBSCRIBER_VIOLATION, "the server's message is not a valid SubscribeResponse");
	note_opened(subscriber);
	if (!take_response(subscriber, &response))
		return give_up(subscriber, SLUICE_SUBSCRIBER_VIOLATION, "the server's rows do not fit those before them");
	if (response.kind != SLUICE_RESPONSE_NONE && !sluice_inbox_put(subscriber->inbox, &response))
		return give_up_code(subscriber, SLUICE_ERROR_MEMORY);
	return SLUICE_SUBSCRIBER_READING;
}

/* ---- opening ---- */

static SluiceSubscriberStep
step_opening(SluiceSubscriber *subscriber)
{
	if (is_stopping(subscriber))
		return give_up_code(subscriber, SLUICE_ERROR_CLOSED);
	switch (sluice_channel_next(subscriber->channel, subscriber->deadline))
	{
		case SLUICE_CHANNEL_MESSAGE:
			return take_message(subscriber);
		case SLUICE_CHANNEL_ANSWERED:
			/* What it has to tell may take its time: an open sluice.ack() holds an activation up. */
			return SLUICE_SUBSCRIBER_READING;
		case SLUICE_CHANNEL_ENDED:
			return sluice_subscriber_ended(subscriber);
		case SLUICE_CHANNEL_TIMEOUT:
			return give_up(subscriber, SLUICE_SUBSCRIBER_AGAIN, "no answer within %.1f s",
						   (double) subscriber->settings->connect_timeout / SLUICE_SECOND);
		default:
			return SLUICE_SUBSCRIBER_OPENING;
	}
}

/* ---- reading ---- */

static bool
send_reply(SluiceSubscriber *subscriber)
{
	const SluiceReply *reply = &subscriber->reply;
	uint8_t		bytes[SLUICE_SUBSCRIPTION_MAX];
	size_t		length = sluice_subscription_write_reply(bytes, reply);

	if (reply->kind == SLUICE_REPLY_START)
	{
		subscriber->started_rows = true;
		if (reply->has_token)
			subscriber->last = reply->token.offset;
	}
	return sluice_channel_send(subscriber->channel, bytes, length);
}

/* At most one message: the next one when it is SENT.  False: out of memory. */
static bool
send_something(SluiceSubscriber *subscriber, bool hurry, bool *more)
{
	*more = true;
	subscriber->deadline = SLUICE_NEVER;
	if (!sluice_channel_can_send(subscriber->channel))
		return true;
	*more = sluice_inbox_reply(subscriber->inbox, sluice_clock_now(), hurry, &subscriber->reply, &subscriber->deadline);
	if (!*more)
		return true;
	subscriber->deadline = SLUICE_NEVER;
	return send_reply(subscriber);
}

static SluiceSubscriberStep
step_reading(SluiceSubscriber *subscriber)
{
	bool		more;

	/* Where we are not active there is nothing to confirm. */
	if (is_stopping(subscriber))
		return subscriber->epoch != 0 ? SLUICE_SUBSCRIBER_LEAVING : give_up_code(subscriber, SLUICE_ERROR_CLOSED);
	if (!send_something(subscriber, false, &more))
		return give_up_code(subscriber, SLUICE_ERROR_MEMORY);
	sluice_channel_hold(subscriber->channel, sluice_inbox_full(subscriber->inbox));
	switch (sluice_channel_next(subscriber->channel, subscriber->deadline))
	{
		case SLUICE_CHANNEL_MESSAGE:
			return take_message(subscriber);
		case SLUICE_CHANNEL_ENDED:
			return sluice_subscriber_ended(subscriber);
		default:
			return SLUICE_SUBSCRIBER_READING;
	}
}

/* ---- leaving, closing, waiting, resting ---- */

/* What still comes is of no use to anybody; it is read, for the status is behind it. */
static SluiceSubscriberStep
step_leaving(SluiceSubscriber *subscriber)
{
	bool		more;

	if (!send_something(subscriber, true, &more))
		return give_up_code(subscriber, SLUICE_ERROR_MEMORY);
	if (!more)
	{
		sluice_channel_finish(subscriber->channel);
		subscriber->deadline = subscriber->stop_deadline;
		return SLUICE_SUBSCRIBER_CLOSING;
	}
	sluice_channel_hold(subscriber->channel, false);
	switch (sluice_channel_next(subscriber->channel, subscriber->stop_deadline))
	{
		case SLUICE_CHANNEL_ENDED:
			return sluice_subscriber_ended(subscriber);
		case SLUICE_CHANNEL_TIMEOUT:
			return give_up_code(subscriber, SLUICE_ERROR_CLOSED);
		default:
			return SLUICE_SUBSCRIBER_LEAVING;
	}
}

static SluiceSubscriberStep
step_closing(SluiceSubscriber *subscriber)
{
	sluice_channel_hold(subscriber->channel, false);
	switch (sluice_channel_next(subscriber->channel, subscriber->deadline))
	{
		case SLUICE_CHANNEL_ENDED:
			return sluice_subscriber_ended(subscriber);
		case SLUICE_CHANNEL_TIMEOUT:
			return give_up_code(subscriber, SLUICE_ERROR_CLOSED);
		default:
			return SLUICE_SUBSCRIBER_CLOSING;
	}
}

static SluiceSubscriberStep
step_waiting(SluiceSubscriber *subscriber)
{
	if (is_stopping(subscriber))
		return done(subscriber);
	if (sluice_channel_next(subscriber->channel, subscriber->deadline) == SLUICE_CHANNEL_TIMEOUT)
		return SLUICE_SUBSCRIBER_CONNECT;
	return SLUICE_SUBSCRIBER_WAITING;
}

static SluiceSubscriberStep
step_resting(SluiceSubscriber *subscriber)
{
	if (is_stopping(subscriber))
		return done(subscriber);
	sluice_channel_next(subscriber->channel, SLUICE_NEVER);
	return SLUICE_SUBSCRIBER_RESTING;
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
	SluiceSubscriber *subscriber = argument;

	sluice_channel_wake(subscriber->channel);
}

static void
run(SluiceSubscriber *subscriber)
{
	static SluiceSubscriberStep (*const steps[]) (SluiceSubscriber *) = {
		[SLUICE_SUBSCRIBER_CONNECT] = step_connect,
		[SLUICE_SUBSCRIBER_OPENING] = step_opening,
		[SLUICE_SUBSCRIBER_READING] = step_reading,
		[SLUICE_SUBSCRIBER_LEAVING] = step_leaving,
		[SLUICE_SUBSCRIBER_CLOSING] = step_closing,
		[SLUICE_SUBSCRIBER_WAITING] = step_waiting,
		[SLUICE_SUBSCRIBER_RESTING] = step_resting
	};
	SluiceSubscriberStep step = SLUICE_SUBSCRIBER_CONNECT;

	while (step != SLUICE_SUBSCRIBER_DONE)
		step = steps[step] (subscriber);
}

/* gRPC is used in this thread only, but for wake-ups: none comes once the owner said so. */
static void *
thread_main(void *argument)
{
	SluiceSubscriber *subscriber = argument;

	pthread_setname_np(pthread_self(), "sluice-subscr");
	subscriber->channel = sluice_channel_create(subscriber->settings, SLUICE_METHOD_SUBSCRIBE,
												(int) subscriber->settings->max_message);
	sem_post(&subscriber->started);
	if (subscriber->channel == NULL)
		return NULL;
	sluice_inbox_on_ready(subscriber->inbox, wake, subscriber);
	run(subscriber);
	sluice_inbox_on_ready(subscriber->inbox, NULL, NULL);
	wait_for(&subscriber->woken);
	sluice_channel_free(subscriber->channel);
	return NULL;
}

/* With all signals blocked in it, and so in all threads of gRPC's. */
static int
start_thread(SluiceSubscriber *subscriber)
{
	int			rc = sluice_thread_start(&subscriber->thread, thread_main, subscriber);

	if (rc != 0)
		return rc;
	wait_for(&subscriber->started);
	if (subscriber->channel != NULL)
		return 0;
	pthread_join(subscriber->thread, NULL);
	return ENOMEM;
}

/* ---- for the owner ---- */

static void
dispose(SluiceSubscriber *subscriber)
{
	sluice_attempts_release(&subscriber->attempts);
	sluice_status_release(&subscriber->status);
	sem_destroy(&subscriber->started);
	sem_destroy(&subscriber->woken);
	free(subscriber);
}

static SluiceSubscriber *
create(const SluiceSettings *settings, SluiceInbox *inbox)
{
	SluiceSubscriber *subscriber = calloc(1, sizeof(SluiceSubscriber));

	if (subscriber == NULL)
		return NULL;
	subscriber->settings = settings;
	subscriber->inbox = inbox;
	atomic_init(&subscriber->stopping, false);
	sem_init(&subscriber->started, 0, 0);
	sem_init(&subscriber->woken, 0, 0);
	sluice_status_init(&subscriber->status, settings);
	return subscriber;
}

int
sluice_subscriber_start(const SluiceSettings *settings, SluiceInbox *inbox, SluiceSubscriber **subscriber,
						SluiceError *error)
{
	SluiceSubscriber *created = create(settings, inbox);
	int			code;

	*subscriber = NULL;
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
	*subscriber = created;
	return SLUICE_OK;
}

bool
sluice_subscriber_stop(SluiceSubscriber *subscriber, int64_t deadline)
{
	bool		confirmed;

	subscriber->stop_deadline = deadline;
	atomic_store(&subscriber->stopping, true);
	sluice_channel_wake(subscriber->channel);
	sem_post(&subscriber->woken);
	pthread_join(subscriber->thread, NULL);
	confirmed = subscriber->confirmed;
	dispose(subscriber);
	return confirmed;
}

void
sluice_subscriber_statistics(SluiceSubscriber *subscriber, sluice_consumption *statistics)
{
	statistics->state = sluice_status_state(&subscriber->status);
	statistics->attempts = atomic_load(&subscriber->status.attempts);
	statistics->connections = atomic_load(&subscriber->status.connections);
}

void
sluice_subscriber_message(SluiceSubscriber *subscriber, char *message, size_t message_size)
{
	sluice_status_message(&subscriber->status, message, message_size);
}
