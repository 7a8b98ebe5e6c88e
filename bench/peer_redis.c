/*
 * peer_redis.c
 *		The common design: ask Redis whether the key is new (SET NX EX), then
 *		INSERT the row.
 *
 *		single		one record after the other, as such services do it
 *		pipelined	--batch keys in one round trip to Redis, then their rows in
 *					one transaction
 *		memory		keys only; reports what Redis takes for each
 *
 * It is not exactly once: a crash between the two leaves a key without its row
 * (the record is lost), and a Redis that forgets leaves a row without its key.
 */
#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "database.h"
#include "failure.h"
#include "measure.h"
#include "options.h"

static const char insert_statement[] =
"INSERT INTO peers.readings (device_id, \"timestamp\", temperature_celsius, humidity_percent) "
"VALUES ($1::text, $2::timestamptz, $3::float8, $4::float8)";

/* The idempotency window: a day. */
static const char window_seconds[] = "86400";

static redisContext *
connect_redis(int port)
{
	redisContext *redis = redisConnect("127.0.0.1", port);

	if (redis == NULL || redis->err)
		failure_exit("could not connect to Redis: %s", redis ? redis->errstr : "out of memory");
	return redis;
}

static long long
read_info(redisContext *redis, const char *section, const char *field)
{
	redisReply *reply = redisCommand(redis, "INFO %s", section);
	const char *found = NULL;
	long long	value;

	if (reply != NULL && reply->type == REDIS_REPLY_STRING)
		found = strstr(reply->str, field);
	if (found == NULL)
		failure_exit("could not read %s of Redis", field);
	value = strtoll(found + strlen(field), NULL, 10);
	freeReplyObject(reply);
	return value;
}

static void
append_set(redisContext *redis, const BenchRecord *record)
{
	char		key[RECORDS_KEY_TEXT + 1];
	const char *words[6] = {"SET", key, "1", "NX", "EX", window_seconds};
	const size_t lengths[6] = {3, RECORDS_KEY_TEXT, 1, 2, 2, sizeof(window_seconds) - 1};

	records_key_text(record, key);
	if (redisAppendCommandArgv(redis, 6, words, lengths) != REDIS_OK)
		failure_exit("could not send to Redis: %s", redis->errstr);
}

/* Was the key new? */
static bool
take_set_reply(redisContext *redis)
{
	void	   *answer;
	redisReply *reply;
	bool		is_new;

	if (redisGetReply(redis, &answer) != REDIS_OK)
		failure_exit("could not receive from Redis: %s", redis->errstr);
	reply = answer;
	if (reply->type != REDIS_REPLY_STATUS && reply->type != REDIS_REPLY_NIL)
		failure_exit("Redis answered: %s", reply->str ? reply->str : "nothing of use");
	is_new = reply->type == REDIS_REPLY_STATUS;
	freeReplyObject(reply);
	return is_new;
}

static void
check_inserted(PGconn *conn, PGresult *result)
{
	database_check(conn, result, PGRES_COMMAND_OK);
	if (strcmp(PQcmdTuples(result), "1") != 0)
		failure_exit("a record was not stored: %s rows", PQcmdTuples(result));
}

static void
run_single(redisContext *redis, PGconn *conn, const BenchRecord *records, size_t count,
		   Measure *measure)
{
	for (size_t i = 0; i < count; i++)
	{
		uint64_t	start = measure_now_ns();
		DatabaseParameters parameters;
		PGresult   *result;

		append_set(redis, &records[i]);
		if (!take_set_reply(redis))
			failure_exit("a new key was called a duplicate");
		database_row_parameters(&parameters, &records[i]);
		result = PQexecPrepared(conn, "insert", parameters.count, parameters.values,
								parameters.lengths, parameters.formats, 1);
		measure_latency(measure, measure_now_ns() - start);
		check_inserted(conn, result);
		PQclear(result);
	}
}

static void
set_keys(redisContext *redis, const BenchRecord *records, size_t count)
{
	for (size_t i = 0; i < count; i++)
		append_set(redis, &records[i]);
	for (size_t i = 0; i < count; i++)
	{
		if (!take_set_reply(redis))
			failure_exit("a new key was called a duplicate");
	}
}

