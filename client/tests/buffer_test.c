/*
 * buffer_test.c
 *		The buffer between callers and a server that answers; random histories are in buffer_history_test.c.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>

#include "buffer_scenario.h"

static void
test_verdicts(void)
{
	SluiceSettled exceptions[] = {{2, SLUICE_VERDICT_DUPLICATE}, {4, SLUICE_VERDICT_DEAD_LETTERED}, {5, SLUICE_VERDICT_FILTERED}};
	SluiceSettled below[] = {{6, SLUICE_VERDICT_DUPLICATE}};
	SluiceOutgoing outgoing;
	int64_t		due;
	sluice_statistics statistics = {.state = SLUICE_STATE_CLOSED};

	begin(SLUICE_DURABILITY_INTERVAL);
	open_buffer();
	connect_buffer();
	put_range(1, 8);
	ok(sluice_buffer_next(buffer, 0, &outgoing, &due) && outgoing.first == 1 && outgoing.through == 8 && outgoing.records == 8,
	   "what was put is one batch");
	sluice_buffer_sent(buffer, &outgoing);
	ok(sluice_buffer_settle(buffer, 9, NULL, 0) == SLUICE_ERROR_PROTOCOL, "an ack of what was not sent breaks the protocol");
	ok(sluice_buffer_settle(buffer, 6, exceptions, 3) == SLUICE_OK, "an ack with exceptions is taken");
	ok(sluice_buffer_settle(buffer, 7, below, 1) == SLUICE_ERROR_PROTOCOL, "an exception below the ack before breaks the protocol");
	ok(sluice_buffer_settle(buffer, 5, NULL, 0) == SLUICE_ERROR_PROTOCOL, "an ack that goes back breaks the protocol");
	ok(ntold == 6 && is_told(1, 1, SLUICE_VERDICT_STORED, 0) && is_told(2, 2, SLUICE_VERDICT_DUPLICATE, 0) &&
	   is_told(4, 4, SLUICE_VERDICT_DEAD_LETTERED, 0) && is_told(5, 5, SLUICE_VERDICT_FILTERED, 0), "verdicts are told in runs, in order");
	sluice_buffer_fill_statistics(buffer, &statistics);
	ok(statistics.put == 8 && statistics.stored == 3 && statistics.duplicates == 1 && statistics.dead_lettered == 1 &&
	   statistics.filtered == 1 && statistics.buffered_records == 2 && statistics.buffered_bytes == 100 &&
	   statistics.acknowledged_through == 6 && statistics.last_sequence == 8, "statistics count each verdict, and what is left");
	ok(sluice_buffer_flush(buffer, sluice_clock_now() + SLUICE_MILLISECOND) == SLUICE_ERROR_TIMEOUT, "flush ends at its deadline");
	sluice_buffer_end(buffer, SLUICE_ERROR_CLOSED);
	ok(sluice_buffer_flush(buffer, SLUICE_NEVER) == SLUICE_ERROR_CLOSED && put(9) == SLUICE_ERROR_CLOSED,
	   "after the end nothing is put in, and nobody waits");
	close_buffer();
	directory_remove(directory);
}

static void
test_arguments(void)
{
	char		key[1100];
	sluice_record record = {.payload = "x", .payload_length = 1, .key = key, .key_length = 1025};

	begin(SLUICE_DURABILITY_NONE);
	open_buffer();
	memset(key, 'k', sizeof(key));
	ok(sluice_buffer_put(buffer, &record, NULL) == SLUICE_ERROR_INVALID, "a key that is too long is refused");
	record.key_length = 1;
	key[0] = '\xff';
	ok(sluice_buffer_put(buffer, &record, NULL) == SLUICE_ERROR_INVALID, "a key that is not UTF-8 is refused");
	record = (sluice_record) {.payload_length = 1};
	ok(sluice_buffer_put(buffer, &record, NULL) == SLUICE_ERROR_INVALID, "a payload that is not there is refused");
	record = (sluice_record) {.payload_length = 0};
	ok(sluice_buffer_put(buffer, &record, NULL) == SLUICE_OK, "an empty payload is a record");
	connect_buffer();
	ok(drain() && server.last == 1 && !server.last_is_gap, "and is sent");
	close_buffer();
	settings.stream = "another";
	ok(open_buffer() == SLUICE_ERROR_OPTION, "a buffer is for one stream");
	directory_remove(directory);
}

/* A child that dies without closing; returns how many it put. */
static uint64_t
put_and_die(uint64_t first, uint64_t count)
{
	int			pipe_ends[2];
	uint64_t	got = 0;
	uint64_t	number;
	pid_t		child;

	fflush(stdout);
	if (pipe(pipe_ends) != 0)
		return 0;
	child = fork();
	if (child == 0)
	{
		if (open_buffer() != SLUICE_OK)
			_exit(1);
		for (uint64_t id = first; id < first + count; id++)
		{
			if (put(id) == SLUICE_OK && write(pipe_ends[1], &id, sizeof(id)) < 0)
				_exit(2);
		}
		_exit(0);
	}
	close(pipe_ends[1]);
	while (read(pipe_ends[0], &number, sizeof(number)) == sizeof(number))
		got = number;
	close(pipe_ends[0]);
	waitpid(child, NULL, 0);
	return got;
}

