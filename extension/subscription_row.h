/*
 * subscription_row.h
 *		A row of sluice.subscriptions as it lies in the table.
 */
#ifndef SLUICE_SUBSCRIPTION_ROW_H
#define SLUICE_SUBSCRIPTION_ROW_H

#include "postgres.h"

#include "storage/itemptr.h"
#include "subscription.h"

/* Where this session has seen its newest version last: anything may be there by now.  False: never. */
extern bool sluice_subscription_row_place(int32 id, ItemPointer place);
extern void sluice_subscription_row_remember(int32 id, ItemPointer place);

/* What is written beside what the struct has. */
typedef struct SluiceSubscriptionChange
{
	const char *consumer;		/* of an activation, UTF-8; else NULL */
	bool		acknowledged;
	bool		deleted;
} SluiceSubscriptionChange;

/* The row, locked by this transaction and remembered, becomes what the struct has. */
extern void sluice_subscription_row_update(const SluiceSubscription *subscription, SluiceSubscriptionChange change);

#endif							/* SLUICE_SUBSCRIPTION_ROW_H */
