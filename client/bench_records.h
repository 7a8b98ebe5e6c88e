/*
 * bench_records.h
 *		The records that "sluice bench" makes up.
 */
#ifndef SLUICE_BENCH_RECORDS_H
#define SLUICE_BENCH_RECORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sluice.h"
#include "telemetry.h"

/* Belongs to one thread. */
typedef struct SluiceBenchRecords
{
	char	   *object;			/* JSON; NULL: readings */
	size_t		size;
	bool		keyed;
	char		key[SLUICE_UUID_TEXT_LENGTH];
	SluiceTelemetry telemetry;
} SluiceBenchRecords;

/*
 * payload: "object", JSON of size bytes, or "reading", an ingestion.DataPayload; keys: "none", "time" or "random".
 * False when the system has no randomness to give.
 */
extern bool sluice_bench_records_init(SluiceBenchRecords *records, const char *payload, size_t size, const char *keys);
extern void sluice_bench_records_clear(SluiceBenchRecords *records);

/* The i-th record, good until the next one is made. */
extern bool sluice_bench_records_next(SluiceBenchRecords *records, uint64_t i, sluice_record *record);

#endif							/* SLUICE_BENCH_RECORDS_H */
