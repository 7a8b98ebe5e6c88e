/*
 * sink.h
 *		Where "sluice subscribe" brings rows: standard output, a command, another database.
 *
 * Rows are taken one after the other, and settled together: then it is known which of them
 * are done with.  One that the sink refuses is settled alone.
 */
#ifndef SLUICE_SINK_H
#define SLUICE_SINK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "sluice.h"

typedef enum SluiceSinkOutcome
{
	SLUICE_SINK_DONE,			/* with all that was taken */
	SLUICE_SINK_REFUSED,		/* all before "refused" are done with, and that one cannot be */
	SLUICE_SINK_STOPPED,		/* "done" are done with, and no more of them will be */
	SLUICE_SINK_AGAIN,			/* nothing is certain: subscribe anew, see message */
	SLUICE_SINK_FAILED			/* nor will it be: give up, see message */
} SluiceSinkOutcome;

/* Of rows that were taken; without their payloads. */
typedef struct SluiceSinkVerdict
{
	sluice_row	done;			/* the last one that is done with; number 0: none */
	size_t		ndone;
	sluice_row	refused;
	char		reason[1000];
	char		message[600];
} SluiceSinkVerdict;

typedef struct SluiceSink SluiceSink;

typedef struct SluiceSinkKind
{
	/* False: no more for now, settle. */
	bool		(*take) (SluiceSink *sink, const sluice_row *row);
	SluiceSinkOutcome (*settle) (SluiceSink *sink, SluiceSinkVerdict *verdict);

	/* Are there rows that were taken and are not settled? */
	bool		(*pending) (const SluiceSink *sink);

	/*
	 * A sink that keeps the position (else NULL): what was taken and is not settled is void, and
	 * this is where the activation is to begin.  DONE, AGAIN, FAILED.
	 */
	SluiceSinkOutcome (*begin) (SluiceSink *sink, const sluice_row *active, sluice_token *token, SluiceSinkVerdict *verdict);

	/* Do not wait any more: from another thread, the process ends next.  May be NULL. */
	void		(*abandon) (SluiceSink *sink);
	void		(*free) (SluiceSink *sink);
} SluiceSinkKind;

struct SluiceSink
{
	const SluiceSinkKind *kind;
};

#endif							/* SLUICE_SINK_H */
