/*
 * summary.h
 *		How a run ended: its exit status, and what it tells about its records.
 */
#ifndef SLUICE_SUMMARY_H
#define SLUICE_SUMMARY_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "sender.h"

/* The exit status is a contract: docs/sluice-send.md. */
typedef enum SluiceExit
{
	SLUICE_EXIT_OK = 0,			/* the whole input is acknowledged, nothing was dead-lettered */
	SLUICE_EXIT_INPUT = 1,		/* wrong usage or input; what came before is acknowledged */
	SLUICE_EXIT_DEAD_LETTERS = 2,	/* all acknowledged, some as dead letters */
	SLUICE_EXIT_GAVE_UP = 3,	/* records are unacknowledged */
	SLUICE_EXIT_REFUSED = 4,	/* the server refuses */
	SLUICE_EXIT_STOPPED = 5		/* a signal came before the end of the input; what was read is acknowledged */
} SluiceExit;

typedef struct SluiceSummary
{
	SluiceSenderCounts counts;
	uint64_t	unacknowledged;	/* read from the input, without an answer */
	double		seconds;
	SluiceExit	exit;
} SluiceSummary;

extern void sluice_summary_print_text(FILE *file, const SluiceSummary *summary);
extern void sluice_summary_print_json(FILE *file, const SluiceSummary *summary);

#endif							/* SLUICE_SUMMARY_H */
