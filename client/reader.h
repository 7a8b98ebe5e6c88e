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
#include "places.h"

typedef struct SluiceReader SluiceReader;

typedef struct SluiceReaderOptions
{
	const SluiceInputFormat *format;
	const char *key_column;		/* NULL: none */
	const char *entity_column;	/* NULL: none */
	size_t		max_record;
	char	  **files;			/* "-" is standard input */
	size_t		nfiles;

	/* In the reader's thread. */
	void	   *argument;
	/* False: read no further; with a message where the record is to blame. */
	bool		(*take) (void *argument, const SluiceInputRecord *record, size_t source, char *message, size_t message_size);
	void		(*ended) (void *argument);	/* the thread is about to end */
} SluiceReaderOptions;

/* Starts the thread.  The options and what they point to must outlive it. */
extern SluiceReader *sluice_reader_start(const SluiceReaderOptions *options);

/* From any thread: wait for no more input.  Records that were read completely are still handed over. */
extern void sluice_reader_stop(SluiceReader *reader);

/* Wait for the thread, which ends with the input, at an error, when stopped, or when a record was not taken. */
extern void sluice_reader_join(SluiceReader *reader);
extern void sluice_reader_free(SluiceReader *reader);

/* After join: what was wrong with the input, with file and line, or NULL. */
extern const char *sluice_reader_error(const SluiceReader *reader);

/* After join: was the whole input taken? */
extern bool sluice_reader_complete(const SluiceReader *reader);

/* "FILE:LINE" */
extern void sluice_reader_locate(const SluiceReaderOptions *options, SluicePlace place, char *text, size_t size);

/* After join: the last record that was taken; false: there was none. */
extern bool sluice_reader_last(const SluiceReader *reader, SluicePlace *place);

#endif							/* SLUICE_READER_H */
