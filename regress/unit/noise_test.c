/*
 * noise_test.c
 *		What is known of connections, and what is forgotten.
 */
#include "endpoint/client_address.h"
#include "endpoint/noise.h"

#include <stdio.h>

#include "tap.h"

static SluiceNoise noise;

static struct sockaddr_storage
client(int port)
{
	struct sockaddr_storage address;
	char		peer[40];

	snprintf(peer, sizeof(peer), "ipv4:192.0.2.7:%d", port);
	sluice_client_address_parse(&address, peer);
	return address;
}

static SluiceTalker *
join(int port)
{
	struct sockaddr_storage address = client(port);

	return sluice_noise_join(&noise, &address);
}

static SluiceTalk
take(int port)
{
	struct sockaddr_storage address = client(port);

	return sluice_noise_take(&noise, &address);
}

static void
test_trust(void)
{
	SluiceTalker *talker = join(1);
	SluiceTalk	talk;

	ok(join(1) == talker && join(2) != talker, "a connection is told by address and port");
	talk = take(1);
	ok(talk.calls == 2 && !talk.trusted, "two calls, none of them let in");
	sluice_noise_leave(&noise, talker, false);
	talk = take(1);
	ok(talk.calls == 1 && talk.voids == 1 && !talk.trusted, "one came to nothing");
	is_number(take(1).voids, 0, "what was taken is not there any more");
	sluice_noise_trust(talker);
	ok(take(1).trusted, "the other one is let in: the connection is trusted");
	sluice_noise_leave(&noise, talker, true);
	talk = take(1);
	ok(talk.trusted && talk.calls == 0 && talk.voids == 0, "and stays so");
	ok(join(1) == talker, "a third call");
	sluice_noise_leave(&noise, talker, false);
	talk = take(1);
	ok(talk.trusted && talk.voids == 1, "that comes to nothing, too");
	ok(take(3).calls == 0 && !take(3).trusted, "of a connection without calls nothing is known");
}

static void
test_forgetting(void)
{
	SluiceTalker *open = join(9);
	int			known = 0;

	for (int port = 10000; port < 20000; port++)
		sluice_noise_leave(&noise, join(port), false);
	for (int port = 10000; port < 20000; port++)
		known += take(port).voids != 0;
	is_number(known, 4096, "some of those without calls are remembered");
	ok(take(9).calls == 1, "and each that has calls");
	sluice_noise_leave(&noise, join(19999), false);
	ok(take(19999).voids == 1, "one that comes again is the same");
	sluice_noise_leave(&noise, open, true);
}

static void
test_unix(void)
{
	/* A unix socket has no talker. */
	sluice_noise_trust(NULL);
	sluice_noise_leave(&noise, NULL, true);
	ok(true, "of a unix socket nothing is noted");
}

int
main(void)
{
	sluice_noise_init(&noise);
	test_trust();
	test_forgetting();
	test_unix();
	sluice_noise_free(&noise);
	return finish();
}
