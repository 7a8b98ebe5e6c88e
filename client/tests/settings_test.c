/* settings: every option is read, checked, described and copied from the one table. */
#include "settings.h"

#include <stdlib.h>

#include "clock.h"
#include "tap.h"

static sluice_options *
options_of(const char *const *pairs)
{
	sluice_options *options = sluice_options_create();

	for (; pairs[0] != NULL; pairs += 2)
	{
		if (sluice_options_set(options, pairs[0], pairs[1]) != SLUICE_OK)
			printf("# %s\n", sluice_options_message(options));
	}
	return options;
}

static bool
is_mistake_of(SluiceRole role, const char *const *pairs, const char *expected)
{
	sluice_options *options = options_of(pairs);
	SluiceSettings settings;
	char		message[256] = "";
	bool		good = sluice_options_settings(options, role, &settings, message, sizeof(message)) == SLUICE_ERROR_OPTION &&
		strstr(message, expected) != NULL;

	if (!good)
		printf("# got \"%s\", expected \"%s\"\n", message, expected);
	sluice_options_free(options);
	return good;
}

static bool
is_mistake(const char *const *pairs, const char *expected)
{
	return is_mistake_of(SLUICE_ROLE_PRODUCER, pairs, expected);
}

static void
test_descriptions(void)
{
	sluice_options *options = sluice_options_create();
	sluice_option_description about;
	bool		defaults = true;
	bool		told = true;
	size_t		n = 0;

	for (; sluice_options_describe(n, &about); n++)
	{
		const char *value = sluice_options_get(options, about.name);

		defaults = defaults && value != NULL && strcmp(value, about.initial) == 0 &&
			sluice_options_set(options, about.name, about.initial) == SLUICE_OK;
		told = told && *about.meaning != '\0' && *about.scope != '\0' && *about.type != '\0' &&
			(*about.range != '\0') == (strcmp(about.type, "number") == 0 || strcmp(about.type, "size") == 0 ||
									   strcmp(about.type, "duration") == 0);
	}
	ok(n == 40, "40 options");
	ok(defaults, "every default is a value of its option");
	ok(told, "every option has a type, a sentence, an owner, and a range where it is a quantity");
	ok(!sluice_options_describe(n, &about) && !sluice_options_describe(SIZE_MAX, &about), "and there are no more");
	sluice_options_free(options);
}

static void
test_defaults(void)
{
	sluice_options *options = options_of((const char *const[]) {"buffer", "/b", NULL});
	SluiceSettings s;

	ok(sluice_options_settings(options, SLUICE_ROLE_PRODUCER, &s, NULL, 0) == SLUICE_OK, "a buffer is enough");
	ok(strcmp(s.buffer, "/b") == 0 && *s.stream == '\0' && s.durability == SLUICE_DURABILITY_INTERVAL &&
	   s.interval == 100 * SLUICE_MILLISECOND && s.max_records == 10000000 && s.max_bytes == UINT64_C(1) << 30 &&
	   s.full == SLUICE_FULL_BLOCK && s.block_timeout == SLUICE_NEVER && !s.compact && s.memory == 16 << 20 && !s.rebind,
	   "defaults of the buffer");
	ok(strcmp(s.server, "localhost:50051") == 0 && !s.tls && *s.tls_ca == '\0' && *s.tls_cert == '\0' && *s.tls_key == '\0' &&
	   *s.tls_name == '\0' && *s.user == '\0' && *s.password == '\0' && strcmp(s.client, "settings_test") == 0 &&
	   s.backoff_first == SLUICE_SECOND && s.backoff_last == 60 * SLUICE_SECOND && s.connect_timeout == 10 * SLUICE_SECOND &&
	   s.keepalive_time == 10 * SLUICE_SECOND && s.keepalive_timeout == 5 * SLUICE_SECOND && s.batch_bytes == 256 << 10 &&
	   s.window_bytes == 4 << 20 && s.linger == SLUICE_MILLISECOND, "defaults of the connection");
	sluice_options_free(options);
}

