/*
 * subscription.c
 *		Durable subscriptions: rows of sluice.subscriptions, within one transaction.
 */
#include "postgres.h"

#include "subscription.h"

#include "active.h"
#include "catalog.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "epoch.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "stream.h"
#include "subscription_letter.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"

/* So many locks are there for the names of all subscriptions. */
#define NAME_LOCKS 1024

#define COLUMNS \
	"id, name, stream, guarantee = 'at_most_once', \"position\", epoch, coalesce(attempt_offset, 0), attempts, losses, " \
	"max_attempts, coalesce(max_losses, 0), CAST(extract(epoch FROM retry_delay) * 1000 AS integer)"

enum
{
	COL_ID = 1,
	COL_NAME,
	COL_STREAM,
	COL_AT_MOST_ONCE,
	COL_POSITION,
	COL_EPOCH,
	COL_ATTEMPT_OFFSET,
	COL_ATTEMPTS,
	COL_LOSSES,
	COL_MAX_ATTEMPTS,
	COL_MAX_LOSSES,
	COL_RETRY_DELAY
};

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

/* ---- reading ---- */

/* The first row of the result. */
static void
read_row(SluiceSubscription *subscription)
{
	HeapTuple	row = SPI_tuptable->vals[0];
	TupleDesc	desc = SPI_tuptable->tupdesc;
	bool		isnull;

#define VALUE(column) SPI_getbinval(row, desc, column, &isnull)
	memset(subscription, 0, sizeof(*subscription));
	subscription->id = DatumGetInt32(VALUE(COL_ID));
	strlcpy(subscription->name, TextDatumGetCString(VALUE(COL_NAME)), sizeof(subscription->name));
	subscription->stream_id = DatumGetInt32(VALUE(COL_STREAM));
	subscription->at_most_once = DatumGetBool(VALUE(COL_AT_MOST_ONCE));
	subscription->position = DatumGetInt64(VALUE(COL_POSITION));
	subscription->epoch = (uint64) DatumGetInt64(VALUE(COL_EPOCH));
	subscription->attempt_offset = DatumGetInt64(VALUE(COL_ATTEMPT_OFFSET));
	subscription->attempts = DatumGetInt32(VALUE(COL_ATTEMPTS));
	subscription->losses = DatumGetInt32(VALUE(COL_LOSSES));
	subscription->max_attempts = DatumGetInt32(VALUE(COL_MAX_ATTEMPTS));
	subscription->max_losses = DatumGetInt32(VALUE(COL_MAX_LOSSES));
	subscription->retry_delay = DatumGetInt32(VALUE(COL_RETRY_DELAY));
#undef VALUE
}

bool
sluice_subscription_find(const char *name, SluiceSubscription *subscription)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[] = {TEXTOID};
	Datum		values[1];
	bool		found;

	begin_command();
	values[0] = CStringGetTextDatum(name);
	found = sluice_catalog_execute_kept(&plan, "SELECT " COLUMNS " FROM sluice.subscriptions WHERE name = $1",
										1, types, values, NULL, SPI_OK_SELECT) == 1;
	if (found)
		read_row(subscription);
	end_command();
	return found;
}

SluiceSubscriptionLock
sluice_subscription_lock(int32 id, bool wait, SluiceSubscription *subscription)
{
	static SPIPlanPtr waiting = NULL;
	static SPIPlanPtr skipping = NULL;
	static SPIPlanPtr looking = NULL;
	Oid			types[] = {INT4OID};
	Datum		values[] = {Int32GetDatum(id)};
	SluiceSubscriptionLock result = SLUICE_SUBSCRIPTION_MISSING;
	uint64		n;

	begin_command();
	if (wait)
		n = sluice_catalog_execute_kept(&waiting, "SELECT " COLUMNS " FROM sluice.subscriptions WHERE id = $1 FOR UPDATE",
										1, types, values, NULL, SPI_OK_SELECT);
	else
		n = sluice_catalog_execute_kept(&skipping, "SELECT " COLUMNS " FROM sluice.subscriptions WHERE id = $1 FOR UPDATE SKIP LOCKED",
										1, types, values, NULL, SPI_OK_SELECT);
	if (n == 1)
	{
		result = SLUICE_SUBSCRIPTION_LOCKED;
		read_row(subscription);
	}
	else if (!wait && sluice_catalog_execute_kept(&looking, "SELECT id FROM sluice.subscriptions WHERE id = $1",
												  1, types, values, NULL, SPI_OK_SELECT) == 1)
		result = SLUICE_SUBSCRIPTION_BUSY;
	end_command();
	return result;
}

