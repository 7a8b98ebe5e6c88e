/*
 * passfile.c
 *		A line of a password file, in the format of PostgreSQL's .pgpass.
 */
#include "passfile.h"

#include <stddef.h>
#include <string.h>

/* The text behind the field and its colon where it fits, else NULL. */
static char *
pass_field(char *line, const char *wanted)
{
	if (line == NULL)
		return NULL;
	if (line[0] == '*' && line[1] == ':')
		return line + 2;
	for (; *line != ':'; line++, wanted++)
	{
		if (*line == '\\' && line[1] != '\0')
			line++;
		if (*line == '\0' || *line != *wanted)
			return NULL;
	}
	return *wanted == '\0' ? line + 1 : NULL;
}

bool
sluice_passfile_fits(char *line, const char *host, const char *port, const char *user, char **password)
{
	char	   *in;
	char	   *out;

	if (*line == '#')
		return false;
	in = pass_field(pass_field(pass_field(pass_field(line, host), port), SLUICE_PASSFILE_DATABASE), user);
	if (in == NULL)
		return false;
	*password = out = in;
	while (*in != '\0' && *in != ':' && *in != '\n' && *in != '\r')
	{
		if (*in == '\\' && in[1] != '\0' && in[1] != '\n')
			in++;
		*out++ = *in++;
	}
	*out = '\0';
	return true;
}
