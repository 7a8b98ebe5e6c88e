/*
 * reading.c
 *		Rows of a stream's target in offset order, as a consumer gets them.
 *
 * One prepared SELECT serves all reads of a reading: the rows of a range of offsets, in
 * order, by the offset column's index.  The executor hands its rows to a receiver of ours,
 * which writes them where they go and stops it when enough are there.  So a
 * row is copied once, out of its page into the message.
 *
 * The statement is planned once, for any range: there is one good plan, an index scan (merged,
 * of partitions), and the planner must not choose another one for what it
 * believes of sizes that it does not know.  Where there is no index it sorts.
 */
#include "postgres.h"

#include "reading_internal.h"

#include "access/relation.h"
#include "acting.h"
#include "catalog.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "json_row.h"
#include "lib/ilist.h"
#include "miscadmin.h"
#include "nodes/params.h"
#include "protobuf_row.h"
#include "row_message.h"
#include "settings.h"
#include "storage/lmgr.h"
#include "target.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/plancache.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"

/* Where the executor's rows go. */
typedef struct Receiver
{
	DestReceiver pub;
	SluiceReading *reading;
	SluiceBuffer *rows;
	int64	   *offsets;		/* NULL: payloads alone are wanted */
	int			max_rows;
	SluiceNacked nacked;
	size_t		enough;			/* length of rows from which on no more are taken */
	int			nrows;
	bool		more;			/* than were taken */
} Receiver;

/* Parameters of the plan: after, through, and how many rows. */
#define PARAMETERS 3

static dlist_head all_readings = DLIST_STATIC_INIT(all_readings);

static void
relation_changed(Datum arg, Oid relid)
{
	dlist_iter	iter;

	dlist_foreach(iter, &all_readings)
	{
		SluiceReading *reading = dlist_container(SluiceReading, node, iter.cur);

		if (relid == InvalidOid || relid == reading->target || relid == reading->streams)
			reading->stale = true;
	}
}

/* A schema was renamed, which changes nothing of its tables but the name that a plan is made anew with. */
static void
schema_changed(Datum arg, int cacheid, uint32 hash)
{
	dlist_iter	iter;

	dlist_foreach(iter, &all_readings)
		dlist_container(SluiceReading, node, iter.cur)->stale = true;
}

static void
check_room(const SluiceBuffer *rows)
{
	if (rows->failed && rows->over_limit)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("row is too large to be sent")));
	if (rows->failed)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
}

void
sluice_reading_append(SluiceBuffer *rows, int64 offset, const uint8 *payload, size_t length,
					  int64 redrive, uint32 attempts)
{
	size_t		begin = sluice_row_message_begin(rows, offset);

	sluice_buffer_append(rows, payload, length);
	sluice_row_message_end(rows, begin, offset, redrive, attempts);
	check_room(rows);
}

static void
write_payload(SluiceReading *reading, const Datum *values, const bool *nulls, SluiceBuffer *out)
{
	switch (reading->encoding)
	{
		case SLUICE_ENCODING_JSON:
			sluice_json_row_write(reading->json, values, nulls, out);
			break;
		case SLUICE_ENCODING_PROTOBUF:
			sluice_protobuf_row_write(reading->protobuf, values, nulls, out);
			break;
		default:
			if (!nulls[0])
			{
				bytea	   *bytes = DatumGetByteaPP(values[0]);

				sluice_buffer_append(out, VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes));
			}
			break;
	}
}

/* The executor's receiver */

static bool
receive_row(TupleTableSlot *slot, DestReceiver *self)
{
	Receiver   *receiver = (Receiver *) self;
	MemoryContext old;
	int64		offset;
	size_t		begin = 0;

	if (receiver->nrows == receiver->max_rows || receiver->rows->length >= receiver->enough)
	{
		receiver->more = true;
		return false;
	}
	slot_getallattrs(slot);
	offset = DatumGetInt64(slot->tts_values[0]);
	old = MemoryContextSwitchTo(receiver->reading->row_context);
	receiver->reading->writing = offset;
	if (receiver->offsets != NULL)
		begin = sluice_row_message_begin(receiver->rows, offset);
	write_payload(receiver->reading, slot->tts_values + 1, slot->tts_isnull + 1, receiver->rows);
	if (receiver->offsets != NULL)
	{
		sluice_row_message_end(receiver->rows, begin, offset, 0, offset == receiver->nacked.offset ? receiver->nacked.attempts : 0);
		receiver->offsets[receiver->nrows] = offset;
	}
	check_room(receiver->rows);
	receiver->reading->writing = 0;
	receiver->reading->written = ++receiver->nrows;
	MemoryContextSwitchTo(old);
	MemoryContextReset(receiver->reading->row_context);
	return true;
}

