/*
 * host.h
 *		The name of an address.
 *
 * Plain C.  The look-up may take as long as it likes, so it is done in a thread beside
 * (errand.h).
 */
#ifndef SLUICE_HOST_H
#define SLUICE_HOST_H

#include <stddef.h>
#include <sys/socket.h>

/* "" where it has none, or where that name has not this address. */
extern void sluice_host_name(const struct sockaddr_storage *address, char *name, size_t size);

#endif							/* SLUICE_HOST_H */
