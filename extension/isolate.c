/*
 * isolate.c
 *		Storing what can be stored of some records, whatever the others do.
 *
 * A piece that fails with a data error is rolled back and taken apart.  The line
 * that COPY was at is a hint: right for a CHECK, a type or a unique violation,
 * absent for foreign keys and statement triggers, wrong for a row too big.  So
 * the records before it are stored first, then the suspect alone; only a record
 * that failed alone is refused.  Where the hint is missing or was wrong, halves.
 */
#include "postgres.h"

#include "isolate.h"

#include "access/xact.h"
#include "claims.h"
#include "settings.h"
#include "sqlstate.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

/* So many records may fail alone with nothing stored before the stream itself is taken for broken. */
#define FUTILE_LIMIT 3

typedef struct Isolation
{
	SluicePiece *piece;
	SluiceItem **items;			/* all of them */
	int			nitems;
	SluiceItem **run;			/* room for those that are tried */
	bool		patient;
	int			stored;			/* pieces stored so far */
	int			futile;			/* records that failed alone, not by their data, before anything was stored */
	ErrorData  *last;			/* what the last of these raised */
	int			ndenied;		/* records that failed alone for want of a privilege */
	ErrorData  *denied;			/* what the last of these raised */
} Isolation;

/* Those of a run that need not wait for a record before them.  False: there are none. */
static bool
choose_run(Isolation *isolation, int from, int n)
{
	SluicePiece *piece = isolation->piece;

	piece->items = isolation->run;
	piece->nitems = 0;
	for (int i = from; i < from + n; i++)
		if (!isolation->items[i]->barred)
			isolation->run[piece->nitems++] = isolation->items[i];
	return piece->nitems > 0;
}

/* Store a run of the items in a subtransaction.  NULL, or the error, with everything undone. */
static ErrorData *
try_run(Isolation *isolation, int from, int n)
{
	SluicePiece *piece = isolation->piece;
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData  *volatile error = NULL;
	volatile bool done = false;

	if (!choose_run(isolation, from, n))
		return NULL;
	n = piece->nitems;
	while (!done && error == NULL)
	{
		bool		fired_deferred = piece->target->fires_deferred;

		BeginInternalSubTransaction(NULL);
		MemoryContextSwitchTo(context);
		PG_TRY();
		{
			done = sluice_piece_store(piece);
			if (done)
				ReleaseCurrentSubTransaction();
			else
				RollbackAndReleaseCurrentSubTransaction();
		}
		PG_CATCH();
		{
			MemoryContextSwitchTo(piece->context);
			error = CopyErrorData();
			FlushErrorState();
			RollbackAndReleaseCurrentSubTransaction();
		}
		PG_END_TRY();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
		/* It has just turned out that deferred triggers are to be fired: once more, then. */
		if (error != NULL && piece->target->fires_deferred != fired_deferred)
			error = NULL;
	}
	if (error == NULL)
		isolation->stored++;
	else
		for (int i = 0; i < n; i++)
			piece->items[i]->verdict = SLUICE_PENDING;
	return error;
}

static void
refuse(SluicePiece *piece, SluiceItem *item, ErrorData *error)
{
	MemoryContext old = MemoryContextSwitchTo(piece->context);

	item->reason = sluice_piece_error_reason(error);
	item->verdict = SLUICE_DEAD_LETTERED;
	MemoryContextSwitchTo(old);
}

/*
 * Would the next record of the same producer be stored?  It must not be, before
 * this one, but that it could be shows that the stream is not in trouble.
 */
static bool
successor_stores(Isolation *isolation, int at)
{
	SluiceClaim *claim = isolation->items[at]->claim;
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	SluicePiece *piece = isolation->piece;
	volatile bool stored = false;
	int			next = at + 1;

	while (next < isolation->nitems && isolation->items[next]->claim != claim)
		next++;
	if (next == isolation->nitems)
		return false;
	piece->items = isolation->items + next;
	piece->nitems = 1;
	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		stored = sluice_piece_store(piece);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		FlushErrorState();
	}
	PG_END_TRY();
	RollbackAndReleaseCurrentSubTransaction();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	piece->items[0]->verdict = SLUICE_PENDING;
	piece->items[0]->reason = NULL;
	return stored;
}

/* A record of a producer stays without a verdict: so do all behind it. */
static void
bar_successors(Isolation *isolation, int at)
{
	SluiceClaim *claim = isolation->items[at]->claim;

	for (int i = at + 1; claim != NULL && i < isolation->nitems; i++)
		if (isolation->items[i]->claim == claim)
			isolation->items[i]->barred = true;
}

