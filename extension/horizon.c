/*
 * horizon.c
 *		Up to which offset no row of a table can appear any more.
 *
 * A candidate is a value U of the sequence and the transactions W that were
 * seen, afterwards, to hold a lock that lets them write to the table.  Whoever
 * can still commit a row with an offset up to U drew that offset before U was read, held its
 * lock then, and so is in W, or has ended: and who has ended is seen by the next snapshot, because
 * a transaction leaves the list of the running ones and the list of lock
 * holders in one step.  While one candidate waits, a second is collected, so that
 * what was drawn meanwhile does not wait for the first and then for its own.
 *
 * No lock mode conflicts with RowExclusiveLock and not with
 * ShareUpdateExclusiveLock, so VACUUM, ANALYZE and CREATE INDEX CONCURRENTLY are
 * in W at first.  Who is waited for for a while is looked up in the lock table, and
 * dropped if it holds no lock that writes; that look also tells its pid.
 *
 * What is final must not be undone by a crash: rows of an asynchronous commit are visible before they are
 * durable, so the log is flushed up to its end at the time W has gone.
 */
#include "postgres.h"

#include "horizon.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "access/xlog.h"
#include "access/xlog_internal.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "common/hashfn.h"
#include "lib/ilist.h"
#include "miscadmin.h"
#include "offset_column.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"

/* Microseconds: when to look again at those waited for, */
#define FIRST_LOOK 1000
#define LAST_LOOK (50 * 1000)
/* and when to look them up in the lock table. */
#define FIRST_LOOKUP (10 * 1000)
#define NEXT_LOOKUP (100 * 1000)

/* Locks that let their holders write rows, or that forms of ALTER TABLE hold that do. */
#define WRITING (LOCKBIT_ON(RowExclusiveLock) | LOCKBIT_ON(ShareRowExclusiveLock) | \
				 LOCKBIT_ON(ExclusiveLock) | LOCKBIT_ON(AccessExclusiveLock))

/* One is waited for, and one more. */
#define CANDIDATES 2

typedef struct Waiting
{
	VirtualTransactionId vxid;
	int			pid;			/* 0: not looked up yet, or prepared */
} Waiting;

typedef struct Candidate
{
	int64		last_value;		/* U */
	Waiting    *waiting;		/* W; NULL where it was empty from the start */
	int			nwaiting;
	bool		looked_up;		/* in the lock table: all of W held locks that write */
	int64		look_at;
	int64		pause;			/* until the look after that */
	int64		lookup_at;
} Candidate;

struct SluiceHorizon
{
	Oid			target;
	Oid			sequence;
	uint32		sequence_hash;	/* in the system cache */
	Oid		   *relations;		/* ascending: of the target, its partitions, and the tables it is a partition of */
	int			nrelations;
	Oid		 sequence_storage;	/* what TRUNCATE ... RESTART IDENTITY gives anew, */
	uint64		storage;		/* and that of all relations */
	bool		stale;
	bool		known;			/* the sequence was read */
	bool		locked;			/* it was not to be had at the last look */
	int64		final;
	int64		last_value;
	Candidate	candidates[CANDIDATES];	/* the older one first */
	int			ncandidates;
	dlist_node	node;			/* among all, for invalidation */
	MemoryContext context;
};

static dlist_head all_horizons = DLIST_STATIC_INIT(all_horizons);
static uint64 changes = 0;		/* of any relation or sequence: one that is being made is on no list yet */

static int
compare_oids(const void *a, const void *b)
{
	Oid			left = *(const Oid *) a;
	Oid			right = *(const Oid *) b;

	return left < right ? -1 : left > right;
}

static bool
has_relation(const SluiceHorizon *horizon, Oid relid)
{
	return bsearch(&relid, horizon->relations, horizon->nrelations, sizeof(Oid), compare_oids) != NULL;
}

