/*
 * unsubscribe.c
 *		Unsubscribe: one question to the first server that answers it.
 *
 * A thread of its own does it, for gRPC's threads are to inherit blocked signals, and
 * the caller's are not to be blocked while it waits.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "../clock.h"
#include "attempts.h"
#include "channel.h"
#include "settings.h"
#include "subscription.h"
#include "thread.h"

/* An answer has a few bytes. */
#define MESSAGE_MAX_LENGTH 4096

#define STATUS_NOT_FOUND 5

typedef struct Question
{
	SluiceSettings settings;
	SluiceAttempts attempts;
	bool		drop;
	SluiceChannel *channel;
	int64_t		deadline;		/* nobody is asked again after it */
	int64_t		pushback;		/* the wish of the last one: a hint as in backoff.h */
	SluiceError error;
	int			code;
} Question;

static bool
ask(Question *question)
{
	uint8_t		bytes[SLUICE_SUBSCRIPTION_MAX];
	size_t		length = sluice_subscription_write_unsubscribe(bytes, &question->settings, question->drop);

	return sluice_channel_send(question->channel, bytes, length);
}

/* Until the call is over; false: the time was, or there is no memory. */
static bool
await_end(Question *question)
{
	int64_t		deadline = sluice_clock_now() + question->settings.connect_timeout;
	bool		good = ask(question);
	SluiceChannelEvent event = SLUICE_CHANNEL_OTHER;

	if (!good)
		sluice_channel_cancel(question->channel);
	while (event != SLUICE_CHANNEL_ENDED)
	{
		event = sluice_channel_next(question->channel, deadline);
		if (event == SLUICE_CHANNEL_SENT)
			sluice_channel_finish(question->channel);
		if (event != SLUICE_CHANNEL_TIMEOUT)
			continue;
		good = false;
		deadline = SLUICE_NEVER;
		sluice_channel_cancel(question->channel);
	}
	return good;
}

static int
judge(Question *question, const SluiceChannelEnd *end)
{
	char		text[200];

	if (end->status == 0)
		return SLUICE_OK;
	question->pushback = end->pushback;
	sluice_channel_end_describe(end, text, sizeof(text));
	sluice_error_set(&question->error, 0, "%.200s", text);
	if (end->status == STATUS_NOT_FOUND)
		return SLUICE_ERROR_DROPPED;
	return sluice_channel_end_means(end) == SLUICE_ENDING_REFUSED || end->reason[0] != '\0' ? SLUICE_ERROR_REFUSED :
		SLUICE_ERROR_TIMEOUT;
}

static int
try_server(Question *question)
{
	question->pushback = SLUICE_BACKOFF_NO_HINT;
	if (!sluice_channel_open(question->channel, sluice_attempts_endpoint(&question->attempts), &question->attempts.passwords,
							 &question->error))
		return SLUICE_ERROR_REFUSED;
	if (!await_end(question))
		return sluice_error_set(&question->error, SLUICE_ERROR_TIMEOUT, "no answer within %.1f s",
								(double) question->settings.connect_timeout / SLUICE_SECOND);
	return judge(question, sluice_channel_end(question->channel));
}

/* The server has a wish that the time allows: wait as long, and ask again. */
static bool
follow_wish(Question *question, int64_t delay)
{
	struct timespec pause = {.tv_sec = delay / SLUICE_SECOND,.tv_nsec = delay % SLUICE_SECOND};

	if (question->pushback == SLUICE_BACKOFF_NO_HINT || delay >= question->deadline - sluice_clock_now())
		return false;
	nanosleep(&pause, NULL);
	return true;
}

/* Each server once, and again as long as one of them wants to be asked later. */
static int
ask_servers(Question *question)
{
	size_t		count = question->attempts.endpoints.count;
	size_t		failed = 0;		/* in a row */
	int			code = SLUICE_ERROR_TIMEOUT;

	question->deadline = sluice_clock_now() + (int64_t) count * question->settings.connect_timeout;
	while (failed < count)
	{
		code = try_server(question);
		if (code != SLUICE_ERROR_TIMEOUT)
			break;
		failed = follow_wish(question, sluice_attempts_again(&question->attempts, false, question->pushback)) ? 0 : failed + 1;
	}
	return code;
}

static void *
thread_main(void *argument)
{
	Question   *question = argument;

	question->channel = sluice_channel_create(&question->settings, SLUICE_METHOD_UNSUBSCRIBE, MESSAGE_MAX_LENGTH);
	if (question->channel == NULL)
	{
		question->code = SLUICE_ERROR_MEMORY;
		return NULL;
	}
	question->code = ask_servers(question);
	sluice_channel_free(question->channel);
	return NULL;
}

static int
run(Question *question)
{
	pthread_t	thread;
	int			rc = sluice_thread_start(&thread, thread_main, question);

	if (rc != 0)
		return sluice_error_set(&question->error, SLUICE_ERROR_MEMORY, "could not start a thread: %s", strerror(rc));
	pthread_join(thread, NULL);
	return question->code;
}

int
sluice_unsubscribe(const sluice_options *options, bool drop, char *message, size_t message_size)
{
	Question	question = {.drop = drop};
	int			code;

	if (options == NULL)
		return sluice_error_tell(SLUICE_ERROR_INVALID, "", message, message_size);
	code = sluice_options_settings(options, SLUICE_ROLE_CONSUMER, &question.settings, question.error.text,
								   sizeof(question.error.text));
	if (code == SLUICE_OK && *question.settings.subscription == '\0')
		code = sluice_error_set(&question.error, SLUICE_ERROR_OPTION, "option \"subscription\" is empty");
	if (code == SLUICE_OK)
		code = sluice_attempts_init(&question.attempts, &question.settings, &question.error);
	if (code == SLUICE_OK)
	{
		code = run(&question);
		sluice_attempts_release(&question.attempts);
	}
	return sluice_error_tell(code, code != SLUICE_OK ? question.error.text : "", message, message_size);
}
