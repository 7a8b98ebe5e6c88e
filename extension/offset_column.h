/*
 * offset_column.h
 *		The column that orders the rows of a stream, and the sequence that fills it.
 */
#ifndef SLUICE_OFFSET_COLUMN_H
#define SLUICE_OFFSET_COLUMN_H

#include "postgres.h"

#include "stream.h"
#include "utils/rel.h"

/*
 * The sequence of a table's column, where its values order the rows as a horizon needs it.
 * InvalidOid: they do not, and *why tells what to do (server's encoding, palloc'ed).
 */
extern Oid	sluice_offset_column_find(Relation rel, const char *column, char **why);

/* That of the stream's offset column, which it has; an error where it cannot order the rows. */
extern Oid	sluice_offset_column_sequence(const SluiceStream *stream);

/* The last offset that was given out, also to transactions under way; what is given out next is greater. */
extern int64 sluice_offset_column_last(Oid sequence);

/* The same without waiting.  False: somebody has the sequence locked.  Throws where it is gone. */
extern bool sluice_offset_column_try_last(Oid sequence, int64 *last);

/* The position before every offset that the sequence can give out. */
extern int64 sluice_offset_column_origin(Oid sequence);

#endif							/* SLUICE_OFFSET_COLUMN_H */
