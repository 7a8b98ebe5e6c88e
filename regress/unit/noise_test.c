/*
 * noise_test.c
 *		What is known of connections: credit, calls, and what is forgotten.
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
test_credit(void)
{
	SluiceTalker *talker = join(1);
	SluiceTalk	talk;

	ok(join(1) == talker && join(2) != talker, "a connection is told by address and port");
	sluice_noise_admit(talker);
	sluice_noise_received(talker, 1000);
	sluice_noise_received(talker, 2000);
	sluice_noise_sent(talker, 25600);
	talk = take(1);
	ok(talk.calls == 2 && talk.admitted == 1, "two calls, one of them let in");
	is_number(talk.credit, 3000 + 100 + 3 * SLUICE_NOISE_MESSAGE, "messages earn what they cost");
	is_number(take(1).credit, 0, "what was taken is not there any more");
	sluice_noise_leave(&noise, talker, true);
	is_number(take(1).credit, SLUICE_NOISE_CALL, "a call that was let in earns for its headers");
	sluice_noise_leave(&noise, talker, false);
	talk = take(1);
	is_number(talk.credit, -SLUICE_NOISE_VOID, "one that was not costs more than it sent");
	ok(talk.calls == 0 && talk.admitted == 0, "no call is left");
	ok(take(3).calls == 0 && take(3).credit == 0, "of a connection without calls nothing is known");
}

static void
test_forgetting(void)
{
	SluiceTalker *open = join(9);
	int			known = 0;

	for (int port = 1000; port < 2000; port++)
		sluice_noise_leave(&noise, join(port), false);
	for (int port = 1000; port < 2000; port++)
		known += take(port).credit != 0;
	is_number(known, 256, "some of those without calls are remembered");
	ok(take(1999).credit == 0 && take(9).calls == 1, "the last ones of them, and each that has calls");
	ok(join(1999) != NULL && take(1999).calls == 1, "one that comes again");
	sluice_noise_leave(&noise, open, true);
}

static void
test_unix(void)
{
	/* A unix socket has no talker. */
	sluice_noise_admit(NULL);
	sluice_noise_received(NULL, 1);
	sluice_noise_sent(NULL, 1);
	sluice_noise_leave(&noise, NULL, true);
	ok(true, "of a unix socket nothing is noted");
}

int
main(void)
{
	sluice_noise_init(&noise);
	test_credit();
	test_forgetting();
	test_unix();
	sluice_noise_free(&noise);
	return finish();
}
