/*
 * connection.h
 *		One call of IngestData at a time, over gRPC.
 *
 * The owner opens a call, sends messages one after the other (the next one
 * when the one before was SENT), half-closes it with finish() when nothing is
 * left, and reads events until ENDED; then it may open the next call.  All of
 * it happens in one thread; only wake() may come from others.
 */
#ifndef SLUICE_CONNECTION_H
#define SLUICE_CONNECTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "call_end.h"
#include "lib/attempts.h"

typedef struct SluiceConnection SluiceConnection;

typedef enum SluiceConnectionEvent
{
	SLUICE_CONNECTION_TIMEOUT,	/* the deadline passed */
	SLUICE_CONNECTION_WOKEN,	/* sluice_connection_wake() was called */
	SLUICE_CONNECTION_SENT,		/* the next message may be sent */
	SLUICE_CONNECTION_ANSWER,	/* sluice_connection_answer() has it */
	SLUICE_CONNECTION_ENDED,	/* the call is over: sluice_connection_end() tells how */
	SLUICE_CONNECTION_OTHER		/* nothing that the owner needs to know */
} SluiceConnectionEvent;

/*
 * attempts has the settings (server, TLS, role, stream), and outlives the connection.  There is at
 * most one connection in a process.
 */
extern SluiceConnection *sluice_connection_create(SluiceAttempts *attempts);
extern void sluice_connection_free(SluiceConnection *connection);	/* the call must have ended */

/* false: there is no call, see error. */
extern bool sluice_connection_open(SluiceConnection *connection, SluiceError *error);
extern bool sluice_connection_can_send(const SluiceConnection *connection);

/*
 * Send one message.  more: the owner will certainly send another one as soon
 * as this one is SENT, so the bytes may stay in the buffer until then.
 */
extern void sluice_connection_send(SluiceConnection *connection, const uint8_t *bytes, size_t length, bool more);
extern void sluice_connection_finish(SluiceConnection *connection);
extern void sluice_connection_cancel(SluiceConnection *connection);

/* deadline: as sluice_clock_now(); 0 = only what is there, SLUICE_NEVER = wait. */
extern SluiceConnectionEvent sluice_connection_next(SluiceConnection *connection, int64_t deadline);

/* After ANSWER: the message, until the next call of sluice_connection_next(). */
extern const uint8_t *sluice_connection_answer(const SluiceConnection *connection, size_t *length);
extern const SluiceCallEnd *sluice_connection_end(const SluiceConnection *connection);

/* From any thread, while the connection exists.  Several may become one event. */
extern void sluice_connection_wake(SluiceConnection *connection);

#endif							/* SLUICE_CONNECTION_H */
