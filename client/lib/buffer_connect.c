/*
 * buffer_connect.c
 *		What an Open says, and what becomes of the buffer when a connection does not (P4, P12, P14).
 */
#include "buffer_internal.h"

#include <string.h>

void
sluice_buffer_opening(SluiceBuffer *buffer, SluiceOpening *opening)
{
	const SluiceStoreState *state = &buffer->state;

	pthread_mutex_lock(&buffer->lock);
	memset(opening, 0, sizeof(*opening));
	memcpy(opening->stream, state->stream, sizeof(opening->stream));
	memcpy(opening->producer_id, state->producer_id, sizeof(opening->producer_id));
	memcpy(opening->nonces, state->nonces, sizeof(opening->nonces));
	opening->nnonces = state->nnonces;
	opening->sent = state->sent_floor > buffer->run_sent ? state->sent_floor : buffer->run_sent;
	opening->acked_through = buffer->acked;
	memcpy(opening->stream_uid, state->stream_uid, sizeof(opening->stream_uid));
	opening->has_stream_uid = state->has_stream_uid;
	pthread_mutex_unlock(&buffer->lock);
}

void
sluice_buffer_disconnected(SluiceBuffer *buffer)
{
	pthread_mutex_lock(&buffer->lock);
	buffer->connected = false;
	buffer->claimed = buffer->acked;
	buffer->lingering = 0;
	memset(&buffer->flight, 0, sizeof(buffer->flight));
	if (buffer->waiting > 0)
		pthread_cond_broadcast(&buffer->settled);	/* what was in flight may be dropped again */
	pthread_mutex_unlock(&buffer->lock);
}

/* If it cannot be written now the writer tries again. */
void
sluice_buffer_condemned(SluiceBuffer *buffer, int error, uint64_t server_sequence)
{
	SluiceStoreState state;

	sluice_buffer_end(buffer, error);
	pthread_mutex_lock(&buffer->store_lock);
	pthread_mutex_lock(&buffer->lock);
	buffer->state.condition = error;
	buffer->state.server_sequence = server_sequence;
	sluice_group_fill_state(buffer, &state, 0);
	pthread_mutex_unlock(&buffer->lock);
	if (sluice_group_commit_state(buffer, &state, NULL, NULL) != SLUICE_OK)
	{
		pthread_mutex_lock(&buffer->lock);
		buffer->wants.state = true;
		sluice_writer_wake(buffer);
		pthread_mutex_unlock(&buffer->lock);
	}
	pthread_mutex_unlock(&buffer->store_lock);
}

/* ---- another stream ---- */

static int
write_previous(SluiceStore *store, void *argument)
{
	return sluice_store_put_previous(store, ((const SluiceStoreGap *) argument)->to);
}

/* Lock held.  What of the first block was settled is covered by the gap now. */
static void
forget_settled_part(SluiceBuffer *buffer, uint64_t acked)
{
	SluiceBlock *block = buffer->blocks.count > 0 ? sluice_blocks_get(&buffer->blocks, 0) : NULL;

	if (block == NULL || block->content == NULL)
		return;
	for (uint64_t sequence = block->first; sequence <= acked && sequence <= block->last; sequence++)
		atomic_store_explicit(&sluice_block_record(block, sequence)->dropped, true, memory_order_relaxed);
}

static int
rebind(SluiceBuffer *buffer, SluiceGaps *previous)
{
	SluiceStoreState state;
	SluiceStoreGap gap;
	int			code;

	pthread_mutex_lock(&buffer->lock);
	sluice_group_fill_state(buffer, &state, 0);
	gap = (SluiceStoreGap) {1, buffer->acked, SLUICE_REASON_PREVIOUS_STREAM};
	pthread_mutex_unlock(&buffer->lock);
	sluice_store_unbind(&state);
	if (gap.to > 0 && !sluice_gaps_add_stored(previous, gap.from, gap.to, gap.reason, false))
		return SLUICE_ERROR_MEMORY;
	code = sluice_group_commit_state(buffer, &state, write_previous, &gap);
	if (code != SLUICE_OK)
		return code;
	pthread_mutex_lock(&buffer->lock);
	buffer->state.has_stream_uid = false;
	memset(buffer->state.stream_uid, 0, sizeof(buffer->state.stream_uid));
	forget_settled_part(buffer, gap.to);
	sluice_gaps_take(&buffer->gaps, previous);
	buffer->acked = 0;
	buffer->acked_durable = 0;
	buffer->claimed = 0;
	pthread_mutex_unlock(&buffer->lock);
	return SLUICE_OK;
}

int
sluice_buffer_rebind(SluiceBuffer *buffer)
{
	SluiceGaps	previous = {.total = 0};
	int			code;

	/* What is still to be written of what is settled in part is not found any more behind the gap. */
	pthread_mutex_lock(&buffer->lock);
	code = sluice_writer_catch_up(buffer);
	pthread_mutex_unlock(&buffer->lock);
	if (code != SLUICE_OK)
		return code;
	pthread_mutex_lock(&buffer->store_lock);
	code = rebind(buffer, &previous);
	pthread_mutex_unlock(&buffer->store_lock);
	sluice_gaps_free(&previous);
	return code;
}
