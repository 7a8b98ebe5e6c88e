/*
 * batch.c
 *		Records of several streams through the steps of the ingest transaction.
 */
#include "postgres.h"

#include "batch.h"

#include "access.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog.h"
#include "dead_letter.h"
#include "isolate.h"
#include "key.h"
#include "storage/lmgr.h"
#include "tally.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"

/* Once a record, however often it is tried.  Within the transaction: hashing takes resources. */
static void
make_key(SluiceRecord *record)
{
	if (record->keyed)
		return;
	sluice_key_make(record->key_text, record->key_length, record->key);
	record->payload_hash = sluice_key_payload_hash(record->payload, record->payload_length);
	record->keyed = true;
}

void
sluice_batch_add(SluiceBatch *batch, SluiceShare *share, int32 stream_id,
				 SluiceRecord **records, int n, SluiceGroup *group)
{
	share->stream_id = stream_id;
	share->group = group;
	share->role = group != NULL ? group->role : InvalidOid;
	share->items = MemoryContextAllocHuge(batch->context, sizeof(SluiceItem) * (n + 1));
	share->nitems = n;
	for (int i = 0; i < n; i++)
		share->items[i] = (SluiceItem) {.record = records[i],.share = share,.has_key = records[i]->key_length > 0};
}

/*
 * 1. resolve
 */

static void
hold_share(SluiceShare *share, SluiceHold hold, const char *message)
{
	share->hold = hold;
	if (share->group != NULL)
	{
		share->group->hold = hold;
		strlcpy(share->group->message, message, sizeof(share->group->message));
	}
}

/* Lock stream and target.  In the worker without waiting: nobody's lock may hold the other streams. */
static bool
lock_share(SluiceBatch *batch, SluiceShare *share)
{
	if (OidIsValid(batch->installation) && batch->installation != sluice_catalog_find("streams"))
	{
		/* The ids of another installation may mean other streams. */
		hold_share(share, SLUICE_HOLD_GONE, "the extension was dropped");
		return false;
	}
	if (!sluice_stream_lock(share->stream_id, false, batch->from_sql))
	{
		hold_share(share, SLUICE_HOLD_LOCKED, "the stream is being changed");
		return false;
	}
	share->stream = sluice_stream_by_id(share->stream_id);
	if (share->stream == NULL)
	{
		hold_share(share, SLUICE_HOLD_GONE, "the stream was dropped");
		return false;
	}
	if (share->stream->held_reason != NULL)
	{
		hold_share(share, SLUICE_HOLD_PAUSED, share->stream->held_reason);
		return false;
	}
	if (batch->from_sql)
		LockRelationOid(share->stream->target, RowExclusiveLock);
	else if (!ConditionalLockRelationOid(share->stream->target, RowExclusiveLock))
	{
		hold_share(share, SLUICE_HOLD_LOCKED, "the target is locked by another transaction");
		return false;
	}
	return true;
}

/* May the clients still put rows into the target?  Asked for each batch: what was revoked, or who was locked out, ends here. */
static bool
may_store(SluiceShare *share, const SluiceTarget *target)
{
	AttrNumber *columns = palloc(sizeof(AttrNumber) * target->nfields);
	char	   *refusal;

	for (int i = 0; i < target->nfields; i++)
		columns[i] = target->fields[i].attnum;
	if (sluice_access_standing(share->role) != SLUICE_STANDING_GOOD)
		refusal = "the role may not log in to this database any more";
	else
		refusal = sluice_access_insert_refusal(share->role, target->relid, columns, target->nfields);
	if (refusal != NULL)
		hold_share(share, SLUICE_HOLD_DENIED, refusal);
	return refusal == NULL;
}

static void
resolve_share(SluiceBatch *batch, SluiceShare *share)
{
	SluiceTarget *target;
	Relation	rel;

	share->hold = SLUICE_HOLD_NONE;
	share->ready = false;
	share->conflicts = 0;
	if (!lock_share(batch, share))
		return;
	rel = try_table_open(share->stream->target, NoLock);
	if (rel == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("the target of stream \"%s\" does not exist", share->stream->name),
				 errhint("Bind the stream to another table with sluice.alter_stream(), or drop it.")));
	target = sluice_target_bind(share->stream, rel);
	table_close(rel, NoLock);
	share->ready = !OidIsValid(share->role) || may_store(share, target);
}

