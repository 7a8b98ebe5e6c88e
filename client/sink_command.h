/*
 * sink_command.h
 *		A command for each row, which has the payload as its standard input.
 */
#ifndef SLUICE_SINK_COMMAND_H
#define SLUICE_SINK_COMMAND_H

#include "sink.h"

/* command: it and its arguments, NULL behind them.  stopping: a command that a signal ends was then ended with us. */
extern SluiceSink *sluice_sink_command_create(char **command, const char *subscription, const atomic_bool *stopping);

#endif							/* SLUICE_SINK_COMMAND_H */
