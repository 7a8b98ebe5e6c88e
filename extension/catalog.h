/*
 * catalog.h
 *		Our own relations, found by name in the schema sluice.
 */
#ifndef SLUICE_CATALOG_H
#define SLUICE_CATALOG_H

#include "postgres.h"

#include "executor/spi.h"

#define SLUICE_SCHEMA "sluice"

/* The OID of one of our relations; an error where the extension is not installed. */
extern Oid	sluice_catalog_relation(const char *name);

/* The same, InvalidOid where it is not there. */
extern Oid	sluice_catalog_find(const char *name);

/* The role that owns the extension's tables. */
extern Oid	sluice_catalog_owner(void);

/*
 * Run one SQL command of ours on our own tables, as the extension's owner and
 * with nothing but pg_catalog in the search path, so that the caller needs no
 * privilege on them and can change none of its names.  Within SPI; the result
 * stays in SPI_tuptable.  Returns SPI_processed.  expected is SPI_OK_...
 */
extern uint64 sluice_catalog_execute(const char *sql, int nargs, Oid *types,
									 Datum *values, const char *nulls, int expected);

/* The same for commands that run often: *plan is kept for the session; NULL at first. */
extern uint64 sluice_catalog_execute_kept(SPIPlanPtr *plan, const char *sql, int nargs, Oid *types,
										  Datum *values, const char *nulls, int expected);

#endif							/* SLUICE_CATALOG_H */
