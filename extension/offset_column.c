/*
 * offset_column.c
 *		The column that orders the rows of a stream, and the sequence that fills it.
 *
 * Rows can be ordered by values that the inserting statement itself draws, one
 * by one and upwards, while it holds its lock on the table: then every transaction that
 * can still bring a lower one than the sequence's last value holds a lock by then.  A
 * sequence with CACHE > 1 gives a session numbers for later, when it has no lock
 * yet; one that cycles or decreases orders nothing; and the locks of a view's or
 * a foreign table's writers are elsewhere.
 */
#include "postgres.h"

#include "offset_column.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "catalog/dependency.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_sequence.h"
#include "catalog/pg_type.h"
#include "commands/sequence.h"
#include "nodes/primnodes.h"
#include "rewrite/rewriteHandler.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

/*
 * A partition is made under a lock of the table that shuts out all writers.  A child by INHERITS is not: rows of one that its
 * transaction has not committed could not be waited for.
 */
static char *
unfit_partition(Relation rel)
{
	ListCell   *cell;

	if (rel->rd_rel->relkind == RELKIND_RELATION && rel->rd_rel->relhassubclass &&
		find_inheritance_children(RelationGetRelid(rel), NoLock) != NIL)
		return psprintf("relation \"%s\" has children by INHERITS, whose rows cannot be ordered: make it a partitioned table",
						RelationGetRelationName(rel));
	foreach(cell, find_all_inheritors(RelationGetRelid(rel), NoLock, NULL))
		if (get_rel_relkind(lfirst_oid(cell)) == RELKIND_FOREIGN_TABLE)
			return psprintf("partition \"%s\" of relation \"%s\" is a foreign table, whose rows cannot be ordered here: detach it",
							get_rel_name(lfirst_oid(cell)), RelationGetRelationName(rel));
	return NULL;
}

/* Can its writers be seen here?  NULL: they can. */
static char *
unfit_relation(Relation rel)
{
	switch (rel->rd_rel->relkind)
	{
		case RELKIND_RELATION:
		case RELKIND_PARTITIONED_TABLE:
			return unfit_partition(rel);
		case RELKIND_VIEW:
			return psprintf("relation \"%s\" is a view: subscribe to a stream whose target is the table itself",
							RelationGetRelationName(rel));
		case RELKIND_FOREIGN_TABLE:
			return psprintf("relation \"%s\" is a foreign table, whose rows cannot be ordered here: subscribe where the table is",
							RelationGetRelationName(rel));
		default:
			return psprintf("relation \"%s\" is not a table", RelationGetRelationName(rel));
	}
}

/* The sequence of a column's default nextval('...'), where it has this form. */
static Oid
default_sequence(Relation rel, AttrNumber attnum)
{
	FuncExpr   *call = (FuncExpr *) build_column_default(rel, attnum);
	Const	   *sequence;

	if (call == NULL || !IsA(call, FuncExpr) || call->funcid != F_NEXTVAL)
		return InvalidOid;
	sequence = linitial(call->args);
	if (!IsA(sequence, Const) || sequence->constisnull)
		return InvalidOid;
	return DatumGetObjectId(sequence->constvalue);
}

/* Identity, or the default of a column that owns the sequence. */
static Oid
column_sequence(Relation rel, AttrNumber attnum)
{
	Oid			sequence;
	Oid			table;
	int32		column;

	if (TupleDescAttr(RelationGetDescr(rel), attnum - 1)->attidentity != '\0')
		return getIdentitySequence(RelationGetRelid(rel), attnum, true);
	sequence = default_sequence(rel, attnum);
	if (!OidIsValid(sequence) || !sequenceIsOwned(sequence, DEPENDENCY_AUTO, &table, &column) ||
		table != RelationGetRelid(rel) || column != attnum)
		return InvalidOid;
	return sequence;
}

/* NULL: its values are drawn one by one and upwards. */
static char *
unordered_because(Oid sequence)
{
	HeapTuple	tuple = SearchSysCache1(SEQRELID, ObjectIdGetDatum(sequence));
	const char *name = quote_qualified_identifier(get_namespace_name(get_rel_namespace(sequence)), get_rel_name(sequence));
	Form_pg_sequence form;
	char	   *why = NULL;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for sequence %u", sequence);
	form = (Form_pg_sequence) GETSTRUCT(tuple);
	if (form->seqcache > 1)
		why = psprintf("sequence %s gives out %lld values at a time (CACHE), so rows appear out of order: ALTER SEQUENCE %s CACHE 1",
					   name, (long long) form->seqcache, name);
	else if (form->seqincrement < 1)
		why = psprintf("sequence %s counts down: ALTER SEQUENCE %s INCREMENT BY 1", name, name);
	else if (form->seqmin < 1)
		why = psprintf("sequence %s can give out offsets below 1: ALTER SEQUENCE %s MINVALUE 1", name, name);
	else if (form->seqcycle)
		why = psprintf("sequence %s begins anew at its end (CYCLE): ALTER SEQUENCE %s NO CYCLE", name, name);
	ReleaseSysCache(tuple);
	return why;
}

