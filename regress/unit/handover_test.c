/*
 * handover_test.c
 *		No wake-up between the two threads is lost, in either direction.
 *
 * The real network thread, with its real ways of waking (an eventfd, and an
 * empty batch on gRPC's completion queue), and a client of IngestData.  A
 * record is one hand-over in each direction: into arrivals and back through
 * outcomes.
 *
 *	under load	the client keeps a window of records going
 *	at idle		the client sends one record at a time, and the main thread
 *				answers only when the network thread has announced its sleep, as
 *				the network thread pushes only when the main thread has: each
 *				hand-over must wake a sleeper
 *
 * A lost wake-up is a wait that ended by itself, after its timeout, though
 * something was there: the network thread looks after its listener once a
 * second, the main thread here after five.  Both count what they find then.
 */
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <grpc/byte_buffer.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpc/support/time.h>

#include "handover.h"
#include "tap.h"
#include "thread.h"

#define RECORDS 100000

/* One at a time, so that it takes a while: fewer of them where SLUICE_ROUNDS does not ask for more than check does. */
#define IDLE_RECORDS 30000

/* How long the main thread waits for the network thread to go to sleep. */
#define SLEEP_US 100000

static SluiceNetwork *network;
static _Atomic bool done;
static _Atomic bool at_idle;
static _Atomic uint64_t main_sleeps;
static _Atomic uint64_t wakes_needed;
static _Atomic uint64_t main_lost;
static int64_t slowest_us;

static int64_t
now_us(void)
{
	return sluice_thread_clock(CLOCK_MONOTONIC);
}

static void
settle(SluiceRecord *record)
{
	record->verdict = record->kind == SLUICE_OPEN ? SLUICE_OPENED : SLUICE_STORED;
	/* Hand back to a sleeper, who then needs a wake-up. */
	if (atomic_load(&at_idle))
	{
		int64_t		give_up = now_us() + SLEEP_US;

		while (!atomic_load(&network->outcomes.asleep) && now_us() < give_up)
			sched_yield();
		atomic_fetch_add(&wakes_needed, atomic_load(&network->outcomes.asleep));
	}
	sluice_network_deliver(network, &record, 1);
}

/* The worker's main thread in small. */
static void *
main_thread(void *unused)
{
	SluiceRing *arrivals = sluice_network_arrivals(network);
	struct pollfd fd = {.fd = sluice_network_wakeup_fd(network),.events = POLLIN};

	(void) unused;
	while (!atomic_load(&done))
	{
		SluiceRecord *record;

		while ((record = sluice_ring_pop(arrivals)) != NULL)
			settle(record);
		if (!sluice_ring_sleep(arrivals))
			continue;
		atomic_fetch_add(&main_sleeps, 1);
		if (poll(&fd, 1, 5000) == 0 && !sluice_ring_empty(arrivals))
			atomic_fetch_add(&main_lost, 1);
		sluice_ring_awake(arrivals);
		sluice_network_clear_wakeup(network);
	}
	return NULL;
}

/* The client: one call, window records on their way. */
typedef struct Client
{
	grpc_completion_queue *queue;
	grpc_channel *channel;
	grpc_call  *call;
	grpc_byte_buffer *received;
	grpc_metadata_array initial_metadata;
	size_t		sent;
	size_t		answered;
	size_t		goal;
	size_t		window;
	bool		sending;
	bool		failed;
	int64_t		last_us;
} Client;

enum
{
	TAG_OPEN = 1, TAG_READ, TAG_SEND
};

static void
client_start(Client *client, intptr_t tag, grpc_op *ops, size_t nops)
{
	if (grpc_call_start_batch(client->call, ops, nops, (void *) tag, NULL) != GRPC_CALL_OK)
		client->failed = true;
}

static void
client_read(Client *client)
{
	grpc_op		op;

	memset(&op, 0, sizeof(op));
	op.op = GRPC_OP_RECV_MESSAGE;
	op.data.recv_message.recv_message = &client->received;
	client_start(client, TAG_READ, &op, 1);
}

static void
client_send(Client *client)
{
	static const char message[] = "\x0a\x04" "key1" "\x12\x02" "\x08\x01";
	grpc_slice	slice;
	grpc_byte_buffer *buffer;
	grpc_op		op;

	if (client->sending || client->sent == client->goal || client->sent - client->answered >= client->window)
		return;
	slice = grpc_slice_from_static_buffer(message, sizeof(message) - 1);
	buffer = grpc_raw_byte_buffer_create(&slice, 1);
	memset(&op, 0, sizeof(op));
	op.op = GRPC_OP_SEND_MESSAGE;
	op.data.send_message.send_message = buffer;
	client->sending = true;
	client->sent++;
	client_start(client, TAG_SEND, &op, 1);
	grpc_byte_buffer_destroy(buffer);
}

static void
client_event(Client *client, const grpc_event *event)
{
	switch ((intptr_t) event->tag)
	{
		case TAG_READ:
			if (client->received == NULL)
			{
				client->failed = true;
				return;
			}
			grpc_byte_buffer_destroy(client->received);
			client->received = NULL;
			client->answered++;
			client_read(client);
			break;
		case TAG_SEND:
			client->sending = false;
			break;
	}
	client_send(client);
}

