/*
 * send.c
 *		The command "sluice send": records from files into a stream.
 *
 * Three threads: the reader (reader.c) makes records and waits when the queue
 * between them is full; the main thread runs the sender (sender.c) until all
 * is acknowledged; a third waits for signals.  This file reads the options,
 * puts them together, and tells what came out.
 */
#include "send.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "options.h"
#include "progress.h"
#include "queue.h"
#include "reader.h"
#include "sender.h"
#include "server.h"
#include "signals.h"
#include "summary.h"

#define QUEUE_COUNT 4096
#define QUEUE_BYTES (4 * 1024 * 1024)
#define PLACES_SHOWN 10			/* dead letters told one by one */
#define SAME_WISH (SLUICE_SECOND / 2)
#define MEGABYTE (1024.0 * 1024)

typedef struct SendOptions
{
	const char *input;
	const char *server;
	const char *stream;
	const char *key;
	size_t		window;
	size_t		window_bytes;
	size_t		max_record_size;
	double		timeout;
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
	SluiceReaderOptions reader_options;
	char	   *target;
	SluiceQueue *queue;
	SluiceReader *reader;
	SluiceSender *sender;
	SluiceProgress progress;
	uint64_t	places_shown;
	int64_t		stopped_at;		/* by the first signal, 0 = not yet; the signal thread's */
} Send;

static const char usage[] =
"Usage: sluice send [OPTION]... [FILE]...\n"
"Send the records of the files, or of standard input, into a stream of pg_sluice:\n"
"each is stored once, whatever is lost or sent again on the way.\n\n";

static const char contract[] =
"\nExit status:\n"
"  0  the whole input is acknowledged, and nothing was dead-lettered\n"
"  1  wrong usage or input (file and line are told); what came before is acknowledged\n"
"  2  all is acknowledged, some records as dead letters\n"
"  3  gave up: some records are unacknowledged\n"
"  4  the server refuses: no such stream, no permission, ...\n"
"  5  a signal came before the end of the input; what was read is acknowledged\n";

