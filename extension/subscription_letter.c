/*
 * subscription_letter.c
 *		Dead letters of subscriptions: rows that a consumer could not process.
 *
 * They lie in sluice.dead_letters beside the records that targets refused, told
 * by their subscription, and never go to a target again.  sluice.redrive() puts
 * one into the state redelivery, in which its subscription's consumer gets it, before its
 * other rows, until it is acknowledged (redriven) or nacked (open again).
 */
#include "postgres.h"

#include "subscription_letter.h"

#include "active.h"
#include "catalog.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "permission.h"
#include "stream.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"

static void
begin_command(void)
{
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	PushActiveSnapshot(GetTransactionSnapshot());
}

static void
end_command(void)
{
	PopActiveSnapshot();
	if (SPI_finish() != SPI_OK_FINISH)
		elog(ERROR, "SPI_finish failed");
}

static Datum
payload_datum(const uint8 *payload, size_t length)
{
	bytea	   *value = palloc(length + VARHDRSZ);

	SET_VARSIZE(value, length + VARHDRSZ);
	memcpy(VARDATA(value), payload, length);
	return PointerGetDatum(value);
}

static Datum
reason_datum(const char *reason)
{
	if (reason == NULL || *reason == '\0')
		return CStringGetTextDatum("the consumer gave no reason");
	return CStringGetTextDatum(sluice_stream_text(reason, strlen(reason)));
}

static Datum
caller_datum(void)
{
	return CStringGetTextDatum(GetUserNameFromId(GetUserId(), false));
}

/* ---- the consumer's side ---- */

/* Why a consumer cannot do with a row is no SQLSTATE: external_routine_exception it is for all. */
void
sluice_subscription_letter_write(const SluiceSubscription *subscription, int64 offset,
								 const uint8 *payload, size_t length, const char *reason)
{
	Oid			types[] = {INT4OID, INT4OID, INT8OID, BYTEAOID, TEXTOID, TEXTOID};
	Datum		values[] = {
		Int32GetDatum(subscription->stream_id), Int32GetDatum(subscription->id), Int64GetDatum(offset),
		(Datum) 0, (Datum) 0, (Datum) 0
	};

	begin_command();
	values[3] = payload_datum(payload, length);
	values[4] = reason_datum(reason);
	values[5] = CStringGetTextDatum(psprintf("Subscription \"%s\" has given the row up after %d attempts and %d lost consumers.",
											 subscription->name, subscription->attempts, subscription->losses));
	if (sluice_catalog_execute("INSERT INTO sluice.dead_letters (stream, stream_name, subscription, \"offset\", payload, "
							   "sqlstate, message, detail, received_at) "
							   "SELECT id, name, $2, $3, $4, '38000', $5, $6, now() FROM sluice.streams WHERE id = $1",
							   lengthof(types), types, values, NULL, SPI_OK_INSERT) != 1)
		elog(ERROR, "stream %d is not there", subscription->stream_id);
	end_command();
}

int
sluice_subscription_redriven(int32 id, const int64 *without, int nwithout, SluiceRedriven *redriven, int max)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[] = {INT4OID, INT8ARRAYOID, INT4OID};
	Datum		values[] = {Int32GetDatum(id), (Datum) 0, Int32GetDatum(max)};
	Datum	   *ids = palloc(sizeof(Datum) * (nwithout + 1));
	int			n;

	for (int i = 0; i < nwithout; i++)
		ids[i] = Int64GetDatum(without[i]);
	begin_command();
	values[1] = PointerGetDatum(construct_array(ids, nwithout, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	n = (int) sluice_catalog_execute_kept(&plan, "SELECT id, \"offset\", payload FROM sluice.dead_letters "
										  "WHERE subscription = $1 AND id <> ALL ($2) AND state = 'redelivery' ORDER BY id LIMIT $3",
										  lengthof(types), types, values, NULL, SPI_OK_SELECT);
	for (int i = 0; i < n; i++)
	{
		HeapTuple	row = SPI_tuptable->vals[i];
		bool		isnull;
		bytea	   *payload;
		uint8	   *copy;

		redriven[i].id = DatumGetInt64(SPI_getbinval(row, SPI_tuptable->tupdesc, 1, &isnull));
		redriven[i].offset = DatumGetInt64(SPI_getbinval(row, SPI_tuptable->tupdesc, 2, &isnull));
		payload = DatumGetByteaPP(SPI_getbinval(row, SPI_tuptable->tupdesc, 3, &isnull));
		redriven[i].length = VARSIZE_ANY_EXHDR(payload);
		copy = SPI_palloc(redriven[i].length + 1);
		memcpy(copy, VARDATA_ANY(payload), redriven[i].length);
		redriven[i].payload = copy;
	}
	end_command();
	return n;
}

void
sluice_subscription_settle_redriven(int32 id, int64 letter, bool done, const char *reason)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[] = {INT4OID, INT8OID, BOOLOID, TEXTOID};
	Datum		values[] = {Int32GetDatum(id), Int64GetDatum(letter), BoolGetDatum(done), (Datum) 0};

	begin_command();
	values[3] = reason_datum(reason);
	(void) sluice_catalog_execute_kept(&plan, "UPDATE sluice.dead_letters SET state = CASE WHEN $3 THEN 'redriven' ELSE 'open' END, "
									   "settled_at = CASE WHEN $3 THEN now() END, settled_by = CASE WHEN $3 THEN settled_by END, "
									   "message = CASE WHEN $3 THEN message ELSE $4 END "
									   "WHERE id = $2 AND subscription = $1 AND state = 'redelivery'",
									   lengthof(types), types, values, NULL, SPI_OK_UPDATE);
	end_command();
}

