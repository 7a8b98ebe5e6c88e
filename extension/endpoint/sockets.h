/*
 * sockets.h
 *		The process's sockets of a TCP port, as the system knows them.
 *
 * gRPC owns the sockets and closes them when it likes, in another thread: they
 * are looked up each time, and what is done to one is done to a
 * duplicate of its descriptor that was found to be the one that is meant.
 */
#ifndef SLUICE_SOCKETS_H
#define SLUICE_SOCKETS_H

#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "../origin.h"
#include "client_address.h"

typedef struct SluiceSockets
{
	int			port;
	DIR		   *directory;		/* the process's descriptors */
	int			spare_fd;		/* where duplicates go, so that none has to be free */
	int			null_fd;		/* lies there meanwhile */
	uint8_t		key[16];		/* random, for those who are barred */
} SluiceSockets;

typedef struct SluiceSocket
{
	int			fd;
	int			family;			/* AF_INET, or AF_INET6, which may serve both */
	bool		listens;
	struct sockaddr_storage peer;	/* see client_address.h */
	uint64_t	cookie;			/* the system gives no other socket the same */
	uint64_t	received;		/* bytes, since it was connected */
} SluiceSocket;

/* False, with errno: the process has no descriptor left, or no /proc. */
extern bool sluice_sockets_open(SluiceSockets *sockets, int port);
extern void sluice_sockets_close(SluiceSockets *sockets);

/* Goes through them: first after a rewind, then each call gives one, until it is false; errno is 0 then, or why there may be more. */
extern void sluice_sockets_rewind(SluiceSockets *sockets);
extern bool sluice_sockets_next(SluiceSockets *sockets, SluiceSocket *socket);

/*
 * End a connection at once: what has come and was not read yet is thrown away, its client sees
 * a reset.  Nothing happens where it is gone already.
 */
extern void sluice_sockets_reset(SluiceSockets *sockets, const SluiceSocket *socket);

/*
 * Have a socket that listens drop what comes from a network, as if it had not come, or
 * take it again.  False, with errno: the system cannot.
 */
extern bool sluice_sockets_bar(SluiceSockets *sockets, const SluiceSocket *socket, const SluiceOrigin *network, bool barred);

#endif							/* SLUICE_SOCKETS_H */
