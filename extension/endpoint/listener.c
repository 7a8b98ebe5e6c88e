/*
 * listener.c
 *		The sockets that the endpoint listens on.
 *
 * Arguments of the server, and why:
 *
 *	bdp_probe=0 and lookahead_bytes	what gRPC takes in of a call that is not
 *			read is bounded; with its own estimate it grows to 20 MB a call
 *	max_receive_message_length		a longer message ends its call with
 *			RESOURCE_EXHAUSTED and nothing of it is stored
 *	no compression					a message of 1 MB unpacks to 1 GB, before gRPC looks
 *			at its length and outside the quota: clients that compress are refused
 *			with UNIMPLEMENTED, as gRPC's compression protocol has it
 *	max_concurrent_streams			max_calls_per_connection; where max_calls is less, a
 *			little over that, so that one client with a call too many is refused and
 *			does not wait for ever
 *	max_metadata_size				of a request's headers, gRPC's own default
 *	max_connection_age				less than a call's (lifetime.h), so that what a client
 *			opens again goes to a new connection; gRPC cuts off what has not
 *			ended long after that
 *	max_connection_idle				a connection without calls
 *	keepalive						a dead client is noticed, and clients may ping
 *	max_ping_strikes				two pings too early are forgiven, then the client goes
 *	server_handshake_timeout		a connection that says nothing is dropped
 *	resource quota					as much as settings.memory again for what gRPC
 *			holds: one half for the windows of all calls, the other for messages
 *			being put together.  gRPC reads a message to its end before it finds it
 *			too long, so this is what stops one of 4 GB; over the quota it cuts off
 *			calls (RESOURCE_EXHAUSTED), in the worst case also one that is innocent
 */
#include "listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <grpc/grpc_security.h>

#include "envelope.h"
#include "log.h"
#include "thread.h"

#define LOOKAHEAD_MIN (16 * 1024)
#define LOOKAHEAD_MAX (256 * 1024)
#define HANDSHAKE_TIMEOUT_MS 10000
#define MIN_PING_INTERVAL_MS 2000
#define MAX_PING_STRIKES 2
#define MAX_METADATA_SIZE 8192

/* Beyond the age of any call that began before the connection was told to go. */
#define AGE_GRACE_MS 60000
#define READ_CHUNK (32 * 1024)

/* gRPC works off all that it has read before it can be stopped: with its own 4 MB, tens of thousands of calls. */
#define READ_CHUNK_MAX (128 * 1024)

/* Of gRPC's own: connections and answers on their way; a call. */
#define QUOTA_BASE ((size_t) 32 * 1024 * 1024)
#define QUOTA_CALL ((size_t) 16 * 1024)

#define RETRY_MS 100

/* A listener is replaced when this many descriptors can be had again. */
#define SPARE_DESCRIPTORS 8

#define MAX_ARGS 24

static void
add_integer(grpc_channel_args *args, const char *key, size_t value)
{
	grpc_arg   *arg = &args->args[args->num_args++];

	arg->type = GRPC_ARG_INTEGER;
	arg->key = (char *) key;
	arg->value.integer = value > INT32_MAX ? INT32_MAX : (int) value;
}

size_t
sluice_listener_lookahead(const SluiceNetworkSettings *settings)
{
	size_t		bytes = settings->memory / 2 / (size_t) (settings->max_calls > 0 ? settings->max_calls : 1);

	return bytes < LOOKAHEAD_MIN ? LOOKAHEAD_MIN : bytes > LOOKAHEAD_MAX ? LOOKAHEAD_MAX : bytes;
}

static size_t
smaller(int a, int b)
{
	return (size_t) (a < b ? a : b);
}

