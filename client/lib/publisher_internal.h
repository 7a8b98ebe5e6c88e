/*
 * publisher_internal.h
 *		What the files publisher*.c share.
 *
 *	publisher.c			the thread, and its states while there is a call
 *	publisher_end.c		what the end of a call leads to
 *	status.c			what others can see of it
 */
#ifndef SLUICE_LIB_PUBLISHER_INTERNAL_H
#define SLUICE_LIB_PUBLISHER_INTERNAL_H

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "attempts.h"
#include "channel.h"
#include "publication.h"
#include "publisher.h"
#include "status.h"

/* The states of the thread; each is a function that waits for one event and returns the next state. */
typedef enum SluicePublisherStep
{
	SLUICE_STEP_CONNECT,
	SLUICE_STEP_OPENING,		/* Opened has not come */
	SLUICE_STEP_PUBLISHING,
	SLUICE_STEP_CLOSING,		/* the call was half-closed or cancelled by us */
	SLUICE_STEP_WAITING,		/* for the next attempt */
	SLUICE_STEP_RESTING,		/* for the owner, who has to stop us: nothing is sent any more */
	SLUICE_STEP_DONE
} SluicePublisherStep;

/* Why a call is over: what the server said, or what made us cancel it. */
typedef struct SluicePublisherOutcome
{
	SluiceEnding ending;
	int64_t		pushback;		/* the server's wish: a hint as in backoff.h */
	uint64_t	last_sequence;	/* FENCED, FORKED: the server's */
	char		text[200];
} SluicePublisherOutcome;

struct SluicePublisher
{
	const SluiceSettings *settings;
	SluiceBuffer *buffer;
	SluiceAttempts attempts;	/* the thread's own, as soon as it runs */
	SluiceStatus status;
	pthread_t	thread;
	sem_t		started;		/* channel is there, or there is none */
	sem_t		woken;			/* the owner has set stopping, and wakes nobody any more */
	atomic_bool stopping;

	/* The thread's own from here on. */
	SluiceChannel *channel;
	SluicePublicationAck ack;
	int64_t		deadline;		/* of the present state */

	/* the present connection */
	bool		opened;
	bool		acknowledged;
	bool		cancelled;		/* by us, because of outcome */
	SluicePublisherOutcome outcome;
	uint64_t	through;		/* settled, as the server said */
	uint64_t	in_flight;		/* as of the last message */
	SluiceBacklogReport reported;
	int64_t		report_at;

	/* over connections */
	int			violations;		/* in a row */
	bool		had_hole;
	uint64_t	hole_through;	/* what was settled then */
};

/* The call is over. */
extern SluicePublisherStep sluice_publisher_ended(SluicePublisher *publisher);

/* There is no call, because of outcome. */
extern SluicePublisherStep sluice_publisher_failed(SluicePublisher *publisher);

#endif							/* SLUICE_LIB_PUBLISHER_INTERNAL_H */
