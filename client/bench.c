/*
 * bench.c
 *		The command "sluice bench": made-up records through libsluice, and how long they take.
 *
 * Without --rate it is a closed loop: as fast as the buffer takes them.  With --rate
 * it is an open one: records become due on a schedule whether or not
 * the library and the server keep up, and latency counts from the moment when a
 * record was due, so that a stall is seen by all that waited for it.
 */
#include "bench.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "bench_records.h"
#include "bench_result.h"
#include "clock.h"
#include "exit_status.h"
#include "library_options.h"
#include "memory.h"
#include "options.h"
#include "pending.h"
#include "signals.h"
#include "spool.h"

#define PENDING_SIZE ((size_t) 1 << 21)
#define PENDING_MAX 1048576		/* records in the buffer at most: half of the places */
#define PENDING_MAX_TEXT "1048576"
#define SHORTEST_SLEEP (SLUICE_SECOND / 5000)	/* at high rates several records are due at a time */
#define FOREVER_RECORDS 1e15

typedef struct BenchOptions
{
	SluiceLibraryOptions library;
	size_t		records;
	double		duration;
	double		rate;
	double		warmup;
	const char *payload;
	size_t		size;
	const char *keys;
	size_t		threads;
	double		timeout;
	bool		drain;
	bool		json;
	bool		help;
} BenchOptions;

typedef struct Bench
{
	BenchOptions options;
	sluice_producer *producer;
	SluicePending *pending;
	atomic_uint_fast64_t taken; /* records given to threads */
	atomic_bool stopping;
	_Atomic int failure;		/* a sluice_error */
	int64_t		start;
	int64_t		measured_from;	/* the warm-up is over */
	int64_t		end;			/* of putting in; SLUICE_NEVER */
	SluiceHistogram *settled;	/* verdicts that came after the call, by the delivery callback */
	_Atomic int64_t last_settled;
} Bench;

typedef struct Worker
{
	pthread_t	thread;
	Bench	   *bench;
	SluiceHistogram *calls;		/* of sluice_send() */
	SluiceHistogram *settled;	/* verdicts that came before the call returned */
	uint64_t	measured;
	SluiceBenchRecords records;
} Worker;

/* ---- verdicts ---- */

static void
on_delivery(void *argument, const sluice_delivery *delivery)
{
	Bench	   *bench = argument;
	int64_t		now = sluice_clock_now();

	atomic_store(&bench->last_settled, now);
	for (uint64_t sequence = delivery->first; sequence <= delivery->last; sequence++)
	{
		int64_t		took = sluice_pending_settled(bench->pending, sequence, now);

		if (took >= 0 && now - took >= bench->measured_from)
			sluice_histogram_add(bench->settled, (uint64_t) took);
	}
}

static void
on_log(void *argument, sluice_level level, const char *text)
{
	(void) argument;
	if (level >= SLUICE_LEVEL_WARNING)
		fprintf(stderr, "sluice bench: %s\n", text);
}

static void
on_signal(void *argument, int signal)
{
	(void) signal;
	atomic_store(&((Bench *) argument)->stopping, true);
}

/* ---- putting in ---- */

static void __attribute__((noreturn))
fail(const char *message)
{
	fprintf(stderr, "sluice bench: %s\n", message);
	exit(SLUICE_EXIT_GAVE_UP);
}

static void
sleep_until(int64_t when)
{
	struct timespec until = {when / SLUICE_SECOND, when % SLUICE_SECOND};

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) != 0)
		continue;
}

static bool
put_one(Worker *worker, const sluice_record *record, int64_t due)
{
	Bench	   *bench = worker->bench;
	int64_t		before = sluice_clock_now();
	int64_t		after;
	int64_t		took;
	uint64_t	sequence;
	int			error;

	do
		error = sluice_send(bench->producer, record, &sequence);
	while (error == SLUICE_ERROR_FULL && !atomic_load(&bench->stopping));
	after = sluice_clock_now();
	if (error != SLUICE_OK)
	{
		atomic_store(&bench->failure, error);
		return false;
	}
	if (due == 0)
		due = before;
	took = sluice_pending_due(bench->pending, sequence, due);
	if (due < bench->measured_from)
		return true;
	worker->measured++;
	sluice_histogram_add(worker->calls, (uint64_t) (after - before));
	if (took >= 0)
		sluice_histogram_add(worker->settled, (uint64_t) took);
	return true;
}

static void *
put_records(void *argument)
{
	Worker	   *worker = argument;
	Bench	   *bench = worker->bench;
	sluice_record record;
	int64_t		now = sluice_clock_now();

	while (!atomic_load(&bench->stopping))
	{
		uint64_t	i = atomic_fetch_add(&bench->taken, 1);
		int64_t		due = 0;

		if (i >= bench->options.records)
			break;
		if (bench->options.rate > 0)
		{
			due = bench->start + (int64_t) ((double) i / bench->options.rate * SLUICE_SECOND);
			if (due >= bench->end)
				break;
			if (due > now)
				sleep_until(due > now + SHORTEST_SLEEP ? due : now + SHORTEST_SLEEP);
		}
		now = sluice_clock_now();
		/* On a schedule, what was due is put in, however late it is. */
		if (bench->options.rate == 0 && now >= bench->end)
			break;
		if (!sluice_bench_records_next(&worker->records, i, &record))
			fail("no random numbers");
		if (!put_one(worker, &record, due))
			break;
	}
	return NULL;
}

