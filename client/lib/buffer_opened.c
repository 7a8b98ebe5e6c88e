/*
 * buffer_opened.c
 *		What an Opened means (rule P6).
 */
#include "buffer_internal.h"

#include <string.h>
#include <zlib.h>

#include "encoding.h"

/* ---- is it our record that the server has? ---- */

typedef struct Sum
{
	uint64_t	sequence;
	bool		found;
	uint32_t	crc;
} Sum;

static void
sum_entry(Sum *sum, const uint8_t *bytes, size_t length)
{
	SluiceEntry entry;

	if (sluice_entry_read(bytes, length, &entry) == 0)
		return;
	sum->found = true;
	sum->crc = (uint32_t) crc32(0, entry.payload, entry.payload_length);
	if (entry.payload_length == 0)
		sum->crc = 0;
}

static bool
sum_stored(void *argument, const SluiceStoreRecord *record)
{
	Sum		   *sum = argument;

	if (record->sequence == sum->sequence)
		sum_entry(sum, record->bytes, record->length);
	return false;
}

/* Held also where it is settled and was not removed yet; not where a gap has its number, whatever the store still has. */
static int
sum_held(SluiceBuffer *buffer, Sum *sum)
{
	SluiceBlock *block;
	bool		given_up;

	pthread_mutex_lock(&buffer->lock);
	given_up = sluice_gaps_at(&buffer->gaps, sum->sequence) != NULL;
	block = sluice_blocks_at(&buffer->blocks, sum->sequence);
	if (block != NULL && block->content != NULL && sluice_block_holds(block, sum->sequence))
	{
		const SluiceBlockRecord *record = sluice_block_record(block, sum->sequence);

		sum_entry(sum, block->content->bytes + record->offset, record->length);
	}
	pthread_mutex_unlock(&buffer->lock);
	return sum->found || given_up ? SLUICE_OK : sluice_store_scan(buffer->store, sum->sequence, sum_stored, sum);
}

static int
compare_last(SluiceBuffer *buffer, const SluiceOpened *opened)
{
	Sum			sum = {.sequence = opened->last_sequence};
	int			code;

	if (opened->last_sequence == 0)
		return SLUICE_OK;
	code = sum_held(buffer, &sum);

	/* One that cannot be read is as good as none. */
	if (code != SLUICE_OK && code != SLUICE_ERROR_DAMAGED)
		return sluice_group_error(code);
	return sum.found && (opened->last_is_gap || sum.crc != opened->last_crc) ? SLUICE_ERROR_FORKED : SLUICE_OK;
}

/* ---- what has to be durable before the first batch ---- */

/* Lock held: false: nothing changes. */
static bool
update_state(SluiceBuffer *buffer, const SluiceOpened *opened, SluiceStoreState *state)
{
	uint64_t	nonce = buffer->state.nonces[buffer->state.nnonces - 1];
	bool		changes = !buffer->state.may_send || !buffer->state.has_stream_uid ||
		buffer->state.confirmed_nonce != nonce || opened->last_sequence < buffer->acked;

	sluice_group_fill_state(buffer, state, 0);
	state->may_send = true;
	state->confirmed_nonce = nonce;
	state->has_stream_uid = true;
	memcpy(state->stream_uid, opened->stream_uid, sizeof(state->stream_uid));
	return changes;
}

/* Lock held. */
static void
keep_state(SluiceBuffer *buffer, const SluiceStoreState *state)
{
	buffer->state.may_send = state->may_send;
	buffer->state.confirmed_nonce = state->confirmed_nonce;
	buffer->state.has_stream_uid = state->has_stream_uid;
	memcpy(buffer->state.stream_uid, state->stream_uid, sizeof(state->stream_uid));
}

/*
 * What is to be changed in the store still, and was settled since, must not meet what is held again: so it
 * is changed before.  Only that: what is settled stays, for it is what there is to send again.
 */
static int
write_pending(SluiceBuffer *buffer, const SluiceOpened *opened)
{
	int			code = SLUICE_OK;

	pthread_mutex_lock(&buffer->lock);
	buffer->keeps = opened->last_sequence < buffer->acked;
	if (buffer->keeps)
		code = sluice_writer_catch_up(buffer);
	pthread_mutex_unlock(&buffer->lock);
	return code;
}

/* store_lock held. */
static int
make_durable(SluiceBuffer *buffer, const SluiceOpened *opened)
{
	SluiceStoreState state;
	bool		changes;
	bool		behind;
	int			code = SLUICE_OK;

	pthread_mutex_lock(&buffer->lock);
	changes = update_state(buffer, opened, &state);
	behind = opened->last_sequence < buffer->acked;
	pthread_mutex_unlock(&buffer->lock);
	if (behind)
		code = sluice_buffer_revive(buffer, opened->last_sequence, &state);
	else if (changes)
		code = sluice_group_commit_state(buffer, &state, NULL, NULL);
	if (code != SLUICE_OK)
		return code;
	pthread_mutex_lock(&buffer->lock);
	keep_state(buffer, &state);
	pthread_mutex_unlock(&buffer->lock);
	return SLUICE_OK;
}

/* ---- */

static int
check(SluiceBuffer *buffer, const SluiceOpened *opened)
{
	SluiceOpening opening;

	sluice_buffer_opening(buffer, &opening);
	if (opened->last_sequence > opening.sent)
		return SLUICE_ERROR_FORKED;
	if (opening.has_stream_uid && memcmp(opening.stream_uid, opened->stream_uid, sizeof(opening.stream_uid)) != 0)
		return SLUICE_ERROR_PROTOCOL;
	return compare_last(buffer, opened);
}

static void
begin_to_send(SluiceBuffer *buffer, const SluiceOpened *opened)
{
	pthread_mutex_lock(&buffer->lock);
	buffer->connected = true;
	buffer->claimed = opened->last_sequence;
	buffer->record_bytes = opened->record_bytes;
	buffer->batch_bytes = opened->batch_bytes;
	buffer->batch_records = opened->batch_records;
	buffer->lingering = 0;
	memset(&buffer->flight, 0, sizeof(buffer->flight));
	pthread_mutex_unlock(&buffer->lock);
}

int
sluice_buffer_opened(SluiceBuffer *buffer, const SluiceOpened *opened)
{
	int			code = check(buffer, opened);

	if (code != SLUICE_OK)
		return code;
	code = write_pending(buffer, opened);
	pthread_mutex_lock(&buffer->store_lock);
	if (code == SLUICE_OK)
		code = make_durable(buffer, opened);
	pthread_mutex_lock(&buffer->lock);
	buffer->keeps = false;
	pthread_mutex_unlock(&buffer->lock);
	pthread_mutex_unlock(&buffer->store_lock);
	if (code != SLUICE_OK)
		return code;

	/* From here on nothing up to last_sequence is dropped: what the server says of it stands. */
	begin_to_send(buffer, opened);
	sluice_buffer_settle_through(buffer, opened->last_sequence, NULL, 0, opened);
	return SLUICE_OK;
}
