/*
 * credentials.h
 *		The certificate that the endpoint shows, as the main thread hands it to gRPC.
 *
 * Neither PostgreSQL nor gRPC shows here.  gRPC asks before each handshake
 * whether there is something new, in the thread that accepts: a look at a
 * number, and a copy under a mutex where there is.
 */
#ifndef SLUICE_CREDENTIALS_H
#define SLUICE_CREDENTIALS_H

#include <stdbool.h>
#include <stdint.h>

#include "certificate.h"

typedef struct SluiceCredentials SluiceCredentials;

/* Allowed up to TLS 1.2 where this is not to be spoken at all: see credentials.c. */
extern const char *const sluice_credentials_no_tls12;

/*
 * Main thread.  Create them before gRPC is used for the first time in the process, for it
 * reads the ciphers only then; and put something before a listener is opened.
 * They take the texts over, as they are: whether they fit was found out before.
 * NULL: out of memory.
 */
extern SluiceCredentials *sluice_credentials_create(bool client_certificates, const char *ciphers);
extern void sluice_credentials_put(SluiceCredentials *credentials, SluicePems *pems);

/* After gRPC was shut down. */
extern void sluice_credentials_free(SluiceCredentials *credentials);

/* One address that is listened on: gRPC keeps a certificate for each.  It must outlive the listener. */
typedef struct SluiceCredentialsReader
{
	SluiceCredentials *credentials;
	uint64_t	generation;		/* that gRPC has; 0: none */
} SluiceCredentialsReader;

struct grpc_server_credentials;

/* For grpc_server_add_http2_port; the caller releases them.  The reader's listener before has stopped accepting. */
extern struct grpc_server_credentials *sluice_credentials_listen(SluiceCredentialsReader *reader,
																 SluiceCredentials *credentials);

#endif							/* SLUICE_CREDENTIALS_H */
