/*
 * subscriber_end.c
 *		What the end of a call leads to.
 *
 * Nearly always to another one, after a while.  What cannot be better the next time is an
 * error that the program gets, and the thread rests until it is stopped.
 */
#include <stdio.h>
#include <string.h>

#include "../clock.h"
#include "subscriber_internal.h"

/* So often in a row may the server break the protocol. */
#define VIOLATIONS_MAX 2

#define STATUS_NOT_FOUND 5

static const char *
name_of(const SluiceSubscriber *subscriber)
{
	return sluice_attempts_endpoint(&subscriber->attempts)->name;
}

/* The next attempt is in so many nanoseconds; returns the seconds, for people. */
static double
schedule(SluiceSubscriber *subscriber, int64_t delay)
{
	subscriber->deadline = sluice_clock_now() + delay;
	return (double) delay / SLUICE_SECOND;
}

static SluiceSubscriberStep
end_again(SluiceSubscriber *subscriber)
{
	const char *name = name_of(subscriber);
	int64_t		delay = sluice_attempts_again(&subscriber->attempts, subscriber->achieved, subscriber->outcome.pushback);

	sluice_status_tell(&subscriber->status, SLUICE_STATE_WAITING, SLUICE_LEVEL_WARNING,
					   "%s \"%s\": %s; next attempt in %.1f s",
					   subscriber->opened ? "lost the connection to" : "could not connect to", name,
					   subscriber->outcome.text, schedule(subscriber, delay));
	return SLUICE_SUBSCRIBER_WAITING;
}

/* Nothing went wrong: no warning, and no backoff. */
static SluiceSubscriberStep
end_asked(SluiceSubscriber *subscriber)
{
	int64_t		delay = sluice_attempts_reconnect(&subscriber->attempts);

	sluice_status_tell(&subscriber->status, SLUICE_STATE_WAITING, SLUICE_LEVEL_INFO,
					   "\"%s\" asks for a new connection: %s; in %.1f s", name_of(subscriber), subscriber->outcome.text,
					   schedule(subscriber, delay));
	return SLUICE_SUBSCRIBER_WAITING;
}

static SluiceSubscriberStep
end_refused(SluiceSubscriber *subscriber)
{
	const char *name = name_of(subscriber);
	int64_t		delay = sluice_attempts_refused(&subscriber->attempts, subscriber->achieved, subscriber->outcome.pushback);

	sluice_status_tell(&subscriber->status, SLUICE_STATE_REFUSED, SLUICE_LEVEL_WARNING,
					   "\"%s\" refuses: %s; next attempt in %.1f s", name, subscriber->outcome.text,
					   schedule(subscriber, delay));
	return SLUICE_SUBSCRIBER_WAITING;
}

/* The program has the sentence when it gets the error. */
static SluiceSubscriberStep
end_fatal(SluiceSubscriber *subscriber)
{
	sluice_status_tell(&subscriber->status, SLUICE_STATE_CLOSED, SLUICE_LEVEL_ERROR, "stopped: %s (\"%s\": %s)",
					   sluice_error_text(subscriber->outcome.error), name_of(subscriber), subscriber->outcome.text);
	sluice_inbox_end(subscriber->inbox, subscriber->outcome.error);
	return SLUICE_SUBSCRIBER_RESTING;
}

static SluiceSubscriberStep
end_violation(SluiceSubscriber *subscriber)
{
	if (++subscriber->violations < VIOLATIONS_MAX)
		return end_again(subscriber);
	subscriber->outcome.error = SLUICE_ERROR_PROTOCOL;
	return end_fatal(subscriber);
}

SluiceSubscriberStep
sluice_subscriber_failed(SluiceSubscriber *subscriber)
{
	static SluiceSubscriberStep (*const ends[]) (SluiceSubscriber *) = {
		[SLUICE_SUBSCRIBER_AGAIN] = end_again,
		[SLUICE_SUBSCRIBER_ASKED] = end_asked,
		[SLUICE_SUBSCRIBER_REFUSED] = end_refused,
		[SLUICE_SUBSCRIBER_VIOLATION] = end_violation,
		[SLUICE_SUBSCRIBER_FATAL] = end_fatal
	};

	return ends[subscriber->outcome.ending] (subscriber);
}

/* ---- what the server said ---- */

static int
error_of(const SluiceSubscriber *subscriber, const SluiceChannelEnd *end)
{
	static const struct
	{
		const char *reason;
		int			error;
	}			reasons[] = {
		{"FORKED", SLUICE_ERROR_FORKED},
		{"STREAM_REPLACED", SLUICE_ERROR_REPLACED},
		{"NOT_SUBSCRIBABLE", SLUICE_ERROR_UNSUITABLE},
		{"MISMATCH", SLUICE_ERROR_UNSUITABLE},
		{"BEYOND_END", SLUICE_ERROR_BEYOND_END},
		{"MALFORMED", SLUICE_ERROR_PROTOCOL},
		{"DROPPED", SLUICE_ERROR_DROPPED},
		{"UNSUBSCRIBED", SLUICE_ERROR_ENDED}
	};

	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
	{
		if (strcmp(end->reason, reasons[i].reason) == 0)
			return reasons[i].error;
	}
	/* Nobody will make it for us. */
	if (end->status == STATUS_NOT_FOUND && *subscriber->settings->subscription != '\0' && !subscriber->settings->create)
		return SLUICE_ERROR_DROPPED;
	return SLUICE_OK;
}

static SluiceSubscriberEnding
ending_of(const SluiceChannelEnd *end)
{
	switch (sluice_channel_end_means(end))
	{
		case SLUICE_ENDING_REFUSED:
			return SLUICE_SUBSCRIBER_REFUSED;
		case SLUICE_ENDING_RECONNECT:
			return SLUICE_SUBSCRIBER_ASKED;
		default:
			return SLUICE_SUBSCRIBER_AGAIN;
	}
}

static void
take_outcome(SluiceSubscriber *subscriber, const SluiceChannelEnd *end)
{
	SluiceSubscriberOutcome *outcome = &subscriber->outcome;

	outcome->error = error_of(subscriber, end);
	outcome->ending = outcome->error != SLUICE_OK ? SLUICE_SUBSCRIBER_FATAL : ending_of(end);
	outcome->pushback = end->pushback;
	sluice_channel_end_describe(end, outcome->text, sizeof(outcome->text));
}

SluiceSubscriberStep
sluice_subscriber_ended(SluiceSubscriber *subscriber)
{
	const SluiceChannelEnd *end = sluice_channel_end(subscriber->channel);

	if (atomic_load(&subscriber->stopping))
	{
		subscriber->confirmed = !sluice_inbox_owes(subscriber->inbox, !subscriber->cancelled && end->status == 0);
		return SLUICE_SUBSCRIBER_DONE;
	}
	subscriber->resumes = sluice_inbox_lost(subscriber->inbox, &subscriber->resume) != NULL;
	if (!subscriber->cancelled)
		take_outcome(subscriber, end);
	return sluice_subscriber_failed(subscriber);
}
