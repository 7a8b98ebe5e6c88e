/*
 * worker_transaction.h
 *		Transactions of the worker: how they begin, and which installation they are for.
 */
#ifndef SLUICE_WORKER_TRANSACTION_H
#define SLUICE_WORKER_TRANSACTION_H

#include "postgres.h"

/* Begin one: READ COMMITTED, its own time, waits for locks bounded. */
extern PGDLLEXPORT void sluice_worker_transaction_start(void);

/*
 * The table sluice.streams that the ids of this worker's senders come from, once
 * a call was opened: another CREATE EXTENSION makes another.
 */
extern Oid	sluice_worker_installation(void);

/* Within a transaction: take the table that is there for it, where there is none yet.  False: it is another one by now. */
extern PGDLLEXPORT bool sluice_worker_installation_settle(void);

#endif							/* SLUICE_WORKER_TRANSACTION_H */
