/*
 * load.c
 *		sluice-load: the load generator of the benchmark.
 *
 * Sends ingestion.DataPayload records of about 60 bytes through the same
 * sender as the tool, and prints what it measured as one line of JSON.  The
 * payloads are encoded once, the keys made on the way.
 *
 * Without --rate it is a closed loop: as fast as the window allows, latency
 * counted from the moment when a record is first sent.  With --rate it is
 * an open one: records become due on a schedule whether or not the server
 * keeps up, and latency counts from the moment when a record was due, so that
 * a stall is seen by all that waited for it.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "clock.h"
#include "exit_status.h"
#include "histogram.h"
#include "lib/attempts.h"
#include "library_options.h"
#include "memory.h"
#include "options.h"
#include "queue.h"
#include "sender.h"
#include "signals.h"
#include "telemetry.h"

#define BATCH_COUNT 256
#define QUEUE_COUNT 4096
#define SHORTEST_SLEEP (SLUICE_SECOND / 5000)	/* at high rates several records are due at a time */

typedef struct LoadOptions
{
	SluiceLibraryOptions library;
	size_t		records;
	const char *keys;
	size_t		window;
	double		rate;
	double		timeout;
	bool		one_at_a_time;
	bool		help;
} LoadOptions;

typedef struct Load
{
	LoadOptions options;
	SluiceSettings settings;
	SluiceAttempts attempts;
	SluiceQueue *queue;
	SluiceSender *sender;
	SluiceTelemetry telemetry;
	int64_t		start;
	int64_t		last_answer;
	SluiceHistogram latency;
} Load;

static void
fail_without_randomness(void)
{
	fprintf(stderr, "sluice-load: no random numbers\n");
	exit(SLUICE_EXIT_GAVE_UP);
}

static int64_t
due_time(const Load *load, size_t i)
{
	return load->start + (int64_t) ((double) i / load->options.rate * SLUICE_SECOND);
}

static void
sleep_until(int64_t when)
{
	struct timespec until = {when / SLUICE_SECOND, when % SLUICE_SECOND};

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) != 0)
		continue;
}

static SluiceClientRecord *
make_record(Load *load, size_t i)
{
	const SluiceTelemetryPayload *payload = sluice_telemetry_payload(&load->telemetry, i);
	char		key[SLUICE_UUID_TEXT_LENGTH];

	if (!sluice_telemetry_next_key(&load->telemetry, key))
		fail_without_randomness();
	return sluice_record_create(key, sizeof(key), (const char *) payload->bytes, payload->length);
}

/* The thread that makes the records, when they are due or as fast as there is room for them. */
static void *
make_records(void *argument)
{
	Load	   *load = argument;
	bool		open_loop = load->options.rate > 0;
	SluiceRecordList batch;
	bool		wanted = true;
	int64_t		now = sluice_clock_now();

	memset(&batch, 0, sizeof(batch));
	for (size_t i = 0; i < load->options.records && wanted; i++)
	{
		int64_t		due = open_loop ? due_time(load, i) : 0;
		SluiceClientRecord *record;

		if (due > now)
		{
			wanted = sluice_queue_push(load->queue, &batch);
			sleep_until(due > now + SHORTEST_SLEEP ? due : now + SHORTEST_SLEEP);
			now = sluice_clock_now();
		}
		record = make_record(load, i);
		record->due = due;
		sluice_record_list_append(&batch, record);
		if (batch.count >= BATCH_COUNT)
			wanted = wanted && sluice_queue_push(load->queue, &batch);
	}
	sluice_queue_push(load->queue, &batch);
	sluice_queue_finish(load->queue);
	return NULL;
}

static void
on_sending(void *argument, SluiceClientRecord *record)
{
	(void) argument;
	if (record->due == 0)
		record->due = sluice_clock_now();
}

static void
on_answered(void *argument, const SluiceClientRecord *record, bool dead_lettered)
{
	Load	   *load = argument;

	(void) dead_lettered;
	load->last_answer = sluice_clock_now();
	sluice_histogram_add(&load->latency, (uint64_t) (load->last_answer - record->due));
}

static void
on_notice(void *argument, const char *message)
{
	(void) argument;
	fprintf(stderr, "sluice-load: %s\n", message);
}

static void
on_signal(void *argument, int signal)
{
	(void) signal;
	/* Twice: a measurement that is interrupted is of no use. */
	sluice_sender_stop(((Load *) argument)->sender);
	sluice_sender_stop(((Load *) argument)->sender);
}

