/*
 * format_methods.h
 *		What a payload format implements, and what format.c gives to all of them.
 *
 * Private to the format*.c files and row.c.  The methods are called by
 * format.c alone.  Bytes that a decoder makes go into scratch; as scratch may
 * move while it grows, a value in it holds its start as "integer" and is
 * marked in in_scratch until format.c puts the address there.  A decoder sets
 * each column's value in scratch at most once a record.
 */
#ifndef SLUICE_FORMAT_METHODS_H
#define SLUICE_FORMAT_METHODS_H

#include "format.h"

/* A payload may grow while it is decoded (names of enums, base64, quotes), but not beyond this. */
#define SLUICE_FORMAT_SCRATCH_LIMIT ((size_t) 256 << 20)

/* Scratch that an unusual record blew up beyond this is given back. */
#define SLUICE_FORMAT_SCRATCH_KEPT ((size_t) 1 << 20)

typedef struct SluiceFormatMethods
{
	bool		(*bind) (SluiceFormat *format, const SluiceFormatOptions *options, SluiceFormatError *error);
	bool		(*decode) (SluiceFormat *format, const uint8_t *payload, size_t length,
						   SluiceValue *values, SluiceFormatError *error);
	void		(*release) (SluiceFormat *format);	/* frees state, also after a bind that failed */
	bool		(*table_columns) (const SluiceFormatOptions *options, SluiceBuffer *out, SluiceFormatError *error);
} SluiceFormatMethods;

struct SluiceFormat
{
	const SluiceFormatMethods *methods;
	void	   *state;			/* the format's own */

	SluiceColumn *columns;		/* copies */
	int			ncolumns;
	int			overflow_column;
	SluiceUnknownFields unknown;

	bool	   *filled;			/* by column: set by bind */
	bool	   *text_only;		/* by column: may yield a value without binary form; set by bind */

	SluiceBuffer scratch;
	bool	   *in_scratch;		/* by column */
	bool		any_in_scratch;
};

extern const SluiceFormatMethods sluice_format_json;
extern const SluiceFormatMethods sluice_format_protobuf;

/* What was appended to scratch since start becomes the value of a column. */
static inline void
sluice_format_set_scratch(SluiceFormat *format, int column, SluiceValue *values,
						  SluiceValueKind kind, size_t start)
{
	values[column].kind = kind;
	values[column].length = (uint32_t) (format->scratch.length - start);
	values[column].integer = (int64_t) start;
	format->in_scratch[column] = true;
	format->any_in_scratch = true;
}

/* The overflow column of a record that has nothing to put there. */
extern void sluice_format_set_no_overflow(SluiceFormat *format, SluiceValue *values);

#endif							/* SLUICE_FORMAT_METHODS_H */
