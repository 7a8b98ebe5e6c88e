/*
 * claims.c
 *		The producers of a batch: what of their records may be stored, and their account of it.
 */
#include "postgres.h"

#include "claims.h"

#include "batch.h"
#include "gaps.h"
#include "utils/memutils.h"

/* gRPC status codes, by their numbers on the wire. */
#define STATUS_FAILED_PRECONDITION 9
#define STATUS_ABORTED 10

/* ---- collecting ---- */

static SluiceClaim *
claim_of(SluiceClaims *claims, SluiceItem *item)
{
	SluiceSender *sender = item->record->sender;

	if (sender->claim >= 0 && sender->claim < claims->n && claims->claims[sender->claim].sender == sender)
		return &claims->claims[sender->claim];
	if (claims->n == claims->capacity)
	{
		int			capacity = claims->capacity == 0 ? 8 : claims->capacity * 2;

		claims->claims = claims->claims == NULL ? palloc(sizeof(SluiceClaim) * capacity) :
			repalloc(claims->claims, sizeof(SluiceClaim) * capacity);
		claims->capacity = capacity;
	}
	sender->claim = claims->n;
	claims->claims[claims->n] = (SluiceClaim) {.share = item->share,.sender = sender};
	return &claims->claims[claims->n++];
}

static void
add_item(SluiceClaim *claim, SluiceItem *item)
{
	if (claim->nitems == claim->capacity)
	{
		int			capacity = claim->capacity == 0 ? 256 : claim->capacity * 2;

		claim->items = claim->items == NULL ? MemoryContextAllocHuge(CurrentMemoryContext, sizeof(SluiceItem *) * capacity) :
			repalloc_huge(claim->items, sizeof(SluiceItem *) * capacity);
		claim->capacity = capacity;
	}
	claim->items[claim->nitems++] = item;
}

static int
compare_items(const void *a, const void *b)
{
	uint64_t	x = (*(SluiceItem *const *) a)->record->sequence;
	uint64_t	y = (*(SluiceItem *const *) b)->record->sequence;

	return (x > y) - (x < y);
}

static int
compare_claims(const void *a, const void *b)
{
	const SluiceClaim *x = a;
	const SluiceClaim *y = b;
	int			order = (x->share->stream_id > y->share->stream_id) - (x->share->stream_id < y->share->stream_id);

	return order != 0 ? order : memcmp(x->sender->producer.id, y->sender->producer.id, SLUICE_PRODUCER_SIZE);
}

/* In the order in which everybody locks producers; items of a claim by sequence, though what was parked came later. */
static void
sort_claims(SluiceClaims *claims)
{
	if (claims->n > 1)
		qsort(claims->claims, claims->n, sizeof(SluiceClaim), compare_claims);
	for (int c = 0; c < claims->n; c++)
	{
		SluiceClaim *claim = &claims->claims[c];
		bool		ordered = true;

		for (int i = 1; i < claim->nitems && ordered; i++)
			ordered = compare_items(&claim->items[i - 1], &claim->items[i]) < 0;
		if (!ordered)
			qsort(claim->items, claim->nitems, sizeof(SluiceItem *), compare_items);
		for (int i = 0; i < claim->nitems; i++)
			claim->items[i]->claim = claim;
	}
}

static void
collect(SluiceBatch *batch)
{
	SluiceClaims *claims = &batch->claims;

	for (int s = 0; s < batch->nshares; s++)
		for (int i = 0; i < batch->shares[s].nitems && batch->shares[s].ready; i++)
			if (batch->shares[s].items[i].record->sender->sequenced)
				add_item(claim_of(claims, &batch->shares[s].items[i]), &batch->shares[s].items[i]);
	sort_claims(claims);
}

/* ---- deciding ---- */

static void
postpone(SluiceClaim *claim, int from)
{
	for (int i = from; i < claim->to; i++)
	{
		claim->share->conflicts -= claim->items[i]->conflicts;
		claim->items[i]->conflicts = false;
		claim->items[i]->store = false;
		claim->items[i]->leader = NULL;
		claim->items[i]->reason = NULL;
		claim->items[i]->verdict = SLUICE_PENDING;
	}
	claim->to = from;
}

