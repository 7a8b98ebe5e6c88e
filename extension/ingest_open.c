/*
 * ingest_open.c
 *		The transaction that opens a call: its stream, and its producer's new epoch.
 *
 * Every opening of a producer takes a fresh epoch in its row, durably, before
 * the client is told anything: after that nothing of an older call can be
 * stored, as each batch's transaction compares the epoch of its call with the
 * row's.  Whether the producer may open at all is told by the nonces that it keeps
 * (one for each of its runs): that of the run which opened last must be among
 * them, else it is a copy that went its own way; and what the server has must not
 * go further than what it can have sent.
 */
#include "postgres.h"

#include "ingest.h"

#include "access.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "buckets.h"
#include "catalog.h"
#include "catalog/pg_type.h"
#include "epoch.h"
#include "executor/spi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "producers.h"
#include "refusal_message.h"
#include "standbys.h"
#include "stream.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/uuid.h"
#include "worker_transaction.h"

/* gRPC status codes, by their numbers on the wire. */
#define STATUS_NOT_FOUND 5
#define STATUS_PERMISSION_DENIED 7
#define STATUS_FAILED_PRECONDITION 9
#define STATUS_UNAVAILABLE 14

static void refuse(SluiceRefusal *refusal, int status, const char *reason, const char *format,...)
			pg_attribute_printf(4, 5);

static void
refuse(SluiceRefusal *refusal, int status, const char *reason, const char *format,...)
{
	va_list		args;

	refusal->status = status;
	refusal->reason = reason;
	va_start(args, format);
	sluice_refusal_message(refusal, format, args);
	va_end(args);
}

/* ---- the stream ---- */

static SluiceStream *
find_stream(const char *name, SluiceRefusal *refusal)
{
	SluiceStream *stream;
	char	   *server_name;

	if (!sluice_worker_installation_settle())
	{
		/* This worker is about to end, too. */
		refuse(refusal, STATUS_UNAVAILABLE, NULL, "extension pg_sluice was dropped: try again");
		return NULL;
	}
	if (!pg_verify_mbstr(PG_UTF8, name, strlen(name), true))
		name = "?";
	server_name = pg_any_to_server(name, strlen(name), PG_UTF8);
	stream = sluice_stream_by_name(server_name);
	if (stream == NULL && *name == '\0')
		refuse(refusal, STATUS_NOT_FOUND, NULL, "there is no default stream: name one in the metadata \"sluice-stream\"");
	else if (stream == NULL)
		refuse(refusal, STATUS_NOT_FOUND, NULL, "stream \"%s\" does not exist: make it with sluice.create_stream()", server_name);
	return stream;
}

/* Some of its columns, at least: which ones are wanted is known when the target is bound, for each batch. */
static bool
may_insert(const SluiceStream *stream, Oid role, SluiceRefusal *refusal)
{
	char	   *why;

	if (pg_attribute_aclcheck_all(stream->target, role, ACL_INSERT, ACLMASK_ANY) == ACLCHECK_OK)
		return true;
	why = sluice_access_insert_refusal(role, stream->target, NULL, 0);
	if (why != NULL)
		refuse(refusal, STATUS_PERMISSION_DENIED, NULL, "%s", why);
	return why == NULL;
}

/* ---- the producer ---- */

static bool
knows_nonce(const SluiceOpening *opening, uint64 nonce)
{
	for (int i = 0; i < opening->nnonces; i++)
		if (opening->nonces[i] == nonce)
			return true;
	return false;
}

/* Rules P5 c and d: they change nothing in the row. */
static bool
may_open(const SluiceOpening *opening, const SluiceProducerRow *row, SluiceRefusal *refusal)
{
	refusal->last_sequence = row->last_sequence;
	if (!knows_nonce(opening, row->nonce))
		refuse(refusal, STATUS_FAILED_PRECONDITION, "FENCED",
			   "a copy of this producer has taken its place: nothing of this one is lost, see \"sluice buffer repair --new-identity\"");
	else if ((uint64) row->last_sequence > opening->sent)
		refuse(refusal, STATUS_FAILED_PRECONDITION, "FORKED",
			   "sequence " INT64_FORMAT " is stored, but this producer has sent no more than " UINT64_FORMAT ": a copy of it did",
			   row->last_sequence, opening->sent);
	else
		return true;
	return false;
}

