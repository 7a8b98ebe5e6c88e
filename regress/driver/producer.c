/*
 * producer.c
 *		A program over sluice.h for the tests: makes records, and notes what it was promised and told.
 *
 *	producer --directory D --name N [--journal D] [--producers N] [--threads N] [--count N]
 *			 [--rate N] [--size N] [--bad-every N] [--key-every N] [--entities N] [--flush MS]
 *			 [--stay MS] [--timeline FILE] [--set OPTION=VALUE]...
 *
 * It opens --producers buffers D/N-1, D/N-2, ... and sends --count records into each
 * (without it: until SIGTERM), then flushes for --flush milliseconds (at most until SIGTERM), stays open for --stay
 * milliseconds, closes and prints a line of JSON.  It may be killed and started again at any time.
 *
 * A record is {"name", "running", "kind", "content"}: the content is random, and running, a number that is never
 * used again by that name, is the run's number and a count.  Journal of every producer, written before the next record is sent:
 *
 *	name.promised	name, sequence, running, kind, content	sluice_send() returned SLUICE_OK
 *	name.delivered	name, first, last, verdict, reason		what the callback was told
 *	name.runs		a line for each start
 *
 * Written with write(2), so SIGKILL takes nothing of it.
 * Exit status: 0 all delivered, 1 something is left, 2 wrong usage or no start, 3 fenced, forked or damaged.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "producer.h"

#define RUN_RECORDS 1000000000LL	/* more than a run makes */
#define SIZE_MAX_RECORD (16 << 20)

static Settings settings = {.producers = 1, .threads = 1, .count = -1, .size = 40, .flush = 60000};
static sluice_options *options;
static Producer *producers;
static atomic_bool stopping;
static atomic_bool closing;
static atomic_int active;
static pthread_t timeline;
static atomic_ulong errors[ERRORS];

static void __attribute__((noreturn, format(printf, 1, 2)))
die(const char *format, ...)
{
	va_list		args;

	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(2);
}

double
producer_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double) now.tv_sec + (double) now.tv_nsec / 1e9;
}

static void
pause_ns(int64_t ns)
{
	struct timespec rest = {ns / 1000000000, ns % 1000000000};

	nanosleep(&rest, NULL);
}

/* ---- journals ---- */

static int
open_journal(const Producer *producer, const char *what)
{
	char		path[4096];
	int			fd;

	snprintf(path, sizeof(path), "%s/%s.%s", settings.journal, producer->name, what);
	fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
	if (fd < 0)
		die("could not open %s: %s", path, strerror(errno));
	return fd;
}

/* One write, so that lines of several threads do not mix. */
static void
note(int fd, const char *line, size_t length)
{
	if (write(fd, line, length) != (ssize_t) length)
		die("could not write a journal: %s", strerror(errno));
}

/* The number of this run: how many lines name.runs has, with the one written here. */
static int64_t
begin_run(const Producer *producer)
{
	int			fd = open_journal(producer, "runs");
	struct stat about;

	note(fd, "\n", 1);
	if (fstat(fd, &about) != 0)
		die("could not read a journal: %s", strerror(errno));
	close(fd);
	return about.st_size;
}

static void
on_delivery(void *argument, const sluice_delivery *delivery)
{
	Producer   *producer = argument;
	char		line[256];
	int			length;

	atomic_fetch_add(&producer->told[delivery->verdict & 7], delivery->last - delivery->first + 1);
	if (producer->delivered < 0)
		return;
	length = snprintf(line, sizeof(line), "%s\t%llu\t%llu\t%d\t%d\n", producer->name,
					  (unsigned long long) delivery->first, (unsigned long long) delivery->last,
					  (int) delivery->verdict, (int) delivery->reason);
	note(producer->delivered, line, (size_t) length);
}

static void
on_log(void *argument, sluice_level level, const char *text)
{
	fprintf(stderr, "%.3f %s: %d: %s\n", producer_now(), ((Producer *) argument)->name, (int) level, text);
}

/* ---- records ---- */

typedef struct Maker
{
	Producer   *producer;
	uint64_t	random;
	char	   *content;
	char	   *payload;
	char	   *line;
	char		key[128];
	char		entity[32];
} Maker;

