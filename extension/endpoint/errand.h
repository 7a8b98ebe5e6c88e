/*
 * errand.h
 *		Work for a thread beside: what takes long and needs no PostgreSQL.
 *
 * Plain C.  An errand is a struct of the main thread's that begins with a
 * SluiceErrand; from sluice_errands_add until sluice_errands_take it is the thread's.
 * Errands are run in the order in which they were added, one at a time.
 */
#ifndef SLUICE_ERRAND_H
#define SLUICE_ERRAND_H

#include <stdbool.h>

typedef struct SluiceErrand
{
	struct SluiceErrand *next;
	void		(*run) (struct SluiceErrand *errand);	/* in the thread */
} SluiceErrand;

typedef struct SluiceErrands SluiceErrands;

/*
 * Starts the thread.  wakeup_fd: an eventfd of the main thread's that is written to when
 * an errand is done; a copy of it is made.  NULL: see errno.
 */
extern SluiceErrands *sluice_errands_start(const char *name, int wakeup_fd);

extern void sluice_errands_add(SluiceErrands *errands, SluiceErrand *errand);

/* The main thread's again, if the thread has not begun it; false: it has, and it is to be taken as ever. */
extern bool sluice_errands_withdraw(SluiceErrands *errands, SluiceErrand *errand);

/* One that is done; NULL: none. */
extern SluiceErrand *sluice_errands_take(SluiceErrands *errands);

/* Begin no more, wait for the one that is being run, end the thread.  What was not taken is left. */
extern void sluice_errands_stop(SluiceErrands *errands);

#endif							/* SLUICE_ERRAND_H */
