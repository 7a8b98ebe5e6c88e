/*
 * buffer_test.c
 *		The durable buffer, one property after the other; random histories are in buffer_history_test.c.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>

#include "buffer_internal.h"
#include "buffer_directory.h"
#include "buffer_server.h"
#include "tap.h"

#define TOLD_MAX 4096

static char directory[256];
static Server server;
static SluiceSettings settings;
static SluiceBuffer *buffer;
static SluiceError error;
static sluice_delivery told[TOLD_MAX];
static int	ntold;

static void
on_delivery(void *argument, const sluice_delivery *delivery)
{
	(void) argument;
	if (ntold < TOLD_MAX)
		told[ntold++] = *delivery;
}

/* A new directory and a new server. */
static void
begin(SluiceDurability durability)
{
	directory_make(directory);
	free(server.fates);
	server_begin(&server);
	ntold = 0;
	settings = (SluiceSettings) {
		.buffer = directory,
		.stream = "s",
		.durability = durability,
		.interval = 20 * SLUICE_MILLISECOND,
		.max_records = 10000000,
		.max_bytes = 1 << 30,
		.block_timeout = SLUICE_NEVER,
		.memory = 16 << 20,
		.batch_bytes = 256 << 10,
		.window_bytes = 4 << 20,
		.on_delivery = on_delivery
	};
}

static int
open_buffer(void)
{
	error.text[0] = '\0';
	return sluice_buffer_open(&settings, &buffer, &error);
}

static int
put_sized(uint64_t id, size_t length, const char *entity, uint64_t *sequence)
{
	uint8_t    *payload = calloc(1, length);
	sluice_record record = {.payload = payload, .payload_length = length};
	int			code;

	memcpy(payload, &id, sizeof(id));
	if (entity != NULL)
	{
		record.entity = entity;
		record.entity_length = strlen(entity);
	}
	code = sluice_buffer_put(buffer, &record, sequence);
	free(payload);
	return code;
}

static int
put(uint64_t id)
{
	return put_sized(id, 50, NULL, NULL);
}

static int
put_range(uint64_t first, uint64_t last)
{
	int			code = SLUICE_OK;

	for (uint64_t id = first; code == SLUICE_OK && id <= last; id++)
		code = put(id);
	return code;
}

static int
connect_buffer(void)
{
	SluiceOpening opening;
	SluiceOpened opened;
	int			code;

	sluice_buffer_opening(buffer, &opening);
	code = server_open(&server, &opening, &opened);
	return code == SLUICE_OK ? sluice_buffer_opened(buffer, &opened) : code;
}

static int
always_stored(void *argument)
{
	(void) argument;
	return SLUICE_VERDICT_STORED;
}

/* A batch to the server, and its ack back if that is wanted.  False: nothing to send now. */
static bool
publish(bool acknowledge)
{
	static SluiceSettled exceptions[20000];
	size_t		nexceptions;
	SluiceOutgoing outgoing;
	int64_t		due;

	if (!sluice_buffer_next(buffer, 0, &outgoing, &due))
		return false;
	server_take(&server, outgoing.bytes, outgoing.length, always_stored, NULL, exceptions, &nexceptions);
	sluice_buffer_sent(buffer, &outgoing);
	if (acknowledge && sluice_buffer_settle(buffer, outgoing.through, exceptions, nexceptions) != SLUICE_OK)
		server.wrong = "an ack was refused";
	return true;
}

/* Until all is settled. */
static bool
drain(void)
{
	int64_t		deadline = sluice_clock_now() + 30 * SLUICE_SECOND;

	while (sluice_clock_now() < deadline && server.wrong == NULL)
	{
		if (sluice_buffer_flush(buffer, 0) == SLUICE_OK)
			return true;
		if (!publish(true))
			usleep(200);
	}
	printf("# not drained: %s\n", server.wrong != NULL ? server.wrong : "out of time");
	return false;
}

