/*
 * settlement.c
 *		The main thread's way of a record from the arrivals queue to its verdict.
 *
 * A record is popped from the arrivals queue, waits in the backlog until it is
 * due, goes through the ingest transaction with others, and is handed back
 * to the network thread as soon as its verdict is committed.  One that comes
 * out of the transaction without a verdict goes back to the backlog: alone,
 * where its key was busy, or with its whole stream, where that is held.
 *
 * From the moment a record was delivered it may be gone: nothing here looks
 * at it again.
 */
#include "postgres.h"

#include "settlement.h"

#include <time.h>

#include "backlog.h"
#include "cancel.h"
#include "gate.h"
#include "groups.h"
#include "ingest.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "opening.h"
#include "pgstat.h"
#include "refusal.h"
#include "settings.h"
#include "shared.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* Whose records are held: those of a stream from clients of a role. */
typedef struct HeldKey
{
	int32		stream_id;
	Oid			role;			/* InvalidOid: of clients that act as its owner */
} HeldKey;

/* What is held, and what was said about it in the log. */
typedef struct HeldStream
{
	HeldKey		key;			/* hash key */
	SluiceHold	hold;
	char		sqlstate[6];
} HeldStream;

/* A batch of so many records shows that more are on their way; with so many at hand there is no need to wait. */
#define GATHER_WORTH 32
#define GATHER_ENOUGH 4096

/* Openings commit, each by itself: after so much time what has arrived is stored first, and signals are answered. */
#define OPENINGS_US 20000

struct SluiceSettlement
{
	SluiceNetwork *network;
	SluiceRing *arrivals;
	SluiceDelivery *delivery;
	SluiceBacklog *backlog;
	SluiceOpenings *openings;
	SluiceGate *gate;
	HTAB	   *held;			/* of HeldStream */
	MemoryContext context;		/* of one batch */
	size_t		last_batch;		/* records in it */
	bool		draining;
	bool		giving_up;		/* draining, and nothing is stored any more */
	bool		abandoned;
	bool		suspects_drop;
	char		drain_message[256];
};

int64
sluice_settlement_clock(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64) now.tv_sec * USECS_PER_SEC + now.tv_nsec / 1000;
}

/* Its client was let in. */
static void
admit(void *argument, SluiceRecord *record)
{
	SluiceSettlement *settlement = argument;

	if (record->kind == SLUICE_OPEN)
		sluice_openings_add(settlement->openings, record);
	else
		sluice_delivery_add(settlement->delivery, record);
}

