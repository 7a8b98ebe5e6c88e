/*
 * publication.h
 *		PublishRequest and PublishResponse (proto/sluice.proto) on the wire, by hand.
 *
 * Plain C without gRPC and without memory of its own, so that it can be
 * fuzzed.  Payloads and keys are not looked into: they become pointers into the
 * request's bytes.
 */
#ifndef SLUICE_PUBLICATION_H
#define SLUICE_PUBLICATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../record.h"

typedef enum SluicePublicationKind
{
	SLUICE_PUBLICATION_NONE = 0,	/* a kind of request that this server does not know */
	SLUICE_PUBLICATION_OPEN,
	SLUICE_PUBLICATION_BATCH,
	SLUICE_PUBLICATION_REPORT
} SluicePublicationKind;

/* A request: which one, and its bytes. */
typedef struct SluicePublication
{
	SluicePublicationKind kind;
	const uint8_t *body;
	size_t		length;
} SluicePublication;

/* What an Open says beside the opening: pointers into its bytes. */
typedef struct SluicePublicationNames
{
	const char *stream;
	const char *client;
	uint32_t	stream_length;
	uint32_t	client_length;
} SluicePublicationNames;

typedef struct SluicePublicationReport
{
	uint64_t	buffered_records;
	uint64_t	buffered_bytes;
	uint64_t	oldest_age;		/* milliseconds */
	int64_t		clock;			/* microseconds since 1970 */
} SluicePublicationReport;

/* What a batch may hold. */
typedef struct SluicePublicationLimits
{
	uint32_t	records;		/* and gaps */
	uint64_t	record_bytes;
} SluicePublicationLimits;

/* Why a batch is refused: the word in sluice-reason, and a sentence. */
typedef struct SluicePublicationFault
{
	const char *reason;			/* "MALFORMED", "HOLE", "TOO_LARGE"; static */
	const char *message;		/* static */
} SluicePublicationFault;

/* False: *error says why these bytes are no PublishRequest. */
extern bool sluice_publication_parse(const uint8_t *data, size_t length,
									 SluicePublication *publication, const char **error);

/* The request's parts.  False: *error says what is wrong with them. */
extern bool sluice_publication_open(const SluicePublication *publication, SluiceOpening *opening,
									SluiceProducer *producer, SluicePublicationNames *names, const char **error);
extern bool sluice_publication_report(const SluicePublication *publication,
									  SluicePublicationReport *report, const char **error);

/* How many records and gaps a batch has. */
extern bool sluice_publication_count(const SluicePublication *publication, const SluicePublicationLimits *limits,
									 size_t *n, SluicePublicationFault *fault);

/*
 * Read a batch into n zeroed records, as counted, in order of their sequences:
 * a run.  Its first sequence must be next, or at most that where may_repeat; *next
 * is set behind its last one.
 */
extern bool sluice_publication_batch(const SluicePublication *publication, const SluicePublicationLimits *limits,
									 SluiceRecord *records, size_t n, uint64_t *next, bool may_repeat,
									 SluicePublicationFault *fault);

/* A response with an Opened: its size at most, and its bytes (returns how many). */
#define SLUICE_OPENED_SIZE_MAX (160 + SLUICE_DEAD_MAX * 11)
extern size_t sluice_publication_opened(uint8_t *out, const SluiceOpening *opening, uint64_t epoch,
										const SluicePublicationLimits *limits, uint64_t batch_bytes);

/* A response with an Ack: its head, to which exceptions are appended. */
#define SLUICE_ACK_SIZE_MAX(exceptions) (32 + (exceptions) * 16)
typedef struct SluiceException
{
	uint64_t	sequence;
	SluiceVerdict verdict;
} SluiceException;
extern size_t sluice_publication_ack(uint8_t *out, uint64_t through, const SluiceException *exceptions, size_t nexceptions);

#endif							/* SLUICE_PUBLICATION_H */
