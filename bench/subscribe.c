/*
 * subscribe.c
 *		Consumers over sluice.h: one, or many in one process, each with a thread that acknowledges every row.
 *
 *		backlog		the rows that are there: how fast they come, from the first connection on
 *		live		a row is put in on a schedule: when does the last consumer have it?
 *		fan			both, one after the other
 *		follow		"ready" on standard output when all have caught up; then --records rows, which
 *					somebody else puts in
 *		watch		one consumer, until the end of its input: one line for each activation, and one for
 *					the first row after it, with CLOCK_MONOTONIC; nothing is acknowledged
 *
 * Each consumer has a durable subscription of its own (watch: all processes share one).
 * A row whose predecessor is not the row that came before it is a failure.
 */
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "failure.h"
#include "measure.h"
#include "options.h"
#include "sluice.h"
#include "writer.h"

#define CLOSE_MS 30000
#define PATIENCE_MS 60000		/* without a row where one is due */

typedef struct Consumers
{
	const BenchOptions *options;
	size_t		count;
	size_t		rows;			/* for each of them */
	Writer		writer;
	bool		writing;		/* rows are the writer's, with numbers */
	struct Consumer *all;
} Consumers;

typedef struct Consumer
{
	Consumers  *consumers;
	size_t		index;
	pthread_t	thread;
	sluice_consumer *consumer;
	size_t		rows;
	int64_t		last;			/* offset */
	bool		caught_up;
	uint64_t	finished;		/* when its last row had come */
} Consumer;

static void
set(sluice_options *options, const char *name, const char *value)
{
	if (sluice_options_set(options, name, value) != SLUICE_OK)
		failure_exit("%s", sluice_options_message(options));
}

static void
log_trouble(void *argument, sluice_level level, const char *text)
{
	(void) argument;
	if (level >= SLUICE_LEVEL_WARNING)
		fprintf(stderr, "%s\n", text);
}

/* environment: further options as "name=value name=value". */
static void
set_from_environment(sluice_options *options)
{
	const char *given = getenv("SLUICE_BENCH_SET");
	char	   *copy = strdup(given != NULL ? given : "");

	for (char *at = strtok(copy, " "); at != NULL; at = strtok(NULL, " "))
	{
		char	   *value = strchr(at, '=');

		if (value == NULL)
			failure_exit("invalid SLUICE_BENCH_SET");
		*value++ = '\0';
		set(options, at, value);
	}
	free(copy);
}

static sluice_consumer *
open_consumer(const BenchOptions *given, const char *subscription, bool quiet)
{
	sluice_options *options = sluice_options_create();
	sluice_consumer *consumer;
	char		message[300];

	set(options, "server", given->server);
	set(options, "stream", given->stream);
	set(options, "subscription", subscription);
	set(options, "encoding", given->encoding);
	set(options, "events", "on");
	set_from_environment(options);
	if (!quiet)
		sluice_options_on_log(options, log_trouble, NULL);
	if (sluice_consumer_open(options, &consumer, message, sizeof(message)) != SLUICE_OK)
		failure_exit("%s", message);
	sluice_options_free(options);
	return consumer;
}

static void
next(Consumer *consumer, sluice_row *row)
{
	int			error = sluice_consumer_next(consumer->consumer, PATIENCE_MS, row);
	char		message[300];

	if (error == SLUICE_OK)
		return;
	sluice_consumer_message(consumer->consumer, message, sizeof(message));
	failure_exit("consumer %zu after %zu of %zu rows: %s: %s", consumer->index, consumer->rows, consumer->consumers->rows,
				 sluice_error_text(error), message);
}

/* The member "number" of a row. */
static uint64_t
number_of(const sluice_row *row)
{
	static const char name[] = "\"number\":";
	const char *at = memmem(row->payload, row->payload_length, name, sizeof(name) - 1);

	if (at == NULL)
		failure_exit("a row has no number: %.*s", (int) row->payload_length, (const char *) row->payload);
	return strtoull(at + sizeof(name) - 1, NULL, 10);
}

static void
take(Consumer *consumer, const sluice_row *row)
{
	if (row->event == SLUICE_EVENT_ACTIVE)
		consumer->last = row->offset;
	else if (row->event == SLUICE_EVENT_CAUGHT_UP)
		consumer->caught_up = true;
	else if (row->event == SLUICE_EVENT_ROW)
	{
		if (row->previous != consumer->last || row->offset <= row->previous)
			failure_exit("consumer %zu: row %" PRId64 " follows %" PRId64 ", and %" PRId64 " came before it", consumer->index,
						 row->offset, row->previous, consumer->last);
		consumer->last = row->offset;
		consumer->rows++;
		if (consumer->consumers->writing)
			writer_received(&consumer->consumers->writer, consumer->index, number_of(row));
		if (sluice_consumer_ack(consumer->consumer, row) != SLUICE_OK)
			failure_exit("consumer %zu: a row could not be acknowledged", consumer->index);
	}
}

static void *
take_rows(void *argument)
{
	Consumer   *consumer = argument;
	sluice_row	row;

	while (consumer->rows < consumer->consumers->rows)
	{
		next(consumer, &row);
		take(consumer, &row);
	}
	consumer->finished = measure_now_ns();
	return NULL;
}

