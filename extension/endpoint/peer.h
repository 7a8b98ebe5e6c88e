/*
 * peer.h
 *		What TLS tells of the client of a call.
 */
#ifndef SLUICE_PEER_H
#define SLUICE_PEER_H

#ifdef POSTGRES_H
#error "the gRPC side does not compile where postgres.h was included"
#endif

#include <stdbool.h>

#include <grpc/grpc.h>

/*
 * Names are of a certificate that was verified against the CA file: a client
 * whose certificate is not never gets as far as a call.
 */
typedef struct SluicePeer
{
	bool		tls;
	char	   *cn;				/* the subject's first common name, UTF-8; NULL: none, or one that a C string cannot hold */
	char	   *dn;				/* the subject as RFC 2253 has it; NULL: no certificate */
} SluicePeer;

/* False: out of memory, and nothing is set. */
extern bool sluice_peer_read(grpc_call *call, SluicePeer *peer);

extern void sluice_peer_free(SluicePeer *peer);

#endif							/* SLUICE_PEER_H */
