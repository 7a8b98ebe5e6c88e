/*
 * options.c
 *		The options of producers and consumers: one table, from which they are read, checked, and described.
 *
 * They are kept as text, NULL where nobody set them, and read once more when a
 * producer or consumer is opened.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../clock.h"
#include "error.h"
#include "moment.h"
#include "quantity.h"
#include "settings.h"
#include "target.h"

#define STREAM_LENGTH_MAX 255

/* In characters: as the server has it. */
#define SUBSCRIPTION_LENGTH_MAX 200

typedef enum OptionKind
{
	KIND_TEXT,
	KIND_NUMBER,
	KIND_SIZE,
	KIND_DURATION,
	KIND_LIMIT,					/* a duration, or "never" */
	KIND_TIME,					/* a point in time; empty: none */
	KIND_SWITCH,				/* the second of its two words is true */
	KIND_CHOICE					/* the place of the word is the enum's value */
} OptionKind;

typedef struct OptionRow
{
	const char *name;
	OptionKind	kind;
	const char *words;			/* of a switch or a choice */
	const char *initial;
	const char *range;			/* "from to": checked as it stands here */
	size_t		place;			/* in SluiceSettings */
	const char *scope;			/* whose it is */
	const char *meaning;
} OptionRow;

#define PLACE(member) offsetof(SluiceSettings, member)

#define PRODUCER "producer"
#define CONSUMER "consumer"
#define BOTH "both"