static void
add_lifetimes(grpc_channel_args *args, const SluiceNetworkSettings *settings)
{
	if (settings->max_connection_age_ms > 0)
	{
		size_t		age = (size_t) settings->max_connection_age_ms;

		/* gRPC makes it up to a tenth longer, a call ends up to a tenth earlier. */
		add_integer(args, GRPC_ARG_MAX_CONNECTION_AGE_MS, age / 5 * 4);
		add_integer(args, GRPC_ARG_MAX_CONNECTION_AGE_GRACE_MS, age / 5 * 6 + AGE_GRACE_MS);
	}
	if (settings->max_connection_idle_ms > 0)
		add_integer(args, GRPC_ARG_MAX_CONNECTION_IDLE_MS, (size_t) settings->max_connection_idle_ms);
	add_integer(args, GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, smaller(settings->opening_timeout_ms, HANDSHAKE_TIMEOUT_MS));
}

static grpc_server *
create_server(SluiceNetwork *network)
{
	const SluiceNetworkSettings *settings = &network->settings;
	grpc_arg	list[MAX_ARGS];
	grpc_channel_args args = {0, list};
	grpc_resource_quota *quota = grpc_resource_quota_create("sluice");
	grpc_server *server;

	add_integer(&args, GRPC_ARG_ALLOW_REUSEPORT, settings->reuse_port);
	add_integer(&args, GRPC_ARG_HTTP2_BDP_PROBE, 0);
	add_integer(&args, GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, sluice_listener_lookahead(settings));
	add_integer(&args, GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH,
				settings->max_record_size + SLUICE_KEY_LENGTH_MAX + SLUICE_ENVELOPE_SLACK);
	add_integer(&args, GRPC_COMPRESSION_CHANNEL_ENABLED_ALGORITHMS_BITSET, 1U << GRPC_COMPRESS_NONE);
	add_integer(&args, GRPC_ARG_ENABLE_PER_MESSAGE_DECOMPRESSION, 0);
	add_integer(&args, GRPC_ARG_MAX_CONCURRENT_STREAMS, smaller(settings->max_calls + 100, settings->max_calls_per_connection));
	add_integer(&args, GRPC_ARG_MAX_METADATA_SIZE, MAX_METADATA_SIZE);
	add_integer(&args, GRPC_ARG_KEEPALIVE_TIME_MS, (size_t) settings->keepalive_time_ms);
	add_integer(&args, GRPC_ARG_KEEPALIVE_TIMEOUT_MS, (size_t) settings->keepalive_timeout_ms);
	add_integer(&args, GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
	add_integer(&args, GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, MIN_PING_INTERVAL_MS);
	add_integer(&args, GRPC_ARG_HTTP2_MAX_PING_STRIKES, MAX_PING_STRIKES);
	add_lifetimes(&args, settings);
	add_integer(&args, "grpc.experimental.tcp_read_chunk_size", READ_CHUNK);
	add_integer(&args, "grpc.experimental.tcp_max_read_chunk_size", READ_CHUNK_MAX);

	grpc_resource_quota_resize(quota, QUOTA_BASE + settings->memory + (size_t) settings->max_calls * QUOTA_CALL);
	list[args.num_args].type = GRPC_ARG_POINTER;
	list[args.num_args].key = (char *) GRPC_ARG_RESOURCE_QUOTA;
	list[args.num_args].value.pointer.p = quota;
	list[args.num_args].value.pointer.vtable = grpc_resource_quota_arg_vtable();
	args.num_args++;

	server = grpc_server_create(&args, NULL);
	grpc_resource_quota_unref(quota);
	grpc_server_register_completion_queue(server, network->queue, NULL);
	return server;
}

static void
free_if_gone(SluiceListener *listener)
{
	if (!listener->gone || listener->requesting)
		return;
	TAILQ_REMOVE(&listener->network->listeners.listeners, listener, link);
	free(listener);
}

static void
request_call(SluiceListener *listener)
{
	SluiceRequest *request = &listener->request;
	grpc_call_error error;

	request->grpc = NULL;
	grpc_call_details_init(&request->details);
	grpc_metadata_array_init(&request->metadata);
	error = grpc_server_request_call(listener->server, &request->grpc, &request->details,
									 &request->metadata, listener->network->queue,
									 listener->network->queue, &listener->request_tag);
	listener->requesting = error == GRPC_CALL_OK;
	if (!listener->requesting)
		sluice_log_put('W', "could not ask gRPC for the next call: %s", grpc_call_error_to_string(error));
}

static void
on_request(void *owner, bool success)
{
	SluiceListener *listener = owner;
	SluiceRequest request = listener->request;

	listener->requesting = false;
	if (success)
	{
		if (!listener->going)
			request_call(listener);
		sluice_call_accept(listener->network, &request);
	}
	else
	{
		grpc_call_details_destroy(&request.details);
		grpc_metadata_array_destroy(&request.metadata);
	}
	free_if_gone(listener);
}

/* All connections are gone. */
static void
on_shutdown(void *owner, bool success)
{
	SluiceListener *listener = owner;

	(void) success;
	grpc_server_destroy(listener->server);
	listener->server = NULL;
	listener->gone = true;
	free_if_gone(listener);
}

static void
shut(SluiceListener *listener)
{
	if (listener->going)
		return;
	listener->going = true;
	grpc_server_shutdown_and_notify(listener->server, listener->network->queue, &listener->shutdown_tag);
}

static SluiceListener *
new_listener(SluiceNetwork *network)
{
	SluiceListener *listener = calloc(1, sizeof(*listener));

	if (listener == NULL)
		return NULL;
	listener->network = network;
	listener->request_tag = (SluiceTag) {on_request, listener};
	listener->shutdown_tag = (SluiceTag) {on_shutdown, listener};
	listener->server = create_server(network);
	TAILQ_INSERT_HEAD(&network->listeners.listeners, listener, link);
	return listener;
}

/* The port that was bound, 1 for a unix socket; 0: failed. */
static int
bind_address(SluiceListener *listener, SluiceAddress *address, int port)
{
	SluiceCredentials *tls = listener->network->settings.credentials;
	grpc_server_credentials *credentials;
	char		target[320];
	int			bound;

	if (address->is_unix)
		snprintf(target, sizeof(target), "%s", address->target);
	else
		snprintf(target, sizeof(target), "%s:%d", address->target, port);
	if (tls != NULL && !address->is_unix)
		credentials = sluice_credentials_listen(&address->reader, tls);
	else
		credentials = grpc_insecure_server_credentials_create();
	bound = grpc_server_add_http2_port(listener->server, target, credentials);
	grpc_server_credentials_release(credentials);
	return bound;
}

static void
start_listening(SluiceListener *listener)
{
	grpc_server_start(listener->server);
	request_call(listener);
}

/* Addresses. */

/*
 * gRPC takes the path of a unix socket away from whoever listens there, so a
 * lock file decides who may.  The inode is compared because the holder before
 * us removes the file when it goes.
 */
static bool
lock_path(SluiceAddress *address)
{
	char		path[310];

	snprintf(path, sizeof(path), "%s.lock", address->target + strlen("unix:"));
	for (int tries = 0; tries < 10; tries++)
	{
		struct stat held;
		struct stat there;
		int			fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

		if (fd < 0)
			return false;
		if (flock(fd, LOCK_EX | LOCK_NB) != 0)
		{
			int			saved = errno;

			close(fd);
			errno = saved;
			return false;
		}
		if (fstat(fd, &held) == 0 && stat(path, &there) == 0 &&
			held.st_ino == there.st_ino && held.st_dev == there.st_dev)
		{
			address->lock_fd = fd;
			return true;
		}
		close(fd);
	}
	errno = EAGAIN;
	return false;
}

/*
 * What cannot be reached from other machines.  Of names only "localhost": what the
 * others stand for may be another thing when gRPC asks.
 */
static bool
is_local(const char *text)
{
	struct in_addr ipv4;
	struct in6_addr ipv6;

	if (strncmp(text, "unix:", 5) == 0 || strcasecmp(text, "localhost") == 0)
		return true;
	if (inet_pton(AF_INET, text, &ipv4) == 1)
		return ntohl(ipv4.s_addr) >> 24 == IN_LOOPBACKNET;
	if (inet_pton(AF_INET6, text, &ipv6) == 1)
		return IN6_IS_ADDR_LOOPBACK(&ipv6);
	return false;
}

static bool
add_address(SluiceListenerSet *set, const char *text, char *error, size_t error_size)
{
	SluiceAddress *address = &set->addresses[set->naddresses];

	if (set->naddresses == SLUICE_LISTENER_ADDRESSES_MAX)
	{
		snprintf(error, error_size, "more than %d listen addresses", SLUICE_LISTENER_ADDRESSES_MAX);
		return false;
	}
	if (strlen(text) >= sizeof(address->text))
	{
		snprintf(error, error_size, "listen address \"%.40s...\" is too long", text);
		return false;
	}
	memset(address, 0, sizeof(*address));
	address->lock_fd = -1;
	strcpy(address->text, text);
	address->is_unix = strncmp(text, "unix:", 5) == 0;
	address->is_local = is_local(text);
	if (strcmp(text, "*") == 0)
		strcpy(address->target, "[::]");	/* gRPC makes it IPv4 where there is no IPv6 */
	else if (!address->is_unix && strchr(text, ':') != NULL && text[0] != '[')
		snprintf(address->target, sizeof(address->target), "[%s]", text);
	else
		strcpy(address->target, text);
	set->naddresses++;
	return true;
}

static bool
parse_addresses(SluiceNetwork *network, char *error, size_t error_size)
{
	char	   *list = strdup(network->listen_addresses);
	char	   *rest = NULL;
	bool		ok = list != NULL;

	if (list == NULL)
		snprintf(error, error_size, "out of memory");
	for (char *text = ok ? strtok_r(list, ", \t", &rest) : NULL; ok && text != NULL;
		 text = strtok_r(NULL, ", \t", &rest))
		ok = add_address(&network->listeners, text, error, error_size);
	if (ok && network->listeners.naddresses == 0)
	{
		snprintf(error, error_size, "no listen address given");
		ok = false;
	}
	free(list);
	return ok;
}

/* As PostgreSQL does: an address that cannot be bound is a warning while another one can. */
static void
bind_first(SluiceListener *listener, SluiceAddress *address, char *error, size_t error_size)
{
	SluiceNetwork *network = listener->network;
	char		reason[128];
	int			bound;

	if (network->settings.credentials == NULL && !network->settings.allow_plaintext && !address->is_local)
	{
		snprintf(error, error_size, "not listening on \"%s\" without TLS: set up sluice.ssl, or let clients use the network "
				 "unencrypted with sluice.allow_plaintext_from_network", address->text);
		sluice_log_put('W', "%s", error);
		return;
	}
	if (address->is_unix && !lock_path(address))
	{
		snprintf(error, error_size, "could not lock \"%s.lock\": %s", address->target + strlen("unix:"),
				 errno == EWOULDBLOCK ? "another process listens there" : strerror(errno));
		sluice_log_put(network->settings.reuse_port && errno == EWOULDBLOCK ? 'L' : 'W', "%s", error);
		return;
	}
	sluice_log_last_reason(reason, sizeof(reason));
	bound = bind_address(listener, address, network->port);
	if (bound == 0)
	{
		sluice_log_last_reason(reason, sizeof(reason));
		snprintf(error, error_size, "could not bind \"%s\", port %d: %s", address->text, network->port,
				 reason[0] != '\0' ? reason : "see the log for gRPC's reason");
		sluice_log_put('W', "%s", error);
		return;
	}
	address->bound = true;
	if (!address->is_unix)
		network->port = bound;
}

bool
sluice_listener_open_first(SluiceNetwork *network, char *error, size_t error_size)
{
	SluiceListenerSet *set = &network->listeners;
	SluiceListener *listener;
	bool		bound = false;

	if (!parse_addresses(network, error, error_size))
		return false;
	listener = new_listener(network);
	if (listener == NULL)
	{
		snprintf(error, error_size, "out of memory");
		return false;
	}
	for (int i = 0; i < set->naddresses; i++)
	{
		bind_first(listener, &set->addresses[i], error, error_size);
		bound |= set->addresses[i].bound;
	}
	if (bound)
		start_listening(listener);
	else
		shut(listener);
	return bound;
}

/* Replacing a dead listener. */

static bool
have_spare_descriptors(SluiceNetwork *network)
{
	int			fds[SPARE_DESCRIPTORS];
	int			n = 0;

	while (n < SPARE_DESCRIPTORS &&
		   (fds[n] = fcntl(network->wakeup_fd, F_DUPFD_CLOEXEC, 0)) >= 0)
		n++;
	for (int i = 0; i < n; i++)
		close(fds[i]);
	return n == SPARE_DESCRIPTORS;
}

static bool
open_again(SluiceNetwork *network)
{
	SluiceListenerSet *set = &network->listeners;
	SluiceListener *listener = new_listener(network);

	if (listener == NULL)
		return false;
	for (int i = 0; i < set->naddresses; i++)
	{
		if (set->addresses[i].bound && bind_address(listener, &set->addresses[i], network->port) == 0)
		{
			shut(listener);
			return false;
		}
	}
	start_listening(listener);
	return true;
}

/*
 * The dead one goes first: without SO_REUSEPORT its port is not free before,
 * and a unix socket's path is removed by whoever closes it.
 */
static void
replace(SluiceNetwork *network)
{
	SluiceListenerSet *set = &network->listeners;
	SluiceListener *listener = TAILQ_FIRST(&set->listeners);
	int64_t		now = sluice_thread_clock(CLOCK_MONOTONIC);

	set->retry_at = now + RETRY_MS * 1000;
	if (!have_spare_descriptors(network))
		return;
	if (listener != NULL && !listener->going)
	{
		shut(listener);
		return;
	}
	if (!open_again(network))
		return;
	set->recycling = false;
	sluice_log_accept_failed();
	sluice_thread_count(&network->listener_restarts, 1);
	sluice_log_put('W', "listening again after the process had run out of file descriptors");
}

int
sluice_listener_keep_alive(SluiceNetwork *network)
{
	SluiceListenerSet *set = &network->listeners;

	if (network->draining || network->stopping)
		return -1;
	if (!set->recycling && sluice_log_accept_failed())
	{
		set->recycling = true;
		set->retry_at = sluice_thread_clock(CLOCK_MONOTONIC);
		sluice_log_put('W', "out of file descriptors: new connections wait until some are closed");
	}
	if (!set->recycling)
		return -1;
	if (sluice_thread_clock(CLOCK_MONOTONIC) >= set->retry_at)
		replace(network);
	return RETRY_MS;
}

void
sluice_listener_shut_all(SluiceNetwork *network)
{
	SluiceListener *listener;

	TAILQ_FOREACH(listener, &network->listeners.listeners, link)
		shut(listener);
}

void
sluice_listener_cancel_all(SluiceNetwork *network)
{
	SluiceListener *listener;

	TAILQ_FOREACH(listener, &network->listeners.listeners, link)
	{
		if (listener->server != NULL)
			grpc_server_cancel_all_calls(listener->server);
	}
}

bool
sluice_listener_all_gone(const SluiceNetwork *network)
{
	return TAILQ_EMPTY(&network->listeners.listeners);
}

void
sluice_listener_release_addresses(SluiceNetwork *network)
{
	for (int i = 0; i < network->listeners.naddresses; i++)
	{
		SluiceAddress *address = &network->listeners.addresses[i];
		char		path[310];

		if (address->lock_fd < 0)
			continue;
		snprintf(path, sizeof(path), "%s.lock", address->target + strlen("unix:"));
		unlink(path);
		close(address->lock_fd);
		address->lock_fd = -1;
	}
}