static double
cpu_seconds(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (double) usage.ru_utime.tv_sec + (double) usage.ru_stime.tv_sec +
		(double) (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void
print_result(const Load *load, double cpu)
{
	const SluiceSenderCounts *counts = sluice_sender_counts(load->sender);
	uint64_t	answered = counts->acknowledged + counts->dead_letters;
	double		seconds = (double) (load->last_answer - load->start) / SLUICE_SECOND;

	printf("{\"records\":%zu,\"acknowledged\":%" PRIu64 ",\"rejected\":%" PRIu64 ",\"stored\":%" PRIu64
		   ",\"duplicates\":%" PRIu64 ",\"resent\":%" PRIu64 ",\"seconds\":%.3f,\"records_per_s\":%.0f",
		   load->options.records, counts->acknowledged, counts->dead_letters, counts->stored, counts->duplicates,
		   counts->resent, seconds, seconds > 0 ? (double) answered / seconds : 0);
	printf(",\"client_cpu_us_per_record\":%.3f,\"latency_us\":{\"p50\":%.1f,\"p90\":%.1f,\"p99\":%.1f,"
		   "\"p99_9\":%.1f,\"max\":%.1f},\"window\":%zu,\"rate\":%.0f,\"keys\":\"%s\"}\n",
		   answered > 0 ? cpu * 1e6 / (double) answered : 0,
		   (double) sluice_histogram_quantile(&load->latency, 0.5) / 1e3,
		   (double) sluice_histogram_quantile(&load->latency, 0.9) / 1e3,
		   (double) sluice_histogram_quantile(&load->latency, 0.99) / 1e3,
		   (double) sluice_histogram_quantile(&load->latency, 0.999) / 1e3,
		   (double) load->latency.maximum / 1e3, load->options.window, load->options.rate, load->options.keys);
}

static SluiceExit
run(Load *load)
{
	SluiceSenderOptions options;
	SluiceSignals *signals;
	SluiceSenderResult result;
	pthread_t	thread;
	double		cpu;

	memset(&options, 0, sizeof(options));
	options.attempts = &load->attempts;
	options.window = load->options.window;
	options.window_bytes = SIZE_MAX / 2;
	options.timeout = load->options.timeout > 0 ? (int64_t) (load->options.timeout * SLUICE_SECOND) : SLUICE_NEVER;
	options.argument = load;
	options.sending = on_sending;
	options.answered = on_answered;
	options.notice = on_notice;

	/* An open loop must not be held up by a full queue. */
	load->queue = sluice_queue_create(load->options.rate > 0 ? SIZE_MAX : QUEUE_COUNT, SIZE_MAX);
	load->sender = sluice_sender_create(&options, load->queue);
	signals = sluice_signals_start(on_signal, load);
	cpu = cpu_seconds();
	load->start = sluice_clock_now();
	load->last_answer = load->start;
	if (pthread_create(&thread, NULL, make_records, load) != 0)
	{
		fprintf(stderr, "sluice-load: could not start a thread\n");
		exit(SLUICE_EXIT_GAVE_UP);
	}
	result = sluice_sender_run(load->sender);
	cpu = cpu_seconds() - cpu;
	sluice_signals_end(signals);
	sluice_queue_close(load->queue);
	pthread_join(thread, NULL);

	if (result != SLUICE_SENDER_DONE)
		fprintf(stderr, "sluice-load: %s\n", sluice_sender_message(load->sender));
	print_result(load, cpu);
	sluice_sender_free(load->sender);
	sluice_queue_free(load->queue);
	return result == SLUICE_SENDER_DONE ? SLUICE_EXIT_OK :
		result == SLUICE_SENDER_REFUSED ? SLUICE_EXIT_REFUSED : SLUICE_EXIT_GAVE_UP;
}

static bool
read_options(LoadOptions *options, int argc, char **argv, int *status)
{
	const SluiceOption table[] = {
		SLUICE_SERVER_OPTION_ROWS(&options->library),
		{SLUICE_OPTION_COUNT, "records", 'n', "N", &options->records, 1, 1e12, "how many (default 1000000)", NULL},
		{SLUICE_OPTION_CHOICE, "keys", 'k', "time|random", &options->keys, 0, 0, "UUIDv7 or UUIDv4 (default time)", NULL},
		{SLUICE_OPTION_COUNT, "window", 'w', "N", &options->window, 1, 10000000, "records unacknowledged at most (default 10000)", NULL},
		{SLUICE_OPTION_REAL, "rate", 'r', "R", &options->rate, 0, 1e9, "records due a second (default 0: as fast as possible)", NULL},
		{SLUICE_OPTION_SWITCH, "one-at-a-time", '1', NULL, &options->one_at_a_time, 0, 0, "the next one after the answer: --window 1", NULL},
		{SLUICE_OPTION_REAL, "timeout", 't', "SECONDS", &options->timeout, 0, 1e8, "give up without answers (default 60, 0: never)", NULL},
		{SLUICE_OPTION_SWITCH, "help", 'h', NULL, &options->help, 0, 0, "show this", NULL},
		{SLUICE_OPTION_END, NULL, 0, NULL, NULL, 0, 0, NULL, NULL}
	};
	int			others;

	options->records = 1000000;
	options->keys = "time";
	options->window = 10000;
	options->timeout = 60;
	others = sluice_options_read(table, argc, argv, "sluice-load");
	*status = SLUICE_EXIT_INPUT;
	if (others > 0)
		fprintf(stderr, "sluice-load: unexpected argument \"%s\"\n", argv[1]);
	if (others == 0 && options->help)
	{
		puts("Usage: sluice-load [OPTION]...\n");
		sluice_options_show(table);
		*status = SLUICE_EXIT_OK;
	}
	if (options->one_at_a_time)
		options->window = 1;
	return others == 0 && !options->help;
}

/* The connection is set up as the library does it, of a consumer, which needs no buffer. */
static bool
set_up_connection(Load *load, const sluice_options *library)
{
	SluiceError error = {""};

	if (sluice_options_settings(library, SLUICE_ROLE_CONSUMER, &load->settings, error.text, sizeof(error.text)) == SLUICE_OK &&
		sluice_attempts_init(&load->attempts, &load->settings, &error) == SLUICE_OK)
		return true;
	fprintf(stderr, "sluice-load: %s\n", error.text);
	return false;
}

int
main(int argc, char **argv)
{
	static Load load;			/* too large for the stack */
	sluice_options *library;
	int			status;

	if (!read_options(&load.options, argc, argv, &status))
		return status;
	if (!sluice_telemetry_init(&load.telemetry, strcmp(load.options.keys, "random") == 0))
		fail_without_randomness();
	library = sluice_library_options_make(&load.options.library, "sluice-load");
	if (library == NULL)
		return SLUICE_EXIT_INPUT;
	status = SLUICE_EXIT_INPUT;
	sluice_signals_block();
	if (set_up_connection(&load, library))
	{
		status = run(&load);
		sluice_attempts_release(&load.attempts);
	}
	sluice_options_free(library);
	return status;
}