static void *
catch_up(void *argument)
{
	Consumer   *consumer = argument;
	sluice_row	row;

	while (!consumer->caught_up)
	{
		next(consumer, &row);
		take(consumer, &row);
	}
	return NULL;
}

static void
in_all(Consumers *consumers, void *(*run) (void *))
{
	for (size_t i = 0; i < consumers->count; i++)
		if (pthread_create(&consumers->all[i].thread, NULL, run, &consumers->all[i]) != 0)
			failure_exit("could not start a thread");
	for (size_t i = 0; i < consumers->count; i++)
		pthread_join(consumers->all[i].thread, NULL);
}

static void
open_all(Consumers *consumers, const BenchOptions *options)
{
	consumers->options = options;
	consumers->count = options->consumers;
	consumers->rows = options->records;
	consumers->all = calloc(consumers->count, sizeof(Consumer));
	if (consumers->all == NULL)
		failure_exit("out of memory");
	for (size_t i = 0; i < consumers->count; i++)
	{
		char		name[40];

		snprintf(name, sizeof(name), "bench-%zu", i);
		consumers->all[i].consumers = consumers;
		consumers->all[i].index = i;
		consumers->all[i].consumer = open_consumer(options, name, false);
	}
}

static void
close_all(Consumers *consumers)
{
	for (size_t i = 0; i < consumers->count; i++)
		if (sluice_consumer_close(consumers->all[i].consumer, CLOSE_MS) != SLUICE_OK)
			failure_exit("consumer %zu could not leave", i);
}

static void
run_backlog(Consumers *consumers)
{
	Measure		measure = {0};

	measure_start(&measure);
	open_all(consumers, consumers->options);
	in_all(consumers, take_rows);
	measure_stop(&measure);
	measure_print(&measure, consumers->rows * consumers->count);
}

static void
run_live(Consumers *consumers)
{
	const BenchOptions *options = consumers->options;

	in_all(consumers, catch_up);
	consumers->writer = (Writer) {.conninfo = options->conninfo,.statement = WRITER_INSERT,.rate = options->rate,
		.count = options->batch,.consumers = consumers->count};
	consumers->writing = true;
	for (size_t i = 0; i < consumers->count; i++)
		consumers->all[i].rows = 0;
	consumers->rows = options->batch;
	writer_start(&consumers->writer, options->seed);
	in_all(consumers, take_rows);
	writer_finish(&consumers->writer);
	writer_print(&consumers->writer);
	puts("}");
}

static void
run_follow(Consumers *consumers)
{
	uint64_t	last = 0;

	in_all(consumers, catch_up);
	puts("ready");
	fflush(stdout);
	in_all(consumers, take_rows);
	for (size_t i = 0; i < consumers->count; i++)
		last = consumers->all[i].finished > last ? consumers->all[i].finished : last;
	printf("{\"finished\": %.6f}\n", (double) last / 1e9);
}

static bool
input_is_over(void)
{
	struct pollfd input = {.fd = STDIN_FILENO,.events = POLLIN};

	return poll(&input, 1, 0) > 0;
}

static void
run_watch(const BenchOptions *options)
{
	sluice_consumer *consumer = open_consumer(options, "bench", true);
	bool		waits = false;

	while (!input_is_over())
	{
		sluice_row	row;
		int			error = sluice_consumer_next(consumer, 100, &row);

		if (error == SLUICE_ERROR_TIMEOUT)
			continue;
		if (error != SLUICE_OK)
			failure_exit("%s", sluice_error_text(error));
		if (row.event == SLUICE_EVENT_STANDBY)
			printf("standby %.6f\n", (double) measure_now_ns() / 1e9);
		else if (row.event == SLUICE_EVENT_ACTIVE)
		{
			printf("active %.6f\n", (double) measure_now_ns() / 1e9);
			waits = true;
		}
		else if (row.event == SLUICE_EVENT_ROW && waits)
		{
			printf("row %.6f\n", (double) measure_now_ns() / 1e9);
			waits = false;
		}
		fflush(stdout);
	}
	(void) sluice_consumer_close(consumer, 0);
}

int
main(int argc, char **argv)
{
	BenchOptions options;
	Consumers	consumers = {0};

	options_read(&options, argc, argv);
	consumers.options = &options;
	if (strcmp(options.mode, "watch") == 0)
		run_watch(&options);
	else if (strcmp(options.mode, "backlog") == 0)
		run_backlog(&consumers);
	else if (strcmp(options.mode, "fan") == 0)
	{
		run_backlog(&consumers);
		run_live(&consumers);
	}
	else if (strcmp(options.mode, "live") == 0)
	{
		open_all(&consumers, &options);
		run_live(&consumers);
	}
	else if (strcmp(options.mode, "follow") == 0)
	{
		open_all(&consumers, &options);
		run_follow(&consumers);
	}
	else
		failure_exit("invalid value for --mode: \"%s\"", options.mode);
	if (consumers.all != NULL)
		close_all(&consumers);
	return 0;
}