static void
close_buffer(void)
{
	if (sluice_buffer_close(buffer) != SLUICE_OK)
		server.wrong = "the buffer could not be closed";
}

static int
reopen(void)
{
	sluice_buffer_disconnected(buffer);
	close_buffer();
	return open_buffer();
}

/* Has the server the records first..last with the ids that are their numbers less `off`? */
static bool
has(uint64_t first, uint64_t last, uint64_t off)
{
	bool		all = server.last >= last;

	for (uint64_t s = first; all && s <= last; s++)
		all = server.fates[s - 1].id == s - off;
	return all;
}

static bool
are_gaps(uint64_t first, uint64_t last, int reason)
{
	bool		all = server.last >= last;

	for (uint64_t s = first; all && s <= last; s++)
		all = server.fates[s - 1].id == 0 && server.fates[s - 1].reason == reason;
	return all;
}

static bool
is_told(uint64_t first, uint64_t last, sluice_verdict verdict, sluice_reason reason)
{
	for (int i = 0; i < ntold; i++)
	{
		if (told[i].first == first && told[i].last == last && told[i].verdict == verdict && told[i].reason == reason)
			return true;
	}
	for (int i = 0; i < ntold; i++)
		printf("# told %llu to %llu: %d %d\n", (unsigned long long) told[i].first, (unsigned long long) told[i].last,
			   told[i].verdict, told[i].reason);
	return false;
}

