/*
 * subscribing.h
 *		A run of "sluice subscribe": rows from a consumer into a sink, until there is enough.
 */
#ifndef SLUICE_SUBSCRIBING_H
#define SLUICE_SUBSCRIBING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "progress.h"
#include "sink.h"
#include "sluice.h"

typedef struct SluiceSubscribing SluiceSubscribing;

typedef struct SluiceSubscribingOptions
{
	sluice_options *library;	/* callbacks are set by the run */
	SluiceSink *sink;
	atomic_bool *stopping;		/* set at the first signal */
	uint64_t	count;			/* end after so many rows; 0: never */
	bool		until_caught_up;
	bool		accept_fork;
	int64_t		timeout;		/* without a connection, nanoseconds; SLUICE_NEVER */
	bool		quiet;
	bool		show_progress;
	SluiceProgress *progress;
} SluiceSubscribingOptions;

typedef enum SluiceSubscribingResult
{
	SLUICE_SUBSCRIBING_DONE,	/* as told: so many rows, or all that were there */
	SLUICE_SUBSCRIBING_STOPPED, /* by a signal; what was taken is done with */
	SLUICE_SUBSCRIBING_GAVE_UP, /* as the three below, see message */
	SLUICE_SUBSCRIBING_REFUSED, /* by the server */
	SLUICE_SUBSCRIBING_FORKED	/* the position does not fit this server */
} SluiceSubscribingResult;

/* Opens the consumer.  NULL: message tells why.  options must outlive it.  Signals are blocked already. */
extern SluiceSubscribing *sluice_subscribing_create(const SluiceSubscribingOptions *options, char *message, size_t message_size);

/* With the consumer's end: what was acknowledged is confirmed, or that is told. */
extern SluiceSubscribingResult sluice_subscribing_run(SluiceSubscribing *subscribing);

/* After the run. */
extern const char *sluice_subscribing_message(const SluiceSubscribing *subscribing);
extern uint64_t sluice_subscribing_given_back(const SluiceSubscribing *subscribing);	/* times that a row was */
extern void sluice_subscribing_free(SluiceSubscribing *subscribing);

#endif							/* SLUICE_SUBSCRIBING_H */
