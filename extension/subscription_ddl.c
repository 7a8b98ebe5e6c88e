/*
 * subscription_ddl.c
 *		sluice.create_subscription, drop_subscription, seek.
 *
 * Rows of sluice.subscriptions are written as the extension's owner; where a
 * time is to become a position, the caller must be able to read the target.
 */
#include "postgres.h"

#include "subscription_ddl.h"

#include "catalog.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "inspection.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "offset_column.h"
#include "permission.h"
#include "stream.h"
#include "subscription.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

extern PGDLLEXPORT Datum sluice_create_subscription(PG_FUNCTION_ARGS);
PG_FUNCTION_INFO_V1(sluice_create_subscription);
extern PGDLLEXPORT Datum sluice_drop_subscription(PG_FUNCTION_ARGS);
PG_FUNCTION_INFO_V1(sluice_drop_subscription);
extern PGDLLEXPORT Datum sluice_seek(PG_FUNCTION_ARGS);
PG_FUNCTION_INFO_V1(sluice_seek);

/* Arguments of create_subscription; the order is SQL's. */
enum
{
	ARG_NAME = 0,
	ARG_STREAM,
	ARG_START,
	ARG_AFTER_OFFSET,
	ARG_SINCE,
	ARG_GUARANTEE,
	ARG_MAX_ATTEMPTS,
	ARG_MAX_LOSSES,
	ARG_RETRY_DELAY
};

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

/* ---- positions ---- */

static SluiceStream *
require_offset_column(SluiceStream *stream)
{
	if (stream->offset_column == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("stream \"%s\" has no offset column", stream->name),
				 errhint("Its rows need an order: name a column with sluice.alter_stream(..., offset_column => ...).")));
	return stream;
}

/* Behind an offset that was not given out yet there would be rows that are never delivered. */
static int64
check_position(SluiceStream *stream, Oid sequence, int64 position)
{
	int64		last = sluice_offset_column_last(sequence);

	if (position > last)
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("offset " INT64_FORMAT " has not been given out yet", position),
				 errdetail("The last one of stream \"%s\" is " INT64_FORMAT ".", stream->name, last)));
	return position;
}

static char *
since_query(SluiceStream *stream)
{
	const char *offset = quote_identifier(stream->offset_column);
	char	   *received_at = stream->envelope[SLUICE_ENVELOPE_RECEIVED_AT];
	char	   *table = quote_qualified_identifier(get_namespace_name(get_rel_namespace(stream->target)), get_rel_name(stream->target));

	if (received_at == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("target of stream \"%s\" does not keep when its rows were received", stream->name),
				 errhint("Name a column with sluice.alter_stream(..., envelope_columns => '{\"received_at\": ...}').")));
	return sluice_offset_column_since(table, offset, quote_identifier(received_at));
}

/*
 * Before the first row received at that time or later; where there is none yet, behind the last row that is
 * there.  Read for the caller, see inspection.h.
 */
static int64
position_since(SluiceStream *stream, Oid sequence, Datum since)
{
	char	   *query = since_query(stream);
	int64		position = sluice_offset_column_origin(sequence);
	Oid			types[] = {TIMESTAMPTZOID};
	SluiceActing acting;
	Datum		value;
	bool		isnull;
	int			result;

	sluice_inspection_begin(&acting, stream->target, stream->offset_column, stream->envelope[SLUICE_ENVELOPE_RECEIVED_AT]);
	result = SPI_execute_with_args(query, lengthof(types), types, &since, NULL, false, 0);
	if (result != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "SPI_execute_with_args returned %d for: %s", result, query);
	value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	if (!isnull)
		position = DatumGetInt64(value);
	sluice_acting_end(&acting);
	return position;
}

/* ---- arguments ---- */

static const char *
get_choice(FunctionCallInfo fcinfo, int argument, const char *name, const char *first, const char *second)
{
	const char *value = PG_ARGISNULL(argument) ? first : text_to_cstring(PG_GETARG_TEXT_PP(argument));

	if (strcmp(value, first) != 0 && strcmp(value, second) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for %s: \"%s\"", name, value),
				 errhint("Available values: %s, %s.", first, second)));
	return value;
}

