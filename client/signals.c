/*
 * signals.c
 *		SIGINT, SIGTERM and SIGHUP as calls in a thread of their own.
 *
 * What has to happen at a signal takes mutexes, so no handler could do it.
 * A signal that whoever started us had ignored (nohup, a shell's background
 * job) stays ignored.
 */
#include "signals.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "memory.h"

/* Sent by sluice_signals_end() to the thread alone. */
#define END_SIGNAL SIGUSR2

struct SluiceSignals
{
	pthread_t	thread;
	void		(*on_signal) (void *, int);
	void	   *argument;
	sigset_t	set;
};

static sigset_t
wanted_signals(void)
{
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
	sigset_t	set;

	sigemptyset(&set);
	sigaddset(&set, END_SIGNAL);
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
	{
		struct sigaction action;

		if (sigaction(signals[i], NULL, &action) == 0 && action.sa_handler != SIG_IGN)
			sigaddset(&set, signals[i]);
	}
	return set;
}

void
sluice_signals_block(void)
{
	sigset_t	set = wanted_signals();

	signal(SIGPIPE, SIG_IGN);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
}

static void *
wait_for_signals(void *argument)
{
	SluiceSignals *signals = argument;
	int			signal;

	while (sigwait(&signals->set, &signal) == 0 && signal != END_SIGNAL)
		signals->on_signal(signals->argument, signal);
	return NULL;
}

SluiceSignals *
sluice_signals_start(void (*on_signal) (void *argument, int signal), void *argument)
{
	SluiceSignals *signals = sluice_memory_get_zeroed(sizeof(SluiceSignals));

	signals->on_signal = on_signal;
	signals->argument = argument;
	signals->set = wanted_signals();
	if (pthread_create(&signals->thread, NULL, wait_for_signals, signals) != 0)
	{
		fprintf(stderr, "sluice: could not start a thread\n");
		exit(1);
	}
	return signals;
}

void
sluice_signals_end(SluiceSignals *signals)
{
	pthread_kill(signals->thread, END_SIGNAL);
	pthread_join(signals->thread, NULL);
	free(signals);
}
