/*
 * retire.c
 *		sluice.retire_producer(): a producer that will not come back.
 *
 * Its row stays, as what it tells of duplicates must never be forgotten while the
 * stream is there; it only leaves the ledger, until the producer opens again.
 */
#include "postgres.h"

#include "catalog.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "permission.h"
#include "stream.h"
#include "utils/builtins.h"
#include "utils/uuid.h"

extern PGDLLEXPORT Datum sluice_retire_producer(PG_FUNCTION_ARGS);
PG_FUNCTION_INFO_V1(sluice_retire_producer);

Datum
sluice_retire_producer(PG_FUNCTION_ARGS)
{
	SluiceStream *stream = sluice_stream_get(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	Oid			types[] = {INT4OID, UUIDOID};
	Datum		values[] = {Int32GetDatum(stream->id), PG_GETARG_DATUM(1)};
	uint64		n;

	sluice_permission_check_administrator(stream);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	n = sluice_catalog_execute("UPDATE sluice.producers SET retired = true WHERE stream = $1 AND producer = $2",
							   lengthof(types), types, values, NULL, SPI_OK_UPDATE);
	if (SPI_finish() != SPI_OK_FINISH)
		elog(ERROR, "SPI_finish failed");
	if (n == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("stream \"%s\" has no producer %s", stream->name,
						DatumGetCString(DirectFunctionCall1(uuid_out, PG_GETARG_DATUM(1))))));
	PG_RETURN_VOID();
}
