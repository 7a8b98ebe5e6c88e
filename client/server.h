/*
 * server.h
 *		The name of a server, and of a stream, as gRPC wants them.
 */
#ifndef SLUICE_SERVER_H
#define SLUICE_SERVER_H

#include <stdbool.h>

#define SLUICE_SERVER_DEFAULT "localhost:50051"

/* HOST:PORT, or another gRPC target as it stands; the default port is added where none is.  The caller frees it. */
extern char *sluice_server_target(const char *server);

/* Can the name be sent as metadata: printable ASCII? */
extern bool sluice_server_stream_valid(const char *stream);

#endif							/* SLUICE_SERVER_H */
