/*
 * origin.c
 *		What counts as one address where something is limited by address.
 */
#include "origin.h"

#include <netinet/in.h>
#include <string.h>

SluiceOrigin
sluice_origin_of(const struct sockaddr_storage *address)
{
	SluiceOrigin origin = {.family = (uint8_t) address->ss_family};

	if (address->ss_family == AF_INET)
		memcpy(origin.bytes, &((const struct sockaddr_in *) address)->sin_addr, sizeof(struct in_addr));
	else if (address->ss_family == AF_INET6)
		memcpy(origin.bytes, &((const struct sockaddr_in6 *) address)->sin6_addr, sizeof(origin.bytes));
	return origin;
}
