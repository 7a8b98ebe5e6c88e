/*
 * buffer_drop.c
 *		Records become gaps (rule P11).
 *
 * A drop is a proposal: where the record was sent on an earlier connection the server may
 * have it, and what it says then stands.
 */
#include "buffer_internal.h"

/* It is not live any more: what it counted for.  An average where the record is not in memory. */
static uint64_t
take_off(const SluiceBuffer *buffer, SluiceBlock *block, uint64_t sequence)
{
	uint64_t	size = block->bytes / block->live;

	if (block->content != NULL)
	{
		size = sluice_block_record(block, sequence)->size;
		atomic_store_explicit(&sluice_block_record(block, sequence)->dropped, buffer->captures, memory_order_relaxed);
	}
	block->live--;
	block->bytes -= size;
	return size;
}

int
sluice_buffer_drop(SluiceBuffer *buffer, uint64_t sequence, int reason)
{
	SluiceBlock *block = sluice_blocks_at(&buffer->blocks, sequence);

	if (block == NULL || block->live == 0 || !sluice_amendments_reserve(&buffer->amendments, 3) ||
		!sluice_gaps_declare(&buffer->gaps, sequence, sequence, reason, &buffer->amendments))
		return SLUICE_ERROR_MEMORY;
	sluice_amendments_drop(&buffer->amendments, sequence, sequence);
	buffer->bytes -= take_off(buffer, block, sequence);
	if (block->live == 0 && block->pins == 0 && block != sluice_blocks_last(&buffer->blocks))
		sluice_buffer_release_content(buffer, block);
	if (buffer->writer_idle)
		sluice_writer_wake(buffer);
	return SLUICE_OK;
}

/* Is it a record that is not settled? */
static bool
waits(void *argument, uint64_t sequence)
{
	const SluiceBuffer *buffer = argument;

	return sequence > buffer->acked && sluice_gaps_at(&buffer->gaps, sequence) == NULL;
}

int
sluice_buffer_note_entity(SluiceBuffer *buffer, const sluice_record *record, uint64_t sequence)
{
	uint64_t	before;

	if (!buffer->settings.compact || record->entity_length == 0)
		return SLUICE_OK;
	sluice_entities_sweep(&buffer->entities, waits, buffer);
	if (!sluice_entities_set(&buffer->entities, record->entity, record->entity_length, sequence, &before))
		return SLUICE_ERROR_MEMORY;

	/* Where memory is short the older one is delivered too. */
	if (before > buffer->claimed && waits(buffer, before))
		sluice_buffer_drop(buffer, before, SLUICE_REASON_COMPACTED);
	return SLUICE_OK;
}
