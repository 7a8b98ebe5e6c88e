/* passfile: which line of a password file fits. */
#include "passfile.h"

#include <stdio.h>
#include <string.h>

#include "tap.h"

static void
is(const char *line, const char *expected)
{
	char		copy[256];
	char	   *password = NULL;
	bool		fits;

	snprintf(copy, sizeof(copy), "%s", line);
	fits = sluice_passfile_fits(copy, "db:1", "50051", "me\\ter", &password);
	ok(expected == NULL ? !fits : fits && strcmp(password, expected) == 0, expected != NULL ? expected : line);
}

int
main(void)
{
	is("db\\:1:50051:sluice:me\\\\ter:every field\n", "every field");
	is("*:*:*:*:stars\r\n", "stars");
	is("*:*:sluice:*:back\\\\slash and \\:", "back\\slash and :");
	is("*:*:*:*:up to a colon:more", "up to a colon");
	is("*:*:*:*:", "");
	is("db\\:1:50051:*:me\\\\ter:no newline", "no newline");
	is("# *:*:*:*:comment", NULL);
	is("#:*:*:*:comment", NULL);
	is("db:1:50051:*:*:a colon that is not escaped", NULL);
	is("db2:*:*:*:another host", NULL);
	is("db:*:*:*:the beginning of the host", NULL);
	is("db\\:12:*:*:*:more than the host", NULL);
	is("*:5005:*:*:another port", NULL);
	is("*:*:postgres:*:another database", NULL);
	is("*:*:*:meter:another user", NULL);
	is("*:*:*", NULL);
	is("*:*:*:*", NULL);
	is("\\", NULL);
	is("", NULL);
	return done_testing();
}
