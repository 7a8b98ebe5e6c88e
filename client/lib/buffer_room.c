/*
 * buffer_room.c
 *		What makes room: memory, and the policy of a full buffer.
 */
#include "buffer_internal.h"

/* ---- memory ---- */

void
sluice_buffer_release_content(SluiceBuffer *buffer, SluiceBlock *block)
{
	if (block->content == NULL)
		return;
	buffer->memory -= block->content->taken;
	sluice_block_free_content(block);
}

void
sluice_buffer_unpin(SluiceBuffer *buffer, SluiceBlock *block)
{
	if (--block->pins > 0 || !block->unlinked)
		return;
	sluice_buffer_release_content(buffer, block);
	sluice_block_free(block);
}

/* Has the store all of it that counts? */
static bool
may_go(const SluiceBuffer *buffer, const SluiceBlock *block)
{
	return block->content != NULL && block->pins == 0 && (block->last <= buffer->written || block->live == 0);
}

/* Down to so many bytes.  The newest first: their turn comes last.  What is in flight only where nothing else does. */
static void
let_go(SluiceBuffer *buffer, uint64_t target)
{
	for (int flying = 0; flying <= 1; flying++)
	{
		for (size_t i = buffer->blocks.count; i > 0 && buffer->memory > target; i--)
		{
			SluiceBlock *block = sluice_blocks_get(&buffer->blocks, i - 1);

			if (may_go(buffer, block) && (flying || block->first > buffer->claimed))
				sluice_buffer_release_content(buffer, block);
		}
	}
}

bool
sluice_buffer_has_memory(SluiceBuffer *buffer, size_t takes)
{
	uint64_t	most = buffer->settings.memory;

	/* A record larger than all memory that there is may be the only one there. */
	if (buffer->memory + takes <= most || buffer->memory == 0)
		return true;

	/* Some more than needed, so that blocks are not gone through for each new one. */
	let_go(buffer, takes < most / 4 ? most / 4 * 3 : takes < most ? most - takes : 0);
	return buffer->memory + takes <= most || buffer->memory == 0;
}

/* ---- the policy ---- */

static bool
has_room(const SluiceBuffer *buffer, uint64_t size)
{
	uint64_t	records = sluice_buffer_records(buffer);

	return records < buffer->settings.max_records &&
		(buffer->bytes + size <= buffer->settings.max_bytes || records == 0);
}

/* The oldest record that was not sent; 0: all were. */
static uint64_t
oldest_unsent(SluiceBuffer *buffer)
{
	uint64_t	sequence = (buffer->claimed > buffer->acked ? buffer->claimed : buffer->acked) + 1;

	sequence = sluice_gaps_run_end(&buffer->gaps, sequence);
	return sequence < buffer->next ? sequence : 0;
}

static int
drop_oldest(SluiceBuffer *buffer, uint64_t size)
{
	while (!has_room(buffer, size))
	{
		uint64_t	sequence = oldest_unsent(buffer);
		int			code;

		if (sequence == 0)
			return SLUICE_ROOM_WAIT;
		code = sluice_buffer_drop(buffer, sequence, SLUICE_REASON_FULL);
		if (code != SLUICE_OK)
			return code;
	}
	return SLUICE_OK;
}

int
sluice_buffer_make_room(SluiceBuffer *buffer, uint64_t size)
{
	if (has_room(buffer, size))
		return SLUICE_OK;
	switch (buffer->settings.full)
	{
		case SLUICE_FULL_DROP_OLDEST:
			return drop_oldest(buffer, size);
		case SLUICE_FULL_DROP_NEWEST:
			return SLUICE_ROOM_REFUSE;
		case SLUICE_FULL_FAIL:
			return SLUICE_ERROR_FULL;
		default:
			return SLUICE_ROOM_WAIT;
	}
}