/* A record failed alone, but not by its data. */
static void
settle_stubborn(Isolation *isolation, int at, ErrorData *error)
{
	SluiceItem *item = isolation->items[at];
	SluiceRecord *record = item->record;

	record->attempts++;
	if (isolation->stored > 0 || (item->claim != NULL && !record->singled && successor_stores(isolation, at)))
		record->singled = true;
	else if (!record->singled)
	{
		isolation->last = error;
		if (++isolation->futile >= FUTILE_LIMIT)
			ReThrowError(error);
	}
	if (record->singled && record->attempts >= sluice_max_attempts)
		refuse(isolation->piece, item, error);
	else
		bar_successors(isolation, at);
}

/*
 * A privilege that the clients' role lacks: for one record, as a trigger or a partition may have it, or for
 * all of them.  It is this record's fault where others can be stored.
 */
static bool
is_denied(const Isolation *isolation, const ErrorData *error)
{
	return isolation->piece->for_client && error->sqlerrcode == ERRCODE_INSUFFICIENT_PRIVILEGE;
}

static void
settle_denied(Isolation *isolation, int at, ErrorData *error)
{
	isolation->denied = error;
	if (++isolation->ndenied >= FUTILE_LIMIT && isolation->stored == 0)
		ReThrowError(error);
	refuse(isolation->piece, isolation->items[at], error);
}

static void
settle_single(Isolation *isolation, int at, ErrorData *error)
{
	if (sluice_sqlstate_class_of(error) == SLUICE_ERROR_DATA)
		refuse(isolation->piece, isolation->items[at], error);
	else if (is_denied(isolation, error))
		settle_denied(isolation, at, error);
	else if (isolation->patient)
		settle_stubborn(isolation, at, error);
	else
		ReThrowError(error);
}

static int
find_suspect(Isolation *isolation, int from, int n)
{
	for (int i = from; i < from + n; i++)
		if (isolation->items[i] == isolation->piece->suspect)
			return i;
	return -1;
}

static void store_run(Isolation *isolation, int from, int n, bool hints);

static void
store_halves(Isolation *isolation, int from, int n)
{
	store_run(isolation, from, n / 2, false);
	store_run(isolation, from + n / 2, n - n / 2, false);
}

/* Store what can be stored of a run.  Goes on behind each suspect in a loop: every record may be bad. */
static void
store_run(Isolation *isolation, int from, int n, bool hints)
{
	while (n > 0)
	{
		ErrorData  *error = try_run(isolation, from, n);
		int			suspect;

		if (error == NULL)
			return;
		if (sluice_sqlstate_class_of(error) == SLUICE_ERROR_RETRY && !isolation->patient && !is_denied(isolation, error))
			ReThrowError(error);
		if (n == 1)
		{
			settle_single(isolation, from, error);
			return;
		}
		suspect = hints ? find_suspect(isolation, from, n) : -1;
		if (suspect < 0 || (suspect > from && try_run(isolation, from, suspect - from) != NULL))
		{
			store_halves(isolation, from, n);
			return;
		}
		error = try_run(isolation, suspect, 1);
		if (error != NULL)
			settle_single(isolation, suspect, error);
		else
			hints = false;
		n -= suspect + 1 - from;
		from = suspect + 1;
	}
}

void
sluice_isolate_store(SluicePiece *piece, bool patient)
{
	Isolation	isolation = {
		.piece = piece,
		.items = piece->items,
		.nitems = piece->nitems,
		.run = MemoryContextAllocHuge(CurrentMemoryContext, sizeof(SluiceItem *) * piece->nitems),
		.patient = patient
	};

	store_run(&isolation, 0, isolation.nitems, true);
	piece->items = isolation.items;
	piece->nitems = isolation.nitems;
	/* Nothing at all could be stored: it is the role that lacks a privilege, not a record. */
	if (isolation.ndenied > 0 && isolation.stored == 0)
		ReThrowError(isolation.denied);
	/* The same: it is the stream that is in trouble. */
	if (isolation.futile > 0 && isolation.stored == 0)
		ReThrowError(isolation.last);
	/* Neighbours may have been stored after a record had failed, too. */
	for (int i = 0; i < isolation.nitems; i++)
		if (isolation.items[i]->verdict == SLUICE_PENDING && !isolation.items[i]->barred)
			isolation.items[i]->record->singled = true;
}
