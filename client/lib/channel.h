/*
 * channel.h
 *		One call at a time, over gRPC, with its events.
 *
 * The owner opens a call, sends messages one after the other (the next one
 * when the one before was SENT), and reads events until ENDED; then it may open
 * the next call.  All of it happens in the one thread that created the channel;
 * only wake() may come from others.
 */
#ifndef SLUICE_LIB_CHANNEL_H
#define SLUICE_LIB_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "channel_end.h"
#include "endpoints.h"
#include "error.h"
#include "passwords.h"
#include "settings.h"

typedef struct SluiceChannel SluiceChannel;

#define SLUICE_METHOD_PUBLISH "/sluice.v1.SluiceService/Publish"
#define SLUICE_METHOD_SUBSCRIBE "/sluice.v1.SluiceService/Subscribe"
#define SLUICE_METHOD_UNSUBSCRIBE "/sluice.v1.SluiceService/Unsubscribe"

typedef enum SluiceChannelEvent
{
	SLUICE_CHANNEL_TIMEOUT,		/* the deadline passed */
	SLUICE_CHANNEL_WOKEN,		/* sluice_channel_wake() was called */
	SLUICE_CHANNEL_ANSWERED,	/* the server has taken the call: its metadata came */
	SLUICE_CHANNEL_SENT,		/* the next message may be sent */
	SLUICE_CHANNEL_MESSAGE,		/* sluice_channel_message() has it */
	SLUICE_CHANNEL_ENDED,		/* the call is over: sluice_channel_end() tells how */
	SLUICE_CHANNEL_OTHER		/* nothing that the owner needs to know */
} SluiceChannelEvent;

/*
 * In a thread that blocks all signals, for gRPC's threads inherit that.  The
 * settings outlive the channel; method is a constant, max_message the bytes that a message
 * may have which comes.  NULL: out of memory.
 *
 * gRPC's own lines on stderr are off for the process from here on, unless
 * GRPC_VERBOSITY is set in the environment.
 */
extern SluiceChannel *sluice_channel_create(const SluiceSettings *settings, const char *method, int max_message);
extern void sluice_channel_free(SluiceChannel *channel);	/* the call must have ended */

/* A new connection and a call on it; false: there is none, see error. */
extern bool sluice_channel_open(SluiceChannel *channel, const SluiceEndpoint *endpoint, SluicePasswords *passwords,
								SluiceError *error);
extern bool sluice_channel_can_send(const SluiceChannel *channel);

/* The bytes are copied.  false: out of memory. */
extern bool sluice_channel_send(SluiceChannel *channel, const uint8_t *bytes, size_t length);

/*
 * While it is held no message is read, and what the peer sends waits at the peer, but
 * for the one that was asked for before.  A new call is not held.
 */
extern void sluice_channel_hold(SluiceChannel *channel, bool hold);

/* Half-close. */
extern void sluice_channel_finish(SluiceChannel *channel);
extern void sluice_channel_cancel(SluiceChannel *channel);

/* deadline: as sluice_clock_now(); 0 = only what is there, SLUICE_NEVER = wait. */
extern SluiceChannelEvent sluice_channel_next(SluiceChannel *channel, int64_t deadline);

/* After MESSAGE: its bytes, until the next call of sluice_channel_next(). */
extern const uint8_t *sluice_channel_message(const SluiceChannel *channel, size_t *length);

/* After ENDED, until the next open. */
extern const SluiceChannelEnd *sluice_channel_end(const SluiceChannel *channel);

/* From any thread, while the channel exists.  Several may become one event. */
extern void sluice_channel_wake(SluiceChannel *channel);

#endif							/* SLUICE_LIB_CHANNEL_H */
