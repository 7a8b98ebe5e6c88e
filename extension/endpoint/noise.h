/*
 * noise.h
 *		What clients send that is no records.
 *
 * Of each TCP connection this knows what its bytes were good for: a call that was
 * let in earns credit by its messages.  Bytes beyond the credit are noise: pings,
 * settings, windows, headers of calls that come to nothing.  A little of it is in
 * all that HTTP/2 does; a client that sends much of it while the worker is short of
 * time is shut out by the guard (guard.h), which compares the credit with
 * what the system says the connection has received.
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

/* Bytes of a message's frame and of TLS around it, with windows for the answers. */
#define SLUICE_NOISE_MESSAGE 128

/* Of a call's headers and its end. */
#define SLUICE_NOISE_CALL 512

/* What a call that was not let in is as bad as. */
#define SLUICE_NOISE_VOID 1024

/* A TCP connection with calls on it, or that had some lately. */
typedef struct SluiceTalker
{
	LIST_ENTRY(SluiceTalker) chain;
	TAILQ_ENTRY(SluiceTalker) idle_link;
	struct sockaddr_storage address;
	_Atomic int64_t credit;		/* bytes, since it was taken */
	_Atomic int calls;			/* open */
	_Atomic int admitted;		/* of them */
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
	int64_t		credit;			/* since the last time; less than zero: it had calls that came to nothing */
	int			calls;
	int			admitted;
} SluiceTalk;

extern void sluice_noise_init(SluiceNoise *noise);
extern void sluice_noise_free(SluiceNoise *noise);

/* A call begins on the connection with this address.  NULL: no memory; then its bytes earn nothing. */
extern SluiceTalker *sluice_noise_join(SluiceNoise *noise, const struct sockaddr_storage *address);

/* The call was let in. */
extern void sluice_noise_admit(SluiceTalker *talker);

/* A call that was let in has received a message, or has sent one. */
extern void sluice_noise_received(SluiceTalker *talker, int64_t bytes);
extern void sluice_noise_sent(SluiceTalker *talker, int64_t bytes);

/* The call is over. */
extern void sluice_noise_leave(SluiceNoise *noise, SluiceTalker *talker, bool admitted);

/* The guard's.  All zero where the connection has no calls. */
extern SluiceTalk sluice_noise_take(SluiceNoise *noise, const struct sockaddr_storage *address);

#endif							/* SLUICE_NOISE_H */
