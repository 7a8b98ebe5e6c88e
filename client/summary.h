/*
 * summary.h
 *		How a run ended: what it tells about its records.
 */
#ifndef SLUICE_SUMMARY_H
#define SLUICE_SUMMARY_H

#include <stdint.h>
#include <stdio.h>

#include "exit_status.h"
#include "sluice.h"

typedef struct SluiceSummary
{
	sluice_statistics statistics;
	double		seconds;
	SluiceExit	exit;
} SluiceSummary;

extern void sluice_summary_print_text(FILE *file, const SluiceSummary *summary);
extern void sluice_summary_print_json(FILE *file, const SluiceSummary *summary);

#endif							/* SLUICE_SUMMARY_H */
