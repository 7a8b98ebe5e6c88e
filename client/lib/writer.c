/*
 * writer.c
 *		The buffer's thread that writes to the store.
 *
 * It wakes when a caller or the publisher wants something of it, and, where there
 * is something that time alone makes due, at ticks of half the interval: what was
 * there at the tick before and is not settled is then between half and all of the interval old.
 */

#include "buffer_internal.h"
#include "thread.h"

#define RESERVE_MIN 65536

/* Shrink the file when it is larger than this and mostly empty. */
#define COMPACT_BYTES ((uint64_t) 16 << 20)
#define COMPACT_FACTOR 4

#define PAUSE_AFTER_FAILURE (SLUICE_SECOND / 10)
#define TRIES_AT_CLOSE 20
#define PATIENCE_MAX (2 * SLUICE_MILLISECOND)

/* With durability none there is no hurry for anything. */
static int64_t
tick_length(const SluiceBuffer *buffer)
{
	if (buffer->settings.durability == SLUICE_DURABILITY_NONE)
		return SLUICE_SECOND;
	return buffer->settings.interval / 2;
}

static bool
is_staged(const SluiceBuffer *buffer)
{
	uint64_t	from = buffer->written > buffer->acked ? buffer->written : buffer->acked;

	return from < buffer->next - 1;
}

/* Is there something that a tick would do? */
static bool
needs_ticks(const SluiceBuffer *buffer)
{
	return (buffer->settings.durability == SLUICE_DURABILITY_INTERVAL && is_staged(buffer)) ||
		buffer->amendments.count > 0 || buffer->acked != buffer->acked_durable ||
		buffer->stored_first <= buffer->acked || buffer->may_compact || buffer->wants.state;
}

static bool
is_wanted(const SluiceBuffer *buffer)
{
	return buffer->waiters != NULL || buffer->wants.numbers || buffer->wants.memory || buffer->wants.gaps;
}

/* How far records are to be written now. */
static uint64_t
choose_through(SluiceBuffer *buffer, bool tick)
{
	uint64_t	through = 0;

	if (tick)
	{
		uint64_t	given = buffer->next - buffer->reserved_at;

		if (buffer->settings.durability == SLUICE_DURABILITY_INTERVAL)
			through = buffer->mark;
		buffer->mark = buffer->next - 1;
		buffer->reserved_at = buffer->next;
		buffer->reserve = given * 4 > RESERVE_MIN ? given * 4 : RESERVE_MIN;
	}
	if (buffer->stopping || buffer->wants.memory || sluice_buffer_is_each(buffer))
		through = buffer->next - 1;
	return through;
}

/* Has a transaction anything to do? */
static bool
has_work(const SluiceBuffer *buffer, uint64_t through)
{
	uint64_t	from = buffer->written > buffer->acked ? buffer->written : buffer->acked;

	return buffer->wants.numbers || buffer->wants.gaps || buffer->wants.state || from < through ||
		buffer->amendments.count > 0 || buffer->stored_first <= buffer->acked;
}

/* Nobody puts anything in, and all is settled: then what is durable may say so. */
static bool
is_quiet(const SluiceBuffer *buffer)
{
	return buffer->acked != buffer->acked_durable && buffer->mark == buffer->next - 1 &&
		buffer->acked == buffer->next - 1;
}

static void
compact_store(SluiceBuffer *buffer)
{
	SluiceStoreCounts counts;

	pthread_mutex_lock(&buffer->store_lock);
	if (sluice_store_counts(buffer->store, &counts) == SLUICE_OK && counts.file_bytes > COMPACT_BYTES &&
		counts.file_bytes / COMPACT_FACTOR > counts.used_bytes &&
		sluice_store_compact(buffer->store) == SLUICE_ERROR_LOCKED)
	{
		pthread_mutex_lock(&buffer->lock);
		buffer->may_compact = true;
		pthread_mutex_unlock(&buffer->lock);
	}
	pthread_mutex_unlock(&buffer->store_lock);
}

/* What was wanted was done, at least in part, or failed; the lock is held. */
static void
finish_wants(SluiceBuffer *buffer, bool gaps, bool done)
{
	pthread_cond_broadcast(&buffer->committed);
	if (buffer->wants_ready && done && (gaps || sluice_buffer_is_each(buffer)))
		sluice_buffer_call_ready(buffer);
}

/* Once when it begins to fail, and once when it works again; no lock held. */
static void
tell_of_disk(SluiceBuffer *buffer, int code)
{
	bool		failing = code != SLUICE_OK;

	if (failing == buffer->failing)
		return;
	buffer->failing = failing;
	if (failing)
		sluice_buffer_log(buffer, SLUICE_LEVEL_ERROR, "could not write the buffer \"%s\": %s", buffer->settings.buffer,
						  code == SLUICE_ERROR_MEMORY ? sluice_error_text(code) : sluice_store_message(buffer->store));
	else
		sluice_buffer_log(buffer, SLUICE_LEVEL_INFO, "the buffer \"%s\" is written again", buffer->settings.buffer);
}