Oid
sluice_offset_column_find(Relation rel, const char *column, char **why)
{
	const char *table = RelationGetRelationName(rel);
	AttrNumber	attnum = get_attnum(RelationGetRelid(rel), column);
	Oid			sequence;

	*why = unfit_relation(rel);
	if (*why != NULL)
		return InvalidOid;
	if (attnum <= 0)
	{
		*why = psprintf("column \"%s\" of relation \"%s\" does not exist: name another one with sluice.alter_stream(..., offset_column => ...)",
						column, table);
		return InvalidOid;
	}
	if (TupleDescAttr(RelationGetDescr(rel), attnum - 1)->atttypid != INT8OID)
	{
		*why = psprintf("column \"%s\" of relation \"%s\" is of type %s: an offset column is of type bigint",
						column, table, format_type_be(TupleDescAttr(RelationGetDescr(rel), attnum - 1)->atttypid));
		return InvalidOid;
	}
	sequence = column_sequence(rel, attnum);
	if (!OidIsValid(sequence))
	{
		*why = psprintf("column \"%s\" of relation \"%s\" has no sequence of its own: make it an identity column, or give it DEFAULT nextval('...') and ALTER SEQUENCE ... OWNED BY it",
						column, table);
		return InvalidOid;
	}
	*why = unordered_because(sequence);
	return *why == NULL ? sequence : InvalidOid;
}

Oid
sluice_offset_column_sequence(const SluiceStream *stream)
{
	Relation	rel = try_relation_open(stream->target, AccessShareLock);
	Oid			sequence;
	char	   *why;

	if (rel == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("target of stream \"%s\" does not exist", stream->name)));
	sequence = sluice_offset_column_find(rel, stream->offset_column, &why);
	if (!OidIsValid(sequence))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("rows of stream \"%s\" cannot be ordered: %s", stream->name, why)));
	relation_close(rel, NoLock);
	return sequence;
}

/*
 * Read as it lies there: as pg_sequence_last_value() does, but for its lock, which nextval() takes too, and its
 * check of privileges.  By name and SQL, somebody could put a view in its place.
 */
static int64
read_last(Relation rel)
{
	Buffer		buffer;
	Page		page;
	HeapTupleHeader header;
	Form_pg_sequence_data data;
	int64		last;

	if (rel->rd_rel->relkind != RELKIND_SEQUENCE)
		elog(ERROR, "relation %u is not a sequence", RelationGetRelid(rel));
	buffer = ReadBuffer(rel, 0);
	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	page = BufferGetPage(buffer);
	header = (HeapTupleHeader) PageGetItem(page, PageGetItemId(page, FirstOffsetNumber));
	data = (Form_pg_sequence_data) ((char *) header + header->t_hoff);
	/* One that is to begin (again) somewhere has not given that out yet. */
	last = data->is_called ? data->last_value : data->last_value - 1;
	UnlockReleaseBuffer(buffer);
	return last;
}

int64
sluice_offset_column_last(Oid sequence)
{
	Relation	rel = relation_open(sequence, AccessShareLock);
	int64		last = read_last(rel);

	relation_close(rel, NoLock);
	return last;
}

bool
sluice_offset_column_try_last(Oid sequence, int64 *last)
{
	Relation	rel;

	/* Only DDL conflicts with this. */
	if (!ConditionalLockRelationOid(sequence, AccessShareLock))
		return false;
	rel = RelationIdGetRelation(sequence);
	if (!RelationIsValid(rel))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("the sequence of the offset column does not exist any more")));
	*last = read_last(rel);
	RelationClose(rel);
	UnlockRelationOid(sequence, AccessShareLock);
	return true;
}

int64
sluice_offset_column_origin(Oid sequence)
{
	HeapTuple	tuple = SearchSysCache1(SEQRELID, ObjectIdGetDatum(sequence));
	int64		origin;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for sequence %u", sequence);
	origin = ((Form_pg_sequence) GETSTRUCT(tuple))->seqmin - 1;
	ReleaseSysCache(tuple);
	return origin;
}

/*
 * Behind the last one of those before it, not right before the first row itself: a transaction under way may bring
 * one in between.
 */
char *
sluice_offset_column_since(const char *table, const char *offset, const char *received_at)
{
	return psprintf("SELECT pg_catalog.max(%2$s) FROM %1$s WHERE %3$s OPERATOR(pg_catalog.<) $1 AND %2$s OPERATOR(pg_catalog.<) "
					"coalesce((SELECT pg_catalog.min(%2$s) FROM %1$s WHERE %3$s OPERATOR(pg_catalog.>=) $1), 9223372036854775807)",
					table, offset, received_at);
}
