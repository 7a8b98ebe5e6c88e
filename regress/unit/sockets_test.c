/*
 * sockets_test.c
 *		The sockets of a port: what was received, reset, barred.
 */
#include "endpoint/sockets.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tap.h"

#define WAIT_MS 10000

/* Long enough for a connection over loopback, short where there is to be none. */
#define BARRED_MS 300

static int	listener;
static int	port;
static SluiceSockets sockets;

static struct sockaddr_in
loopback(int last, int at_port)
{
	return (struct sockaddr_in) {.sin_family = AF_INET,.sin_port = htons((uint16_t) at_port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK - 1 + (uint32_t) last)};
}

/* On "::", which serves both families; where there is no IPv6, on IPv4. */
static void
start_listening(void)
{
	struct sockaddr_in6 any = {.sin6_family = AF_INET6};
	struct sockaddr_in name = loopback(1, 0);
	int			both = 0;
	socklen_t	length = sizeof(any);

	listener = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (listener < 0 || setsockopt(listener, IPPROTO_IPV6, IPV6_V6ONLY, &both, sizeof(both)) != 0 ||
		bind(listener, (struct sockaddr *) &any, sizeof(any)) != 0)
	{
		listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (bind(listener, (struct sockaddr *) &name, sizeof(name)) != 0)
			exit(2);
	}
	if (listen(listener, 16) != 0 || getsockname(listener, (struct sockaddr *) &any, &length) != 0)
		exit(2);
	port = ntohs(any.sin6_port);
}

/* From 127.0.0.LAST; -1: not within the time. */
static int
dial(int last, int timeout_ms)
{
	struct sockaddr_in from = loopback(last, 0);
	struct sockaddr_in to = loopback(1, port);
	int			fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct pollfd wait = {.fd = fd,.events = POLLOUT};

	if (bind(fd, (struct sockaddr *) &from, sizeof(from)) == 0 &&
		(connect(fd, (struct sockaddr *) &to, sizeof(to)) == 0 || errno == EINPROGRESS) &&
		poll(&wait, 1, timeout_ms) == 1 && (wait.revents & POLLERR) == 0)
		return fd;
	close(fd);
	return -1;
}

static int
port_of(const struct sockaddr_storage *address)
{
	return ntohs(address->ss_family == AF_INET6 ? ((const struct sockaddr_in6 *) address)->sin6_port :
				 ((const struct sockaddr_in *) address)->sin_port);
}

/* The server's end of a client's connection; those that nobody took come first. */
static int
accept_from(int client)
{
	struct sockaddr_storage name;
	struct sockaddr_storage peer;
	socklen_t	length = sizeof(name);
	int			server;

	(void) getsockname(client, (struct sockaddr *) &name, &length);
	length = sizeof(peer);
	while ((server = accept4(listener, (struct sockaddr *) &peer, &length, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0 &&
		   port_of(&peer) != port_of(&name))
	{
		close(server);
		length = sizeof(peer);
	}
	return server;
}

static int
count(bool listens, SluiceSocket *last)
{
	SluiceSocket found;
	int			n = 0;

	sluice_sockets_rewind(&sockets);
	while (sluice_sockets_next(&sockets, &found))
	{
		if (found.listens != listens)
			continue;
		*last = found;
		n++;
	}
	return n;
}

static bool
is_readable(int fd)
{
	struct pollfd wait = {.fd = fd,.events = POLLIN};

	return poll(&wait, 1, WAIT_MS) == 1;
}

static void
test_reset(void)
{
	SluiceSocket found;
	char		bytes[1000] = {0};
	int			client = dial(3, WAIT_MS);
	int			server = accept_from(client);
	SluiceSocket other;

	ok(client >= 0 && server >= 0, "a client");
	is_number(count(true, &found), 1, "one socket listens");
	ok(found.fd == listener, "it is that one");
	ok(write(client, bytes, sizeof(bytes)) == sizeof(bytes) && is_readable(server), "the client sends something");
	is_number(count(false, &found), 1, "one is connected: not the client's own end, which has another port");
	ok(found.fd == server && found.received == sizeof(bytes), "and what it has received is known");
	other = found;
	other.cookie++;
	sluice_sockets_reset(&sockets, &other);
	ok(recv(server, bytes, 10, 0) == 10, "one that is another meanwhile is left alone");
	sluice_sockets_reset(&sockets, &found);
	ok(recv(server, bytes, 10, 0) < 0 && errno != EAGAIN, "reset, what it had received is not to be read any more");
	ok(is_readable(client) && recv(client, bytes, 10, 0) < 0 && errno == ECONNRESET, "its client sees a reset");
	is_number(count(false, &found), 0, "none is connected");
	close(server);
	close(client);
}

static void
test_bar(void)
{
	SluiceOrigin barred = {.family = AF_INET,.bytes = {127, 0, 0, 3}};
	SluiceOrigin ipv6 = {.family = AF_INET6,.bytes = {0x20, 0x01, 0x0d, 0xb8}};
	SluiceSocket socket;
	int			client;
	int			before = dial(3, WAIT_MS);

	ok(before >= 0, "a client that was there before");
	(void) count(true, &socket);
	errno = 0;
	if (!ok(sluice_sockets_bar(&sockets, &socket, &barred, true) || errno == ENOPROTOOPT, "its network is barred"))
		return;
	if (errno == ENOPROTOOPT)
	{
		ok(true, "no one is barred # SKIP the system has no TCP_MD5SIG");
		return;
	}
	ok(sluice_sockets_bar(&sockets, &socket, &ipv6, true), "so is one of IPv6");
	ok(dial(3, BARRED_MS) < 0, "a client there cannot connect");
	client = dial(4, WAIT_MS);
	ok(client >= 0, "one in another network can");
	close(client);
	ok(write(before, "x", 1) == 1, "one that was there before still can send");
	ok(sluice_sockets_bar(&sockets, &socket, &barred, false) && sluice_sockets_bar(&sockets, &socket, &ipv6, false),
	   "they are barred no more");
	ok(sluice_sockets_bar(&sockets, &socket, &barred, false), "twice is as good");
	client = dial(3, WAIT_MS);
	ok(client >= 0, "then a client there can");
	close(client);
	close(before);
}

/* Whoever takes all descriptors is not safe from it. */
static void
test_no_descriptors(void)
{
	struct rlimit limit;
	SluiceSocket found;
	int			client = dial(3, WAIT_MS);
	int			server = accept_from(client);
	char		byte;

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = (rlim_t) dup(client);	/* the lowest that is free */
	close((int) limit.rlim_cur);
	setrlimit(RLIMIT_NOFILE, &limit);
	ok(dup(client) < 0, "the process has no descriptor left");
	is_number(count(false, &found), 1, "its sockets are found");
	sluice_sockets_reset(&sockets, &found);
	ok(recv(server, &byte, 1, 0) < 0 && errno != EAGAIN, "and reset");
	close(server);
	close(client);
}

int
main(void)
{
	start_listening();
	ok(sluice_sockets_open(&sockets, port), "open");
	test_reset();
	test_bar();
	test_no_descriptors();
	sluice_sockets_close(&sockets);
	return finish();
}
