/*
 * store_powercut_test.c
 *		A power cut at any moment: what was committed by then is there, and nothing else but the commit on its way.
 */
#include "tap.h"

#include <stdint.h>

#include "../lib/encoding.h"
#include "../lib/store.h"
#include "../sluice.h"
#include "buffer_directory.h"
#include "fault.h"
#include "powercut.h"

#define EACH 30
#define ROUNDS 24
#define SEEDS 4

static char base[256];
static SluiceError error;
static char aside[512];

static int
open_own(const char *parent, SluiceStore **store)
{
	char		directory[320];
	SluiceStoreSettings settings = {.directory = directory, .stream = "readings", .map_bytes = 8 << 20};

	snprintf(directory, sizeof(directory), "%s/buffer", parent);
	return sluice_store_open(&settings, store, aside, sizeof(aside), &error);
}

/* As one does that is killed right after it. */
static bool
make_own(const char *parent)
{
	char		directory[320];

	snprintf(directory, sizeof(directory), "%s/buffer", parent);
	return mkdir(directory, 0700) == 0;
}

static SluiceStoreRecord
make_record(uint64_t sequence)
{
	static uint8_t payload[10000];
	static uint8_t bytes[10100];
	SluiceEntry entry = {.sequence = sequence, .payload = payload, .payload_length = sequence % 40 == 0 ? 9000 : 60};

	memset(payload, (int) sequence, sizeof(payload));
	return (SluiceStoreRecord) {.sequence = sequence, .at = 7, .bytes = bytes,
		.length = (uint32_t) (sluice_entry_write(bytes, &entry) - bytes)};
}

/* After round n: records from first_after(n) to n * EACH. */
static uint64_t
first_after(uint64_t round)
{
	return round > 3 ? (round - 3) * EACH + 1 : 1;
}

static bool
advance(SluiceStore *store, uint64_t round)
{
	SluiceStoreState state = *sluice_store_state(store);
	size_t		removed;
	bool		good = sluice_store_begin(store) == SLUICE_OK;

	for (uint64_t i = (round - 1) * EACH + 1; i <= round * EACH && good; i++)
	{
		SluiceStoreRecord record = make_record(i);

		good = sluice_store_put(store, &record) == SLUICE_OK;
	}
	state.next = round * EACH + 1;
	return good && sluice_store_remove_through(store, first_after(round) - 1, SIZE_MAX, &removed) == SLUICE_OK &&
		sluice_store_put_state(store, &state) == SLUICE_OK && sluice_store_commit(store) == SLUICE_OK;
}

typedef void (*Mark) (uint64_t number);

/* A round, again when it failed: the fault passes. */
static bool
advance_and_mark(SluiceStore *store, uint64_t round, Mark mark)
{
	for (int tries = 0; tries < 3; tries++)
		if (advance(store, round))
		{
			mark(round + 1);
			return true;
		}
	return false;
}

/* In the process that is recorded, perhaps with a fault after the opening. */
static int
run_recorded(const char *parent)
{
	Mark		mark = (Mark) dlsym(RTLD_DEFAULT, "sluice_powercut_mark");
	Fault		fault = fault_find();
	SluiceStore *store;

	if (getenv("SLUICE_BEGUN") != NULL && !make_own(parent))
		return 1;
	if (mark == NULL || open_own(parent, &store) != SLUICE_OK)
		return 1;
	mark(1);
	if (fault.arm != NULL)
		fault.arm(1);
	for (uint64_t round = 1; round <= ROUNDS; round++)
	{
		if (!advance_and_mark(store, round, mark))
			return 2;
		if (round % 9 == 0 && sluice_store_compact(store) != SLUICE_OK && fault.arm == NULL)
			return 3;
		if (round == ROUNDS / 2)
		{
			sluice_store_close(store);
			if (open_own(parent, &store) != SLUICE_OK && open_own(parent, &store) != SLUICE_OK)
				return 4;
		}
	}
	if (fault.arm != NULL)
		fault.arm(0);
	sluice_store_close(store);
	return 0;
}

static bool
see_record(void *argument, const SluiceStoreRecord *record)
{
	uint64_t   *next = argument;
	SluiceStoreRecord expected = make_record(record->sequence);

	if (record->sequence != *next || record->length != expected.length ||
		memcmp(record->bytes, expected.bytes, expected.length) != 0)
		return false;
	++*next;
	return true;
}

/* mark: one more than the rounds that were committed; 0: not even opened. */
static bool
holds(const char *parent, uint64_t mark)
{
	SluiceStore *store;
	uint64_t	round, next;
	bool		good;

	if (open_own(parent, &store) != SLUICE_OK)
	{
		printf("# %s\n", error.text);
		return false;
	}
	round = (sluice_store_state(store)->next - 1) / EACH;
	next = first_after(round);
	good = aside[0] == '\0' && round + 1 >= mark && round <= mark &&
		sluice_store_scan(store, 0, see_record, &next) == SLUICE_OK && next == round * EACH + 1 &&
		sluice_store_check(store, NULL, NULL) == SLUICE_OK;
	if (!good)
		printf("# marked %llu, found round %llu to %llu %s\n", (unsigned long long) mark, (unsigned long long) round,
			   (unsigned long long) next - 1, aside);
	sluice_store_close(store);
	return good;
}

