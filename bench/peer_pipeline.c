/*
 * peer_pipeline.c
 *		libpq: key and row of a record by one prepared statement, which stores
 *		the row only if the key was new.
 *
 *		pipelined	pipeline mode, --batch records a transaction (1: a commit
 *					for each record), sends and answers overlapping
 *		single		one record, its commit, its answer, then the next one;
 *					latencies are reported
 *
 * In pipeline mode all between two syncs is one implicit transaction.
 */
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "database.h"
#include "failure.h"
#include "measure.h"
#include "options.h"

/* Records under way: enough that neither side waits for the other. */
#define WINDOW_TRANSACTIONS	4
#define WINDOW_RECORDS		512

static const char store_statement[] =
"WITH new_key AS (INSERT INTO peers.keys VALUES ($1::uuid) ON CONFLICT DO NOTHING RETURNING 1) "
"INSERT INTO peers.readings (device_id, \"timestamp\", temperature_celsius, humidity_percent) "
"SELECT $2::text, $3::timestamptz, $4::float8, $5::float8 FROM new_key";

typedef struct Pipeline
{
	PGconn	   *conn;
	const BenchRecord *records;
	size_t		count;
	size_t		batch;
	size_t		window;
	size_t		sent;
	size_t		synced;			/* syncs sent */
	size_t		stored;			/* records answered */
	size_t		committed;		/* syncs answered */
} Pipeline;

static void
check_stored(PGconn *conn, PGresult *result)
{
	database_check(conn, result, PGRES_COMMAND_OK);
	if (strcmp(PQcmdTuples(result), "1") != 0)
		failure_exit("a record with a new key was not stored: %s rows", PQcmdTuples(result));
}

static void
send_record(Pipeline *pipeline)
{
	DatabaseParameters parameters;

	database_keyed_row_parameters(&parameters, &pipeline->records[pipeline->sent]);
	if (PQsendQueryPrepared(pipeline->conn, "store", parameters.count, parameters.values,
							parameters.lengths, parameters.formats, 1) != 1)
		failure_exit("could not send: %s", PQerrorMessage(pipeline->conn));
	pipeline->sent++;
	if (pipeline->sent % pipeline->batch == 0 || pipeline->sent == pipeline->count)
	{
		if (PQpipelineSync(pipeline->conn) != 1)
			failure_exit("could not send sync: %s", PQerrorMessage(pipeline->conn));
		pipeline->synced++;
	}
}

static void
take_result(Pipeline *pipeline)
{
	PGresult   *result = PQgetResult(pipeline->conn);

	/* NULL parts the results of one statement from those of the next one. */
	if (result == NULL)
		return;
	if (PQresultStatus(result) == PGRES_PIPELINE_SYNC)
		pipeline->committed++;
	else
	{
		check_stored(pipeline->conn, result);
		pipeline->stored++;
	}
	PQclear(result);
}

static bool
has_outstanding(const Pipeline *pipeline)
{
	return pipeline->stored < pipeline->sent || pipeline->committed < pipeline->synced;
}

static void
wait_for_server(Pipeline *pipeline)
{
	struct pollfd socket = {.fd = PQsocket(pipeline->conn), .events = POLLIN};
	int			unsent = PQflush(pipeline->conn);

	if (unsent < 0)
		failure_exit("could not send: %s", PQerrorMessage(pipeline->conn));
	if (unsent > 0)
		socket.events |= POLLOUT;
	if (poll(&socket, 1, -1) < 0)
		failure_exit("could not wait for the server: %m");
	if ((socket.revents & ~POLLOUT) != 0 && PQconsumeInput(pipeline->conn) != 1)
		failure_exit("could not receive: %s", PQerrorMessage(pipeline->conn));
}

static void
run_pipelined(Pipeline *pipeline)
{
	while (pipeline->stored < pipeline->count || has_outstanding(pipeline))
	{
		while (pipeline->sent < pipeline->count &&
			   pipeline->sent - pipeline->stored < pipeline->window)
			send_record(pipeline);
		wait_for_server(pipeline);
		while (has_outstanding(pipeline) && !PQisBusy(pipeline->conn))
			take_result(pipeline);
	}
}

static void
enter_pipeline_mode(Pipeline *pipeline)
{
	pipeline->window = pipeline->batch * WINDOW_TRANSACTIONS;
	if (pipeline->window < WINDOW_RECORDS)
		pipeline->window = WINDOW_RECORDS;
	if (PQenterPipelineMode(pipeline->conn) != 1 || PQsetnonblocking(pipeline->conn, 1) != 0)
		failure_exit("could not enter pipeline mode: %s", PQerrorMessage(pipeline->conn));
}

static void
run_single(Pipeline *pipeline, Measure *measure)
{
	for (size_t i = 0; i < pipeline->count; i++)
	{
		DatabaseParameters parameters;
		uint64_t	start = measure_now_ns();
		PGresult   *result;

		database_keyed_row_parameters(&parameters, &pipeline->records[i]);
		result = PQexecPrepared(pipeline->conn, "store", parameters.count, parameters.values,
								parameters.lengths, parameters.formats, 1);
		measure_latency(measure, measure_now_ns() - start);
		check_stored(pipeline->conn, result);
		PQclear(result);
	}
}

int
main(int argc, char **argv)
{
	BenchOptions options;
	Pipeline	pipeline = {0};
	Measure		measure = {0};
	bool		single;

	options_read(&options, argc, argv);
	single = strcmp(options.mode, "single") == 0;
	if (!single && strcmp(options.mode, "pipelined") != 0)
		failure_exit("invalid value for --mode: \"%s\" (pipelined or single)", options.mode);

	pipeline.records = records_make(options.records, options.keys, options.seed);
	pipeline.count = options.records;
	pipeline.batch = options.batch;
	pipeline.conn = database_connect(options.conninfo);
	database_prepare(pipeline.conn, "store", store_statement);
	measure_add_server(&measure, "server", PQbackendPID(pipeline.conn));
	if (single)
		measure_keep_latencies(&measure, options.records);
	else
		enter_pipeline_mode(&pipeline);

	measure_start(&measure);
	if (single)
		run_single(&pipeline, &measure);
	else
		run_pipelined(&pipeline);
	measure_stop(&measure);

	measure_print(&measure, options.records);
	PQfinish(pipeline.conn);
	return 0;
}
