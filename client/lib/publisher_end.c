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
#include <sys/random.h>

#include "../clock.h"
#include "publisher_internal.h"

/* So often in a row may the server break the protocol, and so often may it see a hole at one place. */
#define VIOLATIONS_MAX 2

static uint64_t
random_bits(void)
{
	uint64_t	random;

	/* A device that has just booted may have no randomness yet, and must not wait for it. */
	if (getrandom(&random, sizeof(random), GRND_NONBLOCK) != (ssize_t) sizeof(random))
		random = (uint64_t) sluice_clock_now() * 0x9E3779B97F4A7C15ull >> 20;
	return random;
}

static const char *
name_of(const SluicePublisher *publisher)
{
	return sluice_endpoints_current(&publisher->endpoints)->name;
}

/* The next attempt is in so many nanoseconds; returns the seconds, for people. */
static double
schedule(SluicePublisher *publisher, int64_t delay)
{
	publisher->deadline = sluice_clock_now() + delay;
	sluice_endpoints_failed(&publisher->endpoints, publisher->acknowledged);
	return (double) delay / SLUICE_SECOND;
}

static int64_t
next_backoff(SluicePublisher *publisher)
{
	return sluice_backoff_next(&publisher->backoff, publisher->settings->backoff_first,
							   publisher->settings->backoff_last, random_bits());
}

static SluicePublisherStep
wait_as(SluicePublisher *publisher, const char *what)
{
	const char *name = name_of(publisher);
	int64_t		delay = next_backoff(publisher);

	publisher->refusals = 0;
	sluice_publisher_status_tell(&publisher->status, SLUICE_STATE_WAITING, SLUICE_LEVEL_WARNING,
								 "%s \"%s\": %s; next attempt in %.1f s", what, name, publisher->outcome.text,
								 schedule(publisher, delay));
	return SLUICE_STEP_WAITING;
}

static SluicePublisherStep
end_again(SluicePublisher *publisher)
{
	return wait_as(publisher, publisher->opened ? "lost the connection to" : "could not connect to");
}

/* Where one server refuses another one may take us; only when all of them refused there is no hurry. */
static SluicePublisherStep
end_refused(SluicePublisher *publisher)
{
	const char *name = name_of(publisher);
	bool		everywhere = ++publisher->refusals >= publisher->endpoints.count;
	int64_t		delay = everywhere ? sluice_backoff_longest(publisher->settings->backoff_last, random_bits()) :
		next_backoff(publisher);

	sluice_publisher_status_tell(&publisher->status, SLUICE_STATE_REFUSED, SLUICE_LEVEL_WARNING,
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
	sluice_buffer_end(publisher->buffer, SLUICE_ERROR_PROTOCOL);
	sluice_publisher_status_tell(&publisher->status, SLUICE_STATE_CLOSED, SLUICE_LEVEL_ERROR,
								 "stopped, with all records kept, because of the protocol with \"%s\" (please report this): %s",
								 name_of(publisher), publisher->outcome.text);
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
	sluice_buffer_condemned(publisher->buffer, error, publisher->outcome.last_sequence);
	sluice_publisher_status_tell(&publisher->status, state, SLUICE_LEVEL_ERROR,
								 "stopped, with all records kept: %s (\"%s\": %s)", what, name_of(publisher),
								 publisher->outcome.text);
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
	outcome->last_sequence = end->last_sequence;
	if (end->message[0] != '\0')
		snprintf(outcome->text, sizeof(outcome->text), "%s", end->message);
	else if (end->status == 0)
		snprintf(outcome->text, sizeof(outcome->text), "the server ended the call");
	else
		snprintf(outcome->text, sizeof(outcome->text), "the server ended the call with status %d", end->status);
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
