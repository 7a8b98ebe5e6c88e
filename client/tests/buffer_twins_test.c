/*
 * buffer_twins_test.c
 *		Seeded random histories of a buffer that is copied, closed or in use, and of both
 *		copies after that: one of them may be stopped, but no record is settled that the server does not have.
 *
 * SLUICE_SEED: the first seed; SLUICE_HISTORIES: how many.
 */
#include "tap.h"

#include <time.h>

#include "buffer_internal.h"
#include "buffer_directory.h"
#include "buffer_server.h"

#define STEPS 60
#define RECORDS_MAX (1 << 20)

typedef struct Twin
{
	char		directory[256];
	SluiceSettings settings;
	SluiceBuffer *buffer;
	uint64_t	epoch;			/* of its connection; 0: none */
	bool		stopped;
	uint64_t   *ids;			/* that put took, by sequence */
} Twin;

typedef struct World
{
	uint64_t	random;
	Twin		twins[2];
	Server		server;
	uint64_t	next_id;
	const char *wrong;
	uint64_t	wrong_at;
} World;

static uint64_t stopped;		/* twins, of all histories */

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

static void
open_twin(World *world, Twin *twin)
{
	SluiceError error;
	int			code = sluice_buffer_open(&twin->settings, &twin->buffer, &error);

	if (code == SLUICE_OK)
		return;
	twin->buffer = NULL;
	if (!twin->stopped)
		wrong(world, "a buffer could not be opened", (uint64_t) code);
}

static void
stop_twin(World *world, Twin *twin, int error)
{
	twin->epoch = 0;
	twin->stopped = true;
	stopped++;
	sluice_buffer_condemned(twin->buffer, error, world->server.last);
}

static void
disconnect_twin(Twin *twin)
{
	if (twin->epoch != 0)
		sluice_buffer_disconnected(twin->buffer);
	twin->epoch = 0;
}

static void
connect_twin(World *world, Twin *twin)
{
	SluiceOpening opening;
	SluiceOpened opened;
	int			code;

	if (twin->stopped)
		return;
	disconnect_twin(twin);
	sluice_buffer_opening(twin->buffer, &opening);
	code = server_open(&world->server, &opening, &opened);
	if (code == SLUICE_OK && chance(world, 8) == 0)
		return;
	if (code == SLUICE_OK)
		code = sluice_buffer_opened(twin->buffer, &opened);
	if (code == SLUICE_ERROR_FENCED || code == SLUICE_ERROR_FORKED)
		stop_twin(world, twin, code);
	else if (code != SLUICE_OK)
		wrong(world, "not opened", (uint64_t) code);
	else
		twin->epoch = world->server.epoch;
}

static int
always_stored(void *argument)
{
	(void) argument;
	return SLUICE_VERDICT_STORED;
}

/* False: nothing to send. */
static bool
publish(World *world, Twin *twin)
{
	static SluiceSettled exceptions[6000];
	size_t		nexceptions;
	SluiceOutgoing outgoing;
	int64_t		due;

	if (twin->epoch == 0 || !sluice_buffer_next(twin->buffer, 0, &outgoing, &due))
		return false;
	if (twin->epoch != world->server.epoch)
	{
		sluice_buffer_disconnected(twin->buffer);
		stop_twin(world, twin, SLUICE_ERROR_FENCED);
		return false;
	}
	if (!server_take(&world->server, outgoing.bytes, outgoing.length, always_stored, NULL, exceptions, &nexceptions))
		wrong(world, world->server.wrong, world->server.last);
	sluice_buffer_sent(twin->buffer, &outgoing);
	if (chance(world, 4) > 0)
		sluice_buffer_settle(twin->buffer, outgoing.through, NULL, 0);
	return true;
}

static void
put_some(World *world, Twin *twin)
{
	for (uint32_t i = chance(world, 15); i > 0 && !twin->stopped; i--)
	{
		uint64_t	id = ++world->next_id;
		uint64_t	sequence = 0;
		int			code = sluice_buffer_put(twin->buffer, &(sluice_record) {.payload = &id, .payload_length = sizeof(id)}, &sequence);

		if (code != SLUICE_OK || sequence >= RECORDS_MAX || twin->ids[sequence] != 0)
			wrong(world, "a record was not put in", sequence);
		else
			twin->ids[sequence] = id;
	}
}

static void
restart(World *world, Twin *twin)
{
	disconnect_twin(twin);
	sluice_buffer_close(twin->buffer);
	open_twin(world, twin);
}

static void
step(World *world, Twin *twin)
{
	uint32_t	roll = chance(world, 100);

	if (twin->buffer == NULL)
		return;
	if (roll < 40)
		put_some(world, twin);
	else if (roll < 70)
		publish(world, twin);
	else if (roll < 85)
		connect_twin(world, twin);
	else if (roll < 90)
		restart(world, twin);
	else if (roll < 95)
		disconnect_twin(twin);
	else
		usleep(1500);
}

