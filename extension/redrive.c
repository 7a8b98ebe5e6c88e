/*
 * redrive.c
 *		Settling dead letters: sluice.redrive() and sluice.discard().
 *
 * A redriven letter goes through the same batch code as a record from the
 * network, with its own key, so that its row and the key's new verdict come with
 * one transaction.  The letter's row is locked first and must be open still: a
 * second redrive finds nothing to do.  One of a subscription goes back to that alone.
 */
#include "postgres.h"

#include "access/xact.h"
#include "acting.h"
#include "catalog.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "ingest_sql.h"
#include "key.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "permission.h"
#include "subscription_letter.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/fmgrprotos.h"
#include "utils/uuid.h"

extern PGDLLEXPORT Datum sluice_redrive(PG_FUNCTION_ARGS);

PG_FUNCTION_INFO_V1(sluice_redrive);
extern PGDLLEXPORT Datum sluice_discard(PG_FUNCTION_ARGS);

PG_FUNCTION_INFO_V1(sluice_discard);

/* So many letters are read and tried at a time. */
#define CHUNK "1000"

typedef struct Letters
{
	int			n;
	int64	   *ids;
	int32	   *streams;
	SluiceRecord *records;
} Letters;

/* Columns of the query below. */
enum
{
	COL_ID = 1,
	COL_STREAM,
	COL_KEY,
	COL_KEY_TEXT,
	COL_PAYLOAD,
	COL_RECEIVED_AT,
	COL_ADDRESS,
	COL_PRODUCER,
	COL_SEQUENCE
};

static const char select_letters[] =
	"SELECT id, stream, key, key_text, payload, received_at, client_address, producer, sequence FROM sluice.dead_letters "
	"WHERE state = 'open' AND subscription IS NULL AND ($1 IS NULL OR stream = $1) AND ($2 IS NULL OR id = ANY ($2)) AND id > $3 "
	"ORDER BY id LIMIT " CHUNK " FOR UPDATE";

static void
letter_record(HeapTuple row, TupleDesc desc, SluiceRecord *record)
{
	SluiceSender *sender = palloc0(sizeof(SluiceSender));
	Datum		value;
	bool		isnull;

	memset(record, 0, sizeof(*record));
	record->sender = sender;
	sender->stream = "";
	value = SPI_getbinval(row, desc, COL_ADDRESS, &isnull);
	sender->address = isnull ? "" : TextDatumGetCString(value);
	/* For envelope columns only: the producer's account was settled with the letter. */
	value = SPI_getbinval(row, desc, COL_PRODUCER, &isnull);
	if (!isnull)
	{
		memcpy(sender->producer.id, DatumGetUUIDP(value)->data, SLUICE_PRODUCER_SIZE);
		record->sequence = DatumGetInt64(SPI_getbinval(row, desc, COL_SEQUENCE, &isnull));
	}
	record->received_at = DatumGetTimestampTz(SPI_getbinval(row, desc, COL_RECEIVED_AT, &isnull)) + SLUICE_EPOCH_OFFSET;
	record->key_text = "";
	record->payload = (const uint8_t *) "";
	value = SPI_getbinval(row, desc, COL_PAYLOAD, &isnull);
	record->has_payload = !isnull;
	if (!isnull)
	{
		bytea	   *payload = DatumGetByteaPCopy(value);

		record->payload = (const uint8_t *) VARDATA(payload);
		record->payload_length = VARSIZE(payload) - VARHDRSZ;
	}
	value = SPI_getbinval(row, desc, COL_KEY, &isnull);
	if (isnull)
		return;
	memcpy(record->key, DatumGetUUIDP(value)->data, SLUICE_KEY_SIZE);
	record->key_text = DatumGetCString(DirectFunctionCall1(uuid_out, value));
	value = SPI_getbinval(row, desc, COL_KEY_TEXT, &isnull);
	if (!isnull)
	{
		char	   *sent = TextDatumGetCString(value);

		record->key_text = pg_server_to_any(sent, strlen(sent), PG_UTF8);
	}
	record->key_length = strlen(record->key_text);
}

/* The next letters, locked.  In the current memory context. */
static Letters
read_letters(int32 stream, bool any_stream, ArrayType *ids, int64 after)
{
	MemoryContext context = CurrentMemoryContext;
	Oid			types[] = {INT4OID, INT8ARRAYOID, INT8OID};
	Datum		values[] = {Int32GetDatum(stream), PointerGetDatum(ids), Int64GetDatum(after)};
	char		nulls[] = {any_stream ? 'n' : ' ', ids == NULL ? 'n' : ' ', ' ', '\0'};
	Letters		letters;
	bool		isnull;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	letters.n = (int) sluice_catalog_execute(select_letters, 3, types, values, nulls, SPI_OK_SELECT);
	MemoryContextSwitchTo(context);
	letters.ids = palloc(sizeof(int64) * (letters.n + 1));
	letters.streams = palloc(sizeof(int32) * (letters.n + 1));
	letters.records = palloc(sizeof(SluiceRecord) * (letters.n + 1));
	for (int i = 0; i < letters.n; i++)
	{
		HeapTuple	row = SPI_tuptable->vals[i];

		letters.ids[i] = DatumGetInt64(SPI_getbinval(row, SPI_tuptable->tupdesc, COL_ID, &isnull));
		letters.streams[i] = DatumGetInt32(SPI_getbinval(row, SPI_tuptable->tupdesc, COL_STREAM, &isnull));
		letter_record(row, SPI_tuptable->tupdesc, &letters.records[i]);
	}
	if (SPI_finish() != SPI_OK_FINISH)
		elog(ERROR, "SPI_finish failed");
	return letters;
}

