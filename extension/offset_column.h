/*
 * offset_column.h
 *		The column that orders the rows of a stream, and the sequence that fills it.
 */
#ifndef SLUICE_OFFSET_COLUMN_H
#define SLUICE_OFFSET_COLUMN_H

#include "postgres.h"

#include "stream.h"

/*
 * The sequence of the stream's offset column, which it has.  An error where the column cannot
 * order the rows: one that is missing, that no increasing sequence of its own with
 * CACHE 1 fills, or of a relation whose transactions cannot be seen here.  Within SPI.
 */
extern Oid	sluice_offset_column_sequence(const SluiceStream *stream);

/* The last offset that was given out; what is given out next is greater. */
extern int64 sluice_offset_column_last(Oid sequence);

/* The position before every offset that the sequence can give out. */
extern int64 sluice_offset_column_origin(Oid sequence);

#endif							/* SLUICE_OFFSET_COLUMN_H */
