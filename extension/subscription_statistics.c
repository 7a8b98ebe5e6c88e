/*
 * subscription_statistics.c
 *		What is behind sluice.stat_subscriptions: who consumes, and how far behind it is.
 */
#include "postgres.h"

#include "active.h"
#include "catalog.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "stream.h"
#include "subscription_lag.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

extern PGDLLEXPORT Datum sluice_stat_subscriptions(PG_FUNCTION_ARGS);
PG_FUNCTION_INFO_V1(sluice_stat_subscriptions);

enum
{
	COL_SUBSCRIPTION,
	COL_STATE,
	COL_WORKER,
	COL_PID,
	COL_CONSUMER,
	COL_ADDRESS,
	COL_SINCE,
	COL_DELIVERED,
	COL_IN_FLIGHT,
	COL_ROWS,
	COL_REDELIVERED,
	COL_BLOCKER,
	COL_LAG_RECORDS,
	COL_LAG_SECONDS,
	NCOLS
};

static const char *const state_names[] = {
	[SLUICE_ACTIVE_FREE] = NULL,
	[SLUICE_ACTIVE_STARTING] = "starting",
	[SLUICE_ACTIVE_BACKLOG] = "backlog",
	[SLUICE_ACTIVE_LIVE] = "live",
	[SLUICE_ACTIVE_RETRYING] = "retrying",
	[SLUICE_ACTIVE_BLOCKED] = "blocked",
};

typedef struct Place
{
	int32		id;
	int32		stream_id;
	int64		position;
} Place;

/* All subscriptions; palloc'ed in the current context. */
static int
read_places(Place **places)
{
	bool		isnull;
	int			n;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	n = (int) sluice_catalog_execute("SELECT id, stream, \"position\" FROM sluice.subscriptions ORDER BY id",
									 0, NULL, NULL, NULL, SPI_OK_SELECT);
	*places = SPI_palloc(sizeof(Place) * (n + 1));
	for (int i = 0; i < n; i++)
	{
		HeapTuple	row = SPI_tuptable->vals[i];

		(*places)[i].id = DatumGetInt32(SPI_getbinval(row, SPI_tuptable->tupdesc, 1, &isnull));
		(*places)[i].stream_id = DatumGetInt32(SPI_getbinval(row, SPI_tuptable->tupdesc, 2, &isnull));
		(*places)[i].position = DatumGetInt64(SPI_getbinval(row, SPI_tuptable->tupdesc, 3, &isnull));
	}
	if (SPI_finish() != SPI_OK_FINISH)
		elog(ERROR, "SPI_finish failed");
	return n;
}

static void
put_text(Datum *values, bool *nulls, int column, const char *utf8)
{
	nulls[column] = *utf8 == '\0';
	if (*utf8 != '\0')
		values[column] = CStringGetTextDatum(sluice_stream_text(utf8, strlen(utf8)));
}

static void
put_active(const SluiceActive *active, Datum *values, bool *nulls)
{
	const SluiceActiveReport *report = &active->report;

	for (int i = COL_STATE; i <= COL_BLOCKER; i++)
		nulls[i] = false;
	values[COL_STATE] = CStringGetTextDatum(state_names[report->state]);
	values[COL_WORKER] = Int32GetDatum(active->worker + 1);
	values[COL_PID] = Int32GetDatum(active->pid);
	put_text(values, nulls, COL_CONSUMER, active->consumer);
	put_text(values, nulls, COL_ADDRESS, active->address);
	values[COL_SINCE] = TimestampTzGetDatum(active->since);
	values[COL_DELIVERED] = Int64GetDatum(report->delivered);
	nulls[COL_DELIVERED] = report->rows == 0;
	values[COL_IN_FLIGHT] = Int64GetDatum(report->in_flight);
	values[COL_ROWS] = Int64GetDatum((int64) report->rows);
	values[COL_REDELIVERED] = Int64GetDatum((int64) report->redelivered);
	values[COL_BLOCKER] = Int32GetDatum(report->blocker);
	nulls[COL_BLOCKER] = report->blocker == 0;
}

static float8
seconds_since(TimestampTz time)
{
	return Max((float8) (GetCurrentTimestamp() - time), 0) / USECS_PER_SEC;
}

static void
put_lag(const SluiceLag *lag, const SluiceActive *active, Datum *values, bool *nulls)
{
	values[COL_LAG_RECORDS] = Int64GetDatum(lag->records);
	nulls[COL_LAG_RECORDS] = nulls[COL_LAG_SECONDS] = false;
	if (lag->records == 0)
		values[COL_LAG_SECONDS] = Float8GetDatum(0);
	else if (lag->has_received_at)
		values[COL_LAG_SECONDS] = Float8GetDatum(seconds_since(lag->received_at));
	else if (active != NULL && active->report.caught_up_at != 0)
		values[COL_LAG_SECONDS] = Float8GetDatum(seconds_since(active->report.caught_up_at));
	else
		nulls[COL_LAG_SECONDS] = true;
}

static void
return_place(ReturnSetInfo *result, const Place *place)
{
	Datum		values[NCOLS] = {0};
	bool		nulls[NCOLS];
	SluiceActive active;
	bool		is_active = sluice_active_find(place->id, &active);
	SluiceLag	lag;

	memset(nulls, true, sizeof(nulls));
	values[COL_SUBSCRIPTION] = Int32GetDatum(place->id);
	nulls[COL_SUBSCRIPTION] = false;
	if (is_active)
		put_active(&active, values, nulls);
	if (sluice_subscription_lag(place->stream_id, place->position, &lag))
		put_lag(&lag, is_active ? &active : NULL, values, nulls);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

Datum
sluice_stat_subscriptions(PG_FUNCTION_ARGS)
{
	Place	   *places;
	int			n;

	InitMaterializedSRF(fcinfo, 0);
	n = read_places(&places);
	for (int i = 0; i < n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		return_place((ReturnSetInfo *) fcinfo->resultinfo, &places[i]);
	}
	return (Datum) 0;
}
