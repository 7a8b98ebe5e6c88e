/*
 * thread.c
 *		The network thread: the loop around gRPC's completion queue.
 *
 * One turn: do what the main thread asked for, take what it has settled, send
 * answers, let paused calls read where room came free, keep house (the listener,
 * calls over their rate that may go on, clients that do not read); then one event of the queue.  The order matters:
 * outcomes come before reading, so that room is given back before it is asked
 * for.
 *
 * The thread waits only when nothing is left to do, and says so first in the
 * outcomes ring (handover.h).  While arrivals are not yet announced to the main
 * thread it merely looks (a deadline in the past): the burst ends, and the main
 * thread is told, when no event is there, or after SLUICE_BURST records.
 *
 * It never blocks elsewhere: gRPC answers pings only while somebody is in the
 * queue.
 */
#include "thread.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "carrier.h"
#include "guard.h"
#include "health.h"
#include "lifetime.h"
#include "log.h"
#include "throttle.h"

/* A dead listener shows in the log hook only, which wakes nobody: so look now and then. */
#define HOUSEKEEPING_MS 1000

/* How long sluice_network_stop waits for gRPC to let go. */
#define STOP_US 1000000
#define STOP_STEP_MS 10

int64_t
sluice_thread_clock(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (int64_t) now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

void
sluice_thread_push(SluiceNetwork *network, SluiceRecord *record)
{
	/* The ring has room for max_records, which room.c lets in, and for what each call may have beside. */
	if (!sluice_ring_push(&network->arrivals, record))
		sluice_log_put('W', "the arrivals queue is full: a record waits until the connection ends");
	network->burst++;
}

static void
publish_usage(SluiceNetwork *network)
{
	atomic_store_explicit(&network->bytes_in_flight, network->room.usage.bytes + network->room.waiting, memory_order_relaxed);
	atomic_store_explicit(&network->records_in_flight, network->room.usage.records, memory_order_relaxed);
}

/* Once a burst or a wait is often enough to read the clocks. */
static void
read_clocks(SluiceNetwork *network)
{
	network->now = sluice_thread_clock(CLOCK_REALTIME);
	network->turn_at = sluice_thread_clock(CLOCK_MONOTONIC);
}

static void
end_burst(SluiceNetwork *network)
{
	uint64_t	one = 1;

	network->burst = 0;
	publish_usage(network);
	read_clocks(network);
	if (!sluice_ring_must_wake(&network->arrivals))
		return;
	while (write(network->wakeup_fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

void
sluice_thread_collect(SluiceNetwork *network)
{
	SluiceRecord *record;

	while ((record = sluice_ring_pop(&network->outcomes)) != NULL)
		sluice_carrier_settled(network, record);
}

static void
begin_drain(SluiceNetwork *network)
{
	SluiceCall *call;

	if (network->draining)
		return;
	network->draining = true;
	sluice_guard_rest(network->guard);
	sluice_health_set_serving(network, false);
	sluice_listener_shut_all(network);
	TAILQ_FOREACH(call, &network->calls, link)
	{
		if (!call->over)
			call->method->drained(call);
	}
}

static void
begin_stop(SluiceNetwork *network)
{
	if (network->stopping)
		return;
	network->stopping = true;
	sluice_guard_rest(network->guard);
	network->stop_by = sluice_thread_clock(CLOCK_MONOTONIC) + STOP_US;
	sluice_listener_shut_all(network);
	sluice_listener_cancel_all(network);
}

static void
obey(SluiceNetwork *network)
{
	unsigned	requests;

	if (atomic_load_explicit(&network->requests, memory_order_relaxed) == 0)
		return;
	requests = atomic_exchange(&network->requests, 0);
	if (requests & SLUICE_REQUEST_SERVING)
		sluice_health_set_serving(network, true);
	if (requests & SLUICE_REQUEST_NOT_SERVING)
		sluice_health_set_serving(network, false);
	if (requests & SLUICE_REQUEST_CHECK && !network->draining)
		sluice_carrier_check(network);
	if (requests & SLUICE_REQUEST_DRAIN)
		begin_drain(network);
	if (requests & SLUICE_REQUEST_STOP)
		begin_stop(network);
}

static void
run_event(const grpc_event *event)
{
	const SluiceTag *tag = event->tag;

	if (event->type == GRPC_OP_COMPLETE)
		tag->run(tag->owner, event->success != 0);
}

/* Look without waiting; when nothing is there the burst is over. */
static void
run_ready_event(SluiceNetwork *network)
{
	grpc_event	event = grpc_completion_queue_next(network->queue, gpr_inf_past(GPR_CLOCK_MONOTONIC), NULL);

	if (event.type == GRPC_QUEUE_TIMEOUT)
	{
		if (network->burst > 0)
			end_burst(network);
		return;
	}
	run_event(&event);
	if (network->burst >= SLUICE_BURST)
		end_burst(network);
}

static void
wait_for_event(SluiceNetwork *network, int timeout_ms)
{
	gpr_timespec deadline;
	grpc_event	event;

	deadline = gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_millis(timeout_ms, GPR_TIMESPAN));
	publish_usage(network);
	if (!sluice_ring_sleep(&network->outcomes))
		return;
	event = grpc_completion_queue_next(network->queue, deadline, NULL);
	sluice_ring_awake(&network->outcomes);
	if (event.type == GRPC_QUEUE_TIMEOUT && !sluice_ring_empty(&network->outcomes))
		sluice_thread_count(&network->lost_wakeups, 1);
	read_clocks(network);
	run_event(&event);
}

static bool
finished(const SluiceNetwork *network)
{
	if (!network->stopping)
		return false;
	return (network->grpc_calls == 0 && sluice_listener_all_gone(network)) ||
		sluice_thread_clock(CLOCK_MONOTONIC) >= network->stop_by;
}

/* What nobody wakes us for.  The time until it is due again. */
static int
keep_house(SluiceNetwork *network)
{
	int			timeout_ms = sluice_listener_keep_alive(network);
	int64_t		show_us = sluice_board_show(&network->board, network->turn_at);
	int64_t		throttle_us = sluice_throttle_resume(network);

	if (network->turn_at >= network->housekeeping_at)
	{
		network->housekeeping_at = network->turn_at + HOUSEKEEPING_MS * 1000;
		sluice_call_cut_off_stalled(network, network->turn_at);
		sluice_lifetime_look(network);
		if (network->room.usage.records == 0)
			sluice_trim_look(&network->trim);
	}
	if (network->stopping)
		return STOP_STEP_MS;
	if (timeout_ms < 0 || timeout_ms > HOUSEKEEPING_MS)
		timeout_ms = HOUSEKEEPING_MS;
	if (show_us >= 0 && show_us / 1000 < timeout_ms)
		timeout_ms = (int) (show_us / 1000) + 1;
	if (throttle_us >= 0 && throttle_us / 1000 < timeout_ms)
		timeout_ms = (int) (throttle_us / 1000) + 1;
	return timeout_ms;
}

static void
turn(SluiceNetwork *network)
{
	int			timeout_ms;

	obey(network);
	sluice_thread_collect(network);
	sluice_carrier_answer(network);
	sluice_carrier_resume(network);
	timeout_ms = keep_house(network);

	if (network->burst > 0 || network->resume_left > 0)
		run_ready_event(network);
	else
		wait_for_event(network, timeout_ms);
}

/*
 * Nothing is started on the queue any more after its shutdown: that would
 * abort the process.  The wake call is the main thread's to use, and it has
 * stopped using it before it asked to stop.
 */
void
sluice_thread_leave(SluiceNetwork *network)
{
	grpc_event	event;

	if (network->grpc_calls > 0 || !sluice_listener_all_gone(network))
	{
		network->broken = true;
		return;
	}
	grpc_call_unref(network->wake_call);
	grpc_channel_destroy(network->wake_channel);
	grpc_completion_queue_shutdown(network->queue);
	do
	{
		event = grpc_completion_queue_next(network->queue, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
		run_event(&event);
	} while (event.type != GRPC_QUEUE_SHUTDOWN);
	grpc_completion_queue_destroy(network->queue);
	network->queue = NULL;
}

/* Serving goes on where it cannot be started. */
static void
start_guard(SluiceNetwork *network)
{
	SluiceGuardSettings settings = {
		.noise = &network->noise,
		.port = network->port,
		.penalty_us = (int64_t) network->settings.penalty_ms * 1000,
		.call_bytes = (int64_t) sluice_listener_lookahead(&network->settings),
		.threads = {getpid(), gettid()}
	};
	SluiceGuard *guard;

	if (network->settings.penalty_ms == 0)
		return;
	guard = sluice_guard_start(&settings);
	if (guard == NULL)
		sluice_log_put('W', "clients that flood the worker are not shut out: could not start a thread for it: %s", strerror(errno));
	atomic_store(&network->guard, guard);
}

void *
sluice_thread_main(void *arg)
{
	SluiceNetwork *network = arg;

	prctl(PR_SET_NAME, "sluice network");
	network->dice = (unsigned) getpid();
	read_clocks(network);
	start_guard(network);
	while (!finished(network))
		turn(network);
	sluice_thread_leave(network);
	return NULL;
}
