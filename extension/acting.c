/*
 * acting.c
 *		Acting as the role that a stream's user code runs as.
 */
#include "postgres.h"

#include "acting.h"

#include "catalog/namespace.h"
#include "catalog/pg_authid.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/acl.h"
#include "utils/guc.h"
#include "utils/guc_tables.h"
#include "utils/portal.h"
#include "utils/syscache.h"

static void
set_local(const char *name, const char *value)
{
	(void) set_config_option(name, value, PGC_SUSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

/* Where the setting of a session that has just begun came from. */
static GucSource
reset_source(const char *name)
{
	struct config_generic **variables = get_guc_variables();

	for (int i = 0; i < GetNumConfigOptions(); i++)
		if (strcmp(variables[i]->name, name) == 0)
			return variables[i]->reset_source;
	elog(ERROR, "there is no setting \"%s\"", name);
}

void
sluice_acting_check_path(Oid role)
{
	if (!has_privs_of_role(GetUserId(), role) && reset_source("search_path") > PGC_S_DATABASE)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("search_path of this session comes from its user or its client"),
				 errdetail("Code of the target would run with it, as the owner of the stream."),
				 errhint("Connect without it, or as a role with the privileges of the stream's owner.")));
}

/*
 * Not the path of the worker, which has nothing but pg_catalog, nor what somebody has set who redrives: what the
 * database says.  In somebody's session temporary tables may be traps: they come last.
 */
static const char *
acting_path(bool own_session)
{
	const char *path = GetConfigOptionResetString("search_path");

	if (own_session)
		return path;
	return *path == '\0' ? "pg_temp" : psprintf("%s, pg_temp", path);
}

void
sluice_acting_begin(SluiceActing *acting, Oid role, bool restricted, bool own_session)
{
	acting->guc_level = NewGUCNestLevel();
	acting->clean_up = own_session;
	GetUserIdAndSecContext(&acting->user, &acting->context);
	/* COPY's text input and all receive functions convert from the client's encoding. */
	if (pg_get_client_encoding() != PG_UTF8)
		set_local("client_encoding", "UTF8");
	if (!OidIsValid(role))
		return;
	if (!SearchSysCacheExists1(AUTHOID, ObjectIdGetDatum(role)))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("role with OID %u, the owner of the stream, does not exist", role)));
	set_local("search_path", acting_path(own_session));
	SetUserIdAndSecContext(role, acting->context | SECURITY_LOCAL_USERID_CHANGE |
						   (restricted ? SECURITY_RESTRICTED_OPERATION : 0));
}

/*
 * What user code may have left in the worker's session: temporary tables, that
 * a later stream's unqualified names would find, session-level advisory locks,
 * cursors.
 */
static void
drop_leftovers(void)
{
	Oid			schema;
	Oid			toast_schema;

	GetTempNamespaceState(&schema, &toast_schema);
	if (OidIsValid(schema))
		ResetTempTableNamespace();
	LockReleaseSession(USER_LOCKMETHOD);
	/* A cursor WITH HOLD would be run at commit, as ourselves. */
	PortalHashTableDeleteAll();
}

void
sluice_acting_end(SluiceActing *acting)
{
	SetUserIdAndSecContext(acting->user, acting->context);
	AtEOXact_GUC(false, acting->guc_level);
	if (acting->clean_up)
		drop_leftovers();
}
