/* endpoints: what a list of servers may look like, and who is next. */
#include "endpoints.h"

#include "sluice.h"
#include "tap.h"

static void
reads(const char *text, const char *name, const char *target, bool local)
{
	SluiceEndpoints endpoints;
	SluiceError error = {""};
	int			code = sluice_endpoints_read(&endpoints, text, &error);

	ok(code == SLUICE_OK && endpoints.count == 1 && strcmp(endpoints.list[0].name, name) == 0 &&
	   strcmp(endpoints.list[0].target, target) == 0 && endpoints.list[0].local == local, text);
	if (code == SLUICE_OK)
		sluice_endpoints_release(&endpoints);
}

/* As a password file names it. */
static void
has_host(const char *text, const char *host, const char *port)
{
	SluiceEndpoints endpoints;
	int			code = sluice_endpoints_read(&endpoints, text, NULL);

	ok(code == SLUICE_OK && strcmp(endpoints.list[0].host, host) == 0 && strcmp(endpoints.list[0].port, port) == 0, text);
	if (code == SLUICE_OK)
		sluice_endpoints_release(&endpoints);
}

static void
complains(const char *text, const char *message)
{
	SluiceEndpoints endpoints;
	SluiceError error = {""};
	int			code = sluice_endpoints_read(&endpoints, text, &error);

	if (!ok(code == SLUICE_ERROR_OPTION && strcmp(error.text, message) == 0, message))
		printf("# %d: %s\n", code, error.text);
	if (code == SLUICE_OK)
		sluice_endpoints_release(&endpoints);
}

static void
take_turns(void)
{
	SluiceEndpoints endpoints;
	const SluiceEndpoint *list;

	if (!ok(sluice_endpoints_read(&endpoints, " db1:1 ,db2,\tunix:/run/x", NULL) == SLUICE_OK && endpoints.count == 3,
			"three servers"))
		return;
	list = endpoints.list;
	ok(strcmp(list[0].target, "dns:///db1:1") == 0 && strcmp(list[1].target, "dns:///db2:50051") == 0 &&
	   strcmp(list[2].target, "unix:/run/x") == 0, "without the blanks around them");
	ok(sluice_endpoints_current(&endpoints) == &list[0], "the first one first");
	sluice_endpoints_failed(&endpoints, true);
	ok(sluice_endpoints_current(&endpoints) == &list[0], "one that acknowledged is tried again");
	sluice_endpoints_failed(&endpoints, false);
	ok(sluice_endpoints_current(&endpoints) == &list[1], "then the next");
	sluice_endpoints_failed(&endpoints, false);
	sluice_endpoints_failed(&endpoints, false);
	ok(sluice_endpoints_current(&endpoints) == &list[0], "and from the beginning");
	sluice_endpoints_release(&endpoints);
}

int
main(void)
{
	char		many[4096];

	reads("db1:50051", "db1:50051", "dns:///db1:50051", false);
	reads("db1", "db1", "dns:///db1:50051", false);
	reads("192.0.2.1:1", "192.0.2.1:1", "dns:///192.0.2.1:1", false);
	reads("[2001:db8::1]", "[2001:db8::1]", "dns:///[2001:db8::1]:50051", false);
	reads("[::1]:65535", "[::1]:65535", "dns:///[::1]:65535", true);
	reads("LOCALHOST", "LOCALHOST", "dns:///LOCALHOST:50051", true);
	reads("127.0.0.1:5", "127.0.0.1:5", "dns:///127.0.0.1:5", true);
	reads("127.example.net", "127.example.net", "dns:///127.example.net:50051", false);
	reads("localhost.example.net:5", "localhost.example.net:5", "dns:///localhost.example.net:5", false);
	reads("unix:/run/a:b", "unix:/run/a:b", "unix:/run/a:b", true);
	reads("unix-abstract:x", "unix-abstract:x", "unix-abstract:x", true);

	complains("", "an element of the list of servers is empty");
	complains("db1,,db2", "an element of the list of servers is empty");
	complains("db1, ", "an element of the list of servers is empty");
	complains("::1", "server \"::1\" has several colons: an IPv6 address is written in brackets");
	complains("[::1", "server \"[::1\" has no closing bracket");
	complains("[]:1", "server \"[]:1\" is not HOST, HOST:PORT, [IPv6]:PORT or unix:PATH");
	complains("[::1]x:1", "server \"[::1]x:1\" is not HOST, HOST:PORT, [IPv6]:PORT or unix:PATH");
	complains(":1", "server \":1\" is not HOST, HOST:PORT, [IPv6]:PORT or unix:PATH");
	complains("http://db1", "server \"http://db1\" has no valid port (1 to 65535)");
	complains("db1/x", "server \"db1/x\" is not HOST, HOST:PORT, [IPv6]:PORT or unix:PATH");
	complains("db 1", "server \"db 1\" is not HOST, HOST:PORT, [IPv6]:PORT or unix:PATH");
	complains("db1:", "server \"db1:\" has no valid port (1 to 65535)");
	complains("db1:0", "server \"db1:0\" has no valid port (1 to 65535)");
	complains("db1:65536", "server \"db1:65536\" has no valid port (1 to 65535)");
	complains("db1:5x", "server \"db1:5x\" has no valid port (1 to 65535)");
	complains("unix:", "server \"unix:\" has no path");

	take_turns();
	has_host("db1:5", "db1", "5");
	has_host("DB1", "DB1", "50051");
	has_host("[2001:db8::1]:5", "2001:db8::1", "5");
	has_host("[::1]", "::1", "50051");
	has_host("unix:/run/a:b", "/run/a:b", "");

	memset(many, ',', sizeof(many));
	for (size_t i = 0; i < sizeof(many); i += 2)
		many[i] = 'x';
	many[sizeof(many) - 1] = '\0';
	reads("x", "x", "dns:///x:50051", false);
	{
		SluiceEndpoints endpoints;

		if (ok(sluice_endpoints_read(&endpoints, many, NULL) == SLUICE_OK && endpoints.count == sizeof(many) / 2 &&
			   strcmp(endpoints.list[endpoints.count - 1].target, "dns:///x:50051") == 0, "two thousand servers"))
			sluice_endpoints_release(&endpoints);
	}
	return done_testing();
}
