/*
 * client_address.h
 *		Where a client connects from.
 *
 * Plain C.  An address is a sockaddr_storage with everything zero that is not
 * its family, address and port; an IPv4 address in IPv6's clothes is one of IPv4, as the
 * server has it.
 */
#ifndef SLUICE_CLIENT_ADDRESS_H
#define SLUICE_CLIENT_ADDRESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

/* What one client has of the network: an IPv4 address, or a /64 of IPv6.  Without padding, so that it can be a hash key. */
typedef struct SluiceClientNetwork
{
	uint8_t		family;			/* AF_INET or AF_INET6 */
	uint8_t		bytes[8];		/* the first four of them, or all */
} SluiceClientNetwork;

/* Room for its text. */
#define SLUICE_CLIENT_NETWORK_TEXT 64

/*
 * "ipv4:127.0.0.1:4711", "ipv6:%5B::1%5D:4711", "unix:...", as gRPC writes a peer.  The
 * family is AF_UNIX of any unix socket, AF_UNSPEC where it cannot be read.
 */
extern void sluice_client_address_parse(struct sockaddr_storage *address, const char *peer);

/* The same of what getpeername says. */
extern void sluice_client_address_set(struct sockaddr_storage *address, const struct sockaddr_storage *peer);

/* Address and port. */
extern bool sluice_client_address_equal(const struct sockaddr_storage *a, const struct sockaddr_storage *b);
extern uint32_t sluice_client_address_hash(const struct sockaddr_storage *address);

extern SluiceClientNetwork sluice_client_network(const struct sockaddr_storage *address);
extern bool sluice_client_network_equal(const SluiceClientNetwork *a, const SluiceClientNetwork *b);

/* "192.0.2.7" or "2001:db8::/64". */
extern void sluice_client_network_print(const SluiceClientNetwork *network, char text[SLUICE_CLIENT_NETWORK_TEXT]);

#endif							/* SLUICE_CLIENT_ADDRESS_H */
