/*
 * buffer_history_test.c
 *		Seeded random histories of a buffer and a server: puts, batches, cuts,
 *		deaths, power cuts, servers that lose commits.  After each history
 *		every record is accounted for, in order, and the callbacks told the truth.
 *
 * SLUICE_SEED: the first seed; SLUICE_HISTORIES: how many.
 */
#include <pthread.h>

#include "buffer_internal.h"
#include "buffer_directory.h"
#include "buffer_server.h"
#include "tap.h"

#define STEPS 120
#define QUEUE 64
#define RECORDS_MAX (1 << 21)

typedef struct Message
{
	uint8_t    *bytes;
	size_t		length;
	uint64_t	through;
	SluiceSettled *exceptions;
	size_t		nexceptions;
} Message;

typedef struct World
{
	uint64_t	random;
	char		directory[256];
	SluiceSettings settings;
	SluiceBuffer *buffer;
	Server		server;
	Server		before;			/* an earlier state of it */
	bool		connected;
	Message		batches[QUEUE];
	int			nbatches;
	Message		acks[QUEUE];
	int			nacks;
	uint64_t	next_id;
	uint64_t	ids[RECORDS_MAX];	/* by sequence: what was put and accepted */
	uint8_t		told[RECORDS_MAX];	/* verdict + 1, the last one told; 0: none */
	uint8_t		times[RECORDS_MAX];
	uint64_t	last_told;
	bool		restarts;
	bool		deaths;
	bool		reverts;
	const char *wrong;
	uint64_t	wrong_at;
	int			trace;
} World;

static void
wrong(World *world, const char *what, uint64_t at)
{
	if (world->wrong != NULL)
		return;
	world->wrong = what;
	world->wrong_at = at;
}

static uint32_t
chance(World *world, uint32_t below)
{
	world->random = world->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t) (world->random >> 33) % below;
}

static int
choose_verdict(void *argument)
{
	World	   *world = argument;

	switch (chance(world, 20))
	{
		case 0:
			return SLUICE_VERDICT_DEAD_LETTERED;
		case 1:
			return SLUICE_VERDICT_DUPLICATE;
		case 2:
			return SLUICE_VERDICT_FILTERED;
		default:
			return SLUICE_VERDICT_STORED;
	}
}

static void
on_delivery(void *argument, const sluice_delivery *delivery)
{
	World	   *world = argument;

	if (delivery->first <= world->last_told && !world->reverts && !world->deaths)
		wrong(world, "told out of order", delivery->first);
	for (uint64_t s = delivery->first; s <= delivery->last && s < RECORDS_MAX; s++)
	{
		world->told[s] = (uint8_t) (delivery->verdict + 1);
		world->times[s]++;
	}
	world->last_told = delivery->last;
}

/* ---- steps ---- */

static void
open_buffer(World *world)
{
	SluiceError error = {""};
	int			code = sluice_buffer_open(&world->settings, &world->buffer, &error);

	if (code != SLUICE_OK)
	{
		printf("# open: %d %s\n", code, error.text);
		wrong(world, "the buffer could not be opened", (uint64_t) code);
	}
}

static void
clear_queues(World *world)
{
	while (world->nbatches > 0)
		free(world->batches[--world->nbatches].bytes);
	while (world->nacks > 0)
		free(world->acks[--world->nacks].exceptions);
}

/* What the server gets of what is on the way before the cut is for chance to say. */
static void take_batch(World *world);

static void
cut(World *world)
{
	if (!world->connected)
		return;
	while (world->nbatches > 0 && chance(world, 2) == 0)
		take_batch(world);
	clear_queues(world);
	sluice_buffer_disconnected(world->buffer);
	world->connected = false;
}

