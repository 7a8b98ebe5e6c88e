/*
 * client_address_test.c
 *		Where a client connects from, as gRPC and as the system write it.
 */
#include "endpoint/client_address.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "tap.h"

/* The address, or what is known instead. */
static const char *
address_of(const char *peer)
{
	static char text[INET6_ADDRSTRLEN];
	struct sockaddr_storage address;

	sluice_client_address_parse(&address, peer);
	switch (address.ss_family)
	{
		case AF_UNIX:
			return "unix";
		case AF_INET:
			return inet_ntop(AF_INET, &((struct sockaddr_in *) &address)->sin_addr, text, sizeof(text));
		case AF_INET6:
			return inet_ntop(AF_INET6, &((struct sockaddr_in6 *) &address)->sin6_addr, text, sizeof(text));
		default:
			return "unknown";
	}
}

static void
test_parse(void)
{
	is_text(address_of("ipv4:192.0.2.7:4711"), "192.0.2.7", "IPv4");
	is_text(address_of("ipv6:%5B2001:db8::1%5D:4711"), "2001:db8::1", "IPv6, as gRPC writes it");
	is_text(address_of("ipv6:[2001:db8::1]:4711"), "2001:db8::1", "IPv6 in brackets");
	is_text(address_of("ipv6:%5Bfe80::1%25eth0%5D:4711"), "fe80::1", "IPv6 with a scope");
	is_text(address_of("ipv6:[fe80::1%eth0]:4711"), "fe80::1", "IPv6 in brackets with a scope");
	is_text(address_of("ipv6:%5B::ffff:192.0.2.7%5D:4711"), "192.0.2.7", "IPv4 in IPv6");
	is_text(address_of("unix:"), "unix", "a unix socket");
	is_text(address_of("unix:/run/sluice"), "unix", "a unix socket with a name");
	is_text(address_of("unix-abstract:x"), "unknown", "no socket that pg_hba.conf calls local");
	is_text(address_of("ipv4:192.0.2.7.1:4711"), "unknown", "no address");
	is_text(address_of("ipv4:1920000000000000000000000000000000000000000000000000.0.2.7:1"), "unknown", "longer than any address");
	is_text(address_of("ipv4:"), "unknown", "nothing behind the family");
	is_text(address_of(""), "unknown", "nothing");
}

static struct sockaddr_storage
parsed(const char *peer)
{
	struct sockaddr_storage address;

	sluice_client_address_parse(&address, peer);
	return address;
}

/* What getpeername says, with things in it that are not compared. */
static struct sockaddr_storage
named(const char *ipv6, int port)
{
	struct sockaddr_storage name;
	struct sockaddr_storage address;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *) &name;

	memset(&name, 0xff, sizeof(name));
	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons((uint16_t) port);
	inet_pton(AF_INET6, ipv6, &in6->sin6_addr);
	sluice_client_address_set(&address, &name);
	return address;
}

static void
test_equal(void)
{
	struct sockaddr_storage ipv6 = parsed("ipv6:%5B2001:db8::1%5D:4711");
	struct sockaddr_storage ipv4 = parsed("ipv4:192.0.2.7:4711");
	struct sockaddr_storage other = parsed("ipv4:192.0.2.7:4712");
	struct sockaddr_storage name = named("2001:db8::1", 4711);
	struct sockaddr_storage mapped = named("::ffff:192.0.2.7", 4711);

	ok(sluice_client_address_equal(&ipv6, &name), "what gRPC and the system say of an IPv6 client is the same");
	ok(sluice_client_address_equal(&ipv4, &mapped), "so is that of an IPv4 client, also on a socket for both");
	ok(sluice_client_address_hash(&ipv4) == sluice_client_address_hash(&mapped), "and its hash");
	ok(!sluice_client_address_equal(&ipv4, &other), "another port is another client");
}

int
main(void)
{
	test_parse();
	test_equal();
	return finish();
}
