/*
 * worker.c
 *		The main thread of a worker: its life and its loop.
 *
 * The launcher starts it.  It connects to sluice.database, waits there without a
 * network until the extension is installed, starts the network thread and
 * then goes round a loop of fixed order: answer signals, look after the
 * extension and its keys, take in what has arrived, hand rows out to consumers,
 * store a batch and send its verdicts, tell what it counts, sleep if nothing is due.  Arrivals are all
 * taken in before a batch is stored, so a batch grows with what came during
 * the one before.
 *
 * It ends
 *	- at SIGTERM (shutdown, pg_terminate_backend, DROP DATABASE ... WITH (FORCE),
 *	  the launcher): it drains, which is to stop accepting, store what has arrived,
 *	  send the verdicts and end the calls.  The signal handler itself arms a
 *	  timer; when that fires after sluice.drain_timeout, the process ends as if by
 *	  an ordinary backend's SIGTERM wherever it stands, a wait for a
 *	  synchronous standby included.  That must not depend on the loop, which may be in the
 *	  middle of a long transaction, and a timeout of the server's cannot be
 *	  armed in a signal handler; timer_settime can;
 *	- when the extension is dropped: it drains without storing.  The launcher
 *	  starts the next one, which waits for CREATE EXTENSION;
 *	- by an error: FATAL, and the launcher starts the next one;
 *	- when the postmaster is gone, or at SIGQUIT: at once.
 *
 * However it ends by exit(), the network thread is joined before the process gives up its
 * place in shared memory.
 */
#include "postgres.h"

#include "worker.h"

#include <signal.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "abi.h"
#include "buckets.h"
#include "certificate_files.h"
#include "connections.h"
#include "fmgr.h"
#include "installation.h"
#include "keeper.h"
#include "miscadmin.h"
#include "network.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "quotas.h"
#include "postmaster/postmaster.h"
#include "settings.h"
#include "settlement.h"
#include "shared.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/pmsignal.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

PG_MODULE_MAGIC;

#define MAX_IN_FLIGHT 65536		/* records, of all calls */
#define TICK_MS 1000			/* of an idle worker: look for invalidations */
#define DRAIN_TICK_MS 10
#define STALL_TIMEOUT_MS 30000	/* more than a keepalive that finds dead clients takes */
#define PUBLISH_INTERVAL_US (100 * INT64CONST(1000))
#define LOG_LINES_A_TURN 100
#define KEEPER_INTERVAL_US (60 * USECS_PER_SEC)

typedef struct Worker
{
	int			index;
	Oid			extension;		/* pg_sluice's, as it was when the network started */
	char	   *database;
	SluiceConnectionSlot *connections;	/* its board in shared memory */
	SluiceNetwork *network;
	SluiceSettlement *settlement;
	SluiceDelivery *delivery;
	WaitEventSet *events;
	bool		draining;
	int64		drain_until;	/* where SIGTERM did not set the limit */
	int64		looked_at;		/* when for the extension */
	bool		suspicious;		/* it may have been dropped */
	int64		keeper_at;		/* when the keeper is to be started next */
	int64		published_at;
	int64		stats_due;		/* report to pgstat by then; 0: nothing to report */
} Worker;

static Worker self;
static timer_t drain_timer;
static volatile struct itimerspec drain_limit;

/* ---- signals ---- */

static void
handle_drain(SIGNAL_ARGS)
{
	int			save_errno = errno;

	if (!ShutdownRequestPending)
	{
		struct itimerspec limit = drain_limit;

		(void) timer_settime(drain_timer, 0, &limit, NULL);
	}
	ShutdownRequestPending = true;
	SetLatch(MyLatch);
	errno = save_errno;
}

/* Draining has taken too long. */
static void
handle_drain_timeout(SIGNAL_ARGS)
{
	int			save_errno = errno;

	ProcDiePending = true;
	InterruptPending = true;
	SetLatch(MyLatch);
	errno = save_errno;
}

static void
drain_limit_set(void)
{
	drain_limit.it_value.tv_sec = sluice_drain_timeout / 1000;
	drain_limit.it_value.tv_nsec = (sluice_drain_timeout % 1000) * 1000000L;
}

/* From now on SIGTERM means to drain.  SIGINT is StatementCancelHandler and SIGUSR1 is procsignal's, as for every background worker with a database. */
static void
install_drain(void)
{
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR2};

	drain_limit_set();
	if (timer_create(CLOCK_MONOTONIC, &event, &drain_timer) != 0)
		ereport(FATAL,
				(errmsg("could not create a timer: %m")));
	pqsignal(SIGUSR2, handle_drain_timeout);
	pqsignal(SIGTERM, handle_drain);
}

