/*
 * reading_since.c
 *		The position from which on rows come that were received at some time or later.
 */
#include "postgres.h"

#include "reading_internal.h"

#include "access/relation.h"
#include "catalog/pg_type.h"
#include "offset_column.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

/* The position before all rows. */
static int64
origin(SluiceReading *reading)
{
	Relation	rel = relation_open(reading->target, NoLock);
	char	   *why;
	Oid			sequence = sluice_offset_column_find(rel, reading->offset_name, &why);

	relation_close(rel, NoLock);
	if (!OidIsValid(sequence))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("rows of relation \"%s\" cannot be ordered: %s", get_rel_name(reading->target), why)));
	return sluice_offset_column_origin(sequence);
}

bool
sluice_reading_offset_at(SluiceReading *reading, int64 time, int64 *offset)
{
	Oid			types[] = {TIMESTAMPTZOID};
	Datum		values[] = {TimestampTzGetDatum(time - SLUICE_EPOCH_OFFSET)};
	SluiceActing acting;
	bool		isnull;
	int			result;
	Datum		last;

	if (reading->received_column == NULL)
		return false;
	sluice_reading_lock_target(reading->target);
	*offset = origin(reading);
	sluice_reading_begin_acting(reading, &acting);
	sluice_reading_start_timeout();
	PG_TRY();
	{
		result = SPI_execute_with_args(sluice_offset_column_since(reading->table, reading->offset_column, reading->received_column),
									   1, types, values, NULL, true, 1);
	}
	PG_CATCH();
	{
		sluice_reading_stop_timeout();
		PG_RE_THROW();
	}
	PG_END_TRY();
	sluice_reading_stop_timeout();
	if (result != SPI_OK_SELECT)
		elog(ERROR, "SPI_execute_with_args returned %d", result);
	last = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	if (!isnull)
		*offset = DatumGetInt64(last);
	sluice_reading_end_acting(&acting);
	return true;
}
