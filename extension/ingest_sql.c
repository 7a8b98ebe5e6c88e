/*
 * ingest_sql.c
 *		sluice.ingest(): the ingest transaction within the caller's own.
 *
 * Records act as the caller, and what waits in the worker's queue waits here
 * for locks and keys, as any statement would.
 */
#include "postgres.h"

#include "ingest_sql.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "common/ip.h"
#include "fmgr.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "permission.h"
#include "utils/array.h"
#include "utils/backend_status.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/timestamp.h"

extern PGDLLEXPORT Datum sluice_ingest(PG_FUNCTION_ARGS);

PG_FUNCTION_INFO_V1(sluice_ingest);
extern PGDLLEXPORT Datum sluice_ingest_array(PG_FUNCTION_ARGS);

PG_FUNCTION_INFO_V1(sluice_ingest_array);

/* So many batches more look their keys up after one that met known ones. */
#define PROBING_BATCHES 16

/* So many key conflicts in a row are no race any more. */
#define MAX_CONFLICTS 20

/* Run the batch in a subtransaction.  False: a key was there; it is undone. */
static bool
run_once(SluiceBatch *batch)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	bool		done = false;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		done = sluice_batch_run(batch);
		if (done)
			ReleaseCurrentSubTransaction();
		else
			RollbackAndReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData  *error;

		/* The caller's transaction must not be left within ours. */
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
		ReThrowError(error);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return done;
}

static void
check_hold(const SluiceShare *share)
{
	if (share->hold == SLUICE_HOLD_GONE)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("stream %d was dropped", share->stream_id)));
	if (share->hold != SLUICE_HOLD_NONE)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("stream \"%s\" is held: %s", share->stream->name, share->stream->held_reason),
				 errhint("sluice.resume() lets it go on.")));
}

static void
run_round(SluiceBatch *batch)
{
	/* As in the worker: new keys are the rule, so try; where one is known, look them up for a while. */
	static int	probing = 0;
	int			tries = 0;

	/* A redriven key is known as a rule. */
	batch->probe = probing > 0 || batch->redrive;
	while (!run_once(batch))
	{
		CHECK_FOR_INTERRUPTS();
		if (++tries > MAX_CONFLICTS)
			ereport(ERROR,
					(errcode(ERRCODE_TRIGGERED_DATA_CHANGE_VIOLATION),
					 errmsg("a trigger stores idempotency keys of its own batch"),
					 errhint("Ingest the records one by one.")));
		batch->probe = true;
		probing = PROBING_BATCHES;
	}
	if (batch->known > 0)
		probing = PROBING_BATCHES;
	else if (probing > 0)
		probing--;
	check_hold(&batch->shares[0]);
}

void
sluice_ingest_sql_run(int32 stream_id, SluiceRecord **records, int n, bool redrive, SluiceItem *settled)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "sluice batch", ALLOCSET_DEFAULT_SIZES);
	SluiceRecord **left = MemoryContextAllocHuge(context, sizeof(SluiceRecord *) * (n + 1));
	int		   *places = MemoryContextAllocHuge(context, sizeof(int) * (n + 1));
	int			nleft = n;

	memcpy(left, records, sizeof(SluiceRecord *) * n);
	for (int i = 0; i < n; i++)
		places[i] = i;
	/* A key's second payload waits for the verdict of the first: another round. */
	while (nleft > 0)
	{
		SluiceShare share = {0};
		SluiceBatch batch = {.from_sql = true,.careful = true,.redrive = redrive,.context = context};
		int			pending = 0;

		batch.shares = &share;
		batch.nshares = 1;
		sluice_batch_add(&batch, &share, stream_id, left, nleft, NULL);
		run_round(&batch);
		sluice_batch_count(&batch);
		for (int i = 0; i < nleft; i++)
		{
			settled[places[i]] = share.items[i];
			if (share.items[i].verdict != SLUICE_PENDING)
				continue;
			places[pending] = places[i];
			left[pending++] = left[i];
		}
		nleft = pending;
	}
}

const char *
sluice_ingest_sql_verdict(const SluiceItem *item)
{
	switch (item->verdict)
	{
		case SLUICE_STORED:
			return "stored";
		case SLUICE_DUPLICATE:
			return "duplicate";
		case SLUICE_DEAD_LETTERED:
			return "dead_lettered";
		case SLUICE_FILTERED:
			return "filtered";
		default:
			elog(ERROR, "unexpected verdict %d", (int) item->verdict);
	}
}

