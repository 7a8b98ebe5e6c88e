/*
 * target.c
 *		A stream bound to its table: which column takes what, and how.
 *
 * Binding happens at create_stream, so that every mismatch is an error there,
 * and again whenever the table has changed (a relcache callback marks the
 * bound target), so that ALTER TABLE is followed without a restart.
 */
#include "postgres.h"

#include "target.h"

#include "access/table.h"
#include "catalog.h"
#include "catalog/catalog.h"
#include "catalog/namespace.h"
#include "catalog/partition.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "column_shape.h"
#include "commands/trigger.h"
#include "mb/pg_wchar.h"
#include "nodes/makefuncs.h"
#include "row.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

static dlist_head all_targets = DLIST_STATIC_INIT(all_targets);

static void
target_invalidate(Datum arg, Oid relid)
{
	dlist_iter	iter;

	dlist_foreach(iter, &all_targets)
	{
		SluiceTarget *target = dlist_container(SluiceTarget, node, iter.cur);

		if (relid == InvalidOid || relid == target->relid)
			target->valid = false;
	}
}

/* The context of a target goes: let go of what is not palloc'ed. */
static void
target_free(void *arg)
{
	SluiceTarget *target = arg;

	dlist_delete(&target->node);
	sluice_format_free(target->format);
}

static SluiceField
make_field(Form_pg_attribute attribute)
{
	return (SluiceField) {
		.attnum = attribute->attnum,
		.type = attribute->atttypid,
		.typmod = attribute->atttypmod,
		.base_type = getBaseType(attribute->atttypid),
		.shape = sluice_column_shape(attribute)
	};
}

/* Which envelope item fills this column?  -1: none. */
static int
envelope_item(SluiceStream *stream, const char *column)
{
	for (int item = 0; item < SLUICE_ENVELOPE_ITEMS; item++)
		if (stream->envelope[item] != NULL && strcmp(stream->envelope[item], column) == 0)
			return item;
	return -1;
}

static bool
is_offset_column(SluiceStream *stream, Form_pg_attribute attribute)
{
	return stream->offset_column != NULL && strcmp(stream->offset_column, NameStr(attribute->attname)) == 0;
}

static AttrNumber
require_column(SluiceStream *stream, Relation rel, const char *column, const char *purpose)
{
	AttrNumber	attnum = get_attnum(RelationGetRelid(rel), column);

	if (attnum <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("column \"%s\" of relation \"%s\" does not exist", column, RelationGetRelationName(rel)),
				 errdetail("Stream \"%s\" names it as %s.", stream->name, purpose)));
	if (TupleDescAttr(RelationGetDescr(rel), attnum - 1)->attgenerated != '\0')
		ereport(ERROR,
				(errcode(ERRCODE_GENERATED_ALWAYS),
				 errmsg("column \"%s\" of relation \"%s\" is a generated column", column, RelationGetRelationName(rel)),
				 errdetail("Stream \"%s\" names it as %s.", stream->name, purpose)));
	return attnum;
}

static void
check_envelope_type(SluiceStream *stream, SluiceEnvelopeItem item, SluiceField *field)
{
	SluiceColumnType type = field->shape.type;
	bool		fits;

	switch (item)
	{
		case SLUICE_ENVELOPE_KEY:
		case SLUICE_ENVELOPE_PRODUCER:
			fits = type == SLUICE_COLUMN_UUID || type == SLUICE_COLUMN_TEXT;
			break;
		case SLUICE_ENVELOPE_RECEIVED_AT:
			fits = type == SLUICE_COLUMN_TIMESTAMPTZ;
			break;
		case SLUICE_ENVELOPE_SEQUENCE:
			fits = type == SLUICE_COLUMN_INT8;
			break;
		case SLUICE_ENVELOPE_CLIENT_ADDRESS:
			fits = type == SLUICE_COLUMN_TEXT || field->base_type == INETOID;
			break;
		default:
			fits = type == SLUICE_COLUMN_TEXT;
			break;
	}
	if (field->shape.is_array || !fits)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" cannot take the envelope's %s: it is of type %s", stream->envelope[item],
						sluice_envelope_names[item], format_type_be(field->type)),
				 errhint("key and producer go to uuid or text, received_at to timestamp with time zone, client_address to text or inet, role to text, sequence to bigint.")));
}

static void
check_named_columns(SluiceStream *stream, Relation rel)
{
	if (stream->offset_column != NULL)
		(void) require_column(stream, rel, stream->offset_column, "offset column");
	if (stream->overflow_column != NULL)
		(void) require_column(stream, rel, stream->overflow_column, "overflow column");
	for (int item = 0; item < SLUICE_ENVELOPE_ITEMS; item++)
		if (stream->envelope[item] != NULL)
			(void) require_column(stream, rel, stream->envelope[item], "envelope column");
}

