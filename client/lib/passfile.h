/*
 * passfile.h
 *		A line of a password file, in the format of PostgreSQL's .pgpass.
 *
 *	hostname:port:database:username:password
 *
 * A field of "*" fits everything; a colon or backslash in a field has a backslash before it.  Lines that
 * begin with # are comments.
 */
#ifndef SLUICE_LIB_PASSFILE_H
#define SLUICE_LIB_PASSFILE_H

#include <stdbool.h>

/* There is no database to name: a line fits whose field is * or this. */
#define SLUICE_PASSFILE_DATABASE "sluice"

/* Does the line fit?  Then *password is its password, decoded in its place.  The line is changed then. */
extern bool sluice_passfile_fits(char *line, const char *host, const char *port, const char *user, char **password);

#endif							/* SLUICE_LIB_PASSFILE_H */
