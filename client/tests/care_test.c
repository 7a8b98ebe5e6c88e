/* care, repair, salvage: a buffer that no producer has open is looked at, and mended, by the rules. */
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "buffer_directory.h"
#include "encoding.h"
#include "settings.h"
#include "store.h"
#include "tap.h"

static char told[8192];

static void
note(void *argument, bool error, const char *text)
{
	(void) argument;
	snprintf(told + strlen(told), sizeof(told) - strlen(told), "%s%s\n", error ? "error: " : "", text);
}

static SluiceStore *
open_store(const char *directory, SluiceStoreMode mode)
{
	SluiceStoreSettings settings = {directory, "readings", mode, 64 << 20};
	SluiceStore *store = NULL;
	char		set_aside[4200];

	sluice_store_open(&settings, &store, set_aside, sizeof(set_aside), NULL);
	return store;
}

static void
put_record(SluiceStore *store, uint64_t sequence)
{
	uint8_t		bytes[200];
	char		payload[32];
	char		key[32];
	SluiceEntry entry = {sequence, (uint8_t *) payload, (uint8_t *) key, 0, 0};
	SluiceStoreRecord record = {.sequence = sequence, .at = 1000000 + (int64_t) sequence, .bytes = bytes, .entity = "e",
	.entity_length = 1};

	entry.payload_length = (uint32_t) snprintf(payload, sizeof(payload), "payload %d", (int) sequence);
	entry.key_length = sequence % 2 == 0 ? (uint32_t) snprintf(key, sizeof(key), "key %d", (int) sequence) : 0;
	record.length = (uint32_t) (sluice_entry_write(bytes, &entry) - bytes);
	sluice_store_put(store, &record);
}

/* Records 11 to 30 but for the gap 15 to 16; acknowledged through 10; all up to floor may have been sent. */
static void
make_buffer(const char *directory, int condition, uint64_t server_sequence, uint64_t floor)
{
	SluiceStore *store = open_store(directory, SLUICE_STORE_OWN);
	SluiceStoreState state = *sluice_store_state(store);
	SluiceStoreGap gap = {15, 16, SLUICE_REASON_FULL};

	state.next = 31;
	state.high_water = 30;
	state.acked_through = 10;
	state.sent_floor = floor;
	state.condition = condition;
	state.server_sequence = server_sequence;
	state.has_stream_uid = true;
	memset(state.stream_uid, 7, sizeof(state.stream_uid));
	sluice_store_begin(store);
	for (uint64_t i = 11; i <= 30; i++)
	{
		if (i < gap.from || i > gap.to)
			put_record(store, i);
	}
	sluice_store_put_gap(store, &gap);
	sluice_store_put_state(store, &state);
	sluice_store_commit(store);
	sluice_store_close(store);
}

static char dumped[8192];

static bool
dump_record(void *argument, const sluice_buffered *record)
{
	(void) argument;
	snprintf(dumped + strlen(dumped), sizeof(dumped) - strlen(dumped), "%d%s%.*s%s%.*s;", (int) record->sequence,
			 record->dead_letter ? "!" : ":", (int) record->payload_length, (const char *) record->payload,
			 record->key != NULL ? "/" : "", (int) record->key_length, record->key != NULL ? record->key : "");
	return true;
}

static const char *
dump(const char *directory)
{
	dumped[0] = '\0';
	sluice_buffer_dump(directory, dump_record, NULL);
	return dumped;
}

static sluice_buffer_statistics
statistics_of(const char *directory)
{
	sluice_buffer_statistics statistics;

	if (sluice_buffer_read_statistics(directory, &statistics, sizeof(statistics)) != SLUICE_OK)
		memset(&statistics, 0xFF, sizeof(statistics));
	return statistics;
}

static int
repair(const char *directory, sluice_repair wishes)
{
	told[0] = '\0';
	return sluice_buffer_repair(directory, &wishes, note, NULL);
}

