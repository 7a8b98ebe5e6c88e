/*
 * opening.h
 *		The main thread's answers to calls that open: which stream, which producer.
 */
#ifndef SLUICE_OPENING_H
#define SLUICE_OPENING_H

#include "postgres.h"

#include "network.h"

typedef struct SluiceOpenings SluiceOpenings;

extern SluiceOpenings *sluice_openings_create(SluiceNetwork *network);

/* A SLUICE_OPEN has arrived.  Answers it, or keeps it for a while where another transaction has its producer. */
extern void sluice_openings_add(SluiceOpenings *openings, SluiceRecord *record);

/* Answer those whose time has come. */
extern void sluice_openings_retry(SluiceOpenings *openings);

/* When something is due, on the main thread's clock; PG_INT64_MAX: never. */
extern int64 sluice_openings_next(const SluiceOpenings *openings);

/* From now on all are refused with UNAVAILABLE and the message, which must stay. */
extern void sluice_openings_drain(SluiceOpenings *openings, const char *message);

/* Has an opening failed in a way that may mean that the extension is gone?  Asking clears it. */
extern bool sluice_openings_suspect_drop(SluiceOpenings *openings);

/* Shutdown cut a wait for a synchronous standby short. */
extern bool sluice_openings_abandoned(const SluiceOpenings *openings);

#endif							/* SLUICE_OPENING_H */