static const OptionRow rows[] = {
	/* the buffer */
	{"buffer", KIND_TEXT, NULL, "", "", PLACE(buffer), PRODUCER,
	"the directory of the durable buffer, made where there is none (but not those above it); required"},
	{"stream", KIND_TEXT, NULL, "", "", PLACE(stream), BOTH,
	"the stream; empty: the server's default stream"},
	{"durability", KIND_CHOICE, "each|interval|none", "interval", "", PLACE(durability), PRODUCER,
		"when a record that was not acknowledged yet is written to disk: before sluice_send() returns, "
	"within the interval, or only when memory is short and at a clean close"},
	{"interval", KIND_DURATION, NULL, "100 ms", "1 ms to 1 h", PLACE(interval), PRODUCER,
	"the longest time a record waits to be written to disk with durability interval"},
	{"max_records", KIND_NUMBER, NULL, "10000000", "1 to 1000000000000", PLACE(max_records), PRODUCER,
	"records in the buffer at most"},
	{"max_bytes", KIND_SIZE, NULL, "1 GB", "1 MB to 1024 TB", PLACE(max_bytes), PRODUCER,
	"bytes of records in the buffer at most; the file is somewhat larger"},
	{"full", KIND_CHOICE, "block|fail|drop_oldest|drop_newest", "block", "", PLACE(full), PRODUCER,
		"what sluice_send() does when the buffer is full: wait for room, fail, or give up the oldest or the newest record, "
	"which is declared to the server"},
	{"block_timeout", KIND_LIMIT, NULL, "never", "0 to 365 d", PLACE(block_timeout), PRODUCER,
	"how long sluice_send() waits for room with full block until it fails"},
	{"compact", KIND_SWITCH, "off|on", "off", "", PLACE(compact), PRODUCER,
	"keep only the newest unsent record of each entity; those given up are declared to the server"},
	{"memory", KIND_SIZE, NULL, "16 MB", "1 MB to 1 GB", PLACE(memory), BOTH,
	"memory for records between the program, the disk and the network; of a consumer: for rows that came and were not taken yet"},
	{"on_new_stream", KIND_SWITCH, "hold|continue", "hold", "", PLACE(rebind), PRODUCER,
		"when the server's stream of this name is not the one that was sent to before (dropped and created again, another server): "
	"keep everything until told (sluice buffer repair --rebind), or go on with the new one"},

	/* the subscription */
	{"subscription", KIND_TEXT, NULL, "", "", PLACE(subscription), CONSUMER,
	"the name of the durable subscription, whose position the server keeps; empty: an ephemeral one, which ends with the consumer"},
	{"create", KIND_SWITCH, "off|on", "on", "", PLACE(create), CONSUMER,
	"make the durable subscription where it is not there"},
	{"from", KIND_CHOICE, "earliest|latest|offset|time", "earliest", "", PLACE(from), CONSUMER,
		"where an ephemeral subscription begins, and a durable one that is made here: with the first row that is there, behind the last one, "
	"behind after_offset, or with the first row received at since or later"},
	{"after_offset", KIND_NUMBER, NULL, "0", "0 to 9000000000000000000", PLACE(after_offset), CONSUMER,
	"with from = offset: the first row is the one behind it"},
	{"since", KIND_TIME, NULL, "", "", PLACE(since), CONSUMER,
	"with from = time: 2026-01-31T23:59:59.5Z; +01:00 instead of Z, UTC where there is neither"},
	{"guarantee", KIND_CHOICE, "as_is|at_least_once|at_most_once", "as_is", "", PLACE(guarantee), CONSUMER,
		"whether the position moves when rows are acknowledged, or before they are sent; as_is: as the subscription "
	"was made, at_least_once where it is made here"},
	{"encoding", KIND_CHOICE, "stream|json|protobuf|bytes", "stream", "", PLACE(encoding), CONSUMER,
	"how rows are written; stream: protobuf or bytes where the stream's payloads are that, else json"},
	{"max_in_flight", KIND_NUMBER, NULL, "10000", "1 to 65536", PLACE(max_in_flight), CONSUMER,
	"rows sent by the server and not acknowledged at most; the server may take less"},
	{"max_message", KIND_SIZE, NULL, "64 MB", "1 MB to 1 GB", PLACE(max_message), CONSUMER,
	"the largest message that is taken from the server; a row must fit into one"},
	{"events", KIND_SWITCH, "off|on", "off", "", PLACE(events), CONSUMER,
	"sluice_consumer_next() also tells that the subscription is active here, waits for another consumer, or has caught up"},
	{"wants_start", KIND_SWITCH, "off|on", "off", "", PLACE(wants_start), CONSUMER,
		"this consumer keeps the position itself: whenever it becomes active no row comes before sluice_consumer_start(); "
	"sluice_consumer_next() tells that it is active also where events is off"},

	/* the connection */
	{"server", KIND_TEXT, NULL, "localhost:50051", "", PLACE(server), BOTH,
		"host:port, or several separated by commas, which are tried in turn; or a target string, which sets other options too: "
	"sluice://user@host:port/stream?option=value"},
	{"tls", KIND_SWITCH, "off|on", "off", "", PLACE(tls), BOTH,
	"encrypt the connection and check the server's certificate"},
	{"tls_ca", KIND_TEXT, NULL, "", "", PLACE(tls_ca), BOTH,
	"a PEM file with the certificates that are trusted; empty: the system's"},
	{"tls_cert", KIND_TEXT, NULL, "", "", PLACE(tls_cert), BOTH,
	"a PEM file with this client's certificate"},
	{"tls_key", KIND_TEXT, NULL, "", "", PLACE(tls_key), BOTH,
	"a PEM file with the key of this client's certificate"},
	{"tls_name", KIND_TEXT, NULL, "", "", PLACE(tls_name), BOTH,
	"the name that the server's certificate must be for; empty: the host's"},
	{"user", KIND_TEXT, NULL, "", "", PLACE(user), BOTH,
	"the PostgreSQL role to log in as with the password; empty: none is told"},
	{"password", KIND_TEXT, NULL, "", "", PLACE(password), BOTH,
		"its password; empty: PGPASSWORD of the environment, else the password file, else none (enough where pg_hba.conf has trust, "
	"or cert)"},
	{"passfile", KIND_TEXT, NULL, "", "", PLACE(passfile), BOTH,
		"a file with lines host:port:sluice:user:password, as PostgreSQL's .pgpass (the database is * or sluice), which nobody else may read; "
	"empty: PGPASSFILE of the environment, or ~/.pgpass"},
	{"client", KIND_TEXT, NULL, "", "", PLACE(client), BOTH,
	"the program's name in sluice.stat_connections; empty: the process's"},
	{"backoff_first", KIND_DURATION, NULL, "1 s", "1 ms to 1 h", PLACE(backoff_first), BOTH,
	"the wait before the first try to connect again, of which a random part is taken; it doubles with every failure"},
	{"backoff_last", KIND_DURATION, NULL, "60 s", "1 ms to 1 d", PLACE(backoff_last), BOTH,
	"the longest such wait"},
	{"connect_timeout", KIND_DURATION, NULL, "10 s", "10 ms to 1 h", PLACE(connect_timeout), BOTH,
	"how long a server may take to open the call"},
	{"keepalive_time", KIND_DURATION, NULL, "10 s", "10 ms to 1 d", PLACE(keepalive_time), BOTH,
	"after so long without a sign of life the server is asked for one"},
	{"keepalive_timeout", KIND_DURATION, NULL, "5 s", "10 ms to 1 h", PLACE(keepalive_timeout), BOTH,
	"without an answer for so long the connection counts as lost"},
	{"batch_bytes", KIND_SIZE, NULL, "256 kB", "1 kB to 64 MB", PLACE(batch_bytes), PRODUCER,
	"the largest message of records, within the server's limit; a larger record goes alone"},
	{"window_bytes", KIND_SIZE, NULL, "4 MB", "1 kB to 1 GB", PLACE(window_bytes), PRODUCER,
	"bytes sent and not acknowledged at most; at least batch_bytes"},
	{"linger", KIND_DURATION, NULL, "1 ms", "0 to 10 s", PLACE(linger), PRODUCER,
	"how long a message that is not full waits for more records while others are on their way"}
};

