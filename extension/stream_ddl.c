/*
 * stream_ddl.c
 *		sluice.create_stream, alter_stream, drop_stream, hold, resume.
 *
 * Rows of sluice.streams are written as the extension's owner, tables are made
 * and dropped as the caller.  After a row is written the stream is bound to its
 * target once, here, so that a mismatch is an error of the command and not of
 * the first record.
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/table.h"
#include "access/xact.h"
#include "batch.h"
#include "bucket.h"
#include "buckets.h"
#include "catalog.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "ingestion_descriptor.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "offset_column.h"
#include "permission.h"
#include "shared.h"
#include "stream.h"
#include "subscription_ddl.h"
#include "target.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

extern PGDLLEXPORT Datum sluice_create_stream(PG_FUNCTION_ARGS);

PG_FUNCTION_INFO_V1(sluice_create_stream);
extern PGDLLEXPORT Datum sluice_alter_stream(PG_FUNCTION_ARGS);

PG_FUNCTION_INFO_V1(sluice_alter_stream);
extern PGDLLEXPORT Datum sluice_drop_stream(PG_FUNCTION_ARGS);

PG_FUNCTION_INFO_V1(sluice_drop_stream);
extern PGDLLEXPORT Datum sluice_home(PG_FUNCTION_ARGS);

PG_FUNCTION_INFO_V1(sluice_home);
extern PGDLLEXPORT Datum sluice_hold(PG_FUNCTION_ARGS);

PG_FUNCTION_INFO_V1(sluice_hold);
extern PGDLLEXPORT Datum sluice_resume(PG_FUNCTION_ARGS);

PG_FUNCTION_INFO_V1(sluice_resume);

/* Arguments of create_stream and alter_stream; the order is SQL's. */
enum
{
	ARG_NAME = 0,
	ARG_TARGET,
	ARG_PAYLOAD_FORMAT,
	ARG_MESSAGE_TYPE,
	ARG_DESCRIPTOR_SET,
	ARG_IDEMPOTENCY_WINDOW,
	ARG_OFFSET_COLUMN,
	ARG_UNKNOWN_FIELDS,
	ARG_OVERFLOW_COLUMN,
	ARG_ENVELOPE_COLUMNS,
	ARG_IS_DEFAULT,
	ARG_ALLOW_FOREIGN,
	ARG_KEY_CONFLICT,
	ARG_RATE,
	ARG_BURST,
	NARGS
};

static const Oid argument_types[NARGS] = {
	TEXTOID, REGCLASSOID, TEXTOID, TEXTOID, BYTEAOID, INTERVALOID, NAMEOID, TEXTOID, NAMEOID, JSONBOID, BOOLOID, BOOLOID, TEXTOID,
	INT4OID, INT4OID
};

typedef struct Settings
{
	Datum		values[NARGS + 2];	/* and home, caller */
	char		nulls[NARGS + 3];
} Settings;

static bool
given(const Settings *settings, int argument)
{
	return settings->nulls[argument] != 'n';
}

static char *
text_of(const Settings *settings, int argument)
{
	return given(settings, argument) ? TextDatumGetCString(settings->values[argument]) : NULL;
}

static void
set_value(Settings *settings, int argument, Datum value)
{
	settings->values[argument] = value;
	settings->nulls[argument] = ' ';
}

static Settings
read_arguments(FunctionCallInfo fcinfo)
{
	Settings	settings;

	for (int i = 0; i < NARGS; i++)
	{
		settings.values[i] = PG_ARGISNULL(i) ? (Datum) 0 : PG_GETARG_DATUM(i);
		settings.nulls[i] = PG_ARGISNULL(i) ? 'n' : ' ';
	}
	settings.values[NARGS] = CStringGetTextDatum(sluice_stream_home());
	settings.values[NARGS + 1] = ObjectIdGetDatum(GetUserId());
	settings.nulls[NARGS] = settings.nulls[NARGS + 1] = ' ';
	settings.nulls[NARGS + 2] = '\0';
	if (PG_ARGISNULL(ARG_NAME))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("name of the stream must not be null")));
	return settings;
}

static void
check_choice(const Settings *settings, int argument, const char *setting, const char *first, const char *second, const char *third)
{
	char	   *value = text_of(settings, argument);

	if (value != NULL && strcmp(value, first) != 0 && strcmp(value, second) != 0 && (third == NULL || strcmp(value, third) != 0))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for %s: \"%s\"", setting, value),
				 third != NULL ? errhint("Available values: %s, %s, %s.", first, second, third) :
				 errhint("Available values: %s, %s.", first, second)));
}