/* Requests to cancel are held off here: see settlement.c. */
static void
answer_signals(void)
{
	QueryCancelHoldoffCount = 1;
	QueryCancelPending = false;
	CHECK_FOR_INTERRUPTS();
	if (!PostmasterIsAlive())	/* with enough to do, there is no sleep that would tell */
		proc_exit(1);
	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
		drain_limit_set();
		if (self.settlement != NULL)
			sluice_settlement_reload(self.settlement);
		sluice_certificate_files_reload();
		sluice_buckets_reload();
	}
}

/* ---- start ---- */

/* The first thing of all, before anything of the light library is used that may have changed. */
static void
check_abi(void)
{
	if (sluice_abi() != SLUICE_ABI)
		ereport(FATAL,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("pg_sluice was upgraded: restart the server"),
				 errdetail("The server has loaded version %d of the library, the worker is of version %d.",
						   sluice_abi(), SLUICE_ABI)));
}

/*
 * Until the connection stands SIGTERM ends the process as it does an ordinary
 * backend: the wait for the lock on a database that is being dropped must end.
 */
static void
connect_database(void)
{
	char		name[NAMEDATALEN];

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	sluice_shared_worker_attach(self.index);
	self.connections = sluice_connections_attach(self.index);
	sluice_quotas_attach(self.index);
	BackgroundWorkerInitializeConnection(sluice_database, NULL, 0);
	install_drain();
	CHECK_FOR_INTERRUPTS();

	self.database = MemoryContextStrdup(TopMemoryContext, sluice_database);
	sluice_shared_worker_state(self.index, SLUICE_WORKER_STARTING, MyDatabaseId, 0);
	snprintf(name, sizeof(name), "sluice worker %d", self.index + 1);
	SetConfigOption("application_name", name, PGC_USERSET, PGC_S_SESSION);
	/* For the session only: what the database says stays the reset value, which user code gets (acting.c). */
	SetConfigOption("search_path", "pg_catalog, pg_temp", PGC_SUSET, PGC_S_SESSION);
}

/* ---- the extension ---- */

static void
wait_for_extension(void)
{
	bool		failed;

	sluice_shared_worker_state(self.index, SLUICE_WORKER_WAITING, MyDatabaseId, 0);
	for (;;)
	{
		answer_signals();
		if (ShutdownRequestPending)
		{
			sluice_shared_worker_state(self.index, SLUICE_WORKER_DRAINING, MyDatabaseId, 0);
			proc_exit(0);
		}
		self.extension = sluice_installation_look(&failed);
		if (OidIsValid(self.extension))
			break;
		pgstat_report_activity(STATE_IDLE, "waiting for CREATE EXTENSION pg_sluice");
		(void) pgstat_report_stat(true);
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 TICK_MS, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
	}
	sluice_installation_watch();
}

/* ---- the network ---- */

/* Lines come from other threads and from peers: no more than some a turn, and made printable. */
static void
report_network_log(void)
{
	char		line[1024];
	char		level;

	for (int i = 0; i < LOG_LINES_A_TURN && sluice_network_log(self.network, &level, line, sizeof(line)); i++)
		ereport(level == 'W' ? WARNING : level == 'L' ? LOG : DEBUG1,
				(errmsg_internal("%s", sluice_settlement_printable(line))));
}

static void
stop_network(int code, Datum arg)
{
	SluiceNetwork *network = self.network;

	self.network = NULL;
	if (self.settlement != NULL)
		sluice_settlement_stop(self.settlement);
	if (network != NULL)
		sluice_network_stop(network);
}

/* Each connection takes a descriptor, and silent ones come in any number. */
static void
raise_file_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max)
		return;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
		ereport(LOG,
				(errmsg("could not raise the limit of open files: %m")));
}

