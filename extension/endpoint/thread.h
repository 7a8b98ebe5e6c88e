/*
 * thread.h
 *		What the files of the network thread share.
 *
 * The fields of SluiceNetwork are in three groups: fixed since the start,
 * shared with the main thread (atomic, or handed over by an atomic), and the
 * network thread's own.
 */
#ifndef SLUICE_THREAD_H
#define SLUICE_THREAD_H

#ifdef POSTGRES_H
#error "the gRPC side does not compile where postgres.h was included"
#endif

#include <pthread.h>
#include <stdatomic.h>
#include <sys/queue.h>
#include <time.h>

#include <grpc/grpc.h>

#include "board.h"
#include "call.h"
#include "guard.h"
#include "handover.h"
#include "listener.h"
#include "network.h"
#include "noise.h"
#include "parcel.h"
#include "pressure.h"
#include "room.h"
#include "trim.h"

struct SluiceCarrier;

/* What the main thread asks for, bits of SluiceNetwork.requests. */
#define SLUICE_REQUEST_SERVING		1
#define SLUICE_REQUEST_NOT_SERVING	2
#define SLUICE_REQUEST_DRAIN		4
#define SLUICE_REQUEST_STOP			8
#define SLUICE_REQUEST_CHECK		16

/* Arrivals before the main thread is woken though more events are there. */
#define SLUICE_BURST 64

struct SluiceNetwork
{
	/* Fixed since the start. */
	SluiceNetworkSettings settings;
	char	   *listen_addresses;
	int			port;
	int			wakeup_fd;		/* wakes the main thread */
	grpc_completion_queue *queue;
	grpc_channel *wake_channel; /* lame: never connects */
	grpc_call  *wake_call;		/* empty batches on it wake the network thread */
	SluiceTag	wake_tag;
	pthread_t	thread;
	_Atomic(SluiceGuard *) guard;	/* the thread starts it, the main thread stops it; NULL: none */

	/* Shared with the main thread. */
	SluiceRing	arrivals;
	SluiceRing	outcomes;
	_Atomic unsigned requests;
	char		drain_message[256];	/* set before the request */
	_Atomic uint64_t calls_alive;	/* of any method */
	_Atomic uint64_t ingest_calls;
	_Atomic uint64_t calls_total;
	_Atomic uint64_t records_received;
	_Atomic uint64_t bytes_in_flight;
	_Atomic uint64_t records_in_flight;
	_Atomic uint64_t refused_calls;
	_Atomic uint64_t listener_restarts;
	_Atomic uint64_t lost_wakeups;	/* waits that ended by themselves though outcomes were there: never */

	/* The network thread's own. */
	SluiceListenerSet listeners;
	TAILQ_HEAD(SluiceCallList, SluiceCall) calls;
	TAILQ_HEAD(SluiceAnsweringList, SluiceCarrier) answering;	/* have new answers, nothing under way */
	TAILQ_HEAD(SluicePausedList, SluiceCarrier) paused;	/* not read for lack of room */
	TAILQ_HEAD(SluiceThrottledList, SluiceCarrier) throttled;	/* not read: over a rate */
	int64_t		throttle_due_at;	/* when to look at them, monotonic microseconds */
	size_t		npaused;
	size_t		resume_left;	/* paused calls to look at since room was given back */
	SluiceRoom	room;
	SluiceParcelPool pool;
	SluiceBoard board;
	SluiceNoise noise;			/* the guard's, too */
	grpc_byte_buffer *send_buffer;	/* emptied by every send, so one does for all */
	size_t		grpc_calls;		/* whose grpc_call is not released yet */
	unsigned	burst;			/* arrivals since the main thread was last told */
	int64_t		turn_at;		/* monotonic microseconds, at the last wait or housekeeping */
	int64_t		housekeeping_at;
	SluiceTrim	trim;
	SluicePressure pressure;
	unsigned	dice;			/* of rand_r */
	int64_t		now;			/* at the beginning of the burst, microseconds since 1970 */
	bool		serving;
	bool		draining;
	bool		stopping;
	int64_t		stop_by;		/* monotonic microseconds */
	bool		broken;			/* stopping took too long: gRPC is left as it is */
};

/* Only the network thread writes counters, so that it needs no locked instruction. */
static inline void
sluice_thread_count(_Atomic uint64_t *counter, int64_t n)
{
	atomic_store_explicit(counter,
						  atomic_load_explicit(counter, memory_order_relaxed) + (uint64_t) n,
						  memory_order_relaxed);
}

extern void *sluice_thread_main(void *network);

/* The end: release everything of gRPC's that is bound to the queue.  Also where the thread was never started. */
extern void sluice_thread_leave(struct SluiceNetwork *network);

extern int64_t sluice_thread_clock(clockid_t clock);	/* microseconds */

/* Hand a record to the main thread, which is woken at the end of the burst. */
extern void sluice_thread_push(struct SluiceNetwork *network, SluiceRecord *record);

/* Take what the main thread has settled; answers are queued with their calls. */
extern void sluice_thread_collect(struct SluiceNetwork *network);

#endif							/* SLUICE_THREAD_H */
