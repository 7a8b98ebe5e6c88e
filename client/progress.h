/*
 * progress.h
 *		What a run says on standard error: a line that shows how it goes on, and messages.
 *
 * For several threads.
 */
#ifndef SLUICE_PROGRESS_H
#define SLUICE_PROGRESS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "sluice.h"

typedef struct SluiceProgress
{
	pthread_mutex_t mutex;
	FILE	   *file;
	bool		in_place;		/* a terminal: one line, written over */
	bool		shown;			/* such a line stands there */
	int64_t		since;			/* of the rate: sluice_clock_now() */
	uint64_t	settled;		/* at that time */
} SluiceProgress;

extern void sluice_progress_start(SluiceProgress *progress, FILE *file, bool in_place, int64_t now);
extern void sluice_progress_show(SluiceProgress *progress, const sluice_statistics *statistics, int64_t now);

/* The same of "sluice subscribe": done and given_back are rows. */
extern void sluice_progress_show_rows(SluiceProgress *progress, const sluice_consumption *consumption, uint64_t done,
									  uint64_t given_back, int64_t now);

/* A message, on a line of its own, after "sluice: ". */
extern void sluice_progress_tell(SluiceProgress *progress, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Before anything else is written: takes the line away. */
extern void sluice_progress_clear(SluiceProgress *progress);

#endif							/* SLUICE_PROGRESS_H */
