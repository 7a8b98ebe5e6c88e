/*
 * buffer.c
 *		The durable buffer as a whole: its end, and what is told about it.
 */
#include "buffer_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int64_t
sluice_buffer_clock(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME_COARSE, &now);
	return (int64_t) now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

void
sluice_buffer_log(const SluiceBuffer *buffer, sluice_level level, const char *format, ...)
{
	char		text[512];
	va_list		arguments;

	if (buffer->settings.on_log == NULL)
		return;
	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	buffer->settings.on_log(buffer->settings.log_argument, level, text);
}

bool
sluice_buffer_wait(SluiceBuffer *buffer, pthread_cond_t *condition, int64_t deadline)
{
	struct timespec until;

	if (deadline == SLUICE_NEVER)
	{
		pthread_cond_wait(condition, &buffer->lock);
		return true;
	}
	until.tv_sec = (time_t) (deadline / SLUICE_SECOND);
	until.tv_nsec = (long) (deadline % SLUICE_SECOND);
	return pthread_cond_timedwait(condition, &buffer->lock, &until) == 0;
}

/* ---- the publisher's wake-up ---- */

void
sluice_buffer_call_ready(SluiceBuffer *buffer)
{
	void		(*ready) (void *argument) = buffer->ready;
	void	   *argument = buffer->ready_argument;

	buffer->wants_ready = false;
	buffer->missing = 0;
	if (ready == NULL)
		return;
	buffer->in_ready++;
	pthread_mutex_unlock(&buffer->lock);
	ready(argument);
	pthread_mutex_lock(&buffer->lock);
	if (--buffer->in_ready == 0)
		pthread_cond_broadcast(&buffer->ready_done);
}

void
sluice_buffer_on_ready(SluiceBuffer *buffer, void (*ready) (void *argument), void *argument)
{
	pthread_mutex_lock(&buffer->lock);
	buffer->ready = ready;
	buffer->ready_argument = argument;
	while (ready == NULL && buffer->in_ready > 0)
		sluice_buffer_wait(buffer, &buffer->ready_done, SLUICE_NEVER);
	pthread_mutex_unlock(&buffer->lock);
}

/* ---- the end ---- */

void
sluice_buffer_end(SluiceBuffer *buffer, int error)
{
	pthread_mutex_lock(&buffer->lock);
	if (buffer->ended == SLUICE_OK)
		buffer->ended = error;
	pthread_cond_broadcast(&buffer->settled);
	pthread_cond_broadcast(&buffer->committed);
	pthread_mutex_unlock(&buffer->lock);
}

int
sluice_buffer_flush(SluiceBuffer *buffer, int64_t deadline)
{
	uint64_t	target;
	bool		in_time = true;
	int			code = SLUICE_OK;

	pthread_mutex_lock(&buffer->lock);
	buffer->callers++;
	target = buffer->next - 1;
	while (code == SLUICE_OK && buffer->acked < target && buffer->acked < buffer->next - 1)
	{
		if (buffer->ended != SLUICE_OK)
			code = buffer->ended;
		else if (!in_time)
			code = SLUICE_ERROR_TIMEOUT;
		else
		{
			buffer->waiting++;
			in_time = sluice_buffer_wait(buffer, &buffer->settled, deadline);
			buffer->waiting--;
		}
	}
	if (--buffer->callers == 0 && buffer->ended != SLUICE_OK)
		pthread_cond_broadcast(&buffer->settled);
	pthread_mutex_unlock(&buffer->lock);
	return code;
}

void
sluice_buffer_free(SluiceBuffer *buffer)
{
	for (size_t i = 0; i < buffer->blocks.count; i++)
		sluice_block_free(sluice_blocks_get(&buffer->blocks, i));
	free(buffer->blocks.blocks);
	sluice_gaps_free(&buffer->gaps);
	sluice_amendments_free(&buffer->amendments);
	sluice_entities_free(&buffer->entities);
	free(buffer->outgoing);
	sluice_tail_close(buffer->tail);
	if (buffer->store != NULL)
		sluice_store_close(buffer->store);
	pthread_cond_destroy(&buffer->committed);
	pthread_cond_destroy(&buffer->settled);
	pthread_cond_destroy(&buffer->writer_wake);
	pthread_cond_destroy(&buffer->ready_done);
	pthread_mutex_destroy(&buffer->lock);
	pthread_mutex_destroy(&buffer->store_lock);
	free(buffer);
}

int
sluice_buffer_close(SluiceBuffer *buffer)
{
	int			code;

	sluice_buffer_end(buffer, SLUICE_ERROR_CLOSED);
	pthread_mutex_lock(&buffer->lock);
	while (buffer->callers > 0)
		sluice_buffer_wait(buffer, &buffer->settled, SLUICE_NEVER);
	pthread_mutex_unlock(&buffer->lock);
	code = sluice_writer_stop(buffer);
	sluice_buffer_free(buffer);
	return code;
}

/* ---- what is told ---- */

/* Milliseconds; lock held. */
static uint64_t
oldest_age(const SluiceBuffer *buffer)
{
	uint64_t	oldest = buffer->acked + 1;
	size_t		index = sluice_blocks_find(&buffer->blocks, oldest);
	int64_t		at;

	for (; index < buffer->blocks.count; index++)
	{
		const SluiceBlock *block = sluice_blocks_get(&buffer->blocks, index);

		if (block->live == 0)
			continue;
		at = block->at;
		if (block->content != NULL && oldest > block->first)
			at += sluice_block_record(block, oldest)->after;
		at = sluice_buffer_clock() - at;
		return at > 0 ? (uint64_t) at / 1000 : 0;
	}
	return 0;
}

void
sluice_buffer_report(SluiceBuffer *buffer, SluiceBacklogReport *report)
{
	pthread_mutex_lock(&buffer->lock);
	report->records = sluice_buffer_records(buffer);
	report->bytes = buffer->bytes;
	report->oldest_age = oldest_age(buffer);
	pthread_mutex_unlock(&buffer->lock);
}

void
sluice_buffer_fill_statistics(SluiceBuffer *buffer, sluice_statistics *statistics)
{
	SluiceStoreCounts store;

	pthread_mutex_lock(&buffer->lock);
	*statistics = buffer->counts;
	statistics->last_sequence = buffer->next - 1;
	statistics->acknowledged_through = buffer->acked;
	statistics->buffered_records = sluice_buffer_records(buffer);
	statistics->buffered_bytes = buffer->bytes;
	statistics->oldest_age = oldest_age(buffer);
	statistics->in_flight = buffer->flight.entries;
	pthread_mutex_unlock(&buffer->lock);
	if (sluice_store_counts(buffer->store, &store) == SLUICE_OK)
		statistics->file_bytes = store.file_bytes;
}
