/*
 * store_damage_test.c
 *		A buffer that is cut short, changed, or replaced by garbage: never a crash,
 *		never a wrong record; all of it is there, or it is set aside whole.
 */
#include "tap.h"

#include <signal.h>
#include <stdint.h>
#include <sys/wait.h>

#include "../lib/encoding.h"
#include "../lib/store.h"
#include "../sluice.h"
#include "buffer_directory.h"

#define RECORDS 700
#define GAPS 20
#define PAGE 4096

static char directory[256];
static SluiceError error;
static char aside[512];

static int
open_mode(SluiceStoreMode mode, SluiceStore **store)
{
	SluiceStoreSettings settings = {.directory = directory, .stream = "readings", .mode = mode, .map_bytes = 8 << 20};

	return sluice_store_open(&settings, store, aside, sizeof(aside), &error);
}

static SluiceStoreRecord
make_record(uint64_t sequence)
{
	static uint8_t payload[10000];
	static uint8_t bytes[10100];
	SluiceEntry entry = {.sequence = sequence, .payload = payload, .payload_length = sequence % 50 == 0 ? 9000 : 30};

	memset(payload, (int) sequence, sizeof(payload));
	return (SluiceStoreRecord) {.sequence = sequence, .at = 7, .bytes = bytes,
		.length = (uint32_t) (sluice_entry_write(bytes, &entry) - bytes)};
}

/* Records from 101 on, gaps below, one dead letter; lists of free pages, for it was written in several goes. */
static void
fill(void)
{
	SluiceStore *store;
	size_t		removed;

	if (open_mode(SLUICE_STORE_OWN, &store) != SLUICE_OK)
		exit(2);
	for (uint64_t sequence = 1; sequence <= RECORDS;)
	{
		SluiceStoreState state = *sluice_store_state(store);

		sluice_store_begin(store);
		for (int i = 0; i < 70; i++, sequence++)
		{
			SluiceStoreRecord record = make_record(sequence);

			sluice_store_put(store, &record);
		}
		state.next = sequence;
		sluice_store_put_state(store, &state);
		sluice_store_commit(store);
	}
	sluice_store_begin(store);
	sluice_store_remove_through(store, 100, SIZE_MAX, &removed);
	for (uint64_t i = 1; i <= GAPS; i++)
		sluice_store_put_gap(store, &(SluiceStoreGap) {i, i, 1});
	{
		SluiceStoreRecord record = make_record(99);

		sluice_store_set_aside(store, &record, "why");
	}
	if (sluice_store_commit(store) != SLUICE_OK)
		exit(2);
	sluice_store_close(store);
}

typedef struct Seen
{
	uint64_t	next;
	uint64_t	gaps;
	uint64_t	dead;
	bool		wrong;
} Seen;

static bool
see_record(void *argument, const SluiceStoreRecord *record)
{
	Seen	   *seen = argument;
	SluiceStoreRecord expected = make_record(record->sequence);

	if (record->sequence != seen->next++ || record->length != expected.length || record->at != expected.at ||
		record->entity != NULL || memcmp(record->bytes, expected.bytes, expected.length) != 0)
		seen->wrong = true;
	return true;
}

static bool
see_gap(void *argument, const SluiceStoreGap *gap)
{
	Seen	   *seen = argument;

	seen->wrong |= gap->from != ++seen->gaps || gap->to != gap->from || gap->reason != 1;
	return true;
}

static bool
see_dead(void *argument, const SluiceStoreRecord *record, const char *why)
{
	Seen	   *seen = argument;

	seen->dead++;
	seen->wrong |= record->sequence != 99 || strcmp(why, "why") != 0;
	return true;
}

static bool
is_whole(SluiceStore *store)
{
	Seen		seen = {.next = 101};
	SluiceStoreCounts counts;

	return sluice_store_scan(store, 0, see_record, &seen) == SLUICE_OK &&
		sluice_store_scan_gaps(store, 0, see_gap, &seen) == SLUICE_OK &&
		sluice_store_scan_dead(store, see_dead, &seen) == SLUICE_OK && !seen.wrong &&
		seen.next == RECORDS + 1 && seen.gaps == GAPS && seen.dead == 1 &&
		sluice_store_counts(store, &counts) == SLUICE_OK && counts.records == RECORDS - 100 && counts.gaps == GAPS &&
		counts.dead == 1 && sluice_store_state(store)->next == RECORDS + 1;
}

