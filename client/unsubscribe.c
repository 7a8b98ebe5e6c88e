/*
 * unsubscribe.c
 *		The command "sluice unsubscribe": ends the consumers of a subscription, or removes it.
 */
#include <stdio.h>
#include <string.h>

#include "exit_status.h"
#include "library_options.h"
#include "options.h"
#include "sluice.h"
#include "subscribe.h"

typedef struct UnsubscribeOptions
{
	SluiceLibraryOptions library;
	bool		drop;
	bool		help;
} UnsubscribeOptions;

static const char usage[] =
"Usage: sluice unsubscribe [OPTION]... SUBSCRIPTION\n"
"End the consumers of a durable subscription, which can be taken up again, or remove it.\n\n";

static const char contract[] =
"\nExit status:\n"
"  0  done\n"
"  1  wrong usage\n"
"  3  no server answered\n"
"  4  the server refuses: no such subscription, no permission, ...\n";

/* Returns the number of arguments that are no options, or -1: *status is the exit status then. */
static int
read_options(UnsubscribeOptions *options, int argc, char **argv, int *status)
{
	const SluiceOption table[] = {
		SLUICE_CONNECTION_OPTION_ROWS(&options->library),
		{SLUICE_OPTION_SWITCH, "drop", 0, NULL, &options->drop, 0, 0,
		"remove the subscription as well: its position is forgotten", NULL},
		SLUICE_SET_OPTION_ROW(&options->library),
		{SLUICE_OPTION_SWITCH, "help", 'h', NULL, &options->help, 0, 0, "show this", NULL},
		{SLUICE_OPTION_END, NULL, 0, NULL, NULL, 0, 0, NULL, NULL}
	};
	int			n = sluice_options_read(table, argc, argv, "sluice unsubscribe");

	*status = SLUICE_EXIT_INPUT;
	if (n < 0 || !options->help)
		return n;
	fputs(usage, stdout);
	sluice_options_show(table);
	fputs(contract, stdout);
	*status = SLUICE_EXIT_OK;
	return -1;
}

static SluiceExit
exit_for(int error)
{
	switch (error)
	{
		case SLUICE_OK:
			return SLUICE_EXIT_OK;
		case SLUICE_ERROR_DROPPED:
		case SLUICE_ERROR_REFUSED:
			return SLUICE_EXIT_REFUSED;
		case SLUICE_ERROR_OPTION:
		case SLUICE_ERROR_INVALID:
			return SLUICE_EXIT_INPUT;
		default:
			return SLUICE_EXIT_GAVE_UP;
	}
}

static void
on_log(void *argument, sluice_level level, const char *text)
{
	(void) argument;
	if (level != SLUICE_LEVEL_INFO)
		fprintf(stderr, "sluice: %s\n", text);
}

int
sluice_unsubscribe_main(int argc, char **argv)
{
	UnsubscribeOptions options;
	sluice_options *library;
	char		message[512];
	int			status;
	int			n;
	int			error;

	memset(&options, 0, sizeof(options));
	n = read_options(&options, argc, argv, &status);
	if (n < 0)
		return status;
	if (n != 1)
	{
		fprintf(stderr, "sluice unsubscribe: the name of one subscription is needed (try --help)\n");
		return SLUICE_EXIT_INPUT;
	}
	library = sluice_library_options_make(&options.library, "sluice unsubscribe");
	if (library == NULL)
		return SLUICE_EXIT_INPUT;
	sluice_options_on_log(library, on_log, NULL);
	error = sluice_options_set(library, "subscription", argv[1]);
	if (error == SLUICE_OK)
		error = sluice_unsubscribe(library, options.drop, message, sizeof(message));
	else
		snprintf(message, sizeof(message), "%s", sluice_options_message(library));
	sluice_options_free(library);
	if (error != SLUICE_OK)
		fprintf(stderr, "sluice: %s\n", message);
	return exit_for(error);
}