static void
test_consumer(void)
{
	sluice_options *options = options_of((const char *const[]) {NULL});
	SluiceSettings s;

	ok(sluice_options_settings(options, SLUICE_ROLE_CONSUMER, &s, NULL, 0) == SLUICE_OK, "a consumer needs no option");
	ok(*s.subscription == '\0' && s.create && s.from == SLUICE_FROM_EARLIEST && s.after_offset == 0 && s.since == 0 &&
	   s.guarantee == 0 && s.encoding == 0 && s.max_in_flight == 10000 && s.max_message == 64 << 20 && !s.events &&
	   !s.wants_start, "defaults of the subscription");
	sluice_options_free(options);
	options = options_of((const char *const[]) {
		"subscription", "s", "create", "off", "from", "offset", "after_offset", "17", "guarantee", "at_most_once",
		"encoding", "bytes", "max_in_flight", "1", "max_message", "1 MB", "events", "on", "wants_start", "on", NULL});
	ok(sluice_options_settings(options, SLUICE_ROLE_CONSUMER, &s, NULL, 0) == SLUICE_OK &&
	   strcmp(s.subscription, "s") == 0 && !s.create && s.from == SLUICE_FROM_OFFSET && s.after_offset == 17 &&
	   s.guarantee == 2 && s.encoding == 3 && s.max_in_flight == 1 && s.max_message == 1 << 20 && s.events &&
	   s.wants_start, "values of the subscription");
	sluice_options_free(options);
	options = options_of((const char *const[]) {"from", "time", "since", "2026-01-31T23:59:59.5+01:00", NULL});
	ok(sluice_options_settings(options, SLUICE_ROLE_CONSUMER, &s, NULL, 0) == SLUICE_OK && s.from == SLUICE_FROM_TIME &&
	   s.since == INT64_C(1769900399500000), "a time");
	ok(sluice_options_set(options, "since", "yesterday") == SLUICE_ERROR_OPTION &&
	   strcmp(sluice_options_message(options), "invalid value for option \"since\": \"yesterday\" (it takes a time like "
			  "2026-01-31T23:59:59Z)") == 0, "what is none");
	sluice_options_free(options);
	ok(is_mistake_of(SLUICE_ROLE_CONSUMER, (const char *const[]) {"after_offset", "5", NULL},
					 "option \"after_offset\" needs \"from\" to be offset"), "an offset that would be passed over");
	ok(is_mistake_of(SLUICE_ROLE_CONSUMER, (const char *const[]) {"from", "time", NULL},
					 "option \"since\" and \"from\" = time go together"), "no time");
	ok(is_mistake_of(SLUICE_ROLE_CONSUMER, (const char *const[]) {"subscription",
		"1234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890"
		"1234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890x", NULL},
					 "the subscription's name is longer than 200 characters"), "a name that is too long");
}

static void
test_values(void)
{
	sluice_options *options = options_of((const char *const[]) {
		"buffer", "/b", "stream", "s", "durability", "each", "interval", "1 s", "max_records", "5", "max_bytes", "2MB",
		"full", "drop_newest", "block_timeout", "20 s", "compact", "on", "memory", "2 MB", "on_new_stream", "continue",
		"server", "a,b:1", "tls", "on", "tls_ca", "ca", "tls_cert", "cert", "tls_key", "key", "tls_name", "name",
		"user", "u", "password", "p", "client", "c", "backoff_first", "10 ms", "backoff_last", "20 ms",
		"connect_timeout", "1 s", "keepalive_time", "2 s", "keepalive_timeout", "3 s", "batch_bytes", "1 kB",
		"window_bytes", "2 kB", "linger", "0", NULL});
	sluice_options *copy = sluice_options_copy(options);
	SluiceSettings s;

	sluice_options_free(options);
	ok(sluice_options_settings(copy, SLUICE_ROLE_PRODUCER, &s, NULL, 0) == SLUICE_OK, "all options set, and copied");
	ok(strcmp(s.buffer, "/b") == 0 && strcmp(s.stream, "s") == 0 && s.durability == SLUICE_DURABILITY_EACH &&
	   s.interval == SLUICE_SECOND && s.max_records == 5 && s.max_bytes == 2 << 20 && s.full == SLUICE_FULL_DROP_NEWEST &&
	   s.block_timeout == 20 * SLUICE_SECOND && s.compact && s.memory == 2 << 20 && s.rebind, "values of the buffer");
	ok(strcmp(s.server, "a,b:1") == 0 && s.tls && strcmp(s.tls_ca, "ca") == 0 && strcmp(s.tls_cert, "cert") == 0 &&
	   strcmp(s.tls_key, "key") == 0 && strcmp(s.tls_name, "name") == 0 && strcmp(s.user, "u") == 0 &&
	   strcmp(s.password, "p") == 0 && strcmp(s.client, "c") == 0 && s.backoff_first == 10 * SLUICE_MILLISECOND &&
	   s.backoff_last == 20 * SLUICE_MILLISECOND && s.connect_timeout == SLUICE_SECOND &&
	   s.keepalive_time == 2 * SLUICE_SECOND && s.keepalive_timeout == 3 * SLUICE_SECOND && s.batch_bytes == 1024 &&
	   s.window_bytes == 2048 && s.linger == 0, "values of the connection");
	sluice_options_free(copy);
}

