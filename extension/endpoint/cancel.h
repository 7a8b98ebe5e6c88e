/*
 * cancel.h
 *		When pg_cancel_backend may reach the worker.
 *
 * It cancels a transaction, where that is caught as any other error.  Between
 * transactions there is nothing to cancel, and an error there would end the
 * worker, so cancel requests are held off except while one runs.
 */
#ifndef SLUICE_CANCEL_H
#define SLUICE_CANCEL_H

#include "postgres.h"

#include "miscadmin.h"

static inline void
sluice_cancel_allow(void)
{
	QueryCancelPending = false; /* it was meant for an earlier one */
	QueryCancelHoldoffCount = 0;
}

static inline void
sluice_cancel_ignore(void)
{
	QueryCancelHoldoffCount = 1;
	QueryCancelPending = false;
}

#endif							/* SLUICE_CANCEL_H */