#define NROWS (sizeof(rows) / sizeof(rows[0]))

struct sluice_options
{
	char	   *values[NROWS];	/* NULL: the default */
	sluice_delivery_callback on_delivery;
	void	   *delivery_argument;
	sluice_log_callback on_log;
	void	   *log_argument;
	char		message[512];
};

/* ---- values ---- */

static SluiceUnits
units_of(OptionKind kind)
{
	if (kind == KIND_SIZE)
		return SLUICE_UNITS_SIZE;
	return kind == KIND_DURATION || kind == KIND_LIMIT ? SLUICE_UNITS_DURATION : SLUICE_UNITS_NONE;
}

/* The place of the word among those of "a|b|c", or -1. */
static int
find_word(const char *words, const char *word)
{
	size_t		length = strlen(word);

	for (int i = 0; *words != '\0'; i++)
	{
		size_t		n = strcspn(words, "|");

		if (n == length && strncmp(words, word, n) == 0)
			return i;
		words += n + (words[n] == '|');
	}
	return -1;
}

static bool
read_number(const OptionRow *row, const char *text, int64_t *number)
{
	int64_t		least;
	int64_t		most;

	if (row->kind == KIND_LIMIT && strcmp(text, "never") == 0)
	{
		*number = SLUICE_NEVER;
		return true;
	}
	return sluice_quantity_read(text, units_of(row->kind), number) &&
		sluice_quantity_read_range(row->range, units_of(row->kind), &least, &most) &&
		*number >= least && *number <= most;
}

/* Reads the text into its place; false: it is no such value. */
static bool
read_value(const OptionRow *row, const char *text, SluiceSettings *settings)
{
	char	   *place = (char *) settings + row->place;
	int64_t		number = 0;

	switch (row->kind)
	{
		case KIND_TEXT:
			*(const char **) place = text;
			return true;
		case KIND_CHOICE:
			number = find_word(row->words, text);
			*(unsigned *) place = (unsigned) number;
			return number >= 0;
		case KIND_SWITCH:
			number = find_word(row->words, text);
			*(bool *) place = number == 1;
			return number >= 0;
		case KIND_TIME:
			if (*text != '\0' && !sluice_moment_read(text, &number))
				return false;
			*(int64_t *) place = number;
			return true;
		default:
			if (!read_number(row, text, &number))
				return false;
			*(int64_t *) place = number;	/* the counts and sizes are uint64_t: the same below 2^63 */
			return true;
	}
}

static size_t
find_row(const char *name)
{
	size_t		i = 0;

	while (i < NROWS && strcmp(rows[i].name, name) != 0)
		i++;
	return i;
}

/* ---- the options as an object ---- */

sluice_options *
sluice_options_create(void)
{
	return calloc(1, sizeof(sluice_options));
}

/* One of them is a password. */
static void
forget(char *value)
{
	if (value != NULL)
		explicit_bzero(value, strlen(value));
	free(value);
}