static void
test_refusals(void)
{
	static const char *const bad[][2] = {
		{"durability", "Each"}, {"durability", "eac"}, {"durability", ""}, {"interval", "0"}, {"interval", "2 h"},
		{"interval", "never"}, {"max_records", "0"}, {"max_records", "1.5"}, {"max_bytes", "1 kB"}, {"tls", "yes"},
		{"memory", "2 GB"}, {"block_timeout", "always"}, {"batch_bytes", "65 MB"}, {"Stream", "x"}, {"", ""}
	};
	sluice_options *options = sluice_options_create();
	bool		good = true;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		good = good && sluice_options_set(options, bad[i][0], bad[i][1]) == SLUICE_ERROR_OPTION &&
			strstr(sluice_options_message(options), bad[i][0]) != NULL;
	ok(good, "what is refused is named");
	ok(strcmp(sluice_options_get(options, "interval"), "100 ms") == 0, "and changes nothing");
	ok(sluice_options_get(options, "intervals") == NULL, "no such option");
	ok(sluice_options_set(options, "interval", "1 s") == SLUICE_OK && *sluice_options_message(options) == '\0' &&
	   strcmp(sluice_options_get(options, "interval"), "1 s") == 0, "the message goes with the next success");
	ok(sluice_options_set(NULL, "interval", "1 s") == SLUICE_ERROR_INVALID &&
	   sluice_options_set(options, NULL, "1 s") == SLUICE_ERROR_INVALID &&
	   sluice_options_set(options, "interval", NULL) == SLUICE_ERROR_INVALID, "null pointers");
	sluice_options_free(options);
	sluice_options_free(NULL);
}

static void
test_mistakes(void)
{
	char		name[300];

	memset(name, 'x', sizeof(name));
	name[256] = '\0';
	ok(is_mistake((const char *const[]) {NULL}, "\"buffer\" is required"), "no buffer");
	ok(is_mistake((const char *const[]) {"buffer", "b", "stream", name, NULL}, "longer than 255"), "a long name");
	ok(is_mistake((const char *const[]) {"buffer", "b", "server", "", NULL}, "\"server\" is empty"), "no server");
	ok(is_mistake((const char *const[]) {"buffer", "b", "tls", "on", "tls_cert", "x", NULL}, "go together"), "half a certificate");
	ok(is_mistake((const char *const[]) {"buffer", "b", "tls_ca", "x", NULL}, "need \"tls\""), "tls_ca without tls");
	ok(is_mistake((const char *const[]) {"buffer", "b", "password", "x", NULL}, "needs \"user\""), "a password of nobody");
	ok(is_mistake((const char *const[]) {"buffer", "b", "user", "a:b", NULL}, "colon"), "a user with a colon");
	ok(is_mistake((const char *const[]) {"buffer", "b", "backoff_last", "10 ms", NULL}, "less than \"backoff_first\""), "backoff");
	ok(is_mistake((const char *const[]) {"buffer", "b", "window_bytes", "1 kB", NULL}, "less than \"batch_bytes\""), "window");
}

/* ---- target strings ---- */

static bool
becomes(const char *target, const char *const *pairs)
{
	sluice_options *options = sluice_options_create();
	bool		good = sluice_options_set(options, "server", target) == SLUICE_OK;

	if (!good)
		printf("# %s\n", sluice_options_message(options));
	for (; good && pairs[0] != NULL; pairs += 2)
	{
		const char *value = sluice_options_get(options, pairs[0]);

		good = strcmp(value, pairs[1]) == 0;
		if (!good)
			printf("# %s is \"%s\"\n", pairs[0], value);
	}
	sluice_options_free(options);
	return good;
}

static bool
is_refused(const char *target, const char *expected)
{
	sluice_options *options = options_of((const char *const[]) {"server", "before:1", "user", "before", NULL});
	bool		good = sluice_options_set(options, "server", target) == SLUICE_ERROR_OPTION &&
		strcmp(sluice_options_message(options), expected) == 0 &&
		strcmp(sluice_options_get(options, "server"), "before:1") == 0 && strcmp(sluice_options_get(options, "user"), "before") == 0;

	if (!good)
		printf("# got \"%s\"\n", sluice_options_message(options));
	sluice_options_free(options);
	return good;
}

