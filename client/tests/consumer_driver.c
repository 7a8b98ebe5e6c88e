/*
 * consumer_driver.c
 *		A consumer on a leash, for consumer_test.py.
 *
 *	consumer_driver NAME=VALUE...
 *
 * The setting fail=N is the command below, before it is opened.  Does what comes on standard input, one
 * command a line:
 *	next MS				a row or event, as a line
 *	take N				N rows (no events), as one line: their offsets, in order; acknowledges none
 *	drain MS			rows until none comes for so long, the same
 *	ack N				the row with this number (as handed out)
 *	nack N REASON
 *	start OFFSET LSN	the last ACTIVE, with that event's token but for these; OFFSET -1: without a token
 *	accept OFFSET LSN	the same, and a fork is accepted
 *	run N				sluice_consumer_run until N rows came: a payload with "bad" is given back, others acknowledged
 *	stop | stats | close MS | unsubscribe | drop
 *	fail N				let the N-th allocation from now fail
 *	failed				code 1: it did
 * and closes at the end what is still open.
 * Answers and the log are lines of JSON on standard output.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "allocation.h"
#include "sluice.h"

#define KEPT 100000

static pthread_mutex_t out_lock = PTHREAD_MUTEX_INITIALIZER;
static sluice_options *options;
static sluice_consumer *consumer;
static sluice_row rows[KEPT];	/* by number; the payloads are gone */
static sluice_row active;
static FILE *out;				/* what an answer has, until its command is done */

static void
write_string(FILE *file, const char *text, size_t length)
{
	fputc('"', file);
	for (size_t i = 0; i < length; i++)
	{
		if (text[i] == '"' || text[i] == '\\')
			fputc('\\', file);
		fputc(text[i], file);
	}
	fputc('"', file);
}

static void
on_log(void *argument, sluice_level level, const char *text)
{
	(void) argument;
	pthread_mutex_lock(&out_lock);
	printf("{\"log\": %d, \"text\": ", (int) level);
	write_string(stdout, text, strlen(text));
	puts("}");
	fflush(stdout);
	pthread_mutex_unlock(&out_lock);
}

static void
keep(const sluice_row *row)
{
	if (row->event == SLUICE_EVENT_ROW && row->number < KEPT)
		rows[row->number] = *row;
	if (row->event == SLUICE_EVENT_ACTIVE)
		active = *row;
}

static int
take_next(long timeout)
{
	sluice_row	row;
	int			code = sluice_consumer_next(consumer, timeout, &row);

	if (code != SLUICE_OK)
		return code;
	keep(&row);
	fprintf(out, "\"event\": %d, \"number\": %" PRIu64 ", \"epoch\": %" PRIu64 ", \"offset\": %" PRId64 ", \"previous\": %" PRId64
		   ", \"redrive\": %" PRId64 ", \"attempts\": %u, \"encoding\": %d, \"lsn\": %" PRIu64 ", \"position\": %" PRId64 ", \"payload\": ",
		   (int) row.event, row.number, row.epoch, row.offset, row.previous, row.redrive, row.attempts, (int) row.encoding,
		   row.token.lsn, row.token.offset);
	write_string(out, row.payload, row.payload_length);
	fputs(", ", out);
	return code;
}

static int
take_many(long count, long timeout)
{
	int			code = SLUICE_OK;
	const char *separator = "";

	fputs("\"offsets\": [", out);
	for (long i = 0; i < count; i++)
	{
		sluice_row	row;

		code = sluice_consumer_next(consumer, timeout, &row);
		if (code != SLUICE_OK)
			break;
		keep(&row);
		if (row.event != SLUICE_EVENT_ROW)
			continue;
		fprintf(out, "%s%" PRId64, separator, row.offset);
		separator = ", ";
	}
	fputs("], ", out);
	return code;
}

typedef struct Countdown
{
	long		left;
} Countdown;

static sluice_answer
on_row(void *argument, const sluice_row *row, const char **reason)
{
	Countdown  *countdown = argument;

	if (row->event != SLUICE_EVENT_ROW)
		return SLUICE_ANSWER_LATER;
	if (countdown->left == 0)
		return SLUICE_ANSWER_STOP;
	countdown->left--;
	if (memmem(row->payload, row->payload_length, "bad", 3) == NULL)
		return SLUICE_ANSWER_ACK;
	*reason = "it is bad";
	return SLUICE_ANSWER_NACK;
}

static void
write_statistics(void)
{
	sluice_consumption all;
	char		message[600];

	sluice_consumer_statistics(consumer, &all, sizeof(all));
	sluice_consumer_message(consumer, message, sizeof(message));
	fprintf(out, "\"state\": %d, \"caught_up\": %d, \"active\": %d, \"offset\": %" PRId64 ", \"acknowledged\": %" PRId64
		   ", \"waiting\": %" PRIu64 ", \"rows\": %" PRIu64 ", \"bytes\": %" PRIu64 ", \"again\": %" PRIu64 ", \"nacks\": %" PRIu64
		   ", \"activations\": %" PRIu64 ", \"acknowledgements\": %" PRIu64 ", \"attempts\": %" PRIu64 ", \"connections\": %" PRIu64
		   ", \"message\": ",
		   (int) all.state, all.caught_up, all.epoch != 0, all.offset, all.acknowledged, all.waiting_bytes, all.rows, all.bytes,
		   all.again, all.nacks, all.activations, all.acknowledgements, all.attempts, all.connections);
	write_string(out, message, strlen(message));
	fputs(", ", out);
}

