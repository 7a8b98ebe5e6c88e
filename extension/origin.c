/*
 * origin.c
 *		What counts as one address where something is limited by address.
 */
#include "origin.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
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

bool
sluice_origin_equal(const SluiceOrigin *a, const SluiceOrigin *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

void
sluice_origin_print(const SluiceOrigin *origin, char text[SLUICE_ORIGIN_TEXT])
{
	struct in6_addr ipv6 = IN6ADDR_ANY_INIT;
	char		address[INET6_ADDRSTRLEN] = "?";

	memcpy(&ipv6, origin->bytes, sizeof(origin->bytes));
	if (origin->family == AF_INET6 && inet_ntop(AF_INET6, &ipv6, address, sizeof(address)) != NULL)
		snprintf(text, SLUICE_ORIGIN_TEXT, "%s/64", address);
	else
	{
		(void) inet_ntop(AF_INET, origin->bytes, address, sizeof(address));
		snprintf(text, SLUICE_ORIGIN_TEXT, "%s", address);
	}
}