static void
start_network(void)
{
	char		error[512] = "";
	SluiceTransport transport;
	SluiceNetworkSettings settings = {
		.listen_addresses = MemoryContextStrdup(TopMemoryContext, sluice_listen_addresses),
		.port = sluice_port,
		.reuse_port = sluice_workers > 1,
		.max_record_size = (size_t) sluice_max_record_size * 1024,
		.memory = Max((size_t) sluice_worker_memory, (size_t) sluice_max_record_size) * 1024,
		.max_in_flight = MAX_IN_FLIGHT,
		.max_calls = sluice_max_calls,
		.keepalive_time_ms = sluice_keepalive_time,
		.keepalive_timeout_ms = sluice_keepalive_timeout,
		.max_calls_per_connection = sluice_max_calls_per_connection,
		.max_connection_age_ms = sluice_max_connection_age * 1000,
		.max_connection_idle_ms = sluice_max_connection_idle * 1000,
		.penalty_ms = sluice_penalty_time,
		.opening_timeout_ms = AuthenticationTimeout * 1000,
		.stall_timeout_ms = STALL_TIMEOUT_MS,
		.connections = self.connections,
	};

	sluice_transport_get(&transport);
	settings.credentials = sluice_certificate_files_load(self.index, &transport);
	settings.allow_plaintext = transport.allow_plaintext;
	raise_file_limit();
	sluice_buckets_reload();
	before_shmem_exit(stop_network, (Datum) 0);
	self.network = sluice_network_start(&settings, error, sizeof(error));
	if (self.network == NULL)
		ereport(FATAL,
				(errcode(ERRCODE_CONFIG_FILE_ERROR),
				 errmsg("could not serve gRPC: %s", sluice_settlement_printable(error)),
				 errhint("Check the settings sluice.listen_addresses and sluice.port.")));
	self.delivery = sluice_delivery_create(self.network, self.index);
	self.settlement = sluice_settlement_create(self.network, self.delivery);

	self.events = CreateWaitEventSet(TopMemoryContext, 3);
	AddWaitEventToSet(self.events, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);
	AddWaitEventToSet(self.events, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
	AddWaitEventToSet(self.events, WL_SOCKET_READABLE, sluice_network_wakeup_fd(self.network), NULL, NULL);

	sluice_shared_stream_release_all(MyDatabaseId);
	sluice_shared_worker_state(self.index, SLUICE_WORKER_SERVING, MyDatabaseId,
							   sluice_network_port(self.network));
	report_network_log();
	ereport(LOG,
			(errmsg("sluice worker %d is listening on \"%s\", port %d%s, for database \"%s\"",
					self.index + 1, settings.listen_addresses, sluice_network_port(self.network),
					transport.tls ? ", with TLS" : "", self.database)));
}

/* ---- the parts of a turn ---- */

static void
begin_drain(const char *message, bool give_up)
{
	self.draining = true;
	self.drain_until = sluice_settlement_clock() + sluice_drain_timeout * INT64CONST(1000);
	sluice_shared_worker_state(self.index, SLUICE_WORKER_DRAINING, MyDatabaseId,
							   sluice_network_port(self.network));
	pgstat_report_activity(STATE_RUNNING, "draining");
	sluice_network_drain(self.network, message);
	sluice_settlement_drain(self.settlement, message, give_up);
	sluice_delivery_drain(self.delivery, message, give_up);
}

/* SIGTERM, or the end of the extension. */
static void
look_for_end(void)
{
	int64		now = sluice_settlement_clock();
	bool		failed;
	Oid			extension;
	char		message[256];

	AcceptInvalidationMessages();
	if (sluice_settlement_suspects_drop(self.settlement))
		self.suspicious = true;
	if (sluice_delivery_suspects_drop(self.delivery))
		self.suspicious = true;
	if (self.draining)
		return;
	if (ShutdownRequestPending)
	{
		begin_drain("the server is shutting down or restarting its worker, connect again", false);
		return;
	}
	if (now - self.looked_at < TICK_MS * INT64CONST(1000) ||
		!(sluice_installation_changed() || self.suspicious))
		return;

	self.looked_at = now;
	extension = sluice_installation_look(&failed);
	self.suspicious = failed;	/* could not find out: look again */
	if (!failed && extension != self.extension)
	{
		ereport(LOG,
				(errmsg("extension pg_sluice was dropped from database \"%s\"", self.database)));
		snprintf(message, sizeof(message), "extension pg_sluice is not installed in database \"%s\"",
				 self.database);
		begin_drain(message, true);
	}
}

/* One worker of all sees to the generations of keys. */
static void
start_keeper(void)
{
	int64		now = sluice_settlement_clock();
	bool		first = self.keeper_at == 0;

	if (self.index != 0 || self.draining || now < self.keeper_at)
		return;
	self.keeper_at = now + KEEPER_INTERVAL_US;
	/* Nothing is in a hurry when a worker begins. */
	if (!first)
		sluice_keeper_start();
}

static uint64
main_cpu_us(void)
{
	struct timespec cpu;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &cpu);
	return (uint64) cpu.tv_sec * USECS_PER_SEC + cpu.tv_nsec / 1000;
}

