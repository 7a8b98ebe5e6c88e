/*
 * format.h
 *		Payload formats: from the bytes that a sender chose to the columns of a table.
 *
 * Plain C without PostgreSQL, so that the decoders can be fuzzed by
 * themselves.  A format is bound once to the columns of a target
 * (sluice_format_bind, which finds every mismatch between message and table)
 * and then decodes payloads into one SluiceValue a column.  row.h turns those
 * into the input of COPY.
 *
 * protobuf and json go member by member to the columns of the same names; bytes
 * goes whole into the one bytea column (the one named "payload" where there are
 * several).  A json stream whose only column here is one json or jsonb column
 * named "payload", without an overflow column, puts the whole object there.
 *
 * A payload that is refused has an SQLSTATE of class 22 or 54 (the list is in
 * format.c); 53200, out of memory, alone is not the payload's fault.
 *
 * Nothing here keeps state between payloads, reads a clock or does I/O.
 * Memory comes from malloc; every failure to get it is returned, not fatal.
 */
#ifndef SLUICE_FORMAT_H
#define SLUICE_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buffer.h"

typedef enum SluicePayloadFormat
{
	SLUICE_FORMAT_PROTOBUF,
	SLUICE_FORMAT_JSON,
	SLUICE_FORMAT_BYTES
} SluicePayloadFormat;

typedef enum SluiceUnknownFields
{
	SLUICE_UNKNOWN_REJECT,		/* the record is refused */
	SLUICE_UNKNOWN_IGNORE,		/* dropped, because the user said so */
	SLUICE_UNKNOWN_OVERFLOW		/* into the overflow column, as members of a JSON object */
} SluiceUnknownFields;

/* The types whose binary form we write ourselves; all others take the text form. */
typedef enum SluiceColumnType
{
	SLUICE_COLUMN_OTHER = 0,	/* through the type's text input function */
	SLUICE_COLUMN_BOOL,
	SLUICE_COLUMN_INT2,
	SLUICE_COLUMN_INT4,
	SLUICE_COLUMN_INT8,
	SLUICE_COLUMN_FLOAT4,
	SLUICE_COLUMN_FLOAT8,
	SLUICE_COLUMN_NUMERIC,		/* text form only */
	SLUICE_COLUMN_TEXT,			/* text, varchar, bpchar, and domains over them */
	SLUICE_COLUMN_BYTEA,
	SLUICE_COLUMN_JSON,
	SLUICE_COLUMN_JSONB,
	SLUICE_COLUMN_TIMESTAMPTZ,
	SLUICE_COLUMN_TIMESTAMP,
	SLUICE_COLUMN_INTERVAL,
	SLUICE_COLUMN_UUID
} SluiceColumnType;

typedef struct SluiceColumn
{
	const char *name;			/* UTF-8 */
	SluiceColumnType type;		/* of the column, of its elements where is_array */
	const char *type_name;		/* for messages: "timestamp with time zone" */
	bool		is_array;
	bool		has_default;	/* an absent member takes the default (json) */
	bool		not_null;
} SluiceColumn;

typedef enum SluiceValueKind
{
	SLUICE_VALUE_NULL = 0,
	SLUICE_VALUE_DEFAULT,		/* absent, and the column has a default: the caller puts it there */
	SLUICE_VALUE_BOOL,			/* integer != 0 */
	SLUICE_VALUE_INT,			/* integer */
	SLUICE_VALUE_UINT,			/* (uint64_t) integer */
	SLUICE_VALUE_DOUBLE,		/* real */
	SLUICE_VALUE_FLOAT,			/* real, exactly a float */
	SLUICE_VALUE_NUMBER,		/* bytes: a JSON number as it stands */
	SLUICE_VALUE_TEXT,			/* bytes: UTF-8 without NUL */
	SLUICE_VALUE_BYTES,			/* bytes */
	SLUICE_VALUE_JSON,			/* bytes: a JSON value */
	SLUICE_VALUE_TIMESTAMP,		/* integer: microseconds since 2000-01-01 UTC */
	SLUICE_VALUE_INTERVAL,		/* integer: microseconds */
	SLUICE_VALUE_ARRAY			/* bytes: a PostgreSQL array literal */
} SluiceValueKind;

typedef struct SluiceValue
{
	SluiceValueKind kind;
	uint32_t	length;			/* of bytes */
	union
	{
		int64_t		integer;
		double		real;
		const char *bytes;		/* into the payload, or into the decoder's scratch buffer */
	};
} SluiceValue;

/* Why something was refused: for create_stream, and for dead letters. */
typedef struct SluiceFormatError
{
	char		sqlstate[6];
	char		message[512];	/* PostgreSQL's message style, UTF-8, payload content clipped */
	char		hint[256];		/* "" for none */
} SluiceFormatError;

typedef struct SluiceFormatOptions
{
	SluicePayloadFormat format;
	SluiceUnknownFields unknown;
	const char *message_type;	/* protobuf: "package.Message", without a leading dot */
	const uint8_t *descriptor_set;	/* protobuf: a serialized google.protobuf.FileDescriptorSet */
	size_t		descriptor_set_length;
	int			overflow_column;	/* index in columns, -1 for none */
} SluiceFormatOptions;

typedef struct SluiceFormat SluiceFormat;

/*
 * Bind a format to the columns that payloads may fill (the caller leaves out
 * generated, identity-always, offset and envelope columns; the overflow
 * column is among them).  Strings and arrays are copied.  On success
 * sluice_format_filled() tells which columns the format can fill at all: the
 * COPY list is made of these.  NULL with *error set on any mismatch, also when
 * a NOT NULL column without default can never be filled.
 */
extern SluiceFormat *sluice_format_bind(const SluiceFormatOptions *options,
										const SluiceColumn *columns, int ncolumns,
										SluiceFormatError *error);
extern void sluice_format_free(SluiceFormat *format);
extern bool sluice_format_filled(const SluiceFormat *format, int column);

/*
 * Decode one payload into values[ncolumns] (all columns given to bind; those
 * never filled are NULL).  values stay valid until the next call with the
 * same format, and as long as payload does.  False with *error set when the
 * payload is refused; nothing is kept of it then.
 */
extern bool sluice_format_decode(SluiceFormat *format,
								 const uint8_t *payload, size_t length,
								 SluiceValue *values, SluiceFormatError *error);

/*
 * The columns of the table that create_stream makes where none is named: SQL
 * text such as "device_id text, temperature double precision", appended to
 * out.  For json and bytes the one payload column.
 */
extern bool sluice_format_table_columns(const SluiceFormatOptions *options,
										SluiceBuffer *out, SluiceFormatError *error);

#endif							/* SLUICE_FORMAT_H */
