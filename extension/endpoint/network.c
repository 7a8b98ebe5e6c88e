/*
 * network.c
 *		The network thread, as the main thread sees it.
 *
 * Everything here runs in the main thread.  It calls gRPC in three places
 * only, each with all signals blocked: to start, to wake the network thread,
 * and to end.  Of these only the waking happens while the network thread runs.
 */
#include "network.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <grpc/byte_buffer.h>

#include "carrier.h"
#include "guard.h"
#include "log.h"
#include "thread.h"

/* Parcels kept for the next messages, of settings.memory. */
#define IDLE_PARCELS_PART 4

static void
block_signals(sigset_t *before)
{
	sigset_t	all;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, before);
}

static void
restore_signals(const sigset_t *before)
{
	pthread_sigmask(SIG_SETMASK, before, NULL);
}

/* An event of a wake-up says only that it is time for another turn. */
static void
on_wake(void *owner, bool success)
{
	(void) owner;
	(void) success;
}

/* The network thread pops the event of this empty batch from its queue. */
static void
wake(SluiceNetwork *network)
{
	sigset_t	before;
	grpc_call_error error;

	block_signals(&before);
	error = grpc_call_start_batch(network->wake_call, NULL, 0, &network->wake_tag, NULL);
	restore_signals(&before);
	if (error != GRPC_CALL_OK)
		sluice_log_put('W', "could not wake the network thread: %s", grpc_call_error_to_string(error));
}

static void
ask(SluiceNetwork *network, unsigned request)
{
	atomic_fetch_or(&network->requests, request);
	wake(network);
}

/* A power of two: all records that may be in flight, and the check of each call. */
static size_t
ring_capacity(const SluiceNetworkSettings *settings)
{
	size_t		capacity = settings->max_in_flight;

	while (capacity < settings->max_in_flight + (size_t) settings->max_calls + SLUICE_OTHER_CALLS_MAX)
		capacity *= 2;
	return capacity;
}

/* What needs no gRPC. */
static bool
init_plain(SluiceNetwork *network, const SluiceNetworkSettings *settings, char *error, size_t error_size)
{
	network->settings = *settings;
	network->port = settings->port;
	network->serving = true;
	TAILQ_INIT(&network->listeners.listeners);
	TAILQ_INIT(&network->calls);
	TAILQ_INIT(&network->answering);
	TAILQ_INIT(&network->paused);
	TAILQ_INIT(&network->throttled);
	sluice_room_init(&network->room, settings->max_in_flight, settings->memory);
	sluice_parcel_pool_init(&network->pool, settings->memory / IDLE_PARCELS_PART);
	sluice_board_init(&network->board, settings->connections);
	sluice_noise_init(&network->noise);
	network->listen_addresses = strdup(settings->listen_addresses);
	network->settings.listen_addresses = network->listen_addresses;
	network->wakeup_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (network->wakeup_fd < 0)
	{
		snprintf(error, error_size, "could not create an eventfd: %s", strerror(errno));
		return false;
	}
	if (network->listen_addresses == NULL ||
		!sluice_ring_init(&network->arrivals, ring_capacity(settings)) ||
		!sluice_ring_init(&network->outcomes, ring_capacity(settings)))
	{
		snprintf(error, error_size, "could not make queues for %zu records: out of memory, or not a power of two",
				 settings->max_in_flight);
		return false;
	}
	return true;
}

static void
free_plain(SluiceNetwork *network)
{
	sluice_carrier_forget(network);
	sluice_noise_free(&network->noise);
	sluice_parcel_pool_free(&network->pool);
	sluice_ring_free(&network->arrivals);
	sluice_ring_free(&network->outcomes);
	if (network->wakeup_fd >= 0)
		close(network->wakeup_fd);
	free(network->listen_addresses);
	if (network->settings.credentials != NULL)
		sluice_credentials_free(network->settings.credentials);
	free(network);
}

