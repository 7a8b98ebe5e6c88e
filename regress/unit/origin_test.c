/*
 * origin_test.c
 *		What counts as one address.
 */
#include "origin.h"

#include "endpoint/client_address.h"
#include "tap.h"

static SluiceOrigin
origin_of(const char *peer)
{
	struct sockaddr_storage address;

	sluice_client_address_parse(&address, peer);
	return sluice_origin_of(&address);
}

/* As the tables of the gate and of the buckets have it. */
static bool
are_one(const char *first, const char *second)
{
	SluiceOrigin one = origin_of(first);
	SluiceOrigin two = origin_of(second);

	return memcmp(&one, &two, sizeof(one)) == 0 && sluice_origin_equal(&one, &two);
}

static const char *
text_of(const char *peer)
{
	static char text[SLUICE_ORIGIN_TEXT];
	SluiceOrigin origin = origin_of(peer);

	sluice_origin_print(&origin, text);
	return text;
}

int
main(void)
{
	ok(are_one("ipv4:192.0.2.7:4711", "ipv4:192.0.2.7:4712"), "the port does not count");
	ok(!are_one("ipv4:192.0.2.7:4711", "ipv4:192.0.2.8:4711"), "IPv4 is the whole address");
	ok(are_one("ipv6:%5B2001:db8:1:2::1%5D:4711", "ipv6:%5B2001:db8:1:2:ffff:ffff:ffff:ffff%5D:4712"), "IPv6 is a network");
	ok(!are_one("ipv6:%5B2001:db8:1:2::1%5D:4711", "ipv6:%5B2001:db8:1:3::1%5D:4711"), "of 64 bits");
	ok(are_one("ipv4:192.0.2.7:4711", "ipv6:%5B::ffff:192.0.2.7%5D:4711"), "IPv4 in IPv6 is IPv4");
	ok(!are_one("ipv6:%5B::ffff:192.0.2.7%5D:4711", "ipv6:%5B::ffff:192.0.2.8%5D:4711"), "and no network");
	ok(!are_one("ipv4:0.0.0.0:4711", "ipv6:%5B::1%5D:4711"), "families are apart");
	ok(are_one("unix:", "unix:/run/sluice"), "unix sockets are one");
	ok(!are_one("unix:", "ipv4:0.0.0.0:4711"), "and nobody else");
	is_text(text_of("ipv4:192.0.2.7:4711"), "192.0.2.7", "as text");
	is_text(text_of("ipv6:[2001:db8:1:2:3::9]:1"), "2001:db8:1:2::/64", "of IPv6");
	return finish();
}
