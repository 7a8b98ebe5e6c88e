/*
 * throttle.h
 *		Calls that are over the rate of their stream or of their client's address.
 *
 * What a message held is charged to both buckets (bucket.h) when it was taken.
 * While one of them has no record left, nothing more of the call is taken: it
 * is paused, apart from those that wait for room, maybe with a message that had come
 * already.  Those who wait go on in turn, so calls that share a bucket share its rate.
 *
 * The network thread's.  It never waits for a bucket: it comes back when it is due.
 */
#ifndef SLUICE_THROTTLE_H
#define SLUICE_THROTTLE_H

#ifdef POSTGRES_H
#error "the gRPC side does not compile where postgres.h was included"
#endif

#include "carrier.h"

/* False: it may take a message.  True: it is paused until it may; then the method's received or resume is called. */
extern bool sluice_throttle_pause(SluiceCarrier *carrier);

/* So many records were taken. */
extern void sluice_throttle_charge(const SluiceCarrier *carrier, uint64_t records);

/* It waits no longer: it ends. */
extern void sluice_throttle_leave(SluiceCarrier *carrier);

/* Its buckets are in use. */
extern void sluice_throttle_keep(const SluiceCarrier *carrier);

/* How many records a message should have at most, so that the pauses after it are short. */
extern uint32_t sluice_throttle_batch(const SluiceCarrier *carrier, uint32_t max);

/* For the loop: let those go on that may.  The microseconds until it is to look again; -1: nobody waits. */
extern int64_t sluice_throttle_resume(struct SluiceNetwork *network);

#endif							/* SLUICE_THROTTLE_H */
