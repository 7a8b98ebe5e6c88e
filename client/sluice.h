/*
 * sluice.h
 *		libsluice: records into PostgreSQL tables exactly once, over bad networks.
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
 * Threads.  A producer may be used by any number of threads at once, until one of them
 * closes it; options by one at a time.  The library's own threads block all signals.
 * Fork.  A child of a process with an open producer must not use it, nor close it; it may exec.
 * As long as it does not, the buffer stays locked, also when the parent has ended.
 * File systems.  The buffer is an LMDB database: not on a network file system.
 * Errors.  Functions that return int return SLUICE_OK (0) or one of the errors below;
 * sluice_error_class() tells whether to try again, to mend the call, or to give up.
 * Memory.  Bounded by the options memory (records on their way from and to the disk), max_records (a few bytes
 * for each block of records on disk, for gaps and entities), and by what gRPC needs.
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
	SLUICE_CLASS_FATAL			/* this producer will not go on: see sluice_producer_message() */
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
	X(ERROR_INVALID, 20, INPUT, "an argument is not valid") \
	X(ERROR_OPTION, 21, INPUT, "an option is not valid") \
	X(ERROR_TOO_LARGE, 22, INPUT, "the record is larger than the server or the buffer takes") \
	X(ERROR_NOT_FOUND, 23, INPUT, "there is no buffer in this directory") \
	X(ERROR_FENCED, 40, FATAL, "another copy of this buffer has taken its place") \
	X(ERROR_FORKED, 41, FATAL, "the server has what this buffer did not send") \
	X(ERROR_DAMAGED, 42, FATAL, "the buffer is damaged") \
	X(ERROR_VERSION, 43, FATAL, "the buffer was written by a newer version of the library") \
	X(ERROR_PROTOCOL, 44, FATAL, "the server broke the protocol") \
	X(ERROR_CLOSED, 45, FATAL, "the producer is closed")

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
 */
typedef struct sluice_options sluice_options;

typedef struct sluice_option_description
{
	const char *name;
	const char *type;			/* "text", "number", "size", "duration", "boolean" or "a|b|c" */
	const char *initial;		/* the default, as text */
	const char *range;			/* for people: "1 ms to 1 h"; "" where there is none */
	const char *meaning;		/* a sentence */
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

/* What happens to the connection and to the buffer, for a log.  Called by threads of the library; text is good for the call.  It must not call anything of the producer. */
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
	SLUICE_STATE_CONNECTED,		/* open, records flow */
	SLUICE_STATE_WAITING,		/* for the next attempt: see message */
	SLUICE_STATE_REFUSED,		/* the server refuses (no such stream, not allowed): tried again rarely */
	SLUICE_STATE_FENCED,
	SLUICE_STATE_FORKED,
	SLUICE_STATE_CLOSED
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
	uint64_t	settled_before;	/* settled by an earlier connection whose acknowledgement did not come: their verdict is stored, or dead-lettered where the server told */
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
