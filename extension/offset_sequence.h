/*
 * offset_sequence.h
 *		The sequence that the values of an offset column are drawn from.
 */
#ifndef SLUICE_OFFSET_SEQUENCE_H
#define SLUICE_OFFSET_SEQUENCE_H

#include "postgres.h"

#include "utils/rel.h"

/*
 * The column's sequence, where its values order the rows as a horizon needs it.
 * InvalidOid: they do not, and *why tells what to do (server's encoding, palloc'ed).
 */
extern Oid	sluice_offset_sequence_find(Relation rel, const char *column, char **why);

/*
 * The last value given out, also those that are not committed; below the first one where there is none yet.
 * False: somebody has the sequence locked (never waits).  Throws where it is gone.
 */
extern bool sluice_offset_sequence_read(Oid sequence, int64 *last_value);

#endif							/* SLUICE_OFFSET_SEQUENCE_H */
