/*
 * buffer_offline_test.c
 *		Records that give way to later ones while there is no server: nothing that was on disk
 *		goes before its successor is there, and what is remembered of them is bounded.
 */
#include "buffer_scenario.h"

static bool
is_gap_durable(uint64_t sequence)
{
	const SluiceGap *gap = sluice_gaps_at(&buffer->gaps, sequence);

	return gap != NULL && gap->durable_to >= sequence;
}

/* As soon as the store has given up `sequence`: how far are records written? */
static uint64_t
written_when_given_up(uint64_t sequence)
{
	int64_t		deadline = sluice_clock_now() + 10 * SLUICE_SECOND;
	uint64_t	written = 0;

	while (written == 0 && sluice_clock_now() < deadline)
	{
		pthread_mutex_lock(&buffer->lock);
		if (is_gap_durable(sequence))
			written = buffer->written;
		pthread_mutex_unlock(&buffer->lock);
		usleep(100);
	}
	return written;
}

static void
test_successor(SluiceDurability durability, bool compact, const char *name)
{
	begin(durability);
	settings.interval = 200 * SLUICE_MILLISECOND;
	settings.compact = compact;
	settings.max_records = compact ? 1000 : 1;
	settings.full = SLUICE_FULL_DROP_OLDEST;
	open_buffer();
	put_sized(1, 50, "pump", NULL);
	reopen();
	put_sized(2, 50, "pump", NULL);
	ok(written_when_given_up(1) == 2, name);
	close_buffer();
	directory_remove(directory);
}

/* hot: every second record is of one entity; the others are each of a new one. */
static void
test_memory(bool hot, const char *name)
{
	char		entity[16];

	begin(SLUICE_DURABILITY_INTERVAL);
	settings.compact = true;
	settings.max_records = 100;
	settings.full = SLUICE_FULL_DROP_OLDEST;
	open_buffer();
	for (uint64_t id = 1; id <= 20000; id++)
	{
		snprintf(entity, sizeof(entity), "%llu", hot && id % 2 ? 0 : (unsigned long long) id);
		put_sized(id, 40, entity, NULL);
	}
	ok(sluice_buffer_records(buffer) == 100 && buffer->entities.count < 1000 && buffer->gaps.count < 2 * SLUICE_GAPS_EXACT, name);
	printf("# %zu entities, %zu gaps\n", buffer->entities.count, buffer->gaps.count);
	reopen();
	connect_buffer();
	ok(drain() && server.last == 20000 && has(20000, 20000, 0), "and the account is whole");
	close_buffer();
	directory_remove(directory);
}

/* What lies together in the store need not fit together into what the server takes. */
static void
test_large(uint64_t limit, size_t large, const char *name)
{
	begin(SLUICE_DURABILITY_INTERVAL);
	server.record_bytes = server.batch_bytes = limit;
	open_buffer();
	for (uint64_t id = 1; id <= 50; id++)
		put_sized(id, 1000, NULL, NULL);
	put_sized(51, large, NULL, NULL);
	reopen();
	connect_buffer();
	ok(drain() && server.wrong == NULL && has(1, 51, 0), name);
	close_buffer();
	directory_remove(directory);
}

int
main(void)
{
	test_large(1 << 20, 1000000, "a large record behind small ones is sent alone");
	test_large(32768, 1000, "a block of records is sent in parts where the server takes less");
	test_successor(SLUICE_DURABILITY_INTERVAL, true, "interval: compaction takes a stored record with the write of its successor");
	test_successor(SLUICE_DURABILITY_INTERVAL, false, "so does a full buffer");
	test_successor(SLUICE_DURABILITY_NONE, true, "none: compaction takes a stored record with the write of its successor");
	test_successor(SLUICE_DURABILITY_NONE, false, "so does a full buffer");
	test_memory(false, "ever new entities are forgotten with their records");
	test_memory(true, "a hot entity does not leave a gap for each of its records");
	free(server.fates);
	return done_testing();
}
