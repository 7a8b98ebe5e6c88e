/*
 * target.c
 *		A target string: server, role, password, stream and options in one.
 *
 * One pass over a copy: the text is cut at its separators, then each piece is decoded in
 * its place.  A raw "@" behind the hosts is refused: it is there because of a "/" or "?"
 * in a password that was not encoded, and half of the password would be taken for a host.
 */
#include "target.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "../sluice.h"

#define SCHEME "sluice://"

static int
digit_of(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* What is wrong, or NULL. */
static const char *
decode(char *text)
{
	char	   *out = text;

	for (; *text != '\0'; out++)
	{
		int			high;
		int			low;

		if (*text != '%')
		{
			*out = *text++;
			continue;
		}
		high = digit_of(text[1]);
		low = high >= 0 ? digit_of(text[2]) : -1;
		if (low < 0)
			return "has a % without two hexadecimal digits behind it";
		if (high == 0 && low == 0)
			return "has a %00, which no value may have";
		*out = (char) (high << 4 | low);
		text += 3;
	}
	*out = '\0';
	return NULL;
}

static bool
has(const SluiceTarget *target, const char *name)
{
	for (size_t i = 0; i < target->count; i++)
	{
		if (strcmp(target->pairs[i].name, name) == 0)
			return true;
	}
	return false;
}

static const char *
add(SluiceTarget *target, const char *name, char *value)
{
	const char *mistake = decode(value);

	if (mistake != NULL)
		return mistake;
	if (has(target, name))
		return "names an option twice";
	if (target->count == SLUICE_TARGET_PAIRS_MAX)
		return "has too many options";
	target->pairs[target->count++] = (SluiceTargetPair) {name, value};
	return NULL;
}

static const char *
read_user(SluiceTarget *target, char *text)
{
	char	   *colon = strchr(text, ':');
	const char *mistake;

	if (colon != NULL)
		*colon++ = '\0';
	if (*text == '\0')
		return "has no user in front of the @";
	mistake = add(target, "user", text);
	if (mistake == NULL && colon != NULL)
		mistake = add(target, "password", colon);
	return mistake;
}

static const char *
read_parameter(SluiceTarget *target, char *text)
{
	char	   *equals = strchr(text, '=');
	const char *mistake;

	if (equals == NULL || equals == text)
		return "has a parameter that is not OPTION=VALUE";
	*equals = '\0';
	mistake = decode(text);
	if (mistake != NULL)
		return mistake;
	if (strcmp(text, "server") == 0 || strcmp(text, "buffer") == 0)
		return "has a parameter \"server\" or \"buffer\", which it cannot set";
	return add(target, text, equals + 1);
}

static const char *
read_parameters(SluiceTarget *target, char *text)
{
	const char *mistake = NULL;
	char	   *next;

	for (; mistake == NULL && text != NULL && *text != '\0'; text = next)
	{
		next = strchr(text, '&');
		if (next != NULL)
			*next++ = '\0';
		mistake = read_parameter(target, text);
	}
	return mistake;
}

/* Cuts the text in front of the separator and returns what follows, or NULL. */
static char *
cut(char *text, char separator)
{
	char	   *place = text != NULL ? strchr(text, separator) : NULL;

	if (place == NULL)
		return NULL;
	*place = '\0';
	return place + 1;
}

static const char *
read_pieces(SluiceTarget *target, char *hosts)
{
	char	   *rest = hosts + strcspn(hosts, "/?");
	char	   *parameters;
	char	   *stream;
	char	   *at;
	const char *mistake = NULL;

	if (strchr(rest, '@') != NULL)
		return "has an @ behind the hosts: write it %40, and / and ? in a user or password %2F and %3F";
	parameters = cut(hosts, '?');
	stream = cut(hosts, '/');
	if (stream != NULL && strchr(stream, '/') != NULL)
		return "has more than the name of a stream behind the hosts: a / in it is written %2F";
	at = strrchr(hosts, '@');
	if (at != NULL)
	{
		*at = '\0';
		mistake = read_user(target, hosts);
		hosts = at + 1;
	}
	if (mistake == NULL && *hosts != '\0')
		mistake = add(target, "server", hosts);
	if (mistake == NULL && stream != NULL && *stream != '\0')
		mistake = add(target, "stream", stream);
	return mistake != NULL ? mistake : read_parameters(target, parameters);
}

bool
sluice_target_is(const char *text)
{
	return strncasecmp(text, SCHEME, strlen(SCHEME)) == 0;
}

int
sluice_target_read(const char *text, SluiceTarget *target, SluiceError *error)
{
	const char *mistake;

	target->count = 0;
	target->size = strlen(text) + 1;
	target->memory = malloc(target->size);
	if (target->memory == NULL)
		return sluice_error_set(error, SLUICE_ERROR_MEMORY, "out of memory");
	memcpy(target->memory, text, target->size);
	mistake = read_pieces(target, target->memory + strlen(SCHEME));
	if (mistake == NULL)
		return SLUICE_OK;
	sluice_target_release(target);
	return sluice_error_set(error, SLUICE_ERROR_OPTION, "the target string %s", mistake);
}

void
sluice_target_release(SluiceTarget *target)
{
	explicit_bzero(target->memory, target->size);
	free(target->memory);
	target->memory = NULL;
	target->count = 0;
}
