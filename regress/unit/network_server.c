/*
 * network_server.c
 *		The network thread without PostgreSQL, for network_test.py.
 *
 * The main thread here is a loop that gives verdicts by rule: streams named
 * "unknown..." are refused, records of streams named "held..." wait for the
 * command release, "gone..." refuses data, keys that begin with "dead" are
 * dead letters, the rest is stored.  Consumers: network_consumers.c.  Commands come on stdin, answers and log
 * lines go to stdout.
 *
 * usage: network_server ADDRESSES [name=value ...]
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "endpoint/network.h"
#include "network_consumers.h"

#define BATCH 4096

static SluiceNetwork *network;
static SluiceRecord **held;
static size_t nheld;
static SluiceRecord *settled[BATCH];
static long commit_us;			/* how long a batch takes */

static bool
starts_with(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

static void
refuse(SluiceRecord *record, int status, const char *message)
{
	record->refusal = calloc(1, sizeof(SluiceRefusal));
	if (record->refusal == NULL)
		abort();
	record->refusal->status = status;
	snprintf(record->refusal->message, sizeof(record->refusal->message), "%s", message);
	record->verdict = SLUICE_REFUSED;
}

static void
settle(SluiceRecord *record)
{
	if (record->kind == SLUICE_OPEN)
		record->verdict = SLUICE_OPENED;
	else if (record->key_length >= 4 && memcmp(record->key_text, "dead", 4) == 0)
		record->verdict = SLUICE_DEAD_LETTERED;
	else
		record->verdict = SLUICE_STORED;
}

/* False: kept for later. */
static bool
judge(SluiceRecord *record)
{
	const char *stream = record->sender->stream;

	if (record->kind == SLUICE_OPEN && starts_with(stream, "unknown"))
		refuse(record, 5, "no such stream: create it with sluice.create_stream");
	else if (record->kind == SLUICE_DATA && starts_with(stream, "gone"))
		refuse(record, 5, "the stream was dropped");
	else if (record->kind == SLUICE_DATA && starts_with(stream, "held"))
		return false;
	else
		settle(record);
	return true;
}

static void
serve(void)
{
	SluiceRing *arrivals = sluice_network_arrivals(network);
	SluiceRecord *record;
	struct timespec commit = {0, commit_us * 1000};
	size_t		n = 0;

	while (n < BATCH && (record = sluice_ring_pop(arrivals)) != NULL)
	{
		if (record->kind >= SLUICE_SUBSCRIBE)
			network_consumers_take(network, record);
		else if (judge(record))
			settled[n++] = record;
		else
			held[nheld++] = record;
	}
	if (n > 0 && commit_us > 0)
		nanosleep(&commit, NULL);
	sluice_network_deliver(network, settled, n);
}

static void
release(void)
{
	for (size_t i = 0; i < nheld; i++)
		settle(held[i]);
	sluice_network_deliver(network, held, nheld);
	nheld = 0;
	network_consumers_release(network);
}

static void
refuse_held(void)
{
	for (size_t i = 0; i < nheld; i++)
		refuse(held[i], 5, "the stream was dropped");
	sluice_network_deliver(network, held, nheld);
	nheld = 0;
}

static void
print_counters(void)
{
	SluiceNetworkCounters c;

	sluice_network_counters(network, &c);
	printf("counters calls_now=%lu calls_total=%lu received=%lu bytes=%lu records=%lu refused=%lu "
		   "restarts=%lu cpu_us=%lu held=%zu\n",
		   c.calls_now, c.calls_total, c.records_received, c.bytes_now, c.records_now, c.refused_calls,
		   c.listener_restarts, c.cpu_us, nheld);
}

static void
wait_drained(void)
{
	struct timespec pause = {0, 1000000};

	for (int i = 0; i < 10000 && !sluice_network_drained(network); i++)
	{
		serve();
		nanosleep(&pause, NULL);
	}
	printf("drained %d\n", sluice_network_drained(network));
}

/* False: stop. */
static bool
obey(char *line)
{
	line[strcspn(line, "\n")] = '\0';
	if (strcmp(line, "release") == 0)
		release();
	else if (strcmp(line, "refuse") == 0)
		refuse_held();
	else if (strcmp(line, "counters") == 0)
		print_counters();
	else if (strcmp(line, "consumers") == 0)
		network_consumers_print();
	else if (starts_with(line, "serving "))
		sluice_network_set_serving(network, line[8] == '1');
	else if (starts_with(line, "drain "))
		sluice_network_drain(network, line + 6);
	else if (strcmp(line, "wait_drained") == 0)
		wait_drained();
	else if (strcmp(line, "stop") == 0)
		return false;
	printf("ok %s\n", line);
	return true;
}

static void
print_log(void)
{
	char		level;
	char		line[512];

	while (sluice_network_log(network, &level, line, sizeof(line)))
		printf("log %c %s\n", level, line);
}

static void
loop(void)
{
	SluiceRing *arrivals = sluice_network_arrivals(network);
	struct pollfd fds[2] = {{.fd = 0,.events = POLLIN}, {.fd = sluice_network_wakeup_fd(network),.events = POLLIN}};
	char		line[256];

	for (;;)
	{
		serve();
		print_log();
		if (!sluice_ring_sleep(arrivals))
			continue;
		if (poll(fds, 2, 1000) < 0 && errno != EINTR)
			abort();
		sluice_ring_awake(arrivals);
		if (fds[1].revents & POLLIN)
			sluice_network_clear_wakeup(network);
		if ((fds[0].revents & (POLLIN | POLLHUP)) == 0)
			continue;
		/* What came before a command is not overtaken by it. */
		serve();
		if (fgets(line, sizeof(line), stdin) == NULL || !obey(line))
			return;
	}
}

static void
set(SluiceNetworkSettings *settings, const char *setting)
{
	const char *value = strchr(setting, '=');
	long		number = value == NULL ? 0 : atol(value + 1);

	if (starts_with(setting, "port="))
		settings->port = (int) number;
	else if (starts_with(setting, "reuse_port="))
		settings->reuse_port = number != 0;
	else if (starts_with(setting, "max_record_size="))
		settings->max_record_size = (size_t) number;
	else if (starts_with(setting, "memory="))
		settings->memory = (size_t) number;
	else if (starts_with(setting, "max_in_flight="))
		settings->max_in_flight = (size_t) number;
	else if (starts_with(setting, "max_calls="))
		settings->max_calls = (int) number;
	else if (starts_with(setting, "stall_timeout_ms="))
		settings->stall_timeout_ms = (int) number;
	else if (starts_with(setting, "commit_us="))
		commit_us = number;
	else if (starts_with(setting, "nofile="))
	{
		struct rlimit limit = {(rlim_t) number, (rlim_t) number};

		if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
			perror("setrlimit");
	}
	else
		fprintf(stderr, "unknown setting %s\n", setting);
}

int
main(int argc, char **argv)
{
	SluiceNetworkSettings settings = {
		.listen_addresses = argc > 1 ? argv[1] : "127.0.0.1",
		.max_record_size = 1024 * 1024,
		.memory = 64 * 1024 * 1024,
		.max_in_flight = 65536,
		.max_calls = 2000,
		.keepalive_time_ms = 10000,
		.keepalive_timeout_ms = 5000,
		.max_calls_per_connection = 1000,
		.opening_timeout_ms = 10000,
		.stall_timeout_ms = 30000
	};
	char		error[256] = "";
	struct timespec begin;
	struct timespec end;

	setvbuf(stdin, NULL, _IONBF, 0);
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (int i = 2; i < argc; i++)
		set(&settings, argv[i]);
	held = calloc(settings.max_in_flight, sizeof(*held));
	network = sluice_network_start(&settings, error, sizeof(error));
	if (network == NULL || held == NULL)
	{
		printf("failed %s\n", error);
		return 1;
	}
	printf("port %d\n", sluice_network_port(network));
	loop();
	clock_gettime(CLOCK_MONOTONIC, &begin);
	sluice_network_stop(network);
	clock_gettime(CLOCK_MONOTONIC, &end);
	free(held);
	network_consumers_free();
	printf("stopped %ld ms\n", (long) (end.tv_sec - begin.tv_sec) * 1000 + (end.tv_nsec - begin.tv_nsec) / 1000000);
	return 0;
}