static void
settle_letter(int64 id, const char *state, const char *reason)
{
	Oid			types[] = {INT8OID, TEXTOID, TEXTOID, TEXTOID};
	Datum		values[] = {
		Int64GetDatum(id), CStringGetTextDatum(state),
		CStringGetTextDatum(GetUserNameFromId(GetUserId(), false)),
		reason != NULL ? CStringGetTextDatum(reason) : (Datum) 0
	};

	(void) sluice_catalog_execute("UPDATE sluice.dead_letters SET state = $2, settled_at = now(), settled_by = $3, "
								  "settle_reason = $4 WHERE id = $1",
								  4, types, values, reason != NULL ? NULL : "   n", SPI_OK_UPDATE);
}

/* Refused again: open still, with the reason of now. */
static void
update_reason(int64 id, const SluiceReason *reason)
{
	Oid			types[] = {INT8OID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID};
	const char *texts[] = {NULL, reason->sqlstate, reason->message, reason->detail, reason->hint, reason->context, reason->constraint};
	Datum		values[lengthof(types)];
	char		nulls[lengthof(types) + 1];

	values[0] = Int64GetDatum(id);
	nulls[0] = ' ';
	for (int i = 1; i < lengthof(types); i++)
	{
		nulls[i] = texts[i] == NULL ? 'n' : ' ';
		values[i] = texts[i] == NULL ? (Datum) 0 : CStringGetTextDatum(texts[i]);
	}
	nulls[lengthof(types)] = '\0';
	(void) sluice_catalog_execute("UPDATE sluice.dead_letters SET sqlstate = $2, message = $3, detail = $4, hint = $5, "
								  "context = $6, constraint_name = $7 WHERE id = $1",
								  lengthof(types), types, values, nulls, SPI_OK_UPDATE);
}

static void
record_outcome(int64 id, const SluiceItem *item)
{
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	PushActiveSnapshot(GetTransactionSnapshot());
	switch (item->verdict)
	{
		case SLUICE_STORED:
		case SLUICE_FILTERED:
			settle_letter(id, "redriven", NULL);
			break;
		case SLUICE_DUPLICATE:
			settle_letter(id, "duplicate", NULL);
			break;
		default:
			if (item->reason != NULL)
				update_reason(id, item->reason);
			break;
	}
	PopActiveSnapshot();
	if (SPI_finish() != SPI_OK_FINISH)
		elog(ERROR, "SPI_finish failed");
}

static void
return_verdict(ReturnSetInfo *result, int64 id, const char *verdict)
{
	Datum		values[2] = {Int64GetDatum(id), CStringGetTextDatum(verdict)};
	bool		nulls[2] = {false, false};

	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/*
 * A redrive is the stream's owner's act, whoever calls for it: a superuser who
 * mends things must not run the code of a table's owner as himself.
 */
static void
check_may_settle(int32 id, bool edited)
{
	SluiceStream *stream = sluice_stream_by_id(id);

	if (stream == NULL && !sluice_permission_administers(InvalidOid))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be a member of role \"%s\" to settle dead letters of a stream that is gone", SLUICE_ADMIN_ROLE)));
	if (stream == NULL)
		return;
	sluice_permission_check_administrator(stream);
	if (edited)
		sluice_permission_check_edit(stream);
}

static void
check_path(int32 id)
{
	SluiceStream *stream = sluice_stream_by_id(id);

	if (stream != NULL)
		sluice_acting_check_path(stream->owner);
}

/* The letters of one stream among those read, in order of their ids. */
static void
redrive_stream(ReturnSetInfo *result, Letters *letters, int32 stream, bool edited)
{
	SluiceRecord **records = palloc(sizeof(SluiceRecord *) * letters->n);
	int64	   *ids = palloc(sizeof(int64) * letters->n);
	SluiceItem *items = palloc(sizeof(SluiceItem) * letters->n);
	int			n = 0;

	for (int i = 0; i < letters->n; i++)
		if (letters->streams[i] == stream)
		{
			ids[n] = letters->ids[i];
			records[n++] = &letters->records[i];
		}
	check_may_settle(stream, edited);
	check_path(stream);
	sluice_ingest_sql_run(stream, records, n, true, items);
	for (int i = 0; i < n; i++)
	{
		record_outcome(ids[i], &items[i]);
		return_verdict(result, ids[i], sluice_ingest_sql_verdict(&items[i]));
	}
}

static void
redrive_letters(ReturnSetInfo *result, Letters *letters, bool edited)
{
	for (int i = 0; i < letters->n; i++)
	{
		bool		seen = false;

		for (int k = 0; k < i && !seen; k++)
			seen = letters->streams[k] == letters->streams[i];
		if (!seen)
			redrive_stream(result, letters, letters->streams[i], edited);
	}
}

