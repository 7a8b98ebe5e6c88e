/*
 * call_end.h
 *		How a call of IngestData ended, and what that means for the next one.
 */
#ifndef SLUICE_CALL_END_H
#define SLUICE_CALL_END_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct SluiceCallEnd
{
	int			status;			/* gRPC's code */
	int64_t		pushback;		/* how long to stay away: a hint as in backoff.h */
	char		message[512];	/* the server's, or the transport's */
	bool		counted;		/* the server told what became of the records of this call: */
	uint64_t	stored;
	uint64_t	duplicates;
	uint64_t	dead_letters;
} SluiceCallEnd;

/* Will trying again be of no use? */
extern bool sluice_call_end_is_refusal(const SluiceCallEnd *end);

/* Is it one because a message was too large for the server? */
extern bool sluice_call_end_is_too_large(const SluiceCallEnd *end);

/* A decimal count of the trailing metadata; false for anything else. */
extern bool sluice_call_end_read_count(const uint8_t *digits, size_t ndigits, uint64_t *count);

#endif							/* SLUICE_CALL_END_H */
