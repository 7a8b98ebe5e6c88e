/*
 * settings.h
 *		The options of a producer or a consumer, read.
 *
 * options.c makes it from text; its table has the names, ranges and defaults.
 * The strings belong to the sluice_options or to its owner's copy of them.
 */
#ifndef SLUICE_LIB_SETTINGS_H
#define SLUICE_LIB_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../sluice.h"

typedef enum SluiceDurability
{
	SLUICE_DURABILITY_EACH,
	SLUICE_DURABILITY_INTERVAL,
	SLUICE_DURABILITY_NONE
} SluiceDurability;

typedef enum SluiceFull
{
	SLUICE_FULL_BLOCK,
	SLUICE_FULL_FAIL,
	SLUICE_FULL_DROP_OLDEST,
	SLUICE_FULL_DROP_NEWEST
} SluiceFull;

/* As sluice.v1.StartFrom, from 1 on there. */
typedef enum SluiceFrom
{
	SLUICE_FROM_EARLIEST,
	SLUICE_FROM_LATEST,
	SLUICE_FROM_OFFSET,
	SLUICE_FROM_TIME
} SluiceFrom;

/* Who asks for them. */
typedef enum SluiceRole
{
	SLUICE_ROLE_PRODUCER,
	SLUICE_ROLE_CONSUMER
} SluiceRole;

typedef struct SluiceSettings
{
	/* the buffer */
	const char *buffer;			/* "buffer": directory; required */
	const char *stream;			/* "stream": "" = the server's default */
	SluiceDurability durability;	/* "durability": each | interval | none; default interval */
	int64_t		interval;		/* "interval": nanoseconds; 1 ms to 1 h, default 100 ms */
	uint64_t	max_records;	/* "max_records": default 10,000,000 */
	uint64_t	max_bytes;		/* "max_bytes": default 1 GB */
	SluiceFull	full;			/* "full": block | fail | drop_oldest | drop_newest; default block */
	int64_t		block_timeout;	/* "block_timeout": nanoseconds, SLUICE_NEVER for "never" (default) */
	bool		compact;		/* "compact": only the newest unsent record of an entity is kept; default off */
	uint64_t	memory;			/* "memory": bytes of blocks, or of rows that came; 1 MB to 1 GB, default 16 MB */
	bool		rebind;			/* "on_new_stream": hold (default) | continue (P14) */

	/* the subscription */
	const char *subscription;	/* "subscription": "" = ephemeral */
	bool		create;			/* "create": default on */
	SluiceFrom	from;			/* "from": earliest (default) | latest | offset | time */
	int64_t		after_offset;	/* "after_offset": default 0 */
	int64_t		since;			/* "since": microseconds since 1970-01-01 UTC; 0 = none */
	unsigned	guarantee;		/* "guarantee": sluice.v1.Guarantee; default as_is */
	unsigned	encoding;		/* "encoding": sluice.v1.Encoding; default stream */
	uint64_t	max_in_flight;	/* "max_in_flight": default 10,000 */
	uint64_t	max_message;	/* "max_message": bytes; default 64 MB */
	bool		events;			/* "events": default off */
	bool		wants_start;	/* "wants_start": default off */

	/* the connection */
	const char *server;			/* "server": host:port, several by commas; default localhost:50051 */
	bool		tls;			/* "tls": off (default) | on */
	const char *tls_ca;			/* "tls_ca": PEM file; "" = the system's */
	const char *tls_cert;		/* "tls_cert", "tls_key": PEM files */
	const char *tls_key;
	const char *tls_name;		/* "tls_name": expected in the certificate instead of the host's; "" = the host's */
	const char *user;			/* "user", "password": authorization: Basic; "" = none */
	const char *password;
	const char *passfile;		/* "passfile": "" = PGPASSFILE, or ~/.pgpass */
	const char *client;			/* "client": program name for sluice.stat_connections; default the process's */
	int64_t		backoff_first;	/* "backoff_first": default 1 s */
	int64_t		backoff_last;	/* "backoff_last": default 60 s */
	int64_t		connect_timeout;	/* "connect_timeout": default 10 s: until Opened has come */
	int64_t		keepalive_time; /* "keepalive_time": default 10 s */
	int64_t		keepalive_timeout;	/* "keepalive_timeout": default 5 s */
	uint64_t	batch_bytes;	/* "batch_bytes": of a message; default 256 kB */
	uint64_t	window_bytes;	/* "window_bytes": sent and not acknowledged; default 4 MB */
	int64_t		linger;			/* "linger": default 1 ms: how long a batch that is not full waits for more while others are in flight */

	sluice_delivery_callback on_delivery;
	void	   *delivery_argument;
	sluice_log_callback on_log;
	void	   *log_argument;
} SluiceSettings;

/* Reads all options; checks what concerns several of them. */
extern int sluice_options_settings(const sluice_options *options, SluiceRole role, SluiceSettings *settings,
								   char *message, size_t message_size);

/* A copy, and it back. */
extern sluice_options *sluice_options_copy(const sluice_options *options);

#endif							/* SLUICE_LIB_SETTINGS_H */
