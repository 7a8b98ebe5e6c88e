/*
 * record.h
 *		A record on its way from a sender to its verdict.
 *
 * Plain C: both worlds include it, the network side (gRPC, no PostgreSQL) and
 * the database side (PostgreSQL, no gRPC).  A record belongs to the network
 * side until it is pushed into the arrivals queue, then to the main thread,
 * and to the network side again once it was pushed into the outcomes queue.
 * Whoever does not own a record neither reads nor writes it.
 */
#ifndef SLUICE_RECORD_H
#define SLUICE_RECORD_H

#include <stdbool.h>
#include <stdint.h>

#define SLUICE_KEY_SIZE 16

/* Microseconds from 1970-01-01, which received_at counts from, to 2000-01-01, which PostgreSQL's time counts from. */
#define SLUICE_EPOCH_OFFSET INT64_C(946684800000000)

/* What became of a record. */
typedef enum SluiceVerdict
{
	SLUICE_PENDING = 0,			/* none yet: the record will be tried (again) */
	SLUICE_STORED,				/* one row in the target */
	SLUICE_DUPLICATE,			/* its key is known as stored */
	SLUICE_DEAD_LETTERED,		/* in sluice.dead_letters, or its key is known as such */
	SLUICE_FILTERED,			/* a trigger swallowed the row */
	SLUICE_OPENED,				/* answer to SLUICE_OPEN: the stream is there */
	SLUICE_REFUSED				/* its call cannot go on: see refusal */
} SluiceVerdict;

/* Why a call ends.  Allocated with malloc by the main thread, freed by the network thread. */
typedef struct SluiceRefusal
{
	int			status;			/* gRPC status code */
	char		message[256];	/* UTF-8, tells the user what to do */
} SluiceRefusal;

/* What the records of one call share.  Owned by the network thread, which keeps it while a record points to it. */
typedef struct SluiceSender
{
	char	   *stream;			/* name of the stream, "" for the default one */
	char	   *address;		/* of the client: "127.0.0.1:4711", "unix:" */
	int32_t		stream_id;		/* the main thread's: resolved by SLUICE_OPEN */
} SluiceSender;

typedef enum SluiceRecordKind
{
	SLUICE_DATA = 0,
	SLUICE_OPEN					/* no data: asks whether the sender's stream is there */
} SluiceRecordKind;

typedef struct SluiceRecord
{
	SluiceSender *sender;

	/* As sent.  The bytes are kept alive by the record's owner. */
	const char *key_text;		/* not NUL-terminated */
	const uint8_t *payload;
	uint32_t	key_length;
	uint32_t	payload_length;
	int64_t		received_at;	/* microseconds since 1970-01-01 UTC */

	/* Set by the ingest transaction. */
	uint8_t		key[SLUICE_KEY_SIZE];
	int64_t		payload_hash;
	SluiceRefusal *refusal;
	int32_t		attempts;		/* how often it failed while its neighbours were stored */

	/* The backlog's, while the main thread owns the record. */
	struct SluiceRecord *next;	/* in its queue */
	int64_t		due_at;			/* parked: when to try it again */

	uint8_t		kind;			/* SluiceRecordKind */
	uint8_t		verdict;		/* SluiceVerdict */
	bool		has_payload;	/* false: the sender left the payload out */
	bool		keyed;			/* key and payload_hash are computed */
	bool		singled;		/* it once failed alone while its neighbours were stored */
	uint8_t		delay;			/* the backlog's: how long it is parked next, as a step */
} SluiceRecord;

#endif							/* SLUICE_RECORD_H */