/* ---- SQL's side ---- */

void
sluice_subscription_letter_discard(const SluiceSubscription *subscription, const char *reason)
{
	Oid			types[] = {INT4OID, INT4OID, TEXTOID, TEXTOID};
	Datum		values[] = {Int32GetDatum(subscription->stream_id), Int32GetDatum(subscription->id), (Datum) 0, (Datum) 0};

	begin_command();
	values[2] = caller_datum();
	values[3] = CStringGetTextDatum(reason);
	/* Two commands, for each has an index of its own. */
	(void) sluice_catalog_execute("UPDATE sluice.dead_letters SET state = 'discarded', settled_at = now(), settled_by = $3, "
								  "settle_reason = $4 WHERE stream = $1 AND state = 'open' AND subscription = $2",
								  lengthof(types), types, values, NULL, SPI_OK_UPDATE);
	(void) sluice_catalog_execute("UPDATE sluice.dead_letters SET state = 'discarded', settled_at = now(), settled_by = $3, "
								  "settle_reason = $4 WHERE stream = $1 AND state = 'redelivery' AND subscription = $2",
								  lengthof(types), types, values, NULL, SPI_OK_UPDATE);
	end_command();
}

/* The subscriptions of the letters that are meant, ascending; palloc'ed. */
static int
find_subscriptions(int32 stream, ArrayType *ids, int32 **subscriptions)
{
	Oid			types[] = {INT4OID, INT8ARRAYOID};
	Datum		values[] = {Int32GetDatum(stream), PointerGetDatum(ids)};
	bool		isnull;
	int			n;

	begin_command();
	/* Each of the two has an index of its own. */
	n = (int) sluice_catalog_execute("SELECT subscription FROM sluice.dead_letters WHERE state = 'open' "
									 "AND subscription IS NOT NULL AND ($1 = 0 OR stream = $1) AND ($2 IS NULL OR id = ANY ($2)) "
									 "UNION SELECT subscription FROM sluice.dead_letters WHERE state = 'redelivery' "
									 "AND ($1 = 0 OR stream = $1) AND ($2 IS NULL OR id = ANY ($2)) ORDER BY 1",
									 lengthof(types), types, values, ids == NULL ? " n" : NULL, SPI_OK_SELECT);
	*subscriptions = SPI_palloc(sizeof(int32) * (n + 1));
	for (int i = 0; i < n; i++)
		(*subscriptions)[i] = DatumGetInt32(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull));
	end_command();
	return n;
}

/* The consumer takes an edited row for one of the stream's target. */
static void
check_edit(int32 stream_id)
{
	SluiceStream *stream = sluice_stream_by_id(stream_id);

	if (stream == NULL)
		elog(ERROR, "stream %d is not there", stream_id);
	sluice_permission_check_edit(stream);
}

ArrayType *
sluice_subscription_letter_lock(int32 stream, ArrayType *ids, bool edited)
{
	int32	   *subscriptions;
	int			n = find_subscriptions(stream, ids, &subscriptions);
	Datum	   *locked = palloc(sizeof(Datum) * (n + 1));
	int			nlocked = 0;

	for (int i = 0; i < n; i++)
	{
		SluiceSubscription subscription;

		/* One that was dropped meanwhile has no unsettled letters either. */
		if (sluice_subscription_lock(subscriptions[i], true, &subscription) != SLUICE_SUBSCRIPTION_LOCKED)
			continue;
		sluice_subscription_check_owner(&subscription);
		if (edited)
			check_edit(subscription.stream_id);
		sluice_active_change_at_commit(subscription.id);
		locked[nlocked++] = Int32GetDatum(subscription.id);
	}
	return construct_array(locked, nlocked, INT4OID, sizeof(int32), true, TYPALIGN_INT);
}

int
sluice_subscription_letter_redrive(ArrayType *locked, int32 stream, ArrayType *ids, bytea *payload, int64 **redriven)
{
	Oid			types[] = {INT4OID, INT8ARRAYOID, BYTEAOID, TEXTOID, INT4ARRAYOID};
	Datum		values[] = {
		Int32GetDatum(stream), PointerGetDatum(ids), PointerGetDatum(payload), (Datum) 0, PointerGetDatum(locked)
	};
	char		nulls[] = {' ', ids == NULL ? 'n' : ' ', payload == NULL ? 'n' : ' ', ' ', ' ', '\0'};
	bool		isnull;
	int			n;

	begin_command();
	values[3] = caller_datum();
	n = (int) sluice_catalog_execute("WITH put_back AS (UPDATE sluice.dead_letters SET state = 'redelivery', settled_by = $4, "
									 "payload = coalesce($3, payload) WHERE state = 'open' AND subscription = ANY ($5) "
									 "AND ($1 = 0 OR stream = $1) AND ($2 IS NULL OR id = ANY ($2)) RETURNING id) "
									 "SELECT id FROM put_back ORDER BY id",
									 lengthof(types), types, values, nulls, SPI_OK_SELECT);
	*redriven = SPI_palloc(sizeof(int64) * (n + 1));
	for (int i = 0; i < n; i++)
		(*redriven)[i] = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull));
	end_command();
	return n;
}
