/*
 * credentials.c
 *		The certificate that the endpoint shows, as the main thread hands it to gRPC.
 *
 * gRPC's credentials with a config fetcher know neither ciphers nor a minimum
 * version.  The ciphers it takes from its environment.  A minimum above 1.2 comes
 * from there too: up to TLS 1.2 only a cipher is allowed that needs a key
 * shared beforehand, which there never is, so that OpenSSL refuses such a client in
 * its first message (there must be one cipher or the list is not taken).
 * The ciphers of TLS 1.3 are apart from all this.
 */
#include "credentials.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <grpc/grpc_security.h>

#define CIPHERS_VARIABLE "GRPC_SSL_CIPHER_SUITES"

const char *const sluice_credentials_no_tls12 = "PSK-AES256-GCM-SHA384";

struct SluiceCredentials
{
	bool		client_certificates;
	pthread_mutex_t mutex;		/* of pems; held for a copy */
	SluicePems	pems;
	_Atomic uint64_t generation;	/* of pems, raised under the mutex */
};

SluiceCredentials *
sluice_credentials_create(bool client_certificates, const char *ciphers)
{
	SluiceCredentials *credentials = calloc(1, sizeof(*credentials));

	if (credentials == NULL || setenv(CIPHERS_VARIABLE, ciphers, 1) != 0)
	{
		free(credentials);
		return NULL;
	}
	credentials->client_certificates = client_certificates;
	pthread_mutex_init(&credentials->mutex, NULL);
	return credentials;
}

void
sluice_credentials_put(SluiceCredentials *credentials, SluicePems *pems)
{
	SluicePems	old;

	pthread_mutex_lock(&credentials->mutex);
	old = credentials->pems;
	credentials->pems = *pems;
	atomic_fetch_add(&credentials->generation, 1);
	pthread_mutex_unlock(&credentials->mutex);
	memset(pems, 0, sizeof(*pems));
	sluice_certificate_free(&old);
}

void
sluice_credentials_free(SluiceCredentials *credentials)
{
	sluice_certificate_free(&credentials->pems);
	pthread_mutex_destroy(&credentials->mutex);
	free(credentials);
}

/*
 * gRPC aborts where there are no authorities, also where it is not to ask for
 * certificates; then it makes nothing of them, and is given what there is.
 */
static const char *
authorities(const SluiceCredentials *credentials)
{
	return credentials->client_certificates ? credentials->pems.authorities : credentials->pems.chain;
}

/* Called by gRPC when an address is bound and before each handshake. */
static grpc_ssl_certificate_config_reload_status
fetch(void *owner, grpc_ssl_server_certificate_config **config)
{
	SluiceCredentialsReader *reader = owner;
	SluiceCredentials *credentials = reader->credentials;
	grpc_ssl_pem_key_cert_pair pair;

	if (atomic_load(&credentials->generation) == reader->generation)
		return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED;
	pthread_mutex_lock(&credentials->mutex);
	pair.private_key = credentials->pems.key;
	pair.cert_chain = credentials->pems.chain;
	*config = grpc_ssl_server_certificate_config_create(authorities(credentials), &pair, 1);
	reader->generation = atomic_load(&credentials->generation);
	pthread_mutex_unlock(&credentials->mutex);
	return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW;
}

grpc_server_credentials *
sluice_credentials_listen(SluiceCredentialsReader *reader, SluiceCredentials *credentials)
{
	grpc_ssl_server_credentials_options *options;

	reader->credentials = credentials;
	reader->generation = 0;
	options = grpc_ssl_server_credentials_create_options_using_config_fetcher(
																			  credentials->client_certificates ?
																			  GRPC_SSL_REQUEST_CLIENT_CERTIFICATE_AND_VERIFY :
																			  GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE,
																			  fetch, reader);
	return grpc_ssl_server_credentials_create_with_options(options);
}