static void
insert_rows(PGconn *conn, const BenchRecord *records, size_t count)
{
	PGresult   *result;

	for (size_t i = 0; i < count; i++)
	{
		DatabaseParameters parameters;

		database_row_parameters(&parameters, &records[i]);
		if (PQsendQueryPrepared(conn, "insert", parameters.count, parameters.values,
								parameters.lengths, parameters.formats, 1) != 1)
			failure_exit("could not send: %s", PQerrorMessage(conn));
	}
	if (PQpipelineSync(conn) != 1)
		failure_exit("could not send sync: %s", PQerrorMessage(conn));
	for (size_t i = 0; i < count; i++)
	{
		result = PQgetResult(conn);
		check_inserted(conn, result);
		PQclear(result);
		if (PQgetResult(conn) != NULL)
			failure_exit("unexpected second result of an INSERT");
	}
	result = PQgetResult(conn);
	database_check(conn, result, PGRES_PIPELINE_SYNC);
	PQclear(result);
}

/* Calls one of the two ways for each batch of the records. */
static void
run_batches(redisContext *redis, PGconn *conn, const BenchRecord *records,
			const BenchOptions *options)
{
	for (size_t done = 0; done < options->records;)
	{
		size_t		count = options->records - done;

		if (count > options->batch)
			count = options->batch;
		set_keys(redis, records + done, count);
		if (conn != NULL)
			insert_rows(conn, records + done, count);
		done += count;
	}
}

/*
 * Redis grows its hash tables step by step, and holds the old and the new one
 * meanwhile, also while nobody asks it for anything.  What it takes in the end
 * is what counts: wait until a second long nothing has changed any more.
 */
static long long
read_settled_memory(redisContext *redis)
{
	const struct timespec pause = {.tv_nsec = 50 * 1000 * 1000};
	const int	wanted_rounds = 20;
	const int	patience = 1200;
	long long	lowest = read_info(redis, "memory", "used_memory:");
	int			rounds = 0;

	for (int i = 0; i < patience && rounds < wanted_rounds; i++)
	{
		long long	now;

		nanosleep(&pause, NULL);
		now = read_info(redis, "memory", "used_memory:");
		rounds = now < lowest ? 0 : rounds + 1;
		if (now < lowest)
			lowest = now;
	}
	return lowest;
}

static void
measure_memory(const BenchOptions *options)
{
	redisContext *redis = connect_redis(options->redis_port);
	BenchRecord *records = records_make(options->records, options->keys, options->seed);
	long long	before = read_settled_memory(redis);
	long long	after;

	run_batches(redis, NULL, records, options);
	after = read_settled_memory(redis);
	printf("{\"records\": %zu, \"bytes_per_key\": %.2f}\n",
		   options->records, (double) (after - before) / (double) options->records);
	free(records);
	redisFree(redis);
}

static void
measure_storing(const BenchOptions *options, bool single)
{
	Measure		measure = {0};
	redisContext *redis = connect_redis(options->redis_port);
	PGconn	   *conn = database_connect(options->conninfo);
	BenchRecord *records = records_make(options->records, options->keys, options->seed);

	database_prepare(conn, "insert", insert_statement);
	measure_add_server(&measure, "server", PQbackendPID(conn));
	measure_add_server(&measure, "redis", (pid_t) read_info(redis, "server", "process_id:"));
	if (single)
		measure_keep_latencies(&measure, options->records);
	else if (PQenterPipelineMode(conn) != 1)
		failure_exit("could not enter pipeline mode: %s", PQerrorMessage(conn));

	measure_start(&measure);
	if (single)
		run_single(redis, conn, records, options->records, &measure);
	else
		run_batches(redis, conn, records, options);
	measure_stop(&measure);

	measure_print(&measure, options->records);
	free(records);
	PQfinish(conn);
	redisFree(redis);
}

int
main(int argc, char **argv)
{
	BenchOptions options;

	options_read(&options, argc, argv);
	if (strcmp(options.mode, "memory") == 0)
		measure_memory(&options);
	else if (strcmp(options.mode, "single") == 0)
		measure_storing(&options, true);
	else if (strcmp(options.mode, "pipelined") == 0)
		measure_storing(&options, false);
	else
		failure_exit("invalid value for --mode: \"%s\" (single, pipelined or memory)", options.mode);
	return 0;
}