static uint64_t
draw(Maker *maker)
{
	maker->random ^= maker->random << 13;
	maker->random ^= maker->random >> 7;
	maker->random ^= maker->random << 17;
	return maker->random;
}

static bool
is_every(long number, long every)
{
	return every > 0 && number % every == 0;
}

/* "refused" breaks a constraint of the table, "broken" is no JSON. */
static const char *
kind_of(long number)
{
	if (is_every(number, settings.bad_every))
		return number / settings.bad_every % 2 == 0 ? "broken" : "refused";
	return is_every(number, settings.key_every) ? "keyed" : "plain";
}

static void
make_content(Maker *maker, bool refused)
{
	static const char digits[] = "0123456789abcdef";
	long		length = settings.size / 2 + (long) (draw(maker) % (uint64_t) (settings.size / 2 + 1));

	for (long i = 0; i < length; i++)
		maker->content[i] = digits[draw(maker) & 15];
	if (refused)
		maker->content[0] = '!';
	maker->content[length] = '\0';
}

static size_t
make_payload(Maker *maker, int64_t running, const char *kind)
{
	int			length;

	make_content(maker, strcmp(kind, "refused") == 0);
	length = sprintf(maker->payload, "{\"name\":\"%s\",\"running\":%lld,\"kind\":\"%s\",\"content\":\"%s\"%s",
					 maker->producer->name, (long long) running, kind, maker->content,
					 strcmp(kind, "broken") == 0 ? "" : "}");
	return (size_t) length;
}

static void
promise(Maker *maker, uint64_t sequence, int64_t running, const char *kind)
{
	Producer   *producer = maker->producer;

	atomic_fetch_add(&producer->sent, 1);
	if (producer->promised < 0)
		return;
	note(producer->promised, maker->line,
		 (size_t) sprintf(maker->line, "%s\t%llu\t%lld\t%s\t%s\n", producer->name, (unsigned long long) sequence,
						  (long long) running, kind, maker->content));
}

/* Until it is in, or cannot be; what "may succeed later" is tried again unchanged. */
static bool
put(Maker *maker, const sluice_record *record, int64_t running, const char *kind)
{
	while (!atomic_load(&maker->producer->fatal))
	{
		uint64_t	sequence = 0;
		int			error = sluice_send(maker->producer->handle, record, &sequence);

		if (error == SLUICE_OK)
		{
			promise(maker, sequence, running, kind);
			return true;
		}
		atomic_fetch_add(&errors[error < ERRORS ? error : 0], 1);
		if (sluice_error_class(error) == SLUICE_CLASS_INPUT)
			return true;
		if (sluice_error_class(error) == SLUICE_CLASS_FATAL)
			atomic_store(&maker->producer->fatal, error);
		else if (atomic_load(&stopping))
			return false;
		else
			pause_ns(5000000);
	}
	return false;
}

static bool
make_record(Maker *maker, long number)
{
	int64_t		running = maker->producer->run * RUN_RECORDS + number;
	const char *kind = kind_of(number);
	sluice_record record = {.payload = maker->payload};

	record.payload_length = make_payload(maker, running, kind);
	if (strcmp(kind, "keyed") == 0)
	{
		record.key = maker->key;
		record.key_length = (size_t) sprintf(maker->key, "%s-%lld", maker->producer->name, (long long) running);
	}
	if (settings.entities > 0)
	{
		record.entity = maker->entity;
		record.entity_length = (size_t) sprintf(maker->entity, "entity %ld", (long) (draw(maker) % (uint64_t) settings.entities));
	}
	if (!put(maker, &record, running, kind))
		return false;
	/* A program that sends a keyed record twice, not knowing what became of it. */
	if (record.key != NULL && draw(maker) % 4 == 0)
		return put(maker, &record, running, "again");
	return true;
}

/* Mostly at an even rate, now and then a burst, so that all fillings of the buffer occur. */
static void
keep_rate(Maker *maker, long *burst)
{
	if (settings.rate <= 0 || (*burst > 0 && (*burst)-- > 0))
		return;
	if (draw(maker) % 500 == 0)
		*burst = 300;
	pause_ns(1000000000LL * settings.threads / settings.rate);
}

