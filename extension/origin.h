/*
 * origin.h
 *		What counts as one address where something is limited by address.
 *
 * Plain C.  Of IPv6 it is a network of 64 bits, as one client has all of its addresses; all unix sockets are one.
 */
#ifndef SLUICE_ORIGIN_H
#define SLUICE_ORIGIN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

/* Bytes only, so that it can be compared and hashed as it lies in memory. */
typedef struct SluiceOrigin
{
	uint8_t		family;
	uint8_t		bytes[8];
} SluiceOrigin;

/* Room for its text. */
#define SLUICE_ORIGIN_TEXT 64

extern SluiceOrigin sluice_origin_of(const struct sockaddr_storage *address);
extern bool sluice_origin_equal(const SluiceOrigin *a, const SluiceOrigin *b);

/* "192.0.2.7" or "2001:db8::/64". */
extern void sluice_origin_print(const SluiceOrigin *origin, char text[SLUICE_ORIGIN_TEXT]);

#endif							/* SLUICE_ORIGIN_H */
