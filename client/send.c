/*
 * send.c
 *		The command "sluice send": records from files into a stream.
 *
 * This file reads the options, opens the buffer's directory, and tells what
 * came out; sending.c does it.
 */
#include "send.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "library_options.h"
#include "options.h"
#include "progress.h"
#include "sending.h"
#include "signals.h"
#include "sluice.h"
#include "spool.h"
#include "summary.h"

#define MEGABYTE (1024.0 * 1024)
#define WAIT_FOR_ROOM "100 ms"	/* until the reader looks whether it is to stop */

typedef struct SendOptions
{
	const char *input;
	const char *key;
	const char *entity;
	SluiceLibraryOptions library;
	size_t		max_record_size;
	double		timeout;
	bool		once;
	bool		flush;
	const char *summary;
	bool		quiet;
	bool		progress;
	bool		progress_given;
	bool		version;
	bool		help;
} SendOptions;

typedef struct Send
{
	SendOptions options;
	SluiceSendingOptions sending_options;
	SluiceSpool spool;
	SluiceProgress progress;
	SluiceSending *sending;
} Send;

static const char usage[] =
"Usage: sluice send [OPTION]... [FILE]...\n"
"Send the records of the files, or of standard input, into a stream of pg_sluice:\n"
"each is stored once, whatever is lost or sent again on the way.\n\n";

static const char contract[] =
"\nExit status:\n"
"  0  the whole input is acknowledged, and nothing was dead-lettered\n"
"  1  wrong usage or input (file and line are told); what came before is acknowledged\n"
"  2  all is acknowledged, some records as dead letters (--once: or given up, or lost)\n"
"  3  gave up: some records are unacknowledged, and stay in the buffer\n"
"  4  the server refuses: no such stream, no permission, ...\n"
"  5  a signal came before the end of the input; what was read is acknowledged\n"
"  6  the buffer is fenced or forked: see \"sluice buffer repair\"\n";

/* Returns the number of files, or -1: *status is the exit status then. */
static int
read_options(SendOptions *options, int argc, char **argv, int *status)
{
	const SluiceOption table[] = {
		{SLUICE_OPTION_CHOICE, "input", 'i', "ndjson|csv|lines|protobuf", &options->input, 0, 0,
		"what the input is (default ndjson)", NULL},
		SLUICE_LIBRARY_OPTION_ROWS(&options->library),
		{SLUICE_OPTION_TEXT, "key", 'k', "COLUMN", &options->key, 0, 0,
		"member or column that is the idempotency key (default: none)", NULL},
		{SLUICE_OPTION_TEXT, "entity", 0, "COLUMN", &options->entity, 0, 0,
		"member or column that is the entity, for --set compact=on", NULL},
		{SLUICE_OPTION_SWITCH, "once", 0, NULL, &options->once, 0, 0,
		"end with 0 only if nothing was given up or lost either", NULL},
		{SLUICE_OPTION_SWITCH, "flush", 0, NULL, &options->flush, 0, 0,
		"read nothing: send what --buffer holds", NULL},
		{SLUICE_OPTION_SIZE, "max-record-size", 0, "SIZE", &options->max_record_size, 64, 1024 * MEGABYTE,
		"refuse larger ones (default 1MB, as sluice.max_record_size)", NULL},
		{SLUICE_OPTION_REAL, "timeout", 't', "SECONDS", &options->timeout, 0, 1e8,
		"give up when nothing was acknowledged for so long (default 60, 0: never)", NULL},
		{SLUICE_OPTION_SWITCH, "progress", 0, NULL, &options->progress, 0, 0,
		"show progress on stderr (default where it is a terminal; --no-progress)", &options->progress_given},
		{SLUICE_OPTION_CHOICE, "summary", 0, "text|json|none", &options->summary, 0, 0,
		"at the end: text on stderr, or a line of JSON on stdout (default text)", NULL},
		{SLUICE_OPTION_SWITCH, "quiet", 'q', NULL, &options->quiet, 0, 0, "only errors on stderr", NULL},
		{SLUICE_OPTION_SWITCH, "version", 'V', NULL, &options->version, 0, 0, "show the version", NULL},
		{SLUICE_OPTION_SWITCH, "help", 'h', NULL, &options->help, 0, 0, "show this", NULL},
		{SLUICE_OPTION_END, NULL, 0, NULL, NULL, 0, 0, NULL, NULL}
	};
	int			nfiles = sluice_options_read(table, argc, argv, "sluice send");

	*status = SLUICE_EXIT_INPUT;
	if (nfiles >= 0 && options->help)
	{
		fputs(usage, stdout);
		sluice_options_show(table);
		fputs(contract, stdout);
	}
	else if (nfiles >= 0 && options->version)
		puts("sluice " SLUICE_VERSION);
	else
		return nfiles;
	*status = SLUICE_EXIT_OK;
	return -1;
}

