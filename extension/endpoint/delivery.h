/*
 * delivery.h
 *		The main thread's way of a row from its table to a consumer.
 */
#ifndef SLUICE_DELIVERY_H
#define SLUICE_DELIVERY_H

#include "postgres.h"

#include "network.h"

typedef struct SluiceDelivery SluiceDelivery;

/* The network is the caller's and outlives it; worker is the index of this worker. */
extern SluiceDelivery *sluice_delivery_create(SluiceNetwork *network, int worker);

/* A record of one of the kinds from SLUICE_SUBSCRIBE on has arrived. */
extern void sluice_delivery_add(SluiceDelivery *delivery, SluiceRecord *record);

/*
 * Do what is due: answer consumers, make them active, hand out rows.  Each
 * consumer gets one message at most, so that records that come in meanwhile are not kept waiting.
 */
extern void sluice_delivery_turn(SluiceDelivery *delivery);

/* When something is due: at or before now, later, or PG_INT64_MAX.  A transaction that wrote sets the latch besides. */
extern int64 sluice_delivery_next(SluiceDelivery *delivery);

/* The end is near: what consumers have acknowledged is still taken.  With give_up not even that. */
extern void sluice_delivery_drain(SluiceDelivery *delivery, const char *message, bool give_up);

/* Is nothing left of any call? */
extern bool sluice_delivery_done(const SluiceDelivery *delivery);

/* Has something failed in a way that may mean that the extension is gone?  Asking clears it. */
extern bool sluice_delivery_suspects_drop(SluiceDelivery *delivery);

#endif							/* SLUICE_DELIVERY_H */
