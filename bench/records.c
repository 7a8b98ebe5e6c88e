/*
 * records.c
 *		The records that the benchmark stores.
 *
 * They are made before the clock starts: what is measured is the way into the
 * table, not the making of telemetry.  The same seed gives the same records,
 * but for the time in UUIDv7 keys, which is the real one, so that the keys of
 * a later run are later ones.
 */
#include "records.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "failure.h"

#define DEVICES				1000

/* 200,000 records a second share their milliseconds like this. */
#define KEYS_PER_MS			200

static uint64_t
next_random(uint64_t *state)
{
	/* splitmix64 */
	uint64_t	z = (*state += UINT64_C(0x9E3779B97F4A7C15));

	z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
	return z ^ (z >> 31);
}

static void
put_big_endian(uint8_t *to, uint64_t value, int bytes)
{
	for (int i = bytes - 1; i >= 0; i--)
	{
		to[i] = (uint8_t) value;
		value >>= 8;
	}
}

/*
 * RFC 9562, version 7: milliseconds, then a counter within the millisecond
 * (method 1), so that the keys of one sender only grow, then random bits.
 */
static void
make_time_key(uint8_t key[16], uint64_t ms, unsigned counter, uint64_t *state)
{
	put_big_endian(key, ms, 6);
	put_big_endian(key + 6, 0x7000 | (counter & 0x0FFF), 2);
	put_big_endian(key + 8, next_random(state), 8);
	key[8] = (uint8_t) (0x80 | (key[8] & 0x3F));
}

static void
make_random_key(uint8_t key[16], uint64_t *state)
{
	put_big_endian(key, next_random(state), 8);
	put_big_endian(key + 8, next_random(state), 8);
	key[6] = (uint8_t) (0x40 | (key[6] & 0x0F));
	key[8] = (uint8_t) (0x80 | (key[8] & 0x3F));
}

BenchRecord *
records_make(size_t count, RecordsKeys keys, uint64_t seed)
{
	BenchRecord *records = calloc(count, sizeof(BenchRecord));
	uint64_t	state = seed;
	struct timespec now;
	uint64_t	start_ms;

	if (records == NULL)
		failure_exit("out of memory for %zu records", count);
	clock_gettime(CLOCK_REALTIME, &now);
	start_ms = (uint64_t) now.tv_sec * 1000 + (uint64_t) now.tv_nsec / 1000000;

	for (size_t i = 0; i < count; i++)
	{
		BenchRecord *record = &records[i];

		if (keys == RECORDS_KEYS_TIME)
			make_time_key(record->key, start_ms + i / KEYS_PER_MS, i % KEYS_PER_MS, &state);
		else
			make_random_key(record->key, &state);
		snprintf(record->device_id, sizeof(record->device_id), "device-%09u",
				 (unsigned) (next_random(&state) % DEVICES));
		record->timestamp_us = (int64_t) (start_ms + i) * 1000;
		record->temperature_celsius = (double) (next_random(&state) % 5000) / 100.0;
		record->humidity_percent = (double) (next_random(&state) % 10000) / 100.0;
	}
	return records;
}

void
records_key_text(const BenchRecord *record, char text[RECORDS_KEY_TEXT + 1])
{
	static const char digits[] = "0123456789abcdef";
	char	   *to = text;

	for (int i = 0; i < 16; i++)
	{
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*to++ = '-';
		*to++ = digits[record->key[i] >> 4];
		*to++ = digits[record->key[i] & 0x0F];
	}
	*to = '\0';
}
