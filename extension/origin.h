/*
 * origin.h
 *		What counts as one address where something is limited by address.
 *
 * Plain C.  Of IPv6 it is a network of 64 bits, as one client has all of its addresses; all unix sockets are one.
 */
#ifndef SLUICE_ORIGIN_H
#define SLUICE_ORIGIN_H

#include <stdint.h>
#include <sys/socket.h>

/* Bytes only, so that it can be compared and hashed as it lies in memory. */
typedef struct SluiceOrigin
{
	uint8_t		family;
	uint8_t		bytes[8];
} SluiceOrigin;

extern SluiceOrigin sluice_origin_of(const struct sockaddr_storage *address);

#endif							/* SLUICE_ORIGIN_H */
