/*
 * key.h
 *		An idempotency key as it is remembered: 16 bytes.
 */
#ifndef SLUICE_KEY_H
#define SLUICE_KEY_H

#include "postgres.h"

#include "record.h"

/*
 * A UUID in its 36-character form is itself; any other string is hashed
 * (SHA-256, truncated, marked as a UUID of version 8).
 */
extern void sluice_key_make(const char *text, size_t length, uint8 key[SLUICE_KEY_SIZE]);

/* What tells one payload from another under the same key. */
extern int64 sluice_key_payload_hash(const uint8 *payload, size_t length);

#endif							/* SLUICE_KEY_H */