static void
test_targets(void)
{
	sluice_options *options;

	ok(becomes("sluice://db1", (const char *const[]) {"server", "db1", "user", "", "password", "", "stream", "", "tls", "off", NULL}),
	   "a target string with a host alone");
	ok(becomes("sluice://meter:s%3acr%40t@db1:50051,[::1]:5,db2/read%2fings%C3%A4?tls=on&tls_ca=/etc/a%26b&linger=2%20ms",
			   (const char *const[]) {"server", "db1:50051,[::1]:5,db2", "user", "meter", "password", "s:cr@t",
									  "stream", "read/ings\xC3\xA4", "tls", "on", "tls_ca", "/etc/a&b", "linger", "2 ms", NULL}),
	   "with everything");
	ok(becomes("SLUICE:///readings", (const char *const[]) {"server", "localhost:50051", "stream", "readings", NULL}), "without a host");
	ok(becomes("sluice://unix:%2Frun%2Fsluice.sock/r", (const char *const[]) {"server", "unix:/run/sluice.sock", "stream", "r", NULL}),
	   "with a unix socket");
	ok(becomes("sluice://?user=a&password=b", (const char *const[]) {"server", "localhost:50051", "user", "a", "password", "b", NULL}),
	   "with the user as a parameter");

	options = options_of((const char *const[]) {"stream", "x", "linger", "5 ms", "user", "a",
												"server", "sluice://b@h?linger=6%20ms", "user", "c", NULL});
	ok(strcmp(sluice_options_get(options, "stream"), "x") == 0 && strcmp(sluice_options_get(options, "linger"), "6 ms") == 0 &&
	   strcmp(sluice_options_get(options, "user"), "c") == 0, "what it does not name stays, and what is set later counts");
	sluice_options_free(options);

	ok(is_refused("sluice://meter:se/cr@t@db", "the target string has an @ behind the hosts: write it %40, and / and ? in a user or password %2F and %3F"),
	   "a raw slash in a password: no part of it is shown");
	ok(is_refused("sluice://h/a/b", "the target string has more than the name of a stream behind the hosts: a / in it is written %2F"), "two segments");
	ok(is_refused("sluice://:pw@h", "the target string has no user in front of the @"), "a password alone");
	ok(is_refused("sluice://h?tls", "the target string has a parameter that is not OPTION=VALUE"), "no value");
	ok(is_refused("sluice://h?tls=on&tls=on", "the target string names an option twice"), "twice");
	ok(is_refused("sluice://u@h?user=u", "the target string names an option twice"), "twice, in two ways");
	ok(is_refused("sluice://h?buffer=/x", "the target string has a parameter \"server\" or \"buffer\", which it cannot set"), "a buffer");
	ok(is_refused("sluice://u:%4@h", "the target string has a % without two hexadecimal digits behind it"), "half an escape");
	ok(is_refused("sluice://u:%00@h", "the target string has a %00, which no value may have"), "a zero");
	ok(is_refused("sluice://h?nothing=1", "there is no option \"nothing\""), "no such option");
	ok(is_refused("sluice://h?tls=perhaps", "invalid value for option \"tls\": \"perhaps\" (it takes off|on)"), "no such value");
}

static void
test_errors(void)
{
	ok(strcmp(sluice_error_text(SLUICE_OK), "no error") == 0 && sluice_error_class(SLUICE_OK) == SLUICE_CLASS_OK &&
	   sluice_error_class(SLUICE_ERROR_FULL) == SLUICE_CLASS_RETRY && sluice_error_class(SLUICE_ERROR_OPTION) == SLUICE_CLASS_INPUT &&
	   sluice_error_class(SLUICE_ERROR_FENCED) == SLUICE_CLASS_FATAL, "errors have texts and classes");
	ok(strcmp(sluice_error_text(-1), "unknown error") == 0 && sluice_error_class(7777) == SLUICE_CLASS_FATAL, "also unknown ones");
	ok(strcmp(sluice_version(), "0.1.0") == 0, "the version");
}

int
main(void)
{
	test_descriptions();
	test_defaults();
	test_values();
	test_consumer();
	test_refusals();
	test_mistakes();
	test_targets();
	test_errors();
	return done_testing();
}
