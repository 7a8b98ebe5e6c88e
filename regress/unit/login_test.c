/*
 * login_test.c
 *		What a client shows of itself: its authorization.
 */
#include "endpoint/login.h"

#include <stdlib.h>

#include "tap.h"

static void
read_header(SluiceLogin *login, const char *value)
{
	/* Of its own size, so that a sanitizer sees what is read behind it. */
	size_t		length = strlen(value);
	char	   *bytes = malloc(length + 1);

	memcpy(bytes, value, length);
	bytes = realloc(bytes, length > 0 ? length : 1);
	sluice_login_read_authorization(login, bytes, length);
	free(bytes);
}

/* "user/password", "-" for none; or the mistake. */
static const char *
read_as(const char *first, const char *second)
{
	static char text[4096];
	SluiceLogin *login = calloc(1, sizeof(SluiceLogin));

	read_header(login, first);
	if (second != NULL)
		read_header(login, second);
	snprintf(text, sizeof(text), "%s/%s", login->user != NULL ? login->user : "-", login->password != NULL ? login->password : "-");
	if (login->mistake != NULL)
		snprintf(text, sizeof(text), "%s", login->mistake);
	sluice_login_free(login);
	return text;
}

#define NO_PAIR "authorization is not base64 of ROLE:PASSWORD"

static void
test_authorization(void)
{
	is_text(read_as("Basic YW5uYTpzZWNyZXQ=", NULL), "anna/secret", "a role and its password");
	is_text(read_as("basic YW5uYTpzZWNyZXQ=", NULL), "anna/secret", "the scheme in any case");
	is_text(read_as("Basic YW5uYTpzZWNyZXQ", NULL), "anna/secret", "without padding");
	is_text(read_as("Basic YW5uYTphOmI=", NULL), "anna/a:b", "a password with a colon");
	is_text(read_as("Basic YW5uYTo=", NULL), "anna/-", "an empty password is none");
	is_text(read_as("Basic w6Q6w7Y=", NULL), "\303\244/\303\266", "UTF-8");
	is_text(read_as("Basic OnNlY3JldA==", NULL), NO_PAIR, "no role");
	is_text(read_as("Basic YW5uYQ==", NULL), NO_PAIR, "no colon");
	is_text(read_as("Basic YW5uYQA6c2VjcmV0", NULL), NO_PAIR, "a NUL in the role");
	is_text(read_as("Basic YW5uYTpzZWMAcmV0", NULL), NO_PAIR, "a NUL in the password");
	is_text(read_as("Basic YW5uYTp!ZWNyZXQ=", NULL), NO_PAIR, "a character that is not base64's");
	is_text(read_as("Basic YW5u=YTpzZWNyZXQ=", NULL), NO_PAIR, "padding in the middle");
	is_text(read_as("Basic YW5uYTpzZ", NULL), NO_PAIR, "a digit too many");
	is_text(read_as("Basic  YW5uYTpzZWNyZXQ=", NULL), NO_PAIR, "two spaces");
	is_text(read_as("Basic ", NULL), NO_PAIR, "nothing behind the scheme");
	is_text(read_as("Basic ====", NULL), NO_PAIR, "padding alone");
	is_text(read_as("Basic", NULL), "authorization must be Basic", "the scheme alone");
	is_text(read_as("", NULL), "authorization must be Basic", "nothing");
	is_text(read_as("Bearer YW5uYTpzZWNyZXQ=", NULL), "authorization must be Basic", "another scheme");
	is_text(read_as("Basic YW5uYTpzZWNyZXQ=", "Basic YmVydDpzZWNyZXQ="), "there is more than one authorization", "two of them");
	is_text(read_as("Bearer x", "Basic YW5uYTpzZWNyZXQ="), "there is more than one authorization", "a wrong one and a right one");
}

/* "a:" and a password of so many characters. */
static const char *
read_password_of(int length)
{
	static char header[4096];
	char	   *to = header + sprintf(header, "Basic YTpw");	/* a:p */

	for (int i = 1; i < length; i += 3)
		to += sprintf(to, "cHBw");	/* ppp */
	return read_as(header, NULL);
}

static void
test_long_password(void)
{
	ok(strlen(read_password_of(SLUICE_LOGIN_PASSWORD_MAX)) == SLUICE_LOGIN_PASSWORD_MAX + 2, "as long a password as may be");
	is_text(read_password_of(SLUICE_LOGIN_PASSWORD_MAX + 3), "the password is too long", "a longer one");
}

int
main(void)
{
	test_authorization();
	test_long_password();
	return finish();
}
