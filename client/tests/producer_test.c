/*
 * producer_test.c
 *		A producer without a server, used by many threads: they all come back when it is closed.
 */
#include "tap.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sched.h>
#include <sys/syscall.h>

#include "../sluice.h"
#include "buffer_directory.h"

#define SENDERS 60
#define FLUSHERS 40
#define THREADS (SENDERS + FLUSHERS)
#define ROUNDS 5
#define RECORDS "100"

typedef struct Caller
{
	sluice_producer *producer;
	pthread_t	thread;
	atomic_int	id;				/* the kernel's; 0: not started yet */
	int			code;
} Caller;

static sluice_producer *
open_producer(const char *directory, const char *durability)
{
	const char *const values[][2] = {{"buffer", directory}, {"server", "127.0.0.1:1"}, {"durability", durability},
	{"max_records", RECORDS}};
	sluice_options *options = sluice_options_create();
	sluice_producer *producer = NULL;

	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
		sluice_options_set(options, values[i][0], values[i][1]);
	sluice_producer_open(options, &producer, NULL, 0);
	sluice_options_free(options);
	return producer;
}

/* Until the buffer is full, and then until it is closed. */
static void *
send_on(void *argument)
{
	Caller	   *caller = argument;

	atomic_store(&caller->id, (int) syscall(SYS_gettid));
	while ((caller->code = sluice_send(caller->producer, &(sluice_record) {.payload = "x", .payload_length = 1}, NULL)) == SLUICE_OK)
		continue;
	return NULL;
}

static void *
flush(void *argument)
{
	Caller	   *caller = argument;

	atomic_store(&caller->id, (int) syscall(SYS_gettid));
	caller->code = sluice_flush(caller->producer, -1);
	return NULL;
}

/* How often the thread has gone to sleep so far, if it sleeps now; else -1. */
static long
sleeps(int id)
{
	char		path[64];
	char		line[256];
	FILE	   *file;
	char		state = 'R';
	long		times = -1;

	snprintf(path, sizeof(path), "/proc/self/task/%d/status", id);
	file = fopen(path, "r");
	while (file != NULL && fgets(line, sizeof(line), file) != NULL)
	{
		if (strncmp(line, "State:\t", 7) == 0)
			state = line[7];
		sscanf(line, "voluntary_ctxt_switches: %ld", &times);
	}
	if (file != NULL)
		fclose(file);
	return state == 'S' ? times : -1;
}

/* Until each waits in its call: it sleeps, and for a while nothing has woken it. */
static void
wait_until_all_wait(Caller *callers)
{
	long		before[THREADS] = {0};
	int			quiet = 0;

	while (quiet < 20)
	{
		bool		same = true;

		for (int i = 0; i < THREADS; i++)
		{
			int			id = atomic_load(&callers[i].id);
			long		now = id != 0 ? sleeps(id) : -1;

			same = same && now >= 0 && now == before[i];
			before[i] = now;
		}
		quiet = same ? quiet + 1 : 0;
		usleep(1000);
	}
}

static bool
come_back(const char *directory, const char *durability)
{
	Caller		callers[THREADS];
	sluice_producer *producer = open_producer(directory, durability);
	bool		all = producer != NULL;
	int			closed;

	for (int i = 0; all && i < THREADS; i++)
	{
		callers[i].producer = producer;
		atomic_init(&callers[i].id, 0);
		callers[i].code = -1;

		/* Who flushes an empty buffer does not wait. */
		if (i == SENDERS)
		{
			sluice_statistics statistics = {0};

			while (statistics.buffered_records < (uint64_t) atoi(RECORDS))
			{
				sched_yield();
				sluice_producer_statistics(producer, &statistics, sizeof(statistics));
			}
		}
		pthread_create(&callers[i].thread, NULL, i < SENDERS ? send_on : flush, &callers[i]);
	}
	if (!all)
		return false;
	wait_until_all_wait(callers);
	closed = sluice_producer_close(producer, 0);
	for (int i = 0; i < THREADS; i++)
	{
		pthread_join(callers[i].thread, NULL);
		all = all && callers[i].code == SLUICE_ERROR_CLOSED;
	}
	return all && closed == SLUICE_ERROR_TIMEOUT;
}

static void
test_close(const char *durability, const char *name)
{
	char		directory[256];
	char		buffer[320];
	sluice_buffer_statistics statistics;
	bool		all = true;

	directory_make(directory);
	for (int i = 0; i < ROUNDS; i++)
	{
		snprintf(buffer, sizeof(buffer), "%s/%d", directory, i);
		all = all && come_back(buffer, durability) &&
			sluice_buffer_read_statistics(buffer, &statistics, sizeof(statistics)) == SLUICE_OK &&
			statistics.records == (uint64_t) atoi(RECORDS);
	}
	ok(all, name);
	directory_remove(directory);
}

static void
test_closed(void)
{
	sluice_statistics statistics;

	ok(sluice_send(NULL, &(sluice_record) {.payload = "x", .payload_length = 1}, NULL) == SLUICE_ERROR_CLOSED &&
	   sluice_flush(NULL, 0) == SLUICE_ERROR_CLOSED && sluice_producer_close(NULL, 0) == SLUICE_ERROR_CLOSED, "no producer is a closed one");
	sluice_producer_statistics(NULL, &statistics, sizeof(statistics));
	ok(statistics.state == SLUICE_STATE_CLOSED, "also for its statistics");
}

int
main(void)
{
	test_close("interval", "threads that wait for room and for verdicts come back when the producer is closed");
	test_close("each", "also where every record is synced");
	test_closed();
	return done_testing();
}