/* An edited payload replaces that of the single letter. */
static void
edit_payload(Letters *letters, bytea *payload)
{
	for (int i = 0; i < letters->n; i++)
	{
		letters->records[i].payload = (const uint8_t *) VARDATA_ANY(payload);
		letters->records[i].payload_length = VARSIZE_ANY_EXHDR(payload);
		letters->records[i].has_payload = true;
	}
}

/* The key is known already, and may be no hash of its text. */
static void
hash_payloads(Letters *letters)
{
	for (int i = 0; i < letters->n; i++)
	{
		SluiceRecord *record = &letters->records[i];

		record->payload_hash = sluice_key_payload_hash(record->payload, record->payload_length);
		record->keyed = true;
	}
}

/* Their consumers get them when this commits. */
static void
redrive_subscriptions(ReturnSetInfo *result, int32 stream, ArrayType *ids, bytea *payload)
{
	ArrayType  *locked = sluice_subscription_letter_lock(stream, ids, payload != NULL);
	int64	   *redriven;
	int			n = sluice_subscription_letter_redrive(locked, stream, ids, payload, &redriven);

	for (int i = 0; i < n; i++)
		return_verdict(result, redriven[i], "redelivery");
}

Datum
sluice_redrive(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	ArrayType  *ids = PG_ARGISNULL(1) ? NULL : PG_GETARG_ARRAYTYPE_P(1);
	bytea	   *payload = PG_ARGISNULL(2) ? NULL : PG_GETARG_BYTEA_PP(2);
	int32		stream = PG_ARGISNULL(0) ? 0 : sluice_stream_get(text_to_cstring(PG_GETARG_TEXT_PP(0)))->id;
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "sluice redrive", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old;
	int64		after = 0;

	InitMaterializedSRF(fcinfo, 0);
	if (payload != NULL && (ids == NULL || ArrayGetNItems(ARR_NDIM(ids), ARR_DIMS(ids)) != 1))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a payload replaces that of a single dead letter"),
				 errhint("Name it: ids => ARRAY[id].")));
	old = MemoryContextSwitchTo(context);
	redrive_subscriptions(result, stream, ids, payload);
	for (;;)
	{
		Letters		letters = read_letters(stream, PG_ARGISNULL(0), ids, after);

		if (letters.n == 0)
			break;
		after = letters.ids[letters.n - 1];
		if (payload != NULL)
			edit_payload(&letters, payload);
		hash_payloads(&letters);
		redrive_letters(result, &letters, payload != NULL);
		MemoryContextReset(context);
	}
	MemoryContextSwitchTo(old);
	return (Datum) 0;
}

/*
 * The caller must administer all streams whose open letters are named; subscriptions: see there.
 * Returns the streams: letters of others that come up meanwhile are to be left alone.  Within SPI.
 */
static ArrayType *
check_streams(Datum ids)
{
	Oid			types[] = {INT8ARRAYOID};
	uint64		n = sluice_catalog_execute("SELECT DISTINCT stream FROM sluice.dead_letters "
										   "WHERE id = ANY ($1) AND state = 'open' AND subscription IS NULL",
										   1, types, &ids, NULL, SPI_OK_SELECT);
	SPITupleTable *streams = SPI_tuptable;
	Datum	   *checked = palloc(sizeof(Datum) * (n + 1));
	bool		isnull;

	for (uint64 i = 0; i < n; i++)
	{
		checked[i] = SPI_getbinval(streams->vals[i], streams->tupdesc, 1, &isnull);
		check_may_settle(DatumGetInt32(checked[i]), false);
	}
	return construct_array(checked, (int) n, INT4OID, sizeof(int32), true, TYPALIGN_INT);
}

Datum
sluice_discard(PG_FUNCTION_ARGS)
{
	Oid			types[] = {INT8ARRAYOID, TEXTOID, TEXTOID, INT4ARRAYOID, INT4ARRAYOID};
	Datum		values[] = {
		PG_GETARG_DATUM(0), PG_GETARG_DATUM(1),
		CStringGetTextDatum(GetUserNameFromId(GetUserId(), false)),
		PointerGetDatum(sluice_subscription_letter_lock(0, PG_GETARG_ARRAYTYPE_P(0), false)),
		(Datum) 0
	};
	uint64		n;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	values[4] = PointerGetDatum(check_streams(values[0]));
	n = sluice_catalog_execute("UPDATE sluice.dead_letters SET state = 'discarded', settled_at = now(), settled_by = $3, "
							   "settle_reason = $2 WHERE id = ANY ($1) AND state IN ('open', 'redelivery') "
							   "AND CASE WHEN subscription IS NULL THEN stream = ANY ($5) ELSE subscription = ANY ($4) END",
							   lengthof(types), types, values, NULL, SPI_OK_UPDATE);
	if (SPI_finish() != SPI_OK_FINISH)
		elog(ERROR, "SPI_finish failed");
	PG_RETURN_INT64((int64) n);
}
