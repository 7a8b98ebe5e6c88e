/*
 * consignment.h
 *		The records of one batch of Publish, with the message that they came in.
 *
 * Plain C, the network thread's alone.  The message is copied out of gRPC's
 * buffers; the records' payloads and keys are pointers into it.  The records are one
 * run: they go to the main thread and come back together.
 */
#ifndef SLUICE_CONSIGNMENT_H
#define SLUICE_CONSIGNMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "publication.h"
#include "record.h"

typedef struct SluiceConsignment
{
	TAILQ_ENTRY(SluiceConsignment) link;
	SluicePublication publication;	/* in message */
	SluiceRecord *records;		/* NULL until they are read; they know their consignment */
	size_t		nrecords;
	size_t		length;			/* of message */
	bool		back;			/* from the main thread */
	uint8_t		message[];
} SluiceConsignment;

typedef TAILQ_HEAD(SluiceConsignmentList, SluiceConsignment) SluiceConsignmentList;

/* Room for a message of this length; NULL: out of memory. */
extern SluiceConsignment *sluice_consignment_create(size_t length);
extern void sluice_consignment_free(SluiceConsignment *consignment);

/* Bytes in memory: with its records, once nrecords is known. */
extern size_t sluice_consignment_size(const SluiceConsignment *consignment);

/* Whose first record this is. */
extern SluiceConsignment *sluice_consignment_of(SluiceRecord *record);

/* Memory for nrecords records, zeroed; false: out of memory. */
extern bool sluice_consignment_make_records(SluiceConsignment *consignment);

/*
 * How far its records are settled: the last sequence before the first one
 * without a verdict (0: not even the first).  *refusal is the main thread's word
 * for the rest, or NULL; *complete: there is no rest.
 */
extern uint64_t sluice_consignment_through(const SluiceConsignment *consignment, bool *complete,
										   const SluiceRefusal **refusal);

#endif							/* SLUICE_CONSIGNMENT_H */
