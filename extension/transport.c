/*
 * transport.c
 *		What protects the gRPC port on the network.
 */
#include "postgres.h"

#include "transport.h"

/* Else its header wants those of Kerberos, for a structure that is not touched here. */
#undef ENABLE_GSS
#include "libpq/libpq.h"
#include "postmaster/postmaster.h"
#include "settings.h"

static const char *
or_servers(const char *own, const char *servers)
{
	if (own != NULL && own[0] != '\0')
		return own;
	return servers != NULL ? servers : "";
}

static bool
tls13_only(void)
{
	if (sluice_ssl_min_protocol_version == SLUICE_PROTOCOL_SERVER)
		return ssl_min_protocol_version == PG_TLS1_3_VERSION;
	return sluice_ssl_min_protocol_version == SLUICE_PROTOCOL_TLS13;
}

void
sluice_transport_get(SluiceTransport *transport)
{
	transport->tls = sluice_ssl == SLUICE_SSL_SERVER ? EnableSSL : sluice_ssl == SLUICE_SSL_ON;
	transport->allow_plaintext = sluice_allow_plaintext_from_network;
	transport->tls13_only = tls13_only();
	transport->ciphers = or_servers(sluice_ssl_ciphers, SSLCipherSuites);
	transport->cert_file = or_servers(sluice_ssl_cert_file, ssl_cert_file);
	transport->key_file = or_servers(sluice_ssl_key_file, ssl_key_file);
	transport->ca_file = or_servers(sluice_ssl_ca_file, ssl_ca_file);
	transport->client_certificates = transport->ca_file[0] != '\0';
}
