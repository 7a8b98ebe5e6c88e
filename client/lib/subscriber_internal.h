/*
 * subscriber_internal.h
 *		What the files subscriber*.c share.
 *
 *	subscriber.c		the thread, and its states while there is a call
 *	subscriber_end.c	what the end of a call leads to
 *	status.c			what others can see of it
 */
#ifndef SLUICE_LIB_SUBSCRIBER_INTERNAL_H
#define SLUICE_LIB_SUBSCRIBER_INTERNAL_H

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "attempts.h"
#include "channel.h"
#include "status.h"
#include "subscriber.h"

/* The states of the thread; each is a function that waits for one event and returns the next state. */
typedef enum SluiceSubscriberStep
{
	SLUICE_SUBSCRIBER_CONNECT,
	SLUICE_SUBSCRIBER_OPENING,	/* the server has not taken the call */
	SLUICE_SUBSCRIBER_READING,
	SLUICE_SUBSCRIBER_LEAVING,	/* the rest is sent, then the call is half-closed */
	SLUICE_SUBSCRIBER_CLOSING,	/* the call was half-closed or cancelled by us */
	SLUICE_SUBSCRIBER_WAITING,	/* for the next attempt */
	SLUICE_SUBSCRIBER_RESTING,	/* for the owner, who has to stop us: nothing comes any more */
	SLUICE_SUBSCRIBER_DONE
} SluiceSubscriberStep;

/* What the end of a call means for the next one. */
typedef enum SluiceSubscriberEnding
{
	SLUICE_SUBSCRIBER_AGAIN,	/* connect again, with backoff */
	SLUICE_SUBSCRIBER_ASKED,	/* the server wants a new connection, and nothing is wrong */
	SLUICE_SUBSCRIBER_REFUSED,	/* somebody must do something first: try rarely */
	SLUICE_SUBSCRIBER_VIOLATION,	/* the server broke the protocol (never told by the server) */
	SLUICE_SUBSCRIBER_FATAL		/* there is no next one */
} SluiceSubscriberEnding;

/* Why a call is over: what the server said, or what made us cancel it. */
typedef struct SluiceSubscriberOutcome
{
	SluiceSubscriberEnding ending;
	int64_t		pushback;		/* the server's wish: a hint as in backoff.h */
	int			error;			/* FATAL */
	char		text[200];
} SluiceSubscriberOutcome;

struct SluiceSubscriber
{
	const SluiceSettings *settings;
	SluiceInbox *inbox;
	SluiceAttempts attempts;	/* the thread's own, as soon as it runs */
	SluiceStatus status;
	pthread_t	thread;
	sem_t		started;		/* channel is there, or there is none */
	sem_t		woken;			/* the owner has set stopping, and wakes nobody any more */
	atomic_bool stopping;
	int64_t		stop_deadline;	/* set before stopping */
	bool		confirmed;		/* for the owner, after the thread: nothing is owed any more */

	/* The thread's own from here on. */
	SluiceChannel *channel;
	int64_t		deadline;		/* of the present state */
	SluiceReply reply;

	/* the present connection */
	bool		opened;			/* the server has said something */
	bool		achieved;
	bool		cancelled;		/* by us, because of outcome */
	uint64_t	epoch;			/* 0: not active */
	bool		started_rows;	/* they may come: no Start is owed */
	int64_t		last;			/* the next row follows this one */
	SluiceSubscriberOutcome outcome;

	/* over connections */
	bool		resumes;
	int64_t		resume;			/* an ephemeral one goes on behind this offset */
	int			violations;		/* in a row */
};

/* The call is over. */
extern SluiceSubscriberStep sluice_subscriber_ended(SluiceSubscriber *subscriber);

/* There is no call, because of outcome. */
extern SluiceSubscriberStep sluice_subscriber_failed(SluiceSubscriber *subscriber);

#endif							/* SLUICE_LIB_SUBSCRIBER_INTERNAL_H */
