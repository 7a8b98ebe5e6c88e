/*
 * buffer_fault_test.c
 *		Every allocation, write and sync of the buffer fails once, and then for good:
 *		what put took under `each` gets to the server, and with the others it gets there or is declared.
 */
#include "tap.h"

#include "buffer_internal.h"
#include "buffer_directory.h"
#include "buffer_server.h"
#include "fault.h"

#define CALLS_MAX 3000
#define IDS_MAX 200000

static char directory[256];
static Fault fault;
static Server server;
static SluiceBuffer *buffer;
static uint64_t ids[IDS_MAX];	/* that put took, by sequence */
static SluiceSettings settings;

static void
choose(SluiceDurability durability, bool compact)
{
	settings = (SluiceSettings) {
		.buffer = directory,
		.stream = "s",
		.durability = durability,
		.interval = SLUICE_MILLISECOND,
		.max_records = 40,
		.max_bytes = 1 << 20,
		.full = SLUICE_FULL_DROP_OLDEST,
		.compact = compact,
		.memory = 1,
		.batch_bytes = 2000,
		.window_bytes = 1 << 20
	};
}

static int
open_buffer(void)
{
	SluiceError error;

	return sluice_buffer_open(&settings, &buffer, &error);
}

static uint64_t next_id;

/* False: put gave a number twice. */
static bool
put_some(int count)
{
	for (int i = 0; i < count; i++)
	{
		uint8_t		payload[300] = {0};
		uint64_t	id = ++next_id;
		uint64_t	sequence;
		sluice_record record = {.payload = payload, .payload_length = i % 5 == 0 ? 300 : 40, .entity = i % 3 ? "a" : "b", .entity_length = 1};

		memcpy(payload, &id, sizeof(id));
		if (sluice_buffer_put(buffer, &record, &sequence) != SLUICE_OK)
			continue;
		if (sequence >= IDS_MAX || ids[sequence] != 0)
			return false;
		ids[sequence] = id;
	}
	return true;
}

static int
always_stored(void *argument)
{
	(void) argument;
	return SLUICE_VERDICT_STORED;
}

static int
connect_buffer(void)
{
	SluiceOpening opening;
	SluiceOpened opened;
	int			code;

	sluice_buffer_opening(buffer, &opening);
	code = server_open(&server, &opening, &opened);
	return code == SLUICE_OK ? sluice_buffer_opened(buffer, &opened) : code;
}

/* The server's own work is not what fails. */
static void
publish(bool armed)
{
	static SluiceSettled exceptions[6000];
	size_t		nexceptions;
	SluiceOutgoing outgoing;
	int64_t		due;

	if (!sluice_buffer_next(buffer, 0, &outgoing, &due))
		return;
	fault.arm(0);
	server_take(&server, outgoing.bytes, outgoing.length, always_stored, NULL, exceptions, &nexceptions);
	fault.arm(armed);
	sluice_buffer_sent(buffer, &outgoing);
	sluice_buffer_settle(buffer, outgoing.through, NULL, 0);
}

/* What a run does; it goes on with whatever failed. */
static bool
run(void)
{
	bool		good = true;

	for (int tries = 0; tries < 3 && buffer == NULL; tries++)
		open_buffer();
	if (buffer == NULL)
		return true;
	good = put_some(20);
	if (connect_buffer() == SLUICE_OK)
	{
		publish(true);
		good = good && put_some(8);
		publish(true);
		sluice_buffer_disconnected(buffer);
	}
	good = good && put_some(60);
	sluice_buffer_close(buffer);
	buffer = NULL;
	if (open_buffer() != SLUICE_OK)
		return good;
	good = good && put_some(5);
	if (connect_buffer() == SLUICE_OK)
	{
		publish(true);
		sluice_buffer_disconnected(buffer);
	}
	return good;
}

