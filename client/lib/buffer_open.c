/*
 * buffer_open.c
 *		Opening a buffer: what the last run left (rule P2).
 *
 * Numbers go on above all that can have been given out: up to the tail's, where the
 * last run was in this boot, else up to the high-water mark.  Of those above acked_through
 * every one must be a record or a gap: what is neither was in the memory of a process that died, and is
 * declared as a lost tail.  With that, and a new nonce, the run begins, in one transaction.
 */
#include "buffer_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#define RESERVE_FIRST 65536
#define MAP_BYTES_MIN ((uint64_t) 256 << 20)

/* ---- what is in the store ---- */

typedef struct Inventory
{
	SluiceBuffer *buffer;
	uint64_t	next;			/* every sequence below it is a record or a gap */
	int			code;
} Inventory;

static bool
take_gap(void *argument, const SluiceStoreGap *gap)
{
	Inventory  *inventory = argument;
	uint64_t	from = gap->from > inventory->next ? gap->from : inventory->next;

	if (from > gap->to)
		return true;
	if (!sluice_gaps_add_stored(&inventory->buffer->gaps, from, gap->to, gap->reason, true))
		inventory->code = SLUICE_ERROR_MEMORY;
	inventory->next = gap->to + 1;
	return inventory->code == SLUICE_OK;
}

/* From inventory->next up to `to` there is no record. */
static void
declare_lost(Inventory *inventory, uint64_t to)
{
	SluiceGaps *gaps = &inventory->buffer->gaps;

	while (inventory->code == SLUICE_OK && inventory->next <= to)
	{
		SluiceGap  *gap = sluice_gaps_find(gaps, inventory->next);
		uint64_t	end = to;

		if (gap != NULL && gap->from <= inventory->next)
		{
			inventory->next = gap->to + 1;
			continue;
		}
		if (gap != NULL && gap->from <= to)
			end = gap->from - 1;
		if (!sluice_gaps_add_stored(gaps, inventory->next, end, SLUICE_REASON_LOST_TAIL, true))
			inventory->code = SLUICE_ERROR_MEMORY;
		else
			sluice_gaps_at(gaps, end)->durable_to = 0;
		inventory->next = end + 1;
	}
}

static SluiceBlock *
block_for(SluiceBuffer *buffer, uint64_t sequence, int64_t at)
{
	SluiceBlock *last = sluice_blocks_last(&buffer->blocks);

	if (last != NULL && last->live < SLUICE_BLOCK_RECORDS && last->length < SLUICE_BLOCK_BYTES)
		return last;
	if (!sluice_blocks_reserve(&buffer->blocks, 1) || (last = sluice_block_create_stored(sequence)) == NULL)
		return NULL;
	last->at = at;
	sluice_blocks_append(&buffer->blocks, last);
	return last;
}

/* A record that became a gap is not there any more, whatever is in the store. */
static bool
forget_record(Inventory *inventory, uint64_t sequence)
{
	SluiceAmendments *amendments = &inventory->buffer->amendments;

	if (sluice_amendments_reserve(amendments, 1))
		sluice_amendments_drop(amendments, sequence, sequence);
	else
		inventory->code = SLUICE_ERROR_MEMORY;
	return inventory->code == SLUICE_OK;
}

static bool
take_record(void *argument, const SluiceStoreRecord *record)
{
	Inventory  *inventory = argument;
	SluiceBuffer *buffer = inventory->buffer;
	sluice_record named = {.entity = record->entity, .entity_length = record->entity_length};
	SluiceBlock *block;
	uint32_t	size;

	if (buffer->stored_first == SLUICE_NO_SEQUENCE)
		buffer->stored_first = record->sequence;
	buffer->stored_last = record->sequence;
	if (sluice_gaps_at(&buffer->gaps, record->sequence) != NULL)
		return forget_record(inventory, record->sequence);
	declare_lost(inventory, record->sequence - 1);
	block = block_for(buffer, record->sequence, record->at);
	if (inventory->code != SLUICE_OK || block == NULL)
	{
		inventory->code = SLUICE_ERROR_MEMORY;
		return false;
	}
	size = sluice_block_stored_size(record->bytes, record->length);
	sluice_block_append_stored(block, record->sequence, record->length, size);
	buffer->bytes += size;
	inventory->next = record->sequence + 1;
	buffer->next = inventory->next;
	inventory->code = sluice_buffer_note_entity(buffer, &named, record->sequence);
	return inventory->code == SLUICE_OK;
}

/* ---- numbers ---- */

