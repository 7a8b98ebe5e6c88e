/*
 * subscription.h
 *		Durable subscriptions: rows of sluice.subscriptions, within one transaction.
 *
 * A row is locked before anything is decided from it, and the worker never
 * waits for that: an open sluice.ack() of a consumer's own transaction holds it,
 * and with it the takeover.  All functions here want a transaction and no more: they
 * connect to SPI and push a snapshot themselves, and act as the extension's owner.
 * Texts are in the server's encoding, but those that consumers send: consumer and reason are UTF-8.
 *
 * A letter of a subscription changes only while its row is locked, so who has that
 * waits for nobody else.
 */
#ifndef SLUICE_SUBSCRIPTION_H
#define SLUICE_SUBSCRIPTION_H

#include "postgres.h"

/* In characters, and in bytes with the NUL. */
#define SLUICE_SUBSCRIPTION_NAME_MAX 200
#define SLUICE_SUBSCRIPTION_NAME_SIZE (4 * SLUICE_SUBSCRIPTION_NAME_MAX + 1)

typedef struct SluiceSubscription
{
	int32		id;
	char		name[SLUICE_SUBSCRIPTION_NAME_SIZE];	/* in the server's encoding */
	int32		stream_id;
	bool		at_most_once;
	int64		position;		/* all rows up to here are done with */
	uint64		epoch;			/* of the last activation */
	int64		attempt_offset; /* the row that was nacked last, while it is the first one not done with; else 0 */
	int			attempts;		/* of that row */
	int			losses;			/* of consumers, since the position moved last */
	int			max_attempts;
	int			max_losses;		/* 0: no limit */
	int			retry_delay;	/* ms, before the first redelivery; doubles with each */
} SluiceSubscription;

typedef enum SluiceSubscriptionLock
{
	SLUICE_SUBSCRIPTION_LOCKED,
	SLUICE_SUBSCRIPTION_BUSY,	/* another transaction has it */
	SLUICE_SUBSCRIPTION_MISSING
} SluiceSubscriptionLock;

/* By name (server's encoding).  False: there is none. */
extern PGDLLEXPORT bool sluice_subscription_find(const char *name, SluiceSubscription *subscription);

/* Lock the row and read it; wait: for whoever has it (SQL), else BUSY. */
extern PGDLLEXPORT SluiceSubscriptionLock sluice_subscription_lock(int32 id, bool wait, SluiceSubscription *subscription);

/*
 * Make one that begins behind position; it belongs to owner, InvalidOid: to the stream's.  False: there is one of this
 * name by now, or another transaction makes or drops one, or changes the stream: look again.
 */
extern PGDLLEXPORT bool sluice_subscription_create(const char *name, int32 stream_id, int64 position,
												   bool at_most_once, Oid owner, SluiceSubscription *subscription);

/*
 * The following change a row that this transaction has locked (and has not rolled back to before
 * that, or what was changed since: then lock it again), and *subscription with it.
 */

/* A consumer becomes active: a fresh epoch; who, for people. */
extern PGDLLEXPORT void sluice_subscription_activate(SluiceSubscription *subscription, const char *consumer);

/* A Start with a position of the consumer's own, in either direction; the epoch stays. */
extern PGDLLEXPORT void sluice_subscription_place(SluiceSubscription *subscription, int64 position);

/*
 * A fresh epoch, and delivery from position on (a nack that counts no attempt: position as it is).
 * Attempts and losses are those of the position: cleared where it moves.
 */
extern PGDLLEXPORT void sluice_subscription_restart(SluiceSubscription *subscription, int64 position);

/*
 * Acknowledged, or (at_most_once) about to be sent: all up to position is done with.  Clears attempts and losses.
 * Nothing is done where the position is not beyond the present one.
 */
extern PGDLLEXPORT void sluice_subscription_advance(SluiceSubscription *subscription, int64 position);

/* The first row not done with was nacked: counts the attempt and takes a fresh epoch.  Returns the number of attempts. */
extern PGDLLEXPORT int sluice_subscription_attempt(SluiceSubscription *subscription, int64 offset);

/* It is given up: a dead letter of this subscription, the position moves past it, a fresh epoch.  payload NULL: the row was deleted, no letter. */
extern PGDLLEXPORT void sluice_subscription_bury(SluiceSubscription *subscription, int64 offset,
												 const uint8 *payload, size_t length, const char *reason);

/* Its consumer was lost while rows were in flight. */
extern PGDLLEXPORT void sluice_subscription_lose(SluiceSubscription *subscription);

/* Moved by SQL: as restart, but attempts and losses are cleared in any case. */
extern void sluice_subscription_seek(SluiceSubscription *subscription, int64 position);

/* Forgotten, its letters discarded.  The call of its consumer is told at commit. */
extern PGDLLEXPORT void sluice_subscription_drop(SluiceSubscription *subscription, const char *reason);

/*
 * Names are given out under a lock of their own, held to the end of the transaction, so that the worker
 * never has to wait in the unique index.  False: another transaction has it (only where wait is false).
 */
extern PGDLLEXPORT bool sluice_subscription_lock_name(const char *name, bool wait);

/* May this role administer and consume it?  Its owner, the stream's, the extension's and administrators may. */
extern PGDLLEXPORT bool sluice_subscription_permits(const SluiceSubscription *subscription, Oid role);

/* The same of the current user; an error where it may not. */
extern void sluice_subscription_check_owner(const SluiceSubscription *subscription);

/* By name, locked, for one of them; else an error. */
extern void sluice_subscription_get(const char *name, SluiceSubscription *subscription);

/* A dead letter that sluice.redrive() has put back. */
typedef struct SluiceRedriven
{
	int64		id;
	int64		offset;
	const uint8 *payload;		/* palloc'ed in the caller's context */
	size_t		length;
} SluiceRedriven;

/* The first ones by id, without those with these ids, at most max.  Returns how many. */
extern PGDLLEXPORT int sluice_subscription_redriven(int32 id, const int64 *without, int nwithout, SluiceRedriven *redriven, int max);

/* The consumer has done with a redriven letter (done), or could not: it is open again, with the reason. */
extern PGDLLEXPORT void sluice_subscription_settle_redriven(int32 id, int64 letter, bool done, const char *reason);

#endif							/* SLUICE_SUBSCRIPTION_H */
