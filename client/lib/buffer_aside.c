/*
 * buffer_aside.c
 *		Records that the server does not take are set aside (rule P15).
 *
 * In one transaction the record moves to the dead letters of the store, and a gap takes its place.
 */
#include "buffer_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "encoding.h"

typedef struct Large
{
	uint64_t	sequence;
	int64_t		at;
	uint8_t    *entry;			/* NULL: in the store only */
	size_t		entry_length;
	char		entity[SLUICE_ENTITY_LENGTH_MAX];
	size_t		entity_length;
	uint64_t	size;
} Large;

/* Records from..last of a block, one after the other. */
typedef struct Search
{
	uint64_t	limit;
	uint64_t	last;
	Large	   *large;
	bool		found;
} Search;

static bool
look_at_stored(void *argument, const SluiceStoreRecord *record)
{
	Search	   *search = argument;
	SluiceEntry entry;

	if (record->sequence > search->last)
		return false;
	if (sluice_entry_read(record->bytes, record->length, &entry) == 0 ||
		(uint64_t) entry.payload_length + entry.key_length <= search->limit)
		return true;
	search->large->sequence = record->sequence;
	search->large->size = (uint64_t) entry.payload_length + entry.key_length;
	search->found = true;
	return false;
}

/* Lock held.  A copy: the record may never have been written. */
static int
copy_from_memory(const SluiceBlock *block, uint64_t sequence, Large *large)
{
	const SluiceBlockRecord *record = sluice_block_record(block, sequence);
	const uint8_t *bytes = block->content->bytes;

	large->entry = malloc(record->length);
	if (large->entry == NULL)
		return SLUICE_ERROR_MEMORY;
	memcpy(large->entry, bytes + record->offset, record->length);
	large->entry_length = record->length;
	large->sequence = sequence;
	large->at = block->at + record->after;
	large->size = record->size;
	if (record->entity > 0)
	{
		large->entity_length = bytes[record->entity - 1];
		memcpy(large->entity, bytes + record->entity, large->entity_length);
	}
	return SLUICE_OK;
}

/* The first one from `from` on.  *in_memory: it was to be found there, or not at all. */
static int
find_in_memory(SluiceBuffer *buffer, SluiceBlock *block, uint64_t from, Large *large, bool *in_memory, bool *found)
{
	int			code = SLUICE_OK;

	pthread_mutex_lock(&buffer->lock);
	*in_memory = block->content != NULL;
	for (uint64_t sequence = from; *in_memory && !*found && sequence <= block->last; sequence++)
	{
		if (!sluice_block_holds(block, sequence) ||
			sluice_block_record(block, sequence)->size <= buffer->record_bytes)
			continue;
		*found = true;
		code = copy_from_memory(block, sequence, large);
	}
	pthread_mutex_unlock(&buffer->lock);
	return code;
}

static int
find_large(SluiceBuffer *buffer, SluiceBlock *block, uint64_t from, Large *large, bool *found)
{
	Search		search = {.limit = buffer->record_bytes, .large = large};
	bool		in_memory;
	int			code = find_in_memory(buffer, block, from, large, &in_memory, found);

	if (in_memory)
		return code;
	search.last = block->last;
	code = sluice_store_scan(buffer->store, from, look_at_stored, &search);
	*found = search.found;
	return code;
}

/* ---- one record ---- */

typedef struct Aside
{
	const Large *large;
	char		why[128];
} Aside;

static int
write_aside(SluiceStore *store, void *argument)
{
	Aside	   *aside = argument;
	const Large *large = aside->large;
	SluiceStoreRecord record = {
		.sequence = large->sequence,
		.at = large->at,
		.bytes = large->entry,
		.length = (uint32_t) large->entry_length,
		.entity = large->entity_length > 0 ? large->entity : NULL,
		.entity_length = (uint32_t) large->entity_length
	};
	SluiceStoreGap gap = {large->sequence, large->sequence, SLUICE_REASON_TOO_LARGE};
	int			code = sluice_store_set_aside(store, &record, aside->why);

	return code == SLUICE_OK ? sluice_store_put_gap(store, &gap) : code;
}

