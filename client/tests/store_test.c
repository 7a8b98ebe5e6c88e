/*
 * store_test.c
 *		The buffer on disk: what is committed is there, in order, also after opening again.
 */
#include "store_model.h"

static void
test_basic(void)
{
	SluiceStore *store;
	SluiceStore *second;
	uint8_t		id[SLUICE_ID_SIZE];
	static const uint8_t none[SLUICE_ID_SIZE];

	begin_new();
	rmdir(directory);
	ok(open_mode(SLUICE_STORE_INSPECT, 0, &store) == SLUICE_ERROR_NOT_FOUND, "no directory: not found");
	ok(open_mode(SLUICE_STORE_MEND, 0, &store) == SLUICE_ERROR_NOT_FOUND && access(directory, F_OK) != 0, "nor made");
	store = open_own();
	memcpy(id, sluice_store_state(store)->producer_id, sizeof(id));
	ok(memcmp(id, none, sizeof(id)) != 0 && aside[0] == '\0', "a new buffer has an identity");
	ok(strcmp(sluice_store_state(store)->stream, "readings") == 0, "and the name of its stream");
	memset(&model, 0, sizeof(model));
	model.next = 1;
	ok(store_is(store, &model), "and nothing in it, and the next number is 1");
	ok(open_mode(SLUICE_STORE_OWN, 0, &second) == SLUICE_ERROR_LOCKED && second == NULL, "it is locked");
	ok(strstr(error.text, "in use by this process") != NULL, "which the message says");
	ok(open_mode(SLUICE_STORE_MEND, 0, &second) == SLUICE_ERROR_LOCKED, "also to mend");
	ok(open_mode(SLUICE_STORE_INSPECT, 0, &second) == SLUICE_ERROR_LOCKED, "also to inspect");
	ok(open_mode(SLUICE_STORE_PEEK, 0, &second) == SLUICE_ERROR_LOCKED, "also, in the process that has it open, to peek");
	ok(put_range(store, &model, 1, 1000, 20) && store_is(store, &model), "a thousand records are there after a commit");
	sluice_store_close(store);
	store = open_own();
	ok(store_is(store, &model), "also after opening again");
	ok(memcmp(id, sluice_store_state(store)->producer_id, sizeof(id)) == 0, "and the identity is the same");
	sluice_store_close(store);
	ok(open_mode(SLUICE_STORE_INSPECT, 0, &store) == SLUICE_OK && store_is(store, &model), "to inspect");
	ok(sluice_store_begin(store) == SLUICE_ERROR_INVALID, "but not to write");
	sluice_store_close(store);
	ok(open_mode(SLUICE_STORE_PEEK, 0, &store) == SLUICE_OK && store_is(store, &model), "to peek");
	sluice_store_close(store);
	ok(open_mode(SLUICE_STORE_MEND, 0, &store) == SLUICE_OK && put_range(store, &model, 1001, 1001, 3) &&
	   store_is(store, &model), "to mend");
	sluice_store_close(store);
}

static void
test_state(void)
{
	SluiceStore *store;
	SluiceStoreState state;

	begin_new();
	store = open_own();
	memset(&state, 0, sizeof(state));
	memset(state.producer_id, 1, sizeof(state.producer_id));
	memset(state.stream_uid, 2, sizeof(state.stream_uid));
	state.has_stream_uid = state.may_send = true;
	memset(state.stream, 's', sizeof(state.stream) - 1);
	state.nnonces = SLUICE_NONCES_MAX;
	for (int i = 0; i < SLUICE_NONCES_MAX; i++)
		state.nonces[i] = UINT64_MAX - (uint64_t) i;
	state.confirmed_nonce = 3;
	state.sent_floor = 4;
	state.next = 5;
	state.high_water = 6;
	state.acked_through = 7;
	state.condition = SLUICE_ERROR_FORKED;
	state.server_sequence = UINT64_MAX;
	ok(sluice_store_begin(store) == SLUICE_OK && sluice_store_put_state(store, &state) == SLUICE_OK, "a state of full size");
	ok(memcmp(sluice_store_state(store), &state, sizeof(state)) != 0, "is not the store's before the commit");
	sluice_store_abort(store);
	ok(sluice_store_state(store)->next == 1, "nor after an abort");
	ok(sluice_store_begin(store) == SLUICE_OK && sluice_store_put_state(store, &state) == SLUICE_OK &&
	   sluice_store_commit(store) == SLUICE_OK && memcmp(sluice_store_state(store), &state, sizeof(state)) == 0, "but after it");
	sluice_store_close(store);
	store = open_own();
	ok(memcmp(sluice_store_state(store), &state, sizeof(state)) == 0, "and after opening again, in every member");
	state.nnonces = SLUICE_NONCES_MAX + 1;
	ok(sluice_store_begin(store) == SLUICE_OK && sluice_store_put_state(store, &state) == SLUICE_ERROR_INVALID &&
	   sluice_store_commit(store) == SLUICE_ERROR_INVALID, "a transaction with an error in it is not committed");
	ok(sluice_store_begin(store) == SLUICE_OK, "and the next one begins");
	sluice_store_close(store);
}

