/*
 * thread.c
 *		A thread that takes no signals.
 */
#include "thread.h"

#include <signal.h>

int
sluice_thread_start(pthread_t *thread, void *(*function) (void *), void *argument)
{
	sigset_t	all;
	sigset_t	before;
	int			rc;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = pthread_create(thread, NULL, function, argument);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return rc;
}
