/*
 * network.h
 *		The network thread, as the main thread sees it.
 *
 * Plain C: neither PostgreSQL nor gRPC shows here.  All functions are the main
 * thread's; those that call into gRPC block all signals around it, because
 * gRPC may start threads at any time and these inherit the caller's mask.
 */
#ifndef SLUICE_NETWORK_H
#define SLUICE_NETWORK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "connection.h"
#include "credentials.h"
#include "handover.h"

typedef struct SluiceNetworkSettings
{
	const char *listen_addresses;	/* comma-separated: "localhost", "*", "::1", "unix:/path" */
	int			port;				/* 0: any free one (tests) */
	bool		reuse_port;			/* several workers share the port */
	size_t		max_record_size;	/* bytes of one message */
	size_t		memory;				/* bytes of records in flight, all calls together */
	size_t		max_in_flight;		/* records in flight, all calls together; power of two */
	int			max_calls;			/* open calls of this worker */
	int			keepalive_time_ms;
	int			keepalive_timeout_ms;
	SluiceCredentials *credentials; /* TLS on every TCP address; NULL: none.  They are the network's from now on, also where it does not start */
	bool		allow_plaintext;	/* without TLS: on more than loopback addresses */
	int			max_calls_per_connection;
	int			max_connection_age_ms;	/* 0: no limit */
	int			max_connection_idle_ms; /* 0: no limit */
	int			penalty_ms;			/* that who floods it is shut out for; 0: nobody is */
	int			opening_timeout_ms; /* for the first message of a call, and for a handshake */
	int			stall_timeout_ms;	/* for a client that does not read its answers */
	SluiceConnectionSlot *connections;	/* SLUICE_CONNECTIONS, where calls are shown; or NULL */
} SluiceNetworkSettings;

typedef struct SluiceNetwork SluiceNetwork;

/* What the network thread tells of itself.  All monotonic but those marked now. */
typedef struct SluiceNetworkCounters
{
	uint64_t	calls_now;
	uint64_t	calls_total;
	uint64_t	records_received;
	uint64_t	bytes_now;			/* payload memory in flight */
	uint64_t	records_now;		/* in flight */
	uint64_t	refused_calls;		/* over max_calls or memory */
	uint64_t	listener_restarts;	/* after the process had run out of file descriptors */
	uint64_t	penalties;			/* networks that were shut out */
	uint64_t	cpu_us;				/* CPU time of the network thread */
} SluiceNetworkCounters;

/* Binds, listens and starts the thread.  NULL with a message in error: "could not bind ...". */
extern SluiceNetwork *sluice_network_start(const SluiceNetworkSettings *settings,
										   char *error, size_t error_size);

/* The port that was bound. */
extern int	sluice_network_port(const SluiceNetwork *network);

/* Readable when arrivals have come while the main thread slept.  Clear it with sluice_network_clear_wakeup. */
extern int	sluice_network_wakeup_fd(const SluiceNetwork *network);
extern void sluice_network_clear_wakeup(SluiceNetwork *network);

extern SluiceRing *sluice_network_arrivals(SluiceNetwork *network);

/* Hand records with their verdicts back; wakes the network thread once, where it sleeps. */
extern void sluice_network_deliver(SluiceNetwork *network, SluiceRecord **records, size_t n);

/*
 * Health as grpc.health.v1 tells it, for "" and "ingestion.IngestionService".
 * True from the start; false is pushed to watchers.
 */
extern void sluice_network_set_serving(SluiceNetwork *network, bool serving);

/*
 * Begin to drain: NOT_SERVING, no new calls, GOAWAY, nothing more is read from
 * calls; records already in the arrivals queue are still the main thread's to
 * settle and their verdicts are sent.  A call whose last verdict went out ends
 * with UNAVAILABLE and the given message.
 */
extern void sluice_network_drain(SluiceNetwork *network, const char *message);

/* Have each open call ask for a SLUICE_CHECK of its client. */
extern void sluice_network_check(SluiceNetwork *network);

/* Are all calls gone?  (The main thread polls this until its drain timeout.) */
extern bool sluice_network_drained(const SluiceNetwork *network);

/* Cancel what is left, join the thread, free everything.  Bounded: returns within a second or so. */
extern void sluice_network_stop(SluiceNetwork *network);

/* One log line of the network thread or of gRPC, oldest first; false: none.  level: 'W' warning, 'L' log, 'D' debug. */
extern bool sluice_network_log(SluiceNetwork *network, char *level, char *line, size_t line_size);

extern void sluice_network_counters(const SluiceNetwork *network, SluiceNetworkCounters *counters);

#endif							/* SLUICE_NETWORK_H */
