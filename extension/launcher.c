/*
 * launcher.c
 *		The process that starts the workers.
 *
 * The postmaster starts the launcher when recovery has finished.  It is connected
 * to no database, so it is in nobody's way: it can watch for sluice.database
 * to appear, which a worker cannot do, for connecting to a database that is
 * not there ends a process.  Once the database is there, it starts
 * sluice.workers background workers and replaces each one that ends: at once,
 * but with growing delays when it keeps failing soon after its start.  A worker
 * that was told to end has not failed: it ends when the extension is dropped or
 * its database goes away.  A start that loses the race with DROP DATABASE ends
 * with an error, and the launcher looks again; another database of that name
 * ends all delays.
 *
 * A reload that changes what the network thread was started with terminates
 * the workers (they drain) and starts new ones as they have ended.
 *
 * Ending: at SIGTERM the launcher asks for the end of its workers and exits.  At
 * shutdown the postmaster has told them itself; where somebody terminated the
 * launcher alone, the postmaster starts a new one a second later, and that one waits
 * for the slots of the old workers in shared memory to come free.  A worker
 * that dies of a signal makes the postmaster restart everything, the launcher
 * included.
 */
#include "postgres.h"

#include "launcher.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "postmaster/postmaster.h"
#include "settings.h"
#include "shared.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "tcop/tcopprot.h"
#include "transport.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#define LOOK_INTERVAL_MS 1000	/* at the database, while workers are to be started */
#define TICK_MS 10000			/* at everything, whatever happens */
#define SOON_MS 5000			/* a worker that ends earlier, untold, has failed */
#define RESTART_DELAY_MIN_MS 500
#define RESTART_DELAY_MAX_MS 10000
#define REGISTER_RETRY_MS 5000	/* while no background worker is free */

/* What the launcher knows about the worker of a number. */
typedef struct Worker
{
	BackgroundWorkerHandle *handle; /* NULL: none was started, or its end was noticed */
	TimestampTz started_at;
	TimestampTz start_after;	/* not before */
	int			failures;		/* how often in a row it ended soon, untold */
	bool		stopping;		/* asked to end */
} Worker;

/* The settings that a worker keeps as they were when it started. */
typedef struct Fixed
{
	char	   *database;
	char	   *listen_addresses;
	int			port;
	bool		share_port;
	int			max_record_size;
	int			worker_memory;
	int			max_calls;
	int			keepalive_time;
	int			keepalive_timeout;
	SluiceTransport transport;
	char	   *ciphers;		/* of the transport */
	int			max_connection_age;
	int			max_connection_idle;
	int			penalty_time;
	int			max_calls_per_connection;
	int			authentication_timeout;
} Fixed;

static Worker workers[SLUICE_MAX_WORKERS];
static Fixed fixed;
static Oid	database = InvalidOid;	/* as it was when it was last looked for */
static bool database_missing = false;	/* and said so */
static bool no_slot = false;	/* no free background worker, and said so */

void
sluice_launcher_register(void)
{
	BackgroundWorker worker;

	if (IsBinaryUpgrade)
		return;
	memset(&worker, 0, sizeof(worker));
	strlcpy(worker.bgw_name, "sluice launcher", BGW_MAXLEN);
	strlcpy(worker.bgw_type, "sluice launcher", BGW_MAXLEN);
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = 1;
	strlcpy(worker.bgw_library_name, "pg_sluice", BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, "sluice_launcher_main", BGW_MAXLEN);
	RegisterBackgroundWorker(&worker);
}

/* ---- settings ---- */

static void
fixed_remember(void)
{
	if (fixed.database)
		pfree(fixed.database);
	if (fixed.listen_addresses)
		pfree(fixed.listen_addresses);
	if (fixed.ciphers)
		pfree(fixed.ciphers);
	fixed.database = MemoryContextStrdup(TopMemoryContext, sluice_database);
	fixed.listen_addresses = MemoryContextStrdup(TopMemoryContext, sluice_listen_addresses);
	fixed.port = sluice_port;
	fixed.share_port = sluice_workers > 1;
	fixed.max_record_size = sluice_max_record_size;
	fixed.worker_memory = sluice_worker_memory;
	fixed.max_calls = sluice_max_calls;
	fixed.keepalive_time = sluice_keepalive_time;
	fixed.keepalive_timeout = sluice_keepalive_timeout;
	fixed.max_connection_age = sluice_max_connection_age;
	fixed.max_connection_idle = sluice_max_connection_idle;
	fixed.penalty_time = sluice_penalty_time;
	fixed.max_calls_per_connection = sluice_max_calls_per_connection;
	fixed.authentication_timeout = AuthenticationTimeout;
	sluice_transport_get(&fixed.transport);
	fixed.ciphers = MemoryContextStrdup(TopMemoryContext, fixed.transport.ciphers);
}

