/*
 * writer.c
 *		Rows put in on a schedule, and when each of them came out again.
 *
 * An open loop: rows become due whether or not the server keeps up.  Each is a transaction
 * of its own.
 */
#include "writer.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "database.h"
#include "failure.h"
#include "measure.h"

#define SECOND_NS UINT64_C(1000000000)
#define LEAD_NS (SECOND_NS / 20)	/* the first row is due so long after the start */

static void
sleep_until(uint64_t when)
{
	struct timespec until = {(time_t) (when / SECOND_NS), (long) (when % SECOND_NS)};

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) != 0)
		continue;
}

static void *
write_rows(void *argument)
{
	Writer	   *writer = argument;
	PGconn	   *conn = database_connect(writer->conninfo);
	uint64_t	start;

	database_prepare(conn, "put", writer->statement);
	start = measure_now_ns() + LEAD_NS;
	for (size_t i = 0; i < writer->count; i++)
	{
		DatabaseParameters parameters;
		PGresult   *result;

		writer->due[i] = start + i * SECOND_NS / writer->rate;
		sleep_until(writer->due[i]);
		database_numbered_row_parameters(&parameters, i, &writer->records[i]);
		result = PQexecPrepared(conn, "put", parameters.count, parameters.values, parameters.lengths, parameters.formats, 1);
		writer->committed[i] = measure_now_ns();
		if (PQresultStatus(result) != PGRES_COMMAND_OK)
			database_check(conn, result, PGRES_TUPLES_OK);
		PQclear(result);
		atomic_fetch_add(&writer->ncommitted, 1);
	}
	PQfinish(conn);
	return NULL;
}

static void *
allocate(size_t count)
{
	void	   *numbers = calloc(count, sizeof(uint64_t));

	if (numbers == NULL)
		failure_exit("out of memory");
	return numbers;
}

void
writer_start(Writer *writer, uint64_t seed)
{
	writer->records = records_make(writer->count, RECORDS_KEYS_TIME, seed);
	writer->due = allocate(writer->count);
	writer->committed = allocate(writer->count);
	writer->received = allocate(writer->count * writer->consumers);
	atomic_init(&writer->ncommitted, 0);
	atomic_init(&writer->nreceived, 0);
	if (pthread_create(&writer->thread, NULL, write_rows, writer) != 0)
		failure_exit("could not start a thread");
}

void
writer_received(Writer *writer, size_t consumer, uint64_t number)
{
	uint64_t   *at = &writer->received[consumer * writer->count + number];

	if (number >= writer->count)
		failure_exit("row %" PRIu64 " came and was not written", number);
	if (*at != 0)
		failure_exit("row %" PRIu64 " came twice", number);
	*at = measure_now_ns();
	atomic_fetch_add(&writer->nreceived, 1);
}

bool
writer_is_done(const Writer *writer)
{
	return atomic_load(&writer->nreceived) == writer->count * writer->consumers;
}

void
writer_finish(Writer *writer)
{
	pthread_join(writer->thread, NULL);
}

static int
compare_ns(const void *left, const void *right)
{
	int64_t		a = *(const int64_t *) left;
	int64_t		b = *(const int64_t *) right;

	return (a > b) - (a < b);
}

static void
print_percentiles(const char *name, int64_t *latencies, size_t count)
{
	static const struct
	{
		const char *name;
		double		fraction;
	}			percentiles[] = {{"p50", 0.5}, {"p99", 0.99}, {"p99_9", 0.999}, {"max", 1}};

	qsort(latencies, count, sizeof(int64_t), compare_ns);
	for (size_t i = 0; i < sizeof(percentiles) / sizeof(percentiles[0]); i++)
		printf(", \"%s%s_us\": %.1f", name, percentiles[i].name,
			   (double) latencies[(size_t) (percentiles[i].fraction * (double) (count - 1) + 0.5)] / 1000.0);
}

/*
 * Of each row until the last of the consumers had it: from when it was due, and from when its
 * COMMIT had returned.  A consumer can have it before: that is no time at all.
 */
void
writer_print(Writer *writer)
{
	int64_t    *from_due = allocate(writer->count);
	int64_t    *from_commit = allocate(writer->count);
	int64_t    *commits = allocate(writer->count);

	for (size_t i = 0; i < writer->count; i++)
	{
		uint64_t	last = 0;

		for (size_t consumer = 0; consumer < writer->consumers; consumer++)
		{
			uint64_t	received = writer->received[consumer * writer->count + i];

			last = received > last ? received : last;
		}
		from_due[i] = (int64_t) (last - writer->due[i]);
		from_commit[i] = last > writer->committed[i] ? (int64_t) (last - writer->committed[i]) : 0;
		commits[i] = (int64_t) (writer->committed[i] - writer->due[i]);
	}
	printf("{\"rows\": %zu", writer->count);
	print_percentiles("", from_commit, writer->count);
	print_percentiles("due_", from_due, writer->count);
	print_percentiles("commit_", commits, writer->count);
}