static void
refuse(SluiceClaim *claim, int status, const char *reason, const char *message)
{
	claim->refusal = palloc0(sizeof(SluiceRefusal));
	claim->refusal->status = status;
	claim->refusal->reason = reason;
	claim->refusal->last_sequence = claim->row.last_sequence;
	strlcpy(claim->refusal->message, message, sizeof(claim->refusal->message));
	for (int i = 0; i < claim->nitems; i++)
	{
		claim->items[i]->store = false;
		claim->items[i]->verdict = SLUICE_REFUSED;
	}
}

/* From where on the items are new, up to where they follow each other. */
static void
decide(SluiceClaim *claim)
{
	uint64_t	last = claim->row.last_sequence;

	claim->from = 0;
	while (claim->from < claim->nitems && claim->items[claim->from]->record->through <= last)
	{
		SluiceItem *item = claim->items[claim->from++];

		item->store = false;
		item->verdict = SLUICE_RESENT;
		claim->resent += item->record->kind == SLUICE_DATA;
	}
	claim->to = claim->from;
	while (claim->to < claim->nitems && claim->items[claim->to]->record->sequence <= last + 1)
	{
		SluiceItem *item = claim->items[claim->to++];

		last = item->record->through;
		if (item->record->kind == SLUICE_GAP)
		{
			item->store = false;
			item->verdict = SLUICE_DECLARED;
		}
	}
	/* What comes behind a hole waits for a record that is parked. */
	for (int i = claim->to; i < claim->nitems; i++)
		claim->items[i]->store = false;
}

static void
lock_claim(SluiceBatch *batch, SluiceClaim *claim)
{
	SluiceProducer *producer = &claim->sender->producer;

	claim->to = claim->nitems;
	switch (sluice_producers_lock(&batch->claims.producers, claim->share->stream_id, producer, &claim->row))
	{
		case SLUICE_PRODUCER_BUSY:
			postpone(claim, 0);
			return;
		case SLUICE_PRODUCER_MISSING:
			refuse(claim, STATUS_ABORTED, "SUPERSEDED", "the producer is not known any more: open the call again");
			return;
		case SLUICE_PRODUCER_LOCKED:
			break;
	}
	if (claim->row.epoch == producer->epoch)
	{
		claim->locked = true;
		decide(claim);
	}
	else if (claim->row.nonce == producer->nonce)
		refuse(claim, STATUS_ABORTED, "SUPERSEDED", "the producer has opened a newer call");
	else
		refuse(claim, STATUS_FAILED_PRECONDITION, "FENCED",
			   "another run of this producer, or a copy of its buffer, has taken its place");
}

void
sluice_claims_begin(SluiceBatch *batch)
{
	memset(&batch->claims, 0, sizeof(batch->claims));
	collect(batch);
	if (batch->claims.n == 0)
		return;
	sluice_producers_begin(&batch->claims.producers);
	for (int c = 0; c < batch->claims.n; c++)
	{
		lock_claim(batch, &batch->claims.claims[c]);
		/* Something is answered from what another transaction wrote: see make_commit_durable. */
		batch->known += batch->claims.claims[c].from;
	}
}

/* ---- cutting ---- */

/* Will the item have a verdict when this transaction commits? */
static bool
will_settle(const SluiceItem *item)
{
	if (item->leader != NULL)
		return item->leader->store || item->leader->verdict != SLUICE_PENDING;
	return item->store || item->verdict != SLUICE_PENDING;
}

static bool
cut(SluiceClaim *claim)
{
	for (int i = claim->from; i < claim->to; i++)
		if (!will_settle(claim->items[i]))
		{
			postpone(claim, i);
			return true;
		}
	return false;
}

/* What is postponed may be the leader of another producer's item, so until nothing changes. */
void
sluice_claims_cut(SluiceBatch *batch)
{
	bool		again = true;

	while (again)
	{
		again = false;
		for (int c = 0; c < batch->claims.n; c++)
			again |= batch->claims.claims[c].locked && cut(&batch->claims.claims[c]);
	}
}