void
sluice_options_free(sluice_options *options)
{
	if (options == NULL)
		return;
	for (size_t i = 0; i < NROWS; i++)
		forget(options->values[i]);
	free(options);
}

sluice_options *
sluice_options_copy(const sluice_options *options)
{
	sluice_options *copy = malloc(sizeof(sluice_options));
	bool		complete = true;

	if (copy == NULL)
		return NULL;
	*copy = *options;
	for (size_t i = 0; i < NROWS; i++)
	{
		if (options->values[i] == NULL)
			continue;
		copy->values[i] = strdup(options->values[i]);
		complete = complete && copy->values[i] != NULL;
	}
	if (complete)
		return copy;
	sluice_options_free(copy);
	return NULL;
}

static int fail(sluice_options *options, const char *format, ...) __attribute__((format(printf, 2, 3)));

static int
fail(sluice_options *options, const char *format, ...)
{
	va_list		arguments;

	va_start(arguments, format);
	vsnprintf(options->message, sizeof(options->message), format, arguments);
	va_end(arguments);
	return SLUICE_ERROR_OPTION;
}

static int
fail_at_value(sluice_options *options, const OptionRow *row, const char *value)
{
	if (row->words != NULL || row->kind == KIND_TIME)
		return fail(options, "invalid value for option \"%s\": \"%.100s\" (it takes %s)", row->name, value,
					row->words != NULL ? row->words : "a time like 2026-01-31T23:59:59Z");
	return fail(options, "invalid value for option \"%s\": \"%.100s\" (it takes %s%s)", row->name, value, row->range,
				row->kind == KIND_LIMIT ? ", or never" : "");
}

static int
set_one(sluice_options *options, const char *name, const char *value)
{
	SluiceSettings ignored;
	size_t		i = find_row(name);
	char	   *copy;

	if (i == NROWS)
		return fail(options, "there is no option \"%.100s\"", name);
	if (!read_value(&rows[i], value, &ignored))
		return fail_at_value(options, &rows[i], value);
	copy = strdup(value);
	if (copy == NULL)
		return SLUICE_ERROR_MEMORY;
	forget(options->values[i]);
	options->values[i] = copy;
	options->message[0] = '\0';
	return SLUICE_OK;
}

static int
set_pairs(sluice_options *options, const SluiceTarget *target)
{
	int			code = set_one(options, "server", "localhost:50051");	/* where it names none */

	for (size_t i = 0; i < target->count && code == SLUICE_OK; i++)
		code = set_one(options, target->pairs[i].name, target->pairs[i].value);
	return code;
}

/* All that the string names, or nothing. */
static int
set_target(sluice_options *options, const char *text)
{
	SluiceTarget target;
	SluiceError error = {""};
	sluice_options *changed;
	int			code = sluice_target_read(text, &target, &error);

	if (code != SLUICE_OK)
		return code == SLUICE_ERROR_OPTION ? fail(options, "%s", error.text) : code;
	changed = sluice_options_copy(options);
	code = changed != NULL ? set_pairs(changed, &target) : SLUICE_ERROR_MEMORY;
	sluice_target_release(&target);
	if (changed == NULL)
		return code;
	memcpy(options->message, changed->message, sizeof(options->message));
	for (size_t i = 0; i < NROWS && code == SLUICE_OK; i++)
	{
		char	   *before = options->values[i];

		options->values[i] = changed->values[i];
		changed->values[i] = before;
	}
	sluice_options_free(changed);
	return code;
}

int
sluice_options_set(sluice_options *options, const char *name, const char *value)
{
	if (options == NULL || name == NULL || value == NULL)
		return SLUICE_ERROR_INVALID;
	if (strcmp(name, "server") == 0 && sluice_target_is(value))
		return set_target(options, value);
	return set_one(options, name, value);
}

static const char *
value_of(const sluice_options *options, size_t i)
{
	return options->values[i] != NULL ? options->values[i] : rows[i].initial;
}

const char *
sluice_options_get(sluice_options *options, const char *name)
{
	size_t		i = find_row(name);

	return i < NROWS ? value_of(options, i) : NULL;
}

const char *
sluice_options_message(const sluice_options *options)
{
	return options->message;
}