static void
check_envelope(Jsonb *jsonb)
{
	JsonbIterator *iterator;
	JsonbValue	value;
	JsonbIteratorToken token;

	if (!JB_ROOT_IS_OBJECT(jsonb))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("envelope_columns must be a JSON object"),
				 errhint("For example {\"key\": \"message_id\", \"received_at\": \"arrived\"}.")));
	iterator = JsonbIteratorInit(&jsonb->root);
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		bool		known = token != WJB_KEY;

		for (int item = 0; item < SLUICE_ENVELOPE_ITEMS && !known; item++)
			known = value.val.string.len == (int) strlen(sluice_envelope_names[item]) &&
				memcmp(value.val.string.val, sluice_envelope_names[item], value.val.string.len) == 0;
		if (!known)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("the envelope has no \"%s\"", pnstrdup(value.val.string.val, value.val.string.len)),
					 errhint("It has key, received_at, client_address, role, producer and sequence.")));
		if (token == WJB_VALUE && value.type != jbvString)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("envelope_columns must name columns by strings")));
	}
}

static void
check_window(Datum window)
{
	Interval	zero = {0};

	if (!DatumGetBool(DirectFunctionCall2(interval_gt, window, IntervalPGetDatum(&zero))))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("idempotency_window must be greater than zero")));
}

static void
check_limit(const Settings *settings, int argument, const char *setting, int max)
{
	int32		value = given(settings, argument) ? DatumGetInt32(settings->values[argument]) : SLUICE_BUCKETS_DEFAULT;

	if (value < SLUICE_BUCKETS_DEFAULT || value > max)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for %s: %d", setting, value),
				 errhint("It is a number of records from 0 to %d; -1 means what sluice.stream_%s says.", max, setting)));
}

static void
check_arguments(const Settings *settings)
{
	if (text_of(settings, ARG_NAME)[0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_NAME),
				 errmsg("name of a stream must not be empty")));
	check_choice(settings, ARG_PAYLOAD_FORMAT, "payload_format", "protobuf", "json", "bytes");
	check_choice(settings, ARG_UNKNOWN_FIELDS, "unknown_fields", "reject", "ignore", "overflow");
	check_choice(settings, ARG_KEY_CONFLICT, "key_conflict", "duplicate", "dead_letter", NULL);
	check_limit(settings, ARG_RATE, "rate", SLUICE_BUCKET_RATE_MAX);
	check_limit(settings, ARG_BURST, "burst", PG_INT32_MAX);
	if (given(settings, ARG_IDEMPOTENCY_WINDOW))
		check_window(settings->values[ARG_IDEMPOTENCY_WINDOW]);
	if (given(settings, ARG_ENVELOPE_COLUMNS))
		check_envelope(DatumGetJsonbP(settings->values[ARG_ENVELOPE_COLUMNS]));
}

/* What follows from other settings. */
static void
complete_settings(Settings *settings)
{
	bool		protobuf = given(settings, ARG_MESSAGE_TYPE);
	char	   *format;

	if (!given(settings, ARG_PAYLOAD_FORMAT))
		set_value(settings, ARG_PAYLOAD_FORMAT, CStringGetTextDatum(protobuf ? "protobuf" : "json"));
	format = text_of(settings, ARG_PAYLOAD_FORMAT);
	if ((strcmp(format, "protobuf") == 0) != protobuf)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 protobuf ? errmsg("message_type goes with payload_format protobuf, not with %s", format) :
				 errmsg("payload_format protobuf needs a message_type")));
	if (!protobuf && given(settings, ARG_DESCRIPTOR_SET))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("descriptor_set goes with payload_format protobuf, not with %s", format)));
	if (given(settings, ARG_OVERFLOW_COLUMN))
		set_value(settings, ARG_UNKNOWN_FIELDS, CStringGetTextDatum("overflow"));
	else if (given(settings, ARG_UNKNOWN_FIELDS) && strcmp(text_of(settings, ARG_UNKNOWN_FIELDS), "overflow") == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unknown_fields overflow needs an overflow_column")));
}

