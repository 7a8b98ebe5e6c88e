/*
 * settings.c
 *		The settings of pg_sluice, all under the prefix sluice.
 *
 * All of them can be changed by a reload.  Those that the network thread is
 * started with take effect because the launcher then replaces the workers.
 */
#include "postgres.h"

#include "settings.h"

#include <limits.h>

#include "bucket.h"
#include "utils/guc.h"

char	   *sluice_database;
char	   *sluice_listen_addresses;
int			sluice_port;
int			sluice_workers;
int			sluice_batch_records;
int			sluice_batch_bytes;
int			sluice_batch_delay;
int			sluice_lock_timeout;
int			sluice_statement_timeout;
int			sluice_drain_timeout;
int			sluice_max_record_size;
int			sluice_worker_memory;
int			sluice_max_calls;
int			sluice_max_attempts;
int			sluice_keepalive_time;
int			sluice_keepalive_timeout;
int			sluice_stream_rate;
int			sluice_stream_burst;
int			sluice_address_rate;
int			sluice_address_burst;
int			sluice_max_connection_age;
int			sluice_max_connection_idle;
int			sluice_penalty_time;
int			sluice_max_calls_per_connection;
int			sluice_ssl;
int			sluice_ssl_min_protocol_version;
char	   *sluice_ssl_cert_file;
char	   *sluice_ssl_key_file;
char	   *sluice_ssl_ca_file;
char	   *sluice_ssl_ciphers;
bool		sluice_allow_plaintext_from_network;

/* As the server's own booleans, and "server". */
static const struct config_enum_entry ssl_options[] = {
	{"server", SLUICE_SSL_SERVER, false},
	{"on", SLUICE_SSL_ON, false},
	{"off", SLUICE_SSL_OFF, false},
	{"true", SLUICE_SSL_ON, true},
	{"false", SLUICE_SSL_OFF, true},
	{"yes", SLUICE_SSL_ON, true},
	{"no", SLUICE_SSL_OFF, true},
	{"1", SLUICE_SSL_ON, true},
	{"0", SLUICE_SSL_OFF, true},
	{NULL, 0, false}
};

/* gRPC serves no others. */
static const struct config_enum_entry protocol_options[] = {
	{"server", SLUICE_PROTOCOL_SERVER, false},
	{"TLSv1.2", SLUICE_PROTOCOL_TLS12, false},
	{"TLSv1.3", SLUICE_PROTOCOL_TLS13, false},
	{NULL, 0, false}
};

typedef struct TextSetting
{
	const char *name;
	const char *description;
	const char *detail;			/* or NULL */
	char	  **variable;
	const char *initial;
	int			flags;
} TextSetting;

static const TextSetting text_settings[] = {
	{"sluice.database", "Sets the database that the workers store records in.",
		NULL,
	&sluice_database, "postgres", 0},
	{"sluice.listen_addresses", "Sets the host names, IP addresses or Unix sockets (\"unix:/path\") that the workers listen on.",
		NULL,
	&sluice_listen_addresses, "localhost", GUC_LIST_INPUT},
	{"sluice.ssl_cert_file", "Location of the certificate file of the gRPC port.",
		"An empty string means ssl_cert_file.",
	&sluice_ssl_cert_file, "", 0},
	{"sluice.ssl_key_file", "Location of the private key file of the gRPC port.",
		"An empty string means ssl_key_file.",
	&sluice_ssl_key_file, "", 0},
	{"sluice.ssl_ca_file", "Location of the file with the certificate authorities of clients of the gRPC port.",
		"An empty string means ssl_ca_file.  Without any, clients are not asked for certificates.",
	&sluice_ssl_ca_file, "", 0},
	{"sluice.ssl_ciphers", "Sets the list of allowed ciphers of the gRPC port, up to TLS 1.2.",
		"An empty string means ssl_ciphers.",
	&sluice_ssl_ciphers, "", 0},
};

typedef struct IntegerSetting
{
	const char *name;
	const char *description;
	const char *detail;			/* or NULL */
	int		   *variable;
	int			initial;
	int			min;
	int			max;
	int			flags;			/* unit */
} IntegerSetting;

