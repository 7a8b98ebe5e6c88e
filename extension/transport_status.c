/*
 * transport_status.c
 *		The certificates of the workers as others can see them.
 *
 * A place for each worker in shared memory, written by that worker under the lock
 * held exclusive.  The pid in it tells a row of a worker that is gone.
 */
#include "postgres.h"

#include "transport_status.h"

#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "settings.h"
#include "shared.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "stream.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

PGDLLEXPORT Datum sluice_stat_tls(PG_FUNCTION_ARGS);

PG_FUNCTION_INFO_V1(sluice_stat_tls);

#define TRANCHE_NAME "sluice transport"

typedef struct SharedTransport
{
	LWLock	   *lock;
	SluiceTransportStatus workers[SLUICE_MAX_WORKERS];
} SharedTransport;

static SharedTransport *shared = NULL;
static shmem_request_hook_type next_request_hook = NULL;
static shmem_startup_hook_type next_startup_hook = NULL;

static void
status_request(void)
{
	if (next_request_hook)
		next_request_hook();
	RequestAddinShmemSpace(MAXALIGN(sizeof(SharedTransport)));
	RequestNamedLWLockTranche(TRANCHE_NAME, 1);
}

static void
status_startup(void)
{
	bool		found;

	if (next_startup_hook)
		next_startup_hook();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	shared = ShmemInitStruct("pg_sluice transport", sizeof(SharedTransport), &found);
	if (!found)
	{
		memset(shared, 0, sizeof(SharedTransport));
		shared->lock = &GetNamedLWLockTranche(TRANCHE_NAME)->lock;
	}
	LWLockRelease(AddinShmemInitLock);
}

void
sluice_transport_status_install(void)
{
	next_request_hook = shmem_request_hook;
	shmem_request_hook = status_request;
	next_startup_hook = shmem_startup_hook;
	shmem_startup_hook = status_startup;
}

void
sluice_transport_status_show(int worker, const SluiceTransportStatus *status)
{
	Assert(worker >= 0 && worker < SLUICE_MAX_WORKERS);
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	shared->workers[worker] = *status;
	shared->workers[worker].pid = MyProcPid;
	LWLockRelease(shared->lock);
}

/* Does the worker that has this number now show something? */
static bool
status_read(int worker, SluiceTransportStatus *status)
{
	SluiceWorkerStatus running;

	if (shared == NULL)
		return false;
	sluice_shared_worker_status(worker, &running);
	LWLockAcquire(shared->lock, LW_SHARED);
	*status = shared->workers[worker];
	LWLockRelease(shared->lock);
	return running.pid != 0 && running.pid == status->pid;
}

enum
{
	TLS_WORKER,
	TLS_PID,
	TLS_ENABLED,
	TLS_SUBJECT,
	TLS_ISSUER,
	TLS_SERIAL,
	TLS_NOT_BEFORE,
	TLS_NOT_AFTER,
	TLS_LOADED_AT,
	TLS_FAILED_AT,
	TLS_FAILURE,
	TLS_COLUMNS
};

static Datum
text_datum(const char *utf8)
{
	return CStringGetTextDatum(sluice_stream_text(utf8, strlen(utf8)));
}

static void
status_row(int worker, const SluiceTransportStatus *status, Datum *values, bool *nulls)
{
	for (int i = TLS_SUBJECT; i < TLS_COLUMNS; i++)
		nulls[i] = !status->enabled;
	values[TLS_WORKER] = Int32GetDatum(worker + 1);
	values[TLS_PID] = Int32GetDatum(status->pid);
	values[TLS_ENABLED] = BoolGetDatum(status->enabled);
	values[TLS_SUBJECT] = text_datum(status->subject);
	values[TLS_ISSUER] = text_datum(status->issuer);
	values[TLS_SERIAL] = text_datum(status->serial);
	values[TLS_NOT_BEFORE] = TimestampTzGetDatum(status->not_before);
	values[TLS_NOT_AFTER] = TimestampTzGetDatum(status->not_after);
	values[TLS_LOADED_AT] = TimestampTzGetDatum(status->loaded_at);
	values[TLS_FAILED_AT] = TimestampTzGetDatum(status->failed_at);
	values[TLS_FAILURE] = text_datum(status->failure);
	if (status->failed_at == 0)
		nulls[TLS_FAILED_AT] = nulls[TLS_FAILURE] = true;
}

Datum
sluice_stat_tls(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, 0);
	for (int worker = 0; worker < SLUICE_MAX_WORKERS; worker++)
	{
		SluiceTransportStatus status;
		Datum		values[TLS_COLUMNS] = {0};
		bool		nulls[TLS_COLUMNS] = {0};

		if (!status_read(worker, &status))
			continue;
		status_row(worker, &status, values, nulls);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}
