/*
 * protobuf_row.h
 *		A row as the stream's protobuf message: its fields from the columns of the same names.
 *
 * The way back of format_protobuf.c: a record that was stored so comes out with
 * the same meaning.  Fields that went to the overflow column come from there; those that
 * the stream ignores, and unknown ones, do not come back.
 */
#ifndef SLUICE_PROTOBUF_ROW_H
#define SLUICE_PROTOBUF_ROW_H

#include "postgres.h"

#include "access/tupdesc.h"
#include "buffer.h"
#include "nodes/pg_list.h"
#include "stream.h"

typedef struct SluiceProtobufRow SluiceProtobufRow;

/* In the current memory context, with which it goes.  Throws what create_stream would: the message type cannot be read. */
extern SluiceProtobufRow *sluice_protobuf_row_create(SluiceStream *stream, TupleDesc table);

/* Names of the columns that are wanted, in the order in which their values are to be given. */
extern List *sluice_protobuf_row_columns(const SluiceProtobufRow *row);

/* Append one row.  What is palloc'ed on the way is left to the caller's context.  Throws where a value is none of its field's. */
extern void sluice_protobuf_row_write(SluiceProtobufRow *row, const Datum *values, const bool *nulls, SluiceBuffer *out);

#endif							/* SLUICE_PROTOBUF_ROW_H */