static const IntegerSetting integer_settings[] = {
	{"sluice.port", "Sets the TCP port that the workers listen on for gRPC.",
		"0 lets the system choose one; sluice.stat_workers shows it.",
	&sluice_port, 50051, 0, 65535, 0},
	{"sluice.workers", "Sets the number of workers that serve the gRPC port.",
		"0 starts none.",
	&sluice_workers, 1, 0, SLUICE_MAX_WORKERS, 0},
	{"sluice.batch_records", "Sets how many records a worker stores in one transaction at most.",
		NULL,
	&sluice_batch_records, 10000, 1, 1000000, 0},
	{"sluice.batch_bytes", "Sets how many bytes of payload a worker stores in one transaction at most.",
		"A single record that is larger is stored in a transaction of its own.",
	&sluice_batch_bytes, 16 * 1024, 1, 1024 * 1024, GUC_UNIT_KB},
	{"sluice.batch_delay", "Sets how long a worker waits for more records before it stores those that have come.",
		"It waits only while records come in numbers, never for a sender that waits for each answer.",
	&sluice_batch_delay, 2, 0, 1000, GUC_UNIT_MS},
	{"sluice.lock_timeout", "Sets how long storing a batch may wait for a lock.",
		"Applies to what the target's triggers and foreign keys lock; a target that is locked itself is never waited for.",
	&sluice_lock_timeout, 100, 1, INT_MAX, GUC_UNIT_MS},
	{"sluice.statement_timeout", "Sets how long storing a batch in one stream may take.",
		"0 disables the timeout.",
	&sluice_statement_timeout, 30 * 1000, 0, INT_MAX, GUC_UNIT_MS},
	{"sluice.drain_timeout", "Sets how long a worker that is told to stop may go on to store what has arrived.",
		"DROP DATABASE ... WITH (FORCE) waits 5 seconds for a worker and then fails.",
	&sluice_drain_timeout, 3000, 1, 60 * 1000, GUC_UNIT_MS},
	{"sluice.max_record_size", "Sets the size of the largest message that a sender may send.",
		NULL,
	&sluice_max_record_size, 1024, 1, 256 * 1024, GUC_UNIT_KB},
	{"sluice.worker_memory", "Sets how much memory the records of all calls of a worker may take.",
		"Beyond it the calls are held by flow control, and new ones are refused. "
		"For messages on their way gRPC may take as much again, 32 MB, and 16 kB for each of sluice.max_calls.",
	&sluice_worker_memory, 64 * 1024, 1024, MAX_KILOBYTES, GUC_UNIT_KB},
	{"sluice.max_calls", "Sets how many calls a worker serves at a time.",
		NULL,
	&sluice_max_calls, 2000, 1, 1000000, 0},
	{"sluice.max_attempts", "Sets how often a record is tried that fails alone while its neighbors are stored.",
		"Then it becomes a dead letter.",
	&sluice_max_attempts, 10, 1, INT_MAX, 0},
	{"sluice.keepalive_time", "Sets the time between two keepalive pings to a silent client.",
		NULL,
	&sluice_keepalive_time, 10 * 1000, 1000, INT_MAX, GUC_UNIT_MS},
	{"sluice.keepalive_timeout", "Sets how long a client may take to answer a keepalive ping.",
		NULL,
	&sluice_keepalive_timeout, 5000, 100, INT_MAX, GUC_UNIT_MS},
	{"sluice.stream_rate", "Sets how many records a second all senders of a stream may send together.",
		"0 sets no limit. Beyond it calls are held. A stream may have a rate of its own.",
	&sluice_stream_rate, 0, 0, SLUICE_BUCKET_RATE_MAX, 0},
	{"sluice.stream_burst", "Sets how many records of a stream may come at once, after a time with fewer.",
		"0 sets as many as in a second.",
	&sluice_stream_burst, 0, 0, INT_MAX, 0},
	{"sluice.address_rate", "Sets how many records a second the clients at one address may send together.",
		"0 sets no limit. Beyond it calls are held.",
	&sluice_address_rate, 0, 0, SLUICE_BUCKET_RATE_MAX, 0},
	{"sluice.address_burst", "Sets how many records of one address may come at once, after a time with fewer.",
		"0 sets as many as in a second.",
	&sluice_address_burst, 0, 0, INT_MAX, 0},
	{"sluice.max_connection_age", "Sets how long a connection and its calls last before the client is asked to connect again.",
		"0 sets no limit. With several workers, clients so spread over all of them.",
	&sluice_max_connection_age, 0, 0, INT_MAX / 2000, GUC_UNIT_S},
	{"sluice.max_connection_idle", "Sets how long a connection without calls is kept.",
		"0 keeps it for ever.",
	&sluice_max_connection_idle, 10 * 60, 0, INT_MAX / 1000, GUC_UNIT_S},
	{"sluice.penalty_time", "Sets how long clients at an address are shut out that flood a worker.",
		"It applies while a worker is short of time, to clients that were not let in. Repeated floods double it, up to 32 times. 0 shuts out nobody.",
	&sluice_penalty_time, 10 * 1000, 0, 3600 * 1000, GUC_UNIT_MS},
	{"sluice.max_calls_per_connection", "Sets how many calls a client may have open on one connection.",
		"More calls wait in the client.",
	&sluice_max_calls_per_connection, 1000, 1, 1000000, 0},
};

void
sluice_settings_define(void)
{
	for (int i = 0; i < lengthof(text_settings); i++)
	{
		const TextSetting *setting = &text_settings[i];

		DefineCustomStringVariable(setting->name, setting->description, setting->detail,
								   setting->variable, setting->initial,
								   PGC_SIGHUP, setting->flags, NULL, NULL, NULL);
	}
	DefineCustomEnumVariable("sluice.ssl", "Enables TLS on the gRPC port.",
							 "\"server\" means as the setting ssl has it.",
							 &sluice_ssl, SLUICE_SSL_SERVER, ssl_options,
							 PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomEnumVariable("sluice.ssl_min_protocol_version",
							 "Sets the minimum TLS protocol version of the gRPC port.",
							 "\"server\" means ssl_min_protocol_version, but nothing below TLSv1.2 is ever served.",
							 &sluice_ssl_min_protocol_version, SLUICE_PROTOCOL_SERVER, protocol_options,
							 PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable("sluice.allow_plaintext_from_network",
							 "Lets clients reach the gRPC port over the network without TLS.",
							 "Otherwise, without TLS, the workers listen on loopback addresses and Unix sockets only.",
							 &sluice_allow_plaintext_from_network, false,
							 PGC_SIGHUP, 0, NULL, NULL, NULL);
	for (int i = 0; i < lengthof(integer_settings); i++)
	{
		const IntegerSetting *setting = &integer_settings[i];

		DefineCustomIntVariable(setting->name, setting->description, setting->detail,
								setting->variable, setting->initial,
								setting->min, setting->max,
								PGC_SIGHUP, setting->flags, NULL, NULL, NULL);
	}
	MarkGUCPrefixReserved("sluice");
}
