/*
 * producers.h
 *		The rows of sluice.producers, within one transaction.
 *
 * A row is locked before anything is decided from it, and never waited for in
 * the worker.  It is found by where it was seen last, under a snapshot and
 * compared, so that the many dead versions of it that a long transaction
 * elsewhere keeps alive are not walked through each time.
 */
#ifndef SLUICE_PRODUCERS_H
#define SLUICE_PRODUCERS_H

#include "postgres.h"

#include "executor/tuptable.h"
#include "record.h"
#include "utils/rel.h"

/* The table, open for the rest of the batch. */
typedef struct SluiceProducers
{
	Relation	heap;
	Relation	index;			/* of the primary key */
	bool		has_other_indexes;
	TupleTableSlot *slot;		/* of a row as it is */
	TupleTableSlot *changed;	/* of a row as it is to be */
} SluiceProducers;

/* What the row counts: where the sequences up to the last one are. */
typedef enum SluiceAccount
{
	SLUICE_ACCOUNT_STORED = 0,
	SLUICE_ACCOUNT_DUPLICATE,
	SLUICE_ACCOUNT_DEAD_LETTERED,
	SLUICE_ACCOUNT_FILTERED,
	SLUICE_ACCOUNT_DECLARED,
	SLUICE_ACCOUNT_LOST,
	SLUICE_ACCOUNTS				/* how many there are */
} SluiceAccount;

typedef struct SluiceProducerRow
{
	int64		last_sequence;
	uint64		nonce;
	uint64		epoch;
	int64		accounts[SLUICE_ACCOUNTS];
	int64		resent;
	bool		last_is_gap;
	uint32		last_crc;
	ItemPointerData tid;		/* of the version that is locked */
} SluiceProducerRow;

typedef enum SluiceProducerLock
{
	SLUICE_PRODUCER_LOCKED,
	SLUICE_PRODUCER_BUSY,		/* another transaction has it */
	SLUICE_PRODUCER_MISSING
} SluiceProducerLock;

extern void sluice_producers_begin(SluiceProducers *producers);
extern void sluice_producers_end(SluiceProducers *producers);

/* Lock the row of a producer and read it.  Its sender remembers where it is. */
extern SluiceProducerLock sluice_producers_lock(SluiceProducers *producers, int32 stream,
												SluiceProducer *producer, SluiceProducerRow *row);

/* Write a locked row anew: all but stream, producer, opened_at and retired.  An error where its account does not add up. */
extern void sluice_producers_update(SluiceProducers *producers, SluiceProducer *producer, const SluiceProducerRow *row);

/* CRC-32 (ISO 3309) of a payload: by the one of the last record a producer is told from a copy of itself. */
extern uint32 sluice_producers_crc(const void *payload, size_t length);

#endif							/* SLUICE_PRODUCERS_H */
