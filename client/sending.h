/*
 * sending.h
 *		A run of "sluice send": the reader puts records into a producer, until all are acknowledged.
 */
#ifndef SLUICE_SENDING_H
#define SLUICE_SENDING_H

#include <stdbool.h>
#include <stdint.h>

#include "progress.h"
#include "reader.h"
#include "sluice.h"

typedef struct SluiceSending SluiceSending;

typedef struct SluiceSendingOptions
{
	sluice_options *library;	/* callbacks are set by the sending */
	SluiceReaderOptions reader; /* argument and functions too */
	bool		patient;		/* a full buffer is waited for */
	int64_t		timeout;		/* without an acknowledgement, nanoseconds; SLUICE_NEVER */
	bool		quiet;
	bool		show_progress;
	SluiceProgress *progress;
} SluiceSendingOptions;

typedef enum SluiceSendingResult
{
	SLUICE_SENDING_DONE,		/* all that was put in has its verdict */
	SLUICE_SENDING_GAVE_UP,
	SLUICE_SENDING_REFUSED,		/* by the server */
	SLUICE_SENDING_FENCED		/* or forked */
} SluiceSendingResult;

/* Opens the producer.  NULL: *error and message tell why.  options must outlive it.  Signals are blocked already. */
extern SluiceSending *sluice_sending_create(const SluiceSendingOptions *options, int *error,
										   char *message, size_t message_size);

extern SluiceSendingResult sluice_sending_run(SluiceSending *sending);

/* After the run. */
extern const sluice_statistics *sluice_sending_statistics(const SluiceSending *sending);
extern const char *sluice_sending_message(const SluiceSending *sending);	/* why it did not end as DONE */
extern const char *sluice_sending_input_error(const SluiceSending *sending);	/* or NULL */
extern bool sluice_sending_read_all(const SluiceSending *sending);
extern bool sluice_sending_last_place(const SluiceSending *sending, char *text, size_t size);

/* "FILE:LINE" of the oldest record without a verdict, where it is known. */
extern bool sluice_sending_oldest_place(const SluiceSending *sending, char *text, size_t size);

/* Closes the producer; what is left stays in the buffer.  False: it could not be written there. */
extern bool sluice_sending_free(SluiceSending *sending);

#endif							/* SLUICE_SENDING_H */
