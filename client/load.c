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
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <time.h>

#include "clock.h"
#include "exit_status.h"
#include "histogram.h"
#include "memory.h"
#include "options.h"
#include "queue.h"
#include "sender.h"
#include "server.h"
#include "signals.h"
#include "uuid7.h"

#define NPAYLOADS 1024
#define PAYLOAD_MAX 64
#define BATCH_COUNT 256
#define QUEUE_COUNT 4096
#define SHORTEST_SLEEP (SLUICE_SECOND / 5000)	/* at high rates several records are due at a time */

typedef struct LoadOptions
{
	const char *server;
	const char *stream;
	size_t		records;
	const char *keys;
	size_t		window;
	double		rate;
	double		timeout;
	bool		one_at_a_time;
	bool		help;
} LoadOptions;

typedef struct Payload
{
	uint8_t		bytes[PAYLOAD_MAX];
	size_t		length;
} Payload;

typedef struct Load
{
	LoadOptions options;
	SluiceQueue *queue;
	SluiceSender *sender;
	Payload		payloads[NPAYLOADS];
	bool		random_keys;
	SluiceUuid7 uuid7;
	uint64_t	random[4];		/* state of the keys' generator */
	int64_t		start;
	int64_t		last_answer;
	SluiceHistogram latency;
} Load;

static uint8_t *
put_varint(uint8_t *p, uint64_t value)
{
	for (; value >= 0x80; value >>= 7)
		*p++ = (uint8_t) (value | 0x80);
	*p++ = (uint8_t) value;
	return p;
}

static uint8_t *
put_double(uint8_t *p, uint8_t tag, double value)
{
	*p++ = tag;
	memcpy(p, &value, sizeof(value));	/* little-endian, as the wire is; checked in main() */
	return p + sizeof(value);
}

/* A DataPayload: device_id = 1, timestamp = 2, temperature_celsius = 3, humidity_percent = 4. */
static void
encode_payload(Payload *payload, unsigned i, int64_t seconds)
{
	uint8_t    *p = payload->bytes;
	uint8_t    *timestamp_length;
	char		device[17];

	snprintf(device, sizeof(device), "device-%09u", i);
	*p++ = 0x0A;
	*p++ = 16;
	memcpy(p, device, 16);
	p += 16;
	*p++ = 0x12;
	timestamp_length = p++;
	*p++ = 0x08;
	p = put_varint(p, (uint64_t) seconds);
	*p++ = 0x10;
	p = put_varint(p, 100000000u + i * 1000u);
	*timestamp_length = (uint8_t) (p - timestamp_length - 1);
	p = put_double(p, 0x19, 20.0 + 10.0 * sin(i));
	p = put_double(p, 0x21, 50.0 + 25.0 * cos(i));
	payload->length = (size_t) (p - payload->bytes);
}

static uint64_t
rotate(uint64_t word, int bits)
{
	return word << bits | word >> (64 - bits);
}

/* xoshiro256**: random keys must not cost the client what it is to measure. */
static uint64_t
next_random(uint64_t state[4])
{
	uint64_t	result = rotate(state[1] * 5, 7) * 9;
	uint64_t	shifted = state[1] << 17;

	state[2] ^= state[0];
	state[3] ^= state[1];
	state[1] ^= state[2];
	state[0] ^= state[3];
	state[2] ^= shifted;
	state[3] = rotate(state[3], 45);
	return result;
}

static void
next_key(Load *load, char key[SLUICE_UUID_TEXT_LENGTH])
{
	uint8_t		uuid[16];
	struct timespec now;

	if (load->random_keys)
	{
		uint64_t	words[2] = {next_random(load->random), next_random(load->random)};

		memcpy(uuid, words, sizeof(uuid));
		uuid[6] = (uint8_t) (0x40 | (uuid[6] & 0x0F));
		uuid[8] = (uint8_t) (0x80 | (uuid[8] & 0x3F));
	}
	else
	{
		clock_gettime(CLOCK_REALTIME_COARSE, &now);
		if (!sluice_uuid7_next(&load->uuid7, (uint64_t) now.tv_sec * 1000 + (uint64_t) now.tv_nsec / 1000000, uuid))
		{
			fprintf(stderr, "sluice-load: no random numbers\n");
			exit(SLUICE_EXIT_GAVE_UP);
		}
	}
	sluice_uuid_to_text(uuid, key);
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
	const Payload *payload = &load->payloads[i % NPAYLOADS];
	char		key[SLUICE_UUID_TEXT_LENGTH];

	next_key(load, key);
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
	char	   *target = sluice_server_target(load->options.server);

	memset(&options, 0, sizeof(options));
	options.server = target;
	options.stream = load->options.stream;
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
	free(target);
	return result == SLUICE_SENDER_DONE ? SLUICE_EXIT_OK :
		result == SLUICE_SENDER_REFUSED ? SLUICE_EXIT_REFUSED : SLUICE_EXIT_GAVE_UP;
}

static bool
read_options(LoadOptions *options, int argc, char **argv, int *status)
{
	const char *server = getenv("SLUICE_SERVER");
	const SluiceOption table[] = {
		{SLUICE_OPTION_TEXT, "server", 's', "HOST:PORT", &options->server, 0, 0, "where (default $SLUICE_SERVER or localhost:50051)", NULL},
		{SLUICE_OPTION_TEXT, "stream", 'S', "NAME", &options->stream, 0, 0, "the stream (default: the server's default stream)", NULL},
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

	options->server = server != NULL && *server != '\0' ? server : SLUICE_SERVER_DEFAULT;
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

int
main(int argc, char **argv)
{
	static Load load;			/* too large for the stack */
	int			status;

	_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "doubles are encoded as they are");
	if (!read_options(&load.options, argc, argv, &status))
		return status;
	for (unsigned i = 0; i < NPAYLOADS; i++)
		encode_payload(&load.payloads[i], i, time(NULL));
	if (getrandom(load.random, sizeof(load.random), 0) != (ssize_t) sizeof(load.random))
	{
		fprintf(stderr, "sluice-load: no random numbers\n");
		return SLUICE_EXIT_GAVE_UP;
	}
	load.random_keys = strcmp(load.options.keys, "random") == 0;
	sluice_signals_block();
	return run(&load);
}
