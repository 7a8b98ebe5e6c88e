/*
 * subscription_lag.c
 *		How far a position is behind the rows of its stream.
 *
 * The target is read as the stream's owner, as the consumers' rows are, in a
 * subtransaction: who looks at all subscriptions wants to see them though the
 * table of one is gone, locked, or not to be read.
 */
#include "postgres.h"

#include "subscription_lag.h"

#include "access/xact.h"
#include "acting.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "offset_column.h"
#include "parser/parse_coerce.h"
#include "storage/lmgr.h"
#include "stream.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

/* So many rows are counted; more are estimated. */
#define COUNTED 100000

/* For partitions. */
#define LOCK_TIMEOUT "100ms"

/* %1$s is the offset column, %2$s the table, %3$s what gives received_at. */
static const char *const count_rows =
"SELECT b.n, b.last, f.r FROM (SELECT pg_catalog.count(*) AS n, pg_catalog.max(x.o) AS last "
"FROM (SELECT %1$s AS o FROM %2$s WHERE %1$s OPERATOR(pg_catalog.>) $1 ORDER BY %1$s LIMIT $2) x) b "
"LEFT JOIN (SELECT %3$s AS r FROM %2$s WHERE %1$s OPERATOR(pg_catalog.>) $1 ORDER BY %1$s LIMIT 1) f ON true";

/* A table, and nothing that has code of its own (an empty table can be made a view); locked.  False: not now. */
static bool
lock_table(Oid relid)
{
	char		kind;

	if (!ConditionalLockRelationOid(relid, AccessShareLock))
		return false;
	kind = get_rel_relkind(relid);
	return kind == RELKIND_RELATION || kind == RELKIND_PARTITIONED_TABLE;
}

/* Those beyond the last counted one lie as dense as those before it. */
static int64
estimate(SluiceStream *stream, int64 position, int64 counted, int64 last)
{
	int64		end = sluice_offset_column_last(sluice_offset_column_sequence(stream));
	double		density = (double) counted / ((double) last - (double) position);

	return counted + (end > last ? (int64) (((double) end - (double) last) * density) : 0);
}

/* Of a locked table.  The column may have become another one, or none, since the stream was made: rows are counted all the same. */
static const char *
received_at(const SluiceStream *stream)
{
	const char *column = stream->envelope[SLUICE_ENVELOPE_RECEIVED_AT];
	AttrNumber	attnum = column == NULL ? InvalidAttrNumber : get_attnum(stream->target, column);
	Oid			type = attnum == InvalidAttrNumber ? InvalidOid : get_atttype(stream->target, attnum);
	Oid			wanted = TIMESTAMPTZOID;

	if (!OidIsValid(type) || !can_coerce_type(1, &type, &wanted, COERCION_EXPLICIT))
		return "CAST(NULL AS timestamp with time zone)";
	return psprintf("CAST(%s AS timestamp with time zone)", quote_identifier(column));
}

/* Within SPI and a subtransaction.  Throws. */
static bool
measure(int32 stream_id, int64 position, SluiceLag *lag)
{
	SluiceStream *stream = sluice_stream_by_id(stream_id);
	Oid			types[] = {INT8OID, INT8OID};
	Datum		values[] = {Int64GetDatum(position), Int64GetDatum(COUNTED + 1)};
	SluiceActing acting;
	char	   *query;
	int64		last;
	bool		isnull;

	if (stream == NULL || stream->offset_column == NULL || !OidIsValid(stream->owner) || !lock_table(stream->target))
		return false;
	query = psprintf(count_rows, quote_identifier(stream->offset_column),
					 quote_qualified_identifier(get_namespace_name(get_rel_namespace(stream->target)), get_rel_name(stream->target)),
					 received_at(stream));
	sluice_acting_begin(&acting, stream->owner, true, false);
	/* Policies of the table may call functions: they find nothing of who looks on. */
	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	(void) set_config_option("lock_timeout", LOCK_TIMEOUT, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	if (SPI_execute_with_args(query, lengthof(types), types, values, NULL, true, 0) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "could not count rows of stream %d", stream_id);
	sluice_acting_end(&acting);
	lag->records = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	lag->received_at = DatumGetTimestampTz(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 3, &isnull));
	lag->has_received_at = !isnull;
	last = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2, &isnull));
	if (lag->records > COUNTED)
		lag->records = estimate(sluice_stream_by_id(stream_id), position, lag->records, last);
	return true;
}

/* Who wants the statement to end wants that, not a row without a number. */
static void
forget_error(void)
{
	ErrorData  *error = CopyErrorData();

	FlushErrorState();
	RollbackAndReleaseCurrentSubTransaction();
	if (error->sqlerrcode == ERRCODE_QUERY_CANCELED)
		ReThrowError(error);
	FreeErrorData(error);
}

bool
sluice_subscription_lag(int32 stream_id, int64 position, SluiceLag *lag)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	volatile bool known = false;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		if (SPI_connect() != SPI_OK_CONNECT)
			elog(ERROR, "SPI_connect failed");
		known = measure(stream_id, position, lag);
		if (SPI_finish() != SPI_OK_FINISH)
			elog(ERROR, "SPI_finish failed");
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		known = false;
		forget_error();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return known;
}