static void
connect_buffer(World *world)
{
	SluiceOpening opening;
	SluiceOpened opened;
	int			code;

	cut(world);
	sluice_buffer_opening(world->buffer, &opening);
	code = server_open(&world->server, &opening, &opened);
	if (code == SLUICE_OK && chance(world, 8) == 0)
		return;					/* the answer is lost */
	if (code == SLUICE_OK)
		code = sluice_buffer_opened(world->buffer, &opened);
	if (code != SLUICE_OK)
		wrong(world, code == SLUICE_ERROR_FENCED ? "falsely fenced" : code == SLUICE_ERROR_FORKED ? "falsely forked" : "not opened",
			  world->server.last);
	world->connected = code == SLUICE_OK;
}

static void
put_one(World *world)
{
	uint8_t		payload[600] = {0};
	char		entity[8];
	uint64_t	id = ++world->next_id;
	uint64_t	sequence;
	sluice_record record = {.payload = payload, .payload_length = 8 + chance(world, chance(world, 10) == 0 ? 590 : 60)};
	int			code;

	memcpy(payload, &id, 8);
	if (chance(world, 2) == 0)
	{
		record.entity = entity;
		record.entity_length = (size_t) sprintf(entity, "e%u", chance(world, 5));
	}
	if (chance(world, 4) == 0)
	{
		record.key = "key";
		record.key_length = 3;
	}
	code = sluice_buffer_put(world->buffer, &record, &sequence);
	if (code == SLUICE_OK && sequence >= RECORDS_MAX)
		return;
	if (code == SLUICE_OK && world->ids[sequence] != 0)
		wrong(world, "a number was given out twice", sequence);
	if (code == SLUICE_OK)
		world->ids[sequence] = id;
	else if (code != SLUICE_ERROR_FULL)
		wrong(world, "put failed", (uint64_t) code);
}

static void
put_many(World *world)
{
	int			many = (int) chance(world, chance(world, 8) == 0 ? 300 : 12);

	for (int i = 0; i < many; i++)
		put_one(world);
}

static void
send_batch(World *world)
{
	SluiceOutgoing outgoing;
	int64_t		due;
	Message    *message = &world->batches[world->nbatches];

	if (!world->connected || world->nbatches == QUEUE ||
		!sluice_buffer_next(world->buffer, chance(world, 4) == 0 ? 1000 : 0, &outgoing, &due))
		return;
	message->bytes = malloc(outgoing.length);
	memcpy(message->bytes, outgoing.bytes, outgoing.length);
	message->length = outgoing.length;
	message->through = outgoing.through;
	world->nbatches++;
	sluice_buffer_sent(world->buffer, &outgoing);
}

static void
take_batch(World *world)
{
	Message		batch = world->batches[0];
	Message    *ack = &world->acks[world->nacks];

	if (world->nbatches == 0 || world->nacks == QUEUE)
		return;
	if (chance(world, 20) == 0)
		server_copy(&world->before, &world->server);
	memmove(world->batches, world->batches + 1, (size_t) --world->nbatches * sizeof(Message));
	ack->exceptions = malloc(6000 * sizeof(SluiceSettled));
	if (!server_take(&world->server, batch.bytes, batch.length, choose_verdict, world, ack->exceptions, &ack->nexceptions))
		wrong(world, world->server.wrong, world->server.last);
	if (world->server.last != batch.through)
		wrong(world, "a batch does not end where it says", batch.through);
	ack->through = batch.through;
	world->nacks++;
	free(batch.bytes);
}

static void
take_ack(World *world)
{
	Message		ack = world->acks[0];

	if (world->nacks == 0)
		return;
	memmove(world->acks, world->acks + 1, (size_t) --world->nacks * sizeof(Message));
	if (sluice_buffer_settle(world->buffer, ack.through, ack.exceptions, ack.nexceptions) != SLUICE_OK)
		wrong(world, "an ack was refused", ack.through);
	free(ack.exceptions);
}

static void
restart(World *world)
{
	cut(world);
	world->restarts = true;
	if (sluice_buffer_close(world->buffer) != SLUICE_OK)
		wrong(world, "the buffer could not be closed", 0);
	open_buffer(world);
}

