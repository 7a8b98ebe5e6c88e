/*
 * keeper.c
 *		The short-lived process that rotates the generations of keys.
 *
 * The worker looks once a minute whether a step is due (sluice_keeper_start) and
 * starts this one, so that no TRUNCATE, which unlinks files at commit, and no
 * waiting for old transactions ever happens where records are stored.
 */
#include "postgres.h"

#include "keeper.h"

#include "access/xact.h"
#include "catalog.h"
#include "generations.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

/* How often a blocked step is tried again, and how long before the keeper gives up until the worker's next look. */
#define RETRY_MS 500
#define RETRIES 120

static SluiceGenerationStep
step(void)
{
	SluiceGenerationStep result = SLUICE_STEP_IDLE;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	XactIsoLevel = XACT_READ_COMMITTED;
	if (OidIsValid(sluice_catalog_find("key_generations")))
		result = sluice_generations_step(GetCurrentTimestamp());
	CommitTransactionCommand();
	pgstat_report_stat(true);
	return result;
}

void
sluice_keeper_main(Datum arg)
{
	int			tries = 0;
	SluiceGenerationStep result;

	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnectionByOid(DatumGetObjectId(arg), InvalidOid, 0);
	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SET, true, 0, false);
	(void) set_config_option("lock_timeout", "1s", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SET, true, 0, false);
	pgstat_report_activity(STATE_RUNNING, "rotating generations of idempotency keys");
	while ((result = step()) != SLUICE_STEP_IDLE && tries < RETRIES)
	{
		if (result == SLUICE_STEP_BLOCKED)
		{
			tries++;
			(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, RETRY_MS, PG_WAIT_EXTENSION);
			ResetLatch(MyLatch);
		}
		CHECK_FOR_INTERRUPTS();
	}
	proc_exit(0);
}

void
sluice_keeper_start(void)
{
	BackgroundWorker worker = {0};

	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	worker.bgw_main_arg = ObjectIdGetDatum(MyDatabaseId);
	strcpy(worker.bgw_library_name, "pg_sluice");
	strcpy(worker.bgw_function_name, "sluice_keeper_main");
	strcpy(worker.bgw_name, "sluice keeper");
	strcpy(worker.bgw_type, "sluice keeper");
	/* Where there is no free slot, the next look tries again. */
	(void) RegisterDynamicBackgroundWorker(&worker, NULL);
}
