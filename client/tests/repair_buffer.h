/*
 * repair_buffer.h
 *		Buffers as a crash, a copy or a bad disk leaves them, for the tests of their care and repair.
 */
#ifndef SLUICE_TESTS_REPAIR_BUFFER_H
#define SLUICE_TESTS_REPAIR_BUFFER_H

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../lib/encoding.h"
#include "../lib/store.h"
#include "../sluice.h"
#include "buffer_directory.h"

static char told[8192];

static inline void
note(void *argument, bool error, const char *text)
{
	(void) argument;
	snprintf(told + strlen(told), sizeof(told) - strlen(told), "%s%s\n", error ? "error: " : "", text);
}

static inline SluiceStore *
open_store(const char *directory, SluiceStoreMode mode)
{
	SluiceStoreSettings settings = {directory, "readings", mode, 64 << 20};
	SluiceStore *store = NULL;
	char		set_aside[4200];

	sluice_store_open(&settings, &store, set_aside, sizeof(set_aside), NULL);
	return store;
}

static inline void
put_record(SluiceStore *store, uint64_t sequence, const char *what)
{
	uint8_t		bytes[200];
	char		payload[32];
	char		key[32];
	SluiceEntry entry = {sequence, (uint8_t *) payload, (uint8_t *) key, 0, 0};
	SluiceStoreRecord record = {.sequence = sequence, .at = 1000000 + (int64_t) sequence, .bytes = bytes, .entity = "e",
	.entity_length = 1};

	entry.payload_length = (uint32_t) snprintf(payload, sizeof(payload), "%s %d", what, (int) sequence);
	entry.key_length = sequence % 2 == 0 ? (uint32_t) snprintf(key, sizeof(key), "key %d", (int) sequence) : 0;
	record.length = (uint32_t) (sluice_entry_write(bytes, &entry) - bytes);
	sluice_store_put(store, &record);
}

/* Records 11 to 30 but for the gap 15 to 16; acknowledged through 10; all up to floor may have been sent. */
static inline void
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
			put_record(store, i, "payload");
	}
	sluice_store_put_gap(store, &gap);
	sluice_store_put_state(store, &state);
	sluice_store_commit(store);
	sluice_store_close(store);
}

static char dumped[8192];

static inline bool
dump_record(void *argument, const sluice_buffered *record)
{
	(void) argument;
	snprintf(dumped + strlen(dumped), sizeof(dumped) - strlen(dumped), "%d%s%.*s%s%.*s;", (int) record->sequence,
			 record->dead_letter ? "!" : ":", (int) record->payload_length, (const char *) record->payload,
			 record->key != NULL ? "/" : "", (int) record->key_length, record->key != NULL ? record->key : "");
	return true;
}

static inline const char *
dump(const char *directory)
{
	dumped[0] = '\0';
	sluice_buffer_dump(directory, dump_record, NULL);
	return dumped;
}

static inline sluice_buffer_statistics
statistics_of(const char *directory)
{
	sluice_buffer_statistics statistics;

	if (sluice_buffer_read_statistics(directory, &statistics, sizeof(statistics)) != SLUICE_OK)
		memset(&statistics, 0xFF, sizeof(statistics));
	return statistics;
}

static inline int
repair(const char *directory, sluice_repair wishes)
{
	told[0] = '\0';
	return sluice_buffer_repair(directory, &wishes, note, NULL);
}

/* Spoil the page that holds this text; how often it was found. */
static inline int
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
	/* And the meta pages, so that LMDB has no way in; on disk, for what comes after it. */
	memset(bytes, 0xAA, 4096);
	found += pwrite(fd, bytes, 4000, 16) != 4000 || pwrite(fd, bytes, 4000, sysconf(_SC_PAGESIZE) + 16) != 4000 ? -100 : 0;
	fsync(fd);
	close(fd);
	return found;
}

#endif							/* SLUICE_TESTS_REPAIR_BUFFER_H */
