/*
 * publisher_driver.c
 *		Producers on a leash, for publisher_test.py.
 *
 *	publisher_driver COUNT DIRECTORY NAME=VALUE...
 *
 * The setting fail=N is the command below, before the first one is opened.
 *
 * Opens COUNT producers, each with a buffer of its own in DIRECTORY, and does what
 * comes on standard input, one command a line:
 *	send N			N records by each producer: {"producer": …, "n": …}
 *	flush MS		all of them
 *	stats			a line for each
 *	fail N			let the N-th allocation from now fail
 *	failed			code 1: it did
 *	close MS		all of them
 * and closes at the end what is still open.
 * Answers and the log are lines of JSON on standard output.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "allocation.h"
#include "sluice.h"

typedef struct Unit
{
	int			index;
	uint64_t	sent;
	sluice_producer *producer;
} Unit;

static pthread_mutex_t out_lock = PTHREAD_MUTEX_INITIALIZER;

static void
write_string(const char *text)
{
	putchar('"');
	for (; *text != '\0'; text++)
	{
		if (*text == '"' || *text == '\\')
			putchar('\\');
		putchar(*text);
	}
	putchar('"');
}

static void
on_log(void *argument, sluice_level level, const char *text)
{
	const Unit *unit = argument;

	pthread_mutex_lock(&out_lock);
	printf("{\"log\": %d, \"producer\": %d, \"text\": ", (int) level, unit->index);
	write_string(text);
	puts("}");
	fflush(stdout);
	pthread_mutex_unlock(&out_lock);
}

static void
answer(const char *command, int code)
{
	pthread_mutex_lock(&out_lock);
	printf("{\"answer\": \"%s\", \"code\": %d}\n", command, code);
	fflush(stdout);
	pthread_mutex_unlock(&out_lock);
}

static int
open_unit(Unit *unit, const char *directory, char **settings, int nsettings, char *message, size_t size)
{
	sluice_options *options = sluice_options_create();
	char		path[4096];
	int			code = options != NULL ? SLUICE_OK : SLUICE_ERROR_MEMORY;

	snprintf(message, size, "out of memory");
	if (options == NULL)
		return code;
	snprintf(path, sizeof(path), "%s/%d", directory, unit->index);
	code = sluice_options_set(options, "buffer", path);
	sluice_options_on_log(options, on_log, unit);
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
		code = sluice_producer_open(options, &unit->producer, message, size);
	sluice_options_free(options);
	return code;
}

static int
send_records(Unit *unit, long count)
{
	for (long i = 0; i < count; i++)
	{
		char		payload[64];
		int			length = snprintf(payload, sizeof(payload), "{\"producer\": %d, \"n\": %llu}", unit->index,
									  (unsigned long long) unit->sent + 1);
		int			code = sluice_send(unit->producer, &(sluice_record) {.payload = payload, .payload_length = (size_t) length}, NULL);

		if (code != SLUICE_OK)
			return code;
		unit->sent++;
	}
	return SLUICE_OK;
}

static void
write_statistics(const Unit *unit)
{
	sluice_statistics all;
	char		message[600];

	sluice_producer_statistics(unit->producer, &all, sizeof(all));
	sluice_producer_message(unit->producer, message, sizeof(message));
	pthread_mutex_lock(&out_lock);
	printf("{\"stats\": %d, \"state\": %d, \"buffered\": %llu, \"acknowledged\": %llu, \"in_flight\": %llu, "
		   "\"stored\": %llu, \"duplicates\": %llu, \"dead_lettered\": %llu, \"attempts\": %llu, \"connections\": %llu, \"message\": ",
		   unit->index, (int) all.state, (unsigned long long) all.buffered_records,
		   (unsigned long long) all.acknowledged_through, (unsigned long long) all.in_flight,
		   (unsigned long long) all.stored, (unsigned long long) all.duplicates, (unsigned long long) all.dead_lettered,
		   (unsigned long long) all.attempts, (unsigned long long) all.connections);
	write_string(message);
	puts("}");
	fflush(stdout);
	pthread_mutex_unlock(&out_lock);
}

static void
obey(Unit *units, int count, const char *command, long number)
{
	int			code = SLUICE_OK;
	bool		closing = strcmp(command, "close") == 0;

	if (strcmp(command, "fail") == 0)
		allocation_fail(number);
	else if (strcmp(command, "failed") == 0)
		code = allocation_failed();
	for (int i = 0; i < count; i++)
	{
		int			one = SLUICE_OK;

		if (closing)
		{
			one = sluice_producer_close(units[i].producer, number);
			units[i].producer = NULL;
		}
		else if (strcmp(command, "send") == 0)
			one = send_records(&units[i], number);
		else if (strcmp(command, "flush") == 0)
			one = sluice_flush(units[i].producer, number);
		else if (strcmp(command, "stats") == 0)
			write_statistics(&units[i]);
		if (code == SLUICE_OK)
			code = one;
	}
	answer(command, code);
}

int
main(int argc, char **argv)
{
	int			count = argc > 2 ? atoi(argv[1]) : 0;
	Unit	   *units = calloc((size_t) count + 1, sizeof(Unit));
	char		command[16];
	char		line[64];
	bool		more = true;

	for (int i = 3; i < argc; i++)
	{
		if (strncmp(argv[i], "fail=", 5) == 0)
			allocation_fail(atol(argv[i] + 5));
	}
	for (int i = 0; i < count; i++)
	{
		char		message[300];
		int			code;

		units[i].index = i;
		code = open_unit(&units[i], argv[2], argv + 3, argc - 3, message, sizeof(message));
		if (code != SLUICE_OK)
		{
			printf("{\"answer\": \"open\", \"code\": %d, \"text\": ", code);
			write_string(message);
			puts("}");
			fflush(stdout);
			count = i;
			more = false;
		}
	}
	if (more)
		answer("open", SLUICE_OK);
	while (more && fgets(line, sizeof(line), stdin) != NULL)
	{
		long		number = 0;

		if (sscanf(line, "%15s %ld", command, &number) >= 1)
			obey(units, count, command, number);
	}
	for (int i = 0; i < count; i++)
	{
		if (units[i].producer != NULL)
			sluice_producer_close(units[i].producer, 0);
	}
	free(units);
	return 0;
}
