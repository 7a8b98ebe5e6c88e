/*
 * gaps.h
 *		Sequences that producers will not send, on their way into sluice.gaps.
 */
#ifndef SLUICE_GAPS_H
#define SLUICE_GAPS_H

#include "postgres.h"

#include "record.h"

/* One row for each producer and reason of a batch. */
typedef struct SluiceGapRow
{
	int32		stream;
	const SluiceProducer *producer;
	int			reason;
	int64		first;
	int64		last;
	int64		dropped;
} SluiceGapRow;

typedef struct SluiceGaps
{
	SluiceGapRow *rows;
	int			n;
	int			capacity;
} SluiceGaps;

/* Add the sequences from first to last; returns how many they are. */
extern int64 sluice_gaps_add(SluiceGaps *gaps, int32 stream, const SluiceProducer *producer,
							 uint64_t first, uint64_t last, int reason);

/* Write the rows, all in one command. */
extern void sluice_gaps_write(const SluiceGaps *gaps);

#endif							/* SLUICE_GAPS_H */
