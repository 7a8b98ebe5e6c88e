/*
 * buffer_scenario.h
 *		A buffer and a server (buffer_server.h) for tests of one property: made, put into,
 *		connected, drained, compared.
 */
#ifndef SLUICE_TESTS_BUFFER_SCENARIO_H
#define SLUICE_TESTS_BUFFER_SCENARIO_H

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

static inline void
on_delivery(void *argument, const sluice_delivery *delivery)
{
	(void) argument;
	if (ntold < TOLD_MAX)
		told[ntold++] = *delivery;
}

/* A new directory and a new server. */
static inline void
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

static inline int
open_buffer(void)
{
	error.text[0] = '\0';
	return sluice_buffer_open(&settings, &buffer, &error);
}

static inline int
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

static inline int
put(uint64_t id)
{
	return put_sized(id, 50, NULL, NULL);
}

static inline int
put_range(uint64_t first, uint64_t last)
{
	int			code = SLUICE_OK;

	for (uint64_t id = first; code == SLUICE_OK && id <= last; id++)
		code = put(id);
	return code;
}

static inline int
connect_buffer(void)
{
	SluiceOpening opening;
	SluiceOpened opened;
	int			code;

	sluice_buffer_opening(buffer, &opening);
	code = server_open(&server, &opening, &opened);
	return code == SLUICE_OK ? sluice_buffer_opened(buffer, &opened) : code;
}

static inline int
always_stored(void *argument)
{
	(void) argument;
	return SLUICE_VERDICT_STORED;
}

/* A batch to the server, and its ack back if that is wanted.  False: nothing to send now. */
static inline bool
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
static inline bool
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

static inline void
close_buffer(void)
{
	if (sluice_buffer_close(buffer) != SLUICE_OK)
		server.wrong = "the buffer could not be closed";
}

static inline int
reopen(void)
{
	sluice_buffer_disconnected(buffer);
	close_buffer();
	return open_buffer();
}

/* Has the server the records first..last with the ids that are their numbers less `off`? */
static inline bool
has(uint64_t first, uint64_t last, uint64_t off)
{
	bool		all = server.last >= last;

	for (uint64_t s = first; all && s <= last; s++)
		all = server.fates[s - 1].id == s - off;
	return all;
}

static inline bool
are_gaps(uint64_t first, uint64_t last, int reason)
{
	bool		all = server.last >= last;

	for (uint64_t s = first; all && s <= last; s++)
		all = server.fates[s - 1].id == 0 && server.fates[s - 1].reason == reason;
	return all;
}

static inline bool
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

#endif							/* SLUICE_TESTS_BUFFER_SCENARIO_H */
