/*
 * quotas.c
 *		The quotas of the workers in shared memory.
 *
 * A worker's main thread alone gives its places to roles and databases.  A place whose calls are all gone is
 * free for another one; the network thread only ever lowers a count.
 */
#include "postgres.h"

#include "quotas.h"

#include "miscadmin.h"
#include "settings.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"

typedef SluiceQuota Quotas[SLUICE_QUOTA_PLACES];

static Quotas *quotas = NULL;
static int	attached = -1;
static shmem_request_hook_type next_request_hook = NULL;
static shmem_startup_hook_type next_startup_hook = NULL;

#define QUOTAS_SIZE (SLUICE_MAX_WORKERS * sizeof(Quotas))

static void
quotas_request(void)
{
	if (next_request_hook)
		next_request_hook();
	RequestAddinShmemSpace(QUOTAS_SIZE);
}

static void
quotas_startup(void)
{
	bool		found;

	if (next_startup_hook)
		next_startup_hook();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	quotas = ShmemInitStruct("pg_sluice quotas", QUOTAS_SIZE, &found);
	if (!found)
		memset(quotas, 0, QUOTAS_SIZE);
	LWLockRelease(AddinShmemInitLock);
}

void
sluice_quotas_install(void)
{
	next_request_hook = shmem_request_hook;
	shmem_request_hook = quotas_request;
	next_startup_hook = shmem_startup_hook;
	shmem_startup_hook = quotas_startup;
}

void
sluice_quotas_attach(int worker)
{
	attached = worker;
	memset(quotas[worker], 0, sizeof(Quotas));
}

SluiceQuota *
sluice_quotas_take(uint64 key)
{
	SluiceQuota *place = NULL;

	for (int i = 0; i < SLUICE_QUOTA_PLACES; i++)
	{
		SluiceQuota *quota = &quotas[attached][i];

		if (atomic_load(&quota->key) == key)
		{
			place = quota;
			break;
		}
		if (place == NULL && atomic_load(&quota->calls) == 0)
			place = quota;
	}
	if (place == NULL)
		return NULL;
	atomic_store(&place->key, key);
	atomic_fetch_add(&place->calls, 1);
	return place;
}

int
sluice_quotas_count(uint64 key)
{
	int			calls = 0;

	for (int worker = 0; worker < SLUICE_MAX_WORKERS; worker++)
		for (int i = 0; i < SLUICE_QUOTA_PLACES; i++)
			if (atomic_load(&quotas[worker][i].key) == key)
				calls += atomic_load(&quotas[worker][i].calls);
	return calls;
}