static bool
drain(void)
{
	int64_t		deadline = sluice_clock_now() + 10 * SLUICE_SECOND;

	if (connect_buffer() != SLUICE_OK)
		return false;
	while (sluice_clock_now() < deadline && server.wrong == NULL)
	{
		if (sluice_buffer_flush(buffer, 0) == SLUICE_OK)
			return true;
		publish(false);
		usleep(100);
	}
	return false;
}

/* Is every record that put took on the server, or declared as its settings allow? */
static bool
is_kept(void)
{
	for (uint64_t s = 1; s <= server.last; s++)
	{
		const Fate *fate = &server.fates[s - 1];
		bool		allowed = fate->reason == SLUICE_REASON_FULL || fate->reason == SLUICE_REASON_COMPACTED ||
			(fate->reason == SLUICE_REASON_LOST_TAIL && settings.durability != SLUICE_DURABILITY_EACH);

		if (ids[s] == 0 || fate->id == ids[s] || (fate->id == 0 && allowed))
			continue;
		printf("# sequence %llu: put %llu, server has %llu, reason %d\n", (unsigned long long) s,
			   (unsigned long long) ids[s], (unsigned long long) fate->id, fate->reason);
		return false;
	}
	for (uint64_t s = server.last + 1; s < IDS_MAX; s++)
	{
		if (ids[s] != 0)
			return false;
	}
	return true;
}

static bool
try_fault(long n)
{
	bool		good;

	directory_remove(directory);
	free(server.fates);
	server_begin(&server);
	memset(ids, 0, sizeof(ids));
	buffer = NULL;
	fault.set(n);
	fault.arm(1);
	good = run();
	fault.arm(0);
	if (buffer != NULL)
		sluice_buffer_close(buffer);
	buffer = NULL;
	if (!good)
		printf("# a number was given out twice\n");
	if (open_buffer() != SLUICE_OK)
	{
		printf("# cannot be opened without faults\n");
		return false;
	}
	if (!drain())
	{
		printf("# not drained: %s\n", server.wrong != NULL ? server.wrong : "stuck");
		good = false;
	}
	good = good && is_kept();
	sluice_buffer_close(buffer);
	return good;
}

/* In the process with the faults. */
static int
try_faults(const char *how)
{
	long		n = 0;
	long		hits;
	int			wrong = 0;

	choose(how[0] == 'e' ? SLUICE_DURABILITY_EACH : SLUICE_DURABILITY_INTERVAL, how[1] == 'c');
	do
	{
		n++;
		if (!try_fault(n))
		{
			printf("# wrong with call %ld\n", n);
			wrong++;
		}
		hits = fault.hits();
		/* What is written is a matter of time under interval: all of the beginning, then a sample. */
		if (n > 150)
			n += n / 20;
	} while (hits > 0 && n < CALLS_MAX && wrong < 5);
	printf("# %ld calls\n", n - 1);
	fflush(stdout);
	return wrong > 0 || n < 5;
}

int
main(int argc, char **argv)
{
	static const char *const kinds[] = {
		"memory:0:ENOMEM:1", "memory:0:ENOMEM:3", "memory:0:ENOMEM:all", "sync:0:EIO:1", "sync:0:EIO:all",
		"disk:0:ENOSPC:1", "disk:0:EIO:2", "disk:0:ENOSPC:all"
	};
	static const char *const ways[] = {"e", "ec", "i", "ic"};

	fault = fault_find();
	directory_make(directory);
	if (argc > 1)
	{
		int			wrong = try_faults(argv[1]);

		directory_remove(directory);
		return wrong;
	}
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
	{
		for (size_t way = i % 2; way < sizeof(ways) / sizeof(ways[0]); way += 2)
		{
			int			status = run_with("fault.so", "SLUICE_FAULT", kinds[i], ways[way]);
			char		name[160];

			snprintf(name, sizeof(name), "every call fails: %s; %s%s", kinds[i], ways[way][0] == 'e' ? "each" : "interval",
					 ways[way][1] == 'c' ? ", compaction" : "");
			if (!ok(status == 0, name))
				printf("# status %#x\n", status);
		}
	}
	directory_remove(directory);
	return done_testing();
}