/* False: another worker opens the same new producer, and was faster. */
static bool
insert_row(SluiceStream *stream, const SluiceProducer *producer)
{
	Oid			types[] = {INT4OID, UUIDOID, INT8OID, INT8OID};
	Datum		values[] = {
		Int32GetDatum(stream->id), UUIDPGetDatum((pg_uuid_t *) producer->id),
		Int64GetDatum((int64) producer->nonce), Int64GetDatum((int64) producer->epoch)
	};

	return sluice_catalog_execute("INSERT INTO sluice.producers (stream, producer, last_sequence, nonce, epoch, opened_at) "
								  "VALUES ($1, $2, 0, $3, $4, now()) ON CONFLICT DO NOTHING",
								  lengthof(types), types, values, NULL, SPI_OK_INSERT) == 1;
}

static void
update_row(SluiceStream *stream, const SluiceProducer *producer)
{
	Oid			types[] = {INT4OID, UUIDOID, INT8OID, INT8OID};
	Datum		values[] = {
		Int32GetDatum(stream->id), UUIDPGetDatum((pg_uuid_t *) producer->id),
		Int64GetDatum((int64) producer->nonce), Int64GetDatum((int64) producer->epoch)
	};

	(void) sluice_catalog_execute("UPDATE sluice.producers SET nonce = $3, epoch = $4, opened_at = now(), retired = false "
								  "WHERE stream = $1 AND producer = $2", lengthof(types), types, values, NULL, SPI_OK_UPDATE);
}

/* The dead letters among what the producer does not know the verdicts of. */
static void
read_dead(SluiceStream *stream, const SluiceProducer *producer, SluiceOpening *opening)
{
	Oid			types[] = {INT4OID, UUIDOID, INT8OID, INT4OID};
	Datum		values[] = {
		Int32GetDatum(stream->id), UUIDPGetDatum((pg_uuid_t *) producer->id),
		Int64GetDatum((int64) opening->acked_through), Int32GetDatum(SLUICE_DEAD_MAX + 1)
	};
	uint64		n;
	bool		isnull;

	n = sluice_catalog_execute("SELECT sequence FROM sluice.dead_letters WHERE stream = $1 AND producer = $2 AND sequence > $3 "
							   "ORDER BY sequence LIMIT $4", lengthof(types), types, values, NULL, SPI_OK_SELECT);
	opening->more_dead = n > SLUICE_DEAD_MAX;
	opening->ndead = (int) Min(n, SLUICE_DEAD_MAX);
	for (int i = 0; i < opening->ndead; i++)
		opening->dead[i] = (uint64) DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull));
}

/* The one sign that this server is not what it was: a failover, or a backup, has cost it commits. */
static void
warn_of_lost(SluiceStream *stream, const SluiceProducer *producer, const SluiceOpening *opening, const SluiceProducerRow *row)
{
	if ((int64) opening->acked_through > row->last_sequence)
		ereport(WARNING,
				(errmsg("a producer of stream \"%s\" was told of commits that this server does not have", stream->name),
				 errdetail("Producer %s has acknowledgements up to " UINT64_FORMAT ", the server has " INT64_FORMAT ".",
						   DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum((pg_uuid_t *) producer->id))),
						   opening->acked_through, row->last_sequence)));
}

/* Its row, known to be free and ours; within SPI.  False: it is not ours after all. */
static bool
take_over(SluiceStream *stream, SluiceProducer *producer, SluiceOpening *opening, const SluiceProducerRow *row, bool is_new)
{
	producer->epoch = sluice_epoch_next(row->epoch);
	if (is_new && !insert_row(stream, producer))
		return false;
	if (!is_new)
		update_row(stream, producer);
	warn_of_lost(stream, producer, opening, row);
	opening->last_sequence = (uint64) row->last_sequence;
	opening->last_crc = row->last_crc;
	opening->last_is_gap = row->last_sequence > 0 && row->last_is_gap;
	memcpy(opening->uid, stream->uid, SLUICE_UID_SIZE);
	if (row->last_sequence > (int64) opening->acked_through)
		read_dead(stream, producer, opening);
	return true;
}