static uint64_t
max(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* The highest number that can have been given out; what is known of it without the last run's memory. */
static uint64_t
find_end(SluiceBuffer *buffer, uint64_t highest, bool *exact)
{
	const SluiceStoreState *state = &buffer->state;
	uint64_t	end = max(max(highest, state->acked_through), max(state->next - 1, state->sent_floor));
	uint64_t	tail;

	*exact = state->high_water <= end;
	if (*exact)
		return end;
	*exact = sluice_tail_read(buffer->tail, &tail);
	return *exact ? max(end, tail) : state->high_water;
}

static int
take_inventory(SluiceBuffer *buffer)
{
	uint64_t	acked = buffer->state.acked_through;
	Inventory	inventory = {.buffer = buffer, .next = acked + 1};
	uint64_t	highest_gap;
	bool		exact;
	int			code = sluice_store_scan_gaps(buffer->store, acked + 1, take_gap, &inventory);

	highest_gap = inventory.next - 1;
	inventory.next = acked + 1;
	buffer->acked = acked;
	buffer->acked_durable = acked;
	buffer->stored_first = SLUICE_NO_SEQUENCE;
	if (code == SLUICE_OK && inventory.code == SLUICE_OK)
		code = sluice_store_scan(buffer->store, acked + 1, take_record, &inventory);
	if (code == SLUICE_OK)
		code = inventory.code;
	if (code != SLUICE_OK)
		return code;
	buffer->next = find_end(buffer, max(highest_gap, inventory.next - 1), &exact) + 1;
	declare_lost(&inventory, buffer->next - 1);

	/* Of what was settled something may still be there; finding out is as dear as removing it. */
	buffer->stored_first = acked > 0 ? 0 : buffer->stored_first;
	buffer->written = buffer->next - 1;
	buffer->may_compact = true;	/* the last run may have had no time for it */
	buffer->mark = buffer->next - 1;
	buffer->reserved_at = buffer->next;
	return inventory.code;
}

/* ---- the run ---- */

/*
 * The list is full: the oldest goes that is older than the confirmed one.  If there
 * is none, any of the others may be the one that the server has, and the newest serves again.
 */
static bool
make_nonce_room(SluiceStoreState *state)
{
	if (state->nnonces < SLUICE_NONCES_MAX)
		return true;
	if (state->confirmed_nonce == 0 || state->nonces[0] == state->confirmed_nonce)
		return false;
	memmove(state->nonces, state->nonces + 1, (size_t) --state->nnonces * sizeof(state->nonces[0]));
	return true;
}

static int
add_nonce(SluiceStoreState *state)
{
	uint64_t	nonce = 0;

	if (!make_nonce_room(state))
		return SLUICE_OK;
	while (nonce == 0)
	{
		if (getrandom(&nonce, sizeof(nonce), 0) != sizeof(nonce))
			return SLUICE_ERROR_DISK;
	}
	state->nonces[state->nnonces++] = nonce;
	return SLUICE_OK;
}

static int
write_gaps(SluiceStore *store, void *argument)
{
	SluiceBuffer *buffer = argument;
	int			code = SLUICE_OK;

	for (const SluiceGap *gap = buffer->gaps.first[0]; code == SLUICE_OK && gap != NULL; gap = gap->next[0])
	{
		SluiceStoreGap stored = {gap->from, gap->to, gap->reason};

		if (gap->durable_to < gap->to && gap->reason == SLUICE_REASON_LOST_TAIL)
			code = sluice_store_put_gap(store, &stored);
	}
	return code;
}

/*
 * What this buffer can have sent rises to all that was given out, if the run
 * that did could send at all.
 */
static int
begin_run(SluiceBuffer *buffer)
{
	SluiceStoreState *state = &buffer->state;
	SluiceStoreState written;
	uint64_t	lost = 0;
	int			code = add_nonce(state);

	if (code != SLUICE_OK)
		return code;
	if (state->may_send)
		state->sent_floor = buffer->next - 1;
	state->may_send = false;
	buffer->reserve = RESERVE_FIRST;
	buffer->high_water = buffer->next - 1 + (sluice_buffer_is_each(buffer) ? 0 : buffer->reserve);
	sluice_group_fill_state(buffer, &written, 0);
	code = sluice_group_commit_state(buffer, &written, write_gaps, buffer);
	if (code != SLUICE_OK)
		return code;
	for (SluiceGap *gap = buffer->gaps.first[0]; gap != NULL; gap = gap->next[0])
	{
		if (gap->durable_to < gap->to && gap->reason == SLUICE_REASON_LOST_TAIL)
		{
			gap->durable_to = gap->to;
			lost += gap->to - gap->from + 1;
		}
	}
	if (lost > 0)
		sluice_buffer_log(buffer, SLUICE_LEVEL_WARNING, "the last run did not end cleanly: up to %" PRIu64
						  " records that were not on disk are declared as lost where the server does not have them", lost);
	return SLUICE_OK;
}

/* ---- files ---- */

/* Without a tail of this run an earlier run's must not speak for it. */
static int
open_tail(SluiceBuffer *buffer)
{
	char		path[PATH_MAX];

	buffer->tail = sluice_tail_open(buffer->settings.buffer, buffer->state.producer_id);
	if (buffer->tail != NULL)
		return SLUICE_OK;
	snprintf(path, sizeof(path), "%s/tail", buffer->settings.buffer);
	return unlink(path) == 0 || errno == ENOENT ? SLUICE_OK : SLUICE_ERROR_DISK;
}

/* Of max_bytes each may be a record of a byte; the rest is what pages that are changed need beside. */
static uint64_t
map_bytes(const SluiceSettings *settings)
{
	uint64_t	records = settings->max_records * 64;
	uint64_t	bytes = settings->max_bytes * 2;

	return MAP_BYTES_MIN + bytes + (records < bytes * 4 ? records : bytes * 4);
}

static int
open_store(SluiceBuffer *buffer, SluiceError *error)
{
	SluiceStoreSettings settings = {
		.directory = buffer->settings.buffer,
		.stream = buffer->settings.stream != NULL ? buffer->settings.stream : "",
		.mode = SLUICE_STORE_OWN,
		.map_bytes = map_bytes(&buffer->settings)
	};
	char		set_aside[PATH_MAX] = "";
	int			code = sluice_store_open(&settings, &buffer->store, set_aside, sizeof(set_aside), error);

	if (set_aside[0] != '\0')
		sluice_buffer_log(buffer, SLUICE_LEVEL_ERROR, "the buffer was damaged and is set aside as \"%s\"; a new one is begun", set_aside);
	if (code != SLUICE_OK)
	{
		buffer->store = NULL;
		return code;
	}
	buffer->state = *sluice_store_state(buffer->store);
	if (strcmp(buffer->state.stream, settings.stream) != 0)
		return sluice_error_set(error, SLUICE_ERROR_OPTION, "the buffer in \"%s\" was made for the stream \"%s\", not \"%s\"",
								settings.directory, buffer->state.stream, settings.stream);
	return SLUICE_OK;
}

static int
check_condition(const SluiceStoreState *state, SluiceError *error)
{
	if (state->condition == SLUICE_OK)
		return SLUICE_OK;
	return sluice_error_set(error, state->condition,
							"%s (at sequence %" PRIu64 "); everything is kept: see sluice buffer repair --new-identity",
							sluice_error_text(state->condition), state->server_sequence);
}

static int
tell_failure(const SluiceBuffer *buffer, int code, SluiceError *error)
{
	return sluice_error_set(error, sluice_group_error(code), "could not open the buffer in \"%s\": %s",
							buffer->settings.buffer,
							code == SLUICE_ERROR_MEMORY ? sluice_error_text(code) : sluice_store_message(buffer->store));
}

static int
prepare(SluiceBuffer *buffer, SluiceError *error)
{
	int			code = open_store(buffer, error);

	if (code == SLUICE_OK)
		code = check_condition(&buffer->state, error);
	if (code != SLUICE_OK)
		return code;
	code = open_tail(buffer);
	if (code == SLUICE_OK)
		code = take_inventory(buffer);
	if (code == SLUICE_OK)
		code = begin_run(buffer);
	if (code != SLUICE_OK)
		return tell_failure(buffer, code, error);
	if (buffer->tail != NULL)
		sluice_tail_write(buffer->tail, buffer->next - 1);
	code = sluice_writer_start(buffer);
	return code == SLUICE_OK ? code : sluice_error_set(error, code, "could not start a thread");
}

static SluiceBuffer *
create(const SluiceSettings *settings)
{
	SluiceBuffer *buffer = calloc(1, sizeof(SluiceBuffer));
	pthread_condattr_t attributes;

	if (buffer == NULL)
		return NULL;
	buffer->settings = *settings;
	buffer->next = 1;
	buffer->captures = 1;
	pthread_mutex_init(&buffer->lock, NULL);
	pthread_mutex_init(&buffer->store_lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&buffer->committed, &attributes);
	pthread_cond_init(&buffer->settled, &attributes);
	pthread_cond_init(&buffer->writer_wake, &attributes);
	pthread_cond_init(&buffer->ready_done, &attributes);
	pthread_condattr_destroy(&attributes);
	return buffer;
}

int
sluice_buffer_open(const SluiceSettings *settings, SluiceBuffer **buffer, SluiceError *error)
{
	SluiceBuffer *made = create(settings);
	int			code;

	*buffer = NULL;
	if (made == NULL)
		return sluice_error_set(error, SLUICE_ERROR_MEMORY, "out of memory");
	code = prepare(made, error);
	if (code != SLUICE_OK)
	{
		sluice_buffer_free(made);
		return code;
	}
	*buffer = made;
	return SLUICE_OK;
}