/* What the table cannot check. */
static bool
options_fit(const SendOptions *options, int nfiles)
{
	bool		columns = sluice_input_format(options->input)->has_columns;

	if (!columns && (options->key != NULL || options->entity != NULL))
		fprintf(stderr, "sluice send: --%s needs an input with columns, and \"%s\" has none\n",
				options->key != NULL ? "key" : "entity", options->input);
	else if (options->flush && options->library.buffer == NULL)
		fprintf(stderr, "sluice send: --flush needs --buffer\n");
	else if (options->flush && nfiles > 0)
		fprintf(stderr, "sluice send: --flush reads no files\n");
	else
		return true;
	return false;
}

/* ---- how it ended ---- */

static void
tell_what_is_left(Send *send, uint64_t left)
{
	char		options[2048];

	if (left == 0)
		return;
	sluice_library_options_write(&send->options.library, options, sizeof(options));
	sluice_progress_tell(&send->progress, "%" PRIu64 " records are left in %s; this sends them: "
						 "sluice send --flush --buffer '%s'%s", left, send->spool.directory, send->spool.directory, options);
}

static SluiceExit
judge_failure(Send *send, SluiceSendingResult result, uint64_t left)
{
	const char *message = sluice_sending_message(send->sending);
	char		place[400];
	bool		known = sluice_sending_oldest_place(send->sending, place, sizeof(place));

	if (result == SLUICE_SENDING_FENCED)
	{
		sluice_progress_tell(&send->progress, "%s; \"sluice buffer repair --new-identity %s\" sends what is its own",
							 message, send->spool.directory);
		return SLUICE_EXIT_FENCED;
	}
	if (result == SLUICE_SENDING_REFUSED)
	{
		sluice_progress_tell(&send->progress, "the server refuses: %s", message);
		return SLUICE_EXIT_REFUSED;
	}
	sluice_progress_tell(&send->progress, "gave up: %s; %" PRIu64 " records are unacknowledged%s%s", message, left,
						 known ? ", the first of them " : "", known ? place : "");
	return SLUICE_EXIT_GAVE_UP;
}

static SluiceExit
judge(Send *send, SluiceSendingResult result)
{
	const sluice_statistics *statistics = sluice_sending_statistics(send->sending);
	const char *input_error = sluice_sending_input_error(send->sending);
	uint64_t	given_up = statistics->dropped + statistics->lost;
	char		place[400];
	bool		known;

	if (result != SLUICE_SENDING_DONE)
		return judge_failure(send, result, statistics->buffered_records);
	if (input_error != NULL)
	{
		sluice_progress_tell(&send->progress, "%s", input_error);
		return SLUICE_EXIT_INPUT;
	}
	if (!sluice_sending_read_all(send->sending))
	{
		known = sluice_sending_last_place(send->sending, place, sizeof(place));
		if (!send->options.quiet)
			sluice_progress_tell(&send->progress, "stopped by a signal before the end of the input%s%s",
								 known ? ", after " : "", known ? place : "");
		return SLUICE_EXIT_STOPPED;
	}
	if (send->options.once && given_up > 0)
		sluice_progress_tell(&send->progress, "%" PRIu64 " records were given up, %" PRIu64 " are lost",
							 statistics->dropped, statistics->lost);
	return statistics->dead_lettered + statistics->set_aside > 0 || (send->options.once && given_up > 0) ?
		SLUICE_EXIT_DEAD_LETTERS : SLUICE_EXIT_OK;
}

static void
print_summary(Send *send, const SluiceSummary *summary)
{
	sluice_progress_clear(&send->progress);
	if (strcmp(send->options.summary, "json") == 0)
		sluice_summary_print_json(stdout, summary);
	else if (strcmp(send->options.summary, "text") == 0 && !send->options.quiet)
		sluice_summary_print_text(stderr, summary);
}

