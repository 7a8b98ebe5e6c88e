/*
 * lookup.c
 *		Clients that wait for the name of their address.
 *
 * An address is looked up once for all that wait for it.  A resolver takes as long as it
 * likes and cannot be interrupted, so what the thread works on is a Lookup, which knows
 * nothing of clients: these may leave or be refused meanwhile.  A Lookup that nobody waits for any
 * more is freed at once where the thread has not begun it, else when it comes back.
 */
#include "postgres.h"

#include "lookup.h"

#include <netdb.h>

#include "host.h"
#include "lib/ilist.h"
#include "login.h"
#include "origin.h"
#include "settlement.h"
#include "utils/memutils.h"

/* Addresses of one origin (of IPv6 it has many), and clients of it that wait. */
#define LOOKUPS_PER_ORIGIN 4
#define WAITING_PER_ORIGIN 256

typedef struct Lookup
{
	SluiceErrand errand;		/* first, for the casts */
	struct sockaddr_storage address;
	char		host[NI_MAXHOST];

	/* The main thread's at all times. */
	dlist_node	node;			/* of the lookups */
	dlist_head	waiting;		/* Waiters */
	int			nwaiting;
} Lookup;

typedef struct Waiter
{
	dlist_node	node;
	SluiceRecord *record;
	bool		proven;
	int64		begun_at;
} Waiter;

struct SluiceLookups
{
	SluiceErrands *thread;
	dlist_head	lookups;		/* under way */
	Lookup	   *known;			/* back, with Waiters that are still to be taken; or NULL */
	int			waiting;
};

SluiceLookups *
sluice_lookups_create(SluiceErrands *thread)
{
	SluiceLookups *lookups = MemoryContextAllocZero(TopMemoryContext, sizeof(*lookups));

	lookups->thread = thread;
	dlist_init(&lookups->lookups);
	return lookups;
}

static void
look_up(SluiceErrand *errand)
{
	Lookup	   *lookup = (Lookup *) errand;

	sluice_host_name(&lookup->address, lookup->host, sizeof(lookup->host));
}

/* ---- adding ---- */

static bool
same_origin(const struct sockaddr_storage *one, const struct sockaddr_storage *other)
{
	SluiceOrigin a = sluice_origin_of(one);
	SluiceOrigin b = sluice_origin_of(other);

	return memcmp(&a, &b, sizeof(a)) == 0;
}

/* That of the address, or NULL; and how much is under way for its origin. */
static Lookup *
find(SluiceLookups *lookups, const struct sockaddr_storage *address, int *nlookups, int *nwaiting)
{
	Lookup	   *found = NULL;
	dlist_iter	iter;

	*nlookups = *nwaiting = 0;
	dlist_foreach(iter, &lookups->lookups)
	{
		Lookup	   *lookup = dlist_container(Lookup, node, iter.cur);

		if (!same_origin(&lookup->address, address))
			continue;
		(*nlookups)++;
		*nwaiting += lookup->nwaiting;
		/* There is neither port nor scope in it, and no byte that was not set: see login.h. */
		if (memcmp(&lookup->address, address, sizeof(*address)) == 0)
			found = lookup;
	}
	return found;
}

static Lookup *
begin(SluiceLookups *lookups, const struct sockaddr_storage *address)
{
	Lookup	   *lookup = MemoryContextAllocZero(TopMemoryContext, sizeof(*lookup));

	lookup->errand.run = look_up;
	lookup->address = *address;
	dlist_init(&lookup->waiting);
	dlist_push_tail(&lookups->lookups, &lookup->node);
	sluice_errands_add(lookups->thread, &lookup->errand);
	return lookup;
}

/* A call that is open already has its place: it is one of max_calls. */
bool
sluice_lookups_add(SluiceLookups *lookups, SluiceRecord *record, bool proven)
{
	const struct sockaddr_storage *address = &record->sender->login->address;
	int			nlookups;
	int			nwaiting;
	Lookup	   *lookup = find(lookups, address, &nlookups, &nwaiting);
	Waiter	   *waiter;

	if (record->kind != SLUICE_CHECK &&
		(nwaiting >= WAITING_PER_ORIGIN || (lookup == NULL && nlookups >= LOOKUPS_PER_ORIGIN)))
		return false;
	if (lookup == NULL)
		lookup = begin(lookups, address);
	waiter = MemoryContextAllocZero(TopMemoryContext, sizeof(*waiter));
	waiter->record = record;
	waiter->proven = proven;
	waiter->begun_at = sluice_settlement_clock();
	dlist_push_tail(&lookup->waiting, &waiter->node);
	lookup->nwaiting++;
	lookups->waiting++;
	return true;
}

/* ---- taking ---- */

static void
remove_waiter(SluiceLookups *lookups, Lookup *lookup, Waiter *waiter)
{
	dlist_delete(&waiter->node);
	lookup->nwaiting--;
	lookups->waiting--;
	pfree(waiter);
}

static void
set_host(SluiceLogin *login, const char *host)
{
	free(login->host);
	login->host = strdup(host);
	if (login->host == NULL)
		ereport(FATAL,
				(errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
}

/* Something has come back that somebody waits for. */
static bool
have_known(SluiceLookups *lookups)
{
	while (lookups->known == NULL || dlist_is_empty(&lookups->known->waiting))
	{
		if (lookups->known != NULL)
			pfree(lookups->known);
		lookups->known = (Lookup *) sluice_errands_take(lookups->thread);
		if (lookups->known == NULL)
			return false;
		dlist_delete(&lookups->known->node);
	}
	return true;
}

SluiceRecord *
sluice_lookups_take(SluiceLookups *lookups, bool *proven)
{
	Waiter	   *waiter;
	SluiceRecord *record;

	if (!have_known(lookups))
		return NULL;
	waiter = dlist_head_element(Waiter, node, &lookups->known->waiting);
	record = waiter->record;
	*proven = waiter->proven;
	remove_waiter(lookups, lookups->known, waiter);
	set_host(record->sender->login, lookups->known->host);
	return record;
}

void
sluice_lookups_sweep(SluiceLookups *lookups, SluiceLookupsSettled settled, void *argument)
{
	dlist_mutable_iter at;

	dlist_foreach_modify(at, &lookups->lookups)
	{
		Lookup	   *lookup = dlist_container(Lookup, node, at.cur);
		dlist_mutable_iter iter;

		dlist_foreach_modify(iter, &lookup->waiting)
		{
			Waiter	   *waiter = dlist_container(Waiter, node, iter.cur);

			if (settled(argument, waiter->record, waiter->begun_at))
				remove_waiter(lookups, lookup, waiter);
		}
		if (dlist_is_empty(&lookup->waiting) && sluice_errands_withdraw(lookups->thread, &lookup->errand))
		{
			dlist_delete(&lookup->node);
			pfree(lookup);
		}
	}
}

bool
sluice_lookups_pending(const SluiceLookups *lookups)
{
	return lookups->waiting > 0;
}