static uint32_t
random_number(uint32_t below)
{
	static uint64_t seed = 1;

	seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
	return (uint32_t) (seed >> 33) % below;
}

/* One change of a random kind, to the store and to the model. */
static bool
change(SluiceStore *store, Model *target)
{
	uint64_t	sequence = 1 + random_number(NUMBERS - 200);
	size_t		removed, max, expected = 0;
	uint32_t	length;
	SluiceStoreRecord record;

	switch (random_number(8))
	{
		case 0:
		case 1:
			for (int i = 0; i < 50; i++, sequence++)
			{
				length = random_number(20) == 0 ? random_number(30000) : random_number(300);
				record = make_record(sequence, length);
				if (sluice_store_put(store, &record) != SLUICE_OK)
					return false;
				target->length[sequence] = length + 1;
			}
			return true;
		case 2:
			for (int i = 0; i < 30; i++, sequence++)
			{
				if (sluice_store_remove(store, sequence) != SLUICE_OK)
					return false;
				target->length[sequence] = 0;
			}
			return true;
		case 3:
			sequence = random_number(400);
			max = random_number(100);
			for (uint64_t i = 0; i <= sequence && expected < max; i++)
			{
				expected += target->length[i] > 0;
				target->length[i] = 0;
			}
			return sluice_store_remove_through(store, sequence, max, &removed) == SLUICE_OK && removed == expected;
		case 4:
			target->gap_to[sequence] = sequence;
			return sluice_store_put_gap(store, &(SluiceStoreGap) {sequence, sequence, (int) (sequence % 8) + 1}) == SLUICE_OK;
		case 5:
			memset(target->gap_to, 0, (sequence / 10 + 1) * sizeof(target->gap_to[0]));
			return sluice_store_remove_gaps_through(store, sequence / 10) == SLUICE_OK;
		case 6:
			if (target->length[sequence] == 0)
				return true;
			target->length[sequence] = 0;
			target->dead[sequence] = true;
			record = (SluiceStoreRecord) {.sequence = sequence};
			return sluice_store_set_aside(store, &record, "too large") == SLUICE_OK;
		default:
			target->next++;
			{
				SluiceStoreState state = *sluice_store_state(store);

				state.next = target->next;
				return sluice_store_put_state(store, &state) == SLUICE_OK;
			}
	}
}

static void
test_random(void)
{
	static Model before;
	SluiceStore *store;
	bool		all = true;
	int			compactions = 0;

	begin_new();
	memset(&model, 0, sizeof(model));
	model.next = 1;
	store = open_own();
	for (int round = 0; round < 400 && all; round++)
	{
		before = model;
		all = sluice_store_begin(store) == SLUICE_OK;
		for (uint32_t i = random_number(8); i > 0 && all; i--)
			all = change(store, &model);
		if (random_number(4) == 0)
		{
			sluice_store_abort(store);
			model = before;
		}
		else
			all = all && sluice_store_commit(store) == SLUICE_OK;
		if (random_number(20) == 0)
		{
			all = all && sluice_store_compact(store) == SLUICE_OK;
			compactions++;
		}
		if (random_number(20) == 0)
		{
			sluice_store_close(store);
			store = open_own();
		}
		all = all && aside[0] == '\0' && store_is(store, &model);
		if (!all)
			printf("# round %d: %s %s\n", round, sluice_store_message(store), aside);
	}
	ok(all && compactions > 5, "random changes, aborts, compactions and reopenings leave what they should");
	ok(sluice_store_begin(store) == SLUICE_OK && change(store, &model), "an open transaction");
	sluice_store_close(store);
	ok(directory_count(directory, "damaged-") == 0 && directory_count(directory, "compact") == 0, "leaves nothing behind");
}

static bool
remember_gap(void *argument, const SluiceStoreGap *gap)
{
	SluiceStoreGap *seen = argument;

	*seen = *gap;
	return false;
}

static bool
first_gap_is(SluiceStore *store, uint64_t from, uint64_t expected_from, uint64_t expected_to)
{
	SluiceStoreGap gap = {0};

	return sluice_store_scan_gaps(store, from, remember_gap, &gap) == SLUICE_OK &&
		gap.from == expected_from && gap.to == expected_to;
}

