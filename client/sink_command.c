/*
 * sink_command.c
 *		A command for each row, which has the payload as its standard input.
 *
 * Its exit status decides: 0, and the row is done with, else it is given back.  A command that cannot be
 * started says nothing about the row: that is the end of the run.
 */
#include "sink_command.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "memory.h"

extern char **environ;

enum
{
	VARIABLE_OFFSET,
	VARIABLE_ATTEMPTS,
	VARIABLE_REDRIVE,
	VARIABLES
};

typedef struct Command
{
	SluiceSink	sink;			/* first, for the casts */
	char	  **command;
	char	  **environment;
	char	   *subscription;
	char		variables[VARIABLES][48];
	const atomic_bool *stopping;

	pthread_mutex_t mutex;
	pid_t		child;			/* under mutex; 0: none */

	/* the row that was taken */
	bool		taken;
	sluice_row	row;
	int			spawn_error;
	int			status;			/* of waitpid() */
} Command;

/* ---- the child ---- */

static bool
is_ours(const char *variable)
{
	static const char *const names[] = {"SLUICE_OFFSET=", "SLUICE_ATTEMPTS=", "SLUICE_REDRIVE=", "SLUICE_SUBSCRIPTION="};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
	{
		if (strncmp(variable, names[i], strlen(names[i])) == 0)
			return true;
	}
	return false;
}

/* That of this process, and what tells of the row. */
static void
make_environment(Command *command, const char *subscription)
{
	size_t		count = 0;
	size_t		n = 0;

	while (environ[count] != NULL)
		count++;
	command->environment = sluice_memory_get((count + VARIABLES + 2) * sizeof(char *));
	for (size_t i = 0; i < count; i++)
	{
		if (!is_ours(environ[i]))
			command->environment[n++] = environ[i];
	}
	command->subscription = sluice_memory_get(strlen(subscription) + sizeof("SLUICE_SUBSCRIPTION="));
	sprintf(command->subscription, "SLUICE_SUBSCRIPTION=%s", subscription);
	command->environment[n++] = command->subscription;
	for (int i = 0; i < VARIABLES; i++)
		command->environment[n++] = command->variables[i];
	command->environment[n] = NULL;
}

static void
describe_row(Command *command, const sluice_row *row)
{
	sprintf(command->variables[VARIABLE_OFFSET], "SLUICE_OFFSET=%" PRId64, row->offset);
	sprintf(command->variables[VARIABLE_ATTEMPTS], "SLUICE_ATTEMPTS=%u", row->attempts);
	sprintf(command->variables[VARIABLE_REDRIVE], "SLUICE_REDRIVE=%" PRId64, row->redrive);
}

/* With the signals as a program expects them. */
static int
spawn(Command *command, int input)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t	none;
	sigset_t	usual;
	pid_t		child;
	int			rc;

	sigemptyset(&none);
	sigemptyset(&usual);
	sigaddset(&usual, SIGPIPE);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setsigdefault(&attributes, &usual);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	pthread_mutex_lock(&command->mutex);
	rc = posix_spawnp(&child, command->command[0], &actions, &attributes, command->command, command->environment);
	command->child = rc == 0 ? child : 0;
	pthread_mutex_unlock(&command->mutex);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	return rc;
}

/* A command need not read what it gets. */
static void
feed(int output, const sluice_row *row)
{
	const char *at = row->payload;
	size_t		left = row->payload_length;

	while (left > 0)
	{
		ssize_t		written = write(output, at, left);

		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0)
			return;
		at += written;
		left -= (size_t) written;
	}
}

/* As long as it is not reaped its number is nobody else's. */
static int
await(Command *command)
{
	siginfo_t	ended;
	int			status = 0;
	pid_t		child = command->child;

	while (waitid(P_PID, (id_t) child, &ended, WEXITED | WNOWAIT) != 0 && errno == EINTR)
		continue;
	pthread_mutex_lock(&command->mutex);
	command->child = 0;
	pthread_mutex_unlock(&command->mutex);
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		continue;
	return status;
}

/* ---- the sink ---- */

static bool
take(SluiceSink *sink, const sluice_row *row)
{
	Command    *command = (Command *) sink;
	int			ends[2];

	command->taken = true;
	command->row = *row;
	describe_row(command, row);
	if (pipe2(ends, O_CLOEXEC) != 0)
	{
		command->spawn_error = errno;
		return false;
	}
	command->spawn_error = spawn(command, ends[0]);
	close(ends[0]);
	if (command->spawn_error == 0)
		feed(ends[1], row);
	close(ends[1]);
	if (command->spawn_error == 0)
		command->status = await(command);
	return false;
}

/* A terminal's interrupt goes to both of us, to one of us first. */
static bool
was_ended_with_us(const Command *command)
{
	struct timespec moment = {0, 100000000};

	if (!WIFSIGNALED(command->status))
		return false;
	if (!atomic_load(command->stopping))
		nanosleep(&moment, NULL);
	return atomic_load(command->stopping);
}

static void
describe_end(const Command *command, char *reason, size_t size)
{
	const char *name;

	if (WIFEXITED(command->status))
	{
		snprintf(reason, size, "exit status %d", WEXITSTATUS(command->status));
		return;
	}
	name = sigabbrev_np(WTERMSIG(command->status));
	if (name != NULL)
		snprintf(reason, size, "signal SIG%s", name);
	else
		snprintf(reason, size, "signal %d", WTERMSIG(command->status));
}

static SluiceSinkOutcome
settle(SluiceSink *sink, SluiceSinkVerdict *verdict)
{
	Command    *command = (Command *) sink;

	command->taken = false;
	if (command->spawn_error != 0)
	{
		snprintf(verdict->message, sizeof(verdict->message), "could not run \"%.300s\": %s", command->command[0],
				 strerror(command->spawn_error));
		return SLUICE_SINK_FAILED;
	}
	if (WIFEXITED(command->status) && WEXITSTATUS(command->status) == 0)
	{
		verdict->done = command->row;
		verdict->ndone = 1;
		return SLUICE_SINK_DONE;
	}
	if (was_ended_with_us(command))
		return SLUICE_SINK_STOPPED;
	verdict->refused = command->row;
	describe_end(command, verdict->reason, sizeof(verdict->reason));
	return SLUICE_SINK_REFUSED;
}

static bool
pending(const SluiceSink *sink)
{
	return ((const Command *) sink)->taken;
}

static void
abandon(SluiceSink *sink)
{
	Command    *command = (Command *) sink;

	pthread_mutex_lock(&command->mutex);
	if (command->child > 0)
		kill(command->child, SIGKILL);
	pthread_mutex_unlock(&command->mutex);
}

static void
free_command(SluiceSink *sink)
{
	Command    *command = (Command *) sink;

	pthread_mutex_destroy(&command->mutex);
	free(command->environment);
	free(command->subscription);
	free(command);
}

SluiceSink *
sluice_sink_command_create(char **arguments, const char *subscription, const atomic_bool *stopping)
{
	static const SluiceSinkKind kind = {take, settle, pending, NULL, abandon, free_command};
	Command    *command = sluice_memory_get_zeroed(sizeof(Command));

	command->sink.kind = &kind;
	command->command = arguments;
	command->stopping = stopping;
	pthread_mutex_init(&command->mutex, NULL);
	make_environment(command, subscription);
	return &command->sink;
}
