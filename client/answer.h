/*
 * answer.h
 *		An ingestion.IngestDataResponse, as it came.
 */
#ifndef SLUICE_ANSWER_H
#define SLUICE_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The wire's numbers: proto/ingestion.proto. */
#define SLUICE_ANSWER_ACKNOWLEDGED 1
#define SLUICE_ANSWER_REJECTED_DLQ 2

typedef struct SluiceAnswer
{
	const uint8_t *key;			/* into the bytes given */
	size_t		key_length;
	uint64_t	status;
} SluiceAnswer;

/* False when the bytes are no such message.  Unknown fields are skipped. */
extern bool sluice_answer_decode(const uint8_t *bytes, size_t length, SluiceAnswer *answer);

#endif							/* SLUICE_ANSWER_H */
