/*
 * store_model.h
 *		What a store should hold, for the tests of the store: records made from their
 *		numbers, and a model that a store is compared with.
 */
#ifndef SLUICE_TESTS_STORE_MODEL_H
#define SLUICE_TESTS_STORE_MODEL_H

#include <stdint.h>

#include "../lib/encoding.h"
#include "../lib/store.h"
#include "../sluice.h"
#include "buffer_directory.h"
#include "tap.h"

#define NUMBERS 3000

static char directory[256];

/* ---- what should be there ---- */

typedef struct Model
{
	uint32_t	length[NUMBERS];	/* of the payload, plus 1; 0: no record */
	bool		dead[NUMBERS];
	uint64_t	gap_to[NUMBERS];	/* 0: no gap */
	uint64_t	next;
} Model;

static inline uint8_t
payload_byte(uint64_t sequence, size_t at)
{
	return (uint8_t) (sequence * 31 + at * 7 + (at >> 8));
}

static inline SluiceStoreRecord
make_record(uint64_t sequence, uint32_t payload_length)
{
	static uint8_t payload[100000];
	static uint8_t bytes[100100];
	SluiceEntry entry = {.sequence = sequence, .payload = payload, .payload_length = payload_length};

	for (size_t i = 0; i < payload_length; i++)
		payload[i] = payload_byte(sequence, i);
	return (SluiceStoreRecord) {.sequence = sequence, .at = (int64_t) sequence * 1000, .bytes = bytes,
		.length = (uint32_t) (sluice_entry_write(bytes, &entry) - bytes),
		.entity = sequence % 3 == 0 ? "meter" : NULL, .entity_length = sequence % 3 == 0 ? 5 : 0};
}

static inline bool
record_is(const SluiceStoreRecord *record, uint32_t payload_length)
{
	SluiceStoreRecord expected = make_record(record->sequence, payload_length);

	return record->at == expected.at && record->length == expected.length &&
		memcmp(record->bytes, expected.bytes, expected.length) == 0 && record->entity_length == expected.entity_length &&
		(expected.entity == NULL ? record->entity == NULL : memcmp(record->entity, expected.entity, 5) == 0);
}

typedef struct Comparison
{
	const Model *model;
	uint64_t	at;
	bool		same;
} Comparison;

static inline bool
compare_record(void *argument, const SluiceStoreRecord *record)
{
	Comparison *comparison = argument;
	const Model *model = comparison->model;

	while (comparison->at < record->sequence && model->length[comparison->at] == 0)
		comparison->at++;
	if (comparison->at++ != record->sequence || model->length[record->sequence] == 0 ||
		!record_is(record, model->length[record->sequence] - 1))
		comparison->same = false;
	return comparison->same;
}

static inline bool
compare_gap(void *argument, const SluiceStoreGap *gap)
{
	Comparison *comparison = argument;

	while (comparison->at < gap->from && comparison->model->gap_to[comparison->at] == 0)
		comparison->at++;
	if (comparison->at++ != gap->from || comparison->model->gap_to[gap->from] != gap->to || gap->reason != (int) (gap->from % 8) + 1)
		comparison->same = false;
	return comparison->same;
}

static inline bool
compare_dead(void *argument, const SluiceStoreRecord *record, const char *why)
{
	Comparison *comparison = argument;

	while (comparison->at < record->sequence && !comparison->model->dead[comparison->at])
		comparison->at++;
	if (comparison->at++ != record->sequence || strcmp(why, "too large") != 0)
		comparison->same = false;
	return comparison->same;
}

static inline bool
store_is(SluiceStore *store, const Model *model)
{
	Comparison	records = {model, 0, true};
	Comparison	gaps = {model, 0, true};
	Comparison	dead = {model, 0, true};
	SluiceStoreCounts counts;
	uint64_t	nrecords = 0, bytes = 0, ngaps = 0, ndead = 0;

	for (uint64_t i = 0; i < NUMBERS; i++)
	{
		nrecords += model->length[i] > 0;
		bytes += model->length[i] > 0 ? sluice_entry_size(i, model->length[i] - 1, 0) : 0;
		ngaps += model->gap_to[i] > 0;
		ndead += model->dead[i];
	}
	if (sluice_store_scan(store, 0, compare_record, &records) != SLUICE_OK || !records.same ||
		sluice_store_scan_gaps(store, 0, compare_gap, &gaps) != SLUICE_OK || !gaps.same ||
		sluice_store_scan_dead(store, compare_dead, &dead) != SLUICE_OK || !dead.same ||
		sluice_store_counts(store, &counts) != SLUICE_OK)
		return false;
	if (counts.records != nrecords || counts.bytes != bytes || counts.gaps != ngaps || counts.dead != ndead ||
		sluice_store_state(store)->next != model->next)
	{
		printf("# counts %llu %llu %llu %llu, expected %llu %llu %llu %llu\n", (unsigned long long) counts.records,
			   (unsigned long long) counts.bytes, (unsigned long long) counts.gaps, (unsigned long long) counts.dead,
			   (unsigned long long) nrecords, (unsigned long long) bytes, (unsigned long long) ngaps, (unsigned long long) ndead);
		return false;
	}
	for (; records.at < NUMBERS && records.same; records.at++)
		records.same = model->length[records.at] == 0;
	return records.same;
}

/* ---- opening ---- */

static SluiceError error;
static char aside[512];

static inline int
open_mode(SluiceStoreMode mode, uint64_t map_bytes, SluiceStore **store)
{
	SluiceStoreSettings settings = {.directory = directory, .stream = "readings", .mode = mode, .map_bytes = map_bytes};

	return sluice_store_open(&settings, store, aside, sizeof(aside), &error);
}

static inline SluiceStore *
open_own(void)
{
	SluiceStore *store;

	if (open_mode(SLUICE_STORE_OWN, 64 << 20, &store) != SLUICE_OK)
	{
		printf("Bail out! %s\n", error.text);
		exit(2);
	}
	return store;
}

static inline void
begin_new(void)
{
	directory_remove(directory);
	directory_make(directory);
}

static inline bool
put_range(SluiceStore *store, Model *model, uint64_t from, uint64_t to, uint32_t length)
{
	SluiceStoreState state = *sluice_store_state(store);

	if (sluice_store_begin(store) != SLUICE_OK)
		return false;
	for (uint64_t i = from; i <= to; i++)
	{
		SluiceStoreRecord record = make_record(i, length);

		if (sluice_store_put(store, &record) != SLUICE_OK)
			return false;
		model->length[i] = length + 1;
	}
	state.next = model->next = to + 1;
	return sluice_store_put_state(store, &state) == SLUICE_OK && sluice_store_commit(store) == SLUICE_OK;
}

static Model model;

static inline bool
stop_at_ten(void *argument, const SluiceStoreRecord *record)
{
	uint64_t   *seen = argument;

	*seen = record->sequence;
	return record->sequence < 10;
}

#endif							/* SLUICE_TESTS_STORE_MODEL_H */