/* Files that have other names or contents are not among them: a worker takes them in as it runs. */
static bool
transport_changed(void)
{
	SluiceTransport now;

	sluice_transport_get(&now);
	return fixed.transport.tls != now.tls ||
		fixed.transport.allow_plaintext != now.allow_plaintext ||
		(now.tls && (fixed.transport.client_certificates != now.client_certificates ||
					 fixed.transport.tls13_only != now.tls13_only ||
					 strcmp(fixed.ciphers, now.ciphers) != 0));
}

static bool
fixed_changed(void)
{
	return strcmp(fixed.database, sluice_database) != 0 ||
		strcmp(fixed.listen_addresses, sluice_listen_addresses) != 0 ||
		fixed.port != sluice_port ||
		fixed.share_port != (sluice_workers > 1) ||
		fixed.max_record_size != sluice_max_record_size ||
		fixed.worker_memory != sluice_worker_memory ||
		fixed.max_calls != sluice_max_calls ||
		fixed.keepalive_time != sluice_keepalive_time ||
		fixed.keepalive_timeout != sluice_keepalive_timeout ||
		fixed.max_connection_age != sluice_max_connection_age ||
		fixed.max_connection_idle != sluice_max_connection_idle ||
		fixed.penalty_time != sluice_penalty_time ||
		fixed.max_calls_per_connection != sluice_max_calls_per_connection ||
		fixed.authentication_timeout != AuthenticationTimeout ||
		transport_changed();
}

/* No delays: what made workers fail may be mended. */
static void
workers_forgive(void)
{
	for (int i = 0; i < SLUICE_MAX_WORKERS; i++)
	{
		workers[i].failures = 0;
		workers[i].start_after = 0;
	}
}

/* ---- the database ---- */

/*
 * sluice.database, where it is there and open for connections.  As the autovacuum launcher
 * does it: without a database there are no catalog caches, but pg_database can
 * be read from end to end.
 */
static Oid
database_find(void)
{
	Relation	relation;
	TableScanDesc scan;
	HeapTuple	tuple;
	Oid			found = InvalidOid;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	(void) GetTransactionSnapshot();
	relation = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(relation, 0, NULL);
	while (!OidIsValid(found) && (tuple = heap_getnext(scan, ForwardScanDirection)) != NULL)
	{
		Form_pg_database form = (Form_pg_database) GETSTRUCT(tuple);

		if (strcmp(NameStr(form->datname), sluice_database) == 0 &&
			form->datallowconn && !database_is_invalid_form(form))
			found = form->oid;
	}
	table_endscan(scan);
	table_close(relation, AccessShareLock);
	CommitTransactionCommand();
	return found;
}

/* Is it there?  Where it is another one than before, what made workers fail is gone with the old one. */
static bool
database_ready(void)
{
	Oid			found = database_find();

	if (OidIsValid(found) && found != database)
	{
		workers_forgive();
		database = found;
	}
	if (!OidIsValid(found) && !database_missing)
		ereport(LOG,
				(errmsg("pg_sluice is waiting for database \"%s\"", sluice_database)));
	database_missing = !OidIsValid(found);
	return OidIsValid(found);
}

/* ---- workers ---- */

static bool
worker_wanted(int index)
{
	return index < sluice_workers;
}

/* May worker number index be started now? */
static bool
worker_startable(int index, TimestampTz now)
{
	SluiceWorkerStatus status;

	if (!worker_wanted(index) || workers[index].handle != NULL || workers[index].start_after > now)
		return false;
	sluice_shared_worker_status(index, &status);
	return status.pid == 0;		/* else a worker of an earlier launcher still drains */
}

/* Whatever becomes of it: not again before a delay, if it fails soon. */
static void
worker_start(int index)
{
	Worker	   *worker = &workers[index];
	BackgroundWorker registration;
	TimestampTz now = GetCurrentTimestamp();
	MemoryContext old;

	memset(&registration, 0, sizeof(registration));
	snprintf(registration.bgw_name, BGW_MAXLEN, "sluice worker %d", index + 1);
	strlcpy(registration.bgw_type, "sluice worker", BGW_MAXLEN);
	registration.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	registration.bgw_start_time = BgWorkerStart_RecoveryFinished;
	registration.bgw_restart_time = BGW_NEVER_RESTART;
	strlcpy(registration.bgw_library_name, "pg_sluice_endpoint", BGW_MAXLEN);
	strlcpy(registration.bgw_function_name, "sluice_worker_main", BGW_MAXLEN);
	registration.bgw_main_arg = Int32GetDatum(index);
	registration.bgw_notify_pid = MyProcPid;

	sluice_shared_worker_expect(index);
	old = MemoryContextSwitchTo(TopMemoryContext);
	if (RegisterDynamicBackgroundWorker(&registration, &worker->handle))
	{
		worker->started_at = now;
		worker->stopping = false;
		no_slot = false;
	}
	else
	{
		worker->handle = NULL;
		worker->start_after = TimestampTzPlusMilliseconds(now, REGISTER_RETRY_MS);
		if (!no_slot)
			ereport(WARNING,
					(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
					 errmsg("could not start sluice worker %d: no background worker is free", index + 1),
					 errhint("You may need to increase max_worker_processes.")));
		no_slot = true;
	}
	MemoryContextSwitchTo(old);
}