static void
relation_changed(Datum arg, Oid relid)
{
	dlist_iter	iter;

	changes++;
	dlist_foreach(iter, &all_horizons)
	{
		SluiceHorizon *horizon = dlist_container(SluiceHorizon, node, iter.cur);

		if (relid == InvalidOid || relid == horizon->sequence || has_relation(horizon, relid))
			horizon->stale = true;
	}
}

/* ALTER SEQUENCE ... CACHE changes nothing but the row of pg_sequence. */
static void
sequence_changed(Datum arg, int cacheid, uint32 hash)
{
	dlist_iter	iter;

	changes++;
	dlist_foreach(iter, &all_horizons)
	{
		SluiceHorizon *horizon = dlist_container(SluiceHorizon, node, iter.cur);

		if (hash == 0 || hash == horizon->sequence_hash)
			horizon->stale = true;
	}
}

static void
register_callbacks(void)
{
	static bool registered = false;

	if (registered)
		return;
	CacheRegisterRelcacheCallback(relation_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(SEQRELID, sequence_changed, (Datum) 0);
	registered = true;
}

/*
 * All that may be locked by those who write rows of the target: its partitions, where
 * rows are put in directly, and the tables it is a partition of.
 */
static List *
collect_relations(Relation rel)
{
	List	   *relations = find_all_inheritors(RelationGetRelid(rel), NoLock, NULL);

	if (rel->rd_rel->relispartition)
		relations = list_concat(relations, get_partition_ancestors(RelationGetRelid(rel)));
	return relations;
}

static Oid
storage_of(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Oid			storage;

	if (!HeapTupleIsValid(tuple))
		return InvalidOid;
	storage = ((Form_pg_class) GETSTRUCT(tuple))->relfilenode;
	ReleaseSysCache(tuple);
	return storage;
}

static SluiceHorizon *
make_horizon(Oid target, Oid sequence, List *relations)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext, "sluice horizon", ALLOCSET_SMALL_SIZES);
	SluiceHorizon *horizon = MemoryContextAllocZero(context, sizeof(SluiceHorizon));
	ListCell   *cell;

	horizon->context = context;
	horizon->target = target;
	horizon->sequence = sequence;
	horizon->sequence_hash = GetSysCacheHashValue1(SEQRELID, ObjectIdGetDatum(sequence));
	horizon->sequence_storage = storage_of(sequence);
	horizon->final = PG_INT64_MIN;
	horizon->relations = MemoryContextAlloc(context, sizeof(Oid) * list_length(relations));
	foreach(cell, relations)
	{
		horizon->relations[horizon->nrelations++] = lfirst_oid(cell);
		horizon->storage += hash_bytes_uint32_extended(storage_of(lfirst_oid(cell)), 0);
	}
	qsort(horizon->relations, horizon->nrelations, sizeof(Oid), compare_oids);
	return horizon;
}

SluiceHorizon *
sluice_horizon_create(Oid target, const char *offset_column, char **why)
{
	SluiceHorizon *horizon = NULL;
	Oid			sequence = InvalidOid;
	Relation	rel;
	uint64		changes_before;

	register_callbacks();
	if (!ConditionalLockRelationOid(target, AccessShareLock))
	{
		const char *name = get_rel_name(target);

		ereport(ERROR,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("could not obtain lock on relation \"%s\"", name != NULL ? name : "")));
	}
	changes_before = changes;
	rel = relation_open(target, NoLock);
	if (offset_column == NULL)
		*why = pstrdup("the stream has no offset column: name one with sluice.alter_stream(..., offset_column => ...)");
	else
		sequence = sluice_offset_column_find(rel, offset_column, why);
	if (OidIsValid(sequence))
	{
		horizon = make_horizon(target, sequence, collect_relations(rel));
		horizon->stale = changes != changes_before;
		dlist_push_tail(&all_horizons, &horizon->node);
	}
	relation_close(rel, AccessShareLock);
	return horizon;
}

void
sluice_horizon_free(SluiceHorizon *horizon)
{
	dlist_delete(&horizon->node);
	MemoryContextDelete(horizon->context);
}

