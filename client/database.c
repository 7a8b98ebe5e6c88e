/*
 * database.c
 *		The other database of "sluice subscribe --into": its connection, and the position that is kept there.
 */
#include "database.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libpq-fe.h>

#include "memory.h"
#include "uuid7.h"

/* A network that is silent is noticed; the user's own words come behind, and count. */
#define PATIENCE "connect_timeout", "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout"
#define PATIENCE_VALUES "10", "10", "5", "3", "30000"

static const char make_schema[] = "CREATE SCHEMA IF NOT EXISTS sluice_sink";

static const char make_positions[] =
"CREATE TABLE IF NOT EXISTS sluice_sink.positions (\n"
"    subscription text PRIMARY KEY,\n"
"    \"offset\" bigint NOT NULL,\n"
"    stream_uid uuid NOT NULL,\n"
"    system_identifier bigint NOT NULL,\n"
"    timeline bigint NOT NULL,\n"
"    lsn pg_lsn NOT NULL,\n"
"    refused bigint,\n"
"    changed_at timestamptz NOT NULL DEFAULT now()\n"
") WITH (fillfactor = 50)";

static const char make_redriven[] =
"CREATE TABLE IF NOT EXISTS sluice_sink.redriven (\n"
"    subscription text NOT NULL,\n"
"    redrive bigint NOT NULL,\n"
"    received_at timestamptz NOT NULL DEFAULT now(),\n"
"    PRIMARY KEY (subscription, redrive)\n"
")";

struct SluiceDatabase
{
	const char *conninfo;
	const char *table;
	const char *subscription;
	PGconn	   *connection;		/* NULL: none */
	char	   *target;			/* the table, quoted */
	char	   *insert;			/* the last statement that was made */
	char		message[500];
};

/* A token as text. */
typedef struct Written
{
	char		offset[24];
	char		uid[SLUICE_UUID_TEXT_LENGTH + 1];
	char		system[24];
	char		timeline[16];
	char		lsn[24];
} Written;

SluiceDatabase *
sluice_database_create(const char *conninfo, const char *table, const char *subscription)
{
	SluiceDatabase *database = sluice_memory_get_zeroed(sizeof(SluiceDatabase));

	database->conninfo = conninfo;
	database->table = table;
	database->subscription = subscription;
	return database;
}

static void
forget_statement(SluiceDatabase *database)
{
	free(database->insert);
	database->insert = NULL;
}

static void
disconnect(SluiceDatabase *database)
{
	PQfinish(database->connection);
	database->connection = NULL;
	free(database->target);
	database->target = NULL;
	forget_statement(database);
}

void
sluice_database_free(SluiceDatabase *database)
{
	disconnect(database);
	free(database);
}

const char *
sluice_database_message(const SluiceDatabase *database)
{
	return database->message;
}

/* ---- what went wrong ---- */

static void
note(SluiceDatabase *database, const char *text)
{
	size_t		length;

	snprintf(database->message, sizeof(database->message), "%s", text);
	length = strlen(database->message);
	while (length > 0 && database->message[length - 1] == '\n')
		database->message[--length] = '\0';
	for (char *at = database->message; *at != '\0'; at++)
	{
		if (*at == '\n')
			*at = ' ';
	}
}

/* By class, as docs/sluice-subscribe.md has it. */
static SluiceDatabaseResult
result_of(const char *sqlstate)
{
	static const char *const data[] = {"21", "22", "23", "2F", "38", "39", "44", "54", "P0"};
	static const char *const fatal[] = {"0A", "28", "3D", "3F", "42"};

	for (size_t i = 0; i < sizeof(data) / sizeof(data[0]); i++)
	{
		if (strncmp(sqlstate, data[i], 2) == 0)
			return SLUICE_DATABASE_DATA;
	}
	for (size_t i = 0; i < sizeof(fatal) / sizeof(fatal[0]); i++)
	{
		if (strncmp(sqlstate, fatal[i], 2) == 0)
			return SLUICE_DATABASE_FAILED;
	}
	return SLUICE_DATABASE_AGAIN;
}

/* Where nobody knows in which state the connection is, there is none any more. */
static SluiceDatabaseResult
judge(SluiceDatabase *database, const PGresult *result)
{
	const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	const char *primary = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
	ExecStatusType status = PQresultStatus(result);
	char		text[500];

	if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK)
		return SLUICE_DATABASE_OK;
	if (sqlstate == NULL || primary == NULL || PQstatus(database->connection) != CONNECTION_OK)
	{
		note(database, PQerrorMessage(database->connection));
		disconnect(database);
		return SLUICE_DATABASE_AGAIN;
	}
	snprintf(text, sizeof(text), "%.400s (SQLSTATE %s)", primary, sqlstate);
	note(database, text);
	return result_of(sqlstate);
}