/* It has been sent aside: so it is here.  Lock held. */
static int
count_aside(SluiceBuffer *buffer, SluiceBlock *block, const Large *large)
{
	uint64_t	size = large->size;

	if (!sluice_gaps_add_stored(&buffer->gaps, large->sequence, large->sequence, SLUICE_REASON_TOO_LARGE, false))
		return SLUICE_ERROR_MEMORY;
	if (block->content != NULL)
		atomic_store_explicit(&sluice_block_record(block, large->sequence)->dropped, true, memory_order_relaxed);
	block->live--;
	/* What a block counts for is an average where its records are not in memory: the buffer counts the same. */
	if (block->live == 0 || size > block->bytes)
		size = block->bytes;
	block->bytes -= size;
	buffer->bytes -= size;
	return SLUICE_OK;
}

/*
 * Nobody drops it meanwhile: it is claimed.  Where there is no memory for the gap at the
 * end, the record is found again, and set aside again, which changes nothing.
 */
static int
set_aside(SluiceBuffer *buffer, SluiceBlock *block, const Large *large)
{
	Aside		aside = {.large = large};
	SluiceStoreState state;
	int			code;

	snprintf(aside.why, sizeof(aside.why), "the record has %llu bytes; the server takes up to %llu",
			 (unsigned long long) large->size, (unsigned long long) buffer->record_bytes);
	pthread_mutex_lock(&buffer->store_lock);
	pthread_mutex_lock(&buffer->lock);
	sluice_group_fill_state(buffer, &state, 0);
	pthread_mutex_unlock(&buffer->lock);
	code = sluice_group_commit_state(buffer, &state, write_aside, &aside);
	pthread_mutex_lock(&buffer->lock);
	if (code == SLUICE_OK)
		code = count_aside(buffer, block, large);
	pthread_mutex_unlock(&buffer->lock);
	pthread_mutex_unlock(&buffer->store_lock);
	return code;
}

/*
 * With durability each what is staged may still be taken back, and its number be given to another
 * record: so all of the block is to be written first.  What comes after that was admitted by the limit.
 */
static int
wait_for_block(SluiceBuffer *buffer, const SluiceBlock *block)
{
	uint64_t	last = block->last;
	int			code = SLUICE_OK;

	while (code == SLUICE_OK && sluice_buffer_is_each(buffer) && buffer->written < last)
		code = sluice_writer_ask(buffer, &buffer->wants.state);
	return code;
}

/* The whole block is claimed meanwhile, so that nothing of it is dropped. */
int
sluice_buffer_set_aside(SluiceBuffer *buffer, SluiceBlock *block, uint64_t from)
{
	uint64_t	claimed;
	int			code;
	bool		found = true;

	pthread_mutex_lock(&buffer->lock);
	code = wait_for_block(buffer, block);
	claimed = buffer->claimed;
	buffer->claimed = buffer->next - 1;
	pthread_mutex_unlock(&buffer->lock);
	while (code == SLUICE_OK && found)
	{
		Large		large = {.entry = NULL};

		found = false;
		code = find_large(buffer, block, from, &large, &found);
		if (code == SLUICE_OK && found)
			code = set_aside(buffer, block, &large);
		if (code == SLUICE_OK && found)
			sluice_buffer_log(buffer, SLUICE_LEVEL_WARNING, "record %llu is too large for the server and is set aside",
							  (unsigned long long) large.sequence);
		from = large.sequence + 1;
		free(large.entry);
	}
	pthread_mutex_lock(&buffer->lock);
	buffer->claimed = claimed;
	if (buffer->waiting > 0)
		pthread_cond_broadcast(&buffer->settled);
	if (code == SLUICE_OK)
		block->largest = (uint32_t) buffer->record_bytes;
	pthread_mutex_unlock(&buffer->lock);
	return code;
}