static void
test_death(void)
{
	uint64_t	put_through;

	begin(SLUICE_DURABILITY_EACH);
	put_through = put_and_die(1, 40);
	open_buffer();
	connect_buffer();
	ok(put_through == 40 && drain() && server.last == 40 && has(1, 40, 0), "each: all that put took is there after the process died");
	close_buffer();
	directory_remove(directory);

	begin(SLUICE_DURABILITY_INTERVAL);
	put_through = put_and_die(1, 40);
	open_buffer();
	ok(buffer->next == 41, "interval: numbers go on where the process died, by the tail");
	put(41);
	connect_buffer();
	ok(drain() && server.last == 41 && has(41, 41, 0), "interval: what comes after is stored");
	ok(has(1, 40, 0) || are_gaps(40, 40, SLUICE_REASON_LOST_TAIL), "interval: what the dead process had in memory is declared");
	close_buffer();
	directory_remove(directory);
}

typedef struct Putter
{
	pthread_t	thread;
	int			count;
	int			failed;
	uint64_t	last;
	bool		descends;
} Putter;

static void *
run_putter(void *argument)
{
	Putter	   *putter = argument;

	for (int i = 0; i < putter->count; i++)
	{
		uint64_t	sequence = 0;

		putter->failed += put_sized(1, 60, NULL, &sequence) != SLUICE_OK;
		putter->descends |= sequence <= putter->last;
		putter->last = sequence;
	}
	return NULL;
}

static void
test_threads(SluiceDurability durability, int count, const char *name)
{
	Putter		putters[4] = {{.count = 0}};
	bool		good = true;
	int64_t		deadline = sluice_clock_now() + 30 * SLUICE_SECOND;

	begin(durability);
	settings.memory = 1 << 20;
	settings.max_records = 5000;
	open_buffer();
	connect_buffer();
	for (int i = 0; i < 4; i++)
	{
		putters[i].count = count;
		pthread_create(&putters[i].thread, NULL, run_putter, &putters[i]);
	}
	while (server.last < (uint64_t) count * 4 && server.wrong == NULL && sluice_clock_now() < deadline)
	{
		if (!publish(true))
			usleep(100);
	}
	for (int i = 0; i < 4; i++)
	{
		pthread_join(putters[i].thread, NULL);
		good = good && putters[i].failed == 0 && !putters[i].descends;
	}
	ok(good && server.wrong == NULL && server.last == (uint64_t) count * 4 && buffer->counts.stored == server.last, name);
	close_buffer();
	directory_remove(directory);
}

static void *
put_seventy_thousand(void *argument)
{
	*(int *) argument = put_range(1, 70000);
	return NULL;
}

static void
test_high_water(void)
{
	pthread_t	thread;
	int			code = -1;
	uint64_t	given = 0;

	begin(SLUICE_DURABILITY_INTERVAL);
	open_buffer();
	pthread_mutex_lock(&buffer->store_lock);
	pthread_create(&thread, NULL, put_seventy_thousand, &code);
	for (int i = 0; i < 100 || given < 65536; i++)
	{
		usleep(200);
		pthread_mutex_lock(&buffer->lock);
		given = buffer->next - 1;
		pthread_mutex_unlock(&buffer->lock);
	}
	ok(given == 65536 && code == -1, "no number is given out above what is durable");
	pthread_mutex_unlock(&buffer->store_lock);
	pthread_join(thread, NULL);
	ok(code == SLUICE_OK && buffer->next == 70001, "when more is, it goes on");
	close_buffer();
	directory_remove(directory);
}

