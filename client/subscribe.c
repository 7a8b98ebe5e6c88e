/*
 * subscribe.c
 *		The command "sluice subscribe": the rows of a stream, to standard output, a command, or another database.
 *
 * This file reads the options, makes the sink, and tells what came out; subscribing.c does it.
 */
#include "subscribe.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "exit_status.h"
#include "library_options.h"
#include "memory.h"
#include "options.h"
#include "progress.h"
#include "signals.h"
#include "sink_command.h"
#include "sink_database.h"
#include "sink_output.h"
#include "sluice.h"
#include "subscribing.h"

typedef struct SubscribeOptions
{
	SluiceLibraryOptions library;
	const char *subscription;
	bool		create;
	const char *from;
	const char *guarantee;
	const char *encoding;
	const char *output;
	const char *exec;			/* for the help alone: see split_command() */
	const char *into;
	const char *table;
	const char *on_fork;
	size_t		count;
	bool		until_caught_up;
	double		timeout;
	bool		quiet;
	bool		progress;
	bool		progress_given;
	bool		version;
	bool		help;
} SubscribeOptions;

typedef struct Subscribe
{
	SubscribeOptions options;
	char	  **command;		/* of --exec; NULL: none */
	char	   *table;			/* of --into, as SQL has it */
	atomic_bool stopping;
	SluiceSubscribingOptions run;
	SluiceProgress progress;
} Subscribe;

static const char usage[] =
"Usage: sluice subscribe [OPTION]... [--exec COMMAND [ARG]...]\n"
"Get the rows of a stream of pg_sluice, in order, those that are there and then new ones:\n"
"to standard output, to a command, or into a table of another database.\n\n";

static const char contract[] =
"\nExit status:\n"
"  0  ended as told (--count, --until-caught-up), and no row was given back\n"
"  1  wrong usage\n"
"  2  the same, and some rows were given back\n"
"  3  gave up: output, command or database failed, no connection, or the last acknowledgements were not confirmed\n"
"  4  the server refuses: no such stream, no permission, the subscription was ended, ...\n"
"  5  a signal came; what was taken is done with and acknowledged\n"
"  6  the position does not fit this server: it has lost commits, gave its offsets out anew, or the stream is another one\n";

/* Returns the number of arguments that are no options, or -1: *status is the exit status then. */
static int
read_options(SubscribeOptions *options, int argc, char **argv, int *status)
{
	const SluiceOption table[] = {
		SLUICE_SERVER_OPTION_ROWS(&options->library),
		{SLUICE_OPTION_TEXT, "subscription", 'n', "NAME", &options->subscription, 0, 0,
		"durable: the server keeps the position (default: ephemeral, for this run)", NULL},
		{SLUICE_OPTION_SWITCH, "create", 0, NULL, &options->create, 0, 0,
		"make the subscription where it is not there (default; --no-create)", NULL},
		{SLUICE_OPTION_TEXT, "from", 'f', "WHERE", &options->from, 0, 0,
		"where it begins if it has no position yet: earliest (default), latest, an offset to begin behind, or a time", NULL},
		{SLUICE_OPTION_CHOICE, "guarantee", 0, "at_least_once|at_most_once", &options->guarantee, 0, 0,
		"the position moves when rows are done with, or before they are sent (default: as it is, at_least_once)", NULL},
		{SLUICE_OPTION_CHOICE, "encoding", 0, "stream|json|protobuf|bytes", &options->encoding, 0, 0,
		"how rows are written (default: what --output is for; stream with --exec)", NULL},
		{SLUICE_OPTION_CHOICE, "output", 'o', SLUICE_SINK_OUTPUT_FORMATS, &options->output, 0, 0,
		"on standard output (default ndjson)", NULL},
		{SLUICE_OPTION_TEXT, "exec", 0, "COMMAND [ARG]...", &options->exec, 0, 0,
		"run this for each row, with the row as its input; the last option", NULL},
		{SLUICE_OPTION_TEXT, "into", 0, "CONNINFO", &options->into, 0, 0,
		"into another PostgreSQL database, which keeps the position: each row once", NULL},
		{SLUICE_OPTION_TEXT, "table", 0, "NAME", &options->table, 0, 0,
		"... the table there (default: named as the stream)", NULL},
		{SLUICE_OPTION_CHOICE, "on-fork", 0, "stop|accept", &options->on_fork, 0, 0,
		"... what to do if the server has lost commits that are there (default stop)", NULL},
		{SLUICE_OPTION_COUNT, "count", 'c', "N", &options->count, 1, 1e15, "end after N rows", NULL},
		{SLUICE_OPTION_SWITCH, "until-caught-up", 0, NULL, &options->until_caught_up, 0, 0,
		"end when all rows that are there have come", NULL},
		{SLUICE_OPTION_REAL, "timeout", 't', "SECONDS", &options->timeout, 0, 1e8,
		"give up when there was no connection for so long (default 0: never)", NULL},
		SLUICE_SET_OPTION_ROW(&options->library),
		{SLUICE_OPTION_SWITCH, "progress", 0, NULL, &options->progress, 0, 0,
		"show progress on stderr (default where it is a terminal, and stdout is none; --no-progress)", &options->progress_given},
		{SLUICE_OPTION_SWITCH, "quiet", 'q', NULL, &options->quiet, 0, 0, "only errors on stderr", NULL},
		{SLUICE_OPTION_SWITCH, "version", 'V', NULL, &options->version, 0, 0, "show the version", NULL},
		{SLUICE_OPTION_SWITCH, "help", 'h', NULL, &options->help, 0, 0, "show this", NULL},
		{SLUICE_OPTION_END, NULL, 0, NULL, NULL, 0, 0, NULL, NULL}
	};
	int			n = sluice_options_read(table, argc, argv, "sluice subscribe");

	*status = SLUICE_EXIT_INPUT;
	if (n >= 0 && options->help)
	{
		fputs(usage, stdout);
		sluice_options_show(table);
		fputs(contract, stdout);
	}
	else if (n >= 0 && options->version)
		puts("sluice " SLUICE_VERSION);
	else
		return n;
	*status = SLUICE_EXIT_OK;
	return -1;
}

