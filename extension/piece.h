/*
 * piece.h
 *		Some records of one stream on their way into its target, in one go.
 *
 * A piece is stored whole or not at all: on an error the caller rolls back
 * and decides what to try next (isolate.c).
 */
#ifndef SLUICE_PIECE_H
#define SLUICE_PIECE_H

#include "postgres.h"

#include "buffer.h"
#include "record.h"
#include "stream.h"
#include "target.h"

/* Why a record is refused. */
typedef struct SluiceReason
{
	char		sqlstate[6];
	char	   *message;		/* in the server's encoding, like all of these; never NULL */
	char	   *detail;			/* these may be NULL */
	char	   *hint;
	char	   *context;
	char	   *constraint;
} SluiceReason;

/* A record within a batch. */
typedef struct SluiceItem
{
	SluiceRecord *record;
	struct SluiceShare *share;	/* the records of its stream in this batch */
	struct SluiceClaim *claim;	/* of its producer, where it has a sequence (claims.h) */
	struct SluiceItem *leader;	/* an earlier record of the batch with the same key and payload */
	SluiceReason *reason;		/* where the verdict is dead-lettered: why; NULL: known as such */
	SluiceVerdict verdict;		/* so far; PENDING: none, to be tried later */
	bool		store;			/* goes to the target in this transaction */
	bool		has_key;
	bool		renews;			/* its key is known as dead-lettered, with another payload */
	bool		conflicts;		/* its key is known with another payload */
	bool		barred;			/* one of its producer's before it has to wait */
} SluiceItem;

typedef struct SluicePiece
{
	SluiceStream *stream;
	SluiceTarget *target;
	Relation	rel;
	Oid			role;			/* as whom user code runs; InvalidOid: the current user, in sluice.ingest() */
	bool		in_worker;		/* the session is ours, and sluice.statement_timeout applies */
	bool		for_client;		/* role is that of clients, who may lack a privilege */
	MemoryContext context;		/* where reasons go: lives as long as the batch */
	MemoryContext workspace;	/* reset by each attempt at storing */
	SluiceItem **items;
	int			nitems;

	SluiceItem *suspect;		/* after an error: the record that COPY was at; or NULL */
} SluicePiece;

/*
 * Store the records, fire what is deferred, set the items' verdicts: stored,
 * filtered, or dead-lettered where a payload could not be decoded.  Throws on
 * any error of the target.  False: must be rolled back and tried again, in a way
 * that now tells which rows were filtered.
 */
extern bool sluice_piece_store(SluicePiece *piece);

/* A new reason, from what a format says, and from what the target raised. */
extern SluiceReason *sluice_piece_reason(const SluiceFormatError *error);
extern SluiceReason *sluice_piece_error_reason(const ErrorData *error);

/*
 * piece_row.c: rows of COPY's input.  Encode the next record into out (emptied
 * first); false where it cannot be: the item has its reason then.
 */
typedef struct SluiceRowWriter
{
	SluicePiece *piece;
	MemoryContext context;		/* of the piece: COPY's is reset with every row */
	SluiceValue *values;		/* [target->ncolumns] */
	EState	   *estate;			/* for defaults; made when first needed */
	ExprState **defaults;		/* [nfields] */
	char		key_text[40];
	char		producer_text[40];
} SluiceRowWriter;

extern void sluice_row_writer_begin(SluiceRowWriter *writer, SluicePiece *piece);
extern bool sluice_row_writer_encode(SluiceRowWriter *writer, SluiceItem *item, SluiceBuffer *out);
extern void sluice_row_writer_end(SluiceRowWriter *writer);

/* One field as text that the column's input function reads, UTF-8, palloc'ed; NULL for NULL.  After encode_begin of the record. */
extern bool sluice_row_writer_decode(SluiceRowWriter *writer, SluiceItem *item);
extern char *sluice_row_writer_text(SluiceRowWriter *writer, SluiceItem *item, int field);

/* piece_insert.c: by INSERT ... SELECT, where COPY may not (row security).  Returns how many rows were stored. */
extern uint64 sluice_piece_insert(SluicePiece *piece, int *given);

#endif							/* SLUICE_PIECE_H */