static void
init_grpc(SluiceNetwork *network)
{
	sluice_log_install();
	grpc_init();
	network->queue = grpc_completion_queue_create_for_next(NULL);
	network->send_buffer = grpc_raw_byte_buffer_create(NULL, 0);
	network->wake_channel = grpc_lame_client_channel_create("wake-up", GRPC_STATUS_UNAVAILABLE, "never connects");
	network->wake_call = grpc_channel_create_call(network->wake_channel, NULL, 0, network->queue,
												  grpc_slice_from_static_string("/wake/up"), NULL,
												  gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
	network->wake_tag = (SluiceTag) {on_wake, network};
}

static void
end_grpc(SluiceNetwork *network)
{
	grpc_byte_buffer_destroy(network->send_buffer);
	grpc_shutdown();
}

/* The thread never ran: let the queue come to its end here. */
static void
undo_grpc(SluiceNetwork *network)
{
	sluice_listener_shut_all(network);
	while (!sluice_listener_all_gone(network))
	{
		grpc_event	event = grpc_completion_queue_next(network->queue,
													   gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
		const SluiceTag *tag = event.tag;

		if (event.type == GRPC_OP_COMPLETE)
			tag->run(tag->owner, event.success != 0);
	}
	sluice_thread_leave(network);
	end_grpc(network);
}

static bool
start_grpc(SluiceNetwork *network, char *error, size_t error_size)
{
	int			status;

	init_grpc(network);
	if (sluice_listener_open_first(network, error, error_size))
	{
		status = pthread_create(&network->thread, NULL, sluice_thread_main, network);
		if (status == 0)
			return true;
		snprintf(error, error_size, "could not start the network thread: %s", strerror(status));
	}
	undo_grpc(network);
	sluice_listener_release_addresses(network);
	return false;
}

SluiceNetwork *
sluice_network_start(const SluiceNetworkSettings *settings, char *error, size_t error_size)
{
	SluiceNetwork *network = aligned_alloc(64, (sizeof(*network) + 63) / 64 * 64);
	sigset_t	before;
	bool		started;

	if (network == NULL)
	{
		snprintf(error, error_size, "out of memory");
		return NULL;
	}
	memset(network, 0, sizeof(*network));
	started = init_plain(network, settings, error, error_size);
	if (started)
	{
		block_signals(&before);
		started = start_grpc(network, error, error_size);
		restore_signals(&before);
	}
	if (!started)
	{
		free_plain(network);
		return NULL;
	}
	return network;
}

int
sluice_network_port(const SluiceNetwork *network)
{
	return network->port;
}

int
sluice_network_wakeup_fd(const SluiceNetwork *network)
{
	return network->wakeup_fd;
}

void
sluice_network_clear_wakeup(SluiceNetwork *network)
{
	uint64_t	count;

	/* EAGAIN: nobody has written since the last time. */
	while (read(network->wakeup_fd, &count, sizeof(count)) < 0 && errno == EINTR)
		;
}

SluiceRing *
sluice_network_arrivals(SluiceNetwork *network)
{
	return &network->arrivals;
}

void
sluice_network_deliver(SluiceNetwork *network, SluiceRecord **records, size_t n)
{
	for (size_t i = 0; i < n; i++)
	{
		if (!sluice_ring_push(&network->outcomes, records[i]))
			sluice_log_put('W', "the outcomes queue is full: a record was delivered twice");
	}
	if (n > 0 && sluice_ring_must_wake(&network->outcomes))
		wake(network);
}

void
sluice_network_set_serving(SluiceNetwork *network, bool serving)
{
	atomic_fetch_and(&network->requests,
					 ~(unsigned) (SLUICE_REQUEST_SERVING | SLUICE_REQUEST_NOT_SERVING));
	ask(network, serving ? SLUICE_REQUEST_SERVING : SLUICE_REQUEST_NOT_SERVING);
}

void
sluice_network_drain(SluiceNetwork *network, const char *message)
{
	/* The first message stands: the network thread may be reading it. */
	if (network->drain_message[0] == '\0')
		snprintf(network->drain_message, sizeof(network->drain_message), "%s",
				 message[0] != '\0' ? message : "the server is shutting down: reconnect");
	ask(network, SLUICE_REQUEST_DRAIN);
}

void
sluice_network_check(SluiceNetwork *network)
{
	ask(network, SLUICE_REQUEST_CHECK);
}

bool
sluice_network_drained(const SluiceNetwork *network)
{
	return atomic_load(&network->calls_alive) == 0;
}

void
sluice_network_stop(SluiceNetwork *network)
{
	sigset_t	before;

	block_signals(&before);
	ask(network, SLUICE_REQUEST_STOP);
	pthread_join(network->thread, NULL);
	sluice_guard_stop(network->guard);
	network->guard = NULL;
	if (!network->broken)
		end_grpc(network);
	restore_signals(&before);
	sluice_listener_release_addresses(network);
	/* Where gRPC did not let go in time it may still use what is ours: leave that be. */
	if (!network->broken)
		free_plain(network);
}

bool
sluice_network_log(SluiceNetwork *network, char *level, char *line, size_t line_size)
{
	(void) network;
	return sluice_log_take(level, line, line_size);
}

static uint64_t
thread_cpu_us(const SluiceNetwork *network)
{
	clockid_t	clock;

	if (pthread_getcpuclockid(network->thread, &clock) != 0)
		return 0;
	return (uint64_t) sluice_thread_clock(clock);
}

void
sluice_network_counters(const SluiceNetwork *network, SluiceNetworkCounters *counters)
{
	counters->calls_now = atomic_load_explicit(&network->ingest_calls, memory_order_relaxed);
	counters->calls_total = atomic_load_explicit(&network->calls_total, memory_order_relaxed);
	counters->records_received = atomic_load_explicit(&network->records_received, memory_order_relaxed);
	counters->bytes_now = atomic_load_explicit(&network->bytes_in_flight, memory_order_relaxed);
	counters->records_now = atomic_load_explicit(&network->records_in_flight, memory_order_relaxed);
	counters->refused_calls = atomic_load_explicit(&network->refused_calls, memory_order_relaxed);
	counters->listener_restarts = atomic_load_explicit(&network->listener_restarts, memory_order_relaxed);
	counters->penalties = sluice_guard_penalties(atomic_load(&network->guard));
	counters->cpu_us = thread_cpu_us(network);
}
