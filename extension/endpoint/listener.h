/*
 * listener.h
 *		The sockets that the endpoint listens on.
 *
 * A listener is one grpc_server with all addresses.  There is more than one
 * only while an old one goes: gRPC never accepts again once accept4 has failed
 * for lack of a file descriptor, so that the listener is replaced then.  Calls
 * of the old one run on.
 */
#ifndef SLUICE_LISTENER_H
#define SLUICE_LISTENER_H

#ifdef POSTGRES_H
#error "the gRPC side does not compile where postgres.h was included"
#endif

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "call.h"
#include "credentials.h"
#include "network.h"

#define SLUICE_LISTENER_ADDRESSES_MAX 16

typedef struct SluiceListener
{
	TAILQ_ENTRY(SluiceListener) link;
	struct SluiceNetwork *network;
	grpc_server *server;
	SluiceRequest request;		/* the next call */
	SluiceTag	request_tag;
	SluiceTag	shutdown_tag;
	bool		requesting;
	bool		going;			/* shutdown was asked for */
	bool		gone;			/* shutdown is complete */
} SluiceListener;

/* One entry of listen_addresses. */
typedef struct SluiceAddress
{
	char		text[256];		/* as the user wrote it, for messages */
	char		target[300];	/* as gRPC wants it, without the port */
	bool		is_unix;
	bool		is_local;		/* loopback or unix: no other machine can reach it */
	SluiceCredentialsReader reader; /* with TLS */
	bool		bound;			/* by the first listener: those that replace it must bind it too */
	int			lock_fd;		/* unix: keeps others from stealing the path; -1 for none */
} SluiceAddress;

typedef struct SluiceListenerSet
{
	TAILQ_HEAD(SluiceListenerList, SluiceListener) listeners;
	SluiceAddress addresses[SLUICE_LISTENER_ADDRESSES_MAX];
	int			naddresses;
	bool		recycling;		/* the newest listener is dead and not yet replaced */
	int64_t		retry_at;		/* monotonic microseconds */
} SluiceListenerSet;

/* Bytes of a call that is not read that gRPC takes in. */
extern size_t sluice_listener_lookahead(const SluiceNetworkSettings *settings);

/* Main thread, before the network thread starts: bind and listen. */
extern bool sluice_listener_open_first(struct SluiceNetwork *network, char *error, size_t error_size);

/* Network thread: replace a dead listener.  The time until the next look in milliseconds, -1 for none needed. */
extern int	sluice_listener_keep_alive(struct SluiceNetwork *network);

/* Stop accepting and say GOAWAY; then, for stop: cut off what is left. */
extern void sluice_listener_shut_all(struct SluiceNetwork *network);
extern void sluice_listener_cancel_all(struct SluiceNetwork *network);
extern bool sluice_listener_all_gone(const struct SluiceNetwork *network);

/* After the queue was shut down, or where nothing was started. */
extern void sluice_listener_release_addresses(struct SluiceNetwork *network);

#endif							/* SLUICE_LISTENER_H */
