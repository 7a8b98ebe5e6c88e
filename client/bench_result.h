/*
 * bench_result.h
 *		What "sluice bench" measured.
 */
#ifndef SLUICE_BENCH_RESULT_H
#define SLUICE_BENCH_RESULT_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "histogram.h"
#include "sluice.h"

typedef struct SluiceBenchResult
{
	sluice_statistics statistics;
	uint64_t	found;			/* records that were in the buffer before */
	uint64_t	measured;		/* records after the warm-up */
	size_t		threads;
	size_t		size;
	double		rate;			/* that was wished; 0: as fast as possible */
	double		put_seconds;	/* until the last record was put in */
	double		seconds;		/* until the last verdict */
	double		cpu;			/* seconds of this process */
	uint64_t	memory;			/* bytes, at most */
	SluiceHistogram calls;		/* of sluice_send(), nanoseconds */
	SluiceHistogram settled;	/* from when a record was due to its verdict */
} SluiceBenchResult;

extern void sluice_bench_result_print_text(FILE *file, const SluiceBenchResult *result);
extern void sluice_bench_result_print_json(FILE *file, const SluiceBenchResult *result);

#endif							/* SLUICE_BENCH_RESULT_H */
