/*
 * host.c
 *		The name of an address.
 */
#include "host.h"

#include <netdb.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>

static bool
same_address(const struct sockaddr_storage *address, const struct sockaddr *other)
{
	if (address->ss_family == AF_INET)
		return memcmp(&((const struct sockaddr_in *) address)->sin_addr,
					  &((const struct sockaddr_in *) other)->sin_addr, sizeof(struct in_addr)) == 0;
	return memcmp(&((const struct sockaddr_in6 *) address)->sin6_addr,
				  &((const struct sockaddr_in6 *) other)->sin6_addr, sizeof(struct in6_addr)) == 0;
}

void
sluice_host_name(const struct sockaddr_storage *address, char *name, size_t size)
{
	socklen_t	length = address->ss_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
	struct addrinfo hints = {.ai_family = address->ss_family,.ai_socktype = SOCK_STREAM};
	struct addrinfo *found = NULL;
	bool		confirmed = false;

	if ((address->ss_family == AF_INET || address->ss_family == AF_INET6) &&
		getnameinfo((const struct sockaddr *) address, length, name, (socklen_t) size, NULL, 0, NI_NAMEREQD) == 0 &&
		getaddrinfo(name, NULL, &hints, &found) == 0)
		for (const struct addrinfo *at = found; at != NULL && !confirmed; at = at->ai_next)
			confirmed = same_address(address, at->ai_addr);
	if (found != NULL)
		freeaddrinfo(found);
	if (!confirmed)
		name[0] = '\0';
}
