/*
 * reader.h
 *		The thread that reads the input and makes its records.
 */
#ifndef SLUICE_READER_H
#define SLUICE_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "input.h"
#include "queue.h"

typedef struct SluiceReader SluiceReader;

typedef struct SluiceReaderOptions
{
	const SluiceInputFormat *format;
	const char *key_column;		/* NULL: a UUIDv7 for each record */
	size_t		max_record;		/* of a message */
	char	  **files;			/* "-" is standard input */
	size_t		nfiles;
} SluiceReaderOptions;

/* Starts the thread.  The options and what they point to must outlive it. */
extern SluiceReader *sluice_reader_start(const SluiceReaderOptions *options, SluiceQueue *queue);

/* From any thread: read no further.  Records that were read completely are still pushed. */
extern void sluice_reader_stop(SluiceReader *reader);

/* Wait for the thread, which ends with the input, at an error, when stopped, or once the queue is closed. */
extern void sluice_reader_join(SluiceReader *reader);
extern void sluice_reader_free(SluiceReader *reader);

/* After join: what was wrong with the input, with file and line, or NULL. */
extern const char *sluice_reader_error(const SluiceReader *reader);

/* After join: was the whole input made into records? */
extern bool sluice_reader_complete(const SluiceReader *reader);

/* "FILE:LINE" of a record, or of the last one that was pushed for NULL ("" where there is none). */
extern void sluice_reader_locate(const SluiceReader *reader, const SluiceClientRecord *record,
								 char *place, size_t size);

#endif							/* SLUICE_READER_H */
