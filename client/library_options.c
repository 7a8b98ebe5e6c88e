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

static bool
set_all(sluice_options *options, const SluiceLibraryOptions *library, const char *command)
{
	if (!set(options, "client", command, command) || !set(options, "server", getenv("SLUICE_SERVER"), command) ||
		!set(options, "password", getenv("SLUICE_PASSWORD"), command))
		return false;
	for (size_t i = 0; i < library->set.count; i++)
	{
		if (!set_pair(options, library->set.items[i], command))
			return false;
	}
	return set(options, "server", library->server, command) && set(options, "stream", library->stream, command) &&
		set(options, "durability", library->durability, command);
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
