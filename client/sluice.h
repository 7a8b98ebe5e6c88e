/*
 * sluice.h
 *		libsluice: records into PostgreSQL tables exactly once, over bad networks, and their rows out again.
 *
 * A producer keeps every record in a durable buffer, a directory on disk, until
 * the server (PostgreSQL with the extension pg_sluice) has told what became of
 * it.  sluice_send() puts a record into the buffer and returns; threads of the
 * library send, resend, and reconnect.
 *
 *	sluice_options *options = sluice_options_create();
 *	sluice_producer *producer;
 *	char		error[256];
 *
 *	sluice_options_set(options, "server", "db1:50051,db2:50051");
 *	sluice_options_set(options, "stream", "readings");
 *	sluice_options_set(options, "buffer", "/var/lib/meter/buffer");
 *	if (sluice_producer_open(options, &producer, error, sizeof(error)) != SLUICE_OK)
 *		...
 *	sluice_options_free(options);
 *	sluice_send(producer, &(sluice_record) {.payload = json, .payload_length = length}, NULL);
 *	...
 *	sluice_producer_close(producer, 10000);
 *
 * A consumer gets the rows of a stream's table in order, those that are there and then
 * new ones, whoever wrote them.  The server keeps the position of a subscription with a
 * name: where one consumer stopped the next one goes on.
 *
 *	sluice_consumer *consumer;
 *	sluice_row	row;
 *
 *	sluice_options_set(options, "subscription", "billing");
 *	if (sluice_consumer_open(options, &consumer, error, sizeof(error)) != SLUICE_OK)
 *		...
 *	while (sluice_consumer_next(consumer, -1, &row) == SLUICE_OK)
 *	{
 *		... row.payload, row.payload_length ...
 *		sluice_consumer_ack(consumer, &row);
 *	}
 *	sluice_consumer_close(consumer, 10000);
 *
 * Threads.  A producer may be used by any number of threads at once, until one of them
 * closes it; of a consumer's calls sluice_consumer_next() is for one thread at a time;
 * options are used by one at a time.  The library's own threads block all signals.
 * Fork.  A child of a process with an open producer or consumer must not use it, nor close it; it may exec.
 * As long as it does not, the buffer stays locked, also when the parent has ended.
 * File systems.  The buffer is an LMDB database: not on a network file system.
 * Errors.  Functions that return int return SLUICE_OK (0) or one of the errors below;
 * sluice_error_class() tells whether to try again, to mend the call, or to give up.
 * Memory.  Bounded by the options memory (records on their way from and to the disk), max_records (a few bytes
 * for each block of records on disk, for gaps and entities), and by what gRPC needs.  A consumer has rows that came
 * and were not taken up to the option memory, and two messages more; then it reads no further, and the server waits.
 */
