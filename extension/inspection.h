/*
 * inspection.h
 *		Queries of ours on a target, for a caller in SQL.
 *
 * The caller needs SELECT, and no policy may hide rows from him, for what it hides
 * would look as if it were missing.  But the target is another one's, and a query may run
 * code of his (a view's functions, casts of a column's type): so it runs as the table's
 * owner, in a security-restricted operation and with nothing but pg_catalog in the search path.
 */
#ifndef SLUICE_INSPECTION_H
#define SLUICE_INSPECTION_H

#include "postgres.h"

#include "acting.h"

/*
 * Checks the caller, then acts as the owner of the relation, until sluice_acting_end.
 * The columns are those that are read; one that is not there is left to the query.
 */
extern void sluice_inspection_begin(SluiceActing *acting, Oid relid, const char *first, const char *second);

#endif							/* SLUICE_INSPECTION_H */
