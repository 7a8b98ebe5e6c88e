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

/*
 * "ipv4:127.0.0.1:4711", "ipv6:%5B::1%5D:4711", "unix:...", as gRPC writes a peer.  The
 * family is AF_UNIX of any unix socket, AF_UNSPEC where it cannot be read.
 */
extern void sluice_client_address_parse(struct sockaddr_storage *address, const char *peer);

/* The same of what getpeername says. */
extern void sluice_client_address_set(struct sockaddr_storage *address, const struct sockaddr_storage *peer);

/* Of the client alone, whatever connection it is on. */
extern void sluice_client_address_drop_port(struct sockaddr_storage *address);

/* Address and port. */
extern bool sluice_client_address_equal(const struct sockaddr_storage *a, const struct sockaddr_storage *b);
extern uint32_t sluice_client_address_hash(const struct sockaddr_storage *address);

#endif							/* SLUICE_CLIENT_ADDRESS_H */
