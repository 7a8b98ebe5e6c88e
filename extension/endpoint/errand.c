/*
 * errand.c
 *		Work for a thread beside: what takes long and needs no PostgreSQL.
 */
#include "errand.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

typedef struct List
{
	SluiceErrand *first;
	SluiceErrand *last;
} List;

struct SluiceErrands
{
	pthread_t	thread;
	pthread_mutex_t mutex;
	pthread_cond_t added;
	List		waiting;		/* these and the rest under the mutex */
	List		done;
	bool		stopping;
	int			wakeup_fd;
};

static void
append(List *list, SluiceErrand *errand)
{
	errand->next = NULL;
	if (list->first == NULL)
		list->first = errand;
	else
		list->last->next = errand;
	list->last = errand;
}

static SluiceErrand *
pop(List *list)
{
	SluiceErrand *errand = list->first;

	if (errand != NULL)
		list->first = errand->next;
	return errand;
}

static void
wake(const SluiceErrands *errands)
{
	uint64_t	one = 1;

	while (write(errands->wakeup_fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

/* NULL: it is over. */
static SluiceErrand *
next(SluiceErrands *errands)
{
	SluiceErrand *errand;

	pthread_mutex_lock(&errands->mutex);
	while (errands->waiting.first == NULL && !errands->stopping)
		pthread_cond_wait(&errands->added, &errands->mutex);
	errand = errands->stopping ? NULL : pop(&errands->waiting);
	pthread_mutex_unlock(&errands->mutex);
	return errand;
}

static void *
run_all(void *arg)
{
	SluiceErrands *errands = arg;
	SluiceErrand *errand;

	while ((errand = next(errands)) != NULL)
	{
		errand->run(errand);
		pthread_mutex_lock(&errands->mutex);
		append(&errands->done, errand);
		pthread_mutex_unlock(&errands->mutex);
		wake(errands);
	}
	return NULL;
}

/* Signals are the main thread's. */
static int
start_thread(SluiceErrands *errands, const char *name)
{
	sigset_t	all;
	sigset_t	before;
	int			status;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	status = pthread_create(&errands->thread, NULL, run_all, errands);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (status == 0)
		(void) pthread_setname_np(errands->thread, name);
	return status;
}

SluiceErrands *
sluice_errands_start(const char *name, int wakeup_fd)
{
	SluiceErrands *errands = calloc(1, sizeof(*errands));

	if (errands == NULL)
		return NULL;
	pthread_mutex_init(&errands->mutex, NULL);
	pthread_cond_init(&errands->added, NULL);
	errands->wakeup_fd = fcntl(wakeup_fd, F_DUPFD_CLOEXEC, 0);
	if (errands->wakeup_fd >= 0 && (errno = start_thread(errands, name)) == 0)
		return errands;
	if (errands->wakeup_fd >= 0)
		close(errands->wakeup_fd);
	free(errands);
	return NULL;
}

void
sluice_errands_add(SluiceErrands *errands, SluiceErrand *errand)
{
	pthread_mutex_lock(&errands->mutex);
	append(&errands->waiting, errand);
	pthread_cond_signal(&errands->added);
	pthread_mutex_unlock(&errands->mutex);
}

/* Out of the list; false: it is not in it. */
static bool
unlink_errand(List *list, const SluiceErrand *errand)
{
	SluiceErrand *before = NULL;

	for (SluiceErrand *at = list->first; at != NULL; before = at, at = at->next)
	{
		if (at != errand)
			continue;
		if (before == NULL)
			list->first = at->next;
		else
			before->next = at->next;
		if (list->last == at)
			list->last = before;
		return true;
	}
	return false;
}

bool
sluice_errands_withdraw(SluiceErrands *errands, SluiceErrand *errand)
{
	bool		found;

	pthread_mutex_lock(&errands->mutex);
	found = unlink_errand(&errands->waiting, errand);
	pthread_mutex_unlock(&errands->mutex);
	return found;
}

SluiceErrand *
sluice_errands_take(SluiceErrands *errands)
{
	SluiceErrand *errand;

	pthread_mutex_lock(&errands->mutex);
	errand = pop(&errands->done);
	pthread_mutex_unlock(&errands->mutex);
	return errand;
}

void
sluice_errands_stop(SluiceErrands *errands)
{
	pthread_mutex_lock(&errands->mutex);
	errands->stopping = true;
	pthread_cond_signal(&errands->added);
	pthread_mutex_unlock(&errands->mutex);
	pthread_join(errands->thread, NULL);
	close(errands->wakeup_fd);
	free(errands);
}
