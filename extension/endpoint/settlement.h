/*
 * settlement.h
 *		The main thread's way of a record from the arrivals queue to its verdict.
 */
#ifndef SLUICE_SETTLEMENT_H
#define SLUICE_SETTLEMENT_H

#include "postgres.h"

#include "delivery.h"
#include "network.h"

typedef struct SluiceSettlement SluiceSettlement;

/* Network and delivery, which gets what consumers send, are the caller's and outlive it. */
extern SluiceSettlement *sluice_settlement_create(SluiceNetwork *network, SluiceDelivery *delivery);

/* Take in what has arrived: answer openings, queue records. */
extern void sluice_settlement_collect(SluiceSettlement *settlement);

/* Where records come in numbers, wait for some more before they are stored. */
extern void sluice_settlement_gather(SluiceSettlement *settlement);

/* Store what is due, as one batch, and send the verdicts. */
extern void sluice_settlement_store(SluiceSettlement *settlement);

/* The clock of the main thread: microseconds, monotonic. */
extern int64 sluice_settlement_clock(void);

/* The configuration was read again. */
extern void sluice_settlement_reload(SluiceSettlement *settlement);

/* When something is due: at or before now, later, or PG_INT64_MAX. */
extern int64 sluice_settlement_next(SluiceSettlement *settlement);

/*
 * The end is near: what can be stored still is, but nothing waits for another
 * try.  What stays without a verdict ends its call with UNAVAILABLE and the message.
 * With give_up nothing is stored any more either.
 */
extern void sluice_settlement_drain(SluiceSettlement *settlement, const char *message, bool give_up);

/* All that has arrived is settled. */
extern bool sluice_settlement_done(SluiceSettlement *settlement);

/* Shutdown cut a wait for a synchronous standby short: no verdict may be sent any more. */
extern bool sluice_settlement_abandoned(SluiceSettlement *settlement);

/* Has a stream failed in a way that may mean that the extension is gone?  Asking clears it. */
extern bool sluice_settlement_suspects_drop(SluiceSettlement *settlement);

/* The process ends: no thread of its own computes any more. */
extern void sluice_settlement_stop(SluiceSettlement *settlement);

/* Text from elsewhere, made fit for the server's log in place. */
extern char *sluice_settlement_printable(char *text);

#endif							/* SLUICE_SETTLEMENT_H */
