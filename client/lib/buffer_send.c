/*
 * buffer_send.c
 *		Batches for the publisher.
 *
 * A batch is planned with the lock held, as pieces: records in memory, records in the
 * store, gaps.  With that it is claimed, and then put together without the lock.  Records that were
 * let go are read from the store straight into the batch.
 */
#include "buffer_internal.h"

#include <stdlib.h>
#include <string.h>

#include "encoding.h"

#define PIECES_MAX 128
#define MEMORY_PAUSE (SLUICE_SECOND / 10)
#define DISK_PAUSE SLUICE_SECOND

typedef struct Piece
{
	enum
	{
		PIECE_MEMORY,
		PIECE_STORE,
		PIECE_GAP
	}			kind;
	uint64_t	from;
	uint64_t	to;
	int			reason;
	SluiceBlock *block;			/* of records in memory: pinned */
	uint32_t	offset;
	uint32_t	length;
} Piece;

typedef struct Plan
{
	Piece		pieces[PIECES_MAX];
	int			npieces;
	uint64_t	next;			/* the sequence after all of them */
	size_t		room;			/* bytes of entries at most, but for a single record */
	size_t		bytes;			/* at most */
	uint32_t	entries_room;
	uint32_t	entries;
	bool		full;
	SluiceBlock *too_large;		/* begins with records that the server may not take */
} Plan;

/* ---- the plan: lock held ---- */

/* What may be sent has a number below this. */
static uint64_t
sendable(const SluiceBuffer *buffer)
{
	return (sluice_buffer_is_each(buffer) ? buffer->written : buffer->next - 1) + 1;
}

static Piece *
add_piece(Plan *plan, int kind, uint64_t to)
{
	Piece	   *piece = &plan->pieces[plan->npieces++];

	piece->kind = kind;
	piece->from = plan->next;
	piece->to = to;
	plan->next = to + 1;
	plan->full = plan->npieces == PIECES_MAX;
	return piece;
}

/* False: it has to become durable first. */
static bool
plan_gap(SluiceBuffer *buffer, Plan *plan, SluiceGap *gap, uint64_t end)
{
	Piece	   *last = plan->npieces > 0 ? &plan->pieces[plan->npieces - 1] : NULL;
	uint64_t	to = gap->to < gap->durable_to ? gap->to : gap->durable_to;

	if (to < plan->next)
	{
		buffer->wants.gaps = true;
		sluice_writer_wake(buffer);
		return false;
	}
	if (to >= end)
		to = end - 1;
	if (last != NULL && last->kind == PIECE_GAP && last->reason == gap->reason)
	{
		gap->sent = true;
		last->to = to;
		plan->next = to + 1;
		return true;
	}
	if (plan->entries >= plan->entries_room || plan->bytes + SLUICE_GAP_ENTRY_MAX > plan->room)
		plan->full = true;
	else
	{
		gap->sent = true;
		add_piece(plan, PIECE_GAP, to)->reason = gap->reason;
		plan->bytes += SLUICE_GAP_ENTRY_MAX;
		plan->entries++;
	}
	return true;
}

/* How many of the records from..last of a block in memory have room. */
static uint64_t
count_fitting(const Plan *plan, const SluiceBlock *block, uint64_t last)
{
	const SluiceBlockRecord *first = sluice_block_record(block, plan->next);
	uint64_t	low = 0;
	uint64_t	high = last - plan->next + 1;

	if (high > plan->entries_room - plan->entries)
		high = plan->entries_room - plan->entries;
	while (low < high)
	{
		uint64_t	middle = low + (high - low + 1) / 2;
		const SluiceBlockRecord *record = first + middle - 1;

		if (plan->bytes + record->offset + record->length - first->offset <= plan->room)
			low = middle;
		else
			high = middle - 1;
	}
	return low == 0 && plan->npieces == 0 ? 1 : low;
}