static void
test_look(void)
{
	char		directory[256];
	sluice_buffer_statistics statistics;

	directory_make(directory);
	ok(sluice_buffer_check(directory, note, NULL) == SLUICE_ERROR_NOT_FOUND &&
	   sluice_buffer_read_statistics(directory, &statistics, sizeof(statistics)) == SLUICE_ERROR_NOT_FOUND &&
	   repair(directory, (sluice_repair) {.rebind = true}) == SLUICE_ERROR_NOT_FOUND, "where there is no buffer");
	make_buffer(directory, SLUICE_OK, 0, 0);
	told[0] = '\0';
	ok(sluice_buffer_check(directory, note, NULL) == SLUICE_OK && strstr(told, "error") == NULL, "a sound one");
	statistics = statistics_of(directory);
	ok(strcmp(statistics.stream, "readings") == 0 && statistics.records == 18 && statistics.gaps == 2 &&
	   statistics.last_sequence == 30 && statistics.acknowledged_through == 10 && statistics.oldest_at == 1000011 &&
	   statistics.condition == SLUICE_OK && statistics.dead_letters == 0, "its statistics");
	ok(strncmp(dump(directory), "11:payload 11;12:payload 12/key 12;", 35) == 0 && strstr(dumped, "30:payload 30/key 30;") != NULL,
	   "its records");
	ok(sluice_buffer_check(NULL, note, NULL) == SLUICE_ERROR_INVALID && repair(directory, (sluice_repair) {0}) == SLUICE_ERROR_INVALID &&
	   sluice_buffer_dump(directory, NULL, NULL) == SLUICE_ERROR_INVALID, "arguments that are not valid");
	directory_remove(directory);
}

static void
test_new_identity(void)
{
	char		directory[256];
	sluice_buffer_statistics before;
	sluice_buffer_statistics after;

	directory_make(directory);
	make_buffer(directory, SLUICE_OK, 0, 20);
	ok(repair(directory, (sluice_repair) {.new_identity = true}) == SLUICE_ERROR_INVALID, "not for a sound buffer");
	directory_remove(directory);

	directory_make(directory);
	make_buffer(directory, SLUICE_ERROR_FENCED, 13, 20);
	before = statistics_of(directory);
	ok(repair(directory, (sluice_repair) {.new_identity = true}) == SLUICE_ERROR_INVALID && strstr(told, "5 records, above 13 and up to 20") &&
	   statistics_of(directory).records == 18, "what both hold must be decided, and nothing was changed");
	ok(repair(directory, (sluice_repair) {.new_identity = true, .shared = SLUICE_SHARED_DROP}) == SLUICE_OK, "dropped");
	after = statistics_of(directory);
	ok(after.records == 10 && after.last_sequence == 10 && after.acknowledged_through == 0 && after.gaps == 0 &&
	   after.condition == SLUICE_OK && memcmp(before.producer_id, after.producer_id, 16) != 0, "ten of its own, as 1 to 10");
	ok(strncmp(dump(directory), "1:payload 21;2:payload 22/key 22;", 33) == 0, "in order, with their keys");
	ok(sluice_buffer_check(directory, note, NULL) == SLUICE_OK, "and sound");
	directory_remove(directory);

	directory_make(directory);
	make_buffer(directory, SLUICE_ERROR_FORKED, 13, 20);
	ok(repair(directory, (sluice_repair) {.new_identity = true, .shared = SLUICE_SHARED_KEEP}) == SLUICE_OK, "kept");
	after = statistics_of(directory);
	ok(after.records == 15 && after.last_sequence == 17 && after.gaps == 2, "with what was given up among them");
	ok(strncmp(dump(directory), "1:payload 14/key 14;4:payload 17;", 33) == 0, "at its place");
	directory_remove(directory);

	directory_make(directory);
	make_buffer(directory, SLUICE_ERROR_FORKED, 40, 20);
	ok(repair(directory, (sluice_repair) {.new_identity = true}) == SLUICE_OK && statistics_of(directory).records == 10,
	   "a server ahead of all that both can have sent has nothing of ours above that");
	directory_remove(directory);
}