void
sluice_subscription_check_owner(const SluiceSubscription *subscription)
{
	SluiceStream *stream = sluice_stream_by_id(subscription->stream_id);
	Oid			types[] = {INT4OID};
	Datum		values[] = {Int32GetDatum(subscription->id)};
	Oid			owner = InvalidOid;
	bool		isnull;

	begin_command();
	if (sluice_catalog_execute("SELECT owner FROM sluice.subscriptions WHERE id = $1", 1, types, values, NULL, SPI_OK_SELECT) == 1)
		owner = DatumGetObjectId(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	end_command();
	if (!has_privs_of_role(GetUserId(), owner) && !has_privs_of_role(GetUserId(), sluice_catalog_owner()) &&
		!(stream != NULL && has_privs_of_role(GetUserId(), stream->owner)))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be owner of subscription \"%s\"", subscription->name)));
}

void
sluice_subscription_get(const char *name, SluiceSubscription *subscription)
{
	bool		found = sluice_subscription_find(name, subscription);

	if (found)
		sluice_subscription_check_owner(subscription);
	if (!found || sluice_subscription_lock(subscription->id, true, subscription) != SLUICE_SUBSCRIPTION_LOCKED)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("subscription \"%s\" does not exist", name)));
}

/* ---- making and dropping ---- */

bool
sluice_subscription_lock_name(const char *name, bool wait)
{
	LOCKTAG		tag;
	uint32		hash = hash_bytes((const unsigned char *) name, strlen(name)) % NAME_LOCKS;

	SET_LOCKTAG_OBJECT(tag, MyDatabaseId, sluice_catalog_relation("subscriptions"), hash, 0);
	return LockAcquire(&tag, AccessExclusiveLock, false, !wait) != LOCKACQUIRE_NOT_AVAIL;
}

bool
sluice_subscription_create(const char *name, int32 stream_id, int64 position,
						   bool at_most_once, SluiceSubscription *subscription)
{
	Oid			types[] = {TEXTOID, INT4OID, INT8OID, BOOLOID};
	Datum		values[lengthof(types)];
	bool		created;

	if (!sluice_stream_lock(stream_id, false, false) || !sluice_subscription_lock_name(name, false))
		return false;
	begin_command();
	values[0] = CStringGetTextDatum(name);
	values[1] = Int32GetDatum(stream_id);
	values[2] = Int64GetDatum(position);
	values[3] = BoolGetDatum(at_most_once);
	created = sluice_catalog_execute("INSERT INTO sluice.subscriptions (name, stream, \"position\", guarantee, owner) "
									 "SELECT $1, id, $3, CASE WHEN $4 THEN 'at_most_once' ELSE 'at_least_once' END, owner "
									 "FROM sluice.streams WHERE id = $2 ON CONFLICT (name) DO NOTHING RETURNING " COLUMNS,
									 lengthof(types), types, values, NULL, SPI_OK_INSERT_RETURNING) == 1;
	if (created)
		read_row(subscription);
	end_command();
	return created;
}

void
sluice_subscription_drop(SluiceSubscription *subscription, const char *reason)
{
	Oid			types[] = {INT4OID};
	Datum		values[] = {Int32GetDatum(subscription->id)};

	(void) sluice_subscription_lock_name(subscription->name, true);
	sluice_subscription_letter_discard(subscription, reason);
	begin_command();
	(void) sluice_catalog_execute("DELETE FROM sluice.subscriptions WHERE id = $1", 1, types, values, NULL, SPI_OK_DELETE);
	end_command();
	sluice_active_change_at_commit(subscription->id);
}

