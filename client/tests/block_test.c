/*
 * block_test.c
 *		Blocks: what is put in comes out, grows only while it fits, and can be taken back; their order.
 */
#include "tap.h"

#include <stdlib.h>

#include "blocks.h"
#include "encoding.h"

static sluice_record
make_record(uint64_t sequence)
{
	static char payload[2000];
	static char entity[40];

	memset(payload, (int) sequence, sizeof(payload));
	memset(entity, (int) sequence, sizeof(entity));
	return (sluice_record) {.payload = payload, .payload_length = sequence * 7 % 1500,
		.entity = sequence % 3 == 0 ? entity : NULL, .entity_length = sequence % 3 == 0 ? 1 + sequence % 39 : 0};
}

static size_t
entry_length(uint64_t sequence, const sluice_record *record)
{
	return sluice_entry_size(sequence, record->payload_length, 0);
}

static bool
holds(const SluiceBlock *block, uint64_t sequence)
{
	sluice_record record = make_record(sequence);
	const SluiceBlockRecord *found = sluice_block_record(block, sequence);
	const uint8_t *bytes = block->content->bytes;
	SluiceEntry entry;

	return sluice_entry_read(bytes + found->offset, found->length, &entry) == found->length && entry.sequence == sequence &&
		entry.payload_length == record.payload_length && memcmp(entry.payload, record.payload, entry.payload_length) == 0 &&
		found->size == record.payload_length && found->after == sequence &&
		(found->entity > 0) == (record.entity_length > 0) &&
		(found->entity == 0 || (bytes[found->entity - 1] == record.entity_length &&
								memcmp(bytes + found->entity, record.entity, record.entity_length) == 0));
}

static uint64_t
fill(SluiceBlock *block, uint64_t sequence)
{
	for (;; sequence++)
	{
		sluice_record record = make_record(sequence);
		size_t		length = entry_length(sequence, &record);

		if (!sluice_block_fits(block, length, record.entity_length, (int64_t) sequence))
			return sequence - 1;
		sluice_block_append(block, &record, length, (int64_t) sequence);
		block->at = 0;
	}
}

static void
test_content(void)
{
	SluiceBlock *block = sluice_block_create(1, 100, 10);
	uint64_t	last = fill(block, 1);
	uint64_t	bytes = block->bytes;
	bool		good = true;

	/* The first one's time is the block's. */
	sluice_block_record(block, 1)->after = 1;
	for (uint64_t s = 1; s <= last; s++)
		good = good && holds(block, s);
	ok(good && last > 50 && block->last == last && block->live == last, "what is put in comes out");
	ok(block->content->end <= block->content->entities, "entries and entities do not meet");
	sluice_block_truncate(block, last / 2);
	ok(block->last == last / 2 && block->live == last / 2 && block->bytes < bytes, "the end can be taken back");
	ok(fill(block, last / 2 + 1) == last && block->bytes == bytes && holds(block, last / 2) && holds(block, last),
	   "and put in again");
	sluice_block_truncate(block, 0);
	ok(block->live == 0 && block->bytes == 0 && block->length == 0 && block->content->end == 0, "all of it can be taken back");
	sluice_block_skip(block, 1);
	ok(block->last == 1 && !sluice_block_holds(block, 1) && block->live == 0, "a sequence without a record is not held");
	sluice_block_free(block);
	block = sluice_block_create(5, 1000000, 200);
	ok(sluice_block_fits(block, 1000000, 200, 0) && block->content->taken < 1010000, "a large record gets a block of its own");
	sluice_block_free(block);
}

static void
test_order(void)
{
	SluiceBlocks blocks = {.count = 0};
	bool		good = true;

	for (uint64_t i = 100; i < 300; i++)
	{
		SluiceBlock *block = sluice_block_create_stored(i * 10);

		good = good && sluice_blocks_reserve(&blocks, 1);
		block->last = i * 10 + 4;
		sluice_blocks_append(&blocks, block);
		if (i % 3 == 0)
		{
			sluice_block_free(sluice_blocks_get(&blocks, 0));
			sluice_blocks_remove_first(&blocks);
		}
	}
	ok(good && sluice_blocks_reserve(&blocks, 1), "there is room");
	sluice_blocks_prepend(&blocks, sluice_block_create_stored(1));
	sluice_blocks_get(&blocks, 0)->last = 3;
	ok(sluice_blocks_at(&blocks, 2)->first == 1 && sluice_blocks_at(&blocks, 4) == NULL, "one can be put before");
	for (uint64_t i = 200; i < 300; i++)
	{
		good = good && sluice_blocks_at(&blocks, i * 10 + 3)->first == i * 10 && sluice_blocks_at(&blocks, i * 10 + 5) == NULL &&
			(i == 299 || sluice_blocks_get(&blocks, sluice_blocks_find(&blocks, i * 10 + 5))->first == i * 10 + 10);
	}
	ok(good && sluice_blocks_find(&blocks, 3000) == blocks.count, "a sequence is found, or what comes after it");
	for (size_t i = 0; i < blocks.count; i++)
		sluice_block_free(sluice_blocks_get(&blocks, i));
	free(blocks.blocks);
}

int
main(void)
{
	test_content();
	test_order();
	return done_testing();
}