/* All behind --exec is the command's.  Returns the number of arguments before it. */
static int
split_command(Subscribe *subscribe, int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
	{
		if (strcmp(argv[i], "--") == 0)
			break;
		if (strcmp(argv[i], "--exec") == 0)
		{
			subscribe->command = argv + i + 1;
			return i;
		}
	}
	return argc;
}

/* What the table cannot check. */
static const char *
find_mistake(const Subscribe *subscribe, int others)
{
	const SubscribeOptions *options = &subscribe->options;
	bool		json = options->encoding == NULL || strcmp(options->encoding, "json") == 0;

	if (others > 0)
		return "there are arguments that are no options";
	if (options->exec != NULL || (subscribe->command != NULL && subscribe->command[0] == NULL))
		return "--exec takes a command, and its arguments, as the last option";
	if ((subscribe->command != NULL) + (options->into != NULL) + (options->output != NULL) > 1)
		return "--output, --exec and --into exclude each other";
	if (options->into == NULL && (options->table != NULL || options->on_fork != NULL))
		return "--table and --on-fork need --into";
	if (options->into != NULL && options->subscription == NULL)
		return "--into needs --subscription, under whose name the position is kept";
	if (options->into != NULL && options->table == NULL && options->library.stream == NULL)
		return "--into needs --table, or --stream";
	if (options->into != NULL && options->guarantee != NULL && strcmp(options->guarantee, "at_most_once") == 0)
		return "--into brings each row once, whatever the guarantee";
	if (!json && (options->into != NULL || (options->output == NULL && subscribe->command == NULL) ||
				  (options->output != NULL && strcmp(options->output, "ndjson") == 0)))
		return "this needs rows as JSON: --encoding json";
	return NULL;
}

/* ---- how it ended ---- */

static SluiceExit
judge(Subscribe *subscribe, SluiceSubscribing *subscribing, SluiceSubscribingResult result)
{
	const char *message = sluice_subscribing_message(subscribing);

	switch (result)
	{
		case SLUICE_SUBSCRIBING_DONE:
			return sluice_subscribing_given_back(subscribing) > 0 ? SLUICE_EXIT_DEAD_LETTERS : SLUICE_EXIT_OK;
		case SLUICE_SUBSCRIBING_STOPPED:
			return SLUICE_EXIT_STOPPED;
		case SLUICE_SUBSCRIBING_REFUSED:
			sluice_progress_tell(&subscribe->progress, "the server refuses: %s", message);
			return SLUICE_EXIT_REFUSED;
		case SLUICE_SUBSCRIBING_FORKED:
			sluice_progress_tell(&subscribe->progress, "%s", message);
			return SLUICE_EXIT_FENCED;
		case SLUICE_SUBSCRIBING_GAVE_UP:
			break;
	}
	sluice_progress_tell(&subscribe->progress, "gave up: %s", message);
	return SLUICE_EXIT_GAVE_UP;
}

static SluiceExit
run(Subscribe *subscribe)
{
	char		message[512];
	SluiceSubscribing *subscribing = sluice_subscribing_create(&subscribe->run, message, sizeof(message));
	SluiceExit	status;

	if (subscribing == NULL)
	{
		fprintf(stderr, "sluice: %s\n", message);
		return SLUICE_EXIT_INPUT;
	}
	status = judge(subscribe, subscribing, sluice_subscribing_run(subscribing));
	sluice_progress_clear(&subscribe->progress);
	sluice_subscribing_free(subscribing);
	return status;
}

/* ---- how it begins ---- */

static bool
set(Subscribe *subscribe, const char *name, const char *value)
{
	if (value == NULL || sluice_options_set(subscribe->run.library, name, value) == SLUICE_OK)
		return true;
	fprintf(stderr, "sluice subscribe: %s\n", sluice_options_message(subscribe->run.library));
	return false;
}