/* Ends the transaction, if there is one. */
static SluiceDatabaseResult
fail(SluiceDatabase *database, SluiceDatabaseResult why)
{
	if (database->connection != NULL && PQtransactionStatus(database->connection) != PQTRANS_IDLE)
	{
		PQclear(PQexec(database->connection, "ROLLBACK"));
		if (PQtransactionStatus(database->connection) != PQTRANS_IDLE)
			disconnect(database);
	}
	return why;
}

/* ---- statements ---- */

/* *value (may be NULL): a copy of the only value, or NULL where there is none.  *rows: that it touched or has. */
static SluiceDatabaseResult
execute(SluiceDatabase *database, const char *sql, int n, const char *const *parameters, char **value, int *rows)
{
	PGresult   *result = n == 0 ? PQexec(database->connection, sql) :
		PQexecParams(database->connection, sql, n, NULL, parameters, NULL, NULL, 0);
	SluiceDatabaseResult code = judge(database, result);

	if (value != NULL)
	{
		*value = NULL;
		if (code == SLUICE_DATABASE_OK && PQntuples(result) == 1 && !PQgetisnull(result, 0, 0))
		{
			*value = sluice_memory_get((size_t) PQgetlength(result, 0, 0) + 1);
			strcpy(*value, PQgetvalue(result, 0, 0));
		}
	}
	if (rows != NULL)
		*rows = code != SLUICE_DATABASE_OK ? 0 : PQresultStatus(result) == PGRES_TUPLES_OK ? PQntuples(result) :
			atoi(PQcmdTuples(result));
	PQclear(result);
	return code;
}

static SluiceDatabaseResult
run(SluiceDatabase *database, const char *sql)
{
	return execute(database, sql, 0, NULL, NULL, NULL);
}

static void
write_token(const sluice_token *token, Written *out)
{
	sprintf(out->offset, "%" PRId64, token->offset);
	sluice_uuid_to_text(token->stream_uid, out->uid);
	out->uid[SLUICE_UUID_TEXT_LENGTH] = '\0';
	sprintf(out->system, "%" PRId64, (int64_t) token->system_identifier);
	sprintf(out->timeline, "%" PRIu32, token->timeline);
	sprintf(out->lsn, "%" PRIX32 "/%" PRIX32, (uint32_t) (token->lsn >> 32), (uint32_t) token->lsn);
}

/* ---- connecting ---- */

static void
drop_notice(void *argument, const char *text)
{
	(void) argument;
	(void) text;
}

/* Making it takes rights that looking for it does not. */
static SluiceDatabaseResult
make_where_missing(SluiceDatabase *database, const char *name, const char *sql)
{
	SluiceDatabaseResult code = SLUICE_DATABASE_DATA;

	/* A unique key is violated where others make it in the same moment, schema or table: it is there then. */
	for (int tries = 0; code == SLUICE_DATABASE_DATA && tries < 3; tries++)
	{
		char	   *found;

		code = execute(database, "SELECT to_regclass($1)::oid", 1, &name, &found, NULL);
		if (code != SLUICE_DATABASE_OK || found != NULL)
		{
			free(found);
			return code;
		}
		code = run(database, make_schema);
		if (code == SLUICE_DATABASE_OK)
			code = run(database, sql);
	}
	return code;
}

static SluiceDatabaseResult
prepare(SluiceDatabase *database)
{
	SluiceDatabaseResult code;

	PQsetNoticeProcessor(database->connection, drop_notice, NULL);
	code = make_where_missing(database, "sluice_sink.positions", make_positions);
	if (code == SLUICE_DATABASE_OK)
		code = make_where_missing(database, "sluice_sink.redriven", make_redriven);
	if (code == SLUICE_DATABASE_OK)
		code = execute(database, "SELECT $1::regclass::text", 1, &database->table, &database->target, NULL);
	/* A name that is none is the user's. */
	return code == SLUICE_DATABASE_DATA ? SLUICE_DATABASE_FAILED : code;
}