SluiceSettlement *
sluice_settlement_create(SluiceNetwork *network, SluiceDelivery *delivery)
{
	SluiceSettlement *settlement = MemoryContextAllocZero(TopMemoryContext, sizeof(*settlement));
	HASHCTL		control = {.keysize = sizeof(HeldKey), .entrysize = sizeof(HeldStream)};

	settlement->network = network;
	settlement->delivery = delivery;
	settlement->arrivals = sluice_network_arrivals(network);
	settlement->held = hash_create("sluice held streams", 16, &control, HASH_ELEM | HASH_BLOBS);
	settlement->context = AllocSetContextCreate(TopMemoryContext, "sluice settlement",
												ALLOCSET_DEFAULT_SIZES);
	settlement->openings = sluice_openings_create(network);
	settlement->gate = sluice_gate_create(network, admit, settlement);
	settlement->backlog = sluice_backlog_create();
	if (settlement->backlog == NULL)
		ereport(FATAL,
				(errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	return settlement;
}

char *
sluice_settlement_printable(char *text)
{
	bool		utf8 = GetDatabaseEncoding() == PG_UTF8 &&
		pg_verify_mbstr(PG_UTF8, text, strlen(text), true);

	for (unsigned char *c = (unsigned char *) text; *c != '\0'; c++)
		if (*c < ' ' || *c == 0x7f || (*c >= 0x80 && !utf8))
			*c = '?';
	return text;
}

/* ---- refusing ---- */

static void
refuse_drained(SluiceSettlement *settlement, SluiceRecord *record)
{
	sluice_refuse(settlement->network, record, SLUICE_STATUS_UNAVAILABLE, settlement->drain_message);
}

/* While draining: whatever would have to wait for another try. */
static void
refuse_waiting(SluiceSettlement *settlement)
{
	SluiceRecord *record;

	while ((record = sluice_backlog_remove_waiting(settlement->backlog)) != NULL)
		refuse_drained(settlement, record);
	while (settlement->giving_up &&
		   (record = sluice_backlog_remove_any(settlement->backlog)) != NULL)
		refuse_drained(settlement, record);
}

/* ---- arrivals ---- */

static void
collect_data(SluiceSettlement *settlement, SluiceRecord *record)
{
	if (settlement->giving_up)
		refuse_drained(settlement, record);
	else if (record->sender->stream_id == 0)
		sluice_refuse(settlement->network, record, SLUICE_STATUS_FAILED_PRECONDITION, "the stream of this call was not opened");
	else if (!sluice_backlog_add(settlement->backlog, record))
		ereport(FATAL,
				(errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
}

static void
count_received(int32 stream_id, uint64 received)
{
	SluiceStreamCounters *counters;

	if (received == 0)
		return;
	counters = sluice_shared_stream_counters(MyDatabaseId, stream_id);
	if (counters != NULL)
		pg_atomic_fetch_add_u64(&counters->received, received);
}

static bool
passes_gate(const SluiceRecord *record)
{
	return record->kind == SLUICE_OPEN || record->kind == SLUICE_SUBSCRIBE ||
		record->kind == SLUICE_UNSUBSCRIBE || record->kind == SLUICE_CHECK;
}

/*
 * Ends: the queue holds no more than may be in flight, and nothing comes in for
 * what is not answered.  Openings are answered here, so for them there is a limit
 * of time; what it leaves in the queue keeps us from sleeping.
 */
void
sluice_settlement_collect(SluiceSettlement *settlement)
{
	SluiceRecord *record;
	int32		stream_id = 0;
	uint64		received = 0;	/* by that stream, not counted yet */
	int64		openings_us = 0;

	MemoryContextSwitchTo(settlement->context);
	while (openings_us < OPENINGS_US && (record = sluice_ring_pop(settlement->arrivals)) != NULL)
	{
		if (passes_gate(record))
		{
			int64		begun = sluice_settlement_clock();

			sluice_gate_add(settlement->gate, record);
			openings_us += sluice_settlement_clock() - begun;
			continue;
		}
		if (record->kind >= SLUICE_SUBSCRIBE)
		{
			sluice_delivery_add(settlement->delivery, record);
			continue;
		}
		if (record->sender->stream_id != stream_id)
		{
			count_received(stream_id, received);
			stream_id = record->sender->stream_id;
			received = 0;
		}
		if (stream_id != 0)
			received += record->run;
		collect_data(settlement, record);
	}
	count_received(stream_id, received);
	sluice_gate_turn(settlement->gate);
	sluice_openings_retry(settlement->openings);
	if (settlement->draining)
		refuse_waiting(settlement);
	MemoryContextReset(settlement->context);
}

/*
 * Records come in numbers: a moment more makes one transaction of what would
 * be several, each with its commit, its wake-ups and its answers' write.  A
 * sender that waits for each answer is not made to wait.
 */
void
sluice_settlement_gather(SluiceSettlement *settlement)
{
	if (sluice_batch_delay == 0 || settlement->draining || settlement->last_batch < GATHER_WORTH ||
		sluice_backlog_count(settlement->backlog) >= GATHER_ENOUGH)
		return;
	pg_usleep(sluice_batch_delay * 1000L);
	sluice_settlement_collect(settlement);
}

/* ---- holds ---- */

/* How the log names a stream: as its sender does. */
static const char *
stream_label(const SluiceGroup *group)
{
	const char *name = group->records[0]->sender->stream;

	if (name == NULL || name[0] == '\0')
		return psprintf("%d", group->stream_id);
	return psprintf("\"%s\"", sluice_settlement_printable(pstrdup(name)));
}

/* Say that a stream is held, once for each reason and not at each try. */
static void
hold_report(SluiceSettlement *settlement, SluiceGroup *group)
{
	bool		found;
	HeldKey		key = {.stream_id = group->stream_id,.role = group->role};
	HeldStream *held = hash_search(settlement->held, &key, HASH_ENTER, &found);

	sluice_shared_stream_hold(MyDatabaseId, group->stream_id, group->hold,
							  group->sqlstate, group->message);
	if (found && held->hold == group->hold && strcmp(held->sqlstate, group->sqlstate) == 0)
		return;
	held->hold = group->hold;
	strlcpy(held->sqlstate, group->sqlstate, sizeof(held->sqlstate));
	ereport(group->hold == SLUICE_HOLD_ERROR ? WARNING : LOG,
			(errmsg("stream %s is held: %s", stream_label(group),
					sluice_settlement_printable(pstrdup(group->message))),
			 group->sqlstate[0] != '\0' ? errdetail("SQLSTATE %s.", group->sqlstate) : 0,
			 group->hold == SLUICE_HOLD_PAUSED ? errhint("Run sluice.resume() to let it go on.") : 0));
}

static void
release_report(SluiceSettlement *settlement, SluiceGroup *group)
{
	bool		found;
	HeldKey		key = {.stream_id = group->stream_id,.role = group->role};

	sluice_shared_stream_hold(MyDatabaseId, group->stream_id, SLUICE_HOLD_NONE, "", "");
	hash_search(settlement->held, &key, HASH_REMOVE, &found);
	if (found)
		ereport(LOG,
				(errmsg("stream %s goes on", stream_label(group))));
}

/* ---- what came out of the ingest transaction, by the reason for what is pending ---- */

static void
settle_free(SluiceSettlement *settlement, SluiceGroup *group,
			SluiceRecord **pending, int npending)
{
	int64		now = sluice_settlement_clock();

	(void) sluice_backlog_release(settlement->backlog, group->stream_id);
	release_report(settlement, group);
	for (int i = 0; i < npending; i++)
		sluice_backlog_park(settlement->backlog, group->stream_id, pending[i], now);
}

static void
settle_held(SluiceSettlement *settlement, SluiceGroup *group,
			SluiceRecord **pending, int npending)
{
	SluiceBacklogHold hold = SLUICE_BACKLOG_FAILED;

	if (group->hold == SLUICE_HOLD_LOCKED)
		hold = SLUICE_BACKLOG_LOCKED;
	else if (group->hold == SLUICE_HOLD_PAUSED)
		hold = SLUICE_BACKLOG_PAUSED;
	else if (strncmp(group->sqlstate, "42", 2) == 0 || strncmp(group->sqlstate, "3F", 2) == 0)
		settlement->suspects_drop = true;
	hold_report(settlement, group);
	sluice_backlog_return(settlement->backlog, group->stream_id, pending, npending);
	(void) sluice_backlog_hold(settlement->backlog, group->stream_id, hold,
							   sluice_settlement_clock());
}

/* The stream was dropped: so are the calls that send to it. */
static void
settle_gone(SluiceSettlement *settlement, SluiceGroup *group,
			SluiceRecord **pending, int npending)
{
	const char *message = group->sqlstate[0] == '\0' && group->message[0] != '\0' ? group->message : "the stream was dropped";
	SluiceRecord *record;

	settlement->suspects_drop = true;
	hash_search(settlement->held, &(HeldKey) {.stream_id = group->stream_id,.role = group->role}, HASH_REMOVE, NULL);
	sluice_shared_stream_forget(MyDatabaseId, group->stream_id);
	for (int i = 0; i < npending; i++)
		sluice_refuse(settlement->network, pending[i], SLUICE_STATUS_NOT_FOUND, message);
	while ((record = sluice_backlog_remove(settlement->backlog, group->stream_id)) != NULL)
		sluice_refuse(settlement->network, record, SLUICE_STATUS_NOT_FOUND, message);
}

/* Their role may not: the calls of these clients end, those of others go on. */
static void
settle_denied(SluiceSettlement *settlement, SluiceGroup *group, SluiceRecord **pending, int npending)
{
	for (int i = 0; i < npending; i++)
		sluice_refuse(settlement->network, pending[i], SLUICE_STATUS_PERMISSION_DENIED, group->message);
}

/* It is these clients alone that are in trouble, while others of the stream go on: their records wait, the stream does not. */
static void
settle_apart(SluiceSettlement *settlement, SluiceGroup *group, SluiceRecord **pending, int npending)
{
	int64		now = sluice_settlement_clock();

	hold_report(settlement, group);
	for (int i = 0; i < npending; i++)
		sluice_backlog_park(settlement->backlog, group->stream_id, pending[i], now);
}

static void
settle_group(SluiceSettlement *settlement, SluiceGroup *group,
			 SluiceRecord **pending, int npending, bool goes_on)
{
	if (npending > 0)
	{
		SluiceStreamCounters *counters = sluice_shared_stream_counters(MyDatabaseId, group->stream_id);

		if (counters != NULL)
			pg_atomic_fetch_add_u64(&counters->retries, group->npending);
	}
	switch (group->hold)
	{
		case SLUICE_HOLD_NONE:
			settle_free(settlement, group, pending, npending);
			break;
		case SLUICE_HOLD_LOCKED:
		case SLUICE_HOLD_ERROR:
		case SLUICE_HOLD_PAUSED:
			if (goes_on)
				settle_apart(settlement, group, pending, npending);
			else
				settle_held(settlement, group, pending, npending);
			break;
		case SLUICE_HOLD_DENIED:
			settle_denied(settlement, group, pending, npending);
			break;
		case SLUICE_HOLD_GONE:
			settle_gone(settlement, group, pending, npending);
			break;
	}
}

/* ---- a batch ---- */

/* The runs that records of a batch belong to, each by its first record, those without a verdict for all apart. */
typedef struct Runs
{
	SluiceRecord **settled;
	SluiceRecord **pending;
	int			nsettled;
	int			npending;
} Runs;

static void
sort_run(Runs *runs, SluiceRecord *first)
{
	for (uint32 i = 0; i < first->run; i++)
		if (first[i].verdict == SLUICE_PENDING)
		{
			runs->pending[runs->npending++] = first;
			return;
		}
	runs->settled[runs->nsettled++] = first;
}

/* Is there a group of the stream with this outcome? */
static bool
stream_has(const SluiceGroup *groups, int ngroups, int32 stream_id, SluiceHold hold)
{
	for (int i = 0; i < ngroups; i++)
		if (groups[i].stream_id == stream_id && groups[i].hold == hold)
			return true;
	return false;
}

/* Send the verdicts in one burst, and see to what has none. */
static void
settle_groups(SluiceSettlement *settlement, SluiceGroup *groups, int ngroups)
{
	Runs		runs = {0};
	int			nrecords = 0;

	for (int i = 0; i < ngroups; i++)
		nrecords += groups[i].nrecords;
	runs.settled = palloc(nrecords * sizeof(SluiceRecord *));
	runs.pending = palloc(nrecords * sizeof(SluiceRecord *));

	for (int i = 0; i < ngroups; i++)
	{
		SluiceRecord *last = NULL;

		runs.npending = 0;
		for (int j = 0; j < groups[i].nrecords; j++)
		{
			SluiceRecord *first = sluice_record_first(groups[i].records[j]);

			if (first != last)
				sort_run(&runs, first);
			/* It has come further: what is left of it is tried again soon. */
			if (groups[i].records[j]->verdict != SLUICE_PENDING)
				first->delay = 0;
			last = first;
		}
		/* Dropped between the transactions of its groups: nothing of it is kept. */
		if (stream_has(groups, ngroups, groups[i].stream_id, SLUICE_HOLD_GONE))
			groups[i].hold = SLUICE_HOLD_GONE;
		/* Clients of another role may have got their records stored. */
		settle_group(settlement, &groups[i], runs.pending, runs.npending, stream_has(groups, ngroups, groups[i].stream_id, SLUICE_HOLD_NONE));
	}
	sluice_network_deliver(settlement->network, runs.settled, runs.nsettled);
}

void
sluice_settlement_store(SluiceSettlement *settlement)
{
	SluicePortion *portions;
	SluiceGroup *groups;
	int			nportions;
	int			ngroups;

	if (sluice_settlement_abandoned(settlement))
		return;
	nportions = sluice_backlog_take(settlement->backlog, sluice_settlement_clock(),
								  sluice_batch_records, (size_t) sluice_batch_bytes * 1024, &portions);
	if (nportions < 0)
		ereport(FATAL,
				(errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	settlement->last_batch = 0;
	for (int i = 0; i < nportions; i++)
		settlement->last_batch += portions[i].nrecords;
	if (nportions == 0)
		return;

	MemoryContextSwitchTo(settlement->context);
	groups = sluice_groups_make(portions, nportions, &ngroups);
	pgstat_report_activity(STATE_RUNNING, "storing records");
	sluice_cancel_allow();
	settlement->abandoned = !sluice_ingest_groups(groups, ngroups);
	sluice_cancel_ignore();
	MemoryContextSwitchTo(settlement->context);
	if (settlement->abandoned)
		return;

	settle_groups(settlement, groups, ngroups);
	if (settlement->draining)
		refuse_waiting(settlement);
	MemoryContextReset(settlement->context);
}

int64
sluice_settlement_next(SluiceSettlement *settlement)
{
	return settlement->abandoned ? PG_INT64_MAX :
		Min(Min(sluice_backlog_next(settlement->backlog), sluice_openings_next(settlement->openings)),
			sluice_gate_next(settlement->gate));
}

void
sluice_settlement_reload(SluiceSettlement *settlement)
{
	sluice_gate_reload(settlement->gate);
}

/* ---- the end ---- */

void
sluice_settlement_stop(SluiceSettlement *settlement)
{
	sluice_gate_stop(settlement->gate);
}

void
sluice_settlement_drain(SluiceSettlement *settlement, const char *message, bool give_up)
{
	settlement->draining = true;
	settlement->giving_up = give_up;
	strlcpy(settlement->drain_message, message, sizeof(settlement->drain_message));
	sluice_gate_drain(settlement->gate, settlement->drain_message);
	sluice_openings_drain(settlement->openings, settlement->drain_message);
	refuse_waiting(settlement);
}

bool
sluice_settlement_done(SluiceSettlement *settlement)
{
	return sluice_backlog_count(settlement->backlog) == 0 && sluice_gate_done(settlement->gate);
}

bool
sluice_settlement_abandoned(SluiceSettlement *settlement)
{
	return settlement->abandoned || sluice_openings_abandoned(settlement->openings);
}

bool
sluice_settlement_suspects_drop(SluiceSettlement *settlement)
{
	bool		suspects = settlement->suspects_drop;

	suspects |= sluice_openings_suspect_drop(settlement->openings);
	suspects |= sluice_gate_suspects_drop(settlement->gate);

	settlement->suspects_drop = false;
	return suspects;
}
