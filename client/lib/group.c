/*
 * group.c
 *		What is written to the store in one transaction.
 *
 * First what has to be written is captured, with the lock held: blocks are
 * pinned, gaps looked up.  Then it is written without the lock.  At last it counts, with the lock again.
 *
 * With durability each, callers wait for their records.  When a transaction fails, all that
 * was staged so far fails with it, also what came after the capture: so the numbers can be given out
 * anew, and there is no gap for records that their callers know were not taken.
 */
#include "buffer_internal.h"

#include <limits.h>
#include <string.h>

#define GROUP_BYTES ((uint64_t) 8 << 20)
#define GROUP_REMOVES 20000

int
sluice_group_error(int code)
{
	return code == SLUICE_OK || code == SLUICE_ERROR_MEMORY ? code : SLUICE_ERROR_DISK;
}

void
sluice_group_fill_state(const SluiceBuffer *buffer, SluiceStoreState *state, uint64_t through)
{
	*state = buffer->state;
	state->acked_through = buffer->acked;
	if (sluice_buffer_is_each(buffer))
	{
		state->next = (through > buffer->written ? through : buffer->written) + 1;
		state->high_water = state->next - 1;
	}
	else
	{
		state->next = buffer->next;
		state->high_water = buffer->high_water;
	}
}

/* ---- capture; lock held ---- */

static void
capture_blocks(SluiceBuffer *buffer, SluiceGroup *group)
{
	SluiceBlock **link = &group->blocks;
	uint64_t	bytes = 0;

	group->blocks = NULL;
	for (size_t i = sluice_blocks_find(&buffer->blocks, group->from); i < buffer->blocks.count; i++)
	{
		SluiceBlock *block = sluice_blocks_get(&buffer->blocks, i);

		if (block->first > group->through)
			break;
		if (bytes > GROUP_BYTES && group->amendments.count == 0)
		{
			group->through = block->first - 1;
			group->more = true;
			break;
		}
		if (block->content == NULL)
			continue;
		block->pins++;
		block->chain = NULL;
		block->chain_last = block->last < group->through ? block->last : group->through;
		*link = block;
		link = &block->chain;
		bytes += block->length;
	}
}

static bool
capture_amendments(SluiceBuffer *buffer, SluiceGroup *group)
{
	SluiceAmendments *ours = &group->amendments;
	SluiceAmendments *theirs = &buffer->amendments;

	if (theirs->count > 0)
	{
		if (!sluice_amendments_reserve(ours, theirs->count))
			return false;
		memcpy(ours->list + ours->count, theirs->list, theirs->count * sizeof(SluiceAmendment));
		ours->count += theirs->count;
		theirs->count = 0;
	}
	for (size_t i = 0; i < ours->count; i++)
	{
		SluiceAmendment *amendment = &ours->list[i];
		const SluiceGap *gap;

		if (amendment->kind != SLUICE_AMEND_WRITE)
			continue;
		/* Settled meanwhile in part: what is left of it is next. */
		gap = sluice_gaps_find(&buffer->gaps, amendment->from);
		amendment->reason = SLUICE_REASON_NONE;
		if (gap == NULL || gap->durable_to >= gap->to)
			continue;
		amendment->from = gap->from;
		amendment->to = gap->to;
		amendment->reason = gap->reason;
	}
	return true;
}

/*
 * Numbers far enough ahead that callers need not wait for the next one of these.  It is
 * lowered only when nobody takes numbers any more: while this is written they are
 * given out up to the mark that was durable before.
 */
static void
capture_high_water(SluiceBuffer *buffer, SluiceStoreState *state, bool clean)
{
	uint64_t	wanted = buffer->next - 1 + buffer->reserve;

	if (sluice_buffer_is_each(buffer))
		return;
	if (clean)
		state->high_water = buffer->next - 1;
	else if ((buffer->wants.numbers || buffer->high_water < buffer->next - 1 + buffer->reserve / 2) &&
			 state->high_water < wanted)
		state->high_water = wanted;
	if (state->high_water < buffer->next - 1)
		state->high_water = buffer->next - 1;
}

/*
 * A record in the store may go for the sake of one that came later, of the same entity
 * or because there was no room.  That one has to be durable with it: or a crash takes both.
 */
static bool
destroys(const SluiceBuffer *buffer, const SluiceGroup *group)
{
	return group->amendments.count > 0 && buffer->stored_first != SLUICE_NO_SEQUENCE;
}

static int
capture(SluiceBuffer *buffer, SluiceGroup *group, uint64_t through, bool clean)
{
	group->more = false;
	group->removed_all = false;
	group->acked = buffer->acked;
	group->removes = buffer->stored_first <= buffer->acked;
	group->from = (buffer->written > buffer->acked ? buffer->written : buffer->acked) + 1;
	group->through = through < buffer->next ? through : buffer->next - 1;
	if (!capture_amendments(buffer, group))
	{
		group->blocks = NULL;
		return SLUICE_ERROR_MEMORY;
	}
	if (destroys(buffer, group))
		group->through = buffer->next - 1;
	buffer->captures += buffer->captures == UINT_MAX ? 2 : 1;
	group->capture = buffer->captures;
	capture_blocks(buffer, group);
	sluice_group_fill_state(buffer, &group->state, group->through);
	capture_high_water(buffer, &group->state, clean);
	return SLUICE_OK;
}

