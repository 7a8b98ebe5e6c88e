/* server: targets and names of streams. */
#include "server.h"

#include <stdlib.h>

#include "tap.h"

static void
target_is(const char *server, const char *expected)
{
	char	   *target = sluice_server_target(server);

	is_bytes(target, strlen(target), expected, server);
	free(target);
}

int
main(void)
{
	target_is("db1", "db1:50051");
	target_is("db1:7", "db1:7");
	target_is("10.0.0.1", "10.0.0.1:50051");
	target_is("[::1]", "[::1]:50051");
	target_is("[::1]:7", "[::1]:7");
	target_is("unix:/run/sluice", "unix:/run/sluice");
	target_is("ipv4:10.0.0.1:7,10.0.0.2:7", "ipv4:10.0.0.1:7,10.0.0.2:7");
	ok(sluice_server_stream_valid("readings") && sluice_server_stream_valid("a b"), "names that can be sent");
	ok(!sluice_server_stream_valid("") && !sluice_server_stream_valid(" a") && !sluice_server_stream_valid("a ") &&
	   !sluice_server_stream_valid("a\nb") && !sluice_server_stream_valid("\xC3\xA4"), "names that cannot");
	return done_testing();
}