static bool
survives(const Powercut *log, PowercutRest rest, int seeds)
{
	char		image[300];
	bool		all = true;

	snprintf(image, sizeof(image), "%s/image", base);
	for (size_t n = 0; n <= log->nevents; n++)
		for (int seed = 0; seed < seeds; seed++)
		{
			powercut_build(log, n, rest, n * 1000 + (uint64_t) seed, image);
			if (!holds(image, powercut_mark(log, n)))
			{
				printf("# wrong: cut before event %zu of %zu, seed %zu\n", n, log->nevents, n * 1000 + (size_t) seed);
				all = false;
			}
			directory_remove(image);
		}
	return all;
}

/* Each sync fails once: what is promised afterwards rests on others. */
static bool
survives_failing_syncs(const char *recorded, const char *path, const char *variable)
{
	char		image[300];
	char		fault[64];
	bool		all = true;

	snprintf(image, sizeof(image), "%s/image", base);
	for (int call = 1; call <= ROUNDS + 8 && all; call++)
	{
		Powercut	log;

		directory_remove(recorded);
		mkdir(recorded, 0700);
		unlink(path);
		snprintf(fault, sizeof(fault), "sync:%d:EIO:1", call);
		setenv("SLUICE_FAULT", fault, 1);
		if (run_with("powercut.so fault.so", "SLUICE_POWERCUT", variable, recorded) != 0)
		{
			printf("# the run failed with %s\n", fault);
			return false;
		}
		powercut_read(&log, path);
		for (size_t n = 0; n <= log.nevents && all; n++)
		{
			if (n < log.nevents && log.events[n]->kind != POWERCUT_MARK)
				continue;
			powercut_build(&log, n, POWERCUT_NOTHING, 0, image);
			all = holds(image, powercut_mark(&log, n));
			directory_remove(image);
			if (!all)
				printf("# wrong: %s, cut before event %zu of %zu\n", fault, n, log.nevents);
		}
		powercut_free(&log);
	}
	unsetenv("SLUICE_FAULT");
	return all;
}

/* An earlier run made the directory, and was killed before it synced the one above. */
static bool
survives_beginning(const char *recorded, const char *path, const char *variable)
{
	Powercut	log;
	bool		all;

	directory_remove(recorded);
	mkdir(recorded, 0700);
	unlink(path);
	setenv("SLUICE_BEGUN", "1", 1);
	all = run_with("powercut.so", "SLUICE_POWERCUT", variable, recorded) == 0;
	unsetenv("SLUICE_BEGUN");
	if (!all)
		return false;
	powercut_read(&log, path);
	all = survives(&log, POWERCUT_NOTHING, 1);
	powercut_free(&log);
	return all;
}

/* The check must be able to fail: without the syncs much is lost. */
static bool
fails_without_syncs(Powercut *log)
{
	char		image[300];
	int			wrong = 0;

	snprintf(image, sizeof(image), "%s/image", base);
	for (size_t i = 0; i < log->nevents; i++)
		if (log->events[i]->kind == POWERCUT_SYNC)
			((PowercutEvent *) log->events[i])->kind = 0;
	for (size_t n = log->nevents / 2; n <= log->nevents; n += 7)
	{
		SluiceStore *store;

		powercut_build(log, n, POWERCUT_NOTHING, 0, image);
		if (open_own(image, &store) != SLUICE_OK)
			wrong++;
		else
		{
			wrong += aside[0] != '\0' || (sluice_store_state(store)->next - 1) / EACH + 1 < powercut_mark(log, n);
			sluice_store_close(store);
		}
		directory_remove(image);
	}
	return wrong > 5;
}

int
main(int argc, char **argv)
{
	char		variable[1024];
	char		recorded[300];
	char		path[300];
	Powercut	log;

	if (argc > 1)
		return run_recorded(argv[1]);
	directory_make(base);
	snprintf(recorded, sizeof(recorded), "%s/recorded", base);
	snprintf(path, sizeof(path), "%s/log", base);
	snprintf(variable, sizeof(variable), "%s:%s", recorded, path);
	mkdir(recorded, 0700);
	ok(run_with("powercut.so", "SLUICE_POWERCUT", variable, recorded) == 0, "a run is recorded");
	powercut_read(&log, path);
	printf("# %zu events\n", log.nevents);
	ok(log.nevents > 200 && powercut_mark(&log, log.nevents) == ROUNDS + 1, "with all that it promised");
	ok(survives(&log, POWERCUT_NOTHING, 1), "cut anywhere, nothing that was not synced is left");
	ok(survives(&log, POWERCUT_ALL, 1), "cut anywhere, all is left");
	ok(survives(&log, POWERCUT_RANDOM, SEEDS), "cut anywhere, some of it is left");
	ok(fails_without_syncs(&log), "and without the syncs it would be lost");
	powercut_free(&log);
	ok(survives_beginning(recorded, path, variable), "also in a directory that another run made and did not sync");
	ok(survives_failing_syncs(recorded, path, variable), "nor does a sync that fails break a promise");
	directory_remove(base);
	return done_testing();
}