/* ---- write; no lock held ---- */

static int
write_amendment(SluiceStore *store, const SluiceAmendment *amendment)
{
	int			code = SLUICE_OK;

	if (amendment->kind == SLUICE_AMEND_ERASE)
		return sluice_store_remove_gap(store, amendment->from);
	for (uint64_t sequence = amendment->from; code == SLUICE_OK && sequence <= amendment->to; sequence++)
		code = sluice_store_remove(store, sequence);
	return code;
}

static int
write_gap(SluiceStore *store, const SluiceAmendment *amendment)
{
	SluiceStoreGap gap = {amendment->from, amendment->to, amendment->reason};

	return amendment->reason != SLUICE_REASON_NONE ? sluice_store_put_gap(store, &gap) : SLUICE_OK;
}

static int
write_amendments(SluiceStore *store, const SluiceAmendments *amendments, bool gaps)
{
	int			code = SLUICE_OK;

	for (size_t i = 0; code == SLUICE_OK && i < amendments->count; i++)
	{
		const SluiceAmendment *amendment = &amendments->list[i];

		if ((amendment->kind == SLUICE_AMEND_WRITE) != gaps)
			continue;
		code = gaps ? write_gap(store, amendment) : write_amendment(store, amendment);
	}
	return code;
}

int
sluice_group_write_record(SluiceStore *store, const SluiceBlock *block, uint64_t sequence)
{
	const SluiceBlockRecord *record = sluice_block_record(block, sequence);
	const uint8_t *bytes = block->content->bytes;
	SluiceStoreRecord stored = {
		.sequence = sequence,
		.at = block->at + record->after,
		.bytes = bytes + record->offset,
		.length = record->length
	};

	if (record->entity > 0)
	{
		stored.entity = (const char *) bytes + record->entity;
		stored.entity_length = bytes[record->entity - 1];
	}
	return sluice_store_put(store, &stored);
}

/*
 * What was dropped since the capture is written all the same: what this transaction
 * drops may have been dropped for it.  Its own drop is in the next one.
 */
static bool
is_captured(const SluiceGroup *group, const SluiceBlock *block, uint64_t sequence)
{
	SluiceBlockRecord *record = sluice_block_record(block, sequence);
	unsigned	dropped = atomic_load_explicit(&record->dropped, memory_order_relaxed);

	return record->length > 0 && (dropped == 0 || dropped == group->capture);
}

static int
write_block(SluiceStore *store, const SluiceGroup *group, const SluiceBlock *block)
{
	uint64_t	sequence = block->first > group->from ? block->first : group->from;
	int			code = SLUICE_OK;

	for (; code == SLUICE_OK && sequence <= block->chain_last; sequence++)
	{
		if (is_captured(group, block, sequence))
			code = sluice_group_write_record(store, block, sequence);
	}
	return code;
}

static int
write_blocks(SluiceStore *store, const SluiceGroup *group)
{
	int			code = SLUICE_OK;

	for (const SluiceBlock *block = group->blocks; code == SLUICE_OK && block != NULL; block = block->chain)
		code = write_block(store, group, block);
	return code;
}

static int
remove_settled(SluiceStore *store, SluiceGroup *group)
{
	size_t		removed = 0;
	int			code = SLUICE_OK;

	if (group->removes)
	{
		code = sluice_store_remove_through(store, group->acked, GROUP_REMOVES, &removed);
		group->removed_all = removed < GROUP_REMOVES;
		group->more |= !group->removed_all;
	}
	if (code == SLUICE_OK)
		code = sluice_store_remove_gaps_through(store, group->acked);
	return code;
}

/* What goes first makes room for what comes. */
static int
write_all(SluiceStore *store, SluiceGroup *group)
{
	int			code = sluice_store_begin(store);

	if (code == SLUICE_OK)
		code = write_amendments(store, &group->amendments, false);
	if (code == SLUICE_OK)
		code = remove_settled(store, group);
	if (code == SLUICE_OK)
		code = write_blocks(store, group);
	if (code == SLUICE_OK)
		code = write_amendments(store, &group->amendments, true);
	if (code == SLUICE_OK)
		code = sluice_store_put_state(store, &group->state);
	if (code == SLUICE_OK)
		return sluice_store_commit(store);
	sluice_store_abort(store);
	return code;
}

/* ---- count; lock held ---- */

static void
unpin_blocks(SluiceBuffer *buffer, SluiceGroup *group)
{
	while (group->blocks != NULL)
	{
		SluiceBlock *block = group->blocks;

		group->blocks = block->chain;
		sluice_buffer_unpin(buffer, block);
	}
}