/* Send and have answered this many more; false: something was lost. */
static bool
client_run(Client *client, size_t records, size_t window)
{
	client->goal += records;
	client->window = window;
	client->last_us = now_us();
	slowest_us = 0;
	client_send(client);
	while (!client->failed && client->answered < client->goal)
	{
		size_t		answered = client->answered;
		grpc_event	event = grpc_completion_queue_next(client->queue,
													   gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
																	gpr_time_from_seconds(10, GPR_TIMESPAN)), NULL);

		if (event.type != GRPC_OP_COMPLETE)
			return false;
		client_event(client, &event);
		if (client->answered > answered)
		{
			int64_t		now = now_us();

			if (now - client->last_us > slowest_us)
				slowest_us = now - client->last_us;
			client->last_us = now;
		}
	}
	return !client->failed;
}

static void
client_open(Client *client, int port)
{
	grpc_channel_credentials *credentials = grpc_insecure_credentials_create();
	char		target[64];
	grpc_op		ops[2];

	snprintf(target, sizeof(target), "ipv4:127.0.0.1:%d", port);
	client->queue = grpc_completion_queue_create_for_next(NULL);
	client->channel = grpc_channel_create(target, credentials, NULL);
	grpc_channel_credentials_release(credentials);
	client->call = grpc_channel_create_call(client->channel, NULL, 0, client->queue,
											grpc_slice_from_static_string("/ingestion.IngestionService/IngestData"),
											NULL, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
	grpc_metadata_array_init(&client->initial_metadata);
	memset(ops, 0, sizeof(ops));
	ops[0].op = GRPC_OP_SEND_INITIAL_METADATA;
	ops[1].op = GRPC_OP_RECV_INITIAL_METADATA;
	ops[1].data.recv_initial_metadata.recv_initial_metadata = &client->initial_metadata;
	client_start(client, TAG_OPEN, ops, 2);
	client_read(client);
}

static void
report_lost(const char *when, int64_t slowest)
{
	ok(atomic_load(&main_lost) == 0, "%s: no wake-up of the main thread was lost", when);
	ok(atomic_load(&network->lost_wakeups) == 0, "%s: no wake-up of the network thread was lost", when);
	printf("# %s: the longest time between two answers was %lld us\n", when, (long long) slowest);
}

static void
run_load(Client *client)
{
	bool		all = client_run(client, RECORDS, 4096);

	ok(all && client->answered == RECORDS, "under load: %zu of %d hand-overs in each direction arrived",
		   client->answered, RECORDS);
	report_lost("under load", slowest_us);
}

static uint64_t
idle_records(void)
{
	const char *rounds = getenv("SLUICE_ROUNDS");

	return rounds != NULL && atoi(rounds) > 2 ? RECORDS : IDLE_RECORDS;
}

/* A busy machine may let a record arrive before the main thread sleeps: go on until enough found it asleep. */
static void
run_idle(Client *client)
{
	uint64_t	before = atomic_load(&main_sleeps);
	uint64_t	enough = idle_records();
	bool		all = true;
	int64_t		slowest = 0;

	atomic_store(&at_idle, true);
	for (int round = 0; round < 40 && all &&
		 (atomic_load(&main_sleeps) - before < enough || atomic_load(&wakes_needed) < enough); round++)
	{
		all = client_run(client, enough / 10, 1);
		if (slowest_us > slowest)
			slowest = slowest_us;
	}
	ok(all && client->answered == client->goal, "at idle: all hand-overs arrived");
	report_lost("at idle", slowest);
	ok(atomic_load(&main_sleeps) - before >= enough, "at idle: the main thread slept before %llu of them",
	   (unsigned long long) (atomic_load(&main_sleeps) - before));
	ok(atomic_load(&wakes_needed) >= enough, "at idle: the network thread slept before %llu of them",
	   (unsigned long long) atomic_load(&wakes_needed));
}

static void
client_close(Client *client)
{
	grpc_event	event;

	grpc_call_cancel(client->call, NULL);
	grpc_completion_queue_shutdown(client->queue);
	do
		event = grpc_completion_queue_next(client->queue, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
	while (event.type != GRPC_QUEUE_SHUTDOWN);
	grpc_metadata_array_destroy(&client->initial_metadata);
	grpc_call_unref(client->call);
	grpc_channel_destroy(client->channel);
	grpc_completion_queue_destroy(client->queue);
}

int
main(void)
{
	SluiceNetworkSettings settings = {
		.listen_addresses = "127.0.0.1",
		.max_record_size = 1024 * 1024,
		.memory = 64 * 1024 * 1024,
		.max_in_flight = 65536,
		.max_calls = 100,
		.keepalive_time_ms = 10000,
		.keepalive_timeout_ms = 5000,
		.max_calls_per_connection = 1000,
		.opening_timeout_ms = 10000,
		.stall_timeout_ms = 30000
	};
	char		error[256] = "";
	Client		client;
	pthread_t	thread;

	memset(&client, 0, sizeof(client));
	network = sluice_network_start(&settings, error, sizeof(error));
	ok(network != NULL, "the network thread starts: %s", error);
	if (network == NULL || pthread_create(&thread, NULL, main_thread, NULL) != 0)
		return finish();
	client_open(&client, sluice_network_port(network));
	run_load(&client);
	run_idle(&client);
	client_close(&client);
	atomic_store(&done, true);
	pthread_join(thread, NULL);
	sluice_network_stop(network);
	return finish();
}