SluiceHold
sluice_batch_hold_for(const ErrorData *error, Oid role)
{
	/* What the target needs beside: a sequence, a function of a trigger. */
	return OidIsValid(role) && error->sqlerrcode == ERRCODE_INSUFFICIENT_PRIVILEGE ? SLUICE_HOLD_DENIED : SLUICE_HOLD_ERROR;
}

/*
 * Run a step for one share.  In a careful batch of the worker an error holds the
 * share's stream and leaves the others alone.
 */
static bool
run_confined(SluiceBatch *batch, SluiceShare *share, void (*step) (SluiceBatch *, SluiceShare *))
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	volatile bool done = false;

	if (batch->from_sql || !batch->careful)
	{
		step(batch, share);
		return true;
	}
	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		step(batch, share);
		ReleaseCurrentSubTransaction();
		done = true;
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(batch->context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		hold_share(share, sluice_batch_hold_for(error, share->role), error->message);
		strlcpy(share->group->sqlstate, unpack_sql_state(error->sqlerrcode), sizeof(share->group->sqlstate));
		share->ready = false;
		for (int i = 0; i < share->nitems; i++)
			share->items[i].verdict = SLUICE_PENDING;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return done;
}

/*
 * 3. know
 */

static int
compare_items(const void *a, const void *b)
{
	const SluiceItem *x = *(SluiceItem *const *) a;
	const SluiceItem *y = *(SluiceItem *const *) b;
	int			order = memcmp(x->record->key, y->record->key, SLUICE_KEY_SIZE);

	if (order == 0)
		order = (x->share->stream_id > y->share->stream_id) - (x->share->stream_id < y->share->stream_id);
	return order != 0 ? order : (x > y) - (x < y);	/* then by arrival, within a share, whose items are one array */
}

static bool
same_key(const SluiceItem *x, const SluiceItem *y)
{
	return x->share->stream_id == y->share->stream_id && memcmp(x->record->key, y->record->key, SLUICE_KEY_SIZE) == 0;
}

static bool
same_payload(const SluiceRecord *x, const SluiceRecord *y)
{
	return x->payload_hash == y->payload_hash && x->payload_length == y->payload_length &&
		x->has_payload == y->has_payload && memcmp(x->payload, y->payload, x->payload_length) == 0;
}

static void
sort_items(SluiceBatch *batch)
{
	bool		ordered = true;
	int			n = 0;

	for (int s = 0; s < batch->nshares; s++)
		n += batch->shares[s].nitems;
	batch->sorted = MemoryContextAllocHuge(batch->context, sizeof(SluiceItem *) * (n + 1));
	batch->nsorted = 0;
	for (int s = 0; s < batch->nshares; s++)
	{
		SluiceShare *share = &batch->shares[s];

		for (int i = 0; i < share->nitems && share->ready; i++)
			if (share->items[i].has_key && share->items[i].store)
			{
				make_key(share->items[i].record);
				batch->sorted[batch->nsorted++] = &share->items[i];
				if (batch->nsorted > 1 && ordered)
					ordered = compare_items(&batch->sorted[batch->nsorted - 2], &batch->sorted[batch->nsorted - 1]) < 0;
			}
	}
	if (!ordered)
		qsort(batch->sorted, batch->nsorted, sizeof(SluiceItem *), compare_items);
}

/*
 * Two of a key in one batch: an equal one follows the first and is its duplicate,
 * another payload waits for the next round, when the first one's verdict is known.
 */
static void
find_doubles(SluiceBatch *batch)
{
	for (int i = 1, first = 0; i < batch->nsorted; i++)
	{
		SluiceItem *leader = batch->sorted[first];
		SluiceItem *item = batch->sorted[i];

		if (!same_key(leader, item))
			first = i;
		else if (same_payload(leader->record, item->record))
			item->leader = leader;
		else
			item->store = false;
	}
}

/* A REPEATABLE READ caller must not be told of what its snapshot cannot see: the row would be missing for it. */
static void
check_snapshot(const SluiceKeyFound *found)
{
	if (IsolationUsesXactSnapshot() && !TransactionIdIsCurrentTransactionId(found->writer) &&
		XidInMVCCSnapshot(found->writer, GetTransactionSnapshot()))
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("could not serialize access due to concurrent use of an idempotency key")));
}

