/*
 * installation.c
 *		Whether the extension is installed in the worker's database.
 */
#include "postgres.h"

#include "installation.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "commands/extension.h"
#include "ingest.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

static Oid	streams_relid;		/* sluice.streams, as of the last look */
static bool changed;

static void
streams_changed(Datum arg, Oid relid)
{
	if (relid == InvalidOid || relid == streams_relid)
		changed = true;
}

/* The extension's OID, which tells one installation from the next.  Also where sluice.streams is. */
static Oid
extension_oid(void)
{
	Oid			extension;
	Oid			schema;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	extension = get_extension_oid("pg_sluice", true);
	schema = get_namespace_oid("sluice", true);
	streams_relid = OidIsValid(schema) ? get_relname_relid("streams", schema) : InvalidOid;
	CommitTransactionCommand();
	return extension;
}

Oid
sluice_installation_look(bool *failed)
{
	MemoryContext context = CurrentMemoryContext;
	volatile Oid extension = InvalidOid;

	*failed = false;
	PG_TRY();
	{
		if (sluice_extension_installed())
			extension = extension_oid();
	}
	PG_CATCH();
	{
		*failed = true;
		MemoryContextSwitchTo(context);
		EmitErrorReport();
		FlushErrorState();
		AbortCurrentTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	return extension;
}

void
sluice_installation_watch(void)
{
	CacheRegisterRelcacheCallback(streams_changed, (Datum) 0);
}

bool
sluice_installation_changed(void)
{
	bool		result = changed;

	changed = false;
	return result;
}