/* Settings that create_stream takes for NULL given in so many words. */
static void
default_settings(Settings *settings)
{
	if (!given(settings, ARG_IDEMPOTENCY_WINDOW))
		set_value(settings, ARG_IDEMPOTENCY_WINDOW,
				  DirectFunctionCall3(interval_in, CStringGetDatum("24 hours"), ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
	if (!given(settings, ARG_UNKNOWN_FIELDS))
		set_value(settings, ARG_UNKNOWN_FIELDS, CStringGetTextDatum("reject"));
	if (!given(settings, ARG_ALLOW_FOREIGN))
		set_value(settings, ARG_ALLOW_FOREIGN, BoolGetDatum(false));
	if (!given(settings, ARG_KEY_CONFLICT))
		set_value(settings, ARG_KEY_CONFLICT, CStringGetTextDatum("duplicate"));
}

/* The columns that the payload wants, as SQL. */
static char *
payload_columns(const Settings *settings)
{
	SluiceBuffer columns = {0};
	char	   *sql;

	char	   *format = text_of(settings, ARG_PAYLOAD_FORMAT);
	bytea	   *descriptor_set = given(settings, ARG_DESCRIPTOR_SET) ? DatumGetByteaPP(settings->values[ARG_DESCRIPTOR_SET]) : NULL;
	SluiceFormatOptions options = {
		.format = strcmp(format, "protobuf") == 0 ? SLUICE_FORMAT_PROTOBUF :
		strcmp(format, "json") == 0 ? SLUICE_FORMAT_JSON : SLUICE_FORMAT_BYTES,
		.message_type = text_of(settings, ARG_MESSAGE_TYPE),
		.descriptor_set = descriptor_set != NULL ? (uint8 *) VARDATA_ANY(descriptor_set) : sluice_ingestion_descriptor,
		.descriptor_set_length = descriptor_set != NULL ? VARSIZE_ANY_EXHDR(descriptor_set) : sluice_ingestion_descriptor_length,
		.overflow_column = -1
	};
	SluiceFormatError error = {0};

	if (!sluice_format_table_columns(&options, &columns, &error))
		ereport(ERROR,
				(errcode(MAKE_SQLSTATE(error.sqlstate[0], error.sqlstate[1], error.sqlstate[2], error.sqlstate[3], error.sqlstate[4])),
				 errmsg("%s", sluice_stream_text(error.message, strlen(error.message))),
				 error.hint[0] != '\0' ? errhint("%s", error.hint) : 0));
	sql = pnstrdup(columns.data, columns.length);
	sluice_buffer_free(&columns);
	return pg_any_to_server(sql, strlen(sql), PG_UTF8);
}

/* No target was named: a table of the stream's name, in the schema where the caller's tables go. */
static void
make_target(Settings *settings)
{
	char	   *name = text_of(settings, ARG_NAME);
	Oid			schema = InvalidOid;
	StringInfoData sql;
	List	   *path = fetch_search_path(false);

	if (path != NIL)
		schema = linitial_oid(path);
	if (!OidIsValid(schema))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_SCHEMA),
				 errmsg("no schema has been selected to create in")));
	initStringInfo(&sql);
	appendStringInfo(&sql, "CREATE TABLE %s (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, "
					 "received_at timestamp with time zone NOT NULL DEFAULT pg_catalog.now(), %s%s%s)",
					 quote_qualified_identifier(get_namespace_name(schema), name),
					 payload_columns(settings),
					 given(settings, ARG_OVERFLOW_COLUMN) ? ", " : "",
					 given(settings, ARG_OVERFLOW_COLUMN) ?
					 psprintf("%s pg_catalog.jsonb", quote_identifier(NameStr(*DatumGetName(settings->values[ARG_OVERFLOW_COLUMN])))) : "");
	if (SPI_execute(sql.data, false, 0) != SPI_OK_UTILITY)
		elog(ERROR, "could not create table \"%s\"", name);
	set_value(settings, ARG_TARGET, ObjectIdGetDatum(get_relname_relid(name, schema)));
	if (!given(settings, ARG_OFFSET_COLUMN))
		set_value(settings, ARG_OFFSET_COLUMN, DirectFunctionCall1(namein, CStringGetDatum("id")));
	if (!given(settings, ARG_ENVELOPE_COLUMNS))
		set_value(settings, ARG_ENVELOPE_COLUMNS,
				  DirectFunctionCall1(jsonb_in, CStringGetDatum("{\"received_at\": \"received_at\"}")));
}

