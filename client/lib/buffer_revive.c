/*
 * buffer_revive.c
 *		A server that has less than it acknowledged (rule P6): what is still held is
 *		sent again, the rest is declared as lost.
 *
 * Held are records that are settled and were not removed from the store yet, and
 * the settled part of the first block.  All is prepared beside what there is, made durable, and then
 * counts at once; until then nothing has changed, so an error may be met by trying again.
 */
#include "buffer_internal.h"

#include <stdlib.h>

typedef struct Revival
{
	SluiceBuffer *buffer;
	uint64_t	last;			/* all up to here the server has */
	uint64_t	acked;
	uint64_t	next;			/* looked at up to here */
	uint64_t	bound;			/* from here on the first block has them */
	SluiceBlock *front;			/* the first block where part of it is settled, or NULL */
	uint64_t	front_live;
	uint64_t	front_bytes;
	SluiceGaps	gaps;
	SluiceBlocks blocks;
	int			code;
} Revival;

static bool
take_gap(void *argument, const SluiceStoreGap *gap)
{
	Revival    *revival = argument;
	uint64_t	from = gap->from > revival->last ? gap->from : revival->last + 1;
	uint64_t	to = gap->to < revival->acked ? gap->to : revival->acked;

	if (gap->from > revival->acked)
		return false;
	if (from <= to && !sluice_gaps_add_stored(&revival->gaps, from, to, gap->reason, true))
		revival->code = SLUICE_ERROR_MEMORY;
	return revival->code == SLUICE_OK;
}

/* From revival->next up to `to` nothing is held: what is not a gap is lost. */
static void
declare_lost(Revival *revival, uint64_t to)
{
	while (revival->code == SLUICE_OK && revival->next <= to)
	{
		SluiceGap  *gap = sluice_gaps_find(&revival->gaps, revival->next);
		uint64_t	end = to;

		if (gap != NULL && gap->from <= revival->next)
		{
			revival->next = gap->to + 1;
			continue;
		}
		if (gap != NULL && gap->from <= to)
			end = gap->from - 1;
		if (!sluice_gaps_add_stored(&revival->gaps, revival->next, end, SLUICE_REASON_SERVER_LOST, false))
			revival->code = SLUICE_ERROR_MEMORY;
		revival->next = end + 1;
	}
}

static SluiceBlock *
block_for(Revival *revival, uint64_t sequence, int64_t at)
{
	SluiceBlock *last = sluice_blocks_last(&revival->blocks);

	if (last != NULL && last->last + 1 == sequence && last->live < SLUICE_BLOCK_RECORDS &&
		last->length < SLUICE_BLOCK_BYTES)
		return last;
	if (!sluice_blocks_reserve(&revival->blocks, 1) || (last = sluice_block_create_stored(sequence)) == NULL)
	{
		revival->code = SLUICE_ERROR_MEMORY;
		return NULL;
	}
	last->at = at;
	sluice_blocks_append(&revival->blocks, last);
	return last;
}

static bool
take_record(void *argument, const SluiceStoreRecord *record)
{
	Revival    *revival = argument;
	SluiceBlock *block;
	uint32_t	size;

	if (record->sequence > revival->acked ||
		(record->sequence >= revival->bound && revival->front->content != NULL))
		return false;
	if (sluice_gaps_at(&revival->gaps, record->sequence) != NULL)
		return true;
	declare_lost(revival, record->sequence - 1);
	size = sluice_block_stored_size(record->bytes, record->length);
	revival->next = record->sequence + 1;
	if (record->sequence >= revival->bound)
	{
		revival->front_live++;
		revival->front_bytes += size;
	}
	else if ((block = block_for(revival, record->sequence, record->at)) != NULL)
		sluice_block_append_stored(block, record->sequence, record->length, size);
	return revival->code == SLUICE_OK;
}

/* Lock held: of a block in memory. */
static void
take_front(Revival *revival)
{
	uint64_t	sequence = revival->bound > revival->last ? revival->bound : revival->last + 1;

	declare_lost(revival, sequence - 1);
	for (; sequence <= revival->acked; sequence++)
	{
		if (!sluice_block_holds(revival->front, sequence))
			continue;
		declare_lost(revival, sequence - 1);
		revival->next = sequence + 1;
		revival->front_live++;
		revival->front_bytes += sluice_block_record(revival->front, sequence)->size;
	}
}

