/*
 * signals.h
 *		SIGINT, SIGTERM and SIGHUP as calls in a thread of their own.
 */
#ifndef SLUICE_SIGNALS_H
#define SLUICE_SIGNALS_H

typedef struct SluiceSignals SluiceSignals;

/* Block them in this thread and all that it starts; SIGPIPE is ignored.  Before gRPC is initialized. */
extern void sluice_signals_block(void);

/* Start the thread, which calls on_signal for each signal from now on. */
extern SluiceSignals *sluice_signals_start(void (*on_signal) (void *argument, int signal), void *argument);

/* No call comes any more when this returns. */
extern void sluice_signals_end(SluiceSignals *signals);

#endif							/* SLUICE_SIGNALS_H */