/* The stream as it stands now must fit its target, and its caller may insert there. */
static void
bind_now(int32 id)
{
	SluiceStream *stream;
	Relation	rel;
	AclResult	result;

	CommandCounterIncrement();
	stream = sluice_stream_by_id(id);
	rel = try_relation_open(stream->target, RowExclusiveLock);
	if (rel == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", stream->target)));
	result = pg_class_aclcheck(stream->target, GetUserId(), ACL_INSERT);
	if (result != ACLCHECK_OK)
		aclcheck_error(result, get_relkind_objtype(rel->rd_rel->relkind), RelationGetRelationName(rel));
	(void) sluice_target_bind(stream, rel);
	relation_close(rel, NoLock);
}

static void
check_offset_column(int32 id)
{
	SluiceStream *stream = sluice_stream_by_id(id);

	if (stream->offset_column != NULL)
		(void) sluice_offset_column_sequence(stream);
}

static int32
insert_stream(Settings *settings)
{
	Oid			types[NARGS + 2];
	bool		isnull;

	memcpy(types, argument_types, sizeof(argument_types));
	types[NARGS] = TEXTOID;
	types[NARGS + 1] = REGROLEOID;
	(void) sluice_catalog_execute("INSERT INTO sluice.streams (name, target, payload_format, message_type, descriptor_set, "
								  "idempotency_window, offset_column, unknown_fields, overflow_column, envelope_columns, "
								  "is_default, allow_foreign, key_conflict, rate, burst, home, owner) "
								  "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, COALESCE($10, '{}'), "
								  "COALESCE($11, NOT EXISTS (SELECT FROM sluice.streams)), $12, $13, "
								  "NULLIF($14, -1), NULLIF($15, -1), $16, $17) RETURNING id",
								  NARGS + 2, types, settings->values, settings->nulls, SPI_OK_INSERT_RETURNING);
	return DatumGetInt32(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
}

static void
begin_command(void)
{
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
}

static void
end_command(void)
{
	if (SPI_finish() != SPI_OK_FINISH)
		elog(ERROR, "SPI_finish failed");
}

/* One default at most: the new one takes over, and with it the records that name no stream. */
static void
yield_default(const Settings *settings)
{
	Oid			types[] = {INT4OID};
	Datum		values[1];
	SluiceStream *before;

	if (!given(settings, ARG_IS_DEFAULT) || !DatumGetBool(settings->values[ARG_IS_DEFAULT]))
		return;
	before = sluice_stream_by_name("");
	if (before != NULL && !sluice_permission_owns(before->owner))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be owner of stream \"%s\" to make another one the default", before->name)));
	if (before == NULL)
		return;
	values[0] = Int32GetDatum(before->id);
	(void) sluice_catalog_execute("UPDATE sluice.streams SET is_default = false WHERE is_default AND id = $1",
								  1, types, values, NULL, SPI_OK_UPDATE);
}

Datum
sluice_create_stream(PG_FUNCTION_ARGS)
{
	Settings	settings = read_arguments(fcinfo);
	int32		id;

	check_arguments(&settings);
	complete_settings(&settings);
	default_settings(&settings);
	begin_command();
	if (sluice_stream_by_name(text_of(&settings, ARG_NAME)) != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("stream \"%s\" already exists", text_of(&settings, ARG_NAME))));
	if (!given(&settings, ARG_TARGET))
		make_target(&settings);
	yield_default(&settings);
	id = insert_stream(&settings);
	bind_now(id);
	check_offset_column(id);
	end_command();
	PG_RETURN_INT32(id);
}

/*
 * The stream, locked against everybody, for who passes the check: before the lock,
 * so that nobody else can make its batches wait, and after it.
 */
static SluiceStream *
locked_stream(const char *name, void (*check) (const SluiceStream *stream))
{
	SluiceStream *stream = sluice_stream_get(name);

	check(stream);
	(void) sluice_stream_lock(stream->id, true, true);
	stream = sluice_stream_get(name);
	check(stream);
	return stream;
}

