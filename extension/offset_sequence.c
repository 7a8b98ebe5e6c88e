/*
 * offset_sequence.c
 *		The sequence that the values of an offset column are drawn from.
 *
 * Rows can be ordered by values that the inserting statement itself draws, one
 * by one and upwards, while it holds its lock on the table: an identity column,
 * or the default of a bigserial.  A session that caches values would insert
 * some of them long after others have inserted higher ones.
 */
#include "postgres.h"

#include "offset_sequence.h"

#include "access/htup_details.h"
#include "catalog/dependency.h"
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
#include "utils/relcache.h"
#include "utils/syscache.h"

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
	else if (form->seqcycle)
		why = psprintf("sequence %s begins anew at its end (CYCLE): ALTER SEQUENCE %s NO CYCLE", name, name);
	ReleaseSysCache(tuple);
	return why;
}

Oid
sluice_offset_sequence_find(Relation rel, const char *column, char **why)
{
	const char *table = RelationGetRelationName(rel);
	AttrNumber	attnum = get_attnum(RelationGetRelid(rel), column);
	Oid			sequence;

	*why = NULL;
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

bool
sluice_offset_sequence_read(Oid sequence, int64 *last_value)
{
	Relation	rel;
	Buffer		buffer;
	Page		page;
	HeapTupleHeader header;
	Form_pg_sequence_data data;

	/* Only DDL conflicts with this. */
	if (!ConditionalLockRelationOid(sequence, AccessShareLock))
		return false;
	rel = RelationIdGetRelation(sequence);
	if (!RelationIsValid(rel))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("the sequence of the offset column does not exist any more")));
	/* As pg_sequence_last_value() does, but for its lock, which nextval() takes too, and its check of privileges. */
	buffer = ReadBuffer(rel, 0);
	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	page = BufferGetPage(buffer);
	header = (HeapTupleHeader) PageGetItem(page, PageGetItemId(page, FirstOffsetNumber));
	data = (Form_pg_sequence_data) ((char *) header + header->t_hoff);
	*last_value = data->is_called || data->last_value == PG_INT64_MIN ? data->last_value : data->last_value - 1;
	UnlockReleaseBuffer(buffer);
	RelationClose(rel);
	UnlockRelationOid(sequence, AccessShareLock);
	return true;
}
