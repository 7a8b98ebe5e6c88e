/*
 * ingest.c
 *		The ingest transaction itself: sluice.ingest() from SQL, --batch records
 *		a call, each call a transaction.
 *
 * Keys are text, payloads are ingestion.DataPayload, both go as binary arrays
 * to a prepared statement; all is encoded before the clock starts, as COPY's
 * data is in peer_copy.c, beside which this is measured.
 */
#include <stdlib.h>
#include <string.h>

#include "database.h"
#include "encoding.h"
#include "failure.h"
#include "measure.h"
#include "options.h"

#define BYTEA_OID	17
#define TEXT_OID	25

typedef struct IngestCall
{
	Encoding	keys;
	Encoding	payloads;
	size_t		count;
} IngestCall;

/* The binary form of a one-dimensional array without NULLs. */
static void
begin_array(Encoding *to, int32_t element_type, size_t count)
{
	encoding_put_int32(to, 1);	/* dimensions */
	encoding_put_int32(to, 0);	/* no NULLs */
	encoding_put_int32(to, element_type);
	encoding_put_int32(to, (int32_t) count);
	encoding_put_int32(to, 1);	/* lower bound */
}

static void
encode_call(IngestCall *call, const BenchRecord *records, size_t count)
{
	Encoding	payload = {0};

	call->count = count;
	begin_array(&call->keys, TEXT_OID, count);
	begin_array(&call->payloads, BYTEA_OID, count);
	for (size_t i = 0; i < count; i++)
	{
		char		key[RECORDS_KEY_TEXT + 1];

		records_key_text(&records[i], key);
		encoding_put_int32(&call->keys, RECORDS_KEY_TEXT);
		encoding_put(&call->keys, key, RECORDS_KEY_TEXT);

		payload.length = 0;
		encoding_payload(&payload, &records[i]);
		encoding_put_int32(&call->payloads, (int32_t) payload.length);
		encoding_put(&call->payloads, payload.data, payload.length);
	}
	free(payload.data);
}

static IngestCall *
encode_calls(const BenchOptions *options, size_t *ncalls)
{
	BenchRecord *records = records_make(options->records, options->keys, options->seed);
	IngestCall *calls;
	size_t		done = 0;

	*ncalls = (options->records + options->batch - 1) / options->batch;
	calls = calloc(*ncalls, sizeof(IngestCall));
	if (calls == NULL)
		failure_exit("out of memory for %zu calls", *ncalls);
	for (size_t i = 0; i < *ncalls; i++)
	{
		size_t		count = options->records - done;

		if (count > options->batch)
			count = options->batch;
		encode_call(&calls[i], records + done, count);
		done += count;
	}
	free(records);
	return calls;
}

static void
ingest(PGconn *conn, const char *stream, const IngestCall *call)
{
	const char *values[3] = {stream, call->keys.data, call->payloads.data};
	const int	lengths[3] = {0, (int) call->keys.length, (int) call->payloads.length};
	const int	formats[3] = {0, 1, 1};
	PGresult   *result = PQexecPrepared(conn, "ingest", 3, values, lengths, formats, 0);

	database_check(conn, result, PGRES_TUPLES_OK);
	if (strtoull(PQgetvalue(result, 0, 0), NULL, 10) != call->count)
		failure_exit("%s verdicts for %zu records", PQgetvalue(result, 0, 0), call->count);
	PQclear(result);
}

int
main(int argc, char **argv)
{
	BenchOptions options;
	Measure		measure = {0};
	IngestCall *calls;
	size_t		ncalls;
	PGconn	   *conn;

	options_read(&options, argc, argv);
	calls = encode_calls(&options, &ncalls);
	conn = database_connect(options.conninfo);
	database_prepare(conn, "ingest",
					 "SELECT count(*) FROM sluice.ingest($1::text, $2::text[], $3::bytea[])");
	measure_add_server(&measure, "server", PQbackendPID(conn));

	measure_start(&measure);
	for (size_t i = 0; i < ncalls; i++)
		ingest(conn, options.stream, &calls[i]);
	measure_stop(&measure);

	measure_print(&measure, options.records);
	PQfinish(conn);
	return 0;
}
