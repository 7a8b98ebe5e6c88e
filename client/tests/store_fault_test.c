/*
 * store_fault_test.c
 *		Every allocation, write, sync and file call of the store fails once, and
 *		once for good: no crash, what was committed is there, what was not is not.
 */
#include "tap.h"

#include <stdint.h>

#include "../lib/encoding.h"
#include "../lib/store.h"
#include "../sluice.h"
#include "buffer_directory.h"
#include "fault.h"

#define ROUNDS 6
#define EACH 40
#define CALLS_MAX 4000

static char directory[256];
static SluiceError error;
static char aside[512];
static Fault fault;

/* What is committed: records from first to last, a gap before them. */
typedef struct Promise
{
	uint64_t	first;
	uint64_t	next;
} Promise;

static int
open_own(SluiceStore **store)
{
	SluiceStoreSettings settings = {.directory = directory, .stream = "readings", .map_bytes = 8 << 20};

	return sluice_store_open(&settings, store, aside, sizeof(aside), &error);
}

static SluiceStoreRecord
make_record(uint64_t sequence)
{
	static uint8_t payload[6000];
	static uint8_t bytes[6100];
	SluiceEntry entry = {.sequence = sequence, .payload = payload, .payload_length = sequence % 30 == 0 ? 5000 : 60};

	memset(payload, (int) sequence, sizeof(payload));
	return (SluiceStoreRecord) {.sequence = sequence, .at = 7, .bytes = bytes,
		.length = (uint32_t) (sluice_entry_write(bytes, &entry) - bytes)};
}

/* One transaction: a number of records more, half as many fewer, a gap for these. */
static int
advance(SluiceStore *store, Promise *promise)
{
	SluiceStoreState state = *sluice_store_state(store);
	Promise		after = {promise->first + EACH / 2, promise->next + EACH};
	size_t		removed;
	int			rc = sluice_store_begin(store);

	if (rc != SLUICE_OK)
		return rc;
	for (uint64_t i = promise->next; i < after.next && rc == SLUICE_OK; i++)
	{
		SluiceStoreRecord record = make_record(i);

		rc = sluice_store_put(store, &record);
	}
	if (rc == SLUICE_OK)
		rc = sluice_store_remove_through(store, after.first - 1, SIZE_MAX, &removed);
	if (rc == SLUICE_OK)
		rc = sluice_store_put_gap(store, &(SluiceStoreGap) {1, after.first - 1, 1});
	state.next = after.next;
	if (rc == SLUICE_OK)
		rc = sluice_store_put_state(store, &state);
	if (rc != SLUICE_OK)
	{
		sluice_store_abort(store);
		return rc;
	}
	rc = sluice_store_commit(store);
	if (rc == SLUICE_OK)
		*promise = after;
	return rc;
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

static bool
see_gap(void *argument, const SluiceStoreGap *gap)
{
	*(uint64_t *) argument = gap->to;
	return true;
}

static bool
is_kept(SluiceStore *store, const Promise *promise)
{
	uint64_t	next = promise->first;
	uint64_t	gap_to = 0;
	SluiceStoreCounts counts;
	bool		kept = sluice_store_scan(store, 0, see_record, &next) == SLUICE_OK && next == promise->next &&
		sluice_store_scan_gaps(store, 0, see_gap, &gap_to) == SLUICE_OK && gap_to == promise->first - 1 &&
		sluice_store_state(store)->next == promise->next &&
		sluice_store_counts(store, &counts) == SLUICE_OK && counts.records == promise->next - promise->first;

	if (!kept)
		printf("# promised %llu to %llu, gap to %llu; found to %llu, gap to %llu, next %llu; %s\n",
			   (unsigned long long) promise->first, (unsigned long long) promise->next - 1, (unsigned long long) promise->first - 1,
			   (unsigned long long) next - 1, (unsigned long long) gap_to,
			   (unsigned long long) sluice_store_state(store)->next, sluice_store_message(store));
	return kept;
}

/* Everything that a run does; counts what failed. */
static int
run(SluiceStore **store, Promise *promise)
{
	int			failures = 0;

	for (int tries = 0; tries < 3 && *store == NULL; tries++)
		failures += open_own(store) != SLUICE_OK;
	for (int round = 0; round < ROUNDS && *store != NULL; round++)
	{
		failures += advance(*store, promise) != SLUICE_OK;
		if (round == ROUNDS / 2)
			failures += sluice_store_compact(*store) != SLUICE_OK;
	}
	return failures;
}

/* With the n-th call failing; false: something is wrong. */
static bool
try_fault(long n, bool once)
{
	SluiceStore *store = NULL;
	Promise		promise = {1, 1};
	int			failures;
	bool		good = true;

	directory_remove(directory);
	fault.set(n);
	fault.arm(1);
	failures = run(&store, &promise);
	fault.arm(0);

	/* One fault makes one call fail at most, or two (what it left to be done); two in a row one more. */
	if (once && (failures > 3 || store == NULL))
		good = false;
	if (store == NULL && open_own(&store) != SLUICE_OK)
	{
		printf("# cannot be opened without faults: %s\n", error.text);
		return false;
	}
	if (sluice_store_begin(store) != SLUICE_OK || sluice_store_commit(store) != SLUICE_OK)
	{
		printf("# cannot be used without faults: %s\n", sluice_store_message(store));
		good = false;
	}
	good = good && is_kept(store, &promise) && advance(store, &promise) == SLUICE_OK && is_kept(store, &promise);
	sluice_store_close(store);
	if (open_own(&store) != SLUICE_OK)
		return false;
	good = good && aside[0] == '\0' && is_kept(store, &promise) && sluice_store_check(store, NULL, NULL) == SLUICE_OK &&
		directory_count(directory, "new.mdb") == 0 && directory_count(directory, "compact.mdb") == 0;
	sluice_store_close(store);
	return good;
}

/* In the process with the faults. */
static int
try_faults(bool once)
{
	long		n = 0;
	long		hits;
	int			wrong = 0;

	do
	{
		n++;
		if (!try_fault(n, once))
		{
			printf("# wrong with call %ld\n", n);
			wrong++;
		}
		hits = fault.hits();
	} while (hits > 0 && n < CALLS_MAX);
	printf("# %ld calls\n", n - 1);
	fflush(stdout);
	return wrong > 0 || n < 10 || n == CALLS_MAX;
}

int
main(int argc, char **argv)
{
	static const char *const kinds[] = {
		"memory:0:ENOMEM:1", "memory:0:ENOMEM:all", "write:0:EIO:1", "write:0:ENOSPC:all", "write:0:short:1", "write:0:short:all",
		"write:0:late:1", "write:0:late:2", "write:0:late:all",
		"sync:0:EIO:1", "sync:0:EIO:all", "file:0:EIO:1", "file:0:ENOSPC:all", "disk:0:ENOSPC:1", "disk:0:EIO:all"
	};

	fault = fault_find();
	directory_make(directory);
	if (argc > 1)
	{
		int			wrong = try_faults(strcmp(argv[1], "once") == 0);

		directory_remove(directory);
		return wrong;
	}
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
	{
		bool		once = strstr(kinds[i], ":all") == NULL;
		int			status = run_with("fault.so", "SLUICE_FAULT", kinds[i], once ? "once" : "all");
		char		name[100];

		snprintf(name, sizeof(name), "every call fails: %s", kinds[i]);
		if (!ok(status == 0, name))
			printf("# status %#x\n", status);
	}
	directory_remove(directory);
	return done_testing();
}
