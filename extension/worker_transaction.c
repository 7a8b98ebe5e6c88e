/*
 * worker_transaction.c
 *		Transactions of the worker: how they begin, and which installation they are for.
 */
#include "postgres.h"

#include "worker_transaction.h"

#include "access/xact.h"
#include "catalog.h"
#include "settings.h"
#include "utils/guc.h"

static Oid	installation = InvalidOid;

/* Partitions, foreign keys and triggers take locks of their own; waiting for them is bounded. */
static void
apply_lock_timeout(void)
{
	static int	applied = -1;
	char		text[16];

	if (applied == sluice_lock_timeout)
		return;
	snprintf(text, sizeof(text), "%d", sluice_lock_timeout);
	SetConfigOption("lock_timeout", text, PGC_SUSET, PGC_S_SESSION);
	applied = sluice_lock_timeout;
}

void
sluice_worker_transaction_start(void)
{
	apply_lock_timeout();
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	XactIsoLevel = XACT_READ_COMMITTED;
}

Oid
sluice_worker_installation(void)
{
	return installation;
}

bool
sluice_worker_installation_settle(void)
{
	Oid			found = sluice_catalog_find("streams");

	if (installation == InvalidOid)
		installation = found;
	return installation == found;
}
