/*
 * wake.h
 *		An event in a completion queue from any thread.
 *
 * gRPC has no such thing; but an empty batch completes at once, also on a call
 * of a channel that leads nowhere.  One event is under way at a time.
 */
#ifndef SLUICE_WAKE_H
#define SLUICE_WAKE_H

#include <stdatomic.h>
#include <stdbool.h>

#include <grpc/grpc.h>
#include <grpc/slice.h>
#include <grpc/support/time.h>

typedef struct SluiceWake
{
	grpc_channel *channel;
	grpc_call  *call;
	void	   *tag;
	atomic_bool pending;
} SluiceWake;

static inline void
sluice_wake_init(SluiceWake *wake, grpc_completion_queue *queue, void *tag)
{
	wake->channel = grpc_lame_client_channel_create("idle", GRPC_STATUS_UNAVAILABLE, "not for calls");
	wake->call = grpc_channel_create_call(wake->channel, NULL, GRPC_PROPAGATE_DEFAULTS, queue,
										  grpc_slice_from_static_string("/idle/idle"), NULL,
										  gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
	wake->tag = tag;
	atomic_init(&wake->pending, false);
}

/* Nobody posts any more, and the queue is not shut down yet. */
static inline void
sluice_wake_release(SluiceWake *wake)
{
	grpc_call_unref(wake->call);
	grpc_channel_destroy(wake->channel);
}

static inline void
sluice_wake_post(SluiceWake *wake)
{
	if (!atomic_exchange(&wake->pending, true))
		grpc_call_start_batch(wake->call, NULL, 0, wake->tag, NULL);
}

/* The event has come: from here on another one may be posted, so look at what it stands for after this. */
static inline void
sluice_wake_taken(SluiceWake *wake)
{
	atomic_store(&wake->pending, false);
}

#endif							/* SLUICE_WAKE_H */
