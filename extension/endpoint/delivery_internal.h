/*
 * delivery_internal.h
 *		What the files delivery*.c share.
 *
 *	delivery.c				all calls, and what is due
 *	delivery_join.c			a call begins: its stream, its subscription
 *	delivery_activation.c	it becomes active, others change its subscription, it leaves
 *	delivery_advance.c		starts, acknowledgements and nacks
 *	delivery_send.c			messages
 */
#ifndef SLUICE_DELIVERY_INTERNAL_H
#define SLUICE_DELIVERY_INTERNAL_H

#include "postgres.h"

#include "active.h"
#include "attempt.h"
#include "consumer.h"
#include "delivery.h"
#include "lib/ilist.h"
#include "refusal.h"
#include "source.h"
#include "subscription.h"

#define SLUICE_STATUS_INVALID_ARGUMENT 3
#define SLUICE_STATUS_ABORTED 10
#define SLUICE_STATUS_OUT_OF_RANGE 11

typedef enum SluicePhase
{
	SLUICE_PHASE_STANDBY,		/* another call has the subscription, or its row is busy */
	SLUICE_PHASE_STARTING,		/* active, and waits for the consumer's Start */
	SLUICE_PHASE_DELIVERING,
	SLUICE_PHASE_ENDED			/* refused: only SLUICE_LEAVE is to come */
} SluicePhase;

/* Consumer records in a row. */
typedef struct SluiceConsumerQueue
{
	SluiceConsumerRecord *first;
	SluiceConsumerRecord *last;
} SluiceConsumerQueue;

/* Epochs of a call that acknowledgements on their way may still name. */
#define SLUICE_EPOCHS 16

/* Letters that were put back and are in flight, at most. */
#define SLUICE_LETTERS 100

/* A call of Subscribe. */
typedef struct SluiceSubscriber
{
	dlist_node	node;
	SluiceDelivery *delivery;
	SluiceSender *sender;
	SluiceSource *source;
	SluicePhase phase;
	SluiceEncoding encoding;	/* as rows are written; never STREAM */
	bool		durable;
	SluiceSubscription row;		/* durable: as of when it was locked last */
	int			slot;			/* in shared memory; -1: none */
	uint64		changes;		/* of the slot, that were looked at */
	uint64		endings;		/* by Unsubscribe, that were looked at */
	bool		unsubscribed;	/* by one of them */
	SluiceConsumerQueue pulls;
	SluiceConsumerQueue advances;	/* not taken yet: their row is busy */
	SluiceConsumerRecord *leaving;
	int64		retry_at;		/* what failed, or was busy, is tried again then; 0: nothing */
	int			retries;		/* in a row */

	/* The present activation. */
	uint64		epochs[SLUICE_EPOCHS];	/* the present one first */
	bool		told_standby;
	bool		tell_standby;
	bool		tell_active;
	bool		tell_caught_up;
	int64		caught_up_at;	/* an offset: when all up to there was sent */
	int64		cursor;			/* rows up to here were read */
	int64		sent;			/* offset of the last row sent; or the position */
	int64		acknowledged;	/* by the consumer, not yet in the row; or the row's position */
	int64		acknowledged_at;	/* when the first of these came */
	int64		resume_at;		/* after a nack: not before that */
	int64		full_until;		/* as many were in flight as may be: until then some room is waited for */
	int			before_unwritable;	/* rows before one that cannot be written, to be sent first; 0: none is known */
	int64	   *in_flight;		/* offsets, in a ring */
	size_t		room;			/* of the ring, a power of two */
	size_t		first;
	size_t		count;
	bool		has_redriven;	/* letters may be there that were not sent */
	int64		letters[SLUICE_LETTERS];	/* those that were sent: first the ones that are acknowledged and not yet in their rows */
	int			nletters;
	int			ndone_letters;
	uint32		restarts;		/* of the source */
	SluiceActiveReport report;
	bool		report_due;
} SluiceSubscriber;