/* ---- trimming ---- */

static SluiceVerdict
verdict_of(const SluiceItem *item)
{
	return item->leader == NULL ? item->verdict :
		item->leader->verdict == SLUICE_STORED ? SLUICE_DUPLICATE : item->leader->verdict;
}

static bool
trim(SluiceClaim *claim)
{
	int			i = claim->from;

	while (i < claim->to && verdict_of(claim->items[i]) != SLUICE_PENDING)
		i++;
	if (i == claim->to)
		return false;
	for (int behind = i + 1; behind < claim->to; behind++)
		if (claim->items[behind]->store && claim->items[behind]->leader == NULL &&
			claim->items[behind]->verdict != SLUICE_PENDING)
			elog(ERROR, "records of a producer were tried out of order");
	postpone(claim, i);
	return true;
}

void
sluice_claims_trim(SluiceBatch *batch)
{
	bool		again = true;

	while (again)
	{
		again = false;
		for (int c = 0; c < batch->claims.n; c++)
			again |= batch->claims.claims[c].locked && batch->claims.claims[c].share->ready &&
				trim(&batch->claims.claims[c]);
	}
}

/* ---- settling ---- */

/* Which account a settled record is entered in; a gap has its own way. */
static SluiceAccount
account_of(const SluiceItem *item)
{
	switch (item->verdict)
	{
		case SLUICE_STORED:
			return SLUICE_ACCOUNT_STORED;
		case SLUICE_FILTERED:
			/* Known as such by its key: nothing was tried. */
			return item->store && item->leader == NULL ? SLUICE_ACCOUNT_FILTERED : SLUICE_ACCOUNT_DUPLICATE;
		case SLUICE_DEAD_LETTERED:
			return item->reason != NULL && item->leader == NULL ? SLUICE_ACCOUNT_DEAD_LETTERED : SLUICE_ACCOUNT_DUPLICATE;
		case SLUICE_DUPLICATE:
			return SLUICE_ACCOUNT_DUPLICATE;
		default:
			elog(ERROR, "unexpected verdict %d of a record with a sequence", item->verdict);
	}
}

/* Enter the settled items into the row. */
static void
enter_items(SluiceClaim *claim, SluiceGaps *gaps)
{
	SluiceProducerRow *row = &claim->row;
	const SluiceRecord *last = NULL;

	for (int i = claim->from; i < claim->to; i++)
	{
		const SluiceItem *item = claim->items[i];

		last = item->record;
		if (last->kind == SLUICE_GAP)
			row->accounts[last->reason >= SLUICE_GAP_FIRST_LOSS ? SLUICE_ACCOUNT_LOST : SLUICE_ACCOUNT_DECLARED] +=
				sluice_gaps_add(gaps, claim->share->stream_id, &claim->sender->producer,
								Max(last->sequence, (uint64_t) row->last_sequence + 1), last->through, last->reason);
		else
			row->accounts[account_of(item)]++;
		row->last_sequence = last->through;
	}
	if (last == NULL)
		return;
	row->last_is_gap = last->kind == SLUICE_GAP;
	row->last_crc = row->last_is_gap ? 0 : sluice_producers_crc(last->payload, last->payload_length);
}

void
sluice_claims_settle(SluiceBatch *batch)
{
	SluiceGaps	gaps = {0};

	for (int c = 0; c < batch->claims.n; c++)
	{
		SluiceClaim *claim = &batch->claims.claims[c];
		int64		before = claim->row.last_sequence;

		if (!claim->locked || !claim->share->ready)
			continue;
		enter_items(claim, &gaps);
		claim->row.resent += claim->resent;
		if (claim->row.last_sequence != before || claim->resent > 0)
			sluice_producers_update(&batch->claims.producers, &claim->sender->producer, &claim->row);
	}
	sluice_gaps_write(&gaps);
}

void
sluice_claims_end(SluiceBatch *batch)
{
	sluice_producers_end(&batch->claims.producers);
}
