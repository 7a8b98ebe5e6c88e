/*
 * guard.h
 *		Keeps clients that flood the worker from taking its time.
 *
 * gRPC works off whatever a connection sends before it turns to another one, and
 * has no limit for what is no message: a client that sends pings, settings, or calls
 * that it resets at once, as fast as it can, has the network thread for itself.  So
 * a thread beside looks, whenever the network thread or the main thread has more to do than
 * half of the time, at how much each connection sends without serving its
 * purpose (noise.h).  Networks with too much of it are shut out (penalty.h):
 * their noisy connections are reset, and for a time the system drops what
 * comes from them before it is a connection.
 *
 * While the worker has time nobody is shut out.  Nor is who was let in, for what it sends: an
 * honest client's large messages, the pauses of a rate, its pings cannot be told from a flood,
 * and who may send records has other means anyway.  Its calls that come to
 * nothing count.  Unix sockets are not guarded.
 */
#ifndef SLUICE_GUARD_H
#define SLUICE_GUARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "noise.h"

typedef struct SluiceGuard SluiceGuard;

typedef struct SluiceGuardSettings
{
	SluiceNoise *noise;			/* the network's, and longer there than the guard */
	int			port;
	int64_t		penalty_us;		/* the first time that a network is shut out for */
	pid_t		threads[2];		/* that are not to be short of time */
	int64_t		call_bytes;		/* of a call that is not let in yet gRPC may have taken so many */
} SluiceGuardSettings;

/* NULL, with errno: no thread, or no descriptors. */
extern SluiceGuard *sluice_guard_start(const SluiceGuardSettings *settings);
extern void sluice_guard_stop(SluiceGuard *guard);

/* The worker is to go: nobody is shut out any more for what comes of that. */
extern void sluice_guard_rest(SluiceGuard *guard);

/* Any thread's: is the client's network shut out?  Quick where none is. */
extern bool sluice_guard_shuts_out(SluiceGuard *guard, const struct sockaddr_storage *address);

/* How often a network was shut out. */
extern uint64_t sluice_guard_penalties(SluiceGuard *guard);

#endif							/* SLUICE_GUARD_H */
