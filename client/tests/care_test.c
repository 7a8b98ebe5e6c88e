/* care, repair, salvage: a buffer that no producer has open is looked at, and mended, by the rules. */
#include "repair_buffer.h"
#include "settings.h"
#include "tail.h"
#include "tap.h"

static bool
dump_nothing(void *argument, const sluice_buffered *record)
{
	(void) argument;
	(void) record;
	return false;
}

static void
test_look(void)
{
	SluiceStore *store;
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
	store = open_store(directory, SLUICE_STORE_MEND);
	ok(sluice_buffer_read_statistics(directory, &statistics, sizeof(statistics)) == SLUICE_ERROR_LOCKED &&
	   sluice_buffer_dump(directory, dump_nothing, NULL) == SLUICE_ERROR_LOCKED &&
	   sluice_buffer_check(directory, note, NULL) == SLUICE_ERROR_LOCKED, "not one that this process has open");
	sluice_store_close(store);
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

static bool
note_gap(void *argument, const SluiceStoreGap *gap)
{
	char	   *text = argument;

	snprintf(text + strlen(text), 200 - strlen(text), "%d-%d:%d;", (int) gap->from, (int) gap->to, gap->reason);
	return true;
}

/* Records may be in the store still that were settled, and a gap begin below what was acknowledged. */
static void
test_rebind_across_a_gap(void)
{
	char		directory[256];
	char		gaps[200] = "";
	SluiceStoreGap gap = {8, 12, SLUICE_REASON_FULL};
	SluiceStoreState state;
	SluiceStore *store;

	directory_make(directory);
	make_buffer(directory, SLUICE_OK, 0, 0);
	store = open_store(directory, SLUICE_STORE_MEND);
	sluice_store_begin(store);
	put_record(store, 9, "settled");
	sluice_store_remove(store, 11);
	sluice_store_remove(store, 12);
	sluice_store_put_gap(store, &gap);
	sluice_store_commit(store);
	sluice_store_close(store);
	ok(repair(directory, (sluice_repair) {.rebind = true}) == SLUICE_OK && statistics_of(directory).gaps == 14, "rebound, with a gap at the border");
	store = open_store(directory, SLUICE_STORE_INSPECT);
	sluice_store_scan_gaps(store, 0, note_gap, gaps);
	sluice_store_close(store);
	ok(strcmp(gaps, "1-10:8;11-12:1;15-16:1;") == 0, "the gap keeps what is above it");
	ok(sluice_buffer_check(directory, note, NULL) == SLUICE_OK, "and the buffer is sound");

	store = open_store(directory, SLUICE_STORE_MEND);
	state = *sluice_store_state(store);
	state.condition = SLUICE_ERROR_FENCED;
	state.sent_floor = 30;
	sluice_store_begin(store);
	sluice_store_put_state(store, &state);
	sluice_store_commit(store);
	sluice_store_close(store);
	ok(repair(directory, (sluice_repair) {.new_identity = true, .shared = SLUICE_SHARED_KEEP}) == SLUICE_OK &&
	   strstr(dump(directory), "settled") == NULL && strncmp(dumped, "13:payload 13;14:payload 14/key 14;17:", 38) == 0,
	   "what lies in a gap gets no new number");
	directory_remove(directory);
}

/* A run that was killed has given out numbers, and perhaps sent them, that are not in the store. */
static void
test_salvage_after_a_killed_run(void)
{
	char		directory[256];
	SluiceStore *store;
	SluiceStoreState state;
	SluiceTail *tail;

	directory_make(directory);
	make_buffer(directory, SLUICE_OK, 0, 0);
	spoil(directory, "payload 17");
	store = open_store(directory, SLUICE_STORE_OWN);
	state = *sluice_store_state(store);
	state.high_water = 65536;
	sluice_store_begin(store);
	sluice_store_put_state(store, &state);
	sluice_store_commit(store);
	sluice_store_close(store);
	tail = sluice_tail_open(directory, state.producer_id);
	sluice_tail_write(tail, 41);
	sluice_tail_close(tail);
	ok(repair(directory, (sluice_repair) {.salvage = true}) == SLUICE_OK && strncmp(dump(directory), "42:payload 11;43:", 17) == 0,
	   "salvaged records come above all numbers that were given out");
	directory_remove(directory);
}

/* What took the place of a damaged buffer was damaged, too. */
static void
test_salvage_of_two(void)
{
	char		directory[256];
	SluiceStore *store;
	SluiceStoreState state;
	sluice_buffer_statistics after;

	directory_make(directory);
	make_buffer(directory, SLUICE_OK, 0, 0);
	spoil(directory, "payload 17");
	store = open_store(directory, SLUICE_STORE_OWN);
	state = *sluice_store_state(store);
	state.next = 4;
	state.high_water = 3;
	sluice_store_begin(store);
	for (uint64_t i = 1; i <= 3; i++)
		put_record(store, i, "new");
	sluice_store_put_state(store, &state);
	sluice_store_commit(store);
	sluice_store_close(store);
	spoil(directory, "new 2");
	ok(repair(directory, (sluice_repair) {.salvage = true}) == SLUICE_OK && directory_count(directory, "damaged-") == 0 &&
	   directory_count(directory, "salvaged-") == 2, "both are salvaged");
	after = statistics_of(directory);
	ok(after.records == 19 && after.gaps == 2 && after.last_sequence == 21 && strcmp(after.stream, "readings") == 0 &&
	   strstr(dump(directory), "17:payload 30/key 30;19:new 1;20:new 3;") != NULL, "one after the other");
	ok(sluice_buffer_check(directory, note, NULL) == SLUICE_OK, "into a sound buffer");
	directory_remove(directory);
}

static void
test_parent(void)
{
	char		directory[256];
	char		path[320];
	SluiceStoreSettings settings = {path, "readings", SLUICE_STORE_OWN, 0};
	SluiceStore *store;
	SluiceError error;

	directory_make(directory);
	snprintf(path, sizeof(path), "%s/missing/buffer", directory);
	ok(sluice_store_open(&settings, &store, told, sizeof(told), &error) == SLUICE_ERROR_DISK && strstr(error.text, "missing/buffer\"") != NULL &&
	   strstr(error.text, "the directory above it is not there") != NULL, "a directory above that is missing is told");
	ok(directory_count(directory, "missing") == 0, "and not made");
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
	test_rebind_across_a_gap();
	test_dead_letters();
	test_salvage();
	test_salvage_after_a_killed_run();
	test_salvage_of_two();
	test_parent();
	return done_testing();
}
