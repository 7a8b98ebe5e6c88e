/*
 * transport.h
 *		What protects the gRPC port on the network: the settings sluice.ssl and the
 *		like, with the server's own where they leave it to these.
 */
#ifndef SLUICE_TRANSPORT_H
#define SLUICE_TRANSPORT_H

#include "postgres.h"

/* The texts are those of the settings: good until the next reload. */
typedef struct SluiceTransport
{
	bool		tls;
	bool		allow_plaintext;	/* without TLS: from everywhere, not from loopback alone */
	bool		client_certificates;	/* clients are asked for one: there is a CA file */
	bool		tls13_only;
	const char *ciphers;		/* up to TLS 1.2 */
	const char *cert_file;
	const char *key_file;
	const char *ca_file;		/* "": none */
} SluiceTransport;

extern PGDLLEXPORT void sluice_transport_get(SluiceTransport *transport);

#endif							/* SLUICE_TRANSPORT_H */