SluiceDatabaseResult
sluice_database_connect(SluiceDatabase *database)
{
	static const char *const names[] = {PATIENCE, "dbname", "fallback_application_name", "client_encoding", NULL};
	const char *const values[] = {PATIENCE_VALUES, database->conninfo, "sluice subscribe", "UTF8", NULL};
	SluiceDatabaseResult code;

	if (database->connection != NULL && PQstatus(database->connection) == CONNECTION_OK)
		return SLUICE_DATABASE_OK;
	disconnect(database);
	database->connection = PQconnectdbParams(names, values, 1);
	if (PQstatus(database->connection) != CONNECTION_OK)
	{
		note(database, PQerrorMessage(database->connection));
		disconnect(database);
		return SLUICE_DATABASE_AGAIN;
	}
	code = prepare(database);
	if (code != SLUICE_DATABASE_OK)
		disconnect(database);
	return code;
}

/* ---- the position ---- */

static SluiceDatabaseResult
moved(SluiceDatabase *database)
{
	note(database, "the position was changed by another consumer");
	return SLUICE_DATABASE_MOVED;
}

static SluiceDatabaseResult
make_position(SluiceDatabase *database, const sluice_token *server)
{
	static const char sql[] =
	"INSERT INTO sluice_sink.positions (subscription, \"offset\", stream_uid, system_identifier, timeline, lsn)\n"
	"VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING";
	Written		w;
	const char *const parameters[] = {database->subscription, w.offset, w.uid, w.system, w.timeline, w.lsn};

	write_token(server, &w);
	return execute(database, sql, 6, parameters, NULL, NULL);
}

/* The server goes past a row that this sink refused only when it has made it a dead letter. */
static SluiceDatabaseResult
pass_refused(SluiceDatabase *database, const sluice_token *server)
{
	static const char sql[] =
	"UPDATE sluice_sink.positions SET \"offset\" = refused, refused = NULL, stream_uid = $3, system_identifier = $4,\n"
	"    timeline = $5, lsn = $6, changed_at = now()\n"
	"WHERE subscription = $1 AND refused <= $2 AND refused > \"offset\"";
	Written		w;
	const char *const parameters[] = {database->subscription, w.offset, w.uid, w.system, w.timeline, w.lsn};

	write_token(server, &w);
	return execute(database, sql, 6, parameters, NULL, NULL);
}

static bool
read_token(const PGresult *result, sluice_token *token)
{
	unsigned	high;
	unsigned	low;

	memset(token, 0, sizeof(*token));
	if (PQntuples(result) != 1 || sscanf(PQgetvalue(result, 0, 4), "%X/%X", &high, &low) != 2)
		return false;
	for (size_t i = 0; i < sizeof(token->stream_uid); i++)
	{
		if (sscanf(PQgetvalue(result, 0, 1) + 2 * i, "%2hhx", &token->stream_uid[i]) != 1)
			return false;
	}
	token->offset = strtoll(PQgetvalue(result, 0, 0), NULL, 10);
	token->system_identifier = (uint64_t) strtoll(PQgetvalue(result, 0, 2), NULL, 10);
	token->timeline = (uint32_t) strtoul(PQgetvalue(result, 0, 3), NULL, 10);
	token->lsn = (uint64_t) high << 32 | low;
	return true;
}

SluiceDatabaseResult
sluice_database_position(SluiceDatabase *database, const sluice_token *server, sluice_token *position)
{
	static const char sql[] =
	"SELECT \"offset\", replace(stream_uid::text, '-', ''), system_identifier, timeline, lsn\n"
	"FROM sluice_sink.positions WHERE subscription = $1";
	SluiceDatabaseResult code = make_position(database, server);
	PGresult   *result;

	if (code == SLUICE_DATABASE_OK)
		code = pass_refused(database, server);
	if (code != SLUICE_DATABASE_OK)
		return fail(database, code == SLUICE_DATABASE_DATA ? SLUICE_DATABASE_FAILED : code);
	result = PQexecParams(database->connection, sql, 1, NULL, &database->subscription, NULL, NULL, 0);
	code = judge(database, result);
	if (code == SLUICE_DATABASE_OK && !read_token(result, position))
	{
		note(database, "the position in sluice_sink.positions cannot be read");
		code = SLUICE_DATABASE_FAILED;
	}
	PQclear(result);
	return code;
}