/* One line on stderr, apart from the progress line. */
static void tell(Send *send, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void
tell(Send *send, const char *format, ...)
{
	va_list		arguments;

	sluice_progress_clear(&send->progress);
	fputs("sluice: ", stderr);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
}

static void
set_defaults(SendOptions *options)
{
	const char *server = getenv("SLUICE_SERVER");

	memset(options, 0, sizeof(*options));
	options->input = "ndjson";
	options->server = server != NULL && *server != '\0' ? server : SLUICE_SERVER_DEFAULT;
	options->window = 10000;
	options->window_bytes = 64 * 1024 * 1024;
	options->max_record_size = 1024 * 1024;
	options->timeout = 60;
	options->summary = "text";
}

/* Returns the number of files, or -1: *status is the exit status then. */
static int
read_options(SendOptions *options, int argc, char **argv, int *status)
{
	const SluiceOption table[] = {
		{SLUICE_OPTION_CHOICE, "input", 'i', "ndjson|csv|lines", &options->input, 0, 0,
		"what the input is (default ndjson)", NULL},
		{SLUICE_OPTION_TEXT, "server", 's', "HOST:PORT", &options->server, 0, 0,
		"where (default $SLUICE_SERVER or localhost:50051)", NULL},
		{SLUICE_OPTION_TEXT, "stream", 'S', "NAME", &options->stream, 0, 0,
		"the stream (default: the server's default stream)", NULL},
		{SLUICE_OPTION_TEXT, "key", 'k', "COLUMN", &options->key, 0, 0,
		"member or column that is the idempotency key (default: a UUIDv7)", NULL},
		{SLUICE_OPTION_COUNT, "window", 'w', "N", &options->window, 1, 1000000,
		"records sent and unacknowledged at most (default 10000)", NULL},
		{SLUICE_OPTION_SIZE, "window-bytes", 0, "SIZE", &options->window_bytes, 1, 64.0 * 1024 * MEGABYTE,
		"the same in bytes (default 64MB)", NULL},
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
options_fit(const SendOptions *options)
{
	if (options->stream != NULL && !sluice_server_stream_valid(options->stream))
		fprintf(stderr, "sluice send: a stream's name must be printable ASCII to be sent: \"%s\"\n", options->stream);
	else if (options->key != NULL && !sluice_input_format(options->input)->has_columns)
		fprintf(stderr, "sluice send: --key needs an input with columns, and \"%s\" has none\n", options->input);
	else if (*options->server == '\0')
		fprintf(stderr, "sluice send: the server's name is empty\n");
	else
		return true;
	return false;
}

static void
on_answered(void *argument, const SluiceClientRecord *record, bool dead_lettered)
{
	Send	   *send = argument;
	char		place[400];

	if (!dead_lettered || send->options.quiet || send->places_shown > PLACES_SHOWN)
		return;
	if (send->places_shown++ == PLACES_SHOWN)
	{
		tell(send, "more dead letters are not told one by one");
		return;
	}
	sluice_reader_locate(send->reader, record, place, sizeof(place));
	tell(send, "%s: dead-lettered; key \"%.*s\"", place, record->key_length > 200 ? 200 : (int) record->key_length,
		 (const char *) record->message + record->key_offset);
}

static void
on_tick(void *argument, const SluiceSender *sender)
{
	sluice_progress_show(&((Send *) argument)->progress, sender, sluice_clock_now());
}

static void
on_notice(void *argument, const char *message)
{
	Send	   *send = argument;

	if (!send->options.quiet)
		tell(send, "%s", message);
}

/*
 * One wish to stop often comes as two signals: timeout(1) signals its child
 * and then the group, a terminal's interrupt is passed on by a shell.
 */
static void
on_signal(void *argument, int signal)
{
	Send	   *send = argument;
	int64_t		now = sluice_clock_now();

	(void) signal;
	if (send->stopped_at != 0 && now - send->stopped_at < SAME_WISH)
		return;
	if (send->stopped_at == 0)
		send->stopped_at = now;
	sluice_reader_stop(send->reader);
	sluice_sender_stop(send->sender);
}

static void
set_up(Send *send)
{
	SendOptions *options = &send->options;
	SluiceSenderOptions sender_options;

	memset(&sender_options, 0, sizeof(sender_options));
	send->target = sluice_server_target(options->server);
	sender_options.server = send->target;
	sender_options.stream = options->stream;
	sender_options.window = options->window;
	sender_options.window_bytes = options->window_bytes;
	sender_options.timeout = options->timeout > 0 ? (int64_t) (options->timeout * SLUICE_SECOND) : SLUICE_NEVER;
	sender_options.argument = send;
	sender_options.answered = on_answered;
	sender_options.notice = on_notice;
	if (options->progress)
	{
		sender_options.tick = on_tick;
		sender_options.tick_interval = send->progress.in_place ? SLUICE_SECOND / 5 : SLUICE_SECOND;
	}
	send->queue = sluice_queue_create(QUEUE_COUNT, QUEUE_BYTES);
	send->sender = sluice_sender_create(&sender_options, send->queue);
	send->reader = sluice_reader_start(&send->reader_options, send->queue);
}

static void
tear_down(Send *send)
{
	sluice_reader_free(send->reader);
	sluice_sender_free(send->sender);
	sluice_queue_free(send->queue);
	free(send->target);
}

static void
tell_refusal(Send *send)
{
	const SluiceClientRecord *large = sluice_sender_too_large(send->sender);
	char		place[400];

	tell(send, "%s refuses: %s", send->target, sluice_sender_message(send->sender));
	if (large != NULL)
	{
		sluice_reader_locate(send->reader, large, place, sizeof(place));
		tell(send, "the largest record on its way is %s with %u bytes; the server's limit is sluice.max_record_size",
			 place, large->length);
	}
}

static void
tell_giving_up(Send *send, uint64_t unacknowledged)
{
	const SluiceClientRecord *oldest = sluice_sender_oldest(send->sender);
	char		place[400] = "";

	if (oldest != NULL)
		sluice_reader_locate(send->reader, oldest, place, sizeof(place));
	tell(send, "gave up: %s; %" PRIu64 " records are unacknowledged%s%s", sluice_sender_message(send->sender),
		 unacknowledged, place[0] != '\0' ? ", the first of them " : "", place);
}

static SluiceExit
judge(Send *send, SluiceSenderResult result, uint64_t unacknowledged)
{
	char		place[400];

	if (result == SLUICE_SENDER_REFUSED)
	{
		tell_refusal(send);
		return SLUICE_EXIT_REFUSED;
	}
	if (result == SLUICE_SENDER_GAVE_UP && unacknowledged > 0)
	{
		tell_giving_up(send, unacknowledged);
		return SLUICE_EXIT_GAVE_UP;
	}
	if (sluice_reader_error(send->reader) != NULL)
	{
		tell(send, "%s", sluice_reader_error(send->reader));
		return SLUICE_EXIT_INPUT;
	}
	if (!sluice_reader_complete(send->reader))
	{
		sluice_reader_locate(send->reader, NULL, place, sizeof(place));
		if (!send->options.quiet)
			tell(send, "stopped by a signal before the end of the input%s%s",
				 place[0] != '\0' ? ", after " : "", place);
		return SLUICE_EXIT_STOPPED;
	}
	return sluice_sender_counts(send->sender)->dead_letters > 0 ? SLUICE_EXIT_DEAD_LETTERS : SLUICE_EXIT_OK;
}

static SluiceExit
run(Send *send)
{
	int64_t		start = sluice_clock_now();
	SluiceSignals *signals;
	SluiceSenderResult result;
	SluiceSummary summary;

	set_up(send);
	signals = sluice_signals_start(on_signal, send);
	result = sluice_sender_run(send->sender);
	sluice_signals_end(signals);

	memset(&summary, 0, sizeof(summary));
	summary.unacknowledged = sluice_sender_unacknowledged(send->sender) + sluice_queue_close(send->queue);
	sluice_reader_stop(send->reader);
	sluice_reader_join(send->reader);
	summary.counts = *sluice_sender_counts(send->sender);
	summary.seconds = (double) (sluice_clock_now() - start) / SLUICE_SECOND;
	summary.exit = judge(send, result, summary.unacknowledged);

	sluice_progress_clear(&send->progress);
	if (strcmp(send->options.summary, "json") == 0)
		sluice_summary_print_json(stdout, &summary);
	else if (strcmp(send->options.summary, "text") == 0 && !send->options.quiet)
		sluice_summary_print_text(stderr, &summary);
	tear_down(send);
	return summary.exit;
}

int
sluice_send_main(int argc, char **argv)
{
	static char *standard_input[] = {"-"};
	Send		send;
	int			status;
	int			nfiles;

	memset(&send, 0, sizeof(send));
	set_defaults(&send.options);
	nfiles = read_options(&send.options, argc, argv, &status);
	if (nfiles < 0)
		return status;
	if (!options_fit(&send.options))
		return SLUICE_EXIT_INPUT;
	send.reader_options.format = sluice_input_format(send.options.input);
	send.reader_options.key_column = send.options.key;
	send.reader_options.max_record = send.options.max_record_size;
	send.reader_options.files = nfiles > 0 ? argv + 1 : standard_input;
	send.reader_options.nfiles = nfiles > 0 ? (size_t) nfiles : 1;

	if (!send.options.progress_given)
		send.options.progress = !send.options.quiet && isatty(STDERR_FILENO);
	sluice_progress_start(&send.progress, stderr, isatty(STDERR_FILENO), sluice_clock_now());
	sluice_signals_block();
	status = run(&send);
	if (fflush(stdout) != 0)
	{
		fprintf(stderr, "sluice: could not write the summary\n");
		return status == SLUICE_EXIT_OK ? SLUICE_EXIT_INPUT : status;
	}
	return status;
}