static bool
has_instead_of_insert(Relation rel)
{
	return rel->trigdesc != NULL && rel->trigdesc->trig_insert_instead_row;
}

/* A foreign table, or a foreign leaf of a partitioned one. */
static bool
is_foreign(Relation rel)
{
	List	   *leaves;
	ListCell   *cell;

	if (rel->rd_rel->relkind != RELKIND_PARTITIONED_TABLE)
		return rel->rd_rel->relkind == RELKIND_FOREIGN_TABLE;
	leaves = find_all_inheritors(RelationGetRelid(rel), NoLock, NULL);
	foreach(cell, leaves)
		if (get_rel_relkind(lfirst_oid(cell)) == RELKIND_FOREIGN_TABLE)
			return true;
	return false;
}

void
sluice_target_check(SluiceStream *stream, Relation rel)
{
	char		kind = rel->rd_rel->relkind;

	if (kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE && kind != RELKIND_FOREIGN_TABLE &&
		!(kind == RELKIND_VIEW && has_instead_of_insert(rel)))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("relation \"%s\" cannot be the target of a stream", RelationGetRelationName(rel)),
				 errhint("A target is a table, a partitioned table, a foreign table, or a view with an INSTEAD OF INSERT trigger.")));
	if (IsCatalogRelation(rel) || get_namespace_oid(SLUICE_SCHEMA, true) == RelationGetNamespace(rel))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("relation \"%s\" cannot be the target of a stream: it belongs to the system", RelationGetRelationName(rel))));
	if (kind != RELKIND_VIEW && rel->rd_rel->relpersistence != RELPERSISTENCE_PERMANENT)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("relation \"%s\" cannot be the target of a stream: it is %s", RelationGetRelationName(rel),
						rel->rd_rel->relpersistence == RELPERSISTENCE_TEMP ? "temporary" : "unlogged"),
				 errhint("An acknowledged record must survive a crash.")));
	if (!stream->allow_foreign && is_foreign(rel))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("relation \"%s\" is a foreign table", RelationGetRelationName(rel)),
				 errdetail("A foreign server can commit a row just before a crash and see its record again."),
				 errhint("If at least once is enough here, use allow_foreign => true.")));
}

/* All columns that the payload may fill, in fields[]; returns how many. */
static int
collect_payload_fields(SluiceStream *stream, Relation rel, SluiceField *fields)
{
	TupleDesc	desc = RelationGetDescr(rel);
	int			n = 0;

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);

		if (attribute->attisdropped || attribute->attgenerated != '\0' ||
			attribute->attidentity == ATTRIBUTE_IDENTITY_ALWAYS ||
			is_offset_column(stream, attribute) || envelope_item(stream, NameStr(attribute->attname)) >= 0)
			continue;
		fields[n] = make_field(attribute);
		fields[n].column = n;
		n++;
	}
	return n;
}

static void
throw_format_error(SluiceStream *stream, SluiceFormatError *error)
{
	char	   *message = sluice_stream_text(error->message, strlen(error->message));
	char	   *hint = sluice_stream_text(error->hint, strlen(error->hint));

	ereport(ERROR,
			(errcode(MAKE_SQLSTATE(error->sqlstate[0], error->sqlstate[1], error->sqlstate[2],
								   error->sqlstate[3], error->sqlstate[4])),
			 errmsg("stream \"%s\" does not fit its target: %s", stream->name, message),
			 *hint != '\0' ? errhint("%s", hint) : 0));
}

static void
bind_format(SluiceStream *stream, SluiceTarget *target)
{
	SluiceFormatOptions options = {
		.format = stream->format,
		.unknown = stream->unknown,
		.message_type = stream->message_type,
		.descriptor_set = stream->descriptor_set,
		.descriptor_set_length = stream->descriptor_set_length,
		.overflow_column = -1
	};
	SluiceFormatError error = {0};
	const char *overflow = NULL;

	if (stream->overflow_column != NULL)
		overflow = pg_server_to_any(stream->overflow_column, strlen(stream->overflow_column), PG_UTF8);
	for (int i = 0; i < target->ncolumns; i++)
		if (overflow != NULL && strcmp(target->columns[i].name, overflow) == 0)
			options.overflow_column = i;
	if (stream->overflow_column != NULL && options.overflow_column < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_COLUMN_REFERENCE),
				 errmsg("column \"%s\" cannot be the overflow column of stream \"%s\"", stream->overflow_column, stream->name),
				 errdetail("It is filled otherwise.")));
	target->format = sluice_format_bind(&options, target->columns, target->ncolumns, &error);
	if (target->format == NULL)
		throw_format_error(stream, &error);
}

