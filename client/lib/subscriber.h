/*
 * subscriber.h
 *		The thread that brings rows from the server.
 *
 * It owns everything of gRPC: connects to one endpoint after the other, opens a
 * Subscribe call, puts what comes into the inbox, sends what the program says of it, and connects
 * again with backoff and full jitter when the call ends.  One function for each
 * state (subscriber.c); what goes over the wire is subscription.h's, one call with its
 * events channel.h's, what is void inbox.h's.
 */
#ifndef SLUICE_LIB_SUBSCRIBER_H
#define SLUICE_LIB_SUBSCRIBER_H

#include <stddef.h>
#include <stdint.h>

#include "../sluice.h"
#include "error.h"
#include "inbox.h"
#include "settings.h"

typedef struct SluiceSubscriber SluiceSubscriber;

/* Starts the thread (all signals blocked in it).  settings and inbox outlive it. */
extern int sluice_subscriber_start(const SluiceSettings *settings, SluiceInbox *inbox,
								   SluiceSubscriber **subscriber, SluiceError *error);

/*
 * Sends what is to be sent, half-closes, and waits until the server has confirmed
 * it or the deadline has passed; joins the thread.  False: it was not confirmed.
 */
extern bool sluice_subscriber_stop(SluiceSubscriber *subscriber, int64_t deadline);

/* state, attempts, connections; and the message; from any thread. */
extern void sluice_subscriber_statistics(SluiceSubscriber *subscriber, sluice_consumption *statistics);
extern void sluice_subscriber_message(SluiceSubscriber *subscriber, char *message, size_t message_size);

#endif							/* SLUICE_LIB_SUBSCRIBER_H */
