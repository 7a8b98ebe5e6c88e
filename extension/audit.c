/*
 * audit.c
 *		sluice.audit(): the target against the ledger.
 *
 * The ledger says how many records of each producer were stored; the target,
 * where it keeps the envelope's producer and sequence, says which ones are there.
 * Both are read under one snapshot, so that a batch that commits meanwhile is in both or
 * in neither.  The ledger is read as the extension's owner; the target takes SELECT
 * on its two columns, see inspection.h.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "inspection.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "stream.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"

extern PGDLLEXPORT Datum sluice_audit(PG_FUNCTION_ARGS);
PG_FUNCTION_INFO_V1(sluice_audit);

/* Arrays, one element for each producer of the stream: producer, last_sequence, stored, redriven. */
#define LEDGER_COLUMNS 4
#define AUDIT_COLUMNS 6

static const char *const read_ledger =
"SELECT coalesce(array_agg(p.producer), '{}'), coalesce(array_agg(p.last_sequence), '{}'), "
"coalesce(array_agg(p.stored), '{}'), coalesce(array_agg(coalesce(d.redriven, 0)), '{}') "
"FROM sluice.producers p LEFT JOIN (SELECT producer, count(*) AS redriven FROM sluice.dead_letters "
"WHERE stream = $1 AND producer IS NOT NULL AND state = 'redriven' GROUP BY producer) d ON d.producer = p.producer "
"WHERE p.stream = $1";

/* %1$s is the column of the producer, %2$s the one of the sequence, %3$s the table. */
static const char *const read_target =
"WITH ledger AS (SELECT * FROM unnest($1, $2, $3, $4) AS l (producer, last, stored, redriven)), "
"numbers AS (SELECT CAST(%1$s AS uuid) AS producer, %2$s AS sequence, count(*) AS rows FROM %3$s "
"WHERE %1$s IS NOT NULL AND %2$s IS NOT NULL GROUP BY 1, 2), "
"found AS (SELECT n.producer, CAST(sum(n.rows) AS bigint) AS rows, count(*) FILTER (WHERE n.rows > 1) AS doubled, "
"count(*) FILTER (WHERE n.sequence > coalesce(l.last, 0)) AS beyond, "
"count(*) FILTER (WHERE n.sequence <= l.last) AS known "
"FROM numbers n LEFT JOIN ledger l ON l.producer = n.producer GROUP BY n.producer) "
"SELECT coalesce(l.producer, f.producer), coalesce(f.rows, 0), coalesce(f.doubled, 0), coalesce(f.beyond, 0), "
"coalesce(l.redriven, 0), coalesce(l.stored + l.redriven, 0) - coalesce(f.known, 0) "
"FROM ledger l FULL JOIN found f ON f.producer = l.producer ORDER BY 1";

/* One read-only query under the snapshot of the caller's statement, so that all of these see the same. */
static void
execute(const char *sql, int nargs, Oid *types, Datum *values)
{
	int			result = SPI_execute_with_args(sql, nargs, types, values, NULL, true, 0);
	if (result != SPI_OK_SELECT)
		elog(ERROR, "SPI_execute_with_args returned %d for: %s", result, sql);
}

static void
get_ledger(int32 stream_id, Datum *ledger)
{
	Oid			types[] = {INT4OID};
	Datum		values[] = {Int32GetDatum(stream_id)};
	int			level = NewGUCNestLevel();
	Oid			user;
	int			context;

	GetUserIdAndSecContext(&user, &context);
	SetUserIdAndSecContext(sluice_catalog_owner(), context | SECURITY_LOCAL_USERID_CHANGE);
	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	execute(read_ledger, lengthof(types), types, values);
	AtEOXact_GUC(true, level);
	SetUserIdAndSecContext(user, context);
	for (int i = 0; i < LEDGER_COLUMNS; i++)
	{
		bool		isnull;

		ledger[i] = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, i + 1, &isnull);
	}
}

static char *
target_query(const SluiceStream *stream)
{
	const char *producer = stream->envelope[SLUICE_ENVELOPE_PRODUCER];
	const char *sequence = stream->envelope[SLUICE_ENVELOPE_SEQUENCE];
	char	   *schema = get_namespace_name(get_rel_namespace(stream->target));
	char	   *name = get_rel_name(stream->target);

	if (producer == NULL || sequence == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("target of stream \"%s\" does not keep the producers and sequences of its rows", stream->name),
				 errhint("Add a uuid and a bigint column to the table and name them with sluice.alter_stream(..., "
						 "envelope_columns => '{\"producer\": ..., \"sequence\": ...}'); rows from then on can be audited.")));
	if (schema == NULL || name == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("target of stream \"%s\" does not exist", stream->name)));
	return psprintf(read_target, quote_identifier(producer), quote_identifier(sequence),
					quote_qualified_identifier(schema, name));
}

static void
return_rows(ReturnSetInfo *result)
{
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		Datum		values[AUDIT_COLUMNS];
		bool		nulls[AUDIT_COLUMNS];

		heap_deform_tuple(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, values, nulls);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
}

Datum
sluice_audit(PG_FUNCTION_ARGS)
{
	SluiceStream *stream = sluice_stream_get(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	char	   *query = target_query(stream);
	Oid			types[LEDGER_COLUMNS] = {UUIDARRAYOID, INT8ARRAYOID, INT8ARRAYOID, INT8ARRAYOID};
	Datum		ledger[LEDGER_COLUMNS];
	SluiceActing acting;

	InitMaterializedSRF(fcinfo, 0);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	get_ledger(stream->id, ledger);
	sluice_inspection_begin(&acting, stream->target, stream->envelope[SLUICE_ENVELOPE_PRODUCER],
							stream->envelope[SLUICE_ENVELOPE_SEQUENCE]);
	execute(query, LEDGER_COLUMNS, types, ledger);
	sluice_acting_end(&acting);
	return_rows((ReturnSetInfo *) fcinfo->resultinfo);
	if (SPI_finish() != SPI_OK_FINISH)
		elog(ERROR, "SPI_finish failed");
	return (Datum) 0;
}
