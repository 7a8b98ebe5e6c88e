/*
 * buffer_full_test.c
 *		Records that are given up: by a full buffer, by compaction, by the server's limits.
 */
#include "buffer_scenario.h"

static void
test_too_large(void)
{
	SluiceStoreCounts counts;

	begin(SLUICE_DURABILITY_INTERVAL);
	server.record_bytes = 1000;
	open_buffer();
	put_range(1, 3);
	put_sized(4, 5000, "pump", NULL);
	put(5);
	put_sized(6, 200000, NULL, NULL);
	put(7);
	connect_buffer();
	ok(put_sized(8, 5000, NULL, NULL) == SLUICE_ERROR_TOO_LARGE, "a record over the known limit is refused");
	ok(drain() && server.last == 7 && has(1, 3, 0) && has(5, 5, 0) && has(7, 7, 0), "what else there is goes through");
	ok(are_gaps(4, 4, SLUICE_REASON_TOO_LARGE) && are_gaps(6, 6, SLUICE_REASON_TOO_LARGE) &&
	   is_told(4, 4, SLUICE_VERDICT_SET_ASIDE, SLUICE_REASON_TOO_LARGE), "a larger one in the buffer is declared, and told");
	sluice_store_counts(buffer->store, &counts);
	ok(counts.dead == 2 && buffer->counts.set_aside == 2 && buffer->bytes == 0, "and is kept as a dead letter");
	sluice_buffer_disconnected(buffer);
	close_buffer();

	settings.durability = SLUICE_DURABILITY_EACH;
	open_buffer();
	put_sized(8, 3000, NULL, NULL);
	put(9);
	reopen();
	connect_buffer();
	ok(drain() && are_gaps(8, 8, SLUICE_REASON_TOO_LARGE) && has(9, 9, 0), "also where it is in the store only");
	sluice_store_counts(buffer->store, &counts);
	ok(counts.dead == 3 && counts.records <= 2, "and again it is kept");
	close_buffer();
	directory_remove(directory);
}

/* What records count for is an average after a restart; one that is set aside counts for more. */
static void
test_too_large_among_dropped(void)
{
	begin(SLUICE_DURABILITY_INTERVAL);
	server.record_bytes = 100000;
	open_buffer();
	put_range(1, 100);
	put_sized(101, 200000, NULL, NULL);
	settings.max_records = 50;
	settings.full = SLUICE_FULL_DROP_OLDEST;
	reopen();
	ok(put(102) == SLUICE_OK && connect_buffer() == SLUICE_OK && drain() && has(53, 100, 0) && has(102, 102, 0) &&
	   are_gaps(1, 52, SLUICE_REASON_FULL) && are_gaps(101, 101, SLUICE_REASON_TOO_LARGE),
	   "one that is too large, behind others that were dropped unread");
	ok(buffer->bytes == 0, "the books of the buffer's size are even");
	ok(put_range(103, 140) == SLUICE_OK && drain() && has(103, 140, 0), "and there is room");
	close_buffer();
	directory_remove(directory);
}

static void
test_full(void)
{
	begin(SLUICE_DURABILITY_INTERVAL);
	settings.max_records = 10;
	settings.full = SLUICE_FULL_FAIL;
	open_buffer();
	ok(put_range(1, 10) == SLUICE_OK && put(11) == SLUICE_ERROR_FULL, "fail: a full buffer refuses");
	settings.full = SLUICE_FULL_BLOCK;
	settings.block_timeout = 5 * SLUICE_MILLISECOND;
	reopen();
	ok(put(11) == SLUICE_ERROR_FULL, "block: only for so long");
	settings.full = SLUICE_FULL_DROP_NEWEST;
	reopen();
	ok(put(11) == SLUICE_OK && put(12) == SLUICE_OK && buffer->next == 13, "drop_newest: it takes a number");
	settings.full = SLUICE_FULL_DROP_OLDEST;
	reopen();
	ok(put_range(13, 16) == SLUICE_OK, "drop_oldest: it is put in");
	connect_buffer();
	ok(drain() && are_gaps(1, 4, SLUICE_REASON_FULL) && has(5, 10, 0) && are_gaps(11, 12, SLUICE_REASON_NEWEST) && has(13, 16, 0),
	   "the server is told exactly what was dropped");
	ok(is_told(1, 4, SLUICE_VERDICT_DROPPED, SLUICE_REASON_FULL) && is_told(11, 12, SLUICE_VERDICT_DROPPED, SLUICE_REASON_NEWEST) &&
	   buffer->counts.dropped == 6 && buffer->counts.stored == 10, "and so is the caller");
	close_buffer();
	directory_remove(directory);
}

