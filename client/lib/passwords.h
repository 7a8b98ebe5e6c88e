/*
 * passwords.h
 *		Where the password of the role comes from.
 *
 * The option password; else PGPASSWORD of the environment; else the line of a password file that
 * fits the server which is tried: the option passfile, else PGPASSFILE, else ~/.pgpass.  The environment is
 * read once, when a producer or consumer is opened; the file before each connection.
 */
#ifndef SLUICE_LIB_PASSWORDS_H
#define SLUICE_LIB_PASSWORDS_H

#include <stdbool.h>

#include "endpoints.h"
#include "settings.h"

typedef struct SluicePasswords
{
	const SluiceSettings *settings;
	char	   *environment;	/* PGPASSWORD, or NULL */
	char	   *path;			/* of the file, or NULL */
	bool		named;			/* by the option or PGPASSFILE: it should be there */
	bool		warned;			/* that it is of no use */
} SluicePasswords;

/* ERROR_MEMORY: nothing is to be released. */
extern int sluice_passwords_init(SluicePasswords *passwords, const SluiceSettings *settings);
extern void sluice_passwords_release(SluicePasswords *passwords);

/* *password is "" where there is none; give it back.  ERROR_MEMORY. */
extern int sluice_passwords_find(SluicePasswords *passwords, const SluiceEndpoint *endpoint, char **password);

/* Of a secret nothing stays in memory that is given back.  NULL is nothing. */
extern void sluice_passwords_forget(char *text);

#endif							/* SLUICE_LIB_PASSWORDS_H */