Datum
sluice_alter_stream(PG_FUNCTION_ARGS)
{
	Settings	settings = read_arguments(fcinfo);
	Oid			types[NARGS + 1];
	int32		id;

	check_arguments(&settings);
	begin_command();
	id = locked_stream(text_of(&settings, ARG_NAME), sluice_permission_check_owner)->id;
	yield_default(&settings);
	memcpy(types, argument_types, sizeof(argument_types));
	types[NARGS] = INT4OID;
	settings.values[NARGS] = Int32GetDatum(id);
	settings.nulls[NARGS + 1] = '\0';
	(void) sluice_catalog_execute("UPDATE sluice.streams s SET target = COALESCE($2, s.target), "
								  "payload_format = COALESCE($3, CASE WHEN $4 IS NOT NULL THEN 'protobuf' END, s.payload_format), "
								  "message_type = CASE WHEN COALESCE($3, 'protobuf') = 'protobuf' THEN COALESCE($4, s.message_type) END, "
								  "descriptor_set = CASE WHEN COALESCE($3, 'protobuf') = 'protobuf' THEN COALESCE($5, s.descriptor_set) END, "
								  "idempotency_window = COALESCE($6, s.idempotency_window), "
								  "offset_column = COALESCE($7, s.offset_column), "
								  "unknown_fields = COALESCE(CASE WHEN $9 IS NOT NULL THEN 'overflow' END, $8, s.unknown_fields), "
								  "overflow_column = CASE WHEN $9 IS NOT NULL THEN $9 WHEN COALESCE($8, 'overflow') = 'overflow' THEN s.overflow_column END, "
								  "envelope_columns = COALESCE($10, s.envelope_columns), "
								  "is_default = COALESCE($11, s.is_default), allow_foreign = COALESCE($12, s.allow_foreign), "
								  "key_conflict = COALESCE($13, s.key_conflict), "
								  "rate = NULLIF(COALESCE($14, s.rate), -1), burst = NULLIF(COALESCE($15, s.burst), -1) "
								  "WHERE id = $16 AND name = $1",
								  NARGS + 1, types, settings.values, settings.nulls, SPI_OK_UPDATE);
	bind_now(id);
	check_offset_column(id);
	end_command();
	PG_RETURN_VOID();
}

static void
drop_target(Oid target)
{
	char		kind = get_rel_relkind(target);
	char	   *name;

	if (kind == '\0')
		return;
	name = quote_qualified_identifier(get_namespace_name(get_rel_namespace(target)), get_rel_name(target));
	(void) SPI_execute(psprintf("DROP %s %s", kind == RELKIND_VIEW ? "VIEW" :
								kind == RELKIND_FOREIGN_TABLE ? "FOREIGN TABLE" : "TABLE", name), false, 0);
}

Datum
sluice_drop_stream(PG_FUNCTION_ARGS)
{
	Oid			types[] = {INT4OID, TEXTOID};
	Datum		values[2];
	SluiceStream *stream;
	int32		id;
	Oid			target;

	begin_command();
	stream = locked_stream(text_to_cstring(PG_GETARG_TEXT_PP(0)), sluice_permission_check_owner);
	id = stream->id;
	target = stream->target;
	sluice_subscription_ddl_drop_all(id);
	values[0] = Int32GetDatum(id);
	values[1] = CStringGetTextDatum(GetUserNameFromId(GetUserId(), false));
	(void) sluice_catalog_execute("UPDATE sluice.dead_letters SET state = 'discarded', settled_at = now(), settled_by = $2, "
								  "settle_reason = 'the stream was dropped' WHERE stream = $1 AND state = 'open'",
								  2, types, values, NULL, SPI_OK_UPDATE);
	(void) sluice_catalog_execute("DELETE FROM sluice.producers WHERE stream = $1", 1, types, values, NULL, SPI_OK_DELETE);
	(void) sluice_catalog_execute("DELETE FROM sluice.gaps WHERE stream = $1", 1, types, values, NULL, SPI_OK_DELETE);
	(void) sluice_catalog_execute("DELETE FROM sluice.streams WHERE id = $1", 1, types, values, NULL, SPI_OK_DELETE);
	if (PG_GETARG_BOOL(1))
		drop_target(target);
	sluice_shared_stream_forget(MyDatabaseId, id);
	end_command();
	PG_RETURN_VOID();
}

static void
set_hold(const char *name, Datum reason, bool resume)
{
	Oid			types[] = {INT4OID, TEXTOID, TEXTOID};
	Datum		values[3];

	begin_command();
	values[0] = Int32GetDatum(locked_stream(name, sluice_permission_check_administrator)->id);
	values[1] = reason;
	values[2] = CStringGetTextDatum(sluice_stream_home());
	(void) sluice_catalog_execute("UPDATE sluice.streams SET held_reason = $2, home = $3 WHERE id = $1",
								  3, types, values, resume ? " n " : NULL, SPI_OK_UPDATE);
	end_command();
}

/* This database, for the view that shows which streams came from another one. */
Datum
sluice_home(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(sluice_stream_home()));
}

Datum
sluice_hold(PG_FUNCTION_ARGS)
{
	set_hold(text_to_cstring(PG_GETARG_TEXT_PP(0)), PG_GETARG_DATUM(1), false);
	PG_RETURN_VOID();
}

Datum
sluice_resume(PG_FUNCTION_ARGS)
{
	set_hold(text_to_cstring(PG_GETARG_TEXT_PP(0)), (Datum) 0, true);
	PG_RETURN_VOID();
}
