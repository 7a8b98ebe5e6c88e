/*
 * sockets.c
 *		The process's sockets of a TCP port, as the system knows them.
 *
 * A socket that listens can want the segments of some networks to be signed (RFC 2385).
 * With a key that nobody knows this bars them: the kernel drops what they send
 * before there is a connection, and it costs the process nothing.  It needs no privilege, as a
 * firewall would, and in some places a filter for sockets.
 */
#include "sockets.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

bool
sluice_sockets_open(SluiceSockets *sockets, int port)
{
	sockets->port = port;
	sockets->directory = opendir("/proc/self/fd");
	sockets->null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	sockets->spare_fd = sockets->null_fd < 0 ? -1 : fcntl(sockets->null_fd, F_DUPFD_CLOEXEC, 0);
	if (sockets->directory != NULL && sockets->spare_fd >= 0 && getentropy(sockets->key, sizeof(sockets->key)) == 0)
		return true;
	sluice_sockets_close(sockets);
	return false;
}

void
sluice_sockets_close(SluiceSockets *sockets)
{
	int			saved = errno;

	if (sockets->directory != NULL)
		closedir(sockets->directory);
	if (sockets->spare_fd >= 0)
		close(sockets->spare_fd);
	if (sockets->null_fd >= 0)
		close(sockets->null_fd);
	sockets->directory = NULL;
	sockets->spare_fd = sockets->null_fd = -1;
	errno = saved;
}

/* ---- looking ---- */

static bool
get_integer(int fd, int option, int *value)
{
	socklen_t	length = sizeof(*value);

	return getsockopt(fd, SOL_SOCKET, option, value, &length) == 0;
}

/* Its family; AF_UNSPEC: it is none of them. */
static int
family_of(int fd, int port)
{
	struct sockaddr_storage name;
	socklen_t	length = sizeof(name);
	int			type;

	if (!get_integer(fd, SO_TYPE, &type) || type != SOCK_STREAM ||
		getsockname(fd, (struct sockaddr *) &name, &length) != 0)
		return AF_UNSPEC;
	if ((name.ss_family == AF_INET && ntohs(((struct sockaddr_in *) &name)->sin_port) == port) ||
		(name.ss_family == AF_INET6 && ntohs(((struct sockaddr_in6 *) &name)->sin6_port) == port))
		return name.ss_family;
	return AF_UNSPEC;
}

static bool
get_peer(int fd, struct sockaddr_storage *peer)
{
	struct sockaddr_storage name;
	socklen_t	length = sizeof(name);

	if (getpeername(fd, (struct sockaddr *) &name, &length) != 0)
		return false;
	sluice_client_address_set(peer, &name);
	return true;
}

static bool
get_cookie(int fd, uint64_t *cookie)
{
	socklen_t	length = sizeof(*cookie);

	return getsockopt(fd, SOL_SOCKET, SO_COOKIE, cookie, &length) == 0;
}

static bool
get_received(int fd, uint64_t *received)
{
	struct tcp_info info;
	socklen_t	length = sizeof(info);

	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length) != 0 ||
		length < offsetof(struct tcp_info, tcpi_bytes_received) + sizeof(info.tcpi_bytes_received))
		return false;
	*received = info.tcpi_bytes_received;
	return true;
}

/* The descriptor may become another socket meanwhile. */
static bool
look(SluiceSocket *socket, int port)
{
	uint64_t	again;
	int			listens;

	socket->family = family_of(socket->fd, port);
	if (socket->family == AF_UNSPEC || !get_integer(socket->fd, SO_ACCEPTCONN, &listens))
		return false;
	socket->listens = listens != 0;
	if (socket->listens)
		return get_cookie(socket->fd, &socket->cookie);
	return get_cookie(socket->fd, &socket->cookie) && get_peer(socket->fd, &socket->peer) &&
		get_received(socket->fd, &socket->received) && get_cookie(socket->fd, &again) && again == socket->cookie;
}

void
sluice_sockets_rewind(SluiceSockets *sockets)
{
	rewinddir(sockets->directory);
}

bool
sluice_sockets_next(SluiceSockets *sockets, SluiceSocket *socket)
{
	const struct dirent *entry;

	while (errno = 0, (entry = readdir(sockets->directory)) != NULL)
	{
		memset(socket, 0, sizeof(*socket));
		socket->fd = atoi(entry->d_name);
		if (entry->d_name[0] != '.' && look(socket, sockets->port))
			return true;
	}
	return false;
}

/* ---- acting ---- */

/* A duplicate of the descriptor to the spare one.  False: it is not that socket any more. */
static bool
borrow(SluiceSockets *sockets, const SluiceSocket *socket)
{
	uint64_t	cookie;

	return dup3(socket->fd, sockets->spare_fd, O_CLOEXEC) >= 0 &&
		get_cookie(sockets->spare_fd, &cookie) && cookie == socket->cookie;
}

static void
give_back(SluiceSockets *sockets)
{
	int			saved = errno;

	(void) dup3(sockets->null_fd, sockets->spare_fd, O_CLOEXEC);
	errno = saved;
}

void
sluice_sockets_reset(SluiceSockets *sockets, const SluiceSocket *socket)
{
	struct sockaddr none = {.sa_family = AF_UNSPEC};

	/* To disconnect throws away what was received; to shut down would leave it to be read. */
	if (borrow(sockets, socket) && connect(sockets->spare_fd, &none, sizeof(none)) != 0)
		(void) shutdown(sockets->spare_fd, SHUT_RDWR);
	give_back(sockets);
}

/* What is set of a key for a network: a signature that nobody can have made. */
static void
set_key(SluiceSockets *sockets, const SluiceOrigin *network, int family, struct tcp_md5sig *key)
{
	struct sockaddr_in *ipv4 = (struct sockaddr_in *) &key->tcpm_addr;
	struct sockaddr_in6 *ipv6 = (struct sockaddr_in6 *) &key->tcpm_addr;

	memset(key, 0, sizeof(*key));
	key->tcpm_flags = TCP_MD5SIG_FLAG_PREFIX;
	memcpy(key->tcpm_key, sockets->key, sizeof(sockets->key));
	key->tcpm_prefixlen = network->family == AF_INET ? 32 : 64;
	key->tcpm_addr.ss_family = (sa_family_t) family;
	if (family == AF_INET)
		memcpy(&ipv4->sin_addr, network->bytes, sizeof(ipv4->sin_addr));
	else if (network->family == AF_INET6)
		memcpy(&ipv6->sin6_addr, network->bytes, sizeof(network->bytes));
	else
	{
		memset(ipv6->sin6_addr.s6_addr + 10, 0xff, 2);
		memcpy(ipv6->sin6_addr.s6_addr + 12, network->bytes, sizeof(ipv4->sin_addr));
	}
}

bool
sluice_sockets_bar(SluiceSockets *sockets, const SluiceSocket *socket, const SluiceOrigin *network, bool barred)
{
	struct tcp_md5sig key;
	bool		done;

	if (socket->family == AF_INET && network->family != AF_INET)
		return true;
	set_key(sockets, network, socket->family, &key);
	key.tcpm_keylen = barred ? sizeof(sockets->key) : 0;
	done = !borrow(sockets, socket) ||
		setsockopt(sockets->spare_fd, IPPROTO_TCP, TCP_MD5SIG_EXT, &key, sizeof(key)) == 0 ||
		/* It was not barred here: by a listener before this one. */
		(!barred && errno == ENOENT);
	give_back(sockets);
	return done;
}
