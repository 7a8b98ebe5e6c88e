/*
 * pressure.c
 *		When those who were refused are to come back.
 *
 * Each one adds RETURN_US to the wait of the next, and time takes off as much as
 * has passed: those who were told to wait are expected one by one, RETURN_US apart.
 */
#include "pressure.h"

#define RETURN_US ((int64_t) 10 * 1000)
#define WAIT_US_MIN ((int64_t) 250 * 1000)
#define WAIT_US_MAX ((int64_t) 60 * 1000 * 1000)

int64_t
sluice_pressure_refuse(SluicePressure *pressure, int64_t now)
{
	int64_t		wait = pressure->wait_us - (now - pressure->refused_at);

	if (wait < WAIT_US_MIN)
		wait = WAIT_US_MIN;
	if (wait > WAIT_US_MAX)
		wait = WAIT_US_MAX;
	pressure->wait_us = wait + RETURN_US;
	pressure->refused_at = now;
	return wait / 1000;
}