static bool
takes_a_record(SluiceStore *store)
{
	uint64_t	sequence = sluice_store_state(store)->next;
	SluiceStoreRecord record = make_record(sequence);
	SluiceStoreState state = *sluice_store_state(store);
	size_t		removed;

	state.next++;
	return sluice_store_begin(store) == SLUICE_OK && sluice_store_put(store, &record) == SLUICE_OK &&
		sluice_store_remove_through(store, sequence / 2, SIZE_MAX, &removed) == SLUICE_OK &&
		sluice_store_put_state(store, &state) == SLUICE_OK && sluice_store_commit(store) == SLUICE_OK;
}

typedef enum Outcome
{
	WHOLE,
	SET_ASIDE,
	REFUSED,					/* by its version */
	WRONG
} Outcome;

/* Whole, or set aside as it was and replaced by an empty one of another identity; usable after either. */
static Outcome
open_damaged(const uint8_t *id, const char *damaged, size_t size)
{
	SluiceStore *store;
	Outcome		outcome = WRONG;
	int			rc = open_mode(SLUICE_STORE_OWN, &store);

	if (rc == SLUICE_ERROR_VERSION)
		return REFUSED;
	if (rc != SLUICE_OK)
	{
		printf("# %d %s\n", rc, error.text);
		return WRONG;
	}
	if (aside[0] == '\0')
		outcome = is_whole(store) && memcmp(id, sluice_store_state(store)->producer_id, 16) == 0 ? WHOLE : WRONG;
	else
	{
		SluiceStoreCounts counts;
		size_t		kept_size;
		char	   *kept = file_read(aside, "data.mdb", &kept_size);

		if (kept_size == size && memcmp(kept, damaged, size) == 0 && sluice_store_counts(store, &counts) == SLUICE_OK &&
			counts.records == 0 && memcmp(id, sluice_store_state(store)->producer_id, 16) != 0)
			outcome = SET_ASIDE;
		free(kept);
	}
	if (!takes_a_record(store))
		outcome = WRONG;
	sluice_store_close(store);
	return outcome;
}

/* Those who only read get all of it, or an error. */
static bool
inspect_damaged(SluiceStoreMode mode)
{
	SluiceStore *store;
	int			rc = open_mode(mode, &store);
	bool		good;

	if (rc != SLUICE_OK)
		return rc == SLUICE_ERROR_DAMAGED || rc == SLUICE_ERROR_VERSION || rc == SLUICE_ERROR_NOT_FOUND;
	good = is_whole(store) || sluice_store_check(store, NULL, NULL) == SLUICE_ERROR_DAMAGED;
	sluice_store_close(store);
	return good;
}

static Outcome
try_damaged(const uint8_t *id, const char *bytes, size_t size, SluiceStoreMode mode)
{
	Outcome		outcome;

	directory_remove(directory);
	if (mkdir(directory, 0700) != 0)
		exit(2);
	file_write(directory, "data.mdb", bytes, size);
	if (!inspect_damaged(mode))
		return WRONG;
	outcome = open_damaged(id, bytes, size);
	return outcome;
}

/* In a process of its own, so that a crash is an outcome. */
static bool
try_all(const uint8_t *id, const char *original, size_t size, int (*change) (char *bytes, size_t *size, int i), int outcomes[4])
{
	int			status;
	int			pipes[2];
	pid_t		child;

	if (pipe(pipes) != 0)
		exit(2);
	fflush(stdout);
	child = fork();
	if (child == 0)
	{
		int			counts[4] = {0};
		char	   *bytes = malloc(size + 1);

		for (int i = 0;; i++)
		{
			size_t		changed_size = size;
			Outcome		outcome;

			memcpy(bytes, original, size);
			if (!change(bytes, &changed_size, i))
				break;
			outcome = try_damaged(id, bytes, changed_size, i % 2 == 0 ? SLUICE_STORE_INSPECT : SLUICE_STORE_PEEK);
			counts[outcome]++;
			if (outcome == WRONG)
				printf("# wrong: change %d\n", i);
		}
		fflush(stdout);
		_exit(write(pipes[1], counts, sizeof(counts)) == sizeof(counts) ? 0 : 1);
	}
	close(pipes[1]);
	if (read(pipes[0], outcomes, 4 * sizeof(int)) != (ssize_t) (4 * sizeof(int)))
		memset(outcomes, 0, 4 * sizeof(int));
	close(pipes[0]);
	waitpid(child, &status, 0);
	printf("# %d whole, %d set aside, %d refused, %d wrong\n", outcomes[WHOLE], outcomes[SET_ASIDE],
		   outcomes[REFUSED], outcomes[WRONG]);
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 && outcomes[WRONG] == 0;
}

/* ---- kinds of damage ---- */