static void
copy_directory(const char *from, const char *to)
{
	static const char *const names[] = {"data.mdb", "tail"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
	{
		size_t		size;
		char	   *bytes = file_read(from, names[i], &size);

		file_write(to, names[i], bytes, size);
		free(bytes);
	}
}

/* ---- the properties ---- */

static void
test_verdicts(void)
{
	SluiceSettled exceptions[] = {{2, SLUICE_VERDICT_DUPLICATE}, {4, SLUICE_VERDICT_DEAD_LETTERED}, {5, SLUICE_VERDICT_FILTERED}};
	SluiceSettled below[] = {{6, SLUICE_VERDICT_DUPLICATE}};
	SluiceOutgoing outgoing;
	int64_t		due;
	sluice_statistics statistics = {.state = SLUICE_STATE_CLOSED};

	begin(SLUICE_DURABILITY_INTERVAL);
	open_buffer();
	connect_buffer();
	put_range(1, 8);
	ok(sluice_buffer_next(buffer, 0, &outgoing, &due) && outgoing.first == 1 && outgoing.through == 8 && outgoing.records == 8,
	   "what was put is one batch");
	sluice_buffer_sent(buffer, &outgoing);
	ok(sluice_buffer_settle(buffer, 9, NULL, 0) == SLUICE_ERROR_PROTOCOL, "an ack of what was not sent breaks the protocol");
	ok(sluice_buffer_settle(buffer, 6, exceptions, 3) == SLUICE_OK, "an ack with exceptions is taken");
	ok(sluice_buffer_settle(buffer, 7, below, 1) == SLUICE_ERROR_PROTOCOL, "an exception below the ack before breaks the protocol");
	ok(sluice_buffer_settle(buffer, 5, NULL, 0) == SLUICE_ERROR_PROTOCOL, "an ack that goes back breaks the protocol");
	ok(ntold == 6 && is_told(1, 1, SLUICE_VERDICT_STORED, 0) && is_told(2, 2, SLUICE_VERDICT_DUPLICATE, 0) &&
	   is_told(4, 4, SLUICE_VERDICT_DEAD_LETTERED, 0) && is_told(5, 5, SLUICE_VERDICT_FILTERED, 0), "verdicts are told in runs, in order");
	sluice_buffer_fill_statistics(buffer, &statistics);
	ok(statistics.put == 8 && statistics.stored == 3 && statistics.duplicates == 1 && statistics.dead_lettered == 1 &&
	   statistics.filtered == 1 && statistics.buffered_records == 2 && statistics.buffered_bytes == 100 &&
	   statistics.acknowledged_through == 6 && statistics.last_sequence == 8, "statistics count each verdict, and what is left");
	ok(sluice_buffer_flush(buffer, sluice_clock_now() + SLUICE_MILLISECOND) == SLUICE_ERROR_TIMEOUT, "flush ends at its deadline");
	sluice_buffer_end(buffer, SLUICE_ERROR_CLOSED);
	ok(sluice_buffer_flush(buffer, SLUICE_NEVER) == SLUICE_ERROR_CLOSED && put(9) == SLUICE_ERROR_CLOSED,
	   "after the end nothing is put in, and nobody waits");
	close_buffer();
	directory_remove(directory);
}

static void
test_arguments(void)
{
	char		key[1100];
	sluice_record record = {.payload = "x", .payload_length = 1, .key = key, .key_length = 1025};

	begin(SLUICE_DURABILITY_NONE);
	open_buffer();
	memset(key, 'k', sizeof(key));
	ok(sluice_buffer_put(buffer, &record, NULL) == SLUICE_ERROR_INVALID, "a key that is too long is refused");
	record.key_length = 1;
	key[0] = '\xff';
	ok(sluice_buffer_put(buffer, &record, NULL) == SLUICE_ERROR_INVALID, "a key that is not UTF-8 is refused");
	record = (sluice_record) {.payload_length = 1};
	ok(sluice_buffer_put(buffer, &record, NULL) == SLUICE_ERROR_INVALID, "a payload that is not there is refused");
	record = (sluice_record) {.payload_length = 0};
	ok(sluice_buffer_put(buffer, &record, NULL) == SLUICE_OK, "an empty payload is a record");
	connect_buffer();
	ok(drain() && server.last == 1 && !server.last_is_gap, "and is sent");
	close_buffer();
	settings.stream = "another";
	ok(open_buffer() == SLUICE_ERROR_OPTION, "a buffer is for one stream");
	directory_remove(directory);
}

/* A child that dies without closing; returns how many it put. */
static uint64_t
put_and_die(uint64_t first, uint64_t count)
{
	int			pipe_ends[2];
	uint64_t	got = 0;
	uint64_t	number;
	pid_t		child;

	fflush(stdout);
	if (pipe(pipe_ends) != 0)
		return 0;
	child = fork();
	if (child == 0)
	{
		if (open_buffer() != SLUICE_OK)
			_exit(1);
		for (uint64_t id = first; id < first + count; id++)
		{
			if (put(id) == SLUICE_OK && write(pipe_ends[1], &id, sizeof(id)) < 0)
				_exit(2);
		}
		_exit(0);
	}
	close(pipe_ends[1]);
	while (read(pipe_ends[0], &number, sizeof(number)) == sizeof(number))
		got = number;
	close(pipe_ends[0]);
	waitpid(child, NULL, 0);
	return got;
}

static void
test_death(void)
{
	uint64_t	put_through;

	begin(SLUICE_DURABILITY_EACH);
	put_through = put_and_die(1, 40);
	open_buffer();
	connect_buffer();
	ok(put_through == 40 && drain() && server.last == 40 && has(1, 40, 0), "each: all that put took is there after the process died");
	close_buffer();
	directory_remove(directory);

	begin(SLUICE_DURABILITY_INTERVAL);
	put_through = put_and_die(1, 40);
	open_buffer();
	ok(buffer->next == 41, "interval: numbers go on where the process died, by the tail");
	put(41);
	connect_buffer();
	ok(drain() && server.last == 41 && has(41, 41, 0), "interval: what comes after is stored");
	ok(has(1, 40, 0) || are_gaps(40, 40, SLUICE_REASON_LOST_TAIL), "interval: what the dead process had in memory is declared");
	close_buffer();
	directory_remove(directory);
}

typedef struct Putter
{
	pthread_t	thread;
	int			count;
	int			failed;
	uint64_t	last;
	bool		descends;
} Putter;

static void *
run_putter(void *argument)
{
	Putter	   *putter = argument;

	for (int i = 0; i < putter->count; i++)
	{
		uint64_t	sequence = 0;

		putter->failed += put_sized(1, 60, NULL, &sequence) != SLUICE_OK;
		putter->descends |= sequence <= putter->last;
		putter->last = sequence;
	}
	return NULL;
}

static void
test_threads(SluiceDurability durability, int count, const char *name)
{
	Putter		putters[4] = {{.count = 0}};
	bool		good = true;
	int64_t		deadline = sluice_clock_now() + 30 * SLUICE_SECOND;

	begin(durability);
	settings.memory = 1 << 20;
	settings.max_records = 5000;
	open_buffer();
	connect_buffer();
	for (int i = 0; i < 4; i++)
	{
		putters[i].count = count;
		pthread_create(&putters[i].thread, NULL, run_putter, &putters[i]);
	}
	while (server.last < (uint64_t) count * 4 && server.wrong == NULL && sluice_clock_now() < deadline)
	{
		if (!publish(true))
			usleep(100);
	}
	for (int i = 0; i < 4; i++)
	{
		pthread_join(putters[i].thread, NULL);
		good = good && putters[i].failed == 0 && !putters[i].descends;
	}
	ok(good && server.wrong == NULL && server.last == (uint64_t) count * 4 && buffer->counts.stored == server.last, name);
	close_buffer();
	directory_remove(directory);
}

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

static void
test_copies(void)
{
	char		original[256];
	char		copy[256];

	/* The original goes on; the copy cannot have sent that. */
	begin(SLUICE_DURABILITY_EACH);
	open_buffer();
	connect_buffer();
	put_range(1, 5);
	drain();
	sluice_buffer_disconnected(buffer);
	close_buffer();
	strcpy(original, directory);
	directory_make(copy);
	copy_directory(original, copy);
	open_buffer();
	put_range(6, 9);
	connect_buffer();
	drain();
	sluice_buffer_disconnected(buffer);
	close_buffer();
	settings.buffer = copy;
	open_buffer();
	put(100);
	ok(connect_buffer() != SLUICE_OK, "a copy that lags behind is not let in");
	sluice_buffer_condemned(buffer, SLUICE_ERROR_FORKED, 9);
	ok(put(101) == SLUICE_ERROR_FORKED && sluice_buffer_flush(buffer, SLUICE_NEVER) == SLUICE_ERROR_FORKED,
	   "a condemned buffer takes nothing, and nobody waits for it");
	close_buffer();
	ok(open_buffer() == SLUICE_ERROR_FORKED && strstr(error.text, "--new-identity") != NULL,
	   "it stays condemned, and opening it says what to do");
	directory_remove(copy);
	directory_remove(original);

	/* The copy comes first: it is the original that is fenced. */
	begin(SLUICE_DURABILITY_INTERVAL);
	open_buffer();
	connect_buffer();
	put_range(1, 5);
	drain();
	sluice_buffer_disconnected(buffer);
	close_buffer();
	strcpy(original, directory);
	directory_make(copy);
	copy_directory(original, copy);
	settings.buffer = copy;
	open_buffer();
	put(6);
	ok(connect_buffer() == SLUICE_OK && drain(), "the first of two copies is let in");
	sluice_buffer_disconnected(buffer);
	close_buffer();
	settings.buffer = original;
	open_buffer();
	ok(connect_buffer() == SLUICE_ERROR_FENCED, "and the second one is fenced");
	close_buffer();
	directory_remove(copy);
	directory_remove(original);
}

/* A copy taken while it is open, in the same boot: its tail is as old as it is. */
static void
test_live_copy(void)
{
	char		original[256];
	char		copy[256];

	begin(SLUICE_DURABILITY_INTERVAL);
	open_buffer();
	connect_buffer();
	put_range(1, 5);
	drain();
	strcpy(original, directory);
	directory_make(copy);
	pthread_mutex_lock(&buffer->store_lock);
	copy_directory(original, copy);
	pthread_mutex_unlock(&buffer->store_lock);
	put_range(6, 20);
	drain();
	sluice_buffer_disconnected(buffer);
	close_buffer();
	settings.buffer = copy;
	open_buffer();
	for (uint64_t id = 1000; id < 1010; id++)
		put(id);
	ok(connect_buffer() != SLUICE_OK || (drain() && has(1, 20, 0) && server.fates[server.last - 1].id == 1009),
	   "of a copy of a buffer in use nothing is lost without a word");
	sluice_buffer_disconnected(buffer);
	close_buffer();
	directory_remove(copy);
	directory_remove(original);
}

static void
test_other_record(void)
{
	begin(SLUICE_DURABILITY_INTERVAL);
	open_buffer();
	connect_buffer();
	put_range(1, 5);
	publish(false);
	server.last_crc ^= 1;
	sluice_buffer_disconnected(buffer);
	ok(connect_buffer() == SLUICE_ERROR_FORKED, "a server that has another record under our number is found out by its sum");
	server.last_crc ^= 1;
	server.last_is_gap = true;
	ok(connect_buffer() == SLUICE_ERROR_FORKED, "so is one that has a gap there");
	server.last_is_gap = false;
	ok(connect_buffer() == SLUICE_OK && buffer->acked == 5 && buffer->counts.settled_before == 5,
	   "with our record it is settled before");
	close_buffer();
	directory_remove(directory);
}

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

static void
test_lost_by_server(SluiceDurability durability)
{
	Server		earlier = {.last = 0};

	begin(durability);
	open_buffer();
	connect_buffer();
	put_range(1, 10);
	drain();
	server_copy(&earlier, &server);
	put_range(11, 2000);
	drain();
	put_range(2001, 2010);
	sluice_buffer_disconnected(buffer);
	server_copy(&server, &earlier);
	ok(connect_buffer() == SLUICE_OK && buffer->acked == 10, "a server that lost commits is gone back to");
	ok(drain() && server.last == 2010 && has(1, 10, 0) && has(2001, 2010, 0), "what it never had comes after");
	for (uint64_t s = 11; s <= 2000; s++)
	{
		if (!has(s, s, 0) && !are_gaps(s, s, SLUICE_REASON_SERVER_LOST))
		{
			ok(false, "what it lost is sent again, or declared as lost");
			break;
		}
	}
	printf("# sent again %llu, declared %llu\n", (unsigned long long) (1990 - buffer->counts.lost), (unsigned long long) buffer->counts.lost);
	ok(reopen() == SLUICE_OK && buffer->acked == 2010 && buffer->next == 2011, "and all is settled");
	close_buffer();
	free(earlier.fates);
	directory_remove(directory);
}

/* What is settled stays in the store until the writer's next turn. */
static void
test_held(void)
{
	Server		earlier = {.last = 0};

	begin(SLUICE_DURABILITY_EACH);
	settings.interval = 3600 * SLUICE_SECOND;
	open_buffer();
	connect_buffer();
	put_range(1, 10);
	drain();
	server_copy(&earlier, &server);
	put_range(11, 200);
	drain();
	sluice_buffer_disconnected(buffer);
	server_copy(&server, &earlier);
	ok(connect_buffer() == SLUICE_OK && drain() && has(1, 200, 0), "what a server lost and is still held is sent again");
	sluice_buffer_disconnected(buffer);
	server_copy(&server, &earlier);
	ok(connect_buffer() == SLUICE_OK && buffer->acked == 10 && reopen() == SLUICE_OK && connect_buffer() == SLUICE_OK &&
	   drain() && has(1, 200, 0), "also after a restart");
	close_buffer();
	free(earlier.fates);
	directory_remove(directory);
}

static void
test_rebind(void)
{
	begin(SLUICE_DURABILITY_INTERVAL);
	open_buffer();
	connect_buffer();
	put_range(1, 10);
	drain();
	put_range(11, 12);
	sluice_buffer_disconnected(buffer);
	free(server.fates);
	server_begin(&server);
	server.uid[0] = 99;
	ok(connect_buffer() == SLUICE_ERROR_REFUSED, "another stream of this name is not ours");
	ok(sluice_buffer_rebind(buffer) == SLUICE_OK && connect_buffer() == SLUICE_OK, "after a rebind it is");
	ok(drain() && are_gaps(1, 10, SLUICE_REASON_PREVIOUS_STREAM) && has(11, 12, 0), "what the old one has is declared to it");
	ok(reopen() == SLUICE_OK && connect_buffer() == SLUICE_OK && buffer->acked == 12, "and it stays so");
	close_buffer();
	directory_remove(directory);
}

static void
test_nonces(void)
{
	SluiceOpening opening;
	bool		good = true;

	begin(SLUICE_DURABILITY_EACH);
	open_buffer();
	connect_buffer();
	for (int i = 0; good && i < 100; i++)
		good = reopen() == SLUICE_OK;
	sluice_buffer_opening(buffer, &opening);
	ok(good && opening.nnonces == 64 && connect_buffer() == SLUICE_OK, "a hundred runs without a server do not lose the nonce that it knows");
	for (int i = 0; good && i < 100; i++)
		good = reopen() == SLUICE_OK;
	ok(good && connect_buffer() == SLUICE_OK, "nor do a hundred more");
	close_buffer();
	directory_remove(directory);
}

static atomic_int ready_calls;

static void
on_ready(void *argument)
{
	(void) argument;
	atomic_fetch_add(&ready_calls, 1);
}

static void
test_ready(void)
{
	SluiceOutgoing outgoing;
	int64_t		due;
	int64_t		now = sluice_clock_now();

	begin(SLUICE_DURABILITY_INTERVAL);
	open_buffer();
	connect_buffer();
	sluice_buffer_on_ready(buffer, on_ready, NULL);
	put(1);
	ok(atomic_load(&ready_calls) == 0 && publish(true), "nobody is woken who did not ask");
	ok(!publish(true) && put_range(2, 4) == SLUICE_OK && atomic_load(&ready_calls) == 1, "who had nothing is woken once");
	ok(!sluice_buffer_next(buffer, SLUICE_SECOND, &outgoing, &due) && due > now && due < now + 5 * SLUICE_SECOND,
	   "a batch that is not full lingers");
	ok(put(5) == SLUICE_OK && atomic_load(&ready_calls) == 1, "and a record more is no reason to wake");
	put_range(6, 6000);
	ok(atomic_load(&ready_calls) == 2, "but a full batch is");
	settings.window_bytes = 1000;
	buffer->settings.window_bytes = 1000;
	ok(publish(false) && !publish(false) && sluice_buffer_in_flight(buffer) > 0, "a full window ends sending");
	sluice_buffer_on_ready(buffer, NULL, NULL);
	close_buffer();
	directory_remove(directory);
}

int
main(void)
{
	test_verdicts();
	test_arguments();
	test_death();
	test_threads(SLUICE_DURABILITY_INTERVAL, 50000, "interval: four threads, little memory, a small cap: all is stored");
	test_threads(SLUICE_DURABILITY_EACH, 300, "each: four threads: all is stored");
	test_threads(SLUICE_DURABILITY_NONE, 20000, "none: four threads: all is stored");
	test_copies();
	test_live_copy();
	test_other_record();
	test_too_large();
	test_full();
	test_proposals();
	test_compaction(SLUICE_DURABILITY_INTERVAL, "compaction keeps one record of each entity");
	test_compaction(SLUICE_DURABILITY_EACH, "so it does with durability each");
	test_lost_by_server(SLUICE_DURABILITY_INTERVAL);
	test_lost_by_server(SLUICE_DURABILITY_EACH);
	test_held();
	test_rebind();
	test_nonces();
	test_ready();
	test_backlog();
	free(server.fates);
	return done_testing();
}
