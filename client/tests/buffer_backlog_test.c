/*
 * buffer_backlog_test.c
 *		A million records while the server is away: memory, order, and the file afterwards.
 */
#include "buffer_scenario.h"

static uint64_t
resident_bytes(void)
{
	FILE	   *file = fopen("/proc/self/statm", "r");
	unsigned long total = 0;
	unsigned long resident = 0;

	if (file == NULL || fscanf(file, "%lu %lu", &total, &resident) != 2)
		exit(2);
	fclose(file);
	return (uint64_t) resident * 4096;
}

/* Without the pages of the file that the kernel maps: they are not ours to give back. */
static uint64_t
private_bytes(void)
{
	FILE	   *file = fopen("/proc/self/status", "r");
	char		line[200];
	unsigned long kilobytes = 0;

	while (file != NULL && fgets(line, sizeof(line), file) != NULL)
	{
		if (sscanf(line, "RssAnon: %lu", &kilobytes) == 1)
			break;
	}
	if (file != NULL)
		fclose(file);
	return (uint64_t) kilobytes * 1024;
}

static void
test_backlog(void)
{
	const uint64_t count = 1000000;
	uint64_t	before;
	uint64_t	most;
	SluiceStoreCounts counts;
	int64_t		deadline;

	begin(SLUICE_DURABILITY_INTERVAL);
	open_buffer();
	server.fates = malloc((count + 10) * sizeof(Fate));
	server.size = count + 10;
	before = private_bytes();
	ok(put_range(1, count) == SLUICE_OK, "a million records are buffered with 16 MB of memory");
	most = private_bytes() - before;
	printf("# %llu MB of memory of our own, %llu MB resident\n", (unsigned long long) most >> 20,
		   (unsigned long long) resident_bytes() >> 20);
	ok(most < (uint64_t) 40 << 20, "and memory stays bounded");
	sluice_store_counts(buffer->store, &counts);
	printf("# %llu MB on disk\n", (unsigned long long) counts.file_bytes >> 20);
	connect_buffer();
	ok(drain() && has(1, count, 0), "they are drained in order");
	ok(private_bytes() - before < ((uint64_t) 60 << 20) + count * sizeof(Fate), "and memory stays bounded");
	for (deadline = sluice_clock_now() + 10 * SLUICE_SECOND; sluice_clock_now() < deadline; usleep(1000))
	{
		if (sluice_store_counts(buffer->store, &counts) == SLUICE_OK && counts.file_bytes <= 16 << 20)
			break;
	}
	ok(counts.file_bytes <= 16 << 20, "then the file shrinks");
	close_buffer();
	directory_remove(directory);
}

int
main(void)
{
	test_backlog();
	free(server.fates);
	return done_testing();
}
