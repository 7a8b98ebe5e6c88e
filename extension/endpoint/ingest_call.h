/*
 * ingest_call.h
 *		Calls of ingestion.IngestionService/IngestData, as the network thread's loop sees them.
 */
#ifndef SLUICE_INGEST_CALL_H
#define SLUICE_INGEST_CALL_H

#ifdef POSTGRES_H
#error "the gRPC side does not compile where postgres.h was included"
#endif

#include "record.h"

struct SluiceNetwork;

/* A record came back from the main thread. */
extern void sluice_ingest_call_settled(struct SluiceNetwork *network, SluiceRecord *record);

/* Send what is to be sent on calls that have nothing under way. */
extern void sluice_ingest_call_answer(struct SluiceNetwork *network);

/* Look at some of the paused calls: is there room for them now? */
extern void sluice_ingest_call_resume(struct SluiceNetwork *network);

/* Free what the main thread has not given back.  For the very end. */
extern void sluice_ingest_call_forget(struct SluiceNetwork *network);

#endif							/* SLUICE_INGEST_CALL_H */
