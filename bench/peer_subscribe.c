/*
 * peer_subscribe.c
 *		What people use to be told of new rows, and to take each once; all by libpq.
 *
 *		notify	the writer's transaction has a NOTIFY; who is told selects what is behind the last row
 *				it has (which misses rows whose transaction committed late)
 *		poll	every 100 ms DELETE of what SELECT ... FOR UPDATE SKIP LOCKED finds, in a transaction
 *		pgq		PgQ: insert_event; every 100 ms next_batch, get_batch_events, finish_batch, in a transaction
 *		copy	no new rows: COPY of those that are there, in their order, as text
 *
 * "server" is the backend that serves the consumer.
 */
#include <inttypes.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "database.h"
#include "failure.h"
#include "measure.h"
#include "options.h"
#include "writer.h"

#define POLL_INTERVAL_MS 100
#define PATIENCE_MS 60000

static const char insert_and_notify[] =
"WITH stored AS (" WRITER_INSERT " RETURNING number) SELECT pg_notify('readings', '') FROM stored";
static const char insert_event[] =
"SELECT pgq.insert_event('readings', $1::int8::text, "
"json_build_object('device_id', $2::text, 'timestamp', $3::timestamptz, 'temperature_celsius', $4::float8, "
"'humidity_percent', $5::float8)::text)";

static const char select_behind[] =
"SELECT number, device_id, \"timestamp\", temperature_celsius, humidity_percent, id FROM public.readings WHERE id > $1 ORDER BY id";
static const char take_all[] =
"DELETE FROM public.readings WHERE id = ANY (ARRAY("
"SELECT id FROM public.readings ORDER BY id LIMIT 1000 FOR UPDATE SKIP LOCKED)) "
"RETURNING number, device_id, \"timestamp\", temperature_celsius, humidity_percent";

typedef struct Peer
{
	PGconn	   *conn;
	Writer	   *writer;
	char		last[24];		/* id, as text */
} Peer;

static PGresult *
query(PGconn *conn, const char *text, const char *parameter)
{
	const char *values[] = {parameter};
	PGresult   *result = PQexecParams(conn, text, parameter != NULL, NULL, values, NULL, NULL, 0);

	if (PQresultStatus(result) != PGRES_COMMAND_OK)
		database_check(conn, result, PGRES_TUPLES_OK);
	return result;
}

static void
command(PGconn *conn, const char *text, const char *parameter)
{
	PQclear(query(conn, text, parameter));
}

static PGresult *
prepared(PGconn *conn, const char *name, const char *parameter)
{
	const char *values[] = {parameter};
	PGresult   *result = PQexecPrepared(conn, name, parameter != NULL, values, NULL, NULL, 0);

	database_check(conn, result, PGRES_TUPLES_OK);
	return result;
}

/* Rows count as received when they are here and done with: after the COMMIT, where there is one. */
static void
received(Peer *peer, PGresult *rows, int column)
{
	for (int i = 0; i < PQntuples(rows); i++)
		writer_received(peer->writer, 0, strtoull(PQgetvalue(rows, i, column), NULL, 10));
}

static void
sleep_interval(void)
{
	struct timespec interval = {0, POLL_INTERVAL_MS * 1000000L};

	nanosleep(&interval, NULL);
}

static bool
take_notified(Peer *peer)
{
	struct pollfd socket = {.fd = PQsocket(peer->conn),.events = POLLIN};
	PGnotify   *notify = PQnotifies(peer->conn);
	PGresult   *rows;

	if (notify == NULL)
	{
		if (poll(&socket, 1, PATIENCE_MS) == 0)
			return false;
		if (PQconsumeInput(peer->conn) != 1)
			failure_exit("could not receive: %s", PQerrorMessage(peer->conn));
		return true;
	}
	/* One answer for all that are there. */
	for (; notify != NULL; notify = PQnotifies(peer->conn))
		PQfreemem(notify);
	rows = prepared(peer->conn, "behind", peer->last);
	if (PQntuples(rows) > 0)
		snprintf(peer->last, sizeof(peer->last), "%s", PQgetvalue(rows, PQntuples(rows) - 1, 5));
	received(peer, rows, 0);
	PQclear(rows);
	return true;
}

