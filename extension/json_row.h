/*
 * json_row.h
 *		A row as a JSON object: the names and values of its columns.
 */
#ifndef SLUICE_JSON_ROW_H
#define SLUICE_JSON_ROW_H

#include "postgres.h"

#include "access/tupdesc.h"
#include "buffer.h"

typedef struct SluiceJsonRow SluiceJsonRow;

/* For all columns of a table; in the current memory context. */
extern SluiceJsonRow *sluice_json_row_create(TupleDesc table);

/* Append one row: the values of the columns that were not dropped.  What is palloc'ed on the way is left to the caller's context. */
extern void sluice_json_row_write(SluiceJsonRow *row, const Datum *values, const bool *nulls, SluiceBuffer *out);

#endif							/* SLUICE_JSON_ROW_H */