/* Forget the first n candidates. */
static void
drop_candidates(SluiceHorizon *horizon, int n)
{
	for (int i = 0; i < n; i++)
		if (horizon->candidates[i].waiting != NULL)
			pfree(horizon->candidates[i].waiting);
	horizon->ncandidates -= n;
	memmove(horizon->candidates, horizon->candidates + n, sizeof(Candidate) * horizon->ncandidates);
}

/* Add the holders of locks on a relation that conflict with ShareLock; those on several come several times. */
static void
add_writers(SluiceHorizon *horizon, Candidate *candidate, Oid relid)
{
	LOCKTAG		tag;
	VirtualTransactionId *holders;
	int			n;

	SET_LOCKTAG_RELATION(tag, MyDatabaseId, relid);
	holders = GetLockConflicts(&tag, ShareLock, &n);
	if (n > 0)
	{
		Size		size = sizeof(Waiting) * (candidate->nwaiting + n);

		if (candidate->waiting == NULL)
			candidate->waiting = MemoryContextAlloc(horizon->context, size);
		else
			candidate->waiting = repalloc(candidate->waiting, size);
		for (int i = 0; i < n; i++)
			candidate->waiting[candidate->nwaiting++] = (Waiting) {holders[i], 0};
	}
	pfree(holders);
}

/* The sequence has gone on to last_value, which was read before. */
static void
add_candidate(SluiceHorizon *horizon, int64 last_value, int64 now)
{
	Candidate  *candidate = &horizon->candidates[horizon->ncandidates++];

	*candidate = (Candidate) {.last_value = last_value};
	for (int i = 0; i < horizon->nrelations; i++)
		add_writers(horizon, candidate, horizon->relations[i]);
	candidate->pause = FIRST_LOOK;
	candidate->look_at = now + FIRST_LOOK;
	candidate->lookup_at = now + FIRST_LOOKUP;
}

/* Drop those that have ended. */
static void
drop_ended(Candidate *candidate)
{
	int			left = 0;

	for (int i = 0; i < candidate->nwaiting; i++)
		if (!VirtualXactLock(candidate->waiting[i].vxid, false))
			candidate->waiting[left++] = candidate->waiting[i];
	candidate->nwaiting = left;
}

/* The lock that this one of W holds on one of the relations, if it lets it write.  NULL: there is none. */
static const LockInstanceData *
find_writing_lock(const SluiceHorizon *horizon, const LockData *locks, const Waiting *waiting)
{
	for (int i = 0; i < locks->nelements; i++)
	{
		const LockInstanceData *lock = &locks->locks[i];

		/* A prepared transaction keeps the number that it had as a session's. */
		if (lock->backend == waiting->vxid.backendId && lock->lxid == waiting->vxid.localTransactionId &&
			lock->locktag.locktag_type == LOCKTAG_RELATION && lock->locktag.locktag_field1 == MyDatabaseId &&
			(lock->holdMask & WRITING) != 0 && has_relation(horizon, lock->locktag.locktag_field2))
			return lock;
	}
	return NULL;
}

/* Drop those that hold no lock that writes (any more); of the others, learn the pid. */
static void
look_up(const SluiceHorizon *horizon, Candidate *candidate)
{
	LockData   *locks = GetLockStatusData();
	int			left = 0;

	for (int i = 0; i < candidate->nwaiting; i++)
	{
		const LockInstanceData *lock = find_writing_lock(horizon, locks, &candidate->waiting[i]);

		if (lock == NULL)
			continue;
		candidate->waiting[left] = candidate->waiting[i];
		candidate->waiting[left++].pid = lock->pid;
	}
	candidate->nwaiting = left;
	candidate->looked_up = true;
	pfree(locks->locks);
	pfree(locks);
}

/* Have all of W ended? */
static bool
is_final(const SluiceHorizon *horizon, Candidate *candidate, int64 now)
{
	drop_ended(candidate);
	if (candidate->nwaiting > 0 && now >= candidate->lookup_at)
	{
		look_up(horizon, candidate);
		candidate->lookup_at = now + NEXT_LOOKUP;
	}
	if (now >= candidate->look_at)
	{
		candidate->pause = Min(candidate->pause * 2, LAST_LOOK);
		candidate->look_at = now + candidate->pause;
	}
	return candidate->nwaiting == 0;
}

