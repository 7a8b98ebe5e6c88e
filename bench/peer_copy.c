/*
 * peer_copy.c
 *		The floor: COPY into the key table and into the target.
 *
 * Nobody who checks for duplicates can be this fast: COPY only stores, and one
 * key that is already there fails its whole transaction.  Modes:
 *
 *		keyed		keys and rows, --batch records a transaction
 *		bare		rows only, --batch records a transaction
 *
 * A batch as large as all records is the one big COPY.  All COPYs of a batch go
 * in one simple query, which is one transaction and one round trip.  With
 * --piece a transaction copies its records in pieces: COPY takes up to 1,000
 * tuple slots at once, and PostgreSQL 15 pins the table's row type for each of
 * them in a hash table where equal entries collide, so that the first 1,000 rows
 * of every COPY cost 1-2 ms more than those of smaller pieces.  The floor is the
 * cheaper way.  All is encoded before the clock starts.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "database.h"
#include "encoding.h"
#include "failure.h"
#include "measure.h"
#include "options.h"

typedef struct CopyPiece
{
	Encoding	keys;
	Encoding	rows;
} CopyPiece;

typedef struct CopyPlan
{
	char	   *query;			/* the statement as often as a batch has pieces */
	size_t		statement_length;
	bool		keyed;
	CopyPiece  *pieces;
	size_t		npieces;
	size_t		pieces_per_batch;
} CopyPlan;

static void
encode_piece(CopyPiece *piece, const BenchRecord *records, size_t count, bool binary)
{
	if (binary)
	{
		encoding_copy_begin(&piece->keys);
		encoding_copy_begin(&piece->rows);
	}
	for (size_t i = 0; i < count; i++)
	{
		if (binary)
		{
			encoding_copy_key(&piece->keys, &records[i]);
			encoding_copy_row(&piece->rows, &records[i]);
		}
		else
		{
			encoding_csv_key(&piece->keys, &records[i]);
			encoding_csv_row(&piece->rows, &records[i]);
		}
	}
	if (binary)
	{
		encoding_copy_end(&piece->keys);
		encoding_copy_end(&piece->rows);
	}
}

static void
encode_all(CopyPlan *plan, const BenchOptions *options, size_t piece, bool binary)
{
	BenchRecord *records = records_make(options->records, options->keys, options->seed);
	size_t		done = 0;

	plan->npieces = (options->records + piece - 1) / piece;
	plan->pieces = calloc(plan->npieces, sizeof(CopyPiece));
	if (plan->pieces == NULL)
		failure_exit("out of memory for %zu pieces", plan->npieces);
	for (size_t i = 0; i < plan->npieces; i++)
	{
		size_t		count = options->records - done;

		if (count > piece)
			count = piece;
		encode_piece(&plan->pieces[i], records + done, count, binary);
		done += count;
	}
	free(records);
}

static void
repeat_statement(CopyPlan *plan, bool binary)
{
	const char *format = binary ? "binary" : "csv";
	char		statement[200];
	Encoding	query = {0};

	snprintf(statement, sizeof(statement), "%s%s%sCOPY peers.readings FROM STDIN (FORMAT %s);",
			 plan->keyed ? "COPY peers.keys FROM STDIN (FORMAT " : "",
			 plan->keyed ? format : "",
			 plan->keyed ? ");" : "",
			 format);
	plan->statement_length = strlen(statement);
	for (size_t i = 0; i < plan->pieces_per_batch; i++)
		encoding_put(&query, statement, plan->statement_length);
	encoding_put(&query, "", 1);
	plan->query = query.data;
}

static void
make_plan(CopyPlan *plan, const BenchOptions *options)
{
	bool		binary = strcmp(options->format, "binary") == 0;
	size_t		piece = options->piece > 0 ? options->piece : options->batch;

	if (!binary && strcmp(options->format, "csv") != 0)
		failure_exit("invalid value for --format: \"%s\" (binary or csv)", options->format);
	plan->keyed = strcmp(options->mode, "keyed") == 0;
	if (!plan->keyed && strcmp(options->mode, "bare") != 0)
		failure_exit("invalid value for --mode: \"%s\" (keyed or bare)", options->mode);
	if (options->batch % piece != 0)
		failure_exit("--batch must be a multiple of --piece");
	plan->pieces_per_batch = options->batch / piece;
	repeat_statement(plan, binary);
	encode_all(plan, options, piece, binary);
}

/* libpq takes an int as length, and one message should not hold a gigabyte. */
static void
copy_in(PGconn *conn, const Encoding *data)
{
	const size_t piece = 64 * 1024;
	PGresult   *result = PQgetResult(conn);

	database_check(conn, result, PGRES_COPY_IN);
	PQclear(result);
	for (size_t at = 0; at < data->length; at += piece)
	{
		size_t		length = data->length - at < piece ? data->length - at : piece;

		if (PQputCopyData(conn, data->data + at, (int) length) != 1)
			failure_exit("could not send data: %s", PQerrorMessage(conn));
	}
	if (PQputCopyEnd(conn, NULL) != 1)
		failure_exit("could not end COPY: %s", PQerrorMessage(conn));
	result = PQgetResult(conn);
	database_check(conn, result, PGRES_COMMAND_OK);
	PQclear(result);
}

static void
store_batch(PGconn *conn, const CopyPlan *plan, size_t first)
{
	size_t		end = first + plan->pieces_per_batch;

	/* The last batch can be a short one: it takes the head of the query. */
	if (end > plan->npieces)
	{
		end = plan->npieces;
		plan->query[(end - first) * plan->statement_length] = '\0';
	}
	if (PQsendQuery(conn, plan->query) != 1)
		failure_exit("could not send query: %s", PQerrorMessage(conn));
	for (size_t i = first; i < end; i++)
	{
		if (plan->keyed)
			copy_in(conn, &plan->pieces[i].keys);
		copy_in(conn, &plan->pieces[i].rows);
	}
	/* The commit is behind this one. */
	if (PQgetResult(conn) != NULL)
		failure_exit("unexpected result after COPY: %s", PQerrorMessage(conn));
}

int
main(int argc, char **argv)
{
	BenchOptions options;
	CopyPlan	plan = {0};
	Measure		measure = {0};
	PGconn	   *conn;

	options_read(&options, argc, argv);
	make_plan(&plan, &options);
	conn = database_connect(options.conninfo);
	measure_add_server(&measure, "server", PQbackendPID(conn));

	measure_start(&measure);
	for (size_t i = 0; i < plan.npieces; i += plan.pieces_per_batch)
		store_batch(conn, &plan, i);
	measure_stop(&measure);

	measure_print(&measure, options.records);
	PQfinish(conn);
	return 0;
}