static void
receiver_start(DestReceiver *self, int operation, TupleDesc desc)
{
}

static void
receiver_nothing(DestReceiver *self)
{
}

static Receiver
make_receiver(SluiceReading *reading, SluiceBuffer *rows)
{
	return (Receiver) {
		.pub = {receive_row, receiver_start, receiver_nothing, receiver_nothing, DestTuplestore},
		.reading = reading,
		.rows = rows,
		.max_rows = INT_MAX,
		.enough = SIZE_MAX
	};
}

/* Acting as the role */

/* Sessions that are not a worker's are those of tests. */
void
sluice_reading_begin_acting(SluiceReading *reading, SluiceActing *acting)
{
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	PushActiveSnapshot(GetTransactionSnapshot());
	sluice_acting_begin(acting, reading->role, true, IsBackgroundWorker);
}

void
sluice_reading_end_acting(SluiceActing *acting)
{
	sluice_acting_end(acting);
	PopActiveSnapshot();
	if (SPI_finish() != SPI_OK_FINISH)
		elog(ERROR, "SPI_finish failed");
}

static void
set_local(const char *name, const char *value)
{
	(void) set_config_option(name, value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

/* While it is planned: the index, whatever it seems to cost. */
static void
prefer_index(void)
{
	set_local("enable_seqscan", "off");
	set_local("enable_bitmapscan", "off");
	set_local("enable_sort", "off");
	set_local("jit", "off");
}

void
sluice_reading_start_timeout(void)
{
	if (IsBackgroundWorker && sluice_statement_timeout > 0)
		enable_timeout_after(STATEMENT_TIMEOUT, sluice_statement_timeout);
}

void
sluice_reading_stop_timeout(void)
{
	if (IsBackgroundWorker)
		disable_timeout(STATEMENT_TIMEOUT, false);
}

/* What is locked by DDL is not waited for. */
void
sluice_reading_lock_target(Oid target)
{
	if (!ConditionalLockRelationOid(target, AccessShareLock))
	{
		const char *name = get_rel_name(target);

		ereport(ERROR,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("could not obtain lock on relation \"%s\"", name != NULL ? name : "")));
	}
}

/* Was it made anew by a name that is another table's since a moment ago?  Nothing of that table is handed out. */
static void
check_plan(SluiceReading *reading)
{
	CachedPlanSource *source = linitial(SPI_plan_get_plan_sources(reading->plan));

	if (list_member_oid(source->relationOids, reading->target))
		return;
	reading->stale = true;
	ereport(ERROR,
			(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
			 errmsg("relation \"%s\" was renamed while it was read", reading->table)));
}

static void
execute(SluiceReading *reading, int64 after, int64 through, int64 max_rows, Receiver *receiver)
{
	int64		values[PARAMETERS] = {after, through, max_rows};
	ParamListInfo parameters = makeParamList(PARAMETERS);
	SPIExecuteOptions options = {.params = parameters, .read_only = true, .dest = &receiver->pub};
	int			result;

	for (int i = 0; i < PARAMETERS; i++)
		parameters->params[i] = (ParamExternData) {
			.value = Int64GetDatum(values[i]), .pflags = PARAM_FLAG_CONST, .ptype = INT8OID
		};
	if (!reading->planned || !SPI_plan_is_valid(reading->plan))
		prefer_index();
	sluice_reading_start_timeout();
	PG_TRY();
	{
		result = SPI_execute_plan_extended(reading->plan, &options);
	}
	PG_CATCH();
	{
		sluice_reading_stop_timeout();
		PG_RE_THROW();
	}
	PG_END_TRY();
	sluice_reading_stop_timeout();
	if (result != SPI_OK_SELECT)
		elog(ERROR, "SPI_execute_plan_extended returned %d", result);
	reading->planned = true;
	check_plan(reading);
}

static void
read_range(SluiceReading *reading, int64 after, int64 through, int64 max_rows, Receiver *receiver)
{
	SluiceActing acting;

	reading->writing = 0;
	reading->written = 0;
	sluice_reading_lock_target(reading->target);
	sluice_reading_begin_acting(reading, &acting);
	execute(reading, after, through, max_rows, receiver);
	sluice_reading_end_acting(&acting);
}

int
sluice_reading_read(SluiceReading *reading, int64 after, int64 through, int max_rows, size_t max_bytes,
					SluiceNacked nacked, SluiceBuffer *rows, int64 *offsets, bool *complete)
{
	Receiver	receiver = make_receiver(reading, rows);

	receiver.offsets = offsets;
	receiver.max_rows = max_rows;
	receiver.nacked = nacked;
	receiver.enough = rows->length + Max(max_bytes, 1);
	/* One row more tells whether there are more. */
	read_range(reading, after, through, (int64) max_rows + 1, &receiver);
	*complete = !receiver.more;
	return receiver.nrows;
}

bool
sluice_reading_payload(SluiceReading *reading, int64 offset, uint8 **payload, size_t *length)
{
	static SluiceBuffer bytes = {0};	/* after an error it is freed the next time */
	Receiver	receiver = make_receiver(reading, &bytes);

	sluice_buffer_free(&bytes);
	if (offset == PG_INT64_MIN)
		return false;
	read_range(reading, offset - 1, offset, 1, &receiver);
	check_room(&bytes);
	if (receiver.nrows == 0)
		return false;
	*payload = palloc(bytes.length + 1);
	if (bytes.length > 0)
		memcpy(*payload, bytes.data, bytes.length);
	*length = bytes.length;
	sluice_buffer_free(&bytes);
	return true;
}

/* Making one */

/* Its context goes: let go of what is not palloc'ed there. */
static void
reading_release(void *arg)
{
	SluiceReading *reading = arg;

	dlist_delete(&reading->node);
	if (reading->plan != NULL)
		(void) SPI_freeplan(reading->plan);
}

static SluiceEncoding
encoding_of(const SluiceStream *stream, SluiceEncoding encoding)
{
	if (encoding != SLUICE_ENCODING_STREAM)
		return encoding;
	switch (stream->format)
	{
		case SLUICE_FORMAT_PROTOBUF:
			return SLUICE_ENCODING_PROTOBUF;
		case SLUICE_FORMAT_BYTES:
			return SLUICE_ENCODING_BYTES;
		default:
			return SLUICE_ENCODING_JSON;
	}
}

static List *
all_columns(TupleDesc desc)
{
	List	   *columns = NIL;

	for (int i = 0; i < desc->natts; i++)
		if (!TupleDescAttr(desc, i)->attisdropped)
			columns = lappend(columns, NameStr(TupleDescAttr(desc, i)->attname));
	return columns;
}

/* The one that the stream's payloads go to. */
static List *
payload_column(SluiceStream *stream, Relation rel)
{
	SluiceTarget *target = sluice_target_bind(stream, rel);

	for (int i = 0; i < target->nfields; i++)
		if (target->fields[i].column >= 0)
			return list_make1(NameStr(TupleDescAttr(RelationGetDescr(rel), target->fields[i].attnum - 1)->attname));
	elog(ERROR, "stream \"%s\" has no column for its payload", stream->name);
}

/* What writes the rows, and the columns it wants.  NIL: *why tells why not. */
static List *
make_encoder(SluiceReading *reading, SluiceStream *stream, Relation rel, char **why)
{
	switch (reading->encoding)
	{
		case SLUICE_ENCODING_JSON:
			reading->json = sluice_json_row_create(RelationGetDescr(rel));
			return all_columns(RelationGetDescr(rel));
		case SLUICE_ENCODING_PROTOBUF:
			if (stream->format != SLUICE_FORMAT_PROTOBUF)
			{
				*why = psprintf("stream \"%s\" has no message type: ask for JSON", stream->name);
				return NIL;
			}
			reading->protobuf = sluice_protobuf_row_create(stream, RelationGetDescr(rel));
			return sluice_protobuf_row_columns(reading->protobuf);
		default:
			if (stream->format != SLUICE_FORMAT_BYTES)
			{
				*why = psprintf("the payload format of stream \"%s\" is not bytes: ask for JSON", stream->name);
				return NIL;
			}
			return payload_column(stream, rel);
	}
}

static void
prepare(SluiceReading *reading, List *columns)
{
	Oid			types[PARAMETERS] = {INT8OID, INT8OID, INT8OID};
	SluiceActing acting;
	SPIPlanPtr	plan;
	StringInfoData sql;
	ListCell   *cell;

	initStringInfo(&sql);
	appendStringInfo(&sql, "SELECT %s", reading->offset_column);
	foreach(cell, columns)
		appendStringInfo(&sql, ", %s", quote_identifier(lfirst(cell)));
	appendStringInfo(&sql, " FROM %s WHERE %s OPERATOR(pg_catalog.>) $1 AND %s OPERATOR(pg_catalog.<=) $2 ORDER BY %s LIMIT $3",
					 reading->table, reading->offset_column, reading->offset_column, reading->offset_column);
	sluice_reading_begin_acting(reading, &acting);
	plan = SPI_prepare_cursor(sql.data, PARAMETERS, types, CURSOR_OPT_GENERIC_PLAN);
	if (plan == NULL || SPI_keepplan(plan) != 0)
		elog(ERROR, "could not prepare \"%s\": %s", sql.data, SPI_result_code_string(SPI_result));
	reading->plan = plan;
	sluice_reading_end_acting(&acting);
}

/* In the current memory context, which becomes its own. */
static SluiceReading *
make_reading(SluiceStream *stream, Relation rel, Oid role, SluiceEncoding encoding)
{
	SluiceReading *reading = palloc0(sizeof(SluiceReading));
	MemoryContextCallback *callback = palloc0(sizeof(MemoryContextCallback));

	reading->context = CurrentMemoryContext;
	reading->row_context = AllocSetContextCreate(reading->context, "sluice row", ALLOCSET_DEFAULT_SIZES);
	reading->encoding = encoding_of(stream, encoding);
	reading->target = stream->target;
	reading->role = OidIsValid(role) ? role : stream->owner;
	reading->streams = sluice_catalog_relation("streams");
	reading->table = pstrdup(quote_qualified_identifier(get_namespace_name(RelationGetNamespace(rel)),
														RelationGetRelationName(rel)));
	reading->offset_name = pstrdup(stream->offset_column);
	reading->offset_column = pstrdup(quote_identifier(stream->offset_column));
	if (stream->envelope[SLUICE_ENVELOPE_RECEIVED_AT] != NULL)
		reading->received_column = pstrdup(quote_identifier(stream->envelope[SLUICE_ENVELOPE_RECEIVED_AT]));
	/* From here on it is told of changes. */
	dlist_push_tail(&all_readings, &reading->node);
	callback->func = reading_release;
	callback->arg = reading;
	MemoryContextRegisterResetCallback(reading->context, callback);
	return reading;
}

/* Below the caller's memory context, so that it goes with an error.  NULL, with *why: it cannot be. */
static SluiceReading *
try_reading(SluiceStream *stream, Oid role, SluiceEncoding encoding, char **why)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "sluice reading", ALLOCSET_SMALL_SIZES);
	MemoryContext old;
	SluiceReading *reading;
	Relation	rel;
	List	   *columns;

	sluice_reading_lock_target(stream->target);
	rel = relation_open(stream->target, NoLock);
	old = MemoryContextSwitchTo(context);
	reading = make_reading(stream, rel, role, encoding);
	columns = make_encoder(reading, stream, rel, why);
	if (*why == NULL)
		prepare(reading, columns);
	MemoryContextSwitchTo(old);
	relation_close(rel, NoLock);
	if (*why == NULL)
		return reading;
	*why = pstrdup(*why);
	MemoryContextDelete(context);
	return NULL;
}