static void *
make_records(void *argument)
{
	Producer   *producer = argument;
	Maker		maker = {.producer = producer};
	long		burst = 0;

	maker.content = malloc((size_t) settings.size + 2);
	maker.payload = malloc((size_t) settings.size + 512);
	maker.line = malloc((size_t) settings.size + 512);
	if (getentropy(&maker.random, sizeof(maker.random)) != 0 || !maker.content || !maker.payload || !maker.line)
		die("could not begin a thread");
	maker.random |= 1;
	while (!atomic_load(&stopping))
	{
		long		number = atomic_fetch_add(&producer->next, 1) + 1;

		if ((settings.count >= 0 && number > settings.count) || !make_record(&maker, number))
			break;
		keep_rate(&maker, &burst);
	}
	free(maker.content);
	free(maker.payload);
	free(maker.line);
	atomic_fetch_sub(&active, 1);
	return NULL;
}

/* ---- the timeline: when connections were opened, and their first acknowledgement ---- */

static void *
watch_timeline(void *argument)
{
	FILE	   *file = argument;
	uint64_t   *connections = calloc((size_t) settings.producers, sizeof(uint64_t));
	uint64_t   *acknowledged = calloc((size_t) settings.producers, sizeof(uint64_t));

	while (connections != NULL && acknowledged != NULL && !atomic_load(&closing))
	{
		for (int i = 0; i < settings.producers; i++)
		{
			sluice_statistics now;

			sluice_producer_statistics(producers[i].handle, &now, sizeof(now));
			if (now.connections > connections[i])
			{
				fprintf(file, "%.6f\t%d\topened\t%llu\n", producer_now(), i, (unsigned long long) now.connections);
				connections[i] = now.connections;
				acknowledged[i] = now.acknowledged_through;
			}
			else if (acknowledged[i] != UINT64_MAX && now.acknowledged_through > acknowledged[i])
			{
				fprintf(file, "%.6f\t%d\tacknowledged\t%llu\n", producer_now(), i, (unsigned long long) now.connections);
				acknowledged[i] = UINT64_MAX;
			}
		}
		fflush(file);
		pause_ns(1000000);
	}
	free(connections);
	free(acknowledged);
	fclose(file);
	return NULL;
}

/* ---- the beginning ---- */

static void
set_option(const char *text)
{
	char		name[128];
	const char *value = strchr(text, '=');

	if (value == NULL || (size_t) (value - text) >= sizeof(name))
		die("--set needs OPTION=VALUE, not \"%s\"", text);
	snprintf(name, sizeof(name), "%.*s", (int) (value - text), text);
	if (sluice_options_set(options, name, value + 1) != SLUICE_OK)
		die("%s: %s", name, sluice_options_message(options));
}

static long *
number_of(const char *name)
{
	return strcmp(name, "--count") == 0 ? &settings.count
		: strcmp(name, "--rate") == 0 ? &settings.rate
		: strcmp(name, "--size") == 0 ? &settings.size
		: strcmp(name, "--bad-every") == 0 ? &settings.bad_every
		: strcmp(name, "--key-every") == 0 ? &settings.key_every
		: strcmp(name, "--entities") == 0 ? &settings.entities
		: strcmp(name, "--flush") == 0 ? &settings.flush
		: strcmp(name, "--stay") == 0 ? &settings.stay
		: NULL;
}

static void
read_argument(const char *name, const char *value)
{
	if (strcmp(name, "--directory") == 0)
		settings.directory = value;
	else if (strcmp(name, "--name") == 0)
		settings.name = value;
	else if (strcmp(name, "--journal") == 0)
		settings.journal = value;
	else if (strcmp(name, "--timeline") == 0)
		settings.timeline = value;
	else if (strcmp(name, "--set") == 0)
		set_option(value);
	else if (strcmp(name, "--producers") == 0)
		settings.producers = atoi(value);
	else if (strcmp(name, "--threads") == 0)
		settings.threads = atoi(value);
	else if (number_of(name) != NULL)
		*number_of(name) = atol(value);
	else
		die("unknown argument: %s", name);
}

