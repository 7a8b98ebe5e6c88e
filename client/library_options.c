/*
 * library_options.c
 *		The options of commands that open a producer or a consumer.
 */
#include "library_options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool
set(sluice_options *options, const char *name, const char *value, const char *command)
{
	if (value == NULL || *value == '\0' || sluice_options_set(options, name, value) == SLUICE_OK)
		return true;
	fprintf(stderr, "%s: %s\n", command, sluice_options_message(options));
	return false;
}

/* NAME=VALUE */
static bool
set_pair(sluice_options *options, const char *pair, const char *command)
{
	const char *equals = strchr(pair, '=');
	char		name[64];

	if (equals == NULL || equals == pair || (size_t) (equals - pair) >= sizeof(name))
	{
		fprintf(stderr, "%s: --set takes NAME=VALUE: \"%s\"\n", command, pair);
		return false;
	}
	memcpy(name, pair, (size_t) (equals - pair));
	name[equals - pair] = '\0';
	if (sluice_options_set(options, name, equals + 1) == SLUICE_OK)
		return true;
	fprintf(stderr, "%s: %s\n", command, sluice_options_message(options));
	return false;
}

/* A command line is seen by every user of the machine. */
static bool
has_password(const char *server)
{
	sluice_options *options = sluice_options_create();
	bool		found = options != NULL && sluice_options_set(options, "server", server) == SLUICE_OK &&
		*sluice_options_get(options, "password") != '\0';

	sluice_options_free(options);
	return found;
}

static bool
complain_of_password(const char *command)
{
	fprintf(stderr, "%s: a password is not given on the command line, which others can see: "
			"use $SLUICE_PASSWORD, or a password file (~/.pgpass)\n", command);
	return false;
}

static bool
check_passwords(const SluiceLibraryOptions *library, const char *command)
{
	if (library->server != NULL && has_password(library->server))
		return complain_of_password(command);
	for (size_t i = 0; i < library->set.count; i++)
	{
		const char *pair = library->set.items[i];

		if (strncmp(pair, "password=", 9) == 0 || (strncmp(pair, "server=", 7) == 0 && has_password(pair + 7)))
			return complain_of_password(command);
	}
	return true;
}

static bool
set_environment(sluice_options *options, const SluiceLibraryOptions *library, const char *command)
{
	return set(options, "client", command, command) &&
		set(options, "server", library->server != NULL ? library->server : getenv("SLUICE_SERVER"), command) &&
		set(options, "password", getenv("SLUICE_PASSWORD"), command);
}

static bool
set_connection(sluice_options *options, const SluiceLibraryOptions *library, const char *command)
{
	return set(options, "user", library->user, command) &&
		set(options, "tls", !library->tls_given ? NULL : library->tls ? "on" : "off", command) &&
		set(options, "tls_ca", library->tls_ca, command) && set(options, "tls_cert", library->tls_cert, command) &&
		set(options, "tls_key", library->tls_key, command) && set(options, "tls_name", library->tls_name, command);
}

static bool
set_all(sluice_options *options, const SluiceLibraryOptions *library, const char *command)
{
	if (!check_passwords(library, command) || !set_environment(options, library, command))
		return false;
	for (size_t i = 0; i < library->set.count; i++)
	{
		if (!set_pair(options, library->set.items[i], command))
			return false;
	}
	return set_connection(options, library, command) && set(options, "stream", library->stream, command) &&
		set(options, "durability", library->durability, command);
}

void
sluice_library_options_write(const SluiceLibraryOptions *library, char *text, size_t size)
{
	const struct
	{
		const char *name;
		const char *value;
	}			given[] = {
		{"server", library->server}, {"stream", library->stream}, {"user", library->user}, {"tls-ca", library->tls_ca},
		{"tls-cert", library->tls_cert}, {"tls-key", library->tls_key}, {"tls-name", library->tls_name}
	};
	size_t		length = (size_t) snprintf(text, size, "%s", !library->tls_given ? "" : library->tls ? " --tls" : " --no-tls");

	for (size_t i = 0; i < sizeof(given) / sizeof(given[0]) && length < size; i++)
	{
		if (given[i].value != NULL)
			length += (size_t) snprintf(text + length, size - length, " --%s '%s'", given[i].name, given[i].value);
	}
}

sluice_options *
sluice_library_options_make(const SluiceLibraryOptions *library, const char *command)
{
	sluice_options *options = sluice_options_create();

	if (options == NULL)
		fprintf(stderr, "%s: out of memory\n", command);
	else if (set_all(options, library, command))
		return options;
	sluice_options_free(options);
	return NULL;
}
