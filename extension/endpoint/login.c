/*
 * login.c
 *		What a client shows of itself when its call begins.
 */
#include "login.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

void
sluice_login_forget(char *secret)
{
	if (secret == NULL)
		return;
	explicit_bzero(secret, strlen(secret));
	free(secret);
}

void
sluice_login_free(SluiceLogin *login)
{
	if (login == NULL)
		return;
	sluice_login_forget(login->password);
	free(login->user);
	free(login->certificate_cn);
	free(login->certificate_dn);
	free(login->host);
	free(login);
}

static int
base64_digit(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Decodes to out, which has room for it, and ends it with a NUL; -1: it is no base64. */
static long
decode_base64(char *out, const char *text, size_t length)
{
	unsigned	group = 0;
	size_t		digits = 0;
	size_t		n = 0;

	while (length > 0 && text[length - 1] == '=')
		length--;
	for (; digits < length; digits++)
	{
		int			digit = base64_digit(text[digits]);

		if (digit < 0)
			return -1;
		group = group << 6 | (unsigned) digit;
		if (digits % 4 != 0)
			out[n++] = (char) (group >> (4 - 2 * (digits % 4 - 1)) & 0xff);
	}
	out[n] = '\0';
	return digits % 4 == 1 ? -1 : (long) n;
}

static void
take_pair(SluiceLogin *login, char *pair, long length)
{
	char	   *colon = length < 0 ? NULL : memchr(pair, ':', (size_t) length);

	if (colon == NULL || colon == pair || memchr(pair, '\0', (size_t) length) != NULL)
	{
		login->mistake = "authorization is not base64 of ROLE:PASSWORD";
		return;
	}
	if (length - (colon + 1 - pair) > SLUICE_LOGIN_PASSWORD_MAX)
	{
		login->mistake = "the password is too long";
		explicit_bzero(pair, (size_t) length);
		return;
	}
	*colon = '\0';
	login->user = strdup(pair);
	if (colon[1] != '\0')
		login->password = strdup(colon + 1);
	if (login->user == NULL || (colon[1] != '\0' && login->password == NULL))
		login->mistake = "the worker is out of memory";
	explicit_bzero(pair, (size_t) length);
}

void
sluice_login_read_authorization(SluiceLogin *login, const char *value, size_t length)
{
	char	   *pair;

	if (login->user != NULL || login->mistake != NULL)
	{
		login->mistake = "there is more than one authorization";
		return;
	}
	if (length < 6 || strncasecmp(value, "Basic ", 6) != 0)
	{
		login->mistake = "authorization must be Basic";
		return;
	}
	pair = malloc(length);
	if (pair == NULL)
	{
		login->mistake = "the worker is out of memory";
		return;
	}
	take_pair(login, pair, decode_base64(pair, value + 6, length - 6));
	free(pair);
}