/* What a known key means for a record that came with it. */
static void
settle_known(SluiceItem *item, const SluiceKeyFound *found, bool redrive)
{
	bool		equal = found->payload_hash == item->record->payload_hash;

	check_snapshot(found);
	if (found->verdict == SLUICE_KEY_DEAD_LETTERED && (!equal || redrive))
	{
		item->renews = true;	/* nothing of this key is in the target: another payload is a new attempt */
		return;
	}
	item->store = false;
	item->conflicts = !equal;
	item->verdict = found->verdict == SLUICE_KEY_DEAD_LETTERED ? SLUICE_DEAD_LETTERED :
		found->verdict == SLUICE_KEY_FILTERED ? SLUICE_FILTERED : SLUICE_DUPLICATE;
	if (item->conflicts && item->share->stream->dead_letter_conflicts)
	{
		item->verdict = SLUICE_DEAD_LETTERED;
		item->reason = palloc0(sizeof(SluiceReason));
		strcpy(item->reason->sqlstate, "23505");
		item->reason->message = "idempotency key is known with another payload";
	}
	if (item->conflicts)
		item->share->conflicts++;
}

static void
probe_item(SluiceBatch *batch, SluiceItem *item)
{
	SluiceKeyFound found;
	SluiceKeyState state;

	while ((state = sluice_keys_probe(&batch->keys, item->record->key, item->share->stream_id,
									  !batch->probe, &found)) == SLUICE_KEY_BUSY)
	{
		if (!batch->from_sql)
		{
			item->store = false;	/* it alone waits */
			return;
		}
		XactLockTableWait(found.writer, NULL, NULL, XLTW_None);
	}
	if (state == SLUICE_KEY_KNOWN)
	{
		batch->known++;
		batch->known_keys = true;
		settle_known(item, &found, batch->redrive);
	}
}

static void
reset_items(SluiceBatch *batch)
{
	for (int s = 0; s < batch->nshares; s++)
		for (int i = 0; i < batch->shares[s].nitems; i++)
		{
			SluiceItem *item = &batch->shares[s].items[i];

			item->verdict = SLUICE_PENDING;
			item->store = batch->shares[s].ready;
			item->claim = NULL;
			item->leader = NULL;
			item->reason = NULL;
			item->renews = item->conflicts = item->barred = false;
		}
}

static void
know_keys(SluiceBatch *batch)
{
	sort_items(batch);
	find_doubles(batch);
	if (!batch->probe && batch->keys.previous.heap == NULL)
		return;
	for (int i = 0; i < batch->nsorted; i++)
		if (batch->sorted[i]->store && batch->sorted[i]->leader == NULL)
			probe_item(batch, batch->sorted[i]);
}

/*
 * 4. store
 */

static SluiceReason *
no_key_reason(void)
{
	SluiceReason *reason = palloc0(sizeof(SluiceReason));

	strcpy(reason->sqlstate, "22023");
	reason->message = "record has no idempotency key";
	return reason;
}

/* Is the record to go to the target?  Some are refused before that. */
static bool
goes_to_target(SluiceBatch *batch, SluiceItem *item)
{
	if (!item->store || item->leader != NULL)
		return false;
	if (batch->refuse != NULL)
		item->reason = batch->refuse;
	else if (!item->has_key && item->claim == NULL && !batch->redrive)
		item->reason = no_key_reason();
	else
		return true;
	item->verdict = SLUICE_DEAD_LETTERED;
	return false;
}

/*
 * The items of a producer are stored in the order of their sequences, in the places that they have among
 * the others: what was parked may have come into the batch behind what followed it.
 */
static SluiceItem *
in_its_turn(SluiceItem *item)
{
	return item->claim == NULL ? item : item->claim->items[item->claim->placed++];
}

static void
store_share(SluiceBatch *batch, SluiceShare *share)
{
	Relation	rel = table_open(share->stream->target, NoLock);
	SluicePiece piece = {
		.stream = share->stream,
		.target = sluice_target_bind(share->stream, rel),
		.rel = rel,
		.role = batch->from_sql && !batch->redrive ? InvalidOid : OidIsValid(share->role) ? share->role : share->stream->owner,
		.in_worker = !batch->from_sql,
		.for_client = OidIsValid(share->role),
		.context = batch->context
	};

	piece.items = MemoryContextAllocHuge(batch->context, sizeof(SluiceItem *) * (share->nitems + 1));
	for (int i = 0; i < share->nitems; i++)
	{
		SluiceItem *item = in_its_turn(&share->items[i]);

		if (goes_to_target(batch, item))
			piece.items[piece.nitems++] = item;
	}
	if (piece.nitems > 0)
	{
		piece.workspace = AllocSetContextCreate(batch->context, "sluice piece", ALLOCSET_DEFAULT_SIZES);
		if (batch->careful)
			sluice_isolate_store(&piece, batch->patient);
		else if (!sluice_piece_store(&piece))
			ereport(ERROR,
					(errcode(ERRCODE_TRIGGERED_DATA_CHANGE_VIOLATION),
					 errmsg("a trigger filtered rows of stream \"%s\"", share->stream->name)));
		MemoryContextDelete(piece.workspace);
	}
	table_close(rel, NoLock);
}