static bool
set_from(Subscribe *subscribe)
{
	const char *from = subscribe->options.from;

	if (from == NULL || strcmp(from, "earliest") == 0 || strcmp(from, "latest") == 0)
		return set(subscribe, "from", from);
	if (*from != '\0' && strspn(from, "0123456789") == strlen(from))
		return set(subscribe, "from", "offset") && set(subscribe, "after_offset", from);
	return set(subscribe, "from", "time") && set(subscribe, "since", from);
}

static bool
set_library(Subscribe *subscribe)
{
	const SubscribeOptions *options = &subscribe->options;
	const char *encoding = options->encoding;

	if (encoding == NULL && options->into != NULL)
		encoding = "json";
	else if (encoding == NULL && subscribe->command == NULL)
		encoding = sluice_sink_output_encoding(options->output != NULL ? options->output : "ndjson");
	return set(subscribe, "subscription", options->subscription) && set(subscribe, "create", options->create ? "on" : "off") &&
		set_from(subscribe) && set(subscribe, "guarantee", options->guarantee) && set(subscribe, "encoding", encoding) &&
		set(subscribe, "events", "on") && set(subscribe, "wants_start", options->into != NULL ? "on" : "off");
}

/* The stream's name, quoted. */
static char *
table_of_stream(const char *stream)
{
	char	   *table = sluice_memory_get(2 * strlen(stream) + 3);
	char	   *out = table;

	*out++ = '"';
	for (; *stream != '\0'; stream++)
	{
		if (*stream == '"')
			*out++ = '"';
		*out++ = *stream;
	}
	strcpy(out, "\"");
	return table;
}

/* A first connection that fails is most likely a mistake; one that is lost later is waited for. */
static SluiceSink *
make_database_sink(Subscribe *subscribe)
{
	const SubscribeOptions *options = &subscribe->options;
	SluiceDatabase *database;

	if (options->table == NULL)
		subscribe->table = table_of_stream(options->library.stream);
	database = sluice_database_create(options->into, options->table != NULL ? options->table : subscribe->table,
									  options->subscription);
	if (sluice_database_connect(database) == SLUICE_DATABASE_OK)
		return sluice_sink_database_create(database);
	fprintf(stderr, "sluice: the database of --into: %s\n", sluice_database_message(database));
	sluice_database_free(database);
	return NULL;
}

static SluiceSink *
make_sink(Subscribe *subscribe)
{
	const SubscribeOptions *options = &subscribe->options;

	if (options->into != NULL)
		return make_database_sink(subscribe);
	if (subscribe->command != NULL)
		return sluice_sink_command_create(subscribe->command, options->subscription != NULL ? options->subscription : "",
										  &subscribe->stopping);
	return sluice_sink_output_create(options->output != NULL ? options->output : "ndjson");
}

static void
set_up(Subscribe *subscribe)
{
	const SubscribeOptions *options = &subscribe->options;
	SluiceSubscribingOptions *run = &subscribe->run;
	bool		terminal = isatty(STDERR_FILENO);

	run->stopping = &subscribe->stopping;
	run->count = options->count;
	run->until_caught_up = options->until_caught_up;
	run->accept_fork = options->on_fork != NULL && strcmp(options->on_fork, "accept") == 0;
	run->timeout = options->timeout > 0 ? (int64_t) (options->timeout * SLUICE_SECOND) : SLUICE_NEVER;
	run->quiet = options->quiet;
	run->show_progress = options->progress_given ? options->progress : !options->quiet && terminal && !isatty(STDOUT_FILENO);
	run->progress = &subscribe->progress;
	sluice_progress_start(&subscribe->progress, stderr, terminal, sluice_clock_now());
}

static int
subscribe_with(Subscribe *subscribe)
{
	int			status = SLUICE_EXIT_INPUT;

	if (!set_library(subscribe))
		return status;
	set_up(subscribe);
	sluice_signals_block();
	subscribe->run.sink = make_sink(subscribe);
	if (subscribe->run.sink == NULL)
		return SLUICE_EXIT_GAVE_UP;
	status = run(subscribe);
	subscribe->run.sink->kind->free(subscribe->run.sink);
	free(subscribe->table);
	return status;
}

int
sluice_subscribe_main(int argc, char **argv)
{
	Subscribe	subscribe;
	const char *mistake;
	int			status;
	int			others;

	memset(&subscribe, 0, sizeof(subscribe));
	atomic_init(&subscribe.stopping, false);
	subscribe.options.create = true;
	argc = split_command(&subscribe, argc, argv);
	others = read_options(&subscribe.options, argc, argv, &status);
	if (others < 0)
		return status;
	mistake = find_mistake(&subscribe, others);
	if (mistake != NULL)
	{
		fprintf(stderr, "sluice subscribe: %s\n", mistake);
		return SLUICE_EXIT_INPUT;
	}
	subscribe.run.library = sluice_library_options_make(&subscribe.options.library, "sluice subscribe");
	if (subscribe.run.library == NULL)
		return SLUICE_EXIT_INPUT;
	status = subscribe_with(&subscribe);
	sluice_options_free(subscribe.run.library);
	return status;
}