/* One transaction, or none; lock held, given up meanwhile. */
static int
work(SluiceBuffer *buffer, SluiceGroup *group, bool tick)
{
	bool		quiet = tick && is_quiet(buffer);
	uint64_t	through = choose_through(buffer, tick);
	SluiceWants wants = buffer->wants;
	bool		compact = tick && buffer->may_compact;
	bool		clean = buffer->stopping;
	bool		gaps = wants.gaps || buffer->amendments.count > 0 || group->amendments.count > 0;
	bool		write = has_work(buffer, through) || group->amendments.count > 0 || quiet || clean;
	bool		done = true;
	int			code = SLUICE_OK;

	buffer->wants = (SluiceWants) {.numbers = wants.numbers};
	if (write)
	{
		pthread_mutex_unlock(&buffer->lock);
		done = false;
		do
		{
			code = sluice_group_write(buffer, group, through, clean);
			done |= code == SLUICE_OK;
		}
		while (code == SLUICE_OK && group->more);
		tell_of_disk(buffer, code);
		pthread_mutex_lock(&buffer->lock);
		buffer->wants.numbers &= code == SLUICE_OK && buffer->high_water < buffer->next;
		buffer->wants.state |= wants.state && code != SLUICE_OK;
	}
	else if (compact)
	{
		buffer->may_compact = false;
		pthread_mutex_unlock(&buffer->lock);
		compact_store(buffer);
		pthread_mutex_lock(&buffer->lock);
	}
	finish_wants(buffer, gaps, done);
	return code;
}

static void
wait_for_work(SluiceBuffer *buffer, int64_t deadline)
{
	buffer->writer_idle = deadline == SLUICE_NEVER;
	sluice_buffer_wait(buffer, &buffer->writer_wake, deadline);
	buffer->writer_idle = false;
}

/*
 * Callers that shared a transaction come back together, but not at once: without a
 * little patience the first of them would have the next one for itself.
 */
static void
gather(SluiceBuffer *buffer)
{
	int64_t		deadline = sluice_clock_now() + buffer->patience;

	while (buffer->nwaiters > 0 && buffer->nwaiters < buffer->expected && !buffer->stopping &&
		   sluice_buffer_wait(buffer, &buffer->writer_wake, deadline))
		;
	buffer->expected = buffer->nwaiters;
}

static int
work_together(SluiceBuffer *buffer, SluiceGroup *group, bool tick)
{
	int64_t		begin;
	int			code;

	if (buffer->waiters == NULL)
		return work(buffer, group, tick);
	gather(buffer);
	begin = sluice_clock_now();
	code = work(buffer, group, tick);
	buffer->patience = (sluice_clock_now() - begin) / 4;
	if (buffer->patience > PATIENCE_MAX)
		buffer->patience = PATIENCE_MAX;
	return code;
}

static void
run(SluiceBuffer *buffer, SluiceGroup *group)
{
	int64_t		tick_at = SLUICE_NEVER;
	bool		failed = false;

	while (!buffer->stopping)
	{
		bool		pending = failed || group->amendments.count > 0;
		bool		tick;

		if (tick_at == SLUICE_NEVER && (pending || needs_ticks(buffer)))
			tick_at = sluice_clock_now() + tick_length(buffer);
		tick = tick_at != SLUICE_NEVER && sluice_clock_now() >= tick_at;
		if (!tick && !is_wanted(buffer))
		{
			wait_for_work(buffer, tick_at);
			continue;
		}
		if (tick)
			tick_at = SLUICE_NEVER;
		failed = work_together(buffer, group, tick) != SLUICE_OK;
		if (failed && tick_length(buffer) < PAUSE_AFTER_FAILURE)
			tick_at = sluice_clock_now() + PAUSE_AFTER_FAILURE;
	}
}

/* What is in memory only has no other chance: not the first failure ends it. */
static void
finish(SluiceBuffer *buffer, SluiceGroup *group)
{
	int64_t		pause = tick_length(buffer) < PAUSE_AFTER_FAILURE ? tick_length(buffer) : PAUSE_AFTER_FAILURE;

	buffer->failure = work(buffer, group, true);
	for (int tries = 1; buffer->failure != SLUICE_OK && tries < TRIES_AT_CLOSE; tries++)
	{
		sluice_buffer_wait(buffer, &buffer->writer_wake, sluice_clock_now() + pause);
		buffer->failure = work(buffer, group, true);
	}
}

static void *
writer_main(void *argument)
{
	SluiceBuffer *buffer = argument;
	SluiceGroup group = {0};

	pthread_mutex_lock(&buffer->lock);
	run(buffer, &group);
	finish(buffer, &group);
	pthread_mutex_unlock(&buffer->lock);
	if (buffer->failure == SLUICE_OK)
		compact_store(buffer);
	sluice_amendments_free(&group.amendments);
	return NULL;
}

int
sluice_writer_start(SluiceBuffer *buffer)
{
	int			rc = sluice_thread_start(&buffer->writer, writer_main, buffer);

	buffer->writer_runs = rc == 0;
	return rc == 0 ? SLUICE_OK : SLUICE_ERROR_MEMORY;
}

int
sluice_writer_stop(SluiceBuffer *buffer)
{
	if (!buffer->writer_runs)
		return SLUICE_OK;
	pthread_mutex_lock(&buffer->lock);
	buffer->stopping = true;
	sluice_writer_wake(buffer);
	pthread_mutex_unlock(&buffer->lock);
	pthread_join(buffer->writer, NULL);
	buffer->writer_runs = false;
	return sluice_group_error(buffer->failure);
}

void
sluice_writer_wake(SluiceBuffer *buffer)
{
	pthread_cond_signal(&buffer->writer_wake);
}

int
sluice_writer_ask(SluiceBuffer *buffer, bool *want)
{
	uint64_t	failures = buffer->failures;

	*want = true;
	sluice_writer_wake(buffer);
	sluice_buffer_wait(buffer, &buffer->committed, SLUICE_NEVER);
	return buffer->failures != failures ? buffer->failure : SLUICE_OK;
}

int
sluice_writer_catch_up(SluiceBuffer *buffer)
{
	int			code = SLUICE_OK;

	while (code == SLUICE_OK && buffer->acked_durable != buffer->acked)
		code = sluice_writer_ask(buffer, &buffer->wants.gaps);
	return code;
}
