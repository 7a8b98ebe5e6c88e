/*
 * buffer_command.c
 *		The command "sluice buffer": a look into the durable buffer of a producer, and its repair.
 */
#include "buffer_command.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "json.h"
#include "options.h"
#include "sluice.h"

/* The exit status is a contract: docs/sluice-buffer.md. */
typedef enum BufferExit
{
	EXIT_SOUND = 0,
	EXIT_USAGE = 1,				/* wrong usage; repair: it does not fit the buffer's condition */
	EXIT_DAMAGED = 2,			/* or fenced, or forked */
	EXIT_UNAVAILABLE = 3		/* no buffer there, in use, could not be read */
} BufferExit;

typedef struct BufferOptions
{
	bool		json;
	bool		raw;
	bool		new_identity;
	const char *shared;
	bool		rebind;
	bool		salvage;
	bool		discard_dead_letters;
	bool		help;
} BufferOptions;

typedef struct Action
{
	const char *name;
	int			(*run) (const char *directory, const BufferOptions *options);
	const char *help;
} Action;

static BufferExit
exit_for(int error)
{
	switch (error)
	{
		case SLUICE_OK:
			return EXIT_SOUND;
		case SLUICE_ERROR_INVALID:
			return EXIT_USAGE;
		case SLUICE_ERROR_DAMAGED:
			return EXIT_DAMAGED;
		default:
			return EXIT_UNAVAILABLE;
	}
}

static int
end_with(const char *directory, int error)
{
	if (error != SLUICE_OK)
		fprintf(stderr, "sluice: \"%s\": %s\n", directory, sluice_error_text(error));
	return exit_for(error);
}

/* ---- check ---- */

static void
show_finding(void *argument, bool error, const char *text)
{
	const BufferOptions *options = argument;

	if (!options->json)
	{
		printf("%s%s\n", error ? "error: " : "", text);
		return;
	}
	printf("{\"error\":%s,\"text\":", error ? "true" : "false");
	sluice_json_print_text(stdout, text, strlen(text));
	puts("}");
}

static int
check(const char *directory, const BufferOptions *options)
{
	int			error = sluice_buffer_check(directory, show_finding, (void *) options);

	if (error == SLUICE_OK && !options->json)
		puts("no errors");
	return exit_for(error);
}

/* ---- stats ---- */

static const char *
condition_name(int condition)
{
	return condition == SLUICE_ERROR_FENCED ? "fenced" : condition == SLUICE_ERROR_FORKED ? "forked" : "sound";
}

static void
show_text(const sluice_buffer_statistics *statistics)
{
	printf("stream                %s\n", statistics->stream[0] != '\0' ? statistics->stream : "(the default stream)");
	fputs("producer              ", stdout);
	for (size_t i = 0; i < sizeof(statistics->producer_id); i++)
		printf("%02x", statistics->producer_id[i]);
	printf("\ncondition             %s\n", condition_name(statistics->condition));
	if (statistics->condition != SLUICE_OK)
		printf("server's sequence     %" PRIu64 "\n", statistics->server_sequence);
	printf("last sequence         %" PRIu64 "\n", statistics->last_sequence);
	printf("acknowledged through  %" PRIu64 "\n", statistics->acknowledged_through);
	printf("records               %" PRIu64 "\n", statistics->records);
	printf("bytes                 %" PRIu64 "\n", statistics->bytes);
	printf("given up, not told    %" PRIu64 "\n", statistics->gaps);
	printf("set aside             %" PRIu64 "\n", statistics->dead_letters);
	printf("file                  %" PRIu64 " bytes, format %d\n", statistics->file_bytes, statistics->format_version);
	if (statistics->oldest_at != 0)
	{
		fputs("oldest record         ", stdout);
		sluice_json_print_time(stdout, statistics->oldest_at);
		putchar('\n');
	}
}

static void
show_json(const sluice_buffer_statistics *statistics)
{
	fputs("{\"stream\":", stdout);
	sluice_json_print_text(stdout, statistics->stream, strlen(statistics->stream));
	fputs(",\"producer\":", stdout);
	sluice_json_print_uuid(stdout, statistics->producer_id);
	printf(",\"condition\":\"%s\",\"server_sequence\":%" PRIu64 ",\"last_sequence\":%" PRIu64 ",\"acknowledged_through\":%" PRIu64,
		   condition_name(statistics->condition), statistics->server_sequence, statistics->last_sequence,
		   statistics->acknowledged_through);
	printf(",\"records\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"gaps\":%" PRIu64 ",\"dead_letters\":%" PRIu64
		   ",\"file_bytes\":%" PRIu64 ",\"format_version\":%d,\"oldest_at\":",
		   statistics->records, statistics->bytes, statistics->gaps, statistics->dead_letters, statistics->file_bytes,
		   statistics->format_version);
	if (statistics->oldest_at != 0)
		sluice_json_print_time(stdout, statistics->oldest_at);
	else
		fputs("null", stdout);
	puts("}");
}

static int
stats(const char *directory, const BufferOptions *options)
{
	sluice_buffer_statistics statistics;
	int			error = sluice_buffer_read_statistics(directory, &statistics, sizeof(statistics));

	if (error != SLUICE_OK)
		return end_with(directory, error);
	if (options->json)
		show_json(&statistics);
	else
		show_text(&statistics);
	return statistics.condition == SLUICE_OK ? EXIT_SOUND : EXIT_DAMAGED;
}

/* ---- dump ---- */

static void
show_member(const char *name, const char *text, size_t length)
{
	if (text == NULL)
		return;
	printf(",\"%s\":", name);
	sluice_json_print_text(stdout, text, length);
}