/* Copy the counters to where others can see them. */
static void
publish(void)
{
	int64		now = sluice_settlement_clock();
	SluiceNetworkCounters network;

	if (now - self.published_at < PUBLISH_INTERVAL_US)
		return;
	self.published_at = now;
	sluice_network_counters(self.network, &network);
	sluice_shared_worker_count(self.index, SLUICE_WORKER_CALLS_NOW, network.calls_now);
	sluice_shared_worker_count(self.index, SLUICE_WORKER_RECORDS_RECEIVED, network.records_received);
	sluice_shared_worker_count(self.index, SLUICE_WORKER_RECORDS_NOW, network.records_now);
	sluice_shared_worker_count(self.index, SLUICE_WORKER_BYTES_NOW, network.bytes_now);
	sluice_shared_worker_count(self.index, SLUICE_WORKER_REFUSED_CALLS, network.refused_calls);
	sluice_shared_worker_count(self.index, SLUICE_WORKER_LISTENER_RESTARTS, network.listener_restarts);
	sluice_shared_worker_count(self.index, SLUICE_WORKER_PENALTIES, network.penalties);
	sluice_shared_worker_count(self.index, SLUICE_WORKER_MAIN_CPU_US, main_cpu_us());
	sluice_shared_worker_count(self.index, SLUICE_WORKER_NETWORK_CPU_US, network.cpu_us);
	report_network_log();
}

/*
 * Table statistics go out at most once a second while there is work, and at
 * the latest a second after it: autovacuum goes by them.
 */
static void
report_stats(void)
{
	int64		now = sluice_settlement_clock();

	if (self.stats_due != 0 && now >= self.stats_due)
	{
		(void) pgstat_report_stat(true);
		self.stats_due = 0;
	}
	else if (pgstat_report_stat(false) == 0)
		self.stats_due = 0;
	else if (self.stats_due == 0)
		self.stats_due = now + TICK_MS * INT64CONST(1000);
}

/* Nothing is left to do here; where the wait for a standby was given up, nothing may be done. */
static bool
drained(void)
{
	if (sluice_settlement_abandoned(self.settlement))
		return true;
	if (!self.draining)
		return false;
	if (sluice_settlement_clock() >= self.drain_until)
		return true;
	return sluice_settlement_done(self.settlement) && sluice_delivery_done(self.delivery) && sluice_network_drained(self.network);
}

static long
sleep_ms(void)
{
	int64		now = sluice_settlement_clock();
	int64		next = Min(sluice_settlement_next(self.settlement), sluice_delivery_next(self.delivery));
	long		tick = self.draining ? DRAIN_TICK_MS : TICK_MS;

	if (next <= now)
		return 0;
	if (next - now > tick * INT64CONST(1000))
		return tick;
	return (long) ((next - now + 999) / 1000);
}

/* What a signal handler has left to do: a wait within the batch may have used up the latch that it set. */
static bool
signals_pending(void)
{
	return InterruptPending || ConfigReloadPending ||
		(ShutdownRequestPending && !self.draining);
}

static void
sleep_until_due(void)
{
	WaitEvent	events[3];
	long		timeout = sleep_ms();
	int			nevents;

	if (timeout == 0 || signals_pending() || drained())
		return;
	report_stats();
	pgstat_report_activity(STATE_IDLE, NULL);
	if (!sluice_ring_sleep(sluice_network_arrivals(self.network)))
		return;
	nevents = WaitEventSetWait(self.events, timeout, events, lengthof(events), PG_WAIT_EXTENSION);
	sluice_ring_awake(sluice_network_arrivals(self.network));
	for (int i = 0; i < nevents; i++)
	{
		if (events[i].events & WL_LATCH_SET)
			ResetLatch(MyLatch);
		if (events[i].events & WL_SOCKET_READABLE)
			sluice_network_clear_wakeup(self.network);
	}
}

void
sluice_worker_main(Datum main_arg)
{
	check_abi();
	self.index = DatumGetInt32(main_arg);
	connect_database();
	wait_for_extension();
	start_network();

	while (!drained())
	{
		answer_signals();
		look_for_end();
		sluice_certificate_files_watch();
		if (!self.draining)
			sluice_buckets_refresh();
		start_keeper();
		sluice_settlement_collect(self.settlement);
		sluice_delivery_turn(self.delivery);
		sluice_settlement_gather(self.settlement);
		sluice_settlement_store(self.settlement);
		publish();
		sleep_until_due();
	}
	report_network_log();
	proc_exit(0);
}
