/*
 * progress.h
 *		The line that shows how a run goes on.
 */
#ifndef SLUICE_PROGRESS_H
#define SLUICE_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "sender.h"

typedef struct SluiceProgress
{
	FILE	   *file;
	bool		in_place;		/* a terminal: one line, written over */
	bool		shown;			/* such a line stands there */
	int64_t		since;			/* of the rate: sluice_clock_now() */
	uint64_t	answered;		/* at that time */
} SluiceProgress;

extern void sluice_progress_start(SluiceProgress *progress, FILE *file, bool in_place, int64_t now);
extern void sluice_progress_show(SluiceProgress *progress, const SluiceSender *sender, int64_t now);

/* Before anything else is written: takes the line away. */
extern void sluice_progress_clear(SluiceProgress *progress);

#endif							/* SLUICE_PROGRESS_H */
