/*
 * uuid7.h
 *		Time-ordered UUIDs (RFC 9562, version 7), increasing within a process.
 */
#ifndef SLUICE_UUID7_H
#define SLUICE_UUID7_H

#include <stdint.h>

#define SLUICE_UUID_TEXT_LENGTH 36

typedef struct SluiceUuid7
{
	uint64_t	milliseconds;	/* of the newest one given out */
	uint64_t	high;			/* its rand_a, 12 bits */
	uint64_t	low;			/* its rand_b, 62 bits */
	uint32_t	random[256];
	unsigned	nrandom;		/* of random that are still unused */
} SluiceUuid7;

/*
 * The next one, which is greater than all before, whatever the clock does.
 * milliseconds: since 1970-01-01 UTC.  The generator starts as zeroes and
 * belongs to one thread.  False when the system has no randomness to give.
 */
extern int	sluice_uuid7_next(SluiceUuid7 *generator, uint64_t milliseconds, uint8_t uuid[16]);

/* The 36 characters, not NUL-terminated. */
extern void sluice_uuid_to_text(const uint8_t uuid[16], char text[SLUICE_UUID_TEXT_LENGTH]);

#endif							/* SLUICE_UUID7_H */