/* The process dies, and with a power cut also the boot: what is in the files now is all that is left. */
static void
die(World *world, bool power)
{
	char	   *data;
	char	   *tail;
	size_t		data_size;
	size_t		tail_size;
	int			code;

	cut(world);
	pthread_mutex_lock(&world->buffer->store_lock);
	data = file_read(world->directory, "data.mdb", &data_size);
	tail = file_read(world->directory, "tail", &tail_size);
	pthread_mutex_unlock(&world->buffer->store_lock);
	if (power)
		memset(tail + 8, 'x', 8);
	code = sluice_buffer_close(world->buffer);
	if (code != SLUICE_OK)
		wrong(world, "the buffer could not be closed", (uint64_t) code);
	file_write(world->directory, "data.mdb", data, data_size);
	file_write(world->directory, "tail", tail, tail_size);
	free(data);
	free(tail);
	world->deaths = true;
	open_buffer(world);
}

/* The server loses commits, or a standby that lacks them takes its place. */
static void
revert(World *world)
{
	uint64_t	epoch = world->server.epoch;

	cut(world);
	server_copy(&world->server, &world->before);
	world->server.epoch = epoch + 1;
	world->reverts = true;
}

static void
let_time_pass(World *world)
{
	(void) world;
	usleep(2000);
}

static void
step(World *world)
{
	uint32_t	roll = chance(world, 100);

	if (world->trace)
		printf("# %u next %lu acked %lu server %lu\n", roll, world->buffer->next, world->buffer->acked, world->server.last);
	if (roll < 25)
		put_many(world);
	else if (roll < 45)
		send_batch(world);
	else if (roll < 60)
		take_batch(world);
	else if (roll < 72)
		take_ack(world);
	else if (roll < 80)
		connect_buffer(world);
	else if (roll < 85)
		cut(world);
	else if (roll < 90)
		let_time_pass(world);
	else if (roll < 93)
		restart(world);
	else if (roll < 95)
		die(world, false);
	else if (roll < 97)
		die(world, true);
	else if (roll < 98)
		revert(world);
	else
		server_copy(&world->before, &world->server);
}

/* ---- what must hold ---- */

static void
drain(World *world)
{
	for (int tries = 0; world->wrong == NULL && tries < 20000; tries++)
	{
		if (!world->connected)
			connect_buffer(world);
		send_batch(world);
		take_batch(world);
		take_ack(world);
		if (world->connected && world->buffer->acked == world->buffer->next - 1)
			return;
		if (world->nbatches + world->nacks == 0)
			usleep(200);
	}
	if (world->wrong == NULL)
		wrong(world, "stuck", world->buffer->acked);
}

static bool
reason_is_allowed(const World *world, int reason)
{
	switch (reason)
	{
		case SLUICE_REASON_FULL:
			return world->settings.full == SLUICE_FULL_DROP_OLDEST;
		case SLUICE_REASON_NEWEST:
			return world->settings.full == SLUICE_FULL_DROP_NEWEST;
		case SLUICE_REASON_COMPACTED:
			return world->settings.compact;
		case SLUICE_REASON_LOST_TAIL:
			return world->deaths && world->settings.durability != SLUICE_DURABILITY_EACH;
		case SLUICE_REASON_SERVER_LOST:
			return world->reverts;
		default:
			return false;
	}
}

static void
check_told(World *world, uint64_t sequence, const Fate *fate)
{
	int			told = world->told[sequence] - 1;

	if (world->reverts)
		return;
	/* What a gap of an earlier run covered, and an Opened settled, is not told. */
	if (!world->deaths && (world->times[sequence] > 1 || (!world->restarts && world->times[sequence] == 0)))
		wrong(world, "not told once", sequence);

	/* After an acknowledgement that was lost only dead letters are known as such. */
	if (told > 0 && told != fate->verdict &&
		!(told == SLUICE_VERDICT_STORED && (fate->verdict == SLUICE_VERDICT_DUPLICATE || fate->verdict == SLUICE_VERDICT_FILTERED)))
		wrong(world, "told another verdict than the server's", sequence);
}