static bool
take_polled(Peer *peer)
{
	PGresult   *rows = prepared(peer->conn, "take", NULL);

	received(peer, rows, 0);
	PQclear(rows);
	sleep_interval();
	return true;
}

static bool
take_batch(Peer *peer)
{
	PGresult   *batch;
	PGresult   *events;

	command(peer->conn, "BEGIN", NULL);
	batch = prepared(peer->conn, "next", NULL);
	if (PQgetisnull(batch, 0, 0))
	{
		command(peer->conn, "COMMIT", NULL);
		PQclear(batch);
		sleep_interval();
		return true;
	}
	events = prepared(peer->conn, "events", PQgetvalue(batch, 0, 0));
	PQclear(prepared(peer->conn, "finish", PQgetvalue(batch, 0, 0)));
	command(peer->conn, "COMMIT", NULL);
	received(peer, events, 0);
	PQclear(events);
	PQclear(batch);
	return true;
}

static void
prepare(Peer *peer, const char *mode)
{
	if (strcmp(mode, "notify") == 0)
	{
		database_prepare(peer->conn, "behind", select_behind);
		command(peer->conn, "LISTEN readings", NULL);
		strcpy(peer->last, "0");
	}
	else if (strcmp(mode, "poll") == 0)
		database_prepare(peer->conn, "take", take_all);
	else
	{
		database_prepare(peer->conn, "next", "SELECT pgq.next_batch('readings', 'bench')");
		database_prepare(peer->conn, "events", "SELECT ev_type, ev_data FROM pgq.get_batch_events($1)");
		database_prepare(peer->conn, "finish", "SELECT pgq.finish_batch($1)");
	}
}

static void
run_live(PGconn *conn, const BenchOptions *options)
{
	bool		notify = strcmp(options->mode, "notify") == 0;
	bool		poll = strcmp(options->mode, "poll") == 0;
	Writer		writer = {.conninfo = options->conninfo,.rate = options->rate,.count = options->records,.consumers = 1};
	Peer		peer = {.conn = conn,.writer = &writer};
	Measure		measure = {0};

	if (!notify && !poll && strcmp(options->mode, "pgq") != 0)
		failure_exit("invalid value for --mode: \"%s\"", options->mode);
	writer.statement = notify ? insert_and_notify : poll ? WRITER_INSERT : insert_event;
	prepare(&peer, options->mode);
	measure_add_server(&measure, "server", PQbackendPID(conn));
	measure_start(&measure);
	writer_start(&writer, options->seed);
	while (!writer_is_done(&writer))
		if (!(notify ? take_notified(&peer) : poll ? take_polled(&peer) : take_batch(&peer)))
			failure_exit("rows did not come");
	measure_stop(&measure);
	writer_finish(&writer);
	writer_print(&writer);
	printf(", \"server_cpu_us_per_record\": %.4f}\n", (double) measure.servers[0].cpu_ns / 1000.0 / (double) options->records);
}

static void
run_copy(PGconn *conn, const BenchOptions *options)
{
	Measure		measure = {0};
	size_t		rows = 0;
	char	   *line;
	PGresult   *result;

	measure_add_server(&measure, "server", PQbackendPID(conn));
	measure_start(&measure);
	result = PQexec(conn, "COPY (SELECT * FROM public.readings ORDER BY id) TO STDOUT");
	database_check(conn, result, PGRES_COPY_OUT);
	PQclear(result);
	while (PQgetCopyData(conn, &line, 0) > 0)
	{
		rows++;
		PQfreemem(line);
	}
	measure_stop(&measure);
	if (rows != options->records)
		failure_exit("%zu rows came, not %zu", rows, options->records);
	result = PQgetResult(conn);
	database_check(conn, result, PGRES_COMMAND_OK);
	PQclear(result);
	measure_print(&measure, rows);
}

int
main(int argc, char **argv)
{
	BenchOptions options;
	PGconn	   *conn;

	options_read(&options, argc, argv);
	conn = database_connect(options.conninfo);
	if (strcmp(options.mode, "copy") == 0)
		run_copy(conn, &options);
	else
		run_live(conn, &options);
	PQfinish(conn);
	return 0;
}
