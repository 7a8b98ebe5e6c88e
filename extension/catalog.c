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

typedef struct Acting
{
	Oid			user;
	int			context;
	int			guc_level;
} Acting;

static void
act_as_owner(Acting *acting)
{
	acting->guc_level = NewGUCNestLevel();
	GetUserIdAndSecContext(&acting->user, &acting->context);
	SetUserIdAndSecContext(sluice_catalog_owner(), acting->context | SECURITY_LOCAL_USERID_CHANGE);
	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
}

static void
act_as_before(const Acting *acting)
{
	AtEOXact_GUC(true, acting->guc_level);
	SetUserIdAndSecContext(acting->user, acting->context);
}

static void
check_result(int result, int expected, const char *sql)
{
	if (result != expected)
		elog(ERROR, "SPI returned %d for: %s", result, sql);
}

uint64
sluice_catalog_execute(const char *sql, int nargs, Oid *types,
					   Datum *values, const char *nulls, int expected)
{
	Acting		acting;

	act_as_owner(&acting);
	check_result(SPI_execute_with_args(sql, nargs, types, values, nulls, false, 0), expected, sql);
	act_as_before(&acting);
	return SPI_processed;
}

uint64
sluice_catalog_execute_kept(SPIPlanPtr *plan, const char *sql, int nargs, Oid *types,
							Datum *values, const char *nulls, int expected)
{
	Acting		acting;

	act_as_owner(&acting);
	if (*plan == NULL)
	{
		SPIPlanPtr	prepared = SPI_prepare(sql, nargs, types);

		if (prepared == NULL || SPI_keepplan(prepared) != 0)
			elog(ERROR, "could not prepare: %s", sql);
		*plan = prepared;
	}
	check_result(SPI_execute_plan(*plan, values, nulls, false, 0), expected, sql);
	act_as_before(&acting);
	return SPI_processed;
}
