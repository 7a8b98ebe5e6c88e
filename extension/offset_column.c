/*
 * offset_column.c
 *		The column that orders the rows of a stream, and the sequence that fills it.
 *
 * Offsets must come from one sequence, one by one and increasing, drawn by the
 * statement that inserts the row: then every transaction that can still bring a
 * lower one than the sequence's last value holds a lock on the table by then.  A
 * sequence with CACHE > 1 gives a session numbers for later, when it has no lock
 * yet; one that cycles or decreases orders nothing; and the locks of a view's or
 * a foreign table's writers are elsewhere.
 */
#include "postgres.h"

#include "offset_column.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "catalog.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_sequence.h"
#include "catalog/pg_type.h"
#include "commands/sequence.h"
#include "executor/spi.h"
#include "storage/bufmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

/* Columns of the query below. */
enum
{
	COL_TYPE = 1,
	COL_SEQUENCE,
	COL_INCREMENT,
	COL_CYCLE,
	COL_CACHE
};

/* An identity sequence before one that is only owned. */
static const char find_sequence[] =
"SELECT a.atttypid, s.seqrelid, s.seqincrement, s.seqcycle, s.seqcache FROM pg_attribute a "
"LEFT JOIN (pg_depend d JOIN pg_sequence s ON s.seqrelid = d.objid) ON d.classid = 'pg_class'::regclass "
"AND d.refclassid = 'pg_class'::regclass AND d.refobjid = a.attrelid AND d.refobjsubid = a.attnum AND d.deptype IN ('a', 'i') "
"WHERE a.attrelid = $1 AND a.attname = $2 AND a.attnum > 0 AND NOT a.attisdropped "
"ORDER BY d.deptype DESC, s.seqrelid DESC LIMIT 1";

static void refuse(const SluiceStream *stream, const char *format,...) pg_attribute_noreturn() pg_attribute_printf(2, 3);

static void
refuse(const SluiceStream *stream, const char *format,...)
{
	va_list		args;
	char		detail[256];

	va_start(args, format);
	vsnprintf(detail, sizeof(detail), format, args);
	va_end(args);
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("column \"%s\" cannot be the offset column", stream->offset_column),
			 errdetail_internal("%s", detail),
			 errhint("It must be a bigint of a table, filled by a sequence of its own with CACHE 1, increasing and without CYCLE, as GENERATED ALWAYS AS IDENTITY makes it.")));
}

/* Can its writers be seen here, those of its partitions too? */
static void
check_relation(const SluiceStream *stream)
{
	Relation	rel = try_relation_open(stream->target, AccessShareLock);
	ListCell   *cell;

	if (rel == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("target of stream \"%s\" does not exist", stream->name)));
	if (rel->rd_rel->relkind == RELKIND_VIEW)
		refuse(stream, "Relation \"%s\" is a view.", RelationGetRelationName(rel));
	foreach(cell, find_all_inheritors(stream->target, NoLock, NULL))
		if (get_rel_relkind(lfirst_oid(cell)) == RELKIND_FOREIGN_TABLE)
			refuse(stream, "Relation \"%s\" is a foreign table.", get_rel_name(lfirst_oid(cell)));
	relation_close(rel, NoLock);
}

Oid
sluice_offset_column_sequence(const SluiceStream *stream)
{
	Oid			types[] = {OIDOID, NAMEOID};
	Datum		values[] = {
		ObjectIdGetDatum(stream->target),
		DirectFunctionCall1(namein, CStringGetDatum(stream->offset_column))
	};
	HeapTuple	row;
	TupleDesc	desc;
	bool		isnull;
	Datum		sequence;

	check_relation(stream);
	if (sluice_catalog_execute(find_sequence, 2, types, values, NULL, SPI_OK_SELECT) != 1)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("column \"%s\" of relation \"%s\" does not exist", stream->offset_column, get_rel_name(stream->target)),
				 errdetail("Stream \"%s\" names it as %s.", stream->name, "offset column")));
	row = SPI_tuptable->vals[0];
	desc = SPI_tuptable->tupdesc;
	if (DatumGetObjectId(SPI_getbinval(row, desc, COL_TYPE, &isnull)) != INT8OID)
		refuse(stream, "It is of type %s.", format_type_be(DatumGetObjectId(SPI_getbinval(row, desc, COL_TYPE, &isnull))));
	sequence = SPI_getbinval(row, desc, COL_SEQUENCE, &isnull);
	if (isnull)
		refuse(stream, "It has no sequence of its own.");
	if (DatumGetInt64(SPI_getbinval(row, desc, COL_CACHE, &isnull)) != 1)
		refuse(stream, "Its sequence has CACHE " INT64_FORMAT ".", DatumGetInt64(SPI_getbinval(row, desc, COL_CACHE, &isnull)));
	if (DatumGetInt64(SPI_getbinval(row, desc, COL_INCREMENT, &isnull)) < 1)
		refuse(stream, "Its sequence has INCREMENT " INT64_FORMAT ".", DatumGetInt64(SPI_getbinval(row, desc, COL_INCREMENT, &isnull)));
	if (DatumGetBool(SPI_getbinval(row, desc, COL_CYCLE, &isnull)))
		refuse(stream, "Its sequence has CYCLE.");
	return DatumGetObjectId(sequence);
}

/* Read as it lies there: by name and SQL, somebody could put a view in its place. */
int64
sluice_offset_column_last(Oid sequence)
{
	Relation	rel = relation_open(sequence, AccessShareLock);
	Buffer		buffer;
	HeapTupleHeader tuple;
	Form_pg_sequence_data data;
	int64		last;

	if (rel->rd_rel->relkind != RELKIND_SEQUENCE)
		elog(ERROR, "relation %u is not a sequence", sequence);
	buffer = ReadBuffer(rel, 0);
	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	tuple = (HeapTupleHeader) PageGetItem(BufferGetPage(buffer), PageGetItemId(BufferGetPage(buffer), FirstOffsetNumber));
	data = (Form_pg_sequence_data) ((char *) tuple + tuple->t_hoff);
	/* One that is to begin (again) somewhere has not given that out yet. */
	last = data->is_called || data->last_value == PG_INT64_MIN ? data->last_value : data->last_value - 1;
	UnlockReleaseBuffer(buffer);
	relation_close(rel, NoLock);
	return last;
}

int64
sluice_offset_column_origin(Oid sequence)
{
	HeapTuple	tuple = SearchSysCache1(SEQRELID, ObjectIdGetDatum(sequence));
	int64		minimum;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for sequence %u", sequence);
	minimum = ((Form_pg_sequence) GETSTRUCT(tuple))->seqmin;
	ReleaseSysCache(tuple);
	return minimum > PG_INT64_MIN ? minimum - 1 : minimum;
}
