/*
 * records.h
 *		The records that the benchmark stores: four columns, about 60 bytes.
 */
#ifndef BENCH_RECORDS_H
#define BENCH_RECORDS_H

#include <stddef.h>
#include <stdint.h>

#define RECORDS_KEY_TEXT	36
#define RECORDS_DEVICE_ID	16

typedef enum RecordsKeys
{
	RECORDS_KEYS_TIME,			/* UUIDv7 */
	RECORDS_KEYS_RANDOM			/* UUIDv4 */
} RecordsKeys;

typedef struct BenchRecord
{
	uint8_t		key[16];
	char		device_id[RECORDS_DEVICE_ID + 1];
	int64_t		timestamp_us;	/* since 1970, whole milliseconds */
	double		temperature_celsius;	/* two decimals, as sensors send them */
	double		humidity_percent;
} BenchRecord;

extern BenchRecord *records_make(size_t count, RecordsKeys keys, uint64_t seed);
extern void records_key_text(const BenchRecord *record, char text[RECORDS_KEY_TEXT + 1]);

#endif							/* BENCH_RECORDS_H */