static char *
get_name(FunctionCallInfo fcinfo)
{
	char	   *name;

	if (PG_ARGISNULL(ARG_NAME))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("name of the subscription must not be null")));
	name = text_to_cstring(PG_GETARG_TEXT_PP(ARG_NAME));
	if (*name == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_NAME),
				 errmsg("name of a subscription must not be empty")));
	if (pg_mbstrlen(name) > SLUICE_SUBSCRIPTION_NAME_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_NAME_TOO_LONG),
				 errmsg("name of a subscription must not be longer than %d characters", SLUICE_SUBSCRIPTION_NAME_MAX)));
	return name;
}

/* At least one, where it is given. */
static void
check_limit(FunctionCallInfo fcinfo, int argument, const char *name)
{
	if (!PG_ARGISNULL(argument) && PG_GETARG_INT32(argument) < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must be at least 1", name)));
}

static void
check_retry_delay(FunctionCallInfo fcinfo)
{
	Interval	none = {0};
	Interval	hour = {.time = USECS_PER_HOUR};
	Datum		delay = PG_ARGISNULL(ARG_RETRY_DELAY) ? IntervalPGetDatum(&none) : PG_GETARG_DATUM(ARG_RETRY_DELAY);

	if (DatumGetBool(DirectFunctionCall2(interval_lt, delay, IntervalPGetDatum(&none))) ||
		DatumGetBool(DirectFunctionCall2(interval_gt, delay, IntervalPGetDatum(&hour))))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("retry_delay must be between 0 and 1 hour")));
}

static void
check_arguments(FunctionCallInfo fcinfo)
{
	bool		latest = strcmp(get_choice(fcinfo, ARG_START, "start", "earliest", "latest"), "latest") == 0;

	(void) get_choice(fcinfo, ARG_GUARANTEE, "guarantee", "at_least_once", "at_most_once");
	if (latest + !PG_ARGISNULL(ARG_AFTER_OFFSET) + !PG_ARGISNULL(ARG_SINCE) > 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a subscription starts at one place"),
				 errhint("Give only one of start => 'latest', after_offset and since.")));
	check_limit(fcinfo, ARG_MAX_ATTEMPTS, "max_attempts");
	check_limit(fcinfo, ARG_MAX_LOSSES, "max_losses");
	check_retry_delay(fcinfo);
}

/* ---- create ---- */

/* Who could read the table anyhow may have its rows delivered: an administrator of streams is not meant. */
static void
check_may_subscribe(SluiceStream *stream)
{
	AclResult	result;

	if (sluice_permission_owns(stream->owner))
		return;
	result = pg_class_aclcheck(stream->target, GetUserId(), ACL_SELECT);
	if (result != ACLCHECK_OK)
		aclcheck_error(result, get_relkind_objtype(get_rel_relkind(stream->target)), get_rel_name(stream->target));
}

static int64
start_position(FunctionCallInfo fcinfo, SluiceStream *stream)
{
	Oid			sequence = sluice_offset_column_sequence(require_offset_column(stream));

	if (!PG_ARGISNULL(ARG_AFTER_OFFSET))
		return check_position(stream, sequence, PG_GETARG_INT64(ARG_AFTER_OFFSET));
	if (!PG_ARGISNULL(ARG_SINCE))
		return position_since(stream, sequence, PG_GETARG_DATUM(ARG_SINCE));
	if (strcmp(get_choice(fcinfo, ARG_START, "start", "earliest", "latest"), "latest") == 0)
		return sluice_offset_column_last(sequence);
	return sluice_offset_column_origin(sequence);
}

