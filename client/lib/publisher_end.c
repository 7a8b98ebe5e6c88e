/*
 * publisher_end.c
 *		What the end of a call leads to.
 *
 * Nearly always to another one, after a while.  Nothing that happens to a
 * connection drops a record: where going on is of no use everything is kept, and
 * the thread rests until it is stopped.
 */
#include <stdio.h>
#include <string.h>

#include "../clock.h"
#include "publisher_internal.h"

/* So often in a row may the server break the protocol, and so often may it see a hole at one place. */
#define VIOLATIONS_MAX 2

static const char *
name_of(const SluicePublisher *publisher)
{
	return sluice_attempts_endpoint(&publisher->attempts)->name;
}

/* The next attempt is in so many nanoseconds; returns the seconds, for people. */
static double
schedule(SluicePublisher *publisher, int64_t delay)
{
	publisher->deadline = sluice_clock_now() + delay;
	return (double) delay / SLUICE_SECOND;
}

static SluicePublisherStep
wait_as(SluicePublisher *publisher, const char *what)
{
	const char *name = name_of(publisher);
	int64_t		delay = sluice_attempts_again(&publisher->attempts, publisher->acknowledged, publisher->outcome.pushback);

	sluice_status_tell(&publisher->status, SLUICE_STATE_WAITING, SLUICE_LEVEL_WARNING,
								 "%s \"%s\": %s; next attempt in %.1f s", what, name, publisher->outcome.text,
								 schedule(publisher, delay));
	return SLUICE_STEP_WAITING;
}

static SluicePublisherStep
end_again(SluicePublisher *publisher)
{
	return wait_as(publisher, publisher->opened ? "lost the connection to" : "could not connect to");
}

/* Nothing went wrong: no warning, and no backoff. */
static SluicePublisherStep
end_reconnect(SluicePublisher *publisher)
{
	int64_t		delay = sluice_attempts_reconnect(&publisher->attempts);

	sluice_status_tell(&publisher->status, SLUICE_STATE_WAITING, SLUICE_LEVEL_INFO,
					   "\"%s\" asks for a new connection: %s; in %.1f s", name_of(publisher), publisher->outcome.text,
					   schedule(publisher, delay));
	return SLUICE_STEP_WAITING;
}

static SluicePublisherStep
end_refused(SluicePublisher *publisher)
{
	const char *name = name_of(publisher);
	int64_t		delay = sluice_attempts_refused(&publisher->attempts, publisher->acknowledged, publisher->outcome.pushback);

	sluice_status_tell(&publisher->status, SLUICE_STATE_REFUSED, SLUICE_LEVEL_WARNING,
								 "\"%s\" refuses: %s; next attempt in %.1f s", name, publisher->outcome.text,
								 schedule(publisher, delay));
	return SLUICE_STEP_WAITING;
}

static SluicePublisherStep
end_replaced(SluicePublisher *publisher)
{
	int			code;

	snprintf(publisher->outcome.text, sizeof(publisher->outcome.text),
			 "its stream is another one than the one of this name that the buffer has been sent to");
	if (!publisher->settings->rebind)
		return end_refused(publisher);
	code = sluice_buffer_rebind(publisher->buffer);
	if (code != SLUICE_OK)
	{
		snprintf(publisher->outcome.text, sizeof(publisher->outcome.text), "%s", sluice_error_text(code));
		return wait_as(publisher, "could not go on with the new stream of");
	}
	snprintf(publisher->outcome.text, sizeof(publisher->outcome.text),
			 "what was sent and not acknowledged may be stored twice");
	return wait_as(publisher, "going on with the new stream of");
}

/* Nothing is dropped, and nothing is sent: somebody has to look at it. */
static SluicePublisherStep
end_broken(SluicePublisher *publisher)
{
	sluice_status_tell(&publisher->status, SLUICE_STATE_CLOSED, SLUICE_LEVEL_ERROR,
								 "stopped, with all records kept, because of the protocol with \"%s\" (please report this): %s",
								 name_of(publisher), publisher->outcome.text);
	/* Last: whoever is told by a call finds the reason in the statistics. */
	sluice_buffer_end(publisher->buffer, SLUICE_ERROR_PROTOCOL);
	return SLUICE_STEP_RESTING;
}

static SluicePublisherStep
end_hole(SluicePublisher *publisher)
{
	if (publisher->had_hole && publisher->hole_through == publisher->through)
		return end_broken(publisher);
	publisher->had_hole = true;
	publisher->hole_through = publisher->through;
	return end_again(publisher);
}

static SluicePublisherStep
end_violation(SluicePublisher *publisher)
{
	if (++publisher->violations >= VIOLATIONS_MAX)
		return end_broken(publisher);
	return end_again(publisher);
}

static SluicePublisherStep
condemn(SluicePublisher *publisher, int error, sluice_state state, const char *what)
{
	sluice_status_tell(&publisher->status, state, SLUICE_LEVEL_ERROR,
								 "stopped, with all records kept: %s (\"%s\": %s)", what, name_of(publisher),
								 publisher->outcome.text);
	/* Last: whoever is told by a call finds the reason in the statistics. */
	sluice_buffer_condemned(publisher->buffer, error, publisher->outcome.last_sequence);
	return SLUICE_STEP_RESTING;
}

static SluicePublisherStep
end_fenced(SluicePublisher *publisher)
{
	return condemn(publisher, SLUICE_ERROR_FENCED, SLUICE_STATE_FENCED, "another copy of this buffer has taken its place");
}

static SluicePublisherStep
end_forked(SluicePublisher *publisher)
{
	return condemn(publisher, SLUICE_ERROR_FORKED, SLUICE_STATE_FORKED, "the server has what this buffer did not send");
}

SluicePublisherStep
sluice_publisher_failed(SluicePublisher *publisher)
{
	static SluicePublisherStep (*const ends[]) (SluicePublisher *) = {
		[SLUICE_ENDING_AGAIN] = end_again,
		[SLUICE_ENDING_RECONNECT] = end_reconnect,
		[SLUICE_ENDING_REFUSED] = end_refused,
		[SLUICE_ENDING_REPLACED] = end_replaced,
		[SLUICE_ENDING_HOLE] = end_hole,
		[SLUICE_ENDING_VIOLATION] = end_violation,
		[SLUICE_ENDING_FENCED] = end_fenced,
		[SLUICE_ENDING_FORKED] = end_forked
	};

	return ends[publisher->outcome.ending] (publisher);
}

/* What the server said, where it was not us who ended the call. */
static void
take_outcome(SluicePublisherOutcome *outcome, const SluiceChannelEnd *end)
{
	outcome->ending = sluice_channel_end_means(end);
	outcome->pushback = end->pushback;
	outcome->last_sequence = end->last_sequence;
	sluice_channel_end_describe(end, outcome->text, sizeof(outcome->text));
}

SluicePublisherStep
sluice_publisher_ended(SluicePublisher *publisher)
{
	if (publisher->opened)
		sluice_buffer_disconnected(publisher->buffer);
	if (atomic_load(&publisher->stopping))
		return SLUICE_STEP_DONE;
	if (!publisher->cancelled)
		take_outcome(&publisher->outcome, sluice_channel_end(publisher->channel));
	return sluice_publisher_failed(publisher);
}
