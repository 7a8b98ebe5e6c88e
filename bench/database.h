/*
 * database.h
 *		The connection of a peer, and its statements.
 */
#ifndef BENCH_DATABASE_H
#define BENCH_DATABASE_H

#include <libpq-fe.h>

#include "records.h"
#include "encoding.h"

/* A record as the parameters of a prepared statement, all binary. */
typedef struct DatabaseParameters
{
	EncodingColumns columns;
	uint64_t	number;
	const char *values[5];
	int			lengths[5];
	int			formats[5];
	int			count;
} DatabaseParameters;

extern PGconn *database_connect(const char *conninfo);
extern void database_prepare(PGconn *conn, const char *name, const char *query);
extern void database_check(PGconn *conn, PGresult *result, ExecStatusType expected);
extern void database_row_parameters(DatabaseParameters *parameters, const BenchRecord *record);
extern void database_numbered_row_parameters(DatabaseParameters *parameters, uint64_t number, const BenchRecord *record);
extern void database_keyed_row_parameters(DatabaseParameters *parameters, const BenchRecord *record);

#endif							/* BENCH_DATABASE_H */