static void
plan_memory(Plan *plan, SluiceBlock *block, uint64_t last)
{
	uint64_t	count = count_fitting(plan, block, last);
	const SluiceBlockRecord *first = sluice_block_record(block, plan->next);
	const SluiceBlockRecord *end = first + count - 1;
	bool		full = plan->next + count <= last;
	Piece	   *piece;

	if (count > 0)
	{
		piece = add_piece(plan, PIECE_MEMORY, plan->next + count - 1);
		piece->block = block;
		piece->offset = first->offset;
		piece->length = end->offset + end->length - first->offset;
		block->pins++;
		plan->bytes += piece->length;
		plan->entries += (uint32_t) count;
	}
	plan->full |= full;
}

static void
plan_store(Plan *plan, const SluiceBlock *block, uint64_t last)
{
	uint32_t	room = plan->entries_room - plan->entries;

	if (plan->npieces > 0 && (plan->bytes + block->length > plan->room || room == 0))
	{
		plan->full = true;
		return;
	}
	if (last - plan->next >= room)
	{
		last = plan->next + room - 1;
		plan->full = true;
	}
	plan->entries += (uint32_t) (last - plan->next + 1);
	plan->bytes += block->length;
	add_piece(plan, PIECE_STORE, last);
	plan->full |= plan->bytes >= plan->room;
}

static void
plan_records(SluiceBuffer *buffer, Plan *plan, SluiceBlock *block, uint64_t last)
{
	if (buffer->record_bytes > 0 && block->largest > buffer->record_bytes)
	{
		plan->too_large = block;
		plan->full = true;
	}
	else if (block->content != NULL)
		plan_memory(plan, block, last);
	else
		plan_store(plan, block, last);
}

static void
make_plan(SluiceBuffer *buffer, Plan *plan)
{
	uint64_t	end = sendable(buffer);
	SluiceGap  *gap = sluice_gaps_find(&buffer->gaps, plan->next);
	size_t		index = sluice_blocks_find(&buffer->blocks, plan->next);

	while (plan->next < end && !plan->full)
	{
		SluiceBlock *block;
		uint64_t	last;

		while (gap != NULL && gap->to < plan->next)
			gap = gap->next[0];
		if (gap != NULL && gap->from <= plan->next)
		{
			if (!plan_gap(buffer, plan, gap, end))
				break;
			continue;
		}
		while (sluice_blocks_get(&buffer->blocks, index)->last < plan->next)
			index++;
		block = sluice_blocks_get(&buffer->blocks, index);
		last = block->last < end ? block->last : end - 1;
		if (gap != NULL && gap->from <= last)
			last = gap->from - 1;
		plan_records(buffer, plan, block, last);
	}
}

static void
begin_plan(const SluiceBuffer *buffer, Plan *plan)
{
	uint64_t	bytes = buffer->settings.batch_bytes;

	if (buffer->batch_bytes > 0 && buffer->batch_bytes < bytes)
		bytes = buffer->batch_bytes;
	plan->npieces = 0;
	plan->next = buffer->claimed + 1;
	plan->room = bytes > SLUICE_BATCH_HEADER_MAX + SLUICE_GAP_ENTRY_MAX ? bytes - SLUICE_BATCH_HEADER_MAX : SLUICE_GAP_ENTRY_MAX;
	plan->bytes = 0;
	plan->entries_room = buffer->batch_records > 0 ? buffer->batch_records : UINT32_MAX;
	plan->entries = 0;
	plan->full = false;
	plan->too_large = NULL;
}

static void
unpin_pieces(SluiceBuffer *buffer, const Plan *plan)
{
	for (int i = 0; i < plan->npieces; i++)
	{
		if (plan->pieces[i].kind == PIECE_MEMORY)
			sluice_buffer_unpin(buffer, plan->pieces[i].block);
	}
}

/* A batch that is not full may wait for more. */
static bool
lingers(SluiceBuffer *buffer, const Plan *plan, int64_t linger, int64_t *due)
{
	int64_t		now;

	if (plan->full || linger <= 0)
		return false;
	now = sluice_clock_now();
	if (buffer->lingering == 0)
		buffer->lingering = now;
	else if (now - buffer->lingering >= linger)
		return false;
	*due = buffer->lingering + linger;
	buffer->missing = plan->room - plan->bytes;
	buffer->wants_ready = true;
	return true;
}

/* ---- putting it together: no lock held ---- */

