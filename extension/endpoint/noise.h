/*
 * noise.h
 *		What connections were good for.
 *
 * A TCP connection on which a call was let in is trusted.  On any other one all
 * that comes is noise: pings, settings, windows, headers of calls
 * that come to nothing.  A little of it is in all that HTTP/2 does; a client that
 * sends much of it while the worker is short of time is shut out by the guard (guard.h),
 * which asks here what it has to think of a connection.
 *
 * Plain C.  The network thread's, but for sluice_noise_take.
 */
#ifndef SLUICE_NOISE_H
#define SLUICE_NOISE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/socket.h>

#define SLUICE_NOISE_CHAINS 1024

/* A TCP connection with calls on it, or that had some lately. */
typedef struct SluiceTalker
{
	LIST_ENTRY(SluiceTalker) chain;
	TAILQ_ENTRY(SluiceTalker) idle_link;
	struct sockaddr_storage address;
	_Atomic int calls;			/* open */
	_Atomic int voids;			/* calls that ended and were not let in, since it was asked for; health checks are such */
	_Atomic bool trusted;		/* a call was let in */
} SluiceTalker;

typedef struct SluiceNoise
{
	pthread_mutex_t mutex;		/* for the lists */
	LIST_HEAD(SluiceTalkerChain, SluiceTalker) chains[SLUICE_NOISE_CHAINS];
	TAILQ_HEAD(SluiceIdleTalkers, SluiceTalker) idle;	/* without calls, oldest first */
	int			nidle;
} SluiceNoise;

/* What is known of a connection. */
typedef struct SluiceTalk
{
	int			calls;
	int			voids;			/* since the last time */
	bool		trusted;
} SluiceTalk;

extern void sluice_noise_init(SluiceNoise *noise);
extern void sluice_noise_free(SluiceNoise *noise);

/* A call begins on the connection with this address.  NULL: no memory; then nothing is known of it. */
extern SluiceTalker *sluice_noise_join(SluiceNoise *noise, const struct sockaddr_storage *address);

/* A call of it was let in. */
extern void sluice_noise_trust(SluiceTalker *talker);

/* The call is over. */
extern void sluice_noise_leave(SluiceNoise *noise, SluiceTalker *talker, bool admitted);

/* The guard's.  All zero where nothing is known of the connection. */
extern SluiceTalk sluice_noise_take(SluiceNoise *noise, const struct sockaddr_storage *address);

#endif							/* SLUICE_NOISE_H */
