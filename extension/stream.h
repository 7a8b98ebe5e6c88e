/*
 * stream.h
 *		Streams as this session knows them: a cache over sluice.streams.
 *
 * An entry that was found stays readable until sluice_stream_sweep(), which
 * batch.c calls when no batch is under way in this session; but it may be out of date at once, so a pointer is not kept across
 * transactions.
 */
#ifndef SLUICE_STREAM_H
#define SLUICE_STREAM_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "format.h"
#include "record.h"

/* What of the envelope can fill a column. */
typedef enum SluiceEnvelopeItem
{
	SLUICE_ENVELOPE_KEY,
	SLUICE_ENVELOPE_RECEIVED_AT,
	SLUICE_ENVELOPE_CLIENT_ADDRESS,
	SLUICE_ENVELOPE_ROLE,
	SLUICE_ENVELOPE_PRODUCER,
	SLUICE_ENVELOPE_SEQUENCE
} SluiceEnvelopeItem;

#define SLUICE_ENVELOPE_ITEMS (SLUICE_ENVELOPE_SEQUENCE + 1)

extern const char *const sluice_envelope_names[SLUICE_ENVELOPE_ITEMS];

typedef struct SluiceStream
{
	int32		id;
	uint8		uid[SLUICE_UID_SIZE];
	char	   *name;
	Oid			target;
	Oid			owner;
	SluicePayloadFormat format;
	char	   *message_type;	/* protobuf only */
	uint8	   *descriptor_set; /* protobuf only; never NULL there */
	size_t		descriptor_set_length;
	SluiceUnknownFields unknown;
	char	   *offset_column;	/* or NULL */
	char	   *overflow_column;	/* or NULL */
	char	   *envelope[SLUICE_ENVELOPE_ITEMS];	/* columns, or NULL */
	bool		allow_foreign;
	bool		dead_letter_conflicts;	/* key_conflict = 'dead_letter' */
	int32		rate;			/* records a second, 0: no limit; SLUICE_BUCKETS_DEFAULT: the setting's */
	int32		burst;			/* records, 0: a second's worth; SLUICE_BUCKETS_DEFAULT: the setting's */
	char	   *held_reason;	/* or NULL */
	bool		restored;		/* from a dump, and not resumed since: what belongs to it may still be on its way */
	struct SluiceTarget *bound; /* see target.h; NULL until then */
	MemoryContext context;		/* all of the above */
} SluiceStream;

/* NULL where there is no such stream. */
extern PGDLLEXPORT SluiceStream *sluice_stream_by_id(int32 id);

/* By name in the server's encoding, "" for the default stream; NULL where there is none. */
extern PGDLLEXPORT SluiceStream *sluice_stream_by_name(const char *name);

/* The same; an error where there is none. */
extern SluiceStream *sluice_stream_get(const char *name);

/* How often streams have changed, as this session has noticed. */
extern uint64 sluice_stream_changes(void);

/* Free a context at the next sweep: something may still point into it. */
extern void sluice_stream_bury(MemoryContext context);
extern PGDLLEXPORT void sluice_stream_sweep(void);

/* This database and this installation of the extension in it, as sluice.streams.home has it. */
extern char *sluice_stream_home(void);

/*
 * Hold off changes of the stream until the end of the transaction: while the
 * lock is held, hold, alter and drop of it wait.  False: one of them has it (only
 * where wait is false).
 */
extern bool sluice_stream_lock(int32 id, bool exclusive, bool wait);

/* Text from a sender or a format (UTF-8) for a message: what cannot be converted becomes '?'.  palloc'ed. */
extern char *sluice_stream_text(const char *utf8, size_t length);

#endif							/* SLUICE_STREAM_H */
