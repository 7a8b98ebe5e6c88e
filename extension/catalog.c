/*
 * catalog.c
 *		Our own relations, found by name in the schema sluice.
 */
#include "postgres.h"

#include "catalog.h"

#include "catalog/namespace.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "access/table.h"
#include "access/htup_details.h"
#include "catalog/pg_class.h"
#include "utils/syscache.h"

Oid
sluice_catalog_find(const char *name)
{
	Oid			schema = get_namespace_oid(SLUICE_SCHEMA, true);

	return OidIsValid(schema) ? get_relname_relid(name, schema) : InvalidOid;
}

Oid
sluice_catalog_relation(const char *name)
{
	Oid			relid = sluice_catalog_find(name);

	if (!OidIsValid(relid))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation \"%s.%s\" does not exist", SLUICE_SCHEMA, name),
				 errhint("Run CREATE EXTENSION pg_sluice in this database.")));
	return relid;
}

Oid
sluice_catalog_owner(void)
{
	Oid			relid = sluice_catalog_relation("streams");
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for relation %u", relid);
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	return owner;
}

uint64
sluice_catalog_execute(const char *sql, int nargs, Oid *types,
					   Datum *values, const char *nulls, int expected)
{
	Oid			user;
	int			context;
	int			level = NewGUCNestLevel();
	int			result;

	GetUserIdAndSecContext(&user, &context);
	SetUserIdAndSecContext(sluice_catalog_owner(), context | SECURITY_LOCAL_USERID_CHANGE);
	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	result = SPI_execute_with_args(sql, nargs, types, values, nulls, false, 0);
	if (result != expected)
		elog(ERROR, "SPI_execute_with_args returned %d for: %s", result, sql);
	AtEOXact_GUC(true, level);
	SetUserIdAndSecContext(user, context);
	return SPI_processed;
}
