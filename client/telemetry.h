/*
 * telemetry.h
 *		Made-up telemetry, which the benchmarks send: payloads and idempotency keys.
 */
#ifndef SLUICE_TELEMETRY_H
#define SLUICE_TELEMETRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "uuid7.h"

#define SLUICE_TELEMETRY_PAYLOADS 1024
#define SLUICE_TELEMETRY_PAYLOAD_MAX 64

typedef struct SluiceTelemetryPayload
{
	uint8_t		bytes[SLUICE_TELEMETRY_PAYLOAD_MAX];
	size_t		length;
} SluiceTelemetryPayload;

/* Belongs to one thread. */
typedef struct SluiceTelemetry
{
	SluiceTelemetryPayload payloads[SLUICE_TELEMETRY_PAYLOADS];
	bool		random_keys;	/* UUIDv4, else UUIDv7 */
	SluiceUuid7 uuid7;
	uint64_t	random[4];		/* state of the keys' generator */
} SluiceTelemetry;

/* Encodes the payloads.  False when the system has no randomness to give. */
extern bool sluice_telemetry_init(SluiceTelemetry *telemetry, bool random_keys);

/* An ingestion.DataPayload of about 60 bytes. */
extern const SluiceTelemetryPayload *sluice_telemetry_payload(const SluiceTelemetry *telemetry, uint64_t i);

/* A key that was not there before, 36 characters without a NUL.  False: as above. */
extern bool sluice_telemetry_next_key(SluiceTelemetry *telemetry, char key[SLUICE_UUID_TEXT_LENGTH]);

#endif							/* SLUICE_TELEMETRY_H */
