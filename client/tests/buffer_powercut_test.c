/*
 * buffer_powercut_test.c
 *		A power cut at any moment: what put took under `each` by then is there, and
 *		with interval and none no number is given out again.
 */
#include "tap.h"

#include "buffer_internal.h"
#include "buffer_directory.h"
#include "buffer_server.h"
#include "fault.h"
#include "powercut.h"

#define RECORDS 60
#define SEEDS 3

static char base[256];
static SluiceBuffer *buffer;
static SluiceDurability durability;

static int
open_buffer(const char *parent)
{
	static char directory[320];
	SluiceError error;
	SluiceSettings settings = {
		.buffer = directory,
		.stream = "s",
		.durability = durability,
		.interval = SLUICE_MILLISECOND,
		.max_records = 1000,
		.max_bytes = 1 << 20,
		.block_timeout = SLUICE_NEVER,
		.memory = 1 << 20,
		.batch_bytes = 2000,
		.window_bytes = 1 << 20
	};

	snprintf(directory, sizeof(directory), "%s/buffer", parent);
	return sluice_buffer_open(&settings, &buffer, &error);
}

static int
connect_buffer(Server *server)
{
	SluiceOpening opening;
	SluiceOpened opened;
	int			code;

	sluice_buffer_opening(buffer, &opening);
	code = server_open(server, &opening, &opened);
	return code == SLUICE_OK ? sluice_buffer_opened(buffer, &opened) : code;
}

static int
always_stored(void *argument)
{
	(void) argument;
	return SLUICE_VERDICT_STORED;
}

static void
publish(Server *server)
{
	static SluiceSettled exceptions[6000];
	size_t		nexceptions;
	SluiceOutgoing outgoing;
	int64_t		due;

	if (!sluice_buffer_next(buffer, 0, &outgoing, &due))
		return;
	server_take(server, outgoing.bytes, outgoing.length, always_stored, NULL, exceptions, &nexceptions);
	sluice_buffer_sent(buffer, &outgoing);
	sluice_buffer_settle(buffer, outgoing.through, NULL, 0);
}

/* Each record's payload is its number. */
static int
put_next(uint64_t expected, uint64_t *sequence)
{
	uint8_t		payload[200] = {0};

	memcpy(payload, &expected, sizeof(expected));
	return sluice_buffer_put(buffer, &(sluice_record) {.payload = payload, .payload_length = sizeof(payload)}, sequence);
}

/* In the process that is recorded; a mark tells the last number that a caller got. */
static int
run_recorded(const char *parent)
{
	void		(*mark) (uint64_t number) = (void (*) (uint64_t)) dlsym(RTLD_DEFAULT, "sluice_powercut_mark");
	uint64_t	sequence;

	if (mark == NULL || open_buffer(parent) != SLUICE_OK)
		return 1;
	for (uint64_t i = 1; i <= RECORDS; i++)
	{
		if (put_next(i, &sequence) != SLUICE_OK || sequence != i)
			return 2;
		mark(sequence);
		if (durability != SLUICE_DURABILITY_EACH && i % 10 == 0)
			usleep(1500);
		if (i == RECORDS / 2)
		{
			sluice_buffer_close(buffer);
			if (open_buffer(parent) != SLUICE_OK)
				return 3;
		}
	}
	sluice_buffer_close(buffer);
	return 0;
}

static bool
drain(Server *server)
{
	int64_t		deadline = sluice_clock_now() + 10 * SLUICE_SECOND;

	if (connect_buffer(server) != SLUICE_OK)
		return false;
	while (sluice_buffer_flush(buffer, 0) != SLUICE_OK)
	{
		if (sluice_clock_now() > deadline || server->wrong != NULL)
			return false;
		publish(server);
	}
	return true;
}

/* The kernel's page of the tail is another boot's after a power cut. */
static void
forget_boot(const char *parent)
{
	char		path[400];

	snprintf(path, sizeof(path), "%s/buffer/tail", parent);
	unlink(path);
}

static bool
holds(const char *image, uint64_t mark)
{
	Server		server;
	uint64_t	sequence = 0;
	bool		good;

	server_begin(&server);
	forget_boot(image);
	if (open_buffer(image) != SLUICE_OK)
		return false;
	good = put_next(1000, &sequence) == SLUICE_OK && sequence > mark && drain(&server);
	for (uint64_t s = 1; good && s < sequence; s++)
	{
		const Fate *fate = &server.fates[s - 1];

		good = fate->id == s ||
			(fate->id == 0 && fate->reason == SLUICE_REASON_LOST_TAIL && (durability != SLUICE_DURABILITY_EACH || s > mark));
	}
	if (!good)
		printf("# marked %llu, then %llu; server %llu %s\n", (unsigned long long) mark, (unsigned long long) sequence,
			   (unsigned long long) server.last, server.wrong != NULL ? server.wrong : "");
	sluice_buffer_close(buffer);
	free(server.fates);
	return good;
}

static bool
survives(const Powercut *log, PowercutRest rest, int seeds)
{
	char		image[300];
	bool		all = true;

	snprintf(image, sizeof(image), "%s/image", base);
	for (size_t n = 0; n <= log->nevents && all; n++)
	{
		for (int seed = 0; seed < seeds && all; seed++)
		{
			powercut_build(log, n, rest, n * 1000 + (uint64_t) seed, image);
			all = holds(image, powercut_mark(log, n));
			if (!all)
				printf("# wrong: cut before event %zu of %zu, seed %zu\n", n, log->nevents, n * 1000 + (size_t) seed);
			directory_remove(image);
		}
	}
	return all;
}

static void
test(SluiceDurability chosen, const char *name)
{
	char		variable[1024];
	char		recorded[300];
	char		path[300];
	char		text[100];
	Powercut	log;

	durability = chosen;
	directory_make(base);
	snprintf(recorded, sizeof(recorded), "%s/recorded", base);
	snprintf(path, sizeof(path), "%s/log", base);
	snprintf(variable, sizeof(variable), "%s:%s", recorded, path);
	mkdir(recorded, 0700);
	setenv("SLUICE_DURABILITY", name, 1);
	snprintf(text, sizeof(text), "%s: a run is recorded", name);
	ok(run_with("powercut.so", "SLUICE_POWERCUT", variable, recorded) == 0, text);
	powercut_read(&log, path);
	printf("# %zu events\n", log.nevents);
	snprintf(text, sizeof(text), "%s: with all that it promised", name);
	ok(powercut_mark(&log, log.nevents) == RECORDS, text);
	snprintf(text, sizeof(text), "%s: cut anywhere, nothing that was not synced is left", name);
	ok(survives(&log, POWERCUT_NOTHING, 1), text);
	snprintf(text, sizeof(text), "%s: cut anywhere, all is left", name);
	ok(survives(&log, POWERCUT_ALL, 1), text);
	snprintf(text, sizeof(text), "%s: cut anywhere, some of it is left", name);
	ok(survives(&log, POWERCUT_RANDOM, SEEDS), text);
	powercut_free(&log);
	directory_remove(base);
}

int
main(int argc, char **argv)
{
	const char *name = getenv("SLUICE_DURABILITY");

	if (argc > 1)
	{
		durability = name[0] == 'e' ? SLUICE_DURABILITY_EACH : name[0] == 'i' ? SLUICE_DURABILITY_INTERVAL : SLUICE_DURABILITY_NONE;
		return run_recorded(argv[1]);
	}
	test(SLUICE_DURABILITY_EACH, "each");
	test(SLUICE_DURABILITY_INTERVAL, "interval");
	test(SLUICE_DURABILITY_NONE, "none");
	return done_testing();
}
