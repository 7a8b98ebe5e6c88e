/*
 * telemetry.c
 *		Made-up telemetry, which the benchmarks send.
 *
 * The payloads are encoded once, the keys made on the way: what is measured is
 * the way into the table, not the making of telemetry.
 */
#include "telemetry.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

static uint8_t *
put_varint(uint8_t *p, uint64_t value)
{
	for (; value >= 0x80; value >>= 7)
		*p++ = (uint8_t) (value | 0x80);
	*p++ = (uint8_t) value;
	return p;
}

static uint8_t *
put_double(uint8_t *p, uint8_t tag, double value)
{
	*p++ = tag;
	memcpy(p, &value, sizeof(value));	/* little-endian, as the wire is; checked in sluice_telemetry_init() */
	return p + sizeof(value);
}

/* A DataPayload: device_id = 1, timestamp = 2, temperature_celsius = 3, humidity_percent = 4. */
static void
encode_payload(SluiceTelemetryPayload *payload, unsigned i, int64_t seconds)
{
	uint8_t    *p = payload->bytes;
	uint8_t    *timestamp_length;
	char		device[17];

	snprintf(device, sizeof(device), "device-%09u", i);
	*p++ = 0x0A;
	*p++ = 16;
	memcpy(p, device, 16);
	p += 16;
	*p++ = 0x12;
	timestamp_length = p++;
	*p++ = 0x08;
	p = put_varint(p, (uint64_t) seconds);
	*p++ = 0x10;
	p = put_varint(p, 100000000u + i * 1000u);
	*timestamp_length = (uint8_t) (p - timestamp_length - 1);
	p = put_double(p, 0x19, 20.0 + 10.0 * sin(i));
	p = put_double(p, 0x21, 50.0 + 25.0 * cos(i));
	payload->length = (size_t) (p - payload->bytes);
}

static uint64_t
rotate(uint64_t word, int bits)
{
	return word << bits | word >> (64 - bits);
}

/* xoshiro256**: random keys must not cost the client what it is to measure. */
static uint64_t
next_random(uint64_t state[4])
{
	uint64_t	result = rotate(state[1] * 5, 7) * 9;
	uint64_t	shifted = state[1] << 17;

	state[2] ^= state[0];
	state[3] ^= state[1];
	state[1] ^= state[2];
	state[0] ^= state[3];
	state[2] ^= shifted;
	state[3] = rotate(state[3], 45);
	return result;
}

static void
make_random_uuid(SluiceTelemetry *telemetry, uint8_t uuid[16])
{
	uint64_t	words[2] = {next_random(telemetry->random), next_random(telemetry->random)};

	memcpy(uuid, words, sizeof(words));
	uuid[6] = (uint8_t) (0x40 | (uuid[6] & 0x0F));
	uuid[8] = (uint8_t) (0x80 | (uuid[8] & 0x3F));
}

bool
sluice_telemetry_init(SluiceTelemetry *telemetry, bool random_keys)
{
	_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "doubles are encoded as they are");
	memset(telemetry, 0, sizeof(*telemetry));
	for (unsigned i = 0; i < SLUICE_TELEMETRY_PAYLOADS; i++)
		encode_payload(&telemetry->payloads[i], i, time(NULL));
	telemetry->random_keys = random_keys;
	return getrandom(telemetry->random, sizeof(telemetry->random), 0) == (ssize_t) sizeof(telemetry->random);
}

const SluiceTelemetryPayload *
sluice_telemetry_payload(const SluiceTelemetry *telemetry, uint64_t i)
{
	return &telemetry->payloads[i % SLUICE_TELEMETRY_PAYLOADS];
}

bool
sluice_telemetry_next_key(SluiceTelemetry *telemetry, char key[SLUICE_UUID_TEXT_LENGTH])
{
	uint8_t		uuid[16];
	struct timespec now;

	if (telemetry->random_keys)
		make_random_uuid(telemetry, uuid);
	else
	{
		clock_gettime(CLOCK_REALTIME_COARSE, &now);
		if (!sluice_uuid7_next(&telemetry->uuid7, (uint64_t) now.tv_sec * 1000 + (uint64_t) now.tv_nsec / 1000000, uuid))
			return false;
	}
	sluice_uuid_to_text(uuid, key);
	return true;
}
