/* handshake: the transport's words, and what they mean. */
#include "handshake.h"

#include <stdio.h>
#include <string.h>

#include "tap.h"

#define ALL "failed to connect to all addresses; last error: UNKNOWN: ipv4:192.0.2.1:50051: "
#define SSL ALL "Ssl handshake failed: SSL_ERROR_SSL: error:0A000086:SSL routines::"

static void
means(const SluiceSettings *settings, const char *words, const char *expected)
{
	char		text[256] = "";
	bool		explained = sluice_handshake_explain(words, settings, text, sizeof(text));

	if (!ok(expected == NULL ? !explained : explained && strcmp(text, expected) == 0, expected != NULL ? expected : words))
		printf("# %s\n", text);
}

int
main(void)
{
	SluiceSettings plain = {.tls_ca = "", .tls_cert = ""};
	SluiceSettings encrypted = {.tls = true, .tls_ca = "ca.pem", .tls_cert = ""};
	SluiceSettings mutual = {.tls = true, .tls_ca = "", .tls_cert = "me.pem"};

	means(&encrypted, SSL "certificate verify failed", "the server's certificate is not trusted by \"ca.pem\" (tls_ca), or is out of date");
	means(&mutual, SSL "certificate verify failed", "the server's certificate is not trusted by this system (see tls_ca), or is out of date");
	means(&encrypted, SSL "wrong version number", "the server speaks no TLS at this port");
	means(&encrypted, ALL "Peer name db1 is not in peer certificate",
		  "the server's certificate is not for \"db1\" (another name is given by tls_name)");
	means(&encrypted, SSL "tlsv13 alert certificate required", "the server wants a client certificate (tls_cert)");
	means(&mutual, SSL "tlsv1 alert unknown ca", "the server does not take the certificate of tls_cert");
	means(&plain, ALL "Socket closed", "the server breaks off the connection: it wants TLS (option tls), or is going down");
	means(&encrypted, ALL "Socket closed", "the server breaks off the connection: it wants a client certificate (tls_cert), or is going down");
	means(&mutual, ALL "recvmsg:Connection reset by peer",
		  "the server breaks off the connection: it does not take the certificate of tls_cert, or is going down");
	means(&encrypted, "Socket closed", NULL);
	means(&encrypted, ALL "connect: Connection refused", NULL);
	return done_testing();
}
