/*
 * ingest_sql.h
 *		The ingest transaction within an SQL caller's own.
 */
#ifndef SLUICE_INGEST_SQL_H
#define SLUICE_INGEST_SQL_H

#include "postgres.h"

#include "batch.h"

/*
 * Settle the records, in the caller's transaction and as the caller;
 * settled[n] takes what became of them, in the same order.  The reasons in it
 * live in a child of the current memory context.
 */
extern void sluice_ingest_sql_run(int32 stream_id, SluiceRecord **records, int n, bool redrive, SluiceItem *settled);

/* A verdict in words, for SQL. */
extern const char *sluice_ingest_sql_verdict(const SluiceItem *item);

#endif							/* SLUICE_INGEST_SQL_H */