/*
 * 5. remember
 */

static char
remembered_verdict(SluiceVerdict verdict)
{
	return verdict == SLUICE_DEAD_LETTERED ? SLUICE_KEY_DEAD_LETTERED :
		verdict == SLUICE_FILTERED ? SLUICE_KEY_FILTERED : SLUICE_KEY_STORED;
}

static bool
remember_keys(SluiceBatch *batch)
{
	SluiceKeyEntry *entries = MemoryContextAllocHuge(batch->context, sizeof(SluiceKeyEntry) * (batch->nsorted + 1));
	int			n = 0;

	for (int i = 0; i < batch->nsorted; i++)
	{
		SluiceItem *item = batch->sorted[i];

		if (!item->store || item->leader != NULL || item->verdict == SLUICE_PENDING ||
			(batch->redrive && item->verdict == SLUICE_DEAD_LETTERED))
			continue;
		entries[n++] = (SluiceKeyEntry) {
			.key = item->record->key,
			.payload_hash = item->record->payload_hash,
			.stream = item->share->stream_id,
			.verdict = remembered_verdict(item->verdict),
			.replace = item->renews
		};
	}
	return sluice_keys_insert(&batch->keys, entries, n);
}

static void
settle_followers(SluiceBatch *batch)
{
	for (int i = 0; i < batch->nsorted; i++)
	{
		SluiceItem *item = batch->sorted[i];

		if (item->leader != NULL)
			item->verdict = item->leader->verdict == SLUICE_STORED ? SLUICE_DUPLICATE : item->leader->verdict;
	}
}

static bool
run_steps(SluiceBatch *batch)
{
	bool		remembered;

	for (int s = 0; s < batch->nshares; s++)
		(void) run_confined(batch, &batch->shares[s], resolve_share);
	reset_items(batch);
	sluice_claims_begin(batch);
	sluice_keys_begin(&batch->keys);
	know_keys(batch);
	sluice_claims_cut(batch);
	for (int s = 0; s < batch->nshares; s++)
		if (batch->shares[s].ready)
			(void) run_confined(batch, &batch->shares[s], store_share);
	sluice_claims_trim(batch);
	for (int s = 0; s < batch->nshares && !batch->redrive; s++)
		if (batch->shares[s].ready)
			sluice_dead_letter_write(batch->shares[s].stream, batch->shares[s].items, batch->shares[s].nitems);
	settle_followers(batch);
	sluice_claims_settle(batch);
	remembered = remember_keys(batch);
	if (remembered)
	{
		sluice_keys_end(&batch->keys);
		sluice_claims_end(batch);
	}
	return remembered;
}

bool
sluice_batch_run(SluiceBatch *batch)
{
	/* Triggers may ingest in turn: only the outermost batch lets go of streams that are out of date. */
	static int	depth = 0;
	MemoryContext old = MemoryContextSwitchTo(batch->context);
	bool		remembered = false;

	if (depth == 0)
		sluice_stream_sweep();
	depth++;
	PG_TRY();
	{
		remembered = run_steps(batch);
	}
	PG_FINALLY();
	{
		depth--;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(old);
	return remembered;
}

void
sluice_batch_count(const SluiceBatch *batch)
{
	for (int s = 0; s < batch->nshares; s++)
	{
		const SluiceShare *share = &batch->shares[s];
		SluiceTally tally = {.stream_id = share->stream_id,.conflicts = share->conflicts};

		if (share->hold != SLUICE_HOLD_NONE)
			continue;
		for (int i = 0; i < share->nitems; i++)
			tally.verdicts[share->items[i].verdict]++;
		if (batch->from_sql)
			sluice_tally_at_commit(&tally);
		else
			sluice_tally_add(&tally);
	}
}
