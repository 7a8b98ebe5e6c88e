/*
 * input.h
 *		From the bytes of an input to records: payload and key.
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
	uint64_t	line;			/* the record's first one, from 1 */
} SluiceInputRecord;

/* The kinds of input. */
typedef struct SluiceInputFormat
{
	const char *name;
	bool		has_columns;	/* a key column can be asked for */
	/* As sluice_input_next(), without a byte-order mark. */
	SluiceInputResult (*next) (SluiceInput *input, const char *bytes, size_t length, bool at_end,
							   size_t *used, SluiceInputRecord *record);
	void		(*free) (SluiceInput *input);	/* NULL: nothing to free */
} SluiceInputFormat;

extern const SluiceInputFormat sluice_input_ndjson;
extern const SluiceInputFormat sluice_input_csv;
extern const SluiceInputFormat sluice_input_lines;

/* By its name, or NULL. */
extern const SluiceInputFormat *sluice_input_format(const char *name);

/* key_column: NULL for none; must outlive the input. */
extern SluiceInput *sluice_input_create(const SluiceInputFormat *format, const char *key_column, size_t max_record);
extern void sluice_input_free(SluiceInput *input);

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

typedef struct SluiceCsvHeader
{
	char	  **names;			/* each as a JSON string with its quotes and the colon behind it */
	size_t	   *lengths;
	size_t		count;
	size_t		key;			/* the key column, or count */
} SluiceCsvHeader;

struct SluiceInput
{
	const SluiceInputFormat *format;
	const char *key_column;
	size_t		key_column_length;
	size_t		max_record;
	bool		started;		/* a byte-order mark can only come before */
	uint64_t	line;			/* of the next unused byte */
	uint64_t	error_line;
	size_t		scanned;		/* unused bytes that were already looked at for the record's end */
	bool		quoted;			/* CSV: where the look-out stopped */
	uint64_t	newlines;		/* CSV: within the part that was looked at */
	SluiceCsvHeader *header;	/* CSV: NULL until it was read */
	SluiceText	payload;
	SluiceText	key;
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

/* Checks input->key and puts it into the record: RECORD or ERROR. */
extern SluiceInputResult sluice_input_take_key(SluiceInput *input, SluiceInputRecord *record);

#endif							/* SLUICE_INPUT_H */