static void
copy_file(const char *from, const char *to, const char *name)
{
	size_t		size;
	char	   *bytes = file_read(from, name, &size);

	file_write(to, name, bytes, size);
	free(bytes);
}

/* Closed, or as it is while in use; then the second one begins. */
static void
copy_buffer(World *world)
{
	Twin	   *first = &world->twins[0];
	Twin	   *second = &world->twins[1];
	bool		closed = chance(world, 2) == 0;

	disconnect_twin(first);
	if (closed)
		sluice_buffer_close(first->buffer);
	else
		pthread_mutex_lock(&first->buffer->store_lock);
	copy_file(first->directory, second->directory, "data.mdb");
	if (chance(world, 3) > 0)
		copy_file(first->directory, second->directory, "tail");
	if (closed)
		open_twin(world, first);
	else
		pthread_mutex_unlock(&first->buffer->store_lock);
	memcpy(second->ids, first->ids, RECORDS_MAX / 8 * sizeof(uint64_t));
	open_twin(world, second);
}

static void
drain(World *world, Twin *twin)
{
	for (int i = 0; i < 2000 && twin->buffer != NULL && !twin->stopped && world->wrong == NULL; i++)
	{
		if (sluice_buffer_flush(twin->buffer, 0) == SLUICE_OK && twin->epoch == world->server.epoch)
			return;
		if (twin->epoch == 0 || i % 20 == 19)
			connect_twin(world, twin);
		if (!publish(world, twin))
			usleep(200);
	}
	if (twin->buffer != NULL && !twin->stopped)
		wrong(world, "stuck", twin->buffer->acked);
}

static void
check(World *world, Twin *twin)
{
	uint64_t	settled = twin->buffer != NULL ? twin->buffer->acked : 0;

	for (uint64_t s = 1; s <= settled && s < RECORDS_MAX; s++)
	{
		const Fate *fate = &world->server.fates[s - 1];

		if (twin->ids[s] == 0 || fate->id == twin->ids[s] ||
			(fate->id == 0 && fate->reason == SLUICE_REASON_LOST_TAIL && twin->settings.durability != SLUICE_DURABILITY_EACH))
			continue;
		wrong(world, "a record is settled that the server does not have", s);
	}
}

static void
begin_twin(World *world, Twin *twin, SluiceDurability durability)
{
	directory_make(twin->directory);
	twin->ids = calloc(RECORDS_MAX, sizeof(uint64_t));
	twin->settings = (SluiceSettings) {
		.buffer = twin->directory,
		.stream = "s",
		.durability = durability,
		.interval = 2 * SLUICE_MILLISECOND,
		.max_records = 100000,
		.max_bytes = 1 << 20,
		.memory = 1 << 20,
		.batch_bytes = chance(world, 2) == 0 ? 300 : 100000,
		.window_bytes = 1 << 20
	};
}

static bool
run_history(uint64_t seed)
{
	World		world = {.random = seed * UINT64_C(0x9E3779B97F4A7C15) + 1};
	SluiceDurability durability = (SluiceDurability) (chance(&world, 30) / 10);

	server_begin(&world.server);
	for (int i = 0; i < 2; i++)
		begin_twin(&world, &world.twins[i], durability);
	open_twin(&world, &world.twins[0]);
	for (uint32_t i = chance(&world, STEPS); i > 0; i--)
		step(&world, &world.twins[0]);
	copy_buffer(&world);
	for (int i = 0; i < STEPS && world.wrong == NULL; i++)
		step(&world, &world.twins[chance(&world, 2)]);
	for (int i = 0; i < 2; i++)
		drain(&world, &world.twins[i]);
	for (int i = 0; i < 2; i++)
	{
		Twin	   *twin = &world.twins[i];

		check(&world, twin);
		disconnect_twin(twin);
		if (twin->buffer != NULL)
			sluice_buffer_close(twin->buffer);
		directory_remove(twin->directory);
		free(twin->ids);
	}
	free(world.server.fates);
	if (world.wrong != NULL)
		printf("# SLUICE_SEED=%llu: %s, at %llu (durability %d)\n", (unsigned long long) seed, world.wrong,
			   (unsigned long long) world.wrong_at, durability);
	return world.wrong == NULL;
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
		failed += !run_history(seed + i);
	printf("# %llu of %llu copies were stopped\n", (unsigned long long) stopped, (unsigned long long) count * 2);
	ok(failed == 0, "of two copies of a buffer nothing is settled that the server does not have");
	ok(stopped > 0, "and one of them is stopped");
	return done_testing();
}
