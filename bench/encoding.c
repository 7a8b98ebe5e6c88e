/*
 * encoding.c
 *		A record as the bytes that a way into the table wants: COPY in its two
 *		formats, binary parameters, a protobuf ingestion.DataPayload.
 */
#include "encoding.h"

#include <arpa/inet.h>
#include <endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "failure.h"

/* 2000-01-01, PostgreSQL's epoch, in microseconds since 1970. */
#define POSTGRES_EPOCH_US	INT64_C(946684800000000)

static const char copy_header[19] = "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0";

void
encoding_put(Encoding *to, const void *bytes, size_t length)
{
	if (to->room - to->length < length)
	{
		size_t		room = to->room * 2 + length + 4096;
		char	   *data = realloc(to->data, room);

		if (data == NULL)
			failure_exit("out of memory for %zu bytes", room);
		to->data = data;
		to->room = room;
	}
	memcpy(to->data + to->length, bytes, length);
	to->length += length;
}

void
encoding_put_int16(Encoding *to, int16_t value)
{
	uint16_t	wire = htons((uint16_t) value);

	encoding_put(to, &wire, sizeof(wire));
}

void
encoding_put_int32(Encoding *to, int32_t value)
{
	uint32_t	wire = htonl((uint32_t) value);

	encoding_put(to, &wire, sizeof(wire));
}

static uint64_t
double_on_wire(double value)
{
	uint64_t	bits;

	memcpy(&bits, &value, sizeof(bits));
	return htobe64(bits);
}

void
encoding_columns(const BenchRecord *record, EncodingColumns *columns)
{
	columns->timestamp = htobe64((uint64_t) (record->timestamp_us - POSTGRES_EPOCH_US));
	columns->temperature_celsius = double_on_wire(record->temperature_celsius);
	columns->humidity_percent = double_on_wire(record->humidity_percent);
}

void
encoding_copy_begin(Encoding *to)
{
	encoding_put(to, copy_header, sizeof(copy_header));
}

void
encoding_copy_end(Encoding *to)
{
	encoding_put_int16(to, -1);
}

void
encoding_copy_key(Encoding *to, const BenchRecord *record)
{
	encoding_put_int16(to, 1);
	encoding_put_int32(to, sizeof(record->key));
	encoding_put(to, record->key, sizeof(record->key));
}

void
encoding_copy_row(Encoding *to, const BenchRecord *record)
{
	EncodingColumns columns;

	encoding_columns(record, &columns);
	encoding_put_int16(to, 4);
	encoding_put_int32(to, RECORDS_DEVICE_ID);
	encoding_put(to, record->device_id, RECORDS_DEVICE_ID);
	encoding_put_int32(to, 8);
	encoding_put(to, &columns.timestamp, 8);
	encoding_put_int32(to, 8);
	encoding_put(to, &columns.temperature_celsius, 8);
	encoding_put_int32(to, 8);
	encoding_put(to, &columns.humidity_percent, 8);
}

void
encoding_csv_key(Encoding *to, const BenchRecord *record)
{
	char		line[RECORDS_KEY_TEXT + 1];

	records_key_text(record, line);
	line[RECORDS_KEY_TEXT] = '\n';
	encoding_put(to, line, sizeof(line));
}

void
encoding_csv_row(Encoding *to, const BenchRecord *record)
{
	char		when[32];
	char		line[128];
	time_t		seconds = (time_t) (record->timestamp_us / 1000000);
	struct tm	utc;
	int			length;

	gmtime_r(&seconds, &utc);
	strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S", &utc);
	length = snprintf(line, sizeof(line), "%s,%s.%03d+00,%.2f,%.2f\n",
					  record->device_id, when, (int) (record->timestamp_us / 1000 % 1000),
					  record->temperature_celsius, record->humidity_percent);
	encoding_put(to, line, (size_t) length);
}

static size_t
put_varint(uint8_t *to, uint64_t value)
{
	size_t		length = 0;

	while (value >= 0x80)
	{
		to[length++] = (uint8_t) (value | 0x80);
		value >>= 7;
	}
	to[length++] = (uint8_t) value;
	return length;
}

static void
put_double_field(Encoding *to, uint8_t tag, double value)
{
	uint64_t	bits;

	/* As proto3 has it: zero is left out. */
	if (value == 0)
		return;
	memcpy(&bits, &value, sizeof(bits));
	bits = htole64(bits);
	encoding_put(to, &tag, 1);
	encoding_put(to, &bits, sizeof(bits));
}

void
encoding_payload(Encoding *to, const BenchRecord *record)
{
	static const uint8_t device_field[2] = {0x0A, RECORDS_DEVICE_ID};
	uint64_t	nanos = (uint64_t) (record->timestamp_us % 1000000) * 1000;
	uint8_t		timestamp[32];
	uint8_t		timestamp_field[2];
	size_t		length = 0;

	timestamp[length++] = 0x08;
	length += put_varint(timestamp + length, (uint64_t) (record->timestamp_us / 1000000));
	if (nanos != 0)
	{
		timestamp[length++] = 0x10;
		length += put_varint(timestamp + length, nanos);
	}
	timestamp_field[0] = 0x12;
	timestamp_field[1] = (uint8_t) length;

	encoding_put(to, device_field, sizeof(device_field));
	encoding_put(to, record->device_id, RECORDS_DEVICE_ID);
	encoding_put(to, timestamp_field, sizeof(timestamp_field));
	encoding_put(to, timestamp, length);
	put_double_field(to, 0x19, record->temperature_celsius);
	put_double_field(to, 0x21, record->humidity_percent);
}