SluiceReading *
sluice_reading_create(SluiceStream *stream, Oid role, SluiceEncoding encoding, char **why)
{
	static bool registered = false;
	SluiceReading *reading;

	if (!registered)
	{
		CacheRegisterRelcacheCallback(relation_changed, (Datum) 0);
		CacheRegisterSyscacheCallback(NAMESPACEOID, schema_changed, (Datum) 0);
	}
	registered = true;
	*why = NULL;
	if (stream->offset_column == NULL)
	{
		*why = psprintf("stream \"%s\" has no offset column: name one with sluice.alter_stream(..., offset_column => ...)",
						stream->name);
		return NULL;
	}
	reading = try_reading(stream, role, encoding, why);
	if (reading != NULL)
		MemoryContextSetParent(reading->context, TopMemoryContext);
	return reading;
}

void
sluice_reading_free(SluiceReading *reading)
{
	MemoryContextDelete(reading->context);
}

SluiceEncoding
sluice_reading_encoding(const SluiceReading *reading)
{
	return reading->encoding;
}

bool
sluice_reading_was_writing(const SluiceReading *reading, int64 *offset, int *before)
{
	*offset = reading->writing;
	*before = reading->written;
	return reading->writing != 0;
}

bool
sluice_reading_is_stale(const SluiceReading *reading)
{
	return reading->stale;
}
