/*
 * access.c
 *		What the role of a client may do: be here at all, put rows into a table, read them.
 */
#include "postgres.h"

#include "access.h"

#include "access/htup_details.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_database.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

static bool
database_takes_connections(void)
{
	HeapTuple	tuple = SearchSysCache1(DATABASEOID, ObjectIdGetDatum(MyDatabaseId));
	bool		allowed;

	if (!HeapTupleIsValid(tuple))
		return false;
	allowed = ((Form_pg_database) GETSTRUCT(tuple))->datallowconn;
	ReleaseSysCache(tuple);
	return allowed;
}

SluiceStanding
sluice_access_standing(Oid role)
{
	HeapTuple	tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(role));
	bool		may_login;

	if (!HeapTupleIsValid(tuple))
		return SLUICE_STANDING_NO_ROLE;
	may_login = ((Form_pg_authid) GETSTRUCT(tuple))->rolcanlogin;
	ReleaseSysCache(tuple);
	if (!may_login)
		return SLUICE_STANDING_NO_LOGIN;
	if (!database_takes_connections())
		return SLUICE_STANDING_NO_CONNECTIONS;
	if (pg_database_aclcheck(MyDatabaseId, role, ACL_CONNECT) != ACLCHECK_OK)
		return SLUICE_STANDING_NO_CONNECT;
	return SLUICE_STANDING_GOOD;
}

static char *
schema_refusal(Oid role, Oid relid)
{
	Oid			schema = get_rel_namespace(relid);

	if (!OidIsValid(schema) || pg_namespace_aclcheck(schema, role, ACL_USAGE) == ACLCHECK_OK)
		return NULL;
	return psprintf("permission denied for schema %s", get_namespace_name(schema));
}

static char *
table_refusal(Oid relid, const char *privilege)
{
	const char *name = get_rel_name(relid);

	return psprintf("permission denied for table %s: the role needs %s on it", name != NULL ? name : "?", privilege);
}

char *
sluice_access_insert_refusal(Oid role, Oid relid, const AttrNumber *columns, int ncolumns)
{
	char	   *refusal = schema_refusal(role, relid);

	if (refusal != NULL || pg_class_aclcheck(relid, role, ACL_INSERT) == ACLCHECK_OK)
		return refusal;
	if (ncolumns == 0 || pg_attribute_aclcheck_all(relid, role, ACL_INSERT, ACLMASK_ANY) != ACLCHECK_OK)
		return table_refusal(relid, "INSERT");
	for (int i = 0; i < ncolumns; i++)
		if (pg_attribute_aclcheck(relid, columns[i], role, ACL_INSERT) != ACLCHECK_OK)
			return table_refusal(relid, psprintf("INSERT (%s)", get_attname(relid, columns[i], false)));
	return NULL;
}

char *
sluice_access_select_refusal(Oid role, Oid relid)
{
	char	   *refusal = schema_refusal(role, relid);

	if (refusal != NULL || pg_class_aclcheck(relid, role, ACL_SELECT) == ACLCHECK_OK ||
		pg_attribute_aclcheck_all(relid, role, ACL_SELECT, ACLMASK_ANY) == ACLCHECK_OK)
		return refusal;
	return table_refusal(relid, "SELECT");
}
