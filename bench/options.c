/*
 * options.c
 *		What the programs of the benchmark are told on their command line.
 *
 * One set for all of them, so that "run" calls them alike.
 */
#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "failure.h"

static const struct option long_options[] = {
	{"conninfo", required_argument, NULL, 'c'},
	{"mode", required_argument, NULL, 'm'},
	{"format", required_argument, NULL, 'f'},
	{"stream", required_argument, NULL, 't'},
	{"redis-port", required_argument, NULL, 'r'},
	{"keys", required_argument, NULL, 'k'},
	{"records", required_argument, NULL, 'n'},
	{"batch", required_argument, NULL, 'b'},
	{"piece", required_argument, NULL, 'p'},
	{"seed", required_argument, NULL, 's'},
	{"server", required_argument, NULL, 'S'},
	{"encoding", required_argument, NULL, 'e'},
	{"consumers", required_argument, NULL, 'C'},
	{"rate", required_argument, NULL, 'R'},
	{NULL, 0, NULL, 0}
};

static uint64_t
read_number(const char *name, const char *text, uint64_t low, uint64_t high)
{
	char	   *end;
	unsigned long long value;

	errno = 0;
	value = strtoull(text, &end, 10);
	if (errno != 0 || end == text || *end != '\0' || value < low || value > high)
		failure_exit("invalid value for --%s: \"%s\"", name, text);
	return value;
}

static RecordsKeys
read_keys(const char *text)
{
	if (strcmp(text, "time") == 0)
		return RECORDS_KEYS_TIME;
	if (strcmp(text, "random") == 0)
		return RECORDS_KEYS_RANDOM;
	failure_exit("invalid value for --keys: \"%s\" (time or random)", text);
}

void
options_read(BenchOptions *options, int argc, char **argv)
{
	int			option;

	*options = (BenchOptions)
	{
		.conninfo = "", .mode = "", .format = "binary", .stream = "",
			.keys = RECORDS_KEYS_TIME, .records = 100000, .batch = 1000, .seed = 1,
			.server = "", .encoding = "stream", .consumers = 1, .rate = 1000
	};

	while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1)
	{
		switch (option)
		{
			case 'c':
				options->conninfo = optarg;
				break;
			case 'm':
				options->mode = optarg;
				break;
			case 'f':
				options->format = optarg;
				break;
			case 't':
				options->stream = optarg;
				break;
			case 'r':
				options->redis_port = (int) read_number("redis-port", optarg, 1, 65535);
				break;
			case 'k':
				options->keys = read_keys(optarg);
				break;
			case 'n':
				options->records = read_number("records", optarg, 1, 100000000);
				break;
			case 'b':
				options->batch = read_number("batch", optarg, 1, 100000000);
				break;
			case 'p':
				options->piece = read_number("piece", optarg, 1, 1000000);
				break;
			case 's':
				options->seed = read_number("seed", optarg, 0, UINT64_MAX);
				break;
			case 'S':
				options->server = optarg;
				break;
			case 'e':
				options->encoding = optarg;
				break;
			case 'C':
				options->consumers = read_number("consumers", optarg, 1, 10000);
				break;
			case 'R':
				options->rate = read_number("rate", optarg, 1, 1000000);
				break;
			default:
				exit(2);
		}
	}
	if (optind != argc)
		failure_exit("unexpected argument \"%s\"", argv[optind]);
}
