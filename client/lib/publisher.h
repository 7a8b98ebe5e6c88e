/*
 * publisher.h
 *		The thread that brings the buffer's records to the server.
 *
 * It owns everything of gRPC: connects to one endpoint after the other, opens
 * a Publish call, sends batches within a window, takes acknowledgements,
 * reports the backlog, and connects again with backoff and full jitter when
 * the call ends.  One function for each state (publisher.c); what goes over
 * the wire is publication.h's, one call with its events channel.h's.
 */
#ifndef SLUICE_LIB_PUBLISHER_H
#define SLUICE_LIB_PUBLISHER_H

#include <stddef.h>
#include <stdint.h>

#include "../sluice.h"
#include "buffer.h"
#include "settings.h"

typedef struct SluicePublisher SluicePublisher;

/* Starts the thread (all signals blocked in it).  settings and buffer outlive it. */
extern int sluice_publisher_start(const SluiceSettings *settings, SluiceBuffer *buffer,
								  SluicePublisher **publisher, SluiceError *error);

/* Ends the call (half-close where that is quick, else cancel), joins the thread. */
extern void sluice_publisher_stop(SluicePublisher *publisher);

/* state, attempts, connections; and the message; from any thread. */
extern void sluice_publisher_statistics(SluicePublisher *publisher, sluice_statistics *statistics);
extern void sluice_publisher_message(SluicePublisher *publisher, char *message, size_t message_size);

#endif							/* SLUICE_LIB_PUBLISHER_H */
