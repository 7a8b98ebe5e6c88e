/*
 * thread.h
 *		A thread that takes no signals.
 */
#ifndef SLUICE_LIB_THREAD_H
#define SLUICE_LIB_THREAD_H

#include <pthread.h>

/* As pthread_create(), with all signals blocked in the thread and in those that it starts. */
extern int	sluice_thread_start(pthread_t *thread, void *(*function) (void *), void *argument);

#endif							/* SLUICE_LIB_THREAD_H */
