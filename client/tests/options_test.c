/* options: every kind and way to write one. */
#include "options.h"


#include "tap.h"

static const char *text;
static const char *choice;
static size_t count;
static size_t size;
static double real;
static bool flag;
static bool given;

static const SluiceOption table[] = {
	{SLUICE_OPTION_TEXT, "text", 't', "TEXT", &text, 0, 0, "", NULL},
	{SLUICE_OPTION_CHOICE, "choice", 0, "one|two", &choice, 0, 0, "", NULL},
	{SLUICE_OPTION_COUNT, "count", 'c', "N", &count, 1, 100, "", NULL},
	{SLUICE_OPTION_SIZE, "size", 0, "SIZE", &size, 1, 1e10, "", NULL},
	{SLUICE_OPTION_REAL, "real", 0, "X", &real, 0, 10, "", NULL},
	{SLUICE_OPTION_SWITCH, "flag", 'f', NULL, &flag, 0, 0, "", &given},
	{SLUICE_OPTION_END, NULL, 0, NULL, NULL, 0, 0, NULL, NULL}
};

static char *words[32];

/* The arguments, separated by blanks. */
static int
read_line(const char *line)
{
	static char copy[256];
	int			n = 1;

	snprintf(copy, sizeof(copy), "%s", line);
	words[0] = "test";
	for (char *word = strtok(copy, " "); word != NULL; word = strtok(NULL, " "))
		words[n++] = word;
	words[n] = NULL;
	return sluice_options_read(table, n, words, "test");
}

int
main(void)
{
	static const char *const wrong[] = {
		"--none", "-x", "--text", "-t", "--choice=three", "--choice=on", "--count=0", "--count=101", "--count=1.5",
		"--count=5x", "--count=", "--size=1XB", "--size=0", "--real=-1", "--real=nan", "--flag=1", "--no-text=x", "-fx"
	};

	ok(read_line("a --text=1 b --choice two -c 7 --size=3kB --real .5 -f --text 2 - -- --c") == 4, "options and others mixed");
	ok(strcmp(words[1], "a") == 0 && strcmp(words[2], "b") == 0 && strcmp(words[3], "-") == 0 &&
	   strcmp(words[4], "--c") == 0, "the others are in front");
	ok(strcmp(text, "2") == 0 && strcmp(choice, "two") == 0 && count == 7 && size == 3072 && real == 0.5 && flag && given,
	   "values");
	given = false;
	ok(read_line("--no-flag -tx -c9") == 0 && !flag && given && strcmp(text, "x") == 0 && count == 9, "--no-, and values behind a letter");
	ok(read_line("--size 2gb") == 0 && size == 2147483648, "units in any case");
	if (freopen("/dev/null", "w", stderr) == NULL)
		return 1;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		ok(read_line(wrong[i]) == -1, wrong[i]);
	return done_testing();
}
