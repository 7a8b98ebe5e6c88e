/* bench_records: payloads of the wanted kind and size, keys that differ. */
#include "bench_records.h"

#include <stdlib.h>

#include "tap.h"

#define KEYS 2000

static int
compare_keys(const void *left, const void *right)
{
	return memcmp(left, right, SLUICE_UUID_TEXT_LENGTH);
}

static bool
keys_differ(const char *kind)
{
	SluiceBenchRecords *records = calloc(1, sizeof(SluiceBenchRecords));
	char	  (*keys)[SLUICE_UUID_TEXT_LENGTH] = calloc(KEYS, sizeof(*keys));
	bool		good = sluice_bench_records_init(records, "reading", 60, kind);
	sluice_record record;

	for (int i = 0; i < KEYS && good; i++)
	{
		good = sluice_bench_records_next(records, (uint64_t) i, &record) && record.key_length == sizeof(keys[i]);
		memcpy(keys[i], record.key, sizeof(keys[i]));
	}
	qsort(keys, KEYS, sizeof(*keys), compare_keys);
	for (int i = 1; i < KEYS && good; i++)
		good = compare_keys(keys[i - 1], keys[i]) != 0;
	sluice_bench_records_clear(records);
	free(keys);
	free(records);
	return good;
}

static void
test_objects(SluiceBenchRecords *records)
{
	sluice_record record;

	ok(sluice_bench_records_init(records, "object", 30, "none"), "objects");
	ok(sluice_bench_records_next(records, 17, &record) && record.key == NULL, "without keys");
	is_bytes(record.payload, record.payload_length, "{\"n\":17,\"note\":\"xxxxxxxxxxxx\"}", "filled up to their size");
	sluice_bench_records_clear(records);
	sluice_bench_records_init(records, "object", 2, "none");
	sluice_bench_records_next(records, UINT64_MAX, &record);
	is_bytes(record.payload, record.payload_length, "{\"n\":18446744073709551615,\"note\":\"\"}", "an object is never cut");
	sluice_bench_records_clear(records);
}

/* Field by field: 16 bytes of device, a timestamp, two doubles. */
static bool
is_reading(const sluice_record *record)
{
	const uint8_t *bytes = record->payload;
	size_t		timestamp = 18;
	size_t		doubles;

	if (record->payload_length < 20 || bytes[0] != 0x0A || bytes[1] != 16 || bytes[timestamp] != 0x12)
		return false;
	doubles = timestamp + 2 + bytes[timestamp + 1];
	return record->payload_length == doubles + 18 && bytes[doubles] == 0x19 && bytes[doubles + 9] == 0x21;
}

static void
test_readings(SluiceBenchRecords *records)
{
	sluice_record record;
	bool		good = sluice_bench_records_init(records, "reading", 60, "none");

	for (uint64_t i = 0; i < 2 * SLUICE_TELEMETRY_PAYLOADS && good; i++)
		good = sluice_bench_records_next(records, i, &record) && is_reading(&record) && record.key == NULL;
	ok(good, "readings");
	sluice_bench_records_clear(records);
}

int
main(void)
{
	SluiceBenchRecords *records = calloc(1, sizeof(SluiceBenchRecords));

	test_objects(records);
	test_readings(records);
	ok(keys_differ("time"), "time-ordered keys differ");
	ok(keys_differ("random"), "random keys differ");
	free(records);
	return done_testing();
}