static void
add_envelope_fields(SluiceStream *stream, Relation rel, SluiceTarget *target)
{
	for (int item = 0; item < SLUICE_ENVELOPE_ITEMS; item++)
	{
		SluiceField *field;

		if (stream->envelope[item] == NULL)
			continue;
		field = &target->fields[target->nfields++];
		*field = make_field(TupleDescAttr(RelationGetDescr(rel),
										  get_attnum(RelationGetRelid(rel), stream->envelope[item]) - 1));
		field->column = -1;
		field->item = item;
		check_envelope_type(stream, item, field);
	}
}

static bool
envelope_is_binary(SluiceTarget *target)
{
	for (int i = 0; i < target->nfields; i++)
		if (target->fields[i].column < 0 && target->fields[i].shape.type == SLUICE_COLUMN_OTHER)
			return false;
	return true;
}

/* The COPY list: the columns that the format can fill, then the envelope's. */
static void
make_copy_list(SluiceStream *stream, Relation rel, SluiceTarget *target, SluiceField *payload_fields)
{
	target->fields = palloc0(sizeof(SluiceField) * (target->ncolumns + SLUICE_ENVELOPE_ITEMS));
	for (int i = 0; i < target->ncolumns; i++)
		if (sluice_format_filled(target->format, i))
			target->fields[target->nfields++] = payload_fields[i];
	add_envelope_fields(stream, rel, target);
	for (int i = 0; i < target->nfields; i++)
		target->names = lappend(target->names,
								makeString(pstrdup(NameStr(TupleDescAttr(RelationGetDescr(rel), target->fields[i].attnum - 1)->attname))));
	target->binary = sluice_row_is_binary(target->format, target->columns, target->ncolumns) && envelope_is_binary(target);
}

/* A column that neither payload nor envelope nor default can fill refuses every record. */
static void
check_unfilled_columns(SluiceStream *stream, Relation rel, SluiceTarget *target)
{
	TupleDesc	desc = RelationGetDescr(rel);

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);
		bool		filled = attribute->attisdropped || !attribute->attnotnull || attribute->atthasdef ||
			attribute->attidentity != '\0' || attribute->attgenerated != '\0';

		for (int f = 0; f < target->nfields && !filled; f++)
			filled = target->fields[f].attnum == attribute->attnum;
		/* A BEFORE trigger may fill it; then there is no mismatch to find here. */
		if (!filled && !(rel->trigdesc != NULL && rel->trigdesc->trig_insert_before_row))
			ereport(ERROR,
					(errcode(ERRCODE_NOT_NULL_VIOLATION),
					 errmsg("stream \"%s\" does not fit its target: nothing fills column \"%s\", which is NOT NULL and has no default",
							stream->name, NameStr(attribute->attname)),
					 errhint("Give the column a default, or fill it through envelope_columns.")));
	}
}

SluiceTarget *
sluice_target_bind(SluiceStream *stream, Relation rel)
{
	static bool registered = false;
	MemoryContext context;
	MemoryContext old;
	SluiceTarget *target = stream->bound;
	SluiceField *payload_fields;
	MemoryContextCallback *callback;

	if (target != NULL && target->valid && target->relid == RelationGetRelid(rel))
		return target;
	if (target != NULL)
	{
		/* The stream must not die with its old target's context: it is a child. */
		MemoryContextSetParent(target->context, CacheMemoryContext);
		sluice_stream_bury(target->context);
		stream->bound = NULL;
	}
	if (!registered)
		CacheRegisterRelcacheCallback(target_invalidate, (Datum) 0);
	registered = true;

	sluice_target_check(stream, rel);
	check_named_columns(stream, rel);
	/* Made below the caller's context, so that it goes with an error, and moved when it is whole. */
	context = AllocSetContextCreate(CurrentMemoryContext, "sluice target", ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(context);
	target = palloc0(sizeof(SluiceTarget));
	target->context = context;
	target->relid = RelationGetRelid(rel);
	target->valid = true;
	dlist_push_tail(&all_targets, &target->node);
	callback = palloc0(sizeof(MemoryContextCallback));
	callback->func = target_free;
	callback->arg = target;
	MemoryContextRegisterResetCallback(context, callback);

	payload_fields = palloc0(sizeof(SluiceField) * (RelationGetNumberOfAttributes(rel) + 1));
	target->ncolumns = collect_payload_fields(stream, rel, payload_fields);
	target->columns = palloc0(sizeof(SluiceColumn) * (target->ncolumns + 1));
	for (int i = 0; i < target->ncolumns; i++)
		target->columns[i] = payload_fields[i].shape;
	bind_format(stream, target);
	make_copy_list(stream, rel, target, payload_fields);
	check_unfilled_columns(stream, rel, target);
	MemoryContextSwitchTo(old);
	MemoryContextSetParent(context, stream->context);
	stream->bound = target;
	return target;
}