/* ---- the run ---- */

static double
cpu_seconds(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (double) usage.ru_utime.tv_sec + (double) usage.ru_stime.tv_sec +
		(double) (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

/* Not what getrusage() tells, for that is also the most of the program that started this one. */
static uint64_t
peak_memory(void)
{
	FILE	   *file = fopen("/proc/self/status", "re");
	char		line[128];
	unsigned long long kilobytes = 0;

	if (file == NULL)
		return 0;
	while (fgets(line, sizeof(line), file) != NULL && sscanf(line, "VmHWM: %llu", &kilobytes) != 1)
		continue;
	fclose(file);
	return (uint64_t) kilobytes * 1024;
}

static void
set_times(Bench *bench)
{
	const BenchOptions *options = &bench->options;

	bench->start = sluice_clock_now();
	bench->measured_from = bench->start + (int64_t) (options->warmup * SLUICE_SECOND);
	bench->end = options->duration > 0 ?
		bench->measured_from + (int64_t) (options->duration * SLUICE_SECOND) : SLUICE_NEVER;
}

static void
run_workers(Bench *bench, SluiceBenchResult *result)
{
	size_t		n = bench->options.threads;
	Worker	   *workers = sluice_memory_get_zeroed(n * sizeof(Worker));

	for (size_t i = 0; i < n; i++)
	{
		workers[i].bench = bench;
		workers[i].calls = sluice_memory_get_zeroed(sizeof(SluiceHistogram));
		workers[i].settled = sluice_memory_get_zeroed(sizeof(SluiceHistogram));
		if (!sluice_bench_records_init(&workers[i].records, bench->options.payload, bench->options.size, bench->options.keys))
			fail("no random numbers");
	}
	set_times(bench);
	for (size_t i = 0; i < n; i++)
	{
		if (pthread_create(&workers[i].thread, NULL, put_records, &workers[i]) != 0)
			fail("could not start a thread");
	}
	for (size_t i = 0; i < n; i++)
	{
		pthread_join(workers[i].thread, NULL);
		sluice_histogram_add_all(&result->calls, workers[i].calls);
		sluice_histogram_add_all(&result->settled, workers[i].settled);
		result->measured += workers[i].measured;
		sluice_bench_records_clear(&workers[i].records);
		free(workers[i].calls);
		free(workers[i].settled);
	}
	free(workers);
}

static SluiceExit
judge(const Bench *bench, int flushed, const sluice_statistics *statistics)
{
	char		message[256];
	int			failure = atomic_load(&bench->failure);

	if (failure == SLUICE_OK && flushed == SLUICE_OK)
		return statistics->dead_lettered + statistics->set_aside > 0 ? SLUICE_EXIT_DEAD_LETTERS : SLUICE_EXIT_OK;
	sluice_producer_message(bench->producer, message, sizeof(message));
	fprintf(stderr, "sluice bench: %s%s%s\n", sluice_error_text(failure != SLUICE_OK ? failure : flushed),
			message[0] != '\0' ? ": " : "", message);
	return statistics->state == SLUICE_STATE_REFUSED ? SLUICE_EXIT_REFUSED : SLUICE_EXIT_GAVE_UP;
}

static SluiceExit
run(Bench *bench)
{
	SluiceBenchResult *result = sluice_memory_get_zeroed(sizeof(SluiceBenchResult));
	SluiceSignals *signals = sluice_signals_start(on_signal, bench);
	double		cpu;
	int64_t		put_end;
	int			flushed;
	SluiceExit	status;

	sluice_producer_statistics(bench->producer, &result->statistics, sizeof(result->statistics));
	result->found = result->statistics.buffered_records;
	cpu = cpu_seconds();
	if (bench->options.drain)
		set_times(bench);
	else
		run_workers(bench, result);
	put_end = sluice_clock_now();
	flushed = sluice_flush(bench->producer, (int64_t) (bench->options.timeout * 1000));
	sluice_signals_end(signals);
	sluice_producer_statistics(bench->producer, &result->statistics, sizeof(result->statistics));
	result->cpu = cpu_seconds() - cpu;
	result->memory = peak_memory();
	result->put_seconds = (double) (put_end - bench->start) / SLUICE_SECOND;
	result->seconds = (double) (atomic_load(&bench->last_settled) - bench->start) / SLUICE_SECOND;
	result->rate = bench->options.rate;
	result->threads = bench->options.threads;
	result->size = bench->options.size;
	status = judge(bench, flushed, &result->statistics);
	sluice_producer_close(bench->producer, 0);	/* now no verdict comes any more */
	sluice_histogram_add_all(&result->settled, bench->settled);
	if (bench->options.json)
		sluice_bench_result_print_json(stdout, result);
	else
		sluice_bench_result_print_text(stdout, result);
	free(result);
	return status;
}

/* Returns false when the command is over, with *status. */
static bool
read_options(BenchOptions *options, int argc, char **argv, int *status)
{
	const SluiceOption table[] = {
		SLUICE_LIBRARY_OPTION_ROWS(&options->library),
		{SLUICE_OPTION_COUNT, "records", 'n', "N", &options->records, 1, FOREVER_RECORDS,
		"records in all (default 1000000, or as many as fit into --duration)", NULL},
		{SLUICE_OPTION_REAL, "duration", 'd', "SECONDS", &options->duration, 0, 1e8, "put in for so long, after the warm-up", NULL},
		{SLUICE_OPTION_REAL, "rate", 'r', "N", &options->rate, 0, 1e9,
		"records a second, on a schedule that waits for nobody (default 0: as fast as possible)", NULL},
		{SLUICE_OPTION_REAL, "warmup", 0, "SECONDS", &options->warmup, 0, 1e6, "do not measure what was due before", NULL},
		{SLUICE_OPTION_CHOICE, "payload", 0, "object|reading", &options->payload, 0, 0,
		"a JSON object, or an ingestion.DataPayload (default object)", NULL},
		{SLUICE_OPTION_SIZE, "size", 0, "SIZE", &options->size, 2, 64.0 * 1024 * 1024, "of an object (default 60)", NULL},
		{SLUICE_OPTION_CHOICE, "keys", 0, "none|time|random", &options->keys, 0, 0,
		"an idempotency key for each: UUIDv7 or UUIDv4 (default none)", NULL},
		{SLUICE_OPTION_COUNT, "threads", 0, "N", &options->threads, 1, 1000, "that call sluice_send (default 1)", NULL},
		{SLUICE_OPTION_REAL, "timeout", 't', "SECONDS", &options->timeout, 0, 1e8, "for the rest to be acknowledged (default 60)", NULL},
		{SLUICE_OPTION_SWITCH, "drain", 0, NULL, &options->drain, 0, 0, "put in nothing: how fast is sent what is in the buffer", NULL},
		{SLUICE_OPTION_SWITCH, "json", 'j', NULL, &options->json, 0, 0, "a line of JSON", NULL},
		{SLUICE_OPTION_SWITCH, "help", 'h', NULL, &options->help, 0, 0, "show this", NULL},
		{SLUICE_OPTION_END, NULL, 0, NULL, NULL, 0, 0, NULL, NULL}
	};
	int			others = sluice_options_read(table, argc, argv, "sluice bench");

	*status = SLUICE_EXIT_INPUT;
	if (others == 0 && !options->help)
		return true;
	if (others > 0)
		fprintf(stderr, "sluice bench: takes options only (try --help)\n");
	if (others != 0)
		return false;
	fputs("Usage: sluice bench [OPTION]...\n"
		  "Send made-up records through libsluice, and tell how long they took.\n\n", stdout);
	sluice_options_show(table);
	*status = SLUICE_EXIT_OK;
	return false;
}

static bool
open_bench(Bench *bench, sluice_options *library, const char *directory)
{
	char		message[256];

	sluice_options_set(library, "buffer", directory);
	sluice_options_set(library, "block_timeout", "100 ms");
	if (atoll(sluice_options_get(library, "max_records")) > PENDING_MAX)
		sluice_options_set(library, "max_records", PENDING_MAX_TEXT);
	sluice_options_on_delivery(library, on_delivery, bench);
	sluice_options_on_log(library, on_log, bench);
	if (sluice_producer_open(library, &bench->producer, message, sizeof(message)) == SLUICE_OK)
		return true;
	fprintf(stderr, "sluice bench: %s\n", message);
	return false;
}

static int
run_in(Bench *bench, sluice_options *library)
{
	SluiceSpool spool;
	int			status = SLUICE_EXIT_INPUT;

	if (!sluice_spool_open(&spool, bench->options.library.buffer))
	{
		perror("sluice bench: could not make a directory for the buffer");
		return status;
	}
	bench->pending = sluice_pending_create(PENDING_SIZE);
	bench->settled = sluice_memory_get_zeroed(sizeof(SluiceHistogram));
	if (open_bench(bench, library, spool.directory))
		status = run(bench);
	free(bench->settled);
	sluice_pending_free(bench->pending);
	sluice_spool_close(&spool, false);
	return status;
}

int
sluice_bench_main(int argc, char **argv)
{
	Bench		bench;
	sluice_options *library;
	int			status;

	memset(&bench, 0, sizeof(bench));
	bench.options.payload = "object";
	bench.options.size = 60;
	bench.options.keys = "none";
	bench.options.threads = 1;
	bench.options.timeout = 60;
	if (!read_options(&bench.options, argc, argv, &status))
		return status;
	if (bench.options.records == 0)
		bench.options.records = bench.options.duration > 0 ? (size_t) FOREVER_RECORDS : 1000000;
	library = sluice_library_options_make(&bench.options.library, "sluice bench");
	if (library == NULL)
		return SLUICE_EXIT_INPUT;
	sluice_signals_block();
	status = run_in(&bench, library);
	sluice_options_free(library);
	return status;
}
