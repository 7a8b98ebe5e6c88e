/*
 * statistics.c
 *		Shared memory as SQL sees it: what is behind sluice.stat_streams,
 *		sluice.stat_workers and sluice.stat_connections.
 */
#include "postgres.h"

#include "buckets.h"
#include "commands/dbcommands.h"
#include "connections.h"
#include "fmgr.h"
#include "funcapi.h"
#include "ingest.h"
#include "miscadmin.h"
#include "shared.h"
#include "stream.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

PGDLLEXPORT Datum sluice_stat_streams(PG_FUNCTION_ARGS);
PGDLLEXPORT Datum sluice_stat_workers(PG_FUNCTION_ARGS);
PGDLLEXPORT Datum sluice_stat_connections(PG_FUNCTION_ARGS);

PG_FUNCTION_INFO_V1(sluice_stat_streams);
PG_FUNCTION_INFO_V1(sluice_stat_workers);
PG_FUNCTION_INFO_V1(sluice_stat_connections);

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

static Datum
interval_datum(int64 microseconds)
{
	Interval   *interval = palloc0(sizeof(Interval));

	/* Half of the range: an interval of the whole one cannot be printed or negated. */
	interval->time = Max(Min(microseconds, PG_INT64_MAX / 2), -(PG_INT64_MAX / 2));
	return IntervalPGetDatum(interval);
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
	STREAM_THROTTLED,
	STREAM_THROTTLED_TIME,
	STREAM_COLUMNS
};

static void
stream_row(const SluiceStreamStatus *status, Datum *values, bool *nulls)
{
	const SluiceStreamCounters *counters = status->counters;
	TimestampTz last_commit = (TimestampTz) DatumGetInt64(counter_datum(&counters->last_commit));
	SluiceBucketStatus bucket = {0};
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
	(void) sluice_buckets_status(MyDatabaseId, status->stream_id, &bucket);
	values[STREAM_THROTTLED] = Int64GetDatum((int64) bucket.pauses);
	values[STREAM_THROTTLED_TIME] = interval_datum((int64) bucket.paused_us);
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

enum
{
	CONNECTION_WORKER,
	CONNECTION_PID,
	CONNECTION_METHOD,
	CONNECTION_ROLE,
	CONNECTION_ADDRESS,
	CONNECTION_CLIENT,
	CONNECTION_STREAM,
	CONNECTION_PRODUCER,
	CONNECTION_CONNECTED_AT,
	CONNECTION_RECEIVED,
	CONNECTION_ACKNOWLEDGED,
	CONNECTION_RECORDS,
	CONNECTION_BYTES,
	CONNECTION_LAST_MESSAGE_AT,
	CONNECTION_BUFFERED_RECORDS,
	CONNECTION_BUFFERED_BYTES,
	CONNECTION_OLDEST_AGE,
	CONNECTION_CLOCK_OFFSET,
	CONNECTION_REPORTED_AT,
	CONNECTION_COLUMNS
};

static const char *const connection_methods[] = {
	[SLUICE_CONNECTION_NONE] = NULL,
	[SLUICE_CONNECTION_INGEST_DATA] = "IngestData",
	[SLUICE_CONNECTION_PUBLISH] = "Publish",
	[SLUICE_CONNECTION_SUBSCRIBE] = "Subscribe",
};

/* What a client tells need not fit. */
static Datum
clipped_datum(uint64 value)
{
	return Int64GetDatum((int64) Min(value, (uint64) PG_INT64_MAX));
}

static Datum
time_datum(int64 since_1970)
{
	return TimestampTzGetDatum(since_1970 - SLUICE_EPOCH_OFFSET);
}

static Datum
text_datum(const char *utf8)
{
	return CStringGetTextDatum(sluice_stream_text(utf8, strlen(utf8)));
}

static Datum
producer_datum(const SluiceConnection *connection)
{
	pg_uuid_t  *uuid = palloc(sizeof(pg_uuid_t));

	memcpy(uuid->data, connection->producer, UUID_LEN);
	return UUIDPGetDatum(uuid);
}

/* The columns of the client's report. */
static void
connection_report(const SluiceConnection *connection, Datum *values, bool *nulls)
{
	if (connection->reported_at == 0)
	{
		for (int i = CONNECTION_BUFFERED_RECORDS; i <= CONNECTION_REPORTED_AT; i++)
			nulls[i] = true;
		return;
	}
	values[CONNECTION_BUFFERED_RECORDS] = clipped_datum(connection->buffered_records);
	values[CONNECTION_BUFFERED_BYTES] = clipped_datum(connection->buffered_bytes);
	values[CONNECTION_OLDEST_AGE] = interval_datum((int64) Min(connection->oldest_age, PG_INT64_MAX / 1000) * 1000);
	values[CONNECTION_CLOCK_OFFSET] = interval_datum(connection->clock_offset);
	values[CONNECTION_REPORTED_AT] = time_datum(connection->reported_at);
}

static void
connection_row(int worker, int pid, const SluiceConnection *connection, Datum *values, bool *nulls)
{
	memset(nulls, 0, CONNECTION_COLUMNS * sizeof(bool));
	values[CONNECTION_WORKER] = Int32GetDatum(worker + 1);
	values[CONNECTION_PID] = Int32GetDatum(pid);
	values[CONNECTION_METHOD] = CStringGetTextDatum(connection_methods[connection->method]);
	nulls[CONNECTION_ROLE] = connection->role == 0;
	values[CONNECTION_ROLE] = ObjectIdGetDatum(connection->role);
	values[CONNECTION_ADDRESS] = text_datum(connection->address);
	nulls[CONNECTION_CLIENT] = connection->client[0] == '\0';
	if (!nulls[CONNECTION_CLIENT])
		values[CONNECTION_CLIENT] = text_datum(connection->client);
	nulls[CONNECTION_STREAM] = connection->stream_id == 0;
	values[CONNECTION_STREAM] = Int32GetDatum(connection->stream_id);
	nulls[CONNECTION_PRODUCER] = !connection->has_producer;
	if (connection->has_producer)
		values[CONNECTION_PRODUCER] = producer_datum(connection);
	values[CONNECTION_CONNECTED_AT] = time_datum(connection->connected_at);
	values[CONNECTION_RECEIVED] = clipped_datum(connection->received);
	values[CONNECTION_ACKNOWLEDGED] = clipped_datum(connection->answered);
	values[CONNECTION_RECORDS] = clipped_datum(connection->records);
	values[CONNECTION_BYTES] = clipped_datum(connection->bytes);
	nulls[CONNECTION_LAST_MESSAGE_AT] = connection->last_message_at == 0;
	values[CONNECTION_LAST_MESSAGE_AT] = time_datum(connection->last_message_at);
	connection_report(connection, values, nulls);
}

/* The calls of the workers of this database. */
Datum
sluice_stat_connections(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, 0);
	for (int worker = 0; worker < SLUICE_MAX_WORKERS; worker++)
	{
		SluiceWorkerStatus status;

		sluice_shared_worker_status(worker, &status);
		if (status.pid == 0 || status.database != MyDatabaseId)
			continue;
		for (int slot = 0; slot < SLUICE_CONNECTIONS; slot++)
		{
			SluiceConnection connection;
			Datum		values[CONNECTION_COLUMNS] = {0};
			bool		nulls[CONNECTION_COLUMNS];

			if (!sluice_connections_read(worker, slot, &connection))
				continue;
			connection_row(worker, status.pid, &connection, values, nulls);
			tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
		}
	}
	return (Datum) 0;
}
