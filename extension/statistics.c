/*
 * statistics.c
 *		Shared memory as SQL sees it: what is behind sluice.stat_streams and
 *		sluice.stat_workers.
 */
#include "postgres.h"

#include "commands/dbcommands.h"
#include "fmgr.h"
#include "funcapi.h"
#include "ingest.h"
#include "miscadmin.h"
#include "shared.h"
#include "stream.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

PGDLLEXPORT Datum sluice_stat_streams(PG_FUNCTION_ARGS);
PGDLLEXPORT Datum sluice_stat_workers(PG_FUNCTION_ARGS);

PG_FUNCTION_INFO_V1(sluice_stat_streams);
PG_FUNCTION_INFO_V1(sluice_stat_workers);

static const char *const hold_names[] = {
	[SLUICE_HOLD_NONE] = NULL,
	[SLUICE_HOLD_LOCKED] = "locked",
	[SLUICE_HOLD_ERROR] = "error",
	[SLUICE_HOLD_PAUSED] = "paused",
	[SLUICE_HOLD_GONE] = "gone",
};

static const char *const worker_state_names[] = {
	[SLUICE_WORKER_NONE] = NULL,
	[SLUICE_WORKER_STARTING] = "starting",
	[SLUICE_WORKER_WAITING] = "waiting for extension",
	[SLUICE_WORKER_SERVING] = "serving",
	[SLUICE_WORKER_DRAINING] = "draining",
};

static Datum
counter_datum(const pg_atomic_uint64 *counter)
{
	return Int64GetDatum((int64) pg_atomic_read_u64(unconstify(pg_atomic_uint64 *, counter)));
}

enum
{
	STREAM_ID,
	STREAM_RECEIVED,
	STREAM_STORED,
	STREAM_DUPLICATE,
	STREAM_DEAD_LETTERED,
	STREAM_FILTERED,
	STREAM_KEY_CONFLICTS,
	STREAM_BATCHES,
	STREAM_RETRIES,
	STREAM_HOLD,
	STREAM_SQLSTATE,
	STREAM_MESSAGE,
	STREAM_HOLD_SINCE,
	STREAM_LAST_COMMIT,
	STREAM_COLUMNS
};

static void
stream_row(const SluiceStreamStatus *status, Datum *values, bool *nulls)
{
	const SluiceStreamCounters *counters = status->counters;
	TimestampTz last_commit = (TimestampTz) DatumGetInt64(counter_datum(&counters->last_commit));
	bool		held = status->hold > SLUICE_HOLD_NONE && status->hold < lengthof(hold_names);

	memset(nulls, 0, STREAM_COLUMNS * sizeof(bool));
	values[STREAM_ID] = Int32GetDatum(status->stream_id);
	values[STREAM_RECEIVED] = counter_datum(&counters->received);
	values[STREAM_STORED] = counter_datum(&counters->stored);
	values[STREAM_DUPLICATE] = counter_datum(&counters->duplicate);
	values[STREAM_DEAD_LETTERED] = counter_datum(&counters->dead_lettered);
	values[STREAM_FILTERED] = counter_datum(&counters->filtered);
	values[STREAM_KEY_CONFLICTS] = counter_datum(&counters->key_conflicts);
	values[STREAM_BATCHES] = counter_datum(&counters->batches);
	values[STREAM_RETRIES] = counter_datum(&counters->retries);

	nulls[STREAM_HOLD] = !held;
	nulls[STREAM_SQLSTATE] = !held || status->sqlstate[0] == '\0';
	nulls[STREAM_MESSAGE] = !held || status->message[0] == '\0';
	nulls[STREAM_HOLD_SINCE] = !held;
	if (held)
	{
		values[STREAM_HOLD] = CStringGetTextDatum(hold_names[status->hold]);
		values[STREAM_SQLSTATE] = CStringGetTextDatum(status->sqlstate);
		values[STREAM_MESSAGE] = CStringGetTextDatum(sluice_stream_text(status->message, strlen(status->message)));
		values[STREAM_HOLD_SINCE] = TimestampTzGetDatum(status->hold_since);
	}

	nulls[STREAM_LAST_COMMIT] = last_commit == 0;
	values[STREAM_LAST_COMMIT] = TimestampTzGetDatum(last_commit);
}

Datum
sluice_stat_streams(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	SluiceStreamStatus *status = palloc(SLUICE_MAX_STREAM_STATUS * sizeof(SluiceStreamStatus));
	int			n = sluice_shared_stream_status(MyDatabaseId, status);

	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; i < n; i++)
	{
		Datum		values[STREAM_COLUMNS] = {0};
		bool		nulls[STREAM_COLUMNS];

		stream_row(&status[i], values, nulls);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}

enum
{
	WORKER_NUMBER,
	WORKER_PID,
	WORKER_STATE,
	WORKER_DATABASE,
	WORKER_PORT,
	WORKER_FIRST_COUNTER,
	WORKER_COLUMNS = WORKER_FIRST_COUNTER + SLUICE_WORKER_COUNTERS
};

static void
worker_row(int index, const SluiceWorkerStatus *status, Datum *values, bool *nulls)
{
	char	   *database = OidIsValid(status->database) ? get_database_name(status->database) : NULL;

	memset(nulls, 0, WORKER_COLUMNS * sizeof(bool));
	values[WORKER_NUMBER] = Int32GetDatum(index + 1);
	values[WORKER_PID] = Int32GetDatum(status->pid);
	values[WORKER_STATE] = CStringGetTextDatum(worker_state_names[status->state]);
	nulls[WORKER_DATABASE] = database == NULL;
	if (database != NULL)
		values[WORKER_DATABASE] = DirectFunctionCall1(namein, CStringGetDatum(database));
	nulls[WORKER_PORT] = status->port == 0;
	values[WORKER_PORT] = Int32GetDatum(status->port);
	for (int i = 0; i < SLUICE_WORKER_COUNTERS; i++)
		values[WORKER_FIRST_COUNTER + i] = Int64GetDatum((int64) status->counters[i]);
}

Datum
sluice_stat_workers(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; i < SLUICE_MAX_WORKERS; i++)
	{
		SluiceWorkerStatus status;
		Datum		values[WORKER_COLUMNS] = {0};
		bool		nulls[WORKER_COLUMNS];

		sluice_shared_worker_status(i, &status);
		if (status.pid == 0)
			continue;
		worker_row(i, &status, values, nulls);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}
