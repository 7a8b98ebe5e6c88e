/*
 * reading.h
 *		Rows of a stream's target in offset order, as a consumer gets them.
 *
 * Read by a prepared SELECT, as the consumer's role or the stream's owner, so that partitions, column
 * privileges and row security are what they are for a SELECT of that role;
 * written, row by row as the executor hands them out, as field "rows" of
 * sluice.v1.Rows.
 */
#ifndef SLUICE_READING_H
#define SLUICE_READING_H

#include "postgres.h"

#include "buffer.h"
#include "stream.h"

/* sluice.v1.Encoding */
typedef enum SluiceEncoding
{
	SLUICE_ENCODING_STREAM = 0, /* by the stream's payload format */
	SLUICE_ENCODING_JSON = 1,
	SLUICE_ENCODING_PROTOBUF = 2,
	SLUICE_ENCODING_BYTES = 3
} SluiceEncoding;

typedef struct SluiceReading SluiceReading;

/*
 * In a transaction: prepare for a stream (its target exists), to be read as this role, or as its owner for InvalidOid.  NULL: its rows cannot be written so, *why
 * tells what to do.  Lives in TopMemoryContext until freed; the stream's entry may go meanwhile.
 */
extern PGDLLEXPORT SluiceReading *sluice_reading_create(SluiceStream *stream, Oid role, SluiceEncoding encoding, char **why);
extern PGDLLEXPORT void sluice_reading_free(SluiceReading *reading);
extern PGDLLEXPORT SluiceEncoding sluice_reading_encoding(const SluiceReading *reading);	/* never STREAM */

/* The table, the stream's settings, or its owner have changed: make it anew. */
extern PGDLLEXPORT bool sluice_reading_is_stale(const SluiceReading *reading);

/* A row that was nacked before: so often. */
typedef struct SluiceNacked
{
	int64		offset;			/* 0: there is none */
	uint32		attempts;
} SluiceNacked;

/*
 * In a transaction, which is to be ended afterwards: the rows with after < offset <=
 * through, at most max_rows, appended to rows until that has max_bytes more (one row is always taken).  Their
 * offsets go to offsets[].  Takes a new snapshot.  Returns how many.  *complete: there are no more of them up to through.
 * Throws what SELECT throws.
 */
extern PGDLLEXPORT int sluice_reading_read(SluiceReading *reading, int64 after, int64 through, int max_rows, size_t max_bytes,
										   SluiceNacked nacked, SluiceBuffer *rows, int64 *offsets, bool *complete);

/*
 * After a read has thrown: was it while a row was written, and is the error that row's?  Its offset, and how
 * many rows of that read came before it.
 */
extern PGDLLEXPORT bool sluice_reading_was_writing(const SluiceReading *reading, int64 *offset, int *before);

/* The payload of the one row with this offset, palloc'ed; false: it is not there. */
extern PGDLLEXPORT bool sluice_reading_payload(SluiceReading *reading, int64 offset, uint8 **payload, size_t *length);

/* Append one row in the same form. */
extern PGDLLEXPORT void sluice_reading_append(SluiceBuffer *rows, int64 offset, const uint8 *payload, size_t length,
											  int64 redrive, uint32 attempts);

/* The position from which on rows come that were received at this time (microseconds since 1970) or later.  False: no column keeps received_at. */
extern PGDLLEXPORT bool sluice_reading_offset_at(SluiceReading *reading, int64 time, int64 *offset);

#endif							/* SLUICE_READING_H */
