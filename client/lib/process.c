/*
 * process.c
 *		In which process something was opened.
 */
#include "process.h"

#include <pthread.h>
#include <stdatomic.h>

static atomic_uint generation;
static pthread_once_t fork_watch = PTHREAD_ONCE_INIT;
static int	fork_watch_error;

static void
count_fork(void)
{
	atomic_fetch_add_explicit(&generation, 1, memory_order_relaxed);
}

static void
watch_forks(void)
{
	fork_watch_error = pthread_atfork(NULL, NULL, count_fork);
}

unsigned
sluice_process_generation(void)
{
	return atomic_load_explicit(&generation, memory_order_relaxed);
}

bool
sluice_process_watch(void)
{
	pthread_once(&fork_watch, watch_forks);
	return fork_watch_error == 0;
}