/* What was sent is not dropped; what the server has of it counts, not the wish. */
static void
test_proposals(void)
{
	begin(SLUICE_DURABILITY_INTERVAL);
	settings.max_records = 10;
	settings.full = SLUICE_FULL_DROP_OLDEST;
	open_buffer();
	connect_buffer();
	put_range(1, 6);
	publish(false);
	put_range(7, 13);
	ok(buffer->gaps.total == 3 && sluice_gaps_at(&buffer->gaps, 7) != NULL && sluice_gaps_at(&buffer->gaps, 6) == NULL,
	   "what is in flight is not dropped");
	sluice_buffer_disconnected(buffer);
	put_range(14, 16);
	ok(sluice_gaps_at(&buffer->gaps, 3) != NULL, "after the cut it may be");
	ok(connect_buffer() == SLUICE_OK && is_told(1, 6, SLUICE_VERDICT_STORED, SLUICE_REASON_NONE),
	   "but the server has it: that is what is told");
	ok(drain() && are_gaps(7, 9, SLUICE_REASON_FULL) && has(10, 16, 0), "the rest of the drops is declared");
	close_buffer();
	directory_remove(directory);
}

static void
test_compaction(SluiceDurability durability, const char *name)
{
	char		entity[8];
	uint64_t	stored = 0;
	bool		newest = true;

	begin(durability);
	settings.compact = true;
	open_buffer();
	for (uint64_t id = 1; id <= 100; id++)
	{
		snprintf(entity, sizeof(entity), "e%d", (int) (id % 7));
		put_sized(id, 40, entity, NULL);
		if (id == 50)
			reopen();
	}
	ok(sluice_buffer_records(buffer) == 7 && buffer->bytes == 280, name);
	connect_buffer();
	newest = drain();
	for (uint64_t s = 1; s <= server.last; s++)
	{
		stored += server.fates[s - 1].id != 0;
		newest = newest && (server.fates[s - 1].id != 0) == (s > 93);
	}
	ok(newest && stored == 7, "and only the newest of each entity is sent");
	close_buffer();
	directory_remove(directory);
}

/* Nor is it compacted: the server may have it already. */
static void
test_compaction_in_flight(void)
{
	begin(SLUICE_DURABILITY_INTERVAL);
	settings.compact = true;
	open_buffer();
	connect_buffer();
	put_sized(1, 40, "pump", NULL);
	publish(false);
	put_sized(2, 40, "pump", NULL);
	put_sized(3, 40, "pump", NULL);
	ok(buffer->gaps.total == 1 && sluice_gaps_at(&buffer->gaps, 2) != NULL, "compaction leaves alone what is in flight");
	ok(sluice_buffer_settle(buffer, 1, NULL, 0) == SLUICE_OK && drain() && has(1, 1, 0) && has(3, 3, 0) &&
	   is_told(2, 2, SLUICE_VERDICT_DROPPED, SLUICE_REASON_COMPACTED), "and tells what it took");
	close_buffer();
	directory_remove(directory);
}

/* The store lost some: what can be read goes through, the rest is declared. */
static void
test_damaged(void)
{
	begin(SLUICE_DURABILITY_EACH);
	open_buffer();
	put_range(1, 20);
	reopen();
	pthread_mutex_lock(&buffer->store_lock);
	sluice_store_begin(buffer->store);
	sluice_store_remove(buffer->store, 1);
	sluice_store_remove(buffer->store, 7);
	sluice_store_remove(buffer->store, 8);
	sluice_store_remove(buffer->store, 20);
	sluice_store_commit(buffer->store);
	pthread_mutex_unlock(&buffer->store_lock);
	connect_buffer();
	ok(drain() && has(2, 6, 0) && has(9, 19, 0), "what is still in a damaged store is sent");
	ok(are_gaps(1, 1, SLUICE_REASON_DAMAGED) && are_gaps(7, 8, SLUICE_REASON_DAMAGED) && are_gaps(20, 20, SLUICE_REASON_DAMAGED) &&
	   buffer->counts.lost == 4 && buffer->bytes == 0, "what is not is declared");
	close_buffer();
	directory_remove(directory);
}

int
main(void)
{
	test_too_large();
	test_too_large_among_dropped();
	test_full();
	test_proposals();
	test_compaction(SLUICE_DURABILITY_INTERVAL, "compaction keeps one record of each entity");
	test_compaction(SLUICE_DURABILITY_EACH, "so it does with durability each");
	test_compaction_in_flight();
	test_damaged();
	free(server.fates);
	return done_testing();
}