/* ---- changing ---- */

/* What is written beside what the struct has. */
typedef struct Beside
{
	const char *consumer;		/* of an activation; else NULL */
	bool		acknowledged;
	bool		deleted;
} Beside;

static const char update_row[] =
"UPDATE sluice.subscriptions SET \"position\" = $2, epoch = $3, attempt_offset = CASE WHEN $5 > 0 THEN $4 END, attempts = $5, "
"losses = $6, consumer = coalesce($7, consumer), started_at = CASE WHEN $7 IS NULL THEN started_at ELSE now() END, "
"last_ack_at = CASE WHEN $8 THEN now() ELSE last_ack_at END, deleted = deleted + CASE WHEN $9 THEN 1 ELSE 0 END WHERE id = $1";

static void
write_row(const SluiceSubscription *subscription, Beside beside)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[] = {INT4OID, INT8OID, INT8OID, INT8OID, INT4OID, INT4OID, TEXTOID, BOOLOID, BOOLOID};
	Datum		values[] = {
		Int32GetDatum(subscription->id), Int64GetDatum(subscription->position), Int64GetDatum((int64) subscription->epoch),
		Int64GetDatum(subscription->attempt_offset), Int32GetDatum(subscription->attempts), Int32GetDatum(subscription->losses),
		(Datum) 0, BoolGetDatum(beside.acknowledged), BoolGetDatum(beside.deleted)
	};

	begin_command();
	if (beside.consumer != NULL)
		values[6] = CStringGetTextDatum(sluice_stream_text(beside.consumer, strlen(beside.consumer)));
	if (sluice_catalog_execute_kept(&plan, update_row, lengthof(types), types, values,
									beside.consumer != NULL ? NULL : "      n  ", SPI_OK_UPDATE) != 1)
		elog(ERROR, "subscription %d is not there", subscription->id);
	end_command();
}

static void
take_epoch(SluiceSubscription *subscription)
{
	subscription->epoch = sluice_epoch_next(subscription->epoch);
}

static void
move(SluiceSubscription *subscription, int64 position)
{
	subscription->position = position;
	subscription->attempt_offset = 0;
	subscription->attempts = 0;
	subscription->losses = 0;
}

void
sluice_subscription_activate(SluiceSubscription *subscription, const char *consumer)
{
	take_epoch(subscription);
	write_row(subscription, (Beside) {.consumer = consumer});
}

void
sluice_subscription_restart(SluiceSubscription *subscription, int64 position)
{
	take_epoch(subscription);
	if (position != subscription->position)
		move(subscription, position);
	write_row(subscription, (Beside) {0});
}

void
sluice_subscription_seek(SluiceSubscription *subscription, int64 position)
{
	take_epoch(subscription);
	move(subscription, position);
	write_row(subscription, (Beside) {0});
	sluice_active_change_at_commit(subscription->id);
}

void
sluice_subscription_advance(SluiceSubscription *subscription, int64 position)
{
	if (position <= subscription->position)
		return;
	move(subscription, position);
	write_row(subscription, (Beside) {.acknowledged = true});
}

int
sluice_subscription_attempt(SluiceSubscription *subscription, int64 offset)
{
	take_epoch(subscription);
	if (subscription->attempt_offset != offset)
		subscription->attempts = 0;
	subscription->attempt_offset = offset;
	subscription->attempts++;
	write_row(subscription, (Beside) {0});
	return subscription->attempts;
}

void
sluice_subscription_bury(SluiceSubscription *subscription, int64 offset,
						 const uint8 *payload, size_t length, const char *reason)
{
	if (payload != NULL)
		sluice_subscription_letter_write(subscription, offset, payload, length, reason);
	take_epoch(subscription);
	move(subscription, offset);
	write_row(subscription, (Beside) {.deleted = payload == NULL});
}

void
sluice_subscription_lose(SluiceSubscription *subscription)
{
	subscription->losses++;
	write_row(subscription, (Beside) {0});
}