/*
 * Flush the log up to its end.  At the beginning of a page the position where the next record
 * will be put is behind the page's header, where nothing was written yet.
 */
static void
flush_log(void)
{
	XLogRecPtr	end = GetXLogInsertRecPtr();

	if (XLogSegmentOffset(end, wal_segment_size) == SizeOfXLogLongPHD)
		end -= SizeOfXLogLongPHD;
	else if (end % XLOG_BLCKSZ == SizeOfXLogShortPHD)
		end -= SizeOfXLogShortPHD;
	XLogFlush(end);
}

static void
settle_candidates(SluiceHorizon *horizon, int64 now)
{
	/* The newer one has seen all that can still write below it: then the older one needs no look. */
	for (int i = horizon->ncandidates - 1; i >= 0; i--)
	{
		if (!is_final(horizon, &horizon->candidates[i], now))
			continue;
		flush_log();
		horizon->final = horizon->candidates[i].last_value;
		drop_candidates(horizon, i + 1);
		return;
	}
}

/*
 * Where the sequence is now.  While somebody has it locked, nothing can be drawn
 * from it.  A partition that we do not know may be written to by now; then
 * nothing can be said before all is made anew.
 */
static void
read_sequence(SluiceHorizon *horizon, int64 now)
{
	int64		known = horizon->ncandidates > 0 ? horizon->candidates[horizon->ncandidates - 1].last_value : horizon->final;

	horizon->locked = !sluice_offset_column_try_last(horizon->sequence, &horizon->last_value);
	AcceptInvalidationMessages();
	if (horizon->locked && !horizon->known)
		ereport(ERROR,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("could not obtain lock on the sequence of the offset column")));
	horizon->known = true;
	if (horizon->locked || horizon->stale)
		return;
	if (horizon->last_value < known)
	{
		/* TRUNCATE ... RESTART IDENTITY, setval(): begin anew. */
		drop_candidates(horizon, horizon->ncandidates);
		horizon->final = PG_INT64_MIN;
		known = PG_INT64_MIN;
	}
	if (horizon->last_value > known && horizon->ncandidates < CANDIDATES)
		add_candidate(horizon, horizon->last_value, now);
}

static void
describe(const SluiceHorizon *horizon, int64 now, SluiceHorizonState *state)
{
	*state = (SluiceHorizonState) {
		.final = horizon->final,
		.last_value = horizon->last_value,
		.look_at = horizon->stale ? now : horizon->locked ? now + LAST_LOOK : PG_INT64_MAX
	};
	for (int i = 0; i < horizon->ncandidates; i++)
	{
		const Candidate *candidate = &horizon->candidates[i];

		state->look_at = Min(state->look_at, candidate->look_at);
		if (!state->blocked && candidate->looked_up)
		{
			state->blocked = true;
			state->blocker = candidate->waiting[0].pid;
		}
	}
}

void
sluice_horizon_look(SluiceHorizon *horizon, int64 now, SluiceHorizonState *state)
{
	if (!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(horizon->target)))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", horizon->target)));
	settle_candidates(horizon, now);
	read_sequence(horizon, now);
	/* Where nobody writes, W is empty at once. */
	settle_candidates(horizon, now);
	describe(horizon, now, state);
}

int
sluice_horizon_relations(SluiceHorizon *horizon, const Oid **relids)
{
	*relids = horizon->relations;
	return horizon->nrelations;
}

bool
sluice_horizon_is_restart(const SluiceHorizon *before, const SluiceHorizon *after)
{
	return before->target != after->target || before->sequence != after->sequence ||
		(before->sequence_storage != after->sequence_storage && before->storage != after->storage);
}

bool
sluice_horizon_is_stale(const SluiceHorizon *horizon)
{
	return horizon->stale;
}