static int
start(long offset, long lsn, bool accept_fork)
{
	sluice_token token = active.token;

	token.offset = offset;
	token.lsn = (uint64_t) lsn;
	return sluice_consumer_start(consumer, &active, offset >= 0 ? &token : NULL, accept_fork);
}

static int
unsubscribe(bool drop)
{
	char		message[300];
	int			code = sluice_unsubscribe(options, drop, message, sizeof(message));

	fputs("\"text\": ", out);
	write_string(out, message, strlen(message));
	fputs(", ", out);
	return code;
}

static int
obey(const char *command, long number, long second, const char *rest)
{
	int			code;

	if (strcmp(command, "next") == 0)
		return take_next(number);
	if (strcmp(command, "take") == 0)
		return take_many(number, 20000);
	if (strcmp(command, "drain") == 0)
		return take_many(KEPT, number);
	if (strcmp(command, "ack") == 0)
		return sluice_consumer_ack(consumer, &rows[number]);
	if (strcmp(command, "nack") == 0)
		return sluice_consumer_nack(consumer, &rows[number], *rest != '\0' ? rest : NULL);
	if (strcmp(command, "start") == 0 || strcmp(command, "accept") == 0)
		return start(number, second, *command == 'a');
	if (strcmp(command, "run") == 0)
		return sluice_consumer_run(consumer, on_row, &(Countdown) {number});
	if (strcmp(command, "stop") == 0)
		sluice_consumer_stop(consumer);
	if (strcmp(command, "stats") == 0)
		write_statistics();
	if (strcmp(command, "unsubscribe") == 0 || strcmp(command, "drop") == 0)
		return unsubscribe(*command == 'd');
	if (strcmp(command, "fail") == 0)
		allocation_fail(number);
	if (strcmp(command, "failed") == 0)
		return allocation_failed();
	if (strcmp(command, "close") != 0)
		return SLUICE_OK;
	code = sluice_consumer_close(consumer, number);
	consumer = NULL;
	return code;
}

static void
answer(const char *command, int code, const char *members)
{
	pthread_mutex_lock(&out_lock);
	printf("{%s\"answer\": \"%s\", \"code\": %d}\n", members, command, code);
	fflush(stdout);
	pthread_mutex_unlock(&out_lock);
}

static void
obey_line(const char *line)
{
	char		command[16] = "";
	long		number = 0;
	long		second = 0;
	int			behind = 0;
	char	   *members = NULL;
	size_t		length = 0;
	int			code;

	if (sscanf(line, "%15s %ld%n %ld", command, &number, &behind, &second) < 1)
		return;
	out = open_memstream(&members, &length);
	code = obey(command, number, second, behind > 0 && line[behind] == ' ' ? line + behind + 1 : "");
	fclose(out);
	answer(command, code, members);
	free(members);
}

static int
open_consumer(char **settings, int nsettings, char *message, size_t size)
{
	int			code = SLUICE_OK;

	options = sluice_options_create();
	snprintf(message, size, "out of memory");
	if (options == NULL)
		return SLUICE_ERROR_MEMORY;
	sluice_options_on_log(options, on_log, NULL);
	for (int i = 0; i < nsettings && code == SLUICE_OK; i++)
	{
		char	   *equals = strchr(settings[i], '=');

		if (strncmp(settings[i], "fail=", 5) == 0)
			continue;
		*equals = '\0';
		code = sluice_options_set(options, settings[i], equals + 1);
		*equals = '=';
		snprintf(message, size, "%s", sluice_options_message(options));
	}
	if (code == SLUICE_OK)
		code = sluice_consumer_open(options, &consumer, message, size);
	return code;
}

int
main(int argc, char **argv)
{
	char		message[300];
	char		line[4096];
	int			code;

	for (int i = 1; i < argc; i++)
	{
		if (strncmp(argv[i], "fail=", 5) == 0)
			allocation_fail(atol(argv[i] + 5));
	}
	code = open_consumer(argv + 1, argc - 1, message, sizeof(message));
	pthread_mutex_lock(&out_lock);
	printf("{\"text\": ");
	write_string(stdout, message, strlen(message));
	printf(", \"answer\": \"open\", \"code\": %d}\n", code);
	fflush(stdout);
	pthread_mutex_unlock(&out_lock);
	while (code == SLUICE_OK && fgets(line, sizeof(line), stdin) != NULL)
	{
		line[strcspn(line, "\n")] = '\0';
		obey_line(line);
	}
	if (consumer != NULL)
		sluice_consumer_close(consumer, 0);
	sluice_options_free(options);
	return 0;
}
