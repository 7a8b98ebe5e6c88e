/*
 * quantity.h
 *		Numbers with units as text: "10000", "16 MB", "1.5 s".
 *
 * Independent of the locale, and never rounded up.
 */
#ifndef SLUICE_LIB_QUANTITY_H
#define SLUICE_LIB_QUANTITY_H

#include <stdbool.h>
#include <stdint.h>

typedef enum SluiceUnits
{
	SLUICE_UNITS_NONE,
	SLUICE_UNITS_SIZE,			/* B (where none is given), kB, MB, GB, TB: powers of 1024; in bytes */
	SLUICE_UNITS_DURATION		/* us, ms (where none is given), s, min, h, d; in nanoseconds */
} SluiceUnits;

/* False: not such a quantity, or not below 2^63. */
extern bool sluice_quantity_read(const char *text, SluiceUnits units, int64_t *quantity);

/* The two of "1 ms to 1 h". */
extern bool sluice_quantity_read_range(const char *text, SluiceUnits units, int64_t *least, int64_t *most);

#endif							/* SLUICE_LIB_QUANTITY_H */
