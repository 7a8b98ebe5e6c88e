/*
 * lifetime.h
 *		Calls that the clock ends: of clients that never say what they want, and at their age.
 *
 * A call whose client is to speak first has the server's authentication_timeout
 * for it, as a client of the server itself has; then it ends with DEADLINE_EXCEEDED.
 *
 * With an age (sluice.max_connection_age) a call ends as when the server drains:
 * nothing more is read, what was taken is answered, then comes UNAVAILABLE, with
 * the reason RECONNECT.  Its client connects again, maybe to another worker.  The ages
 * differ by a tenth, so that calls that began together do not end together.  gRPC
 * says good-bye to the connection itself earlier (listener.c), so that what is
 * opened then goes to a new one.
 */
#ifndef SLUICE_LIFETIME_H
#define SLUICE_LIFETIME_H

#ifdef POSTGRES_H
#error "the gRPC side does not compile where postgres.h was included"
#endif

#include "carrier.h"

extern void sluice_lifetime_begin(SluiceCarrier *carrier);

/* For the loop, once a second. */
extern void sluice_lifetime_look(struct SluiceNetwork *network);

#endif							/* SLUICE_LIFETIME_H */
