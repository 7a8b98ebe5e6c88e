/*
 * trim.h
 *		Memory that the process does not use any more goes back to the system.
 */
#ifndef SLUICE_TRIM_H
#define SLUICE_TRIM_H

#include <stddef.h>

/* Zeroed at the beginning. */
typedef struct SluiceTrim
{
	size_t		least;			/* anonymous memory, in bytes, as little as was ever seen */
	unsigned	patience;		/* looks to leave out after one in vain */
	unsigned	left;			/* of these */
} SluiceTrim;

/* For a moment with little to do, about once a second: where the process has grown, give back what is free. */
extern void sluice_trim_look(SluiceTrim *trim);

#endif							/* SLUICE_TRIM_H */
