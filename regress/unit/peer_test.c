/*
 * peer_test.c
 *		What a server finds out about its clients, and that it shows the certificate
 *		that it was handed last: gRPC at both ends, over loopback.
 */
#include "endpoint/credentials.h"
#include "endpoint/peer.h"

#include <grpc/grpc_security.h>

#include "certificates.h"
#include "tap.h"

typedef struct Server
{
	grpc_completion_queue *queue;
	grpc_server *server;
	SluiceCredentials *credentials; /* NULL: plaintext */
	SluiceCredentialsReader reader;
	int			port;
	bool		requesting;		/* the next call, with the following */
	grpc_call  *incoming;
	grpc_call_details details;
	grpc_metadata_array metadata;
} Server;

static Certified authority;
static Certified stranger;

/* The next event within five seconds: its tag, or NULL. */
static void *
next(grpc_completion_queue *queue, bool *success)
{
	gpr_timespec until = gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_seconds(5, GPR_TIMESPAN));
	grpc_event	event = grpc_completion_queue_next(queue, until, NULL);

	*success = event.success != 0;
	return event.type == GRPC_OP_COMPLETE ? event.tag : NULL;
}

static void
put(SluiceCredentials *credentials, const Certified *certificate, const Certified *clients)
{
	SluicePems	pems = {
		.chain = certificates_pem(certificate),
		.key = certificates_key_pem(certificate, NULL),
		.authorities = clients != NULL ? certificates_pem(clients) : NULL,
	};

	sluice_credentials_put(credentials, &pems);
}

static void
start(Server *server)
{
	grpc_server_credentials *credentials = server->credentials != NULL ?
		sluice_credentials_listen(&server->reader, server->credentials) : grpc_insecure_server_credentials_create();

	server->queue = grpc_completion_queue_create_for_next(NULL);
	server->server = grpc_server_create(NULL, NULL);
	grpc_server_register_completion_queue(server->server, server->queue, NULL);
	server->port = grpc_server_add_http2_port(server->server, "127.0.0.1:0", credentials);
	grpc_server_credentials_release(credentials);
	grpc_server_start(server->server);
}

/* A request that no call came for is kept for the next one. */
static void
request(Server *server)
{
	if (server->requesting)
		return;
	grpc_call_details_init(&server->details);
	grpc_metadata_array_init(&server->metadata);
	grpc_server_request_call(server->server, &server->incoming, &server->details, &server->metadata,
							 server->queue, server->queue, &server->incoming);
	server->requesting = true;
}

static void
requested(Server *server)
{
	grpc_call_details_destroy(&server->details);
	grpc_metadata_array_destroy(&server->metadata);
	server->requesting = false;
}

static void
stop(Server *server)
{
	bool		success;

	grpc_server_shutdown_and_notify(server->server, server->queue, server);
	grpc_server_cancel_all_calls(server->server);
	while (next(server->queue, &success) != server)
		;
	grpc_server_destroy(server->server);
	grpc_completion_queue_shutdown(server->queue);
	while (grpc_completion_queue_next(server->queue, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL).type != GRPC_QUEUE_SHUTDOWN)
		;
	grpc_completion_queue_destroy(server->queue);
	if (server->requesting)
		requested(server);
}

/* A channel to the server that trusts in the authority, with the client's certificate or none. */
static grpc_channel *
connect_to(const Server *server, const Certified *client)
{
	char		target[64];
	char	   *root = certificates_pem(&authority);
	char	   *key = client != NULL ? certificates_key_pem(client, NULL) : NULL;
	char	   *chain = client != NULL ? certificates_pem(client) : NULL;
	grpc_ssl_pem_key_cert_pair pair = {key, chain};
	grpc_channel_credentials *credentials = server->credentials != NULL ?
		grpc_ssl_credentials_create_ex(root, client != NULL ? &pair : NULL, NULL, NULL) : grpc_insecure_credentials_create();
	grpc_arg	list[] = {{.type = GRPC_ARG_INTEGER,.key = (char *) "grpc.use_local_subchannel_pool",.value.integer = 1},
	{.type = GRPC_ARG_INTEGER,.key = (char *) "grpc.enable_http_proxy",.value.integer = 0}};
	grpc_channel_args args = {2, list};
	grpc_channel *channel;

	snprintf(target, sizeof(target), "ipv4:127.0.0.1:%d", server->port);
	channel = grpc_channel_create(target, credentials, &args);
	grpc_channel_credentials_release(credentials);
	free(root);
	free(key);
	free(chain);
	return channel;
}

