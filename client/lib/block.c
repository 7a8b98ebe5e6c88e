/*
 * block.c
 *		Records of consecutive sequences, encoded, one behind the other.
 */
#include "block.h"

#include <stdlib.h>
#include <string.h>

#include "encoding.h"

/* A larger record gets content of its own. */
static bool
is_large(size_t entry_length, size_t entity_length)
{
	return entry_length + entity_length + 2 > SLUICE_BLOCK_BYTES;
}

static size_t
bytes_for(size_t entry_length, size_t entity_length)
{
	return is_large(entry_length, entity_length) ? entry_length + entity_length + 2 : SLUICE_BLOCK_BYTES;
}

static uint32_t
records_for(size_t entry_length, size_t entity_length)
{
	return is_large(entry_length, entity_length) ? 1 : SLUICE_BLOCK_RECORDS;
}

size_t
sluice_block_takes(size_t entry_length, size_t entity_length)
{
	return sizeof(SluiceBlockContent) + records_for(entry_length, entity_length) * sizeof(SluiceBlockRecord) +
		bytes_for(entry_length, entity_length);
}

static SluiceBlockContent *
content_create(size_t entry_length, size_t entity_length)
{
	size_t		takes = sluice_block_takes(entry_length, entity_length);
	SluiceBlockContent *content = malloc(takes);

	if (content == NULL)
		return NULL;
	content->taken = takes;
	content->room = records_for(entry_length, entity_length);
	content->count = 0;
	content->end = 0;
	content->entities = (uint32_t) bytes_for(entry_length, entity_length);
	content->records = (SluiceBlockRecord *) (content + 1);
	content->bytes = (uint8_t *) (content->records + content->room);
	return content;
}

SluiceBlock *
sluice_block_create_stored(uint64_t first)
{
	SluiceBlock *block = calloc(1, sizeof(SluiceBlock));

	if (block == NULL)
		return NULL;
	block->first = first;
	block->last = first - 1;
	return block;
}

SluiceBlock *
sluice_block_create(uint64_t first, size_t entry_length, size_t entity_length)
{
	SluiceBlock *block = sluice_block_create_stored(first);

	if (block == NULL)
		return NULL;
	block->content = content_create(entry_length, entity_length);
	if (block->content == NULL)
	{
		free(block);
		return NULL;
	}
	return block;
}

void
sluice_block_free_content(SluiceBlock *block)
{
	free(block->content);
	block->content = NULL;
}

void
sluice_block_free(SluiceBlock *block)
{
	sluice_block_free_content(block);
	free(block);
}

bool
sluice_block_fits(const SluiceBlock *block, size_t entry_length, size_t entity_length, int64_t at)
{
	const SluiceBlockContent *content = block->content;

	return content != NULL && content->count < content->room &&
		entry_length + entity_length + 1 < (size_t) (content->entities - content->end) &&
		at - block->at <= UINT32_MAX / 2;
}

static SluiceBlockRecord *
next_record(SluiceBlock *block, int64_t at)
{
	SluiceBlockContent *content = block->content;
	SluiceBlockRecord *record = &content->records[content->count];

	if (content->count++ == 0)
		block->at = at;
	block->last++;
	record->offset = content->end;
	record->length = 0;
	record->size = 0;
	record->after = at > block->at ? (uint32_t) (at - block->at) : 0;
	record->entity = 0;
	atomic_init(&record->dropped, false);
	return record;
}

static uint32_t
append_entity(SluiceBlockContent *content, const char *entity, size_t length)
{
	content->entities -= (uint32_t) length;
	memcpy(content->bytes + content->entities, entity, length);
	content->bytes[--content->entities] = (uint8_t) length;
	return content->entities + 1;
}

void
sluice_block_append(SluiceBlock *block, const sluice_record *record, size_t entry_length, int64_t at)
{
	SluiceBlockRecord *made = next_record(block, at);
	SluiceBlockContent *content = block->content;
	SluiceEntry entry = {
		.sequence = block->last,
		.payload = record->payload,
		.key = (const uint8_t *) record->key,
		.payload_length = (uint32_t) record->payload_length,
		.key_length = (uint32_t) record->key_length
	};

	sluice_entry_write(content->bytes + content->end, &entry);
	content->end += (uint32_t) entry_length;
	made->length = (uint32_t) entry_length;
	made->size = entry.payload_length + entry.key_length;
	if (record->entity_length > 0)
		made->entity = append_entity(content, record->entity, record->entity_length);
	block->live++;
	block->bytes += made->size;
	block->length += entry_length;
	if (made->size > block->largest)
		block->largest = made->size;
}

uint32_t
sluice_block_stored_size(const uint8_t *bytes, size_t length)
{
	SluiceEntry entry;

	return sluice_entry_read(bytes, length, &entry) > 0 ? entry.payload_length + entry.key_length : (uint32_t) length;
}

void
sluice_block_append_stored(SluiceBlock *block, uint64_t sequence, size_t entry_length, uint32_t size)
{
	block->last = sequence;
	block->live++;
	block->bytes += size;
	block->length += entry_length;
	if (size > block->largest)
		block->largest = size;
}

void
sluice_block_skip(SluiceBlock *block, int64_t at)
{
	atomic_init(&next_record(block, at)->dropped, true);
}

void
sluice_block_truncate(SluiceBlock *block, uint64_t sequence)
{
	while (block->last > sequence && block->last >= block->first)
	{
		SluiceBlockRecord *record = sluice_block_record(block, block->last);

		if (sluice_block_holds(block, block->last))
		{
			block->live--;
			block->bytes -= record->size;
		}
		block->length -= record->length;
		if (record->entity > 0)
			block->content->entities = record->entity + block->content->bytes[record->entity - 1];
		block->content->end = record->offset;
		block->content->count--;
		block->last--;
	}
}