/* It failed again: not at once. */
static void
worker_delay(int index, TimestampTz now)
{
	Worker	   *worker = &workers[index];
	int			delay = Min(RESTART_DELAY_MIN_MS << Min(worker->failures - 2, 10), RESTART_DELAY_MAX_MS);

	worker->start_after = TimestampTzPlusMilliseconds(now, delay);
	ereport(LOG,
			(errmsg("sluice worker %d has failed %d times in a row, starting it again in %d ms",
					index + 1, worker->failures, delay)));
}

/* It has ended: decide when the next one may start. */
static void
worker_ended(int index)
{
	Worker	   *worker = &workers[index];
	TimestampTz now = GetCurrentTimestamp();
	SluiceWorkerStatus status;

	sluice_shared_worker_status(index, &status);
	if (worker->stopping || status.drained ||
		TimestampDifferenceExceeds(worker->started_at, now, SOON_MS))
		worker->failures = 0;
	else
		worker->failures++;
	pfree(worker->handle);
	worker->handle = NULL;
	worker->stopping = false;
	worker->start_after = now;
	if (worker->failures > 1)
		worker_delay(index, now);
}

static void
worker_stop(Worker *worker)
{
	if (worker->handle == NULL || worker->stopping)
		return;
	TerminateBackgroundWorker(worker->handle);
	worker->stopping = true;
}

static void
workers_stop_all(int code, Datum arg)
{
	for (int i = 0; i < SLUICE_MAX_WORKERS; i++)
		worker_stop(&workers[i]);
}

/* Notice the ends of workers, and stop those that are too many. */
static void
workers_watch(void)
{
	for (int i = 0; i < SLUICE_MAX_WORKERS; i++)
	{
		Worker	   *worker = &workers[i];
		pid_t		pid;

		if (worker->handle == NULL)
			continue;
		if (GetBackgroundWorkerPid(worker->handle, &pid) == BGWH_STOPPED)
			worker_ended(i);
		else if (!worker_wanted(i))
			worker_stop(worker);
	}
}

/* Is any worker still on its way out?  New ones wait for it: it may hold the port without sharing it. */
static bool
workers_stopping(void)
{
	for (int i = 0; i < SLUICE_MAX_WORKERS; i++)
		if (workers[i].handle != NULL && workers[i].stopping)
			return true;
	return false;
}

/* Is there a worker yet to be started? */
static bool
workers_incomplete(void)
{
	for (int i = 0; i < sluice_workers; i++)
		if (workers[i].handle == NULL)
			return true;
	return false;
}

/* The database is looked at first: it can end the delay of a worker. */
static void
workers_start(void)
{
	if (workers_stopping() || !workers_incomplete() || !database_ready())
		return;
	for (int i = 0; i < SLUICE_MAX_WORKERS; i++)
		if (worker_startable(i, GetCurrentTimestamp()))
			worker_start(i);
}

/* How long to sleep: until a worker may start, else until something happens. */
static long
launcher_timeout(void)
{
	TimestampTz now = GetCurrentTimestamp();
	long		timeout = workers_incomplete() ? LOOK_INTERVAL_MS : TICK_MS;

	for (int i = 0; i < sluice_workers; i++)
		if (workers[i].handle == NULL && workers[i].start_after > now)
			timeout = Min(timeout, TimestampDifferenceMilliseconds(now, workers[i].start_after));
	return Max(timeout, 1);
}

/* ---- the process ---- */

static void
launcher_reload(void)
{
	ConfigReloadPending = false;
	ProcessConfigFile(PGC_SIGHUP);
	if (fixed_changed())
	{
		ereport(LOG,
				(errmsg("settings of pg_sluice have changed, replacing its workers")));
		workers_stop_all(0, (Datum) 0);
		fixed_remember();
		database_missing = false;
	}

	workers_forgive();
}

/* SIGTERM sets ProcDiePending, so that even a wait for a lock ends; between two looks it ends the process without an error. */
static void
launcher_answer_signals(void)
{
	if (ProcDiePending)
	{
		ereport(DEBUG1, (errmsg_internal("sluice launcher is shutting down")));
		proc_exit(1);
	}
	CHECK_FOR_INTERRUPTS();
	if (ConfigReloadPending)
		launcher_reload();
}

void
sluice_launcher_main(Datum main_arg)
{
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	pqsignal(SIGINT, SIG_IGN);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	pgstat_report_appname("sluice launcher");
	before_shmem_exit(workers_stop_all, (Datum) 0);
	fixed_remember();

	for (;;)
	{
		launcher_answer_signals();
		workers_watch();
		workers_start();
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 launcher_timeout(), PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
	}
}