static const char *
type_of(const OptionRow *row)
{
	static const char *const names[] = {"text", "number", "size", "duration", "duration", "time"};

	if (row->words == NULL)
		return names[row->kind];
	return strcmp(row->words, "off|on") == 0 ? "boolean" : row->words;
}

bool
sluice_options_describe(size_t index, sluice_option_description *description)
{
	if (index >= NROWS)
		return false;
	description->name = rows[index].name;
	description->type = type_of(&rows[index]);
	description->initial = rows[index].initial;
	description->range = rows[index].range;
	description->meaning = rows[index].meaning;
	description->scope = rows[index].scope;
	return true;
}

void
sluice_options_on_delivery(sluice_options *options, sluice_delivery_callback callback, void *argument)
{
	options->on_delivery = callback;
	options->delivery_argument = argument;
}

void
sluice_options_on_log(sluice_options *options, sluice_log_callback callback, void *argument)
{
	options->on_log = callback;
	options->log_argument = argument;
}

/* ---- settings ---- */

static size_t
count_characters(const char *text)
{
	size_t		count = 0;

	for (; *text != '\0'; text++)
		count += (unsigned char) *text >> 6 != 2;
	return count;
}

static const char *
find_mistake_of_consumer(const SluiceSettings *settings)
{
	if (count_characters(settings->subscription) > SUBSCRIPTION_LENGTH_MAX)
		return "the subscription's name is longer than 200 characters";
	if (settings->from != SLUICE_FROM_OFFSET && settings->after_offset != 0)
		return "option \"after_offset\" needs \"from\" to be offset";
	if ((settings->from == SLUICE_FROM_TIME) != (settings->since != 0))
		return "option \"since\" and \"from\" = time go together";
	return NULL;
}

static const char *
find_mistake_of_producer(const SluiceSettings *settings)
{
	if (*settings->buffer == '\0')
		return "option \"buffer\" is required";
	if (settings->window_bytes < settings->batch_bytes)
		return "option \"window_bytes\" is less than \"batch_bytes\"";
	return NULL;
}

/* What concerns more than the form of one option: a sentence, or NULL. */
static const char *
find_mistake(const SluiceSettings *settings)
{
	if (strlen(settings->stream) > STREAM_LENGTH_MAX)
		return "the stream's name is longer than 255 bytes";
	if (*settings->server == '\0')
		return "option \"server\" is empty";
	if ((*settings->tls_cert == '\0') != (*settings->tls_key == '\0'))
		return "options \"tls_cert\" and \"tls_key\" go together";
	if (!settings->tls && (*settings->tls_ca != '\0' || *settings->tls_cert != '\0' || *settings->tls_name != '\0'))
		return "options \"tls_ca\", \"tls_cert\" and \"tls_name\" need \"tls\" to be on";
	if (*settings->user == '\0' && *settings->password != '\0')
		return "option \"password\" needs \"user\"";
	if (strchr(settings->user, ':') != NULL)
		return "a user's name with a colon cannot be sent";
	if (settings->backoff_last < settings->backoff_first)
		return "option \"backoff_last\" is less than \"backoff_first\"";
	return NULL;
}

int
sluice_options_settings(const sluice_options *options, SluiceRole role, SluiceSettings *settings, char *message,
						size_t message_size)
{
	const char *mistake;

	memset(settings, 0, sizeof(*settings));
	for (size_t i = 0; i < NROWS; i++)
		(void) read_value(&rows[i], value_of(options, i), settings);	/* was checked when it was set */
	if (*settings->client == '\0')
		settings->client = program_invocation_short_name;
	settings->on_delivery = options->on_delivery;
	settings->delivery_argument = options->delivery_argument;
	settings->on_log = options->on_log;
	settings->log_argument = options->log_argument;
	mistake = role == SLUICE_ROLE_PRODUCER ? find_mistake_of_producer(settings) : find_mistake_of_consumer(settings);
	if (mistake == NULL)
		mistake = find_mistake(settings);
	if (mistake == NULL)
		return SLUICE_OK;
	if (message != NULL && message_size > 0)
		snprintf(message, message_size, "%s", mistake);
	return SLUICE_ERROR_OPTION;
}
