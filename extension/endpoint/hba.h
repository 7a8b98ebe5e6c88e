/*
 * hba.h
 *		Which line of pg_hba.conf decides about a client.
 *
 * The file is read with the server's own parser and matched here: what the server
 * itself has parsed is gone in a background worker, and hba_getauthmethod() would
 * crash on it.
 */
#ifndef SLUICE_HBA_H
#define SLUICE_HBA_H

#include "postgres.h"

#include "libpq/hba.h"
#include "login.h"

typedef struct SluiceHbaQuery
{
	const SluiceLogin *login;
	const char *database;
	const char *role;			/* its name, "" for none; in the server's encoding, as is database */
	Oid			role_id;		/* InvalidOid: there is no such role */
} SluiceHbaQuery;

typedef enum SluiceHbaResult
{
	SLUICE_HBA_FOUND,
	SLUICE_HBA_NONE,			/* no line matches */
	SLUICE_HBA_WANTS_HOST,		/* a line names a host: login->host is to be looked up first */
	SLUICE_HBA_UNREAD			/* the file could not be read so far */
} SluiceHbaResult;

/* Read the file anew; with a mistake in it that is logged, and what was read before stays. */
extern void sluice_hba_load(void);

/* In a transaction: the first line that matches.  It is good until the next load. */
extern SluiceHbaResult sluice_hba_match(const SluiceHbaQuery *query, const HbaLine **line);

#endif							/* SLUICE_HBA_H */