static int
cut_at_page(char *bytes, size_t *size, int i)
{
	(void) bytes;
	if ((size_t) (i + 1) * PAGE >= *size)
		return 0;
	*size = (size_t) (i + 1) * PAGE;
	return 1;
}

static int
cut_within_page(char *bytes, size_t *size, int i)
{
	(void) bytes;
	if ((size_t) i * PAGE + 100 >= *size)
		return 0;
	*size = (size_t) i * PAGE + 100;
	return 1;
}

static uint64_t
mix(uint64_t seed)
{
	seed = (seed ^ (seed >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	seed = (seed ^ (seed >> 27)) * UINT64_C(0x94d049bb133111eb);
	return seed ^ (seed >> 31);
}

/* Heads of pages take half of the flips: there is most to break. */
#define FLIPS_A_PAGE 24

static int
flip_bit(char *bytes, size_t *size, int i)
{
	size_t		page = (size_t) i / FLIPS_A_PAGE;
	uint64_t	random = mix((uint64_t) i + 1);
	size_t		at = page * PAGE + random % (i % 2 == 0 ? 80 : PAGE);

	if (page * PAGE >= *size)
		return 0;
	bytes[at] ^= (char) (1 << (random >> 32) % 8);
	return 1;
}

/* Every bit of both meta pages. */
static int
flip_meta_bit(char *bytes, size_t *size, int i)
{
	size_t		at = (size_t) i / 8 % 160;

	(void) size;
	if (i >= 2 * 160 * 8)
		return 0;
	bytes[at + (i >= 160 * 8 ? PAGE : 0)] ^= (char) (1 << i % 8);
	return 1;
}

static int
lose_page(char *bytes, size_t *size, int i)
{
	size_t		page = (size_t) i / 3;

	if (page * PAGE >= *size)
		return 0;
	for (size_t at = 0; at < PAGE; at++)
		bytes[page * PAGE + at] = i % 3 == 0 ? 0 : i % 3 == 1 ? (char) 0xff : (char) mix(at + (size_t) i * PAGE);
	return 1;
}

/* A page in the place of another one. */
static int
misplace_page(char *bytes, size_t *size, int i)
{
	size_t		pages = *size / PAGE;

	if ((size_t) i >= pages)
		return 0;
	memcpy(bytes + (size_t) i * PAGE, bytes + mix((uint64_t) i) % pages * PAGE, PAGE);
	return 1;
}

static int
write_garbage(char *bytes, size_t *size, int i)
{
	if (i >= 12)
		return 0;
	*size = i < 6 ? (size_t) 1 << (2 * i) : *size;
	for (size_t at = 0; at < *size; at++)
		bytes[at] = i % 2 == 0 ? (char) mix(at * 31 + (size_t) i) : 0;
	return 1;
}

int
main(void)
{
	SluiceStore *store;
	uint8_t		id[16];
	size_t		size;
	char	   *bytes;
	int			outcomes[4];

	directory_make(directory);
	fill();
	ok(open_mode(SLUICE_STORE_OWN, &store) == SLUICE_OK && is_whole(store), "a buffer");
	memcpy(id, sluice_store_state(store)->producer_id, sizeof(id));
	ok(sluice_store_check(store, NULL, NULL) == SLUICE_OK, "without findings");
	sluice_store_close(store);
	bytes = file_read(directory, "data.mdb", &size);
	printf("# %zu pages\n", size / PAGE);

	ok(try_all(id, bytes, size, cut_at_page, outcomes) && outcomes[SET_ASIDE] > 10, "cut after every page");
	ok(try_all(id, bytes, size, cut_within_page, outcomes) && outcomes[SET_ASIDE] > 10, "cut within every page");
	ok(try_all(id, bytes, size, flip_meta_bit, outcomes) && outcomes[SET_ASIDE] > 500, "every bit of the meta pages changed");
	ok(try_all(id, bytes, size, flip_bit, outcomes) && outcomes[SET_ASIDE] > 300, "bits of every page changed");
	ok(try_all(id, bytes, size, lose_page, outcomes) && outcomes[SET_ASIDE] > 50, "every page lost");
	ok(try_all(id, bytes, size, misplace_page, outcomes) && outcomes[SET_ASIDE] > 10, "every page replaced by another one");
	ok(try_all(id, bytes, size, write_garbage, outcomes) && outcomes[SET_ASIDE] == 12, "garbage");
	ok(try_damaged(id, bytes, size, SLUICE_STORE_INSPECT) == WHOLE, "and the original is whole");

	free(bytes);
	directory_remove(directory);
	return done_testing();
}