static int
open_producer(Producer *producer, int index)
{
	char		path[4096];
	char		message[512];
	int			error;

	snprintf(producer->name, sizeof(producer->name), "%s-%d", settings.name, index + 1);
	producer->promised = producer->delivered = -1;
	if (settings.journal != NULL)
	{
		producer->run = begin_run(producer);
		producer->promised = open_journal(producer, "promised");
		producer->delivered = open_journal(producer, "delivered");
	}
	snprintf(path, sizeof(path), "%s/%s", settings.directory, producer->name);
	if (sluice_options_set(options, "buffer", path) != SLUICE_OK)
		die("buffer: %s", sluice_options_message(options));
	sluice_options_on_delivery(options, on_delivery, producer);
	sluice_options_on_log(options, on_log, producer);
	error = sluice_producer_open(options, &producer->handle, message, sizeof(message));
	if (error != SLUICE_OK)
	{
		fprintf(stderr, "%s: %d (%s): %s\n", producer->name, error, sluice_error_text(error), message);
		exit(sluice_error_class(error) == SLUICE_CLASS_FATAL ? 3 : 2);
	}
	return 0;
}

static pthread_t
start_thread(void *(*run) (void *), void *argument)
{
	pthread_t	thread;
	int			error = pthread_create(&thread, NULL, run, argument);

	if (error != 0)
		die("could not start a thread: %s", strerror(error));
	return thread;
}

static void
start_timeline(void)
{
	FILE	   *file = fopen(settings.timeline, "w");

	if (file == NULL)
		die("could not open %s: %s", settings.timeline, strerror(errno));
	timeline = start_thread(watch_timeline, file);
}

static void
start(void)
{
	producers = calloc((size_t) settings.producers, sizeof(Producer));
	if (producers == NULL)
		die("out of memory");
	for (int i = 0; i < settings.producers; i++)
		open_producer(&producers[i], i);
	sluice_options_free(options);
	if (settings.timeline != NULL)
		start_timeline();
	report_memory("open");
	atomic_store(&active, settings.producers * settings.threads);
	for (int i = 0; i < settings.producers * settings.threads; i++)
		pthread_detach(start_thread(make_records, &producers[i % settings.producers]));
}

static bool
is_terminated(sigset_t *signals, long milliseconds)
{
	struct timespec rest = {milliseconds / 1000, milliseconds % 1000 * 1000000};

	return sigtimedwait(signals, NULL, &rest) > 0;
}

/* Flush all; SIGTERM ends the waiting. */
static int
finish(sigset_t *signals)
{
	double		deadline = producer_now() + (double) settings.flush / 1000;
	bool		terminated = false;
	int			status = 0;

	for (int i = 0; i < settings.producers; i++)
	{
		int			error;

		do
		{
			error = sluice_flush(producers[i].handle, terminated ? 0 : 200);
			terminated = terminated || is_terminated(signals, 0);
		} while (error == SLUICE_ERROR_TIMEOUT && producer_now() < deadline && !terminated);
		if (sluice_error_class(error) == SLUICE_CLASS_FATAL)
			status = 3;
		else if (error != SLUICE_OK && status == 0)
			status = 1;
	}
	return status;
}

int
main(int argc, char **argv)
{
	sigset_t	signals;
	int			status;

	options = sluice_options_create();
	if (options == NULL)
		die("out of memory");
	for (int i = 1; i + 1 < argc; i += 2)
		read_argument(argv[i], argv[i + 1]);
	if (argc % 2 == 0 || settings.directory == NULL || settings.name == NULL || settings.producers < 1 || settings.threads < 1 ||
		settings.size < 2 || settings.size > SIZE_MAX_RECORD)
		die("usage: see the head of producer.c");
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &signals, NULL);
	start();
	while (atomic_load(&active) > 0)
	{
		if (is_terminated(&signals, 20))
			atomic_store(&stopping, true);
	}
	report_memory("put");
	status = finish(&signals);
	report_memory("flushed");
	is_terminated(&signals, settings.stay);
	report_end(&settings, producers, errors);
	atomic_store(&closing, true);
	if (settings.timeline != NULL)
		pthread_join(timeline, NULL);
	for (int i = 0; i < settings.producers; i++)
	{
		int			error = sluice_producer_close(producers[i].handle, 0);

		if (error != SLUICE_OK && status == 0)
			status = 1;
	}
	free(producers);
	return status;
}
