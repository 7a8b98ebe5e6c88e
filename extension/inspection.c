/*
 * inspection.c
 *		Queries of ours on a target, for a caller in SQL.
 */
#include "postgres.h"

#include "inspection.h"

#include "access/htup_details.h"
#include "catalog/objectaddress.h"
#include "catalog/pg_class.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rls.h"
#include "utils/syscache.h"

static void
set_local(const char *name, const char *value)
{
	(void) set_config_option(name, value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

static Oid
relation_owner(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", relid)));
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	return owner;
}

static bool
may_select(Oid relid, const char *column)
{
	AttrNumber	attribute = get_attnum(relid, column);

	return attribute == InvalidAttrNumber ||
		pg_attribute_aclcheck(relid, attribute, GetUserId(), ACL_SELECT) == ACLCHECK_OK;
}

void
sluice_inspection_begin(SluiceActing *acting, Oid relid, const char *first, const char *second)
{
	Oid			owner = relation_owner(relid);

	if (pg_class_aclcheck(relid, GetUserId(), ACL_SELECT) != ACLCHECK_OK &&
		!(may_select(relid, first) && may_select(relid, second)))
		aclcheck_error(ACLCHECK_NO_PRIV, get_relkind_objtype(get_rel_relkind(relid)), get_rel_name(relid));
	if (check_enable_rls(relid, InvalidOid, true) == RLS_ENABLED)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("query would be affected by row-level security policy for table \"%s\"", get_rel_name(relid))));
	sluice_acting_begin(acting, owner, true, false);
	set_local("search_path", "pg_catalog, pg_temp");
	set_local("row_security", "off");
}
