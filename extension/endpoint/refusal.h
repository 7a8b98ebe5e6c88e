/*
 * refusal.h
 *		Telling the network thread that a call cannot go on.
 */
#ifndef SLUICE_ENDPOINT_REFUSAL_H
#define SLUICE_ENDPOINT_REFUSAL_H

#include "postgres.h"

#include "network.h"

/* gRPC status codes, by their numbers on the wire. */
#define SLUICE_STATUS_NOT_FOUND 5
#define SLUICE_STATUS_PERMISSION_DENIED 7
#define SLUICE_STATUS_RESOURCE_EXHAUSTED 8
#define SLUICE_STATUS_FAILED_PRECONDITION 9
#define SLUICE_STATUS_UNAVAILABLE 14
#define SLUICE_STATUS_UNAUTHENTICATED 16

/* Hand the run of this record back without a verdict for what has none; its call ends with status and message (UTF-8). */
extern void sluice_refuse(SluiceNetwork *network, SluiceRecord *record, int status, const char *message);

/* The same with all that a refusal can say. */
extern void sluice_refuse_for(SluiceNetwork *network, SluiceRecord *record, const SluiceRefusal *refusal);

#endif							/* SLUICE_ENDPOINT_REFUSAL_H */
