/*
 * pg_sluice.c
 *		What happens when the light library is loaded.
 *
 * In shared_preload_libraries it asks for shared memory and registers the
 * launcher, which starts the workers.  Loaded later, by the first call of one of the SQL
 * functions, it serves these: they need no shared memory, only the statistics
 * stay empty.
 */
#include "postgres.h"

#include "abi.h"
#include "active.h"
#include "buckets.h"
#include "connections.h"
#include "fmgr.h"
#include "launcher.h"
#include "miscadmin.h"
#include "quotas.h"
#include "settings.h"
#include "shared.h"
#include "transport_status.h"
#include "watch.h"

PG_MODULE_MAGIC;

extern PGDLLEXPORT void _PG_init(void);

void
_PG_init(void)
{
	sluice_settings_define();
	if (!process_shared_preload_libraries_in_progress)
		return;
	sluice_shared_install();
	sluice_connections_install();
	sluice_transport_status_install();
	sluice_active_install();
	sluice_quotas_install();
	sluice_buckets_install();
	sluice_watch_install();
	sluice_launcher_register();
}

int
sluice_abi(void)
{
	return SLUICE_ABI;
}
