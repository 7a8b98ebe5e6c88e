/*
 * attempt.h
 *		A transaction of the main thread's that may fail.
 */
#ifndef SLUICE_ATTEMPT_H
#define SLUICE_ATTEMPT_H

#include "postgres.h"

/* How one has failed: it was rolled back, and nothing of it is left but this. */
typedef struct SluiceFailure
{
	int			sqlstate;
	char		message[256];	/* in the server's encoding */
} SluiceFailure;

/*
 * Run step in a transaction of its own and commit it.  False: it threw; the caller's
 * memory context is current again in any case.  pg_cancel_backend reaches it.
 */
extern bool sluice_attempt(void (*step) (void *argument), void *argument, SluiceFailure *failure);

#endif							/* SLUICE_ATTEMPT_H */