static void
test_scans_and_gaps(void)
{
	SluiceStore *store;
	uint64_t	seen = 0;
	uint64_t	discarded;
	SluiceStoreRecord record = {.sequence = 999};

	begin_new();
	memset(&model, 0, sizeof(model));
	store = open_own();
	put_range(store, &model, 3, 20, 5);
	ok(sluice_store_scan(store, 0, stop_at_ten, &seen) == SLUICE_OK && seen == 10, "a scan ends where it is told to");
	ok(sluice_store_scan(store, 15, stop_at_ten, &seen) == SLUICE_OK && seen == 15, "and begins where it is told to");
	ok(sluice_store_begin(store) == SLUICE_OK &&
	   sluice_store_put_gap(store, &(SluiceStoreGap) {30, 39, 1}) == SLUICE_OK &&
	   sluice_store_put_gap(store, &(SluiceStoreGap) {50, 59, 2}) == SLUICE_OK &&
	   sluice_store_put_gap(store, &(SluiceStoreGap) {50, 60, 2}) == SLUICE_OK && sluice_store_commit(store) == SLUICE_OK, "gaps");
	ok(first_gap_is(store, 1, 30, 39) && first_gap_is(store, 35, 30, 39) && first_gap_is(store, 40, 50, 60) &&
	   first_gap_is(store, 60, 50, 60) && first_gap_is(store, 61, 0, 0), "are found where they reach to");
	ok(sluice_store_begin(store) == SLUICE_OK && sluice_store_remove_gaps_through(store, 55) == SLUICE_OK &&
	   sluice_store_commit(store) == SLUICE_OK && first_gap_is(store, 0, 56, 60), "and shortened where they reach further");
	ok(sluice_store_begin(store) == SLUICE_OK && sluice_store_set_aside(store, &record, "why") == SLUICE_ERROR_NOT_FOUND &&
	   sluice_store_commit(store) == SLUICE_ERROR_NOT_FOUND, "what is not there cannot be set aside");
	record = make_record(999, 100);
	ok(sluice_store_begin(store) == SLUICE_OK && sluice_store_set_aside(store, &record, "why") == SLUICE_OK &&
	   sluice_store_commit(store) == SLUICE_OK, "but what is given");
	ok(sluice_store_begin(store) == SLUICE_OK && sluice_store_discard_dead(store, &discarded) == SLUICE_OK &&
	   sluice_store_commit(store) == SLUICE_OK && discarded == 1, "and discarded");
	ok(sluice_store_put(store, &record) == SLUICE_ERROR_INVALID, "outside of a transaction nothing is put");
	sluice_store_close(store);
}

/* ---- full ---- */

static void
test_full(void)
{
	SluiceStore *store;
	SluiceStoreCounts counts;
	uint64_t	sequence = 1;
	size_t		removed;
	bool		all = true;
	int			rc = SLUICE_OK;

	begin_new();
	ok(open_mode(SLUICE_STORE_OWN, 16 << 20, &store) == SLUICE_OK, "a small buffer");
	while (rc == SLUICE_OK && sequence < 20000)
	{
		all = all && sluice_store_begin(store) == SLUICE_OK;
		for (int i = 0; i < 100 && rc == SLUICE_OK; i++, sequence++)
		{
			SluiceStoreRecord record = make_record(sequence, sequence % 7 == 0 ? 9000 : 1000);

			rc = sluice_store_put(store, &record);
		}
		if (rc == SLUICE_OK)
			rc = sluice_store_commit(store);
		else
			sluice_store_abort(store);
	}
	if (!ok(all && rc == SLUICE_ERROR_FULL, "becomes full"))
		printf("# %d: %s\n", rc, sluice_store_message(store));
	sluice_store_counts(store, &counts);
	printf("# %llu bytes in a file of %llu\n", (unsigned long long) counts.bytes, (unsigned long long) counts.file_bytes);
	ok(counts.file_bytes > 15 << 20 && counts.file_bytes <= 17 << 20, "when its file is as large as was allowed");
	for (int i = 0; i < 30 && all; i++)
	{
		all = sluice_store_begin(store) == SLUICE_OK &&
			sluice_store_remove_through(store, UINT64_MAX, 500, &removed) == SLUICE_OK && sluice_store_commit(store) == SLUICE_OK;
		if (removed < 500)
			break;
	}
	sluice_store_counts(store, &counts);
	ok(all && counts.records == 0 && counts.bytes == 0, "and can be emptied");
	ok(sluice_store_compact(store) == SLUICE_OK && sluice_store_counts(store, &counts) == SLUICE_OK &&
	   counts.file_bytes < 200000, "and gives its space back");
	ok(put_range(store, &model, 1, 1000, 1000), "and takes records again");
	sluice_store_close(store);
}

int
main(void)
{
	directory_make(directory);
	test_basic();
	test_state();
	test_scans_and_gaps();
	test_random();
	test_full();
	directory_remove(directory);
	return done_testing();
}
