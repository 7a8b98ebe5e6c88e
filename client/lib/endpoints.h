/*
 * endpoints.h
 *		The servers that a producer may connect to, in order.
 *
 * "db1:50051,db2,unix:/run/sluice.sock,[::1]:50051": hosts and addresses with
 * a port (50051 where none is given), IPv6 in brackets, unix sockets.
 */
#ifndef SLUICE_LIB_ENDPOINTS_H
#define SLUICE_LIB_ENDPOINTS_H

#include <stdbool.h>
#include <stddef.h>

#include "error.h"

typedef struct SluiceEndpoint
{
	const char *name;			/* for people */
	const char *target;			/* for gRPC */
	const char *host;			/* as it was given, without brackets; the path of a unix socket */
	const char *port;			/* "" of a unix socket */
	bool		local;			/* what is sent to it does not leave this machine */
} SluiceEndpoint;

typedef struct SluiceEndpoints
{
	SluiceEndpoint *list;		/* and the strings behind it, in one piece of memory */
	size_t		count;
	size_t		current;
} SluiceEndpoints;

/* ERROR_OPTION, ERROR_MEMORY. */
extern int sluice_endpoints_read(SluiceEndpoints *endpoints, const char *text, SluiceError *error);
extern void sluice_endpoints_release(SluiceEndpoints *endpoints);

static inline const SluiceEndpoint *
sluice_endpoints_current(const SluiceEndpoints *endpoints)
{
	return &endpoints->list[endpoints->current];
}

/*
 * The connection failed, or is lost: who is next?  One that acknowledged
 * something is tried once more; all others give way to the one behind them.
 */
extern void sluice_endpoints_failed(SluiceEndpoints *endpoints, bool acknowledged);

#endif							/* SLUICE_LIB_ENDPOINTS_H */