SluiceDatabaseResult
sluice_database_refuse(SluiceDatabase *database, int64_t previous, int64_t offset)
{
	static const char sql[] =
	"UPDATE sluice_sink.positions SET refused = $3 WHERE subscription = $1 AND \"offset\" = $2";
	char		from[24];
	char		to[24];
	const char *const parameters[] = {database->subscription, from, to};
	SluiceDatabaseResult code;
	int			rows;

	sprintf(from, "%" PRId64, previous);
	sprintf(to, "%" PRId64, offset);
	code = execute(database, sql, 3, parameters, NULL, &rows);
	return code == SLUICE_DATABASE_OK && rows != 1 ? moved(database) : code;
}

/* ---- transactions ---- */

/* The first statement locks, compares and moves in one: under READ COMMITTED it looks again after it has waited for the row. */
SluiceDatabaseResult
sluice_database_begin(SluiceDatabase *database, int64_t previous, const sluice_token *next)
{
	static const char sql[] =
	"UPDATE sluice_sink.positions SET \"offset\" = $3, stream_uid = $4, system_identifier = $5, timeline = $6, lsn = $7,\n"
	"    refused = NULL, changed_at = now()\n"
	"WHERE subscription = $1 AND \"offset\" = $2";
	char		from[24];
	Written		w;
	const char *const parameters[] = {database->subscription, from, w.offset, w.uid, w.system, w.timeline, w.lsn};
	SluiceDatabaseResult code = run(database, "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE");
	int			rows;

	if (code != SLUICE_DATABASE_OK)
		return fail(database, code);
	sprintf(from, "%" PRId64, previous);
	write_token(next, &w);
	code = execute(database, sql, 7, parameters, NULL, &rows);
	if (code == SLUICE_DATABASE_OK && rows != 1)
		code = moved(database);
	return code == SLUICE_DATABASE_OK ? code : fail(database, code);
}

SluiceDatabaseResult
sluice_database_begin_redriven(SluiceDatabase *database, int64_t redrive)
{
	static const char sql[] =
	"INSERT INTO sluice_sink.redriven (subscription, redrive) VALUES ($1, $2) ON CONFLICT DO NOTHING";
	char		text[24];
	const char *const parameters[] = {database->subscription, text};
	SluiceDatabaseResult code = run(database, "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE");
	int			rows;

	if (code != SLUICE_DATABASE_OK)
		return fail(database, code);
	sprintf(text, "%" PRId64, redrive);
	code = execute(database, sql, 2, parameters, NULL, &rows);
	if (code == SLUICE_DATABASE_OK && rows == 0)
		code = SLUICE_DATABASE_DONE_BEFORE;
	return code == SLUICE_DATABASE_OK ? code : fail(database, code);
}

/* The columns are the members' names.  A member without a column is an error that names it. */
static SluiceDatabaseResult
make_insert(SluiceDatabase *database, const char *first)
{
	static const char sql[] = "SELECT string_agg(quote_ident(name), ', ') FROM json_object_keys($1::json) AS name";
	static const char form[] =
	"INSERT INTO %s (%s) OVERRIDING SYSTEM VALUE SELECT %s FROM json_populate_recordset(NULL::%s, $1::json)";
	char	   *columns;
	SluiceDatabaseResult code;
	size_t		size;

	forget_statement(database);
	code = execute(database, sql, 1, &first, &columns, NULL);
	if (code != SLUICE_DATABASE_OK || columns == NULL)
	{
		if (code == SLUICE_DATABASE_OK)
		{
			note(database, "the row has no members");
			code = SLUICE_DATABASE_DATA;
		}
		return code;
	}
	size = sizeof(form) + 2 * strlen(columns) + 2 * strlen(database->target);
	database->insert = sluice_memory_get(size);
	snprintf(database->insert, size, form, database->target, columns, columns, database->target);
	free(columns);
	return SLUICE_DATABASE_OK;
}

SluiceDatabaseResult
sluice_database_insert(SluiceDatabase *database, const char *json, const char *first, bool same)
{
	SluiceDatabaseResult code = SLUICE_DATABASE_OK;

	if (!same || database->insert == NULL)
		code = make_insert(database, first);
	if (code == SLUICE_DATABASE_OK)
		code = execute(database, database->insert, 1, &json, NULL, NULL);
	return code == SLUICE_DATABASE_OK ? code : fail(database, code);
}

SluiceDatabaseResult
sluice_database_commit(SluiceDatabase *database)
{
	SluiceDatabaseResult code = run(database, "COMMIT");

	return code == SLUICE_DATABASE_OK ? code : fail(database, code);
}