#ifndef SLUICE_H
#define SLUICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C"
{
#endif

#if defined(__GNUC__)
#define SLUICE_API __attribute__((visibility("default")))
#else
#define SLUICE_API
#endif

/* ---- errors ---- */

typedef enum sluice_class
{
	SLUICE_CLASS_OK = 0,
	SLUICE_CLASS_RETRY,			/* the same call may succeed later */
	SLUICE_CLASS_INPUT,			/* mend the arguments, or the options */
	SLUICE_CLASS_FATAL			/* this producer or consumer will not go on: see its message */
} sluice_class;

/* X(name, number, class, text) */
#define SLUICE_ERRORS(X) \
	X(OK, 0, OK, "no error") \
	X(ERROR_FULL, 1, RETRY, "the buffer is full") \
	X(ERROR_DISK, 2, RETRY, "the buffer could not be written to disk") \
	X(ERROR_MEMORY, 3, RETRY, "out of memory") \
	X(ERROR_TIMEOUT, 4, RETRY, "the time is over") \
	X(ERROR_LOCKED, 5, RETRY, "the buffer is in use") \
	X(ERROR_REFUSED, 6, RETRY, "the server refuses") \
	X(ERROR_STALE, 7, RETRY, "the row is handed out again") \
	X(ERROR_INVALID, 20, INPUT, "an argument is not valid") \
	X(ERROR_OPTION, 21, INPUT, "an option is not valid") \
	X(ERROR_TOO_LARGE, 22, INPUT, "the record is larger than the server or the buffer takes") \
	X(ERROR_NOT_FOUND, 23, INPUT, "there is no buffer in this directory") \
	X(ERROR_FENCED, 40, FATAL, "another copy of this buffer has taken its place") \
	X(ERROR_FORKED, 41, FATAL, "the server's past is not the one that is known here") \
	X(ERROR_DAMAGED, 42, FATAL, "the buffer is damaged") \
	X(ERROR_VERSION, 43, FATAL, "the buffer was written by a newer version of the library") \
	X(ERROR_PROTOCOL, 44, FATAL, "the protocol was broken") \
	X(ERROR_CLOSED, 45, FATAL, "it is closed") \
	X(ERROR_DROPPED, 46, FATAL, "the subscription, its stream or the table is not there") \
	X(ERROR_ENDED, 47, FATAL, "the subscription was ended by an Unsubscribe") \
	X(ERROR_UNSUITABLE, 48, FATAL, "the stream cannot be subscribed to like this") \
	X(ERROR_BEYOND_END, 49, FATAL, "the position is above all offsets that the stream has given out") \
	X(ERROR_REPLACED, 50, FATAL, "the stream is another one of the same name")

typedef enum sluice_error
{
#define SLUICE_ERROR_MEMBER(name, number, class, text) SLUICE_##name = number,
	SLUICE_ERRORS(SLUICE_ERROR_MEMBER)
#undef SLUICE_ERROR_MEMBER
} sluice_error;

/* The sentence above; "unknown error" for any other number. */
SLUICE_API const char *sluice_error_text(int error);
SLUICE_API sluice_class sluice_error_class(int error);

/* Of this header; sluice_version() tells that of the library. */
#define SLUICE_VERSION "0.1.0"

SLUICE_API const char *sluice_version(void);

/* ---- options ---- */

/*
 * Options are set as text by their names; sluice_options_describe() lists them
 * with range, default and meaning, and so does libsluice(3).
 *
 * Target strings.  The value of the option server may name other options, too:
 *
 *	sluice://[user[:password]@][host[:port]][,host2[:port2]...][/stream][?option=value[&option=value...]]
 *
 * In user, password, stream and values, and in the path of a unix socket as host, these are written %XX:
 * / ? @ : & % (a space %20).  Without a host it is localhost:50051.  Any option may be a parameter but server and buffer.
 * The string sets what it names, all or (on an error) nothing; what it does not name stays as it was, and of what is set twice the later counts.
 *
 * The role.  With the option user each call logs in as this PostgreSQL role.  Its password is the option password; where that is empty
 * PGPASSWORD of the environment; else the line for the server that is tried in the file of the option passfile, of
 * PGPASSFILE, or ~/.pgpass: host:port:database:user:password, where each of the first four may be *, a colon or backslash in
 * them has a backslash before it, the database is * or sluice, the host is written as in the option server (of a unix socket its path, the port
 * being empty).  A file that others can read is not used, which is told by the log callback.  The environment is read when a
 * producer or consumer is opened (not in a program that runs with more rights than its caller's), the file before each connection, as are those of tls_ca, tls_cert and tls_key.
 * Without TLS a role is told to servers on this machine only: ERROR_OPTION.
 *
 * Refusals.  A login that fails and a privilege that is missing do not end a producer or consumer: the state is REFUSED, records are kept, and it is tried
 * again at the longest backoff, each time told by the log callback: "login failed: ...", "not permitted: ...".  So it
 * is with no such stream.  A server that tells how long to stay away (when it is too busy) is obeyed: the next attempt comes after that time
 * at least, and twice that at most.
 */
typedef struct sluice_options sluice_options;

typedef struct sluice_option_description
{
	const char *name;
	const char *type;			/* "text", "number", "size", "duration", "time", "boolean" or "a|b|c" */
	const char *initial;		/* the default, as text */
	const char *range;			/* for people: "1 ms to 1 h"; "" where there is none */
	const char *meaning;		/* a sentence */
	const char *scope;			/* "producer", "consumer" or "both": whose option it is; others pass over it */
} sluice_option_description;

SLUICE_API sluice_options *sluice_options_create(void);	/* NULL: out of memory */
SLUICE_API void sluice_options_free(sluice_options *options);

/* value is copied.  ERROR_OPTION: no such option, or not such a value; sluice_options_message() tells more. */
SLUICE_API int sluice_options_set(sluice_options *options, const char *name, const char *value);

/* The value as text, until the next call with these options; NULL: no such option. */
SLUICE_API const char *sluice_options_get(sluice_options *options, const char *name);
SLUICE_API const char *sluice_options_message(const sluice_options *options);

/* The index-th option from 0; false: there are no more. */
SLUICE_API bool sluice_options_describe(size_t index, sluice_option_description *description);

/* What became of records. */
typedef enum sluice_verdict
{
	SLUICE_VERDICT_STORED = 1,	/* a row in the table */
	SLUICE_VERDICT_DUPLICATE = 2,	/* its key was known: nothing was stored */
	SLUICE_VERDICT_DEAD_LETTERED = 3,	/* in sluice.dead_letters on the server */
	SLUICE_VERDICT_FILTERED = 4,	/* a trigger of the table swallowed the row */
	SLUICE_VERDICT_DROPPED = 5,	/* given up by an option of this producer, or lost: see reason */
	SLUICE_VERDICT_SET_ASIDE = 6	/* too large for the server: a dead letter of the buffer, which sluice_buffer_dump() shows */
} sluice_verdict;

/* Why records were dropped.  The numbers are those of sluice.v1.GapReason. */
typedef enum sluice_reason
{
	SLUICE_REASON_NONE = 0,
	SLUICE_REASON_FULL = 1,
	SLUICE_REASON_NEWEST = 2,
	SLUICE_REASON_COMPACTED = 3,
	SLUICE_REASON_TOO_LARGE = 4,
	SLUICE_REASON_LOST_TAIL = 5,
	SLUICE_REASON_SERVER_LOST = 6,
	SLUICE_REASON_DAMAGED = 7,
	SLUICE_REASON_PREVIOUS_STREAM = 8
} sluice_reason;

typedef struct sluice_delivery
{
	uint64_t	first;			/* the sequences from first to last have the same verdict */
	uint64_t	last;
	sluice_verdict verdict;
	sluice_reason reason;
} sluice_delivery;

/*
 * Called by a thread of the library, in sequence order, when verdicts have come;
 * it must not block for long, and not call sluice_producer_close(), sluice_flush(), nor
 * sluice_send() where that may wait (durability each; full = block).  After
 * a crash of this process some verdicts are told again, and those of records that
 * were settled just before it are never told.  Of an acknowledgement that was lost with its
 * connection only dead letters are known as such, up to 1,000 of them: the others before the last of these are told as
 * stored, though some may be duplicates or filtered; what is beyond it is not told ("at least once" holds for the records, not for this call).
 */
typedef void (*sluice_delivery_callback) (void *argument, const sluice_delivery *delivery);
SLUICE_API void sluice_options_on_delivery(sluice_options *options, sluice_delivery_callback callback, void *argument);

/*
 * What happens to the connection and to the buffer, for a log.  Called by threads of the library, perhaps before open
 * returns, and never once close has returned; text is good for the call.  It must not call anything of the producer or consumer.
 */
typedef enum sluice_level
{
	SLUICE_LEVEL_INFO = 0,
	SLUICE_LEVEL_WARNING,
	SLUICE_LEVEL_ERROR
} sluice_level;
typedef void (*sluice_log_callback) (void *argument, sluice_level level, const char *text);
SLUICE_API void sluice_options_on_log(sluice_options *options, sluice_log_callback callback, void *argument);

/* ---- producers ---- */

typedef struct sluice_producer sluice_producer;

/*
 * Open the buffer (making it where there is none) and begin to send what is in it.
 * Does not wait for a connection.  options are copied.  On an error *producer is NULL and
 * message (may be NULL) has a sentence for people.
 * ERROR_OPTION, ERROR_INVALID (options or producer is NULL), ERROR_LOCKED (by another process, or open in this
 * one), ERROR_DISK (also where the directory that the buffer's is to be
 * made in is not there), ERROR_MEMORY, ERROR_VERSION; ERROR_FENCED, ERROR_FORKED where it was so the last
 * time.  A damaged buffer is set aside whole, reported by the log callback, and a new one is begun; ERROR_DAMAGED
 * where it became so while it was being opened.  The callbacks may be called before this returns.
 */
SLUICE_API int sluice_producer_open(const sluice_options *options, sluice_producer **producer,
									char *message, size_t message_size);

/* Members that are not set are 0.  All is copied before sluice_send() returns. */
typedef struct sluice_record
{
	const void *payload;
	size_t		payload_length;
	const char *key;			/* idempotency key, UTF-8; NULL: none */
	size_t		key_length;		/* at most 1024 */
	const char *entity;			/* what the record is about, for the option compact; NULL: none */
	size_t		entity_length;	/* at most 255 */
} sluice_record;

/*
 * Put a record into the buffer.  When this returns SLUICE_OK the record will be
 * delivered, as durably as the option durability says, or told and declared as
 * dropped.  *sequence (may be NULL) is its number: 1, 2, 3, … in the order of the calls.
 * ERROR_FULL (option full), ERROR_DISK, ERROR_MEMORY: nothing was put in.
 * ERROR_INVALID, ERROR_TOO_LARGE.  ERROR_FENCED, ERROR_FORKED, ERROR_CLOSED.
 */
SLUICE_API int sluice_send(sluice_producer *producer, const sluice_record *record, uint64_t *sequence);

/*
 * Wait until everything put in before has its verdict.  timeout in milliseconds,
 * -1: for ever.  ERROR_TIMEOUT; ERROR_FENCED, ERROR_FORKED and ERROR_CLOSED as soon as it cannot succeed any more.
 */
SLUICE_API int sluice_flush(sluice_producer *producer, int64_t timeout);

typedef enum sluice_state
{
	SLUICE_STATE_CONNECTING = 0,
	SLUICE_STATE_CONNECTED,		/* open, records flow; a consumer's: it is active */
	SLUICE_STATE_WAITING,		/* for the next attempt: see message */
	SLUICE_STATE_REFUSED,		/* the server refuses (no such stream, not allowed): tried again rarely */
	SLUICE_STATE_FENCED,
	SLUICE_STATE_FORKED,
	SLUICE_STATE_CLOSED,		/* a consumer's: will not go on */
	SLUICE_STATE_STANDBY		/* a consumer's: another one has the subscription */
} sluice_state;

/* All counted since the producer was opened but those marked now. */
typedef struct sluice_statistics
{
	sluice_state state;			/* now */
	uint64_t	last_sequence;	/* the newest number given out, ever */
	uint64_t	acknowledged_through;	/* all up to this number are settled, ever */
	uint64_t	buffered_records;	/* now */
	uint64_t	buffered_bytes; /* now: of payloads and keys */
	uint64_t	oldest_age;		/* now: of the oldest buffered record, milliseconds */
	uint64_t	in_flight;		/* now: sent and not acknowledged */
	uint64_t	file_bytes;		/* now: the buffer on disk */
	uint64_t	put;
	uint64_t	stored;
	uint64_t	duplicates;
	uint64_t	dead_lettered;
	uint64_t	filtered;
	uint64_t	dropped;		/* records given up by full or compact */
	uint64_t	lost;			/* declared as lost_tail, server_lost, damaged, previous_stream */
	uint64_t	set_aside;
	uint64_t	settled_before;	/* settled by an earlier connection whose acknowledgement did not come: their verdict is stored, or was not told; dead letters that are told count as such */
	uint64_t	sent;			/* records handed to a connection, with those sent again */
	uint64_t	resent;
	uint64_t	attempts;		/* connections tried */
	uint64_t	connections;	/* connections opened */
	uint64_t	syncs;			/* transactions written to disk */
} sluice_statistics;

/* size: sizeof(sluice_statistics), so that a later library may know more. */
SLUICE_API void sluice_producer_statistics(sluice_producer *producer, sluice_statistics *statistics, size_t size);

/* What is wrong, or was last, as a sentence; "" as soon as it is connected again.  Copied into message. */
SLUICE_API void sluice_producer_message(sluice_producer *producer, char *message, size_t message_size);

/*
 * Try to deliver what is buffered for at most timeout milliseconds (-1: for
 * ever, 0: not at all), then close.  What is left stays in the buffer for the next
 * run.  ERROR_TIMEOUT, ERROR_FENCED, ERROR_FORKED: something is left.  ERROR_DISK, ERROR_MEMORY: what is left could not be
 * written, though that was tried for a while: what was not on disk before is lost, and the next run
 * declares it so.  The producer is gone whatever is returned, but for ERROR_CLOSED: it is NULL, or was opened by the
 * process that this one is a child of.
 * No thread may begin a call with the producer any more once this was called.  Those that are
 * waiting in sluice_send() or sluice_flush() by then return, with ERROR_CLOSED at the
 * latest when the time is over, before the producer goes.
 */
SLUICE_API int sluice_producer_close(sluice_producer *producer, int64_t timeout);

/* ---- consumers ---- */

typedef struct sluice_consumer sluice_consumer;

/*
 * Begin to connect.  Options: stream, subscription and those that go with them, memory, and those of the
 * connection.  options are copied.  On an error *consumer is NULL and message (may be NULL) has a
 * sentence for people.  ERROR_OPTION, ERROR_INVALID, ERROR_MEMORY.
 *
 * With a subscription the rows have to be acknowledged; the server keeps how far.  One consumer of a subscription is
 * active at a time, others stand by; when it goes, in whatever way, the next one gets the rows from the first on that
 * was not acknowledged.  A consumer whose connection is lost connects again by itself, and is one of them.
 * Rows can so come twice (at least once), unless the subscription is at_most_once: then what was on
 * its way does not come at all, and nothing is acknowledged.
 * Without a subscription nothing is acknowledged either, and each row comes once: after a lost connection
 * it goes on behind the row that was taken last.
 */
SLUICE_API int sluice_consumer_open(const sluice_options *options, sluice_consumer **consumer,
									char *message, size_t message_size);

/* What sluice_consumer_next() has.  All but rows only with the option events, or where it is said. */
typedef enum sluice_event
{
	SLUICE_EVENT_ROW = 0,
	SLUICE_EVENT_STANDBY,		/* another consumer has the subscription: this one waits */
	SLUICE_EVENT_ACTIVE,		/* this one has it, from now on or anew; also with wants_start */
	SLUICE_EVENT_CAUGHT_UP		/* all rows that were there have come: what follows is new */
} sluice_event;

/* How payloads are written.  The numbers are those of sluice.v1.Encoding. */
typedef enum sluice_encoding
{
	SLUICE_ENCODING_JSON = 1,	/* the row as an object: names and values of its columns */
	SLUICE_ENCODING_PROTOBUF = 2,	/* the stream's message */
	SLUICE_ENCODING_BYTES = 3
} sluice_encoding;

/* A position, and what tells whether a server is one that has had it: for a consumer that keeps its position itself. */
typedef struct sluice_token
{
	uint8_t		stream_uid[16];
	uint64_t	system_identifier;	/* of the database cluster */
	uint32_t	timeline;
	uint64_t	lsn;
	int64_t		offset;
} sluice_token;

typedef struct sluice_row
{
	sluice_event event;
	sluice_encoding encoding;
	uint64_t	number;			/* of a row: 1, 2, 3, ... as this consumer hands them out */
	uint64_t	epoch;			/* of the activation: another one each time */
	int64_t		offset;			/* ACTIVE: the server's position; CAUGHT_UP: the last row's */
	int64_t		previous;		/* the offset of the row before it, or the position where there was none */
	int64_t		redrive;		/* it is a dead letter that sluice.redrive() gave back: its id; else 0 */
	uint32_t	attempts;		/* how often it was given back before */
	sluice_token token;			/* of the position behind this row; ACTIVE: of the server's position */
	const void *payload;		/* not NUL-terminated */
	size_t		payload_length;
} sluice_row;

/*
 * The next row, or event.  payload is good until the next call of this for the same consumer, or
 * sluice_consumer_close(); the rest of *row may be copied, and is what ack and nack look at.
 * timeout in milliseconds, -1: for ever, 0: only what is there.  One thread at a time.
 * ERROR_TIMEOUT: there is none yet (nor a connection perhaps: see the statistics).  ERROR_MEMORY.  ERROR_INVALID: row is NULL.  ERROR_CLOSED: after
 * sluice_consumer_stop(), or it is being closed.  Errors that do not go away, each with a sentence in
 * sluice_consumer_message(): ERROR_DROPPED (also where there is no such subscription and the option create is off), ERROR_ENDED,
 * ERROR_UNSUITABLE, ERROR_BEYOND_END (sluice.seek() on the server sets it right), ERROR_FORKED, ERROR_REPLACED, ERROR_PROTOCOL.
 *
 * In SQL in a transaction of its own a program may acknowledge a row together with what it did for it, by
 * sluice.ack(subscription, epoch, "offset", previous), which raises an error where the row has become void.
 */
SLUICE_API int sluice_consumer_next(sluice_consumer *consumer, int64_t timeout, sluice_row *row);

/*
 * This row is done with, and all that were handed out before it.  Does not wait: what
 * the server did not get before the connection is lost comes again.  Any thread.
 * ERROR_STALE: it is void (the connection was lost, a row was given back, the position was changed), and is handed out
 * again, here or by another consumer.  ERROR_INVALID: it is no row.  Nothing happens for a row that needs no acknowledgement.
 */
SLUICE_API int sluice_consumer_ack(sluice_consumer *consumer, const sluice_row *row);

/*
 * This row could not be processed: it comes again after a while, with all that follow it; those that were
 * handed out after it are void.  With the last of the subscription's attempts it becomes a dead
 * letter, with the reason (may be NULL; 1,000 bytes of UTF-8 are kept), and the next row comes.
 * Acknowledge what was handed out before it first: while such a row is not, no attempt is counted.
 * A row with redrive does not come again, and makes none void: the dead letter is open again.  Any thread.
 * ERROR_STALE, ERROR_MEMORY; ERROR_INVALID: it is acknowledged, or cannot be (see ack).
 */
SLUICE_API int sluice_consumer_nack(sluice_consumer *consumer, const sluice_row *row, const char *reason);

/*
 * With the option wants_start: the answer to ACTIVE.  Rows come from the token's offset on, which becomes the server's position;
 * where token is NULL, from the server's own.  Read your position after ACTIVE has come: before that another
 * consumer may still have changed it.  Where the server has lost commits that the token comes from, the
 * consumer ends with ERROR_FORKED, unless accept_fork; another stream of the name is ERROR_REPLACED.
 * ERROR_STALE: this activation is over.  ERROR_INVALID: active is no such event, or was answered.
 */
SLUICE_API int sluice_consumer_start(sluice_consumer *consumer, const sluice_row *active, const sluice_token *token,
									 bool accept_fork);

/* sluice_consumer_next() returns ERROR_CLOSED, at once and from now on.  Any thread; ack and nack go on working. */
SLUICE_API void sluice_consumer_stop(sluice_consumer *consumer);

/* What is to become of a row. */
typedef enum sluice_answer
{
	SLUICE_ANSWER_ACK = 0,
	SLUICE_ANSWER_NACK,
	SLUICE_ANSWER_LATER,		/* the program calls ack or nack itself, or acknowledges a later row */
	SLUICE_ANSWER_STOP			/* not done with; end */
} sluice_answer;

/* *reason is NULL; for NACK it may be set to a text, which is looked at as soon as the callback has returned. */
typedef sluice_answer (*sluice_row_callback) (void *argument, const sluice_row *row, const char **reason);

/*
 * Call callback for each row and, where they are asked for, each event, until it says STOP (SLUICE_OK), or
 * until sluice_consumer_next(), which this is a loop over, returns an error but ERROR_TIMEOUT and ERROR_MEMORY.  The answer to an event is LATER or STOP.
 */
SLUICE_API int sluice_consumer_run(sluice_consumer *consumer, sluice_row_callback callback, void *argument);

/* All counted since the consumer was opened but those marked now. */
typedef struct sluice_consumption
{
	sluice_state state;			/* now */
	bool		caught_up;		/* now: CAUGHT_UP has come in this activation */
	uint64_t	epoch;			/* now; 0: not active */
	int64_t		offset;			/* now: of the last row that was handed out, or the position */
	int64_t		acknowledged;	/* now: all up to here are, as far as this consumer knows */
	uint64_t	waiting_bytes;	/* now: of rows that came and were not taken */
	uint64_t	rows;			/* handed out */
	uint64_t	bytes;			/* of their payloads */
	uint64_t	again;			/* of them: that had been given back before */
	uint64_t	nacks;
	uint64_t	activations;
	uint64_t	acknowledgements;	/* messages: one stands for many rows */
	uint64_t	attempts;		/* connections tried */
	uint64_t	connections;	/* connections opened */
} sluice_consumption;

/* size: sizeof(sluice_consumption), so that a later library may know more.  Any thread. */
SLUICE_API void sluice_consumer_statistics(sluice_consumer *consumer, sluice_consumption *statistics, size_t size);

/* What is wrong, or was last, as a sentence; "" as soon as it is connected again.  Copied into message.  Any thread. */
SLUICE_API void sluice_consumer_message(sluice_consumer *consumer, char *message, size_t message_size);

/*
 * Leave: what was acknowledged is sent, and the server confirms it, within timeout milliseconds (-1: for ever, 0:
 * not at all); the next consumer begins at once.  ERROR_TIMEOUT: it was not confirmed (without a connection that is
 * known at once), rows acknowledged last may come again.  The consumer is gone whatever is returned, but for ERROR_CLOSED: it is NULL, or was opened by the process
 * that this one is a child of.  A thread that waits in sluice_consumer_next() returns before, with ERROR_CLOSED;
 * no other call may be under way or begin.
 */
SLUICE_API int sluice_consumer_close(sluice_consumer *consumer, int64_t timeout);

/*
 * End the consumers of the durable subscription that options name (theirs is ERROR_ENDED); drop: and remove it, its position with
 * it.  Waits for the answer, from each server for connect_timeout at most; who wants to be asked later is asked again, where that
 * is soon enough.  message (may be NULL) gets a sentence for people.
 * ERROR_DROPPED: there is no such subscription.  ERROR_REFUSED, ERROR_TIMEOUT (no server answered), ERROR_OPTION, ERROR_INVALID, ERROR_MEMORY.
 */
SLUICE_API int sluice_unsubscribe(const sluice_options *options, bool drop, char *message, size_t message_size);

/* ---- care of a buffer that no producer has open ---- */

/*
 * Two of these calls work while another process has it open, as is said there.  In
 * the process that has it open, and while another of these calls is at work on it in this process,
 * all of them return ERROR_LOCKED: LMDB's locks are the process's.  For a producer of one's own there
 * is sluice_producer_statistics().
 */

/* Called for each finding; error: it must be repaired. */
typedef void (*sluice_check_callback) (void *argument, bool error, const char *text);

/* Read everything, changing nothing.  ERROR_DAMAGED: there were errors.  ERROR_NOT_FOUND, ERROR_LOCKED, ERROR_VERSION, ERROR_DISK. */
SLUICE_API int sluice_buffer_check(const char *directory, sluice_check_callback callback, void *argument);

typedef struct sluice_buffer_statistics
{
	char		stream[256];
	uint8_t		producer_id[16];
	uint64_t	last_sequence;
	uint64_t	acknowledged_through;
	uint64_t	records;
	uint64_t	bytes;
	uint64_t	gaps;			/* sequences declared and not settled */
	uint64_t	dead_letters;	/* set aside in this buffer */
	uint64_t	file_bytes;
	int64_t		oldest_at;		/* microseconds since 1970-01-01 UTC; 0: empty */
	int			format_version;
	int			condition;		/* SLUICE_OK, SLUICE_ERROR_FENCED, SLUICE_ERROR_FORKED */
	uint64_t	server_sequence;	/* fenced, forked: the server's last sequence */
} sluice_buffer_statistics;

/* Also while another process has it open.  Errors as of sluice_buffer_check(), ERROR_MEMORY, ERROR_INVALID. */
SLUICE_API int sluice_buffer_read_statistics(const char *directory, sluice_buffer_statistics *statistics, size_t size);

typedef struct sluice_buffered
{
	uint64_t	sequence;
	int64_t		at;				/* when it was put in, microseconds since 1970-01-01 UTC */
	const void *payload;
	size_t		payload_length;
	const char *key;
	size_t		key_length;
	const char *entity;
	size_t		entity_length;
	bool		dead_letter;	/* set aside */
	const char *why;			/* of a dead letter */
} sluice_buffered;

/* Called for each record; false ends it. */
typedef bool (*sluice_dump_callback) (void *argument, const sluice_buffered *record);

/* All records in sequence order, then the dead letters.  Also while another process has it open.  Errors as above. */
SLUICE_API int sluice_buffer_dump(const char *directory, sluice_dump_callback callback, void *argument);

/* What to do with records that both copies of a fenced or forked buffer hold. */
typedef enum sluice_shared
{
	SLUICE_SHARED_UNDECIDED = 0,	/* ERROR_INVALID where there are any */
	SLUICE_SHARED_KEEP,			/* send them too: what the other copy sent is doubled */
	SLUICE_SHARED_DROP			/* leave them to the other copy */
} sluice_shared;

typedef struct sluice_repair
{
	bool		new_identity;	/* for a fenced or forked buffer: what is its own is sent under a new identity */
	sluice_shared shared;
	bool		rebind;			/* the stream was replaced: go on with the new one */
	bool		salvage;		/* damaged: copy what can be read into a new buffer, declare the rest */
	bool		discard_dead_letters;
} sluice_repair;

/*
 * What it did is told through callback.  ERROR_INVALID: it does not fit the buffer's condition; nothing was changed.
 * A repair that is cut short leaves the old buffer or the new one, whole; the same call again ends what it had begun.
 */
SLUICE_API int sluice_buffer_repair(const char *directory, const sluice_repair *repair,
									sluice_check_callback callback, void *argument);

#ifdef __cplusplus
}
#endif

#endif							/* SLUICE_H */
