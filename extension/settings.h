/*
 * settings.h
 *		The settings of pg_sluice, all under the prefix sluice.
 */
#ifndef SLUICE_SETTINGS_H
#define SLUICE_SETTINGS_H

#include "postgres.h"

extern PGDLLEXPORT char *sluice_database;			/* SIGHUP */
extern PGDLLEXPORT char *sluice_listen_addresses;	/* SIGHUP: the workers restart */
extern PGDLLEXPORT int sluice_port;					/* SIGHUP: the workers restart */
extern PGDLLEXPORT int sluice_workers;				/* SIGHUP */
extern PGDLLEXPORT int sluice_batch_records;		/* SIGHUP */
extern PGDLLEXPORT int sluice_batch_bytes;			/* SIGHUP, kB */
extern PGDLLEXPORT int sluice_batch_delay;			/* SIGHUP, ms */
extern PGDLLEXPORT int sluice_lock_timeout;			/* SIGHUP, ms */
extern PGDLLEXPORT int sluice_statement_timeout;	/* SIGHUP, ms */
extern PGDLLEXPORT int sluice_drain_timeout;		/* SIGHUP, ms */
extern PGDLLEXPORT int sluice_max_record_size;		/* SIGHUP, kB: the workers restart */
extern PGDLLEXPORT int sluice_worker_memory;		/* SIGHUP, kB: the workers restart */
extern PGDLLEXPORT int sluice_max_calls;			/* SIGHUP: the workers restart */
extern PGDLLEXPORT int sluice_max_attempts;			/* SIGHUP */
extern PGDLLEXPORT int sluice_keepalive_time;		/* SIGHUP, ms: the workers restart */
extern PGDLLEXPORT int sluice_keepalive_timeout;	/* SIGHUP, ms: the workers restart */
extern PGDLLEXPORT int sluice_stream_rate;			/* SIGHUP, records a second; 0: no limit */
extern PGDLLEXPORT int sluice_stream_burst;			/* SIGHUP, records; 0: a second's worth */
extern PGDLLEXPORT int sluice_address_rate;			/* SIGHUP, as of streams */
extern PGDLLEXPORT int sluice_address_burst;		/* SIGHUP */
extern PGDLLEXPORT int sluice_max_connection_age;	/* SIGHUP, s: the workers restart; 0: no limit */
extern PGDLLEXPORT int sluice_penalty_time;	/* SIGHUP, ms: the workers restart; 0: nobody is shut out */
extern PGDLLEXPORT int sluice_max_connection_idle;	/* SIGHUP, s: the workers restart; 0: no limit */
extern PGDLLEXPORT int sluice_max_calls_per_connection; /* SIGHUP: the workers restart */

/* The TLS of the gRPC port: transport.h tells what they come to. */
extern int	sluice_ssl;							/* SIGHUP: the workers restart; SluiceSsl */
extern int	sluice_ssl_min_protocol_version;	/* SIGHUP: the workers restart; SluiceProtocol */
extern char *sluice_ssl_cert_file;				/* SIGHUP */
extern char *sluice_ssl_key_file;				/* SIGHUP */
extern char *sluice_ssl_ca_file;				/* SIGHUP: where there was none before or is none now, the workers restart */
extern char *sluice_ssl_ciphers;				/* SIGHUP: the workers restart */
extern bool sluice_allow_plaintext_from_network;	/* SIGHUP: the workers restart */

typedef enum SluiceSsl
{
	SLUICE_SSL_SERVER,
	SLUICE_SSL_ON,
	SLUICE_SSL_OFF
} SluiceSsl;

typedef enum SluiceProtocol
{
	SLUICE_PROTOCOL_SERVER,
	SLUICE_PROTOCOL_TLS12,
	SLUICE_PROTOCOL_TLS13
} SluiceProtocol;

#define SLUICE_MAX_WORKERS 32

extern void sluice_settings_define(void);

#endif							/* SLUICE_SETTINGS_H */
