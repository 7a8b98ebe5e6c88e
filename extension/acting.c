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
#include "utils/guc.h"
#include "utils/portal.h"
#include "utils/syscache.h"

static void
set_local(const char *name, const char *value)
{
	(void) set_config_option(name, value, PGC_SUSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
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
	/* Not the path of the worker, which has nothing but pg_catalog, nor of who redrives: what the database says. */
	set_local("search_path", GetConfigOptionResetString("search_path"));
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
