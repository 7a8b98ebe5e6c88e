/*
 * pressure.h
 *		When those who were refused are to come back.
 *
 * Plain C; the time is an argument.  The more were refused in the last seconds,
 * the longer the next one is told to wait, so that all of them, each waiting
 * between once and twice what it was told, come back at a rate that the worker can
 * take.  Where few are refused the wait is short.
 */
#ifndef SLUICE_PRESSURE_H
#define SLUICE_PRESSURE_H

#include <stdint.h>

/* Zeroed memory is one that has refused nobody. */
typedef struct SluicePressure
{
	int64_t		wait_us;		/* that the last one was told, and a little more */
	int64_t		refused_at;
} SluicePressure;

/* One more is refused.  Returns the milliseconds that it is to wait at least; now is monotonic microseconds. */
extern int64_t sluice_pressure_refuse(SluicePressure *pressure, int64_t now);

#endif							/* SLUICE_PRESSURE_H */
