/*
 * main.c
 *		The tool "sluice": its subcommands.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"
#include "buffer_command.h"
#include "exit_status.h"
#include "send.h"
#include "sluice.h"
#include "subscribe.h"

typedef struct Subcommand
{
	const char *name;
	int			(*main) (int argc, char **argv);
	const char *help;
} Subcommand;

static const Subcommand subcommands[] = {
	{"send", sluice_send_main, "send records from files or standard input into a stream"},
	{"subscribe", sluice_subscribe_main, "get the rows of a stream, in order, and bring them somewhere"},
	{"unsubscribe", sluice_unsubscribe_main, "end the consumers of a subscription, or remove it"},
	{"buffer", sluice_buffer_main, "look into the durable buffer of a producer, or repair it"},
	{"bench", sluice_bench_main, "send made-up records, and tell how long they took"}
};

#define NSUBCOMMANDS (sizeof(subcommands) / sizeof(subcommands[0]))

static void
show_usage(FILE *file)
{
	fputs("Usage: sluice COMMAND [OPTION]...\n\nCommands:\n", file);
	for (size_t i = 0; i < NSUBCOMMANDS; i++)
		fprintf(file, "  %-12s %s\n", subcommands[i].name, subcommands[i].help);
	fputs("\n\"sluice COMMAND --help\" tells more, \"sluice --version\" the version.\n", file);
}

/* Where we were started without one of them a connection would get its number: what is then written goes nowhere, with an error. */
static void
occupy_standard_files(void)
{
	int			file;

	do
		file = open("/dev/null", O_RDONLY);
	while (file >= 0 && file <= STDERR_FILENO);
	if (file >= 0)
		close(file);
}

int
main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "";

	occupy_standard_files();
	for (size_t i = 0; i < NSUBCOMMANDS; i++)
	{
		if (strcmp(name, subcommands[i].name) == 0)
			return subcommands[i].main(argc - 1, argv + 1);
	}
	if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
	{
		show_usage(stdout);
		return SLUICE_EXIT_OK;
	}
	if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0)
	{
		puts("sluice " SLUICE_VERSION);
		return SLUICE_EXIT_OK;
	}
	if (*name != '\0')
		fprintf(stderr, "sluice: unknown command \"%s\"\n\n", name);
	show_usage(stderr);
	return SLUICE_EXIT_INPUT;
}