static void
prepare(Revival *revival)
{
	SluiceStore *store = revival->buffer->store;
	int			code = sluice_store_scan_gaps(store, revival->last + 1, take_gap, revival);

	if (code == SLUICE_OK && revival->code == SLUICE_OK)
		code = sluice_store_scan(store, revival->last + 1, take_record, revival);

	/* What cannot be read is lost as well. */
	if (revival->code == SLUICE_OK && code != SLUICE_ERROR_DAMAGED)
		revival->code = sluice_group_error(code);
	if (revival->code == SLUICE_OK && revival->front != NULL && revival->front->content != NULL)
		take_front(revival);
	declare_lost(revival, revival->acked);
}

/* They may have been removed from the store. */
static int
write_front(SluiceStore *store, const Revival *revival)
{
	uint64_t	sequence = revival->bound > revival->last ? revival->bound : revival->last + 1;
	int			code = SLUICE_OK;

	if (revival->front == NULL || revival->front->content == NULL)
		return SLUICE_OK;
	for (; code == SLUICE_OK && sequence <= revival->acked; sequence++)
	{
		if (sluice_block_holds(revival->front, sequence))
			code = sluice_group_write_record(store, revival->front, sequence);
	}
	return code;
}

static int
write_revival(SluiceStore *store, void *argument)
{
	Revival    *revival = argument;
	int			code = write_front(store, revival);

	for (const SluiceGap *gap = revival->gaps.first[0]; code == SLUICE_OK && gap != NULL; gap = gap->next[0])
	{
		SluiceStoreGap stored = {gap->from, gap->to, gap->reason};

		if (!gap->inherited)
			code = sluice_store_put_gap(store, &stored);
	}
	return code;
}

/* Lock held. */
static void
count_blocks(Revival *revival)
{
	SluiceBuffer *buffer = revival->buffer;

	for (size_t i = revival->blocks.count; i > 0; i--)
	{
		SluiceBlock *block = sluice_blocks_get(&revival->blocks, i - 1);

		buffer->bytes += block->bytes;
		sluice_blocks_prepend(&buffer->blocks, block);
	}
	revival->blocks.count = 0;
	if (revival->front == NULL)
		return;
	revival->front->live += revival->front_live;
	revival->front->bytes += revival->front_bytes;
	buffer->bytes += revival->front_bytes;
}

static int
count(Revival *revival)
{
	SluiceBuffer *buffer = revival->buffer;
	int			code = SLUICE_ERROR_MEMORY;

	pthread_mutex_lock(&buffer->lock);
	if (sluice_blocks_reserve(&buffer->blocks, revival->blocks.count + 1))
	{
		count_blocks(revival);
		sluice_gaps_take(&buffer->gaps, &revival->gaps);
		buffer->acked = revival->last;
		buffer->acked_durable = revival->last;
		if (buffer->stored_first > revival->last + 1)
			buffer->stored_first = revival->last + 1;
		if (buffer->stored_last < revival->acked)
			buffer->stored_last = revival->acked;
		code = SLUICE_OK;
	}
	pthread_mutex_unlock(&buffer->lock);
	return code;
}

static void
discard(Revival *revival)
{
	for (size_t i = 0; i < revival->blocks.count; i++)
		sluice_block_free(sluice_blocks_get(&revival->blocks, i));
	free(revival->blocks.blocks);
	sluice_gaps_free(&revival->gaps);
}

int
sluice_buffer_revive(SluiceBuffer *buffer, uint64_t last, const SluiceStoreState *state)
{
	Revival		revival = {.buffer = buffer, .last = last, .next = last + 1};
	SluiceStoreState lowered = *state;

	pthread_mutex_lock(&buffer->lock);
	revival.acked = buffer->acked;
	revival.front = buffer->blocks.count > 0 ? sluice_blocks_get(&buffer->blocks, 0) : NULL;
	if (revival.front != NULL && revival.front->first > buffer->acked)
		revival.front = NULL;
	revival.bound = revival.front != NULL ? revival.front->first : buffer->acked + 1;
	if (revival.front != NULL)
		revival.front->pins++;
	pthread_mutex_unlock(&buffer->lock);

	prepare(&revival);
	lowered.acked_through = last;
	if (revival.code == SLUICE_OK)
		revival.code = sluice_group_commit_state(buffer, &lowered, write_revival, &revival);
	if (revival.code == SLUICE_OK)
		revival.code = count(&revival);
	discard(&revival);
	if (revival.front != NULL)
	{
		pthread_mutex_lock(&buffer->lock);
		sluice_buffer_unpin(buffer, revival.front);
		pthread_mutex_unlock(&buffer->lock);
	}
	return revival.code;
}