static SluiceExit
run(Send *send)
{
	int64_t		start = sluice_clock_now();
	SluiceSendingResult result = sluice_sending_run(send->sending);
	SluiceSummary summary = {*sluice_sending_statistics(send->sending), 0, SLUICE_EXIT_OK};
	uint64_t	left = summary.statistics.buffered_records;

	summary.seconds = (double) (sluice_clock_now() - start) / SLUICE_SECOND;
	summary.exit = judge(send, result);
	if (!sluice_sending_free(send->sending))
	{
		sluice_progress_tell(&send->progress, "what is left could not be written to \"%s\"", send->spool.directory);
		summary.exit = SLUICE_EXIT_GAVE_UP;
	}
	tell_what_is_left(send, left);
	print_summary(send, &summary);
	sluice_spool_close(&send->spool, left > 0 || summary.statistics.set_aside > 0 || result != SLUICE_SENDING_DONE);
	return summary.exit;
}

/* ---- how it begins ---- */

/* The status to end with where it cannot begin. */
static SluiceExit
open_sending(Send *send)
{
	sluice_options *library = send->sending_options.library;
	char		message[512];
	int			error = SLUICE_ERROR_OPTION;

	if (!sluice_spool_open(&send->spool, send->options.library.buffer))
	{
		fprintf(stderr, "sluice: could not make a directory for the buffer: %s\n", strerror(errno));
		return SLUICE_EXIT_INPUT;
	}
	if (sluice_options_set(library, "buffer", send->spool.directory) != SLUICE_OK)
		snprintf(message, sizeof(message), "%s", sluice_options_message(library));
	else
		send->sending = sluice_sending_create(&send->sending_options, &error, message, sizeof(message));
	if (send->sending != NULL)
		return SLUICE_EXIT_OK;
	fprintf(stderr, "sluice: %s\n", message);
	sluice_spool_close(&send->spool, false);
	return error == SLUICE_ERROR_FENCED || error == SLUICE_ERROR_FORKED ? SLUICE_EXIT_FENCED : SLUICE_EXIT_INPUT;
}

static void
set_up(Send *send, int nfiles, char **files)
{
	static char *standard_input[] = {"-"};
	SendOptions *options = &send->options;
	SluiceSendingOptions *sending = &send->sending_options;

	sending->reader.format = sluice_input_format(options->input);
	sending->reader.key_column = options->key;
	sending->reader.entity_column = options->entity;
	sending->reader.max_record = options->max_record_size;
	sending->reader.files = nfiles > 0 ? files : standard_input;
	sending->reader.nfiles = options->flush ? 0 : nfiles > 0 ? (size_t) nfiles : 1;
	sending->timeout = options->timeout > 0 ? (int64_t) (options->timeout * SLUICE_SECOND) : SLUICE_NEVER;
	sending->quiet = options->quiet;
	sending->show_progress = options->progress_given ? options->progress : !options->quiet && isatty(STDERR_FILENO);
	sending->progress = &send->progress;
	sluice_progress_start(&send->progress, stderr, isatty(STDERR_FILENO), sluice_clock_now());

	/* A full buffer is waited for in pieces, unless the user has said how long. */
	sending->patient = strcmp(sluice_options_get(sending->library, "full"), "block") == 0 &&
		strcmp(sluice_options_get(sending->library, "block_timeout"), "never") == 0;
	if (sending->patient)
		sluice_options_set(sending->library, "block_timeout", WAIT_FOR_ROOM);
}

int
sluice_send_main(int argc, char **argv)
{
	Send		send;
	int			status;
	int			nfiles;

	memset(&send, 0, sizeof(send));
	send.options.input = "ndjson";
	send.options.max_record_size = 1024 * 1024;
	send.options.timeout = 60;
	send.options.summary = "text";
	nfiles = read_options(&send.options, argc, argv, &status);
	if (nfiles < 0)
		return status;
	if (!options_fit(&send.options, nfiles))
		return SLUICE_EXIT_INPUT;
	send.sending_options.library = sluice_library_options_make(&send.options.library, "sluice send");
	if (send.sending_options.library == NULL)
		return SLUICE_EXIT_INPUT;
	set_up(&send, nfiles, argv + 1);
	sluice_signals_block();
	status = open_sending(&send);
	if (status == SLUICE_EXIT_OK)
		status = run(&send);
	sluice_options_free(send.sending_options.library);
	if (fflush(stdout) != 0)
	{
		fprintf(stderr, "sluice: could not write the summary\n");
		return status == SLUICE_EXIT_OK ? SLUICE_EXIT_INPUT : status;
	}
	return status;
}
