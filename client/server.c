/*
 * server.c
 *		The name of a server, and of a stream, as gRPC wants them.
 */
#include "server.h"

#include <string.h>

#include "memory.h"

#define DEFAULT_PORT ":50051"

char *
sluice_server_target(const char *server)
{
	size_t		length = strlen(server);
	char	   *target = sluice_memory_get(length + sizeof(DEFAULT_PORT));
	const char *bracket = strrchr(server, ']');

	memcpy(target, server, length + 1);
	/* "[::1]" has colons but no port; "unix:/run/x" has no port either. */
	if (strchr(bracket != NULL ? bracket : server, ':') == NULL)
		memcpy(target + length, DEFAULT_PORT, sizeof(DEFAULT_PORT));
	return target;
}

bool
sluice_server_stream_valid(const char *stream)
{
	if (*stream == '\0' || *stream == ' ')
		return false;
	for (; *stream != '\0'; stream++)
	{
		if (*stream < 0x20 || *stream > 0x7E)
			return false;
	}
	return stream[-1] != ' ';
}
