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
#include "permission.h"
#include "storage/lock.h"
#include "stream.h"
#include "subscription_letter.h"
#include "subscription_row.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"

/* So many locks are there for the names of all subscriptions. */
#define NAME_LOCKS 1024

#define COLUMNS \
	"id, name, stream, guarantee = 'at_most_once', \"position\", epoch, coalesce(attempt_offset, 0), attempts, losses, " \
	"max_attempts, coalesce(max_losses, 0), CAST(extract(epoch FROM retry_delay) * 1000 AS integer), ctid"

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
	COL_RETRY_DELAY,
	COL_PLACE
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
	sluice_subscription_row_remember(subscription->id, (ItemPointer) DatumGetPointer(VALUE(COL_PLACE)));
#undef VALUE
}

/*
 * SELECT of the row by a key ($1), of the given type: where it was seen last, then
 * by the key's index.  plans are two.
 */
static bool
select_row(SPIPlanPtr *plans, const char *at_place, const char *by_index, Oid type, Datum key, ItemPointer place)
{
	Oid			types[] = {type, TIDOID};
	Datum		values[] = {key, PointerGetDatum(place)};

	return (place != NULL && sluice_catalog_execute_kept(&plans[0], at_place, 2, types, values, NULL, SPI_OK_SELECT) == 1) ||
		sluice_catalog_execute_kept(&plans[1], by_index, 1, types, values, NULL, SPI_OK_SELECT) == 1;
}

bool
sluice_subscription_find(const char *name, SluiceSubscription *subscription)
{
	static SPIPlanPtr plans[2] = {NULL, NULL};
	static char last_name[SLUICE_SUBSCRIPTION_NAME_SIZE];
	static int32 last_id = 0;
	ItemPointerData place;
	bool		known = strcmp(name, last_name) == 0 && sluice_subscription_row_place(last_id, &place);
	bool		found;

	begin_command();
	found = select_row(plans, "SELECT " COLUMNS " FROM sluice.subscriptions WHERE ctid = $2 AND name = $1",
					   "SELECT " COLUMNS " FROM sluice.subscriptions WHERE name = $1",
					   TEXTOID, CStringGetTextDatum(name), known ? &place : NULL);
	if (found)
	{
		read_row(subscription);
		strlcpy(last_name, subscription->name, sizeof(last_name));
		last_id = subscription->id;
	}
	end_command();
	return found;
}

SluiceSubscriptionLock
sluice_subscription_lock(int32 id, bool wait, SluiceSubscription *subscription)
{
	static SPIPlanPtr waiting[2] = {NULL, NULL};
	static SPIPlanPtr skipping[2] = {NULL, NULL};
	static SPIPlanPtr looking = NULL;
	Oid			types[] = {INT4OID};
	Datum		values[] = {Int32GetDatum(id)};
	SluiceSubscriptionLock result = SLUICE_SUBSCRIPTION_MISSING;
	ItemPointerData place;
	bool		known = sluice_subscription_row_place(id, &place);
	bool		locked;

	begin_command();
	if (wait)
		locked = select_row(waiting, "SELECT " COLUMNS " FROM sluice.subscriptions WHERE ctid = $2 AND id = $1 FOR UPDATE",
							"SELECT " COLUMNS " FROM sluice.subscriptions WHERE id = $1 FOR UPDATE",
							INT4OID, values[0], known ? &place : NULL);
	else
		locked = select_row(skipping, "SELECT " COLUMNS " FROM sluice.subscriptions WHERE ctid = $2 AND id = $1 FOR UPDATE SKIP LOCKED",
							"SELECT " COLUMNS " FROM sluice.subscriptions WHERE id = $1 FOR UPDATE SKIP LOCKED",
							INT4OID, values[0], known ? &place : NULL);
	if (locked)
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

bool
sluice_subscription_permits(const SluiceSubscription *subscription, Oid role)
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
	return sluice_permission_role_administers(role, owner) ||
		(stream != NULL && sluice_permission_role_administers(role, stream->owner));
}

void
sluice_subscription_check_owner(const SluiceSubscription *subscription)
{
	if (!sluice_subscription_permits(subscription, GetUserId()))
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
						   bool at_most_once, Oid owner, SluiceSubscription *subscription)
{
	Oid			types[] = {TEXTOID, INT4OID, INT8OID, BOOLOID, OIDOID};
	Datum		values[lengthof(types)];
	bool		created;

	if (!sluice_stream_lock(stream_id, false, false) || !sluice_subscription_lock_name(name, false))
		return false;
	begin_command();
	values[0] = CStringGetTextDatum(name);
	values[1] = Int32GetDatum(stream_id);
	values[2] = Int64GetDatum(position);
	values[3] = BoolGetDatum(at_most_once);
	values[4] = ObjectIdGetDatum(owner);
	created = sluice_catalog_execute("INSERT INTO sluice.subscriptions (name, stream, \"position\", guarantee, owner) "
									 "SELECT $1, id, $3, CASE WHEN $4 THEN 'at_most_once' ELSE 'at_least_once' END, "
									 "CASE WHEN $5 = 0 THEN owner ELSE $5::regrole END "
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
	sluice_subscription_row_update(subscription, (SluiceSubscriptionChange) {.consumer = consumer});
}

void
sluice_subscription_restart(SluiceSubscription *subscription, int64 position)
{
	take_epoch(subscription);
	if (position != subscription->position)
		move(subscription, position);
	sluice_subscription_row_update(subscription, (SluiceSubscriptionChange) {0});
}

void
sluice_subscription_place(SluiceSubscription *subscription, int64 position)
{
	if (position == subscription->position)
		return;
	move(subscription, position);
	sluice_subscription_row_update(subscription, (SluiceSubscriptionChange) {0});
}

void
sluice_subscription_seek(SluiceSubscription *subscription, int64 position)
{
	take_epoch(subscription);
	move(subscription, position);
	sluice_subscription_row_update(subscription, (SluiceSubscriptionChange) {0});
	sluice_active_change_at_commit(subscription->id);
}

void
sluice_subscription_advance(SluiceSubscription *subscription, int64 position)
{
	if (position <= subscription->position)
		return;
	move(subscription, position);
	sluice_subscription_row_update(subscription, (SluiceSubscriptionChange) {.acknowledged = true});
}

int
sluice_subscription_attempt(SluiceSubscription *subscription, int64 offset)
{
	take_epoch(subscription);
	if (subscription->attempt_offset != offset)
		subscription->attempts = 0;
	subscription->attempt_offset = offset;
	subscription->attempts++;
	sluice_subscription_row_update(subscription, (SluiceSubscriptionChange) {0});
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
	sluice_subscription_row_update(subscription, (SluiceSubscriptionChange) {.deleted = payload == NULL});
}

void
sluice_subscription_lose(SluiceSubscription *subscription)
{
	subscription->losses++;
	sluice_subscription_row_update(subscription, (SluiceSubscriptionChange) {0});
}
