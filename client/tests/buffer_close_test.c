/*
 * buffer_close_test.c
 *		Closing a buffer: what was in memory only gets to the disk, and what is empty is given back.
 */
#include "buffer_scenario.h"
#include "fault.h"

/* In the process with the fault. */
static int
close_with_fault(void)
{
	Fault		fault = fault_find();
	bool		kept;

	begin(SLUICE_DURABILITY_NONE);
	open_buffer();
	put_range(1, 1000);
	fault.set(1);
	fault.arm(1);
	kept = sluice_buffer_close(buffer) == SLUICE_OK && fault.hits() > 0;
	fault.arm(0);
	kept = kept && open_buffer() == SLUICE_OK && sluice_buffer_records(buffer) == 1000;
	close_buffer();
	directory_remove(directory);
	free(server.fates);
	return kept && server.wrong == NULL ? 0 : 1;
}

static uint64_t
file_bytes(void)
{
	char		path[300];
	struct stat status;

	snprintf(path, sizeof(path), "%s/data.mdb", directory);
	return stat(path, &status) == 0 ? (uint64_t) status.st_blocks * 512 : UINT64_MAX;
}

/* A program that drains its backlog and ends. */
static void
test_drained(void)
{
	begin(SLUICE_DURABILITY_INTERVAL);
	settings.interval = 3600 * SLUICE_SECOND;
	settings.memory = 1 << 20;
	open_buffer();
	for (uint64_t id = 1; id <= 20000; id++)
		put_sized(id, 2000, NULL, NULL);
	ok(file_bytes() > 16 << 20, "a backlog makes a large file");
	connect_buffer();
	ok(drain() && has(1, 20000, 0), "it is drained");
	close_buffer();
	ok(file_bytes() < 1 << 20, "and closed at once: the file is small");
	ok(open_buffer() == SLUICE_OK && buffer->next == 20001 && sluice_buffer_records(buffer) == 0, "and whole");
	close_buffer();
	directory_remove(directory);
}

/* A large file of which nothing is used any more. */
static void
make_hollow_store(void)
{
	SluiceStoreSettings store_settings = {.directory = directory, .stream = "s", .mode = SLUICE_STORE_OWN, .map_bytes = 1 << 30};
	static const uint8_t bytes[3000];
	SluiceStoreRecord record = {.bytes = bytes, .length = sizeof(bytes)};
	SluiceStore *store;
	char		set_aside[256];
	size_t		removed;

	if (sluice_store_open(&store_settings, &store, set_aside, sizeof(set_aside), &error) != SLUICE_OK)
		return;
	sluice_store_begin(store);
	for (record.sequence = 1; record.sequence <= 10000; record.sequence++)
		sluice_store_put(store, &record);
	sluice_store_commit(store);
	sluice_store_begin(store);
	sluice_store_remove_through(store, 10000, 20000, &removed);
	sluice_store_commit(store);
	sluice_store_close(store);
}

static void
test_hollow(void)
{
	int64_t		deadline = sluice_clock_now() + 10 * SLUICE_SECOND;

	begin(SLUICE_DURABILITY_INTERVAL);
	make_hollow_store();
	ok(file_bytes() > 16 << 20, "a run that was killed leaves a large file");
	open_buffer();
	while (file_bytes() > 1 << 20 && sluice_clock_now() < deadline)
		usleep(1000);
	ok(file_bytes() < 1 << 20, "the next one makes it small though nothing is put in");
	close_buffer();
	directory_remove(directory);
}

int
main(int argc, char **argv)
{
	(void) argv;
	if (argc > 1)
		return close_with_fault();
	ok(run_with("fault.so", "SLUICE_FAULT", "write:0:EIO:1", "fault") == 0, "a write that fails once at close loses nothing");
	ok(run_with("fault.so", "SLUICE_FAULT", "sync:0:EIO:1", "fault") == 0, "nor does a sync");
	ok(run_with("fault.so", "SLUICE_FAULT", "sync:0:EIO:3", "fault") == 0, "nor do some");
	ok(run_with("fault.so", "SLUICE_FAULT", "memory:0:ENOMEM:1", "fault") == 0, "nor does an allocation");
	test_drained();
	test_hollow();
	free(server.fates);
	return done_testing();
}
