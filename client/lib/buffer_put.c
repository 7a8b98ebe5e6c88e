/*
 * buffer_put.c
 *		Callers: a record is put into the buffer.
 *
 * With durability interval and none this costs a lock and a copy: the record is
 * encoded into the last block, and its number lies below a mark that is durable already.
 */
#include "buffer_internal.h"

#include <string.h>

#include "../../extension/utf8.h"
#include "encoding.h"

/* What is larger could not be counted. */
#define PAYLOAD_LENGTH_MAX ((size_t) 1 << 30)

static int
check(const SluiceBuffer *buffer, const sluice_record *record)
{
	if ((record->payload == NULL && record->payload_length > 0) ||
		(record->key == NULL && record->key_length > 0) || record->key_length > SLUICE_KEY_LENGTH_MAX ||
		(record->entity == NULL && record->entity_length > 0) || record->entity_length > SLUICE_ENTITY_LENGTH_MAX ||
		(record->key_length > 0 && !sluice_utf8_valid((const uint8_t *) record->key, record->key_length, true)))
		return SLUICE_ERROR_INVALID;
	if (record->payload_length > PAYLOAD_LENGTH_MAX ||
		record->payload_length + record->key_length > buffer->settings.max_bytes)
		return SLUICE_ERROR_TOO_LARGE;
	return SLUICE_OK;
}

/* ---- what has to be there before: lock held ---- */

static int
wait_for_room(SluiceBuffer *buffer, int64_t *deadline)
{
	bool		in_time;

	if (*deadline == 0)
		*deadline = buffer->settings.block_timeout == SLUICE_NEVER ? SLUICE_NEVER :
			sluice_clock_now() + buffer->settings.block_timeout;
	buffer->waiting++;
	in_time = sluice_buffer_wait(buffer, &buffer->settled, *deadline);
	buffer->waiting--;
	return in_time ? SLUICE_OK : SLUICE_ERROR_FULL;
}

static bool
has_block(SluiceBuffer *buffer, size_t entry_length, size_t entity_length, int64_t at)
{
	SluiceBlock *last = sluice_blocks_last(&buffer->blocks);

	return (last != NULL && last->last + 1 == buffer->next && sluice_block_fits(last, entry_length, entity_length, at)) ||
		sluice_buffer_has_memory(buffer, sluice_block_takes(entry_length, entity_length));
}

/*
 * All that has to be there at once; whatever was waited for, all is looked at again.
 * *refused: by drop_newest: it gets a number and a gap.
 */
static int
admit(SluiceBuffer *buffer, const sluice_record *record, size_t entry_length, int64_t at, bool *refused)
{
	uint64_t	size = record->payload_length + record->key_length;
	int64_t		deadline = 0;
	int			code = SLUICE_OK;

	while (code == SLUICE_OK)
	{
		int			room;

		if (buffer->ended != SLUICE_OK)
			return buffer->ended;
		if (buffer->record_bytes > 0 && size > buffer->record_bytes)
			return SLUICE_ERROR_TOO_LARGE;
		room = sluice_buffer_make_room(buffer, size);
		*refused = room == SLUICE_ROOM_REFUSE;
		if (room > SLUICE_OK)
			return room;
		if (room == SLUICE_ROOM_WAIT)
			code = wait_for_room(buffer, &deadline);
		else if (!sluice_buffer_is_each(buffer) && buffer->next > buffer->high_water)
			code = sluice_writer_ask(buffer, &buffer->wants.numbers);
		else if (!*refused && !has_block(buffer, entry_length, record->entity_length, at))
			code = sluice_writer_ask(buffer, &buffer->wants.memory);
		else
			return SLUICE_OK;
	}
	return code;
}

/* ---- putting it in: lock held ---- */

static SluiceBlock *
add_block(SluiceBuffer *buffer, size_t entry_length, size_t entity_length)
{
	SluiceBlock *block;

	if (!sluice_blocks_reserve(&buffer->blocks, 1))
		return NULL;
	block = sluice_block_create(buffer->next, entry_length, entity_length);
	if (block == NULL)
		return NULL;
	buffer->memory += block->content->taken;
	return block;
}

