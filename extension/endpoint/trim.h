/*
 * trim.h
 *		Memory that the process does not use any more goes back to the system.
 */
#ifndef SLUICE_TRIM_H
#define SLUICE_TRIM_H

#include <stddef.h>

typedef struct SluiceTrim
{
	size_t		kept;			/* anonymous memory after the last time, in bytes */
} SluiceTrim;

/* For a moment with little to do: where the process has grown since the last time, give back what is free. */
extern void sluice_trim_look(SluiceTrim *trim);

#endif							/* SLUICE_TRIM_H */