/* Numbers are given out up to the mark that was durable when the next one is written. */
static void
test_high_water_stays(void)
{
	uint64_t	mark;

	begin(SLUICE_DURABILITY_INTERVAL);
	open_buffer();
	put_range(1, 10);
	pthread_mutex_lock(&buffer->lock);
	mark = buffer->high_water;
	buffer->reserve = 100;
	while (sluice_writer_ask(buffer, &buffer->wants.numbers) == SLUICE_OK && buffer->wants.numbers)
		continue;
	ok(mark > 110 && buffer->high_water >= mark, "what is durable is not lowered, though fewer numbers are needed by now");
	pthread_mutex_unlock(&buffer->lock);
	close_buffer();
	directory_remove(directory);
}

static void *
put_in_thread(void *argument)
{
	*(int *) argument = put(1);
	return NULL;
}

static void
test_each_sends_what_is_durable(void)
{
	pthread_t	thread;
	int			code = -1;
	bool		staged = false;

	begin(SLUICE_DURABILITY_EACH);
	open_buffer();
	connect_buffer();
	pthread_mutex_lock(&buffer->store_lock);
	pthread_create(&thread, NULL, put_in_thread, &code);
	while (!staged)
	{
		usleep(100);
		pthread_mutex_lock(&buffer->lock);
		staged = buffer->next == 2;
		pthread_mutex_unlock(&buffer->lock);
	}
	ok(!publish(false), "each: what is not on disk yet is not sent");
	pthread_mutex_unlock(&buffer->store_lock);
	pthread_join(thread, NULL);
	ok(code == SLUICE_OK && publish(true) && server.last == 1, "when it is, it is sent");
	close_buffer();
	directory_remove(directory);
}

static atomic_int ready_calls;

static void
on_ready(void *argument)
{
	(void) argument;
	atomic_fetch_add(&ready_calls, 1);
}

static void
test_ready(void)
{
	SluiceOutgoing outgoing;
	int64_t		due;
	int64_t		now = sluice_clock_now();

	begin(SLUICE_DURABILITY_INTERVAL);
	open_buffer();
	connect_buffer();
	sluice_buffer_on_ready(buffer, on_ready, NULL);
	put(1);
	ok(atomic_load(&ready_calls) == 0 && publish(true), "nobody is woken who did not ask");
	ok(!publish(true) && put_range(2, 4) == SLUICE_OK && atomic_load(&ready_calls) == 1, "who had nothing is woken once");
	ok(!sluice_buffer_next(buffer, SLUICE_SECOND, &outgoing, &due) && due > now && due < now + 5 * SLUICE_SECOND,
	   "a batch that is not full lingers");
	ok(put(5) == SLUICE_OK && atomic_load(&ready_calls) == 1, "and a record more is no reason to wake");
	put_range(6, 6000);
	ok(atomic_load(&ready_calls) == 2, "but a full batch is");
	settings.window_bytes = 1000;
	buffer->settings.window_bytes = 1000;
	ok(publish(false) && !publish(false) && sluice_buffer_in_flight(buffer) > 0, "a full window ends sending");
	sluice_buffer_on_ready(buffer, NULL, NULL);
	close_buffer();
	directory_remove(directory);
}

int
main(void)
{
	test_verdicts();
	test_arguments();
	test_death();
	test_threads(SLUICE_DURABILITY_INTERVAL, 50000, "interval: four threads, little memory, a small cap: all is stored");
	test_threads(SLUICE_DURABILITY_EACH, 300, "each: four threads: all is stored");
	test_threads(SLUICE_DURABILITY_NONE, 20000, "none: four threads: all is stored");
	test_high_water();
	test_high_water_stays();
	test_each_sends_what_is_durable();
	test_ready();
	free(server.fates);
	return done_testing();
}
