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

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define SLUICE_KEY_SIZE 16
#define SLUICE_PRODUCER_SIZE 16
#define SLUICE_UID_SIZE 16
#define SLUICE_NONCES_MAX 64

/* sluice.v1.GapReason is 1 to this; from the second one on it is a loss. */
#define SLUICE_GAP_REASONS 8
#define SLUICE_GAP_FIRST_LOSS 6

/* Dead letters that an answer to SLUICE_OPEN names at most. */
#define SLUICE_DEAD_MAX 1000

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
	SLUICE_DECLARED,			/* a gap, which is on the books now */
	SLUICE_RESENT,				/* its producer's sequence was settled before */
	SLUICE_OPENED,				/* answer to SLUICE_OPEN: the stream is there; to what a consumer asked: it was done */
	SLUICE_MESSAGE,				/* answer to SLUICE_PULL: a message for the consumer */
	SLUICE_REFUSED				/* its call cannot go on: see refusal */
} SluiceVerdict;

/* Why a call ends.  Allocated with malloc by the main thread, freed by the network thread. */
typedef struct SluiceRefusal
{
	int			status;			/* gRPC status code */
	const char *reason;			/* a word of proto/sluice.proto, static; or NULL */
	uint64_t	last_sequence;	/* with FENCED and FORKED: the producer's, as the server has it */
	char		message[256];	/* UTF-8, tells the user what to do */
} SluiceRefusal;

/*
 * What a producer asks and is told when it opens.  Allocated with malloc by the
 * network thread, which frees it; the main thread's while it has the SLUICE_OPEN.
 */
typedef struct SluiceOpening
{
	uint8_t		stream_uid[SLUICE_UID_SIZE];
	bool		has_stream_uid;
	uint64_t	nonces[SLUICE_NONCES_MAX];	/* the newest last */
	int			nnonces;
	uint64_t	sent;
	uint64_t	acked_through;

	/* The answer. */
	uint64_t	last_sequence;
	uint32_t	last_crc;
	bool		last_is_gap;
	uint8_t		uid[SLUICE_UID_SIZE];
	uint64_t	dead[SLUICE_DEAD_MAX];
	int			ndead;
	bool		more_dead;
} SluiceOpening;

/* Who sends over a call of Publish. */
typedef struct SluiceProducer
{
	uint8_t		id[SLUICE_PRODUCER_SIZE];
	uint64_t	nonce;			/* of this run of it */
	uint64_t	epoch;			/* of this call: the main thread's, set by SLUICE_OPEN */
	uint32_t	block;			/* the main thread's: where its row was last seen */
	uint16_t	offset;			/* 0: nowhere yet */
} SluiceProducer;

/* The token buckets that a call takes from; see bucket.h. */
typedef enum SluiceBucketOf
{
	SLUICE_BUCKET_STREAM,
	SLUICE_BUCKET_ADDRESS
} SluiceBucketOf;

#define SLUICE_SENDER_BUCKETS (SLUICE_BUCKET_ADDRESS + 1)

/* What the records of one call share.  Owned by the network thread, which keeps it while a record points to it. */
typedef struct SluiceSender
{
	char	   *stream;			/* name of the stream, "" for the default one */
	char	   *address;		/* of the client: "127.0.0.1:4711", "unix:" */
	int32_t		stream_id;		/* the main thread's: resolved by SLUICE_OPEN */
	bool		sequenced;		/* its records have sequences: producer says whose */
	struct SluiceBucket *buckets[SLUICE_SENDER_BUCKETS];	/* in shared memory: set by SLUICE_OPEN; NULL: no limit */
	SluiceProducer producer;
	SluiceOpening *opening;		/* while SLUICE_OPEN is under way; sequenced only */
	struct SluiceWish *wish;	/* of a consumer: what it asked for */
	void	   *consumer;		/* the main thread's, between SLUICE_SUBSCRIBE and SLUICE_LEAVE */
	int32_t		claim;			/* the ingest transaction's, within one batch */
	struct SluiceLogin *login;	/* what the client shows of itself */
	uint32_t	role;			/* the main thread's: OID of the role that it acts as; 0: of the owner of its stream */
	struct SluiceQuota *role_quota;	/* where the call is counted, of a role with a connection limit; or NULL */
	struct SluiceQuota *database_quota; /* the same, of a database with one */
	void	   *call;			/* the network thread's */
	_Atomic bool gone;			/* the client has left: set by the network thread, anybody may look */
} SluiceSender;

typedef enum SluiceRecordKind
{
	SLUICE_DATA = 0,
	SLUICE_GAP,					/* sequences that the producer will not send */
	SLUICE_OPEN,				/* no data: asks whether the sender's stream is there */
	SLUICE_SUBSCRIBE,			/* these and the rest are a consumer's, see endpoint/consumer.h */
	SLUICE_PULL,
	SLUICE_ADVANCE,
	SLUICE_LEAVE,
	SLUICE_UNSUBSCRIBE,
	SLUICE_CHECK				/* of a call that is open: may its client still be here?  See endpoint/gate.h */
} SluiceRecordKind;

/*
 * Records that came in one message lie one behind the other and are handed over
 * as one, by the first of them: a run.  They come back when all are settled.
 */
typedef struct SluiceRecord
{
	SluiceSender *sender;

	/* As sent.  The bytes are kept alive by the record's owner. */
	const char *key_text;		/* not NUL-terminated */
	const uint8_t *payload;
	uint32_t	key_length;
	uint32_t	payload_length;
	int64_t		received_at;	/* microseconds since 1970-01-01 UTC */
	uint64_t	sequence;		/* its producer's number; 0: none.  A gap: its first */
	uint64_t	through;		/* a gap: its last one */
	uint32_t	run;			/* records of its run */
	uint32_t	at;				/* which of them it is, from 0 */
	uint32_t	run_bytes;		/* of payloads and keys of the run; in the first one */

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
	uint8_t		reason;			/* a gap: sluice.v1.GapReason */
	bool		has_payload;	/* false: the sender left the payload out */
	bool		keyed;			/* key and payload_hash are computed */
	bool		singled;		/* it once failed alone while its neighbours were stored */
	uint8_t		delay;			/* the backlog's: how long it is parked next, as a step */
} SluiceRecord;

/* The first record of its run. */
static inline SluiceRecord *
sluice_record_first(SluiceRecord *record)
{
	return record - record->at;
}

#endif							/* SLUICE_RECORD_H */
