/*
 * care.c
 *		A look into a buffer: check, statistics, dump.
 *
 * Nothing is changed here.  What changes a buffer is in repair.c.
 */
#include <stdio.h>
#include <string.h>

#include "../sluice.h"
#include "encoding.h"
#include "store.h"

static int
open_store(const char *directory, SluiceStoreMode mode, SluiceStore **store, SluiceError *error)
{
	SluiceStoreSettings settings = {directory, NULL, mode, 0};
	char		set_aside[1];

	return sluice_store_open(&settings, store, set_aside, sizeof(set_aside), error);
}

/* ---- check ---- */

typedef struct Findings
{
	sluice_check_callback callback;
	void	   *argument;
	bool		errors;
} Findings;

static void
on_finding(void *argument, bool error, const char *text)
{
	Findings   *findings = argument;

	findings->errors = findings->errors || error;
	if (findings->callback != NULL)
		findings->callback(findings->argument, error, text);
}

int
sluice_buffer_check(const char *directory, sluice_check_callback callback, void *argument)
{
	Findings	findings = {callback, argument, false};
	SluiceStore *store;
	SluiceError error = {""};
	int			code;

	if (directory == NULL)
		return SLUICE_ERROR_INVALID;
	code = open_store(directory, SLUICE_STORE_INSPECT, &store, &error);
	if (code != SLUICE_OK)
	{
		on_finding(&findings, true, error.text[0] != '\0' ? error.text : sluice_error_text(code));
		return code;
	}
	code = sluice_store_check(store, on_finding, &findings);
	sluice_store_close(store);
	return code == SLUICE_OK && findings.errors ? SLUICE_ERROR_DAMAGED : code;
}

/* ---- statistics ---- */

static bool
note_oldest(void *argument, const SluiceStoreRecord *record)
{
	*(int64_t *) argument = record->at;
	return false;
}

static bool
add_gap(void *argument, const SluiceStoreGap *gap)
{
	*(uint64_t *) argument += gap->to - gap->from + 1;
	return true;
}

static int
fill_statistics(SluiceStore *store, sluice_buffer_statistics *all)
{
	const SluiceStoreState *state = sluice_store_state(store);
	SluiceStoreCounts counts;
	int			code = sluice_store_counts(store, &counts);

	if (code == SLUICE_OK)
		code = sluice_store_scan(store, 0, note_oldest, &all->oldest_at);
	if (code == SLUICE_OK)
		code = sluice_store_scan_gaps(store, 0, add_gap, &all->gaps);
	if (code != SLUICE_OK)
		return code;
	snprintf(all->stream, sizeof(all->stream), "%s", state->stream);
	memcpy(all->producer_id, state->producer_id, sizeof(all->producer_id));
	all->last_sequence = state->next - 1;
	all->acknowledged_through = state->acked_through;
	all->records = counts.records;
	all->bytes = counts.bytes;
	all->dead_letters = counts.dead;
	all->file_bytes = counts.file_bytes;
	all->format_version = SLUICE_STORE_FORMAT;
	all->condition = state->condition;
	all->server_sequence = state->server_sequence;
	return SLUICE_OK;
}

int
sluice_buffer_read_statistics(const char *directory, sluice_buffer_statistics *statistics, size_t size)
{
	sluice_buffer_statistics all;
	SluiceStore *store;
	int			code;

	if (directory == NULL || statistics == NULL)
		return SLUICE_ERROR_INVALID;
	memset(&all, 0, sizeof(all));
	memset(statistics, 0, size);
	code = open_store(directory, SLUICE_STORE_PEEK, &store, NULL);
	if (code != SLUICE_OK)
		return code;
	code = fill_statistics(store, &all);
	sluice_store_close(store);
	if (code == SLUICE_OK)
		memcpy(statistics, &all, size < sizeof(all) ? size : sizeof(all));
	return code;
}

/* ---- dump ---- */

typedef struct Dump
{
	sluice_dump_callback callback;
	void	   *argument;
	bool		ended;			/* by the callback */
	bool		damaged;		/* a record was no record */
} Dump;

static bool
dump_one(Dump *dump, const SluiceStoreRecord *record, const char *why)
{
	SluiceEntry entry;
	sluice_buffered buffered;

	if (sluice_entry_read(record->bytes, record->length, &entry) == 0)
	{
		dump->damaged = true;
		return true;
	}
	memset(&buffered, 0, sizeof(buffered));
	buffered.sequence = record->sequence;
	buffered.at = record->at;
	buffered.payload = entry.payload;
	buffered.payload_length = entry.payload_length;
	buffered.key = entry.key_length > 0 ? (const char *) entry.key : NULL;
	buffered.key_length = entry.key_length;
	buffered.entity = record->entity;
	buffered.entity_length = record->entity_length;
	buffered.dead_letter = why != NULL;
	buffered.why = why;
	dump->ended = !dump->callback(dump->argument, &buffered);
	return !dump->ended;
}

static bool
dump_record(void *argument, const SluiceStoreRecord *record)
{
	return dump_one(argument, record, NULL);
}

static bool
dump_dead(void *argument, const SluiceStoreRecord *record, const char *why)
{
	return dump_one(argument, record, why);
}

int
sluice_buffer_dump(const char *directory, sluice_dump_callback callback, void *argument)
{
	Dump		dump = {callback, argument, false, false};
	SluiceStore *store;
	int			code;

	if (directory == NULL || callback == NULL)
		return SLUICE_ERROR_INVALID;
	code = open_store(directory, SLUICE_STORE_PEEK, &store, NULL);
	if (code != SLUICE_OK)
		return code;
	code = sluice_store_scan(store, 0, dump_record, &dump);
	if (code == SLUICE_OK && !dump.ended)
		code = sluice_store_scan_dead(store, dump_dead, &dump);
	sluice_store_close(store);
	return code == SLUICE_OK && dump.damaged ? SLUICE_ERROR_DAMAGED : code;
}