typedef struct Copy
{
	SluiceBuffer *buffer;
	uint8_t    *at;
	uint8_t    *end;
	uint8_t    *limit;			/* of what the server takes; only a single record may go beyond it */
	uint64_t	next;
	uint64_t	to;				/* of the piece in the store */
	uint32_t	records;
	uint32_t	gaps;
	bool		full;
	uint64_t	missing;		/* from `next` on so many are not in the store */
	int			code;
} Copy;

static bool
copy_stored(void *argument, const SluiceStoreRecord *record)
{
	Copy	   *copy = argument;

	if (record->sequence != copy->next)
	{
		copy->missing = (record->sequence <= copy->to ? record->sequence : copy->to + 1) - copy->next;
		return false;
	}
	if (record->length > (size_t) (copy->end - copy->at) ||
		(copy->records + copy->gaps > 0 && copy->at + record->length > copy->limit))
	{
		copy->full = true;
		return false;
	}
	memcpy(copy->at, record->bytes, record->length);
	copy->at += record->length;
	copy->records++;
	return copy->next++ < copy->to;
}

static void
copy_from_store(Copy *copy, const Piece *piece)
{
	int			code;

	copy->to = piece->to;
	code = sluice_store_scan(copy->buffer->store, piece->from, copy_stored, copy);
	if (copy->next > copy->to || copy->full || copy->missing > 0)
		return;
	if (code == SLUICE_ERROR_DAMAGED)
		copy->missing = 1;
	else if (code == SLUICE_OK)
		copy->missing = copy->to - copy->next + 1;
	else
		copy->code = code;
}

/* Up to the first piece that could not be copied whole. */
static void
copy_pieces(Copy *copy, const Plan *plan)
{
	for (int i = 0; i < plan->npieces && copy->next == plan->pieces[i].from; i++)
	{
		const Piece *piece = &plan->pieces[i];

		switch (piece->kind)
		{
			case PIECE_MEMORY:
				memcpy(copy->at, piece->block->content->bytes + piece->offset, piece->length);
				copy->at += piece->length;
				copy->records += (uint32_t) (piece->to - piece->from + 1);
				copy->next = piece->to + 1;
				break;
			case PIECE_GAP:
				copy->at = sluice_gap_write(copy->at, piece->from, piece->to, piece->reason);
				copy->gaps++;
				copy->next = piece->to + 1;
				break;
			default:
				copy_from_store(copy, piece);
		}
	}
}

static bool
make_outgoing_room(SluiceBuffer *buffer, size_t size)
{
	uint8_t    *larger;

	if (size <= buffer->outgoing_size)
		return true;
	larger = malloc(size);
	if (larger == NULL)
		return false;
	free(buffer->outgoing);
	buffer->outgoing = larger;
	buffer->outgoing_size = size;
	return true;
}

/* The header goes right before the entries. */
static void
frame(SluiceBuffer *buffer, const Copy *copy, SluiceOutgoing *outgoing)
{
	uint8_t		header[SLUICE_BATCH_HEADER_MAX];
	uint8_t    *entries = buffer->outgoing + SLUICE_BATCH_HEADER_MAX;
	size_t		length = (size_t) (sluice_batch_header_write(header, (size_t) (copy->at - entries)) - header);

	memcpy(entries - length, header, length);
	outgoing->bytes = entries - length;
	outgoing->length = length + (size_t) (copy->at - entries);
	outgoing->through = copy->next - 1;
	outgoing->records = copy->records;
	outgoing->block = buffer->outgoing;
}

/* Lock held: records that should be in the store are not, or not whole. */
static void
declare_missing(SluiceBuffer *buffer, uint64_t first, uint64_t count)
{
	int			code = SLUICE_OK;

	for (uint64_t i = 0; code == SLUICE_OK && i < count; i++)
		code = sluice_buffer_drop(buffer, first + i, SLUICE_REASON_DAMAGED);
	buffer->wants.gaps = true;
	sluice_writer_wake(buffer);
}

