/*
 * subscription_letter.h
 *		Dead letters of subscriptions: rows that a consumer could not process.
 */
#ifndef SLUICE_SUBSCRIPTION_LETTER_H
#define SLUICE_SUBSCRIPTION_LETTER_H

#include "postgres.h"

#include "subscription.h"
#include "utils/array.h"

/* A new one.  reason is UTF-8, may be NULL. */
extern void sluice_subscription_letter_write(const SluiceSubscription *subscription, int64 offset,
											 const uint8 *payload, size_t length, const char *reason);

/* All of a subscription that are not settled are given up. */
extern void sluice_subscription_letter_discard(const SluiceSubscription *subscription, const char *reason);

/*
 * Lock the subscriptions whose unsettled letters are meant, those of a stream (0: of all)
 * and with these ids (NULL: all), and tell their consumers at commit.  The caller must administer them;
 * edited: and may give them another payload.
 * Returns their ids, integer[], palloc'ed: letters of others are to be left alone.
 */
extern ArrayType *sluice_subscription_letter_lock(int32 stream, ArrayType *ids, bool edited);

/*
 * Put open letters back to their subscriptions, which are locked: state redelivery.  payload,
 * not NULL, takes the place of theirs.  Returns how many; their ids are palloc'ed.
 */
extern int	sluice_subscription_letter_redrive(ArrayType *locked, int32 stream, ArrayType *ids, bytea *payload, int64 **redriven);

#endif							/* SLUICE_SUBSCRIPTION_LETTER_H */