static void
count_gaps(SluiceBuffer *buffer, SluiceGroup *group)
{
	for (size_t i = 0; i < group->amendments.count; i++)
	{
		const SluiceAmendment *amendment = &group->amendments.list[i];
		SluiceGap  *gap;

		if (amendment->kind != SLUICE_AMEND_WRITE || amendment->reason == SLUICE_REASON_NONE)
			continue;
		gap = sluice_gaps_find(&buffer->gaps, amendment->from);
		if (gap != NULL && gap->from >= amendment->from && gap->from <= amendment->to &&
			gap->durable_to < amendment->to)
			gap->durable_to = amendment->to < gap->to ? amendment->to : gap->to;
	}
	group->amendments.count = 0;
}

static void
count_store(SluiceBuffer *buffer, const SluiceGroup *group)
{
	if (group->removed_all && buffer->stored_first != SLUICE_NO_SEQUENCE)
	{
		if (buffer->stored_last > group->acked)
			buffer->stored_first = group->acked + 1;
		else
		{
			buffer->stored_first = SLUICE_NO_SEQUENCE;
			buffer->may_compact = true;
		}
	}
	if (group->through < group->from)
		return;
	if (buffer->stored_first > group->from)
		buffer->stored_first = group->from;
	if (buffer->stored_last < group->through)
		buffer->stored_last = group->through;
	if (buffer->written < group->through)
		buffer->written = group->through;
}

static void
answer_waiters(SluiceBuffer *buffer, uint64_t through, int code)
{
	while (buffer->waiters != NULL && buffer->waiters->sequence <= through)
	{
		SluiceWaiter *waiter = buffer->waiters;

		buffer->waiters = waiter->next;
		buffer->nwaiters--;
		waiter->code = code;
		waiter->done = true;
	}
}

static void
count_success(SluiceBuffer *buffer, SluiceGroup *group)
{
	count_store(buffer, group);
	count_gaps(buffer, group);
	buffer->high_water = group->state.high_water;
	buffer->acked_durable = group->acked;
	buffer->counts.syncs++;
	answer_waiters(buffer, buffer->written, SLUICE_OK);
}

/* What was staged was never there. */
static void
take_back(SluiceBuffer *buffer)
{
	SluiceBlock *block;

	while ((block = sluice_blocks_last(&buffer->blocks)) != NULL && block->last > buffer->written)
	{
		buffer->bytes -= block->bytes;
		if (block->content != NULL)
			sluice_block_truncate(block, buffer->written);
		else if (block->first <= buffer->written)
			block->last = buffer->written;	/* all of it was dropped, and its content let go */
		buffer->bytes += block->bytes;
		if (block->first <= buffer->written)
			break;
		sluice_blocks_remove_last(&buffer->blocks);
		sluice_buffer_release_content(buffer, block);
		sluice_block_free(block);
	}
	sluice_gaps_remove_above(&buffer->gaps, buffer->written);
	buffer->next = buffer->written + 1;
}

static void
count_failure(SluiceBuffer *buffer, int code)
{
	buffer->failures++;
	buffer->failure = sluice_group_error(code);
	if (!sluice_buffer_is_each(buffer))
		return;
	take_back(buffer);
	answer_waiters(buffer, UINT64_MAX, buffer->failure);
}

int
sluice_group_write(SluiceBuffer *buffer, SluiceGroup *group, uint64_t through, bool clean)
{
	int			code;

	pthread_mutex_lock(&buffer->store_lock);
	pthread_mutex_lock(&buffer->lock);
	code = capture(buffer, group, through, clean);
	pthread_mutex_unlock(&buffer->lock);
	if (code == SLUICE_OK)
		code = write_all(buffer->store, group);
	pthread_mutex_lock(&buffer->lock);
	unpin_blocks(buffer, group);
	if (code == SLUICE_OK)
		count_success(buffer, group);
	else
		count_failure(buffer, code);
	if (buffer->waiters != NULL)
		group->more = false;	/* they want a transaction of their own first */
	pthread_cond_broadcast(&buffer->committed);
	pthread_mutex_unlock(&buffer->lock);
	pthread_mutex_unlock(&buffer->store_lock);
	return code;
}

int
sluice_group_commit_state(SluiceBuffer *buffer, const SluiceStoreState *state,
						  int (*write) (SluiceStore *store, void *argument), void *argument)
{
	int			code = sluice_store_begin(buffer->store);

	if (code == SLUICE_OK && write != NULL)
		code = write(buffer->store, argument);
	if (code == SLUICE_OK)
		code = sluice_store_put_state(buffer->store, state);
	if (code == SLUICE_OK)
		code = sluice_store_commit(buffer->store);
	else
		sluice_store_abort(buffer->store);
	if (code != SLUICE_OK)
		return sluice_group_error(code);
	pthread_mutex_lock(&buffer->lock);
	buffer->counts.syncs++;
	pthread_mutex_unlock(&buffer->lock);
	return SLUICE_OK;
}