/* Lock held. */
static void
count_batch(SluiceBuffer *buffer, const Copy *copy, const SluiceOutgoing *outgoing)
{
	buffer->counts.sent += copy->records;
	if (outgoing->first <= buffer->run_sent)
	{
		uint64_t	again = buffer->run_sent - outgoing->first + 1;

		buffer->counts.resent += again < copy->records ? again : copy->records;
	}
	if (outgoing->through > buffer->run_sent)
		buffer->run_sent = outgoing->through;
	sluice_flight_add(&buffer->flight, outgoing->through, outgoing->length, copy->records + copy->gaps);
	buffer->lingering = 0;
}

static bool
put_together(SluiceBuffer *buffer, const Plan *plan, SluiceOutgoing *outgoing, int64_t *due)
{
	size_t		size = plan->bytes > plan->room ? plan->bytes : plan->room;
	Copy		copy = {.buffer = buffer, .next = outgoing->first};
	bool		room = make_outgoing_room(buffer, size + SLUICE_BATCH_HEADER_MAX);

	if (room)
	{
		copy.at = buffer->outgoing + SLUICE_BATCH_HEADER_MAX;
		copy.end = copy.at + size;
		copy.limit = copy.at + plan->room;
		copy_pieces(&copy, plan);
		frame(buffer, &copy, outgoing);
	}
	pthread_mutex_lock(&buffer->lock);
	unpin_pieces(buffer, plan);
	buffer->claimed = copy.next - 1;
	if (copy.next > outgoing->first)
		count_batch(buffer, &copy, outgoing);
	else
		*due = sluice_clock_now() + (room ? DISK_PAUSE : MEMORY_PAUSE);
	if (copy.missing > 0)
	{
		declare_missing(buffer, copy.next, copy.missing);
		buffer->wants_ready = true;
	}
	pthread_mutex_unlock(&buffer->lock);
	if (copy.missing > 0)
		sluice_buffer_log(buffer, SLUICE_LEVEL_ERROR, "%llu buffered records from %llu on are damaged",
						  (unsigned long long) copy.missing, (unsigned long long) copy.next);
	return copy.next > outgoing->first;
}

/* ---- the publisher's calls ---- */

/* Lock held.  False: there is nothing, or it may wait. */
static bool
plan_batch(SluiceBuffer *buffer, Plan *plan, int64_t linger, int64_t *due)
{
	begin_plan(buffer, plan);
	make_plan(buffer, plan);
	if (plan->npieces == 0)
	{
		buffer->wants_ready = true;
		buffer->missing = 0;
		return false;
	}
	if (!lingers(buffer, plan, linger, due))
		return true;
	unpin_pieces(buffer, plan);
	return false;
}

bool
sluice_buffer_next(SluiceBuffer *buffer, int64_t linger, SluiceOutgoing *outgoing, int64_t *due)
{
	Plan		plan = {.too_large = NULL};
	bool		planned = false;

	*due = SLUICE_NEVER;
	pthread_mutex_lock(&buffer->lock);
	buffer->wants_ready = false;
	if (buffer->connected && buffer->flight.bytes < buffer->settings.window_bytes)
		planned = plan_batch(buffer, &plan, linger, due);
	while (plan.npieces == 0 && plan.too_large != NULL)
	{
		uint64_t	from = plan.next;

		pthread_mutex_unlock(&buffer->lock);
		if (sluice_buffer_set_aside(buffer, plan.too_large, from) != SLUICE_OK)
		{
			*due = sluice_clock_now() + DISK_PAUSE;
			return false;
		}
		pthread_mutex_lock(&buffer->lock);
		planned = plan_batch(buffer, &plan, linger, due);
	}
	outgoing->first = buffer->claimed + 1;
	if (planned)
		buffer->claimed = plan.next - 1;
	pthread_mutex_unlock(&buffer->lock);
	return planned && put_together(buffer, &plan, outgoing, due);
}

void
sluice_buffer_sent(SluiceBuffer *buffer, SluiceOutgoing *outgoing)
{
	(void) buffer;
	outgoing->block = NULL;
}

uint64_t
sluice_buffer_in_flight(SluiceBuffer *buffer)
{
	uint64_t	entries;

	pthread_mutex_lock(&buffer->lock);
	entries = buffer->flight.entries;
	pthread_mutex_unlock(&buffer->lock);
	return entries;
}