static SluiceOpenResult
open_producer(SluiceStream *stream, SluiceSender *sender, SluiceRefusal *refusal)
{
	SluiceOpening *opening = sender->opening;
	SluiceProducers producers;
	SluiceProducerRow row = {0};
	SluiceProducerLock lock;
	SluiceOpenResult result = SLUICE_OPEN_DONE;

	if (opening->has_stream_uid && memcmp(opening->stream_uid, stream->uid, SLUICE_UID_SIZE) != 0)
	{
		refuse(refusal, STATUS_FAILED_PRECONDITION, "STREAM_REPLACED",
			   "stream \"%s\" is another one than this producer has sent to: see \"sluice buffer repair --rebind\"", stream->name);
		return SLUICE_OPEN_REFUSED;
	}
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	PushActiveSnapshot(GetTransactionSnapshot());
	sluice_producers_begin(&producers);
	lock = sluice_producers_lock(&producers, stream->id, &sender->producer, &row);
	sluice_producers_end(&producers);
	if (lock == SLUICE_PRODUCER_BUSY)
		result = SLUICE_OPEN_BUSY;
	else if (lock == SLUICE_PRODUCER_LOCKED && !may_open(opening, &row, refusal))
		result = SLUICE_OPEN_REFUSED;
	else if (lock == SLUICE_PRODUCER_MISSING && stream->restored)
	{
		/* Its row may be on the way: a restore brings the streams before the producers, or after. */
		refuse(refusal, STATUS_UNAVAILABLE, NULL, "stream \"%s\" is held, new producers wait: %s", stream->name, stream->held_reason);
		result = SLUICE_OPEN_REFUSED;
	}
	else if (!take_over(stream, &sender->producer, opening, &row, lock == SLUICE_PRODUCER_MISSING))
		result = SLUICE_OPEN_BUSY;
	PopActiveSnapshot();
	if (SPI_finish() != SPI_OK_FINISH)
		elog(ERROR, "SPI_finish failed");
	return result;
}

static SluiceOpenResult
open_stream(SluiceSender *sender, SluiceRefusal *refusal)
{
	SluiceStream *stream = find_stream(sender->stream, refusal);
	int32		id;

	if (stream == NULL)
		return SLUICE_OPEN_REFUSED;
	sender->stream_id = id = stream->id;
	if (OidIsValid(sender->role) && !may_insert(stream, sender->role, refusal))
		return SLUICE_OPEN_REFUSED;
	sluice_buckets_open(sender, MyDatabaseId, id, stream->rate, stream->burst);
	if (!sender->sequenced)
		return SLUICE_OPEN_DONE;
	/* While we have the lock the stream is not dropped; it may have been just before. */
	if (!sluice_stream_lock(id, false, false))
		return SLUICE_OPEN_BUSY;
	stream = sluice_stream_by_id(id);
	if (stream == NULL)
		return SLUICE_OPEN_BUSY;
	return open_producer(stream, sender, refusal);
}

SluiceOpenResult
sluice_ingest_open(SluiceSender *sender, SluiceRefusal *refusal)
{
	MemoryContext context = CurrentMemoryContext;
	SluiceOpenResult result;
	bool		wrote;

	sluice_worker_transaction_start();
	sluice_stream_sweep();
	result = open_stream(sender, refusal);
	wrote = TransactionIdIsValid(GetTopTransactionIdIfAny());
	CommitTransactionCommand();
	MemoryContextSwitchTo(context);
	if (result == SLUICE_OPEN_DONE && wrote && !sluice_standbys_confirm(XactLastCommitEnd))
		return SLUICE_OPEN_UNCONFIRMED;
	return result;
}
