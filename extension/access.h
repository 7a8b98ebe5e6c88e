/*
 * access.h
 *		What the role of a client may do: be here at all, put rows into a table, read them.
 *
 * In a transaction, and asked anew each time, so that what is revoked is revoked.
 */
#ifndef SLUICE_ACCESS_H
#define SLUICE_ACCESS_H

#include "postgres.h"

#include "access/attnum.h"

typedef enum SluiceStanding
{
	SLUICE_STANDING_GOOD,
	SLUICE_STANDING_NO_ROLE,	/* it does not exist (any more) */
	SLUICE_STANDING_NO_LOGIN,	/* NOLOGIN */
	SLUICE_STANDING_NO_CONNECTIONS,	/* the database takes none */
	SLUICE_STANDING_NO_CONNECT	/* it has no CONNECT on the database */
} SluiceStanding;

/* Would the role get a session of this database? */
extern PGDLLEXPORT SluiceStanding sluice_access_standing(Oid role);

/*
 * May the role insert into these columns of the table, or select from some of its columns?  A schema
 * that it may not use counts as well.  NULL: it may; else why not, palloc'ed, in the server's encoding.
 */
extern PGDLLEXPORT char *sluice_access_insert_refusal(Oid role, Oid relid, const AttrNumber *columns, int ncolumns);
extern PGDLLEXPORT char *sluice_access_select_refusal(Oid role, Oid relid);

#endif							/* SLUICE_ACCESS_H */