static void
test_rebind(void)
{
	char		directory[256];
	sluice_buffer_statistics after;

	directory_make(directory);
	make_buffer(directory, SLUICE_OK, 0, 0);
	ok(repair(directory, (sluice_repair) {.rebind = true}) == SLUICE_OK, "rebound");
	after = statistics_of(directory);
	ok(after.records == 18 && after.gaps == 12 && after.acknowledged_through == 0, "what was acknowledged is declared");
	ok(repair(directory, (sluice_repair) {.rebind = true}) == SLUICE_ERROR_INVALID, "once");
	directory_remove(directory);
}

static void
test_dead_letters(void)
{
	char		directory[256];
	SluiceStore *store;
	SluiceStoreRecord record = {.sequence = 12};

	directory_make(directory);
	make_buffer(directory, SLUICE_ERROR_FENCED, 13, 13);
	store = open_store(directory, SLUICE_STORE_OWN);
	sluice_store_begin(store);
	sluice_store_set_aside(store, &record, "too large");
	sluice_store_commit(store);
	sluice_store_close(store);
	ok(statistics_of(directory).dead_letters == 1 && strstr(dump(directory), "12!payload 12/key 12;") != NULL, "set aside");
	ok(repair(directory, (sluice_repair) {.new_identity = true}) == SLUICE_ERROR_INVALID, "in the way of a new identity");
	ok(repair(directory, (sluice_repair) {.new_identity = true, .discard_dead_letters = true}) == SLUICE_OK &&
	   statistics_of(directory).dead_letters == 0 && statistics_of(directory).records == 15, "discarded");
	directory_remove(directory);
}

/* Spoil the page that holds this text; how often it was found. */
static int
spoil(const char *directory, const char *text)
{
	char		path[4200];
	static char bytes[1 << 22];
	int			fd;
	ssize_t		n;
	int			found = 0;

	snprintf(path, sizeof(path), "%s/data.mdb", directory);
	fd = open(path, O_RDWR);
	n = pread(fd, bytes, sizeof(bytes), 0);
	for (ssize_t i = 0; i + (ssize_t) strlen(text) <= n; i++)
	{
		if (memcmp(bytes + i, text, strlen(text)) == 0)
			found += pwrite(fd, "#", 1, i) == 1;
	}
	/* And the meta pages, so that LMDB has no way in. */
	memset(bytes, 0xAA, 4096);
	found += pwrite(fd, bytes, 4000, 16) != 4000 || pwrite(fd, bytes, 4000, sysconf(_SC_PAGESIZE) + 16) != 4000 ? -100 : 0;
	close(fd);
	return found;
}

static void
test_salvage(void)
{
	char		directory[256];
	sluice_buffer_statistics after;

	directory_make(directory);
	make_buffer(directory, SLUICE_OK, 0, 0);
	ok(repair(directory, (sluice_repair) {.salvage = true}) == SLUICE_ERROR_INVALID, "nothing is damaged");
	ok(spoil(directory, "payload 17") > 0, "a record and the meta pages are spoiled");
	ok(sluice_buffer_check(directory, note, NULL) == SLUICE_ERROR_DAMAGED, "the check tells");
	ok(repair(directory, (sluice_repair) {.salvage = true, .rebind = true}) == SLUICE_ERROR_INVALID, "salvage goes alone");
	ok(repair(directory, (sluice_repair) {.salvage = true}) == SLUICE_OK && strstr(told, "17 records are added") != NULL &&
	   strstr(told, "1 are lost and declared") != NULL, "the others are salvaged");
	after = statistics_of(directory);
	ok(after.records == 17 && after.last_sequence == 18 && after.gaps == 1 && strcmp(after.stream, "readings") == 0,
	   "into a new buffer of the same stream");
	ok(strncmp(dump(directory), "1:payload 11;2:payload 12/key 12;", 33) == 0, "in order");
	ok(repair(directory, (sluice_repair) {.salvage = true}) == SLUICE_ERROR_INVALID && statistics_of(directory).records == 17, "once");
	directory_remove(directory);
}

int
main(void)
{
	test_look();
	test_new_identity();
	test_rebind();
	test_dead_letters();
	test_salvage();
	return done_testing();
}