static bool
dump_record(void *argument, const sluice_buffered *record)
{
	const BufferOptions *options = argument;

	if (options->raw)
	{
		fwrite(record->payload, 1, record->payload_length, stdout);
		putchar('\n');
		return !ferror(stdout);
	}
	printf("{\"sequence\":%" PRIu64 ",\"at\":", record->sequence);
	sluice_json_print_time(stdout, record->at);
	show_member("key", record->key, record->key_length);
	show_member("entity", record->entity, record->entity_length);
	if (record->dead_letter)
		show_member("set_aside", record->why, strlen(record->why));
	fputs(",\"payload\":", stdout);
	sluice_json_print_base64(stdout, record->payload, record->payload_length);
	puts("}");
	return !ferror(stdout);
}

static int
dump(const char *directory, const BufferOptions *options)
{
	int			error = sluice_buffer_dump(directory, dump_record, (void *) options);

	return end_with(directory, error);
}

/* ---- repair ---- */

static int
repair(const char *directory, const BufferOptions *options)
{
	sluice_repair wishes = {options->new_identity, SLUICE_SHARED_UNDECIDED, options->rebind, options->salvage,
	options->discard_dead_letters};

	if (options->shared != NULL)
		wishes.shared = strcmp(options->shared, "keep") == 0 ? SLUICE_SHARED_KEEP : SLUICE_SHARED_DROP;
	if (!options->new_identity && !options->rebind && !options->salvage && !options->discard_dead_letters)
	{
		fprintf(stderr, "sluice buffer: repair what?  --new-identity, --rebind, --salvage or --discard-dead-letters\n");
		return EXIT_USAGE;
	}
	return exit_for(sluice_buffer_repair(directory, &wishes, show_finding, (void *) options));
}

/* ---- the command ---- */

static const Action actions[] = {
	{"check", check, "read everything, and tell what is damaged"},
	{"stats", stats, "how much is in it, of which stream, how old, in what condition"},
	{"dump", dump, "its records, then those set aside, as lines of JSON with the payload in base64"},
	{"repair", repair, "a fenced, forked, rebound or damaged buffer; tells all that it does"}
};

#define NACTIONS (sizeof(actions) / sizeof(actions[0]))

static const char contract[] =
"\nExit status:\n"
"  0  sound, or repaired\n"
"  1  wrong usage, or a repair that does not fit the buffer's condition: nothing was changed\n"
"  2  damaged, fenced or forked\n"
"  3  there is no buffer, another process has it open, or it could not be read\n";

static void
show_help(const SluiceOption *table)
{
	puts("Usage: sluice buffer ACTION [OPTION]... DIRECTORY\n"
		 "Look into the durable buffer of a producer, or repair it.\n\nActions:");
	for (size_t i = 0; i < NACTIONS; i++)
		printf("  %-8s %s\n", actions[i].name, actions[i].help);
	puts("\nOptions:");
	sluice_options_show(table);
	fputs(contract, stdout);
}

/* Returns the number of arguments that are no options, or -1: *status is the exit status then. */
static int
read_options(BufferOptions *options, int argc, char **argv, int *status)
{
	const SluiceOption table[] = {
		{SLUICE_OPTION_SWITCH, "json", 'j', NULL, &options->json, 0, 0, "stats, check, repair: as JSON", NULL},
		{SLUICE_OPTION_SWITCH, "raw", 0, NULL, &options->raw, 0, 0, "dump: only the payloads, each with a newline", NULL},
		{SLUICE_OPTION_SWITCH, "new-identity", 0, NULL, &options->new_identity, 0, 0,
		"repair: send what is this copy's own under a new identity", NULL},
		{SLUICE_OPTION_CHOICE, "shared", 0, "keep|drop", &options->shared, 0, 0,
		"... and what both copies hold: send it too, or leave it to the other", NULL},
		{SLUICE_OPTION_SWITCH, "rebind", 0, NULL, &options->rebind, 0, 0,
		"repair: go on with the stream that has taken the old one's name", NULL},
		{SLUICE_OPTION_SWITCH, "salvage", 0, NULL, &options->salvage, 0, 0,
		"repair: add what can be read of a damaged buffer to a new one", NULL},
		{SLUICE_OPTION_SWITCH, "discard-dead-letters", 0, NULL, &options->discard_dead_letters, 0, 0,
		"repair: forget the records that were set aside", NULL},
		{SLUICE_OPTION_SWITCH, "help", 'h', NULL, &options->help, 0, 0, "show this", NULL},
		{SLUICE_OPTION_END, NULL, 0, NULL, NULL, 0, 0, NULL, NULL}
	};
	int			n = sluice_options_read(table, argc, argv, "sluice buffer");

	*status = EXIT_USAGE;
	if (n < 0 || !options->help)
		return n;
	show_help(table);
	*status = EXIT_SOUND;
	return -1;
}

int
sluice_buffer_main(int argc, char **argv)
{
	BufferOptions options;
	int			status;
	int			n;

	memset(&options, 0, sizeof(options));
	n = read_options(&options, argc, argv, &status);
	if (n < 0)
		return status;
	for (size_t i = 0; n == 2 && i < NACTIONS; i++)
	{
		if (strcmp(argv[1], actions[i].name) != 0)
			continue;
		status = actions[i].run(argv[2], &options);
		if (fflush(stdout) == 0)
			return status;
		fprintf(stderr, "sluice: could not write the output\n");
		return EXIT_UNAVAILABLE;
	}
	fprintf(stderr, "sluice buffer: an action (check, stats, dump, repair) and a directory are needed (try --help)\n");
	return EXIT_USAGE;
}