/* What the server makes of the client of a call; false: no call comes. */
static bool
read_peer(Server *server, const Certified *client, SluicePeer *peer)
{
	grpc_channel *channel = connect_to(server, client);
	grpc_call  *call = grpc_channel_create_call(channel, NULL, 0, server->queue, grpc_slice_from_static_string("/a/b"), NULL,
												gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_seconds(5, GPR_TIMESPAN)), NULL);
	grpc_op		op = {.op = GRPC_OP_SEND_INITIAL_METADATA};
	grpc_op		status = {.op = GRPC_OP_RECV_STATUS_ON_CLIENT};
	grpc_metadata_array trailing;
	grpc_slice	details;
	grpc_status_code code;
	bool		arrived = false;
	bool		ended = false;

	grpc_metadata_array_init(&trailing);
	status.data.recv_status_on_client.trailing_metadata = &trailing;
	status.data.recv_status_on_client.status = &code;
	status.data.recv_status_on_client.status_details = &details;
	request(server);
	grpc_call_start_batch(call, &status, 1, &status, NULL);
	grpc_call_start_batch(call, &op, 1, &op, NULL);
	while (!ended)
	{
		bool		success;
		void	   *tag = next(server->queue, &success);

		ended = tag == &status || tag == NULL;
		if (tag == &server->incoming && success)
		{
			arrived = sluice_peer_read(server->incoming, peer);
			requested(server);
			grpc_call_unref(server->incoming);
			grpc_call_cancel(call, NULL);
		}
	}
	grpc_call_unref(call);
	grpc_channel_destroy(channel);
	grpc_slice_unref(details);
	grpc_metadata_array_destroy(&trailing);
	return arrived;
}

static const char *
shown(const char *text)
{
	return text != NULL ? text : "(none)";
}

static void
peers_of_plaintext(void)
{
	Server		server = {NULL};
	SluicePeer	peer;

	start(&server);
	ok(read_peer(&server, NULL, &peer), "a call without TLS");
	ok(!peer.tls && peer.cn == NULL && peer.dn == NULL, "... tells of nobody");
	sluice_peer_free(&peer);
	stop(&server);
}

/* Clients are not asked for certificates, and there are no authorities. */
static void
peers_unasked(void)
{
	Server		server = {.credentials = sluice_credentials_create(false, "HIGH")};
	Certified	named = certificates_make("named", 5, &authority, 10);
	SluicePeer	peer;

	put(server.credentials, &named, NULL);
	start(&server);
	ok(read_peer(&server, &named, &peer) && peer.tls && peer.dn == NULL, "a certificate that was not asked for");
	sluice_peer_free(&peer);
	stop(&server);
	grpc_shutdown();
	sluice_credentials_free(server.credentials);
	certificates_free(&named);
	grpc_init();
}

static void
is_peer(Server *server, const Certified *client, const char *cn, const char *dn, const char *what)
{
	SluicePeer	peer = {false, NULL, NULL};

	ok(read_peer(server, client, &peer) && peer.tls, "%s: a call with TLS", what);
	is_text(shown(peer.cn), cn, "... its common name");
	is_text(shown(peer.dn), dn, "... its subject");
	sluice_peer_free(&peer);
}

static void
peers_of_tls(SluiceCredentials *credentials)
{
	Server		server = {.credentials = credentials};
	Certified	named = certificates_make("Zo\xc3\xab, of us", 11, &authority, 10);
	Certified	nul = certificates_make("post\0gres", 9, &authority, 10);
	Certified	nameless = certificates_make("", 0, &authority, 10);
	Certified	foreign = certificates_make("postgres", 8, &stranger, 10);
	Certified	renewed = certificates_make("renewed", 7, &stranger, 10);
	SluicePeer	peer;

	start(&server);
	is_peer(&server, NULL, "(none)", "(none)", "no certificate");
	is_peer(&server, &named, "Zo\xc3\xab, of us", "CN=Zo\\C3\\AB\\, of us,O=sluice", "a certificate");
	is_peer(&server, &nul, "(none)", "CN=post\\00gres,O=sluice", "a NUL in the common name");
	is_peer(&server, &nameless, "(none)", "O=sluice", "no common name");
	put(credentials, &renewed, &authority);
	ok(!read_peer(&server, &named, &peer), "another certificate is shown from the next handshake on");
	stop(&server);
	put(credentials, &named, &authority);
	start(&server);
	ok(!read_peer(&server, &foreign, &peer), "a certificate of another authority: no call");
	stop(&server);
	certificates_free(&named);
	certificates_free(&nul);
	certificates_free(&nameless);
	certificates_free(&foreign);
	certificates_free(&renewed);
}

int
main(void)
{
	SluiceCredentials *credentials = sluice_credentials_create(true, "HIGH");
	Certified	certificate;

	authority = certificates_make("authority", 9, NULL, 10);
	stranger = certificates_make("stranger", 8, NULL, 10);
	certificate = certificates_make("server", 6, &authority, 10);
	put(credentials, &certificate, &authority);
	grpc_init();
	peers_of_plaintext();
	peers_unasked();
	peers_of_tls(credentials);
	grpc_shutdown();
	sluice_credentials_free(credentials);
	certificates_free(&certificate);
	certificates_free(&authority);
	certificates_free(&stranger);
	return finish();
}