static void
check_all(World *world)
{
	for (uint64_t s = 1; s < world->buffer->next && s < RECORDS_MAX; s++)
	{
		const Fate *fate = &world->server.fates[s - 1];

		if (fate->id != 0 && fate->id != world->ids[s])
			wrong(world, "the server has another record", s);
		if (fate->id == 0 && world->ids[s] != 0 && !reason_is_allowed(world, fate->reason))
			wrong(world, "a record was declared without a reason", s);
		if (world->ids[s] != 0)
			check_told(world, s, fate);
	}
	if (sluice_buffer_records(world->buffer) != 0 || world->buffer->bytes != 0)
		wrong(world, "something is still counted", world->buffer->bytes);
}

static void
choose_settings(World *world)
{
	static const uint64_t caps[] = {10, 100, 1000000};

	world->settings = (SluiceSettings) {
		.buffer = world->directory,
		.stream = "s",
		.durability = (SluiceDurability) chance(world, 3),
		.interval = SLUICE_MILLISECOND * (1 + chance(world, 5)),
		.max_records = caps[chance(world, 3)],
		.max_bytes = chance(world, 4) == 0 ? 3000 : 1 << 20,
		.full = (SluiceFull) chance(world, 4),
		.block_timeout = 1,
		.compact = chance(world, 2) == 0,
		.memory = chance(world, 2) == 0 ? 1 : 1 << 20,
		.batch_bytes = chance(world, 2) == 0 ? 1000 : 262144,
		.window_bytes = 4 << 20,
		.on_delivery = on_delivery,
		.delivery_argument = world
	};
	world->server.batch_records = 1 + chance(world, chance(world, 2) == 0 ? 5 : 3000);
}

static bool
run_history(uint64_t seed, int trace)
{
	World	   *world = calloc(1, sizeof(World));
	bool		good;

	world->trace = trace;
	world->random = seed * UINT64_C(0x9E3779B97F4A7C15) + 1;
	chance(world, 2);
	directory_make(world->directory);
	server_begin(&world->server);
	choose_settings(world);
	server_copy(&world->before, &world->server);
	open_buffer(world);
	for (int i = 0; world->wrong == NULL && i < STEPS; i++)
		step(world);
	if (world->wrong == NULL)
		drain(world);
	if (world->wrong == NULL)
		check_all(world);
	if (world->buffer != NULL)
	{
		clear_queues(world);
		sluice_buffer_close(world->buffer);
	}
	good = world->wrong == NULL;
	if (!good)
		printf("# SLUICE_SEED=%llu: %s, at %llu (durability %d full %d compact %d records %llu)\n", (unsigned long long) seed,
			   world->wrong, (unsigned long long) world->wrong_at, world->settings.durability, world->settings.full,
			   world->settings.compact, (unsigned long long) world->settings.max_records);
	clear_queues(world);
	directory_remove(world->directory);
	free(world->server.fates);
	free(world->before.fates);
	free(world);
	return good;
}

static uint64_t
number(const char *variable, uint64_t initial)
{
	const char *text = getenv(variable);

	return text != NULL ? strtoull(text, NULL, 10) : initial;
}

int
main(void)
{
	uint64_t	seed = number("SLUICE_SEED", (uint64_t) time(NULL) * 1000);
	uint64_t	count = number("SLUICE_HISTORIES", 60);
	uint64_t	failed = 0;

	printf("# SLUICE_SEED=%llu SLUICE_HISTORIES=%llu\n", (unsigned long long) seed, (unsigned long long) count);
	for (uint64_t i = 0; i < count && failed < 5; i++)
		failed += !run_history(seed + i, getenv("SLUICE_TRACE") != NULL);
	ok(failed == 0, "every record is stored once or declared, in order, and told so, whatever happens");
	return done_testing();
}
