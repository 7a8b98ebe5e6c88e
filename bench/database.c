/*
 * database.c
 *		The connection of a peer, and its statements.
 */
#include "database.h"

#include <endian.h>
#include <string.h>

#include "failure.h"

PGconn *
database_connect(const char *conninfo)
{
	PGconn	   *conn = PQconnectdb(conninfo);

	if (PQstatus(conn) != CONNECTION_OK)
		failure_exit("could not connect: %s", PQerrorMessage(conn));
	return conn;
}

void
database_prepare(PGconn *conn, const char *name, const char *query)
{
	PGresult   *result = PQprepare(conn, name, query, 0, NULL);

	database_check(conn, result, PGRES_COMMAND_OK);
	PQclear(result);
}

void
database_check(PGconn *conn, PGresult *result, ExecStatusType expected)
{
	ExecStatusType status = PQresultStatus(result);

	if (status != expected)
		failure_exit("server answered %s where %s was expected: %s",
					 PQresStatus(status), PQresStatus(expected), PQerrorMessage(conn));
}

static void
add_parameter(DatabaseParameters *parameters, const void *value, int length)
{
	parameters->values[parameters->count] = value;
	parameters->lengths[parameters->count] = length;
	parameters->formats[parameters->count] = 1;
	parameters->count++;
}

static void
add_row(DatabaseParameters *parameters, const BenchRecord *record)
{
	encoding_columns(record, &parameters->columns);
	add_parameter(parameters, record->device_id, RECORDS_DEVICE_ID);
	add_parameter(parameters, &parameters->columns.timestamp, 8);
	add_parameter(parameters, &parameters->columns.temperature_celsius, 8);
	add_parameter(parameters, &parameters->columns.humidity_percent, 8);
}

void
database_row_parameters(DatabaseParameters *parameters, const BenchRecord *record)
{
	parameters->count = 0;
	add_row(parameters, record);
}

void
database_keyed_row_parameters(DatabaseParameters *parameters, const BenchRecord *record)
{
	parameters->count = 0;
	add_parameter(parameters, record->key, sizeof(record->key));
	add_row(parameters, record);
}

void
database_numbered_row_parameters(DatabaseParameters *parameters, uint64_t number, const BenchRecord *record)
{
	parameters->number = htobe64(number);
	parameters->count = 0;
	add_parameter(parameters, &parameters->number, 8);
	add_row(parameters, record);
}