/* Where the session comes from, as pg_stat_activity has it; "" for a local one. */
static char *
client_address(void)
{
	char		host[NI_MAXHOST];
	char		port[NI_MAXSERV];
	SockAddr   *address = &MyBEEntry->st_clientaddr;

	if (MyBEEntry == NULL || (address->addr.ss_family != AF_INET && address->addr.ss_family != AF_INET6) ||
		pg_getnameinfo_all(&address->addr, address->salen, host, sizeof(host), port, sizeof(port),
						   NI_NUMERICHOST | NI_NUMERICSERV) != 0)
		return "";
	return psprintf(address->addr.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
}

/* The caller's side of the envelope. */
static SluiceSender *
make_sender(const char *stream)
{
	SluiceSender *sender = palloc0(sizeof(SluiceSender));

	sender->stream = pstrdup(stream);
	sender->address = client_address();
	return sender;
}

static void
fill_record(SluiceRecord *record, SluiceSender *sender, text *key, bytea *payload)
{
	memset(record, 0, sizeof(*record));
	record->sender = sender;
	record->received_at = GetCurrentTimestamp() + SLUICE_EPOCH_OFFSET;
	record->key_text = "";
	record->payload = (const uint8_t *) "";
	if (key != NULL)
	{
		/* Keys are compared with those from the network: as UTF-8. */
		char	   *utf8 = pg_server_to_any(VARDATA_ANY(key), VARSIZE_ANY_EXHDR(key), PG_UTF8);

		record->key_text = utf8;
		record->key_length = utf8 == VARDATA_ANY(key) ? VARSIZE_ANY_EXHDR(key) : strlen(utf8);
	}
	if (payload != NULL)
	{
		record->payload = (const uint8_t *) VARDATA_ANY(payload);
		record->payload_length = VARSIZE_ANY_EXHDR(payload);
		record->has_payload = true;
	}
}

/*
 * The stream that the caller may store something in, whatever becomes of its records:
 * known keys and dead letters never come to the target, which would refuse the caller.
 */
static SluiceStream *
get_stream(const char *name)
{
	SluiceStream *stream = sluice_stream_get(name);

	sluice_permission_check_insert(stream);
	return stream;
}

Datum
sluice_ingest(PG_FUNCTION_ARGS)
{
	char	   *name = PG_ARGISNULL(0) ? "" : text_to_cstring(PG_GETARG_TEXT_PP(0));
	SluiceStream *stream = get_stream(name);
	SluiceRecord record;
	SluiceRecord *records = &record;
	SluiceItem	item;

	fill_record(&record, make_sender(stream->name), PG_ARGISNULL(1) ? NULL : PG_GETARG_TEXT_PP(1),
				PG_ARGISNULL(2) ? NULL : PG_GETARG_BYTEA_PP(2));
	sluice_ingest_sql_run(stream->id, &records, 1, false, &item);
	PG_RETURN_TEXT_P(cstring_to_text(sluice_ingest_sql_verdict(&item)));
}

static SluiceRecord **
records_from_arrays(SluiceSender *sender, ArrayType *keys, ArrayType *payloads, int *n)
{
	Datum	   *key_values;
	Datum	   *payload_values;
	bool	   *key_nulls;
	bool	   *payload_nulls;
	int			npayloads;
	SluiceRecord *records;
	SluiceRecord **pointers;

	deconstruct_array(keys, TEXTOID, -1, false, TYPALIGN_INT, &key_values, &key_nulls, n);
	deconstruct_array(payloads, BYTEAOID, -1, false, TYPALIGN_INT, &payload_values, &payload_nulls, &npayloads);
	if (*n != npayloads)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("there are %d idempotency keys for %d payloads", *n, npayloads)));
	records = palloc_extended(sizeof(SluiceRecord) * (*n + 1), MCXT_ALLOC_HUGE);
	pointers = palloc_extended(sizeof(SluiceRecord *) * (*n + 1), MCXT_ALLOC_HUGE);
	for (int i = 0; i < *n; i++)
	{
		fill_record(&records[i], sender, key_nulls[i] ? NULL : DatumGetTextPP(key_values[i]),
					payload_nulls[i] ? NULL : DatumGetByteaPP(payload_values[i]));
		pointers[i] = &records[i];
	}
	return pointers;
}

Datum
sluice_ingest_array(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	char	   *name = PG_ARGISNULL(0) ? "" : text_to_cstring(PG_GETARG_TEXT_PP(0));
	SluiceStream *stream;
	SluiceRecord **records;
	SluiceItem *items;
	int			n;

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	if (PG_ARGISNULL(1) || PG_ARGISNULL(2))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("idempotency keys and payloads must not be null")));
	stream = get_stream(name);
	records = records_from_arrays(make_sender(stream->name), PG_GETARG_ARRAYTYPE_P(1), PG_GETARG_ARRAYTYPE_P(2), &n);
	items = palloc_extended(sizeof(SluiceItem) * (n + 1), MCXT_ALLOC_HUGE);
	sluice_ingest_sql_run(stream->id, records, n, false, items);
	for (int i = 0; i < n; i++)
	{
		Datum		value = CStringGetTextDatum(sluice_ingest_sql_verdict(&items[i]));
		bool		null = false;

		tuplestore_putvalues(result->setResult, result->setDesc, &value, &null);
		pfree(DatumGetPointer(value));
	}
	return (Datum) 0;
}