static int
stage(SluiceBuffer *buffer, const sluice_record *record, size_t entry_length, int64_t at)
{
	SluiceBlock *last = sluice_blocks_last(&buffer->blocks);
	SluiceBlock *block = last;

	if (last == NULL || last->last + 1 != buffer->next ||
		!sluice_block_fits(last, entry_length, record->entity_length, at))
	{
		block = add_block(buffer, entry_length, record->entity_length);
		if (block == NULL)
			return SLUICE_ERROR_MEMORY;
	}
	if (!sluice_buffer_is_each(buffer) && sluice_buffer_note_entity(buffer, record, buffer->next) != SLUICE_OK)
	{
		if (block != last)
		{
			sluice_buffer_release_content(buffer, block);
			sluice_block_free(block);
		}
		return SLUICE_ERROR_MEMORY;
	}
	if (block != last)
		sluice_blocks_append(&buffer->blocks, block);
	sluice_block_append(block, record, entry_length, at);
	buffer->bytes += record->payload_length + record->key_length;
	return SLUICE_OK;
}

/* drop_newest. */
static int
stage_gap(SluiceBuffer *buffer, int64_t at)
{
	SluiceBlock *last = sluice_blocks_last(&buffer->blocks);

	if (!sluice_gaps_declare(&buffer->gaps, buffer->next, buffer->next, SLUICE_REASON_NEWEST, &buffer->amendments))
		return SLUICE_ERROR_MEMORY;
	if (last != NULL && last->last + 1 == buffer->next && sluice_block_fits(last, 0, 0, at))
		sluice_block_skip(last, at);
	return SLUICE_OK;
}

static void
give_out_number(SluiceBuffer *buffer, uint64_t *sequence)
{
	*sequence = buffer->next++;
	if (sluice_buffer_is_each(buffer))
		return;
	if (buffer->tail != NULL)
		sluice_tail_write(buffer->tail, *sequence);
	if (buffer->writer_idle)
		sluice_writer_wake(buffer);
	if (buffer->high_water - *sequence < buffer->reserve / 2 && !buffer->wants.numbers)
	{
		buffer->wants.numbers = true;
		sluice_writer_wake(buffer);
	}
}

static int
wait_for_commit(SluiceBuffer *buffer, uint64_t sequence)
{
	SluiceWaiter waiter = {.sequence = sequence};

	if (buffer->waiters == NULL)
		/* cppcheck-suppress autoVariables ; it leaves the list before it leaves the stack */
		buffer->waiters = &waiter;
	else
		buffer->last_waiter->next = &waiter;
	/* cppcheck-suppress autoVariables */
	buffer->last_waiter = &waiter;
	buffer->nwaiters++;
	sluice_writer_wake(buffer);
	while (!waiter.done)
		sluice_buffer_wait(buffer, &buffer->committed, SLUICE_NEVER);
	return waiter.code;
}

/* Does the publisher wait for this? */
static void
tell_ready(SluiceBuffer *buffer, size_t entry_length)
{
	if (!buffer->wants_ready)
		return;
	if (buffer->missing > entry_length)
		buffer->missing -= entry_length;
	else
		sluice_buffer_call_ready(buffer);
}

static int
put(SluiceBuffer *buffer, const sluice_record *record, uint64_t *sequence)
{
	size_t		entry_length = sluice_entry_size(buffer->next, record->payload_length, record->key_length);
	int64_t		at = sluice_buffer_clock();
	bool		refused = false;
	int			code = admit(buffer, record, entry_length, at, &refused);

	if (code != SLUICE_OK)
		return code;
	entry_length = sluice_entry_size(buffer->next, record->payload_length, record->key_length);
	code = refused ? stage_gap(buffer, at) : stage(buffer, record, entry_length, at);
	if (code != SLUICE_OK)
		return code;
	give_out_number(buffer, sequence);
	if (sluice_buffer_is_each(buffer))
	{
		code = wait_for_commit(buffer, *sequence);
		if (code == SLUICE_OK && !refused)
			sluice_buffer_note_entity(buffer, record, *sequence);
	}
	else
		tell_ready(buffer, entry_length);
	if (code == SLUICE_OK)
		buffer->counts.put++;
	return code;
}

int
sluice_buffer_put(SluiceBuffer *buffer, const sluice_record *record, uint64_t *sequence)
{
	uint64_t	number = 0;
	int			code = check(buffer, record);

	if (code != SLUICE_OK)
		return code;
	pthread_mutex_lock(&buffer->lock);
	buffer->callers++;
	code = put(buffer, record, &number);
	if (--buffer->callers == 0 && buffer->ended != SLUICE_OK)
		pthread_cond_broadcast(&buffer->settled);
	pthread_mutex_unlock(&buffer->lock);
	if (code == SLUICE_OK && sequence != NULL)
		*sequence = number;
	return code;
}
