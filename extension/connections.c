/*
 * connections.c
 *		The boards of the workers in shared memory: a slot for each open call.
 *
 * Nothing is set up at the start of the server: a worker clears its own board
 * before it names its database in its place in shared memory (shared.c), and
 * only the boards of workers that have named one are read.  So the boards of workers
 * that never run take no memory, and a worker that died leaves no rows.
 */
#include "postgres.h"

#include "connections.h"

#include "miscadmin.h"
#include "settings.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"

/* Copies in vain before the reader sleeps: the writer was interrupted, its work takes less than a microsecond. */
#define TRIES 100

typedef SluiceConnectionSlot Board[SLUICE_CONNECTIONS];

static Board *boards = NULL;
static shmem_request_hook_type next_request_hook = NULL;
static shmem_startup_hook_type next_startup_hook = NULL;

#define BOARDS_SIZE (SLUICE_MAX_WORKERS * sizeof(Board))

static void
connections_request(void)
{
	if (next_request_hook)
		next_request_hook();
	RequestAddinShmemSpace(BOARDS_SIZE);
}

static void
connections_startup(void)
{
	bool		found;

	if (next_startup_hook)
		next_startup_hook();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	boards = ShmemInitStruct("pg_sluice connections", BOARDS_SIZE, &found);
	LWLockRelease(AddinShmemInitLock);
}

void
sluice_connections_install(void)
{
	next_request_hook = shmem_request_hook;
	shmem_request_hook = connections_request;
	next_startup_hook = shmem_startup_hook;
	shmem_startup_hook = connections_startup;
}

SluiceConnectionSlot *
sluice_connections_attach(int worker)
{
	if (boards == NULL)
		elog(ERROR, "shared memory of pg_sluice is not there");
	if (worker < 0 || worker >= SLUICE_MAX_WORKERS)
		elog(ERROR, "invalid worker number %d", worker);
	memset(boards[worker], 0, sizeof(Board));
	return boards[worker];
}

bool
sluice_connections_read(int worker, int slot, SluiceConnection *connection)
{
	if (boards == NULL)
		return false;
	for (int i = 1; !sluice_connection_read(&boards[worker][slot], connection); i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (i % TRIES == 0)
			pg_usleep(1000);
	}
	return connection->method != SLUICE_CONNECTION_NONE;
}
