/*
 * input.h
 *		From the bytes of an input to records: payload, key and entity.
 *
 * A core without I/O: the caller offers what it has read, and is told how much
 * of it was used, or that more is needed.  One SluiceInput per file.  Memory
 * is bounded: a record whose bytes exceed the limit is an error.
 */
#ifndef SLUICE_INPUT_H
#define SLUICE_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "text.h"

typedef struct SluiceInput SluiceInput;

typedef enum SluiceInputResult
{
	SLUICE_INPUT_RECORD,
	SLUICE_INPUT_MORE,			/* offer the unused bytes again, with more behind them */
	SLUICE_INPUT_END,			/* only where at_end was said */
	SLUICE_INPUT_ERROR			/* sluice_input_error(), at sluice_input_line(); the input cannot go on */
} SluiceInputResult;

typedef struct SluiceInputRecord
{
	const char *payload;		/* these are valid until the next call */
	size_t		payload_length;
	const char *key;			/* NULL where no key column was asked for */
	size_t		key_length;
	const char *entity;			/* NULL where none was asked for, or the record has none */
	size_t		entity_length;
	uint64_t	line;			/* the record's first one, from 1 */
} SluiceInputRecord;

/* The kinds of input. */
typedef struct SluiceInputFormat
{
	const char *name;
	bool		has_columns;	/* a key and an entity can be asked for */
	/* As sluice_input_next(), without a byte-order mark. */
	SluiceInputResult (*next) (SluiceInput *input, const char *bytes, size_t length, bool at_end,
							   size_t *used, SluiceInputRecord *record);
	void		(*free) (SluiceInput *input);	/* NULL: nothing to free */
} SluiceInputFormat;

extern const SluiceInputFormat sluice_input_ndjson;
extern const SluiceInputFormat sluice_input_csv;
extern const SluiceInputFormat sluice_input_lines;
extern const SluiceInputFormat sluice_input_protobuf;

/* By its name, or NULL. */
extern const SluiceInputFormat *sluice_input_format(const char *name);

/* key_column: NULL for none; must outlive the input. */
extern SluiceInput *sluice_input_create(const SluiceInputFormat *format, const char *key_column, size_t max_record);
extern void sluice_input_free(SluiceInput *input);

/* Before the first record: the column that is the entity; must outlive the input. */
extern void sluice_input_want_entity(SluiceInput *input, const char *entity_column);

/*
 * The next record of bytes[0 .. length).  *used bytes are done with, whatever
 * is returned; the caller drops them and offers the rest in the next call.
 * at_end: there is nothing behind these bytes.
 */
extern SluiceInputResult sluice_input_next(SluiceInput *input, const char *bytes, size_t length, bool at_end,
										   size_t *used, SluiceInputRecord *record);
extern const char *sluice_input_error(const SluiceInput *input);
extern uint64_t sluice_input_line(const SluiceInput *input);

/* What follows is for the formats. */

typedef enum SluiceInputColumnKind
{
	SLUICE_INPUT_KEY,			/* every record must have one */
	SLUICE_INPUT_ENTITY,
	SLUICE_INPUT_COLUMNS
} SluiceInputColumnKind;

/* A column whose text goes along with the payload. */
typedef struct SluiceInputColumn
{
	const char *name;			/* NULL: not wanted */
	size_t		name_length;
	SluiceText	text;			/* the record's */
} SluiceInputColumn;

typedef struct SluiceCsvHeader
{
	char	  **names;			/* each as a JSON string with its quotes and the colon behind it */
	size_t	   *lengths;
	size_t		count;
	size_t		places[SLUICE_INPUT_COLUMNS];	/* of the columns that are wanted, or SIZE_MAX */
} SluiceCsvHeader;

struct SluiceInput
{
	const SluiceInputFormat *format;
	SluiceInputColumn columns[SLUICE_INPUT_COLUMNS];
	size_t		max_record;
	bool		started;		/* a byte-order mark can only come before */
	uint64_t	line;			/* of the next unused byte */
	uint64_t	error_line;
	size_t		scanned;		/* unused bytes that were already looked at for the record's end */
	bool		quoted;			/* CSV: where the look-out stopped */
	uint64_t	newlines;		/* CSV: within the part that was looked at */
	SluiceCsvHeader *header;	/* CSV: NULL until it was read */
	SluiceText	payload;
	SluiceText	name;
	char		error[512];
};

/* Sets the error; the return value is SLUICE_INPUT_ERROR. */
extern SluiceInputResult sluice_input_fail(SluiceInput *input, uint64_t line, const char *message, ...)
			__attribute__((format(printf, 3, 4)));

/*
 * The next line without its newline: RECORD with *line_length (and *used),
 * MORE, END, or ERROR for one longer than the limit.
 */
extern SluiceInputResult sluice_input_next_line(SluiceInput *input, const char *bytes, size_t length, bool at_end,
												size_t *used, size_t *line_length);

/* "key" or "entity", for messages. */
extern const char *sluice_input_column_role(int kind);

/* Is this the name of that column? */
extern bool sluice_input_is_column(const SluiceInput *input, int kind, const char *name, size_t length);

/* Checks the columns' texts and puts them into the record: RECORD or ERROR. */
extern SluiceInputResult sluice_input_take_columns(SluiceInput *input, SluiceInputRecord *record);

#endif							/* SLUICE_INPUT_H */
