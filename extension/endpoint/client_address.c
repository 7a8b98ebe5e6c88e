/*
 * client_address.c
 *		Where a client connects from.
 */
#include "client_address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

static void
set_ipv4(struct sockaddr_storage *address, const void *bytes, in_port_t port)
{
	struct sockaddr_in *ipv4 = (struct sockaddr_in *) address;

	memset(address, 0, sizeof(*address));
	ipv4->sin_family = AF_INET;
	ipv4->sin_port = port;
	memcpy(&ipv4->sin_addr, bytes, sizeof(ipv4->sin_addr));
}

static void
set_ipv6(struct sockaddr_storage *address, const struct in6_addr *bytes, in_port_t port)
{
	struct sockaddr_in6 *ipv6 = (struct sockaddr_in6 *) address;

	if (IN6_IS_ADDR_V4MAPPED(bytes))
	{
		set_ipv4(address, bytes->s6_addr + 12, port);
		return;
	}
	memset(address, 0, sizeof(*address));
	ipv6->sin6_family = AF_INET6;
	ipv6->sin6_port = port;
	ipv6->sin6_addr = *bytes;
}

/* The text between begin and the first character of stop. */
static bool
copy_until(char *out, size_t size, const char *begin, const char *stop)
{
	size_t		length = strcspn(begin, stop);

	if (length >= size)
		return false;
	memcpy(out, begin, length);
	out[length] = '\0';
	return true;
}

static in_port_t
port_of(const char *peer)
{
	return htons((uint16_t) strtoul(strrchr(peer, ':') + 1, NULL, 10));
}

void
sluice_client_address_parse(struct sockaddr_storage *address, const char *peer)
{
	char		text[INET6_ADDRSTRLEN];
	struct in_addr ipv4;
	struct in6_addr ipv6;

	memset(address, 0, sizeof(*address));
	if (strncmp(peer, "unix:", 5) == 0)
		address->ss_family = AF_UNIX;
	else if (strncmp(peer, "ipv4:", 5) == 0 && copy_until(text, sizeof(text), peer + 5, ":") &&
			 inet_pton(AF_INET, text, &ipv4) == 1)
		set_ipv4(address, &ipv4, port_of(peer));
	/* What follows a '%' is the scope, or the closing bracket. */
	else if (strncmp(peer, "ipv6:%5B", 8) == 0 && copy_until(text, sizeof(text), peer + 8, "%") &&
			 inet_pton(AF_INET6, text, &ipv6) == 1)
		set_ipv6(address, &ipv6, port_of(peer));
	else if (strncmp(peer, "ipv6:[", 6) == 0 && copy_until(text, sizeof(text), peer + 6, "%]") &&
			 inet_pton(AF_INET6, text, &ipv6) == 1)
		set_ipv6(address, &ipv6, port_of(peer));
}

void
sluice_client_address_set(struct sockaddr_storage *address, const struct sockaddr_storage *peer)
{
	const struct sockaddr_in *ipv4 = (const struct sockaddr_in *) peer;
	const struct sockaddr_in6 *ipv6 = (const struct sockaddr_in6 *) peer;

	if (peer->ss_family == AF_INET)
		set_ipv4(address, &ipv4->sin_addr, ipv4->sin_port);
	else if (peer->ss_family == AF_INET6)
		set_ipv6(address, &ipv6->sin6_addr, ipv6->sin6_port);
	else
	{
		memset(address, 0, sizeof(*address));
		address->ss_family = peer->ss_family;
	}
}

void
sluice_client_address_drop_port(struct sockaddr_storage *address)
{
	if (address->ss_family == AF_INET)
		((struct sockaddr_in *) address)->sin_port = 0;
	else if (address->ss_family == AF_INET6)
		((struct sockaddr_in6 *) address)->sin6_port = 0;
}

bool
sluice_client_address_equal(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
	return memcmp(a, b, sizeof(struct sockaddr_in6)) == 0;
}

/* FNV-1a. */
uint32_t
sluice_client_address_hash(const struct sockaddr_storage *address)
{
	const uint8_t *bytes = (const uint8_t *) address;
	uint32_t	hash = 2166136261U;

	for (size_t i = 0; i < sizeof(struct sockaddr_in6); i++)
		hash = (hash ^ bytes[i]) * 16777619U;
	return hash;
}
