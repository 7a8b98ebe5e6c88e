/*
 * bench_records.c
 *		The records that "sluice bench" makes up.
 */
#include "bench_records.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "memory.h"

#define OBJECT_HEAD_MAX 64		/* of what stands before the filling */

bool
sluice_bench_records_init(SluiceBenchRecords *records, const char *payload, size_t size, const char *keys)
{
	records->object = NULL;
	records->size = size;
	records->keyed = strcmp(keys, "none") != 0;
	if (!sluice_telemetry_init(&records->telemetry, strcmp(keys, "random") == 0))
		return false;
	if (strcmp(payload, "object") == 0)
		records->object = sluice_memory_get(size + OBJECT_HEAD_MAX);
	return true;
}

void
sluice_bench_records_clear(SluiceBenchRecords *records)
{
	free(records->object);
	records->object = NULL;
}

/* An object of about the wanted size that differs in its number. */
static size_t
make_object(char *object, size_t size, uint64_t i)
{
	int			n = snprintf(object, size + OBJECT_HEAD_MAX, "{\"n\":%" PRIu64 ",\"note\":\"", i);
	size_t		length = (size_t) n;

	while (length + 2 < size)
		object[length++] = 'x';
	object[length++] = '"';
	object[length++] = '}';
	return length;
}

bool
sluice_bench_records_next(SluiceBenchRecords *records, uint64_t i, sluice_record *record)
{
	memset(record, 0, sizeof(*record));
	if (records->object != NULL)
	{
		record->payload = records->object;
		record->payload_length = make_object(records->object, records->size, i);
	}
	else
	{
		const SluiceTelemetryPayload *payload = sluice_telemetry_payload(&records->telemetry, i);

		record->payload = payload->bytes;
		record->payload_length = payload->length;
	}
	if (!records->keyed)
		return true;
	record->key = records->key;
	record->key_length = sizeof(records->key);
	return sluice_telemetry_next_key(&records->telemetry, records->key);
}