/* NULL in so many words is the default, but for max_losses, where it is no limit. */
static int32
insert_subscription(FunctionCallInfo fcinfo, const char *name, int32 stream, int64 position)
{
	Oid			types[] = {TEXTOID, INT4OID, INT8OID, TEXTOID, INT4OID, INT4OID, INTERVALOID, REGROLEOID};
	Datum		values[] = {
		CStringGetTextDatum(name), Int32GetDatum(stream), Int64GetDatum(position),
		CStringGetTextDatum(get_choice(fcinfo, ARG_GUARANTEE, "guarantee", "at_least_once", "at_most_once")),
		PG_GETARG_DATUM(ARG_MAX_ATTEMPTS), PG_GETARG_DATUM(ARG_MAX_LOSSES), PG_GETARG_DATUM(ARG_RETRY_DELAY),
		ObjectIdGetDatum(GetUserId())
	};
	char		nulls[] = "        ";
	bool		isnull;

	for (int i = ARG_MAX_ATTEMPTS; i <= ARG_RETRY_DELAY; i++)
		if (PG_ARGISNULL(i))
			nulls[i - ARG_MAX_ATTEMPTS + 4] = 'n';
	(void) sluice_subscription_lock_name(name, true);
	if (sluice_catalog_execute("INSERT INTO sluice.subscriptions (name, stream, \"position\", guarantee, max_attempts, max_losses, "
							   "retry_delay, owner) VALUES ($1, $2, $3, $4, coalesce($5, 5), $6, coalesce($7, interval '1 second'), $8) "
							   "ON CONFLICT (name) DO NOTHING RETURNING id",
							   lengthof(types), types, values, nulls, SPI_OK_INSERT_RETURNING) != 1)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("subscription \"%s\" already exists", name)));
	return DatumGetInt32(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
}

Datum
sluice_create_subscription(PG_FUNCTION_ARGS)
{
	char	   *name = get_name(fcinfo);
	SluiceStream *stream;
	int32		stream_id;
	int32		id;
	int64		position;

	check_arguments(fcinfo);
	stream_id = sluice_stream_get(PG_ARGISNULL(ARG_STREAM) ? "" : text_to_cstring(PG_GETARG_TEXT_PP(ARG_STREAM)))->id;
	/* While we have the lock the stream is not dropped; it may have been just before. */
	(void) sluice_stream_lock(stream_id, false, true);
	stream = sluice_stream_by_id(stream_id);
	if (stream == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("stream %d was dropped", stream_id)));
	check_may_subscribe(stream);
	begin_command();
	position = start_position(fcinfo, stream);
	id = insert_subscription(fcinfo, name, stream_id, position);
	end_command();
	PG_RETURN_INT32(id);
}

/* ---- drop, seek ---- */

Datum
sluice_drop_subscription(PG_FUNCTION_ARGS)
{
	SluiceSubscription subscription;

	sluice_subscription_get(text_to_cstring(PG_GETARG_TEXT_PP(0)), &subscription);
	sluice_subscription_drop(&subscription, "the subscription was dropped");
	PG_RETURN_VOID();
}

void
sluice_subscription_ddl_drop_all(int32 stream_id)
{
	Oid			types[] = {INT4OID};
	Datum		values[] = {Int32GetDatum(stream_id)};
	uint64		n = sluice_catalog_execute("SELECT id FROM sluice.subscriptions WHERE stream = $1 ORDER BY id",
										   1, types, values, NULL, SPI_OK_SELECT);
	SPITupleTable *rows = SPI_tuptable;
	bool		isnull;

	for (uint64 i = 0; i < n; i++)
	{
		int32		id = DatumGetInt32(SPI_getbinval(rows->vals[i], rows->tupdesc, 1, &isnull));
		SluiceSubscription subscription;

		/* It may have been dropped while we waited. */
		if (sluice_subscription_lock(id, true, &subscription) == SLUICE_SUBSCRIPTION_LOCKED)
			sluice_subscription_drop(&subscription, "the stream was dropped");
	}
}

static int64
sought_position(FunctionCallInfo fcinfo, int32 stream_id)
{
	SluiceStream *stream = sluice_stream_by_id(stream_id);
	Oid			sequence;

	if (stream == NULL)
		elog(ERROR, "stream %d is not there", stream_id);
	sequence = sluice_offset_column_sequence(require_offset_column(stream));
	if (!PG_ARGISNULL(1))
		return check_position(stream, sequence, PG_GETARG_INT64(1));
	return position_since(stream, sequence, PG_GETARG_DATUM(2));
}

Datum
sluice_seek(PG_FUNCTION_ARGS)
{
	SluiceSubscription subscription;
	int64		position;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("name of the subscription must not be null")));
	if (PG_ARGISNULL(1) == PG_ARGISNULL(2))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("sluice.seek takes either an offset or a time")));
	sluice_subscription_get(text_to_cstring(PG_GETARG_TEXT_PP(0)), &subscription);
	begin_command();
	position = sought_position(fcinfo, subscription.stream_id);
	end_command();
	sluice_subscription_seek(&subscription, position);
	PG_RETURN_VOID();
}
