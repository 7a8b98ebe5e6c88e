/*
 * sender.h
 *		Brings the records of a queue to the server, each until it is acknowledged.
 *
 * sluice_sender_run() takes records from the queue, keeps up to a window of
 * them on their way, connects again after a lost connection and resends what
 * was not acknowledged, and returns when the queue is finished and everything
 * is acknowledged, when it has to give up, or when the server refuses.
 */
#ifndef SLUICE_SENDER_H
#define SLUICE_SENDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/attempts.h"
#include "queue.h"
#include "record.h"

typedef struct SluiceSender SluiceSender;

typedef enum SluiceSenderResult
{
	SLUICE_SENDER_DONE,			/* all records have their answer */
	SLUICE_SENDER_GAVE_UP,		/* out of time, or told to stop at once */
	SLUICE_SENDER_REFUSED		/* the server will not take them: see sluice_sender_message() */
} SluiceSenderResult;

typedef struct SluiceSenderOptions
{
	SluiceAttempts *attempts;	/* where to, and as who; outlives the sender */
	size_t		window;			/* records unacknowledged */
	size_t		window_bytes;
	int64_t		timeout;		/* nanoseconds without any answer, SLUICE_NEVER */
	int64_t		tick_interval;	/* nanoseconds, SLUICE_NEVER */
	void	   *argument;		/* of the following, each may be NULL */
	void		(*sending) (void *argument, SluiceClientRecord *record);	/* for the first time */
	void		(*answered) (void *argument, const SluiceClientRecord *record, bool dead_lettered);
	void		(*tick) (void *argument, const SluiceSender *sender);
	void		(*notice) (void *argument, const char *message);
} SluiceSenderOptions;

typedef struct SluiceSenderCounts
{
	uint64_t	sent;			/* records handed to a connection, each counted once */
	uint64_t	resent;			/* times that one was sent again */
	uint64_t	bytes;			/* of the messages, with those sent again */
	uint64_t	acknowledged;	/* stored, or known as stored */
	uint64_t	dead_letters;
	uint64_t	stored;			/* of the acknowledged: where the server told */
	uint64_t	duplicates;
	uint64_t	calls;
} SluiceSenderCounts;

extern SluiceSender *sluice_sender_create(const SluiceSenderOptions *options, SluiceQueue *queue);
extern SluiceSenderResult sluice_sender_run(SluiceSender *sender);

/* The thread that pushes must be gone. */
extern void sluice_sender_free(SluiceSender *sender);

/* From any thread: finish within the timeout; called again: give up at once. */
extern void sluice_sender_stop(SluiceSender *sender);

extern const SluiceSenderCounts *sluice_sender_counts(const SluiceSender *sender);
extern size_t sluice_sender_unacknowledged(const SluiceSender *sender);
extern const char *sluice_sender_state(const SluiceSender *sender);	/* for the progress line */

/* Why it was refused or given up. */
extern const char *sluice_sender_message(const SluiceSender *sender);

/* The first of those unacknowledged, or NULL. */
extern const SluiceClientRecord *sluice_sender_oldest(const SluiceSender *sender);

/* After a refusal for a message's size: the largest record on its way; else NULL. */
extern const SluiceClientRecord *sluice_sender_too_large(const SluiceSender *sender);

#endif							/* SLUICE_SENDER_H */