struct SluiceDelivery
{
	SluiceNetwork *network;
	int			worker;
	dlist_head	subscribers;
	int			count;
	SluiceConsumerQueue joining;	/* SLUICE_SUBSCRIBE and SLUICE_UNSUBSCRIBE without an answer */
	int64		join_at;		/* when to try them again */
	int64		tick_at;		/* when to look at all sources */
	MemoryContext context;		/* of one turn */
	bool		drain;
	bool		give_up;
	bool		suspects_drop;
	char		drain_message[256];
};

/* ---- delivery.c ---- */

extern void sluice_delivery_queue(SluiceConsumerQueue *queue, SluiceConsumerRecord *record);
extern SluiceConsumerRecord *sluice_delivery_unqueue(SluiceConsumerQueue *queue);

/* It was done. */
extern void sluice_delivery_answer(SluiceDelivery *delivery, SluiceConsumerRecord *record, SluiceVerdict verdict);

/* What a call ends with; text is in the server's encoding. */
extern SluiceRefusal sluice_delivery_refusal(int status, const char *reason, const char *format, ...) pg_attribute_printf(3, 4);

/* What it ends with where the source is not ready, and where a position is above all offsets. */
extern SluiceRefusal sluice_delivery_not_ready(SluiceSourceState state, const char *why);
extern SluiceRefusal sluice_delivery_beyond_end(int64 position, int64 last_value);

/* End the call: with one of its pulls, or as soon as there is one. */
extern void sluice_delivery_end(SluiceSubscriber *subscriber, const SluiceRefusal *refusal);

/* Something that may pass: try again after a while. */
extern void sluice_delivery_retry(SluiceSubscriber *subscriber, int64 now);

/* The transaction for it has failed: why, once for each time that it begins to fail; try again after a while. */
extern void sluice_delivery_failed(SluiceSubscriber *subscriber, const SluiceFailure *failure, int64 now);

/* Was something acknowledged that is not written down? */
static inline bool
sluice_delivery_is_unsaved(const SluiceSubscriber *subscriber)
{
	return subscriber->slot >= 0 && subscriber->phase != SLUICE_PHASE_STANDBY &&
		(subscriber->acknowledged > subscriber->row.position || subscriber->ndone_letters > 0);
}

/* ---- delivery_join.c ---- */

/* False: try again later. */
extern bool sluice_delivery_join(SluiceDelivery *delivery, SluiceConsumerRecord *record);
extern bool sluice_delivery_unsubscribe(SluiceDelivery *delivery, SluiceConsumerRecord *record);

/* ---- delivery_activation.c ---- */

extern void sluice_delivery_activate(SluiceSubscriber *subscriber, int64 now);

/* The position and the epoch are another's now: begin from there. */
extern void sluice_delivery_begin(SluiceSubscriber *subscriber);

/* Others have changed the subscription. */
extern void sluice_delivery_look_for_changes(SluiceSubscriber *subscriber, int64 now);

/* The call is over: everything of it is given back.  False: not yet, what it has acknowledged cannot be written down now. */
extern bool sluice_delivery_leave(SluiceSubscriber *subscriber, int64 now);

/* ---- delivery_advance.c ---- */

extern void sluice_delivery_advance(SluiceSubscriber *subscriber, int64 now);

/* Rows up to there are done with, and not in flight any more. */
extern void sluice_delivery_land(SluiceSubscriber *subscriber, int64 through);

/* Write down what was acknowledged.  False: it could not be done now. */
extern bool sluice_delivery_save(SluiceSubscriber *subscriber, int64 now);

/* In a transaction that has locked the row: this row of the stream is given up, and becomes a dead letter. */
extern void sluice_delivery_bury(SluiceSubscriber *subscriber, SluiceSubscription *row, int64 offset, const char *reason);

/* ---- delivery_send.c ---- */

extern void sluice_delivery_send(SluiceSubscriber *subscriber, int64 now);

/* Are rows held back for more room, though there is some? */
extern bool sluice_delivery_is_narrow(const SluiceSubscriber *subscriber, int64 now);

/* Is there something to send, and a pull to send it with? */
extern bool sluice_delivery_may_send(const SluiceSubscriber *subscriber, int64 now);
extern void sluice_delivery_report(SluiceSubscriber *subscriber);

#endif							/* SLUICE_DELIVERY_INTERNAL_H */
