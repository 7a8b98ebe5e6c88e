/*
 * options.c
 *		The options of a command: one table to read them, and to show them.
 */
#include "options.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "memory.h"

#define OPTION_WIDTH 34			/* in the help */

static const SluiceOption *
find_long(const SluiceOption *table, const char *name, size_t length)
{
	for (; table->kind != SLUICE_OPTION_END; table++)
	{
		if (strlen(table->name) == length && strncmp(table->name, name, length) == 0)
			return table;
	}
	return NULL;
}

static const SluiceOption *
find_letter(const SluiceOption *table, char letter)
{
	for (; table->kind != SLUICE_OPTION_END; table++)
	{
		if (table->letter != 0 && table->letter == letter)
			return table;
	}
	return NULL;
}

static bool
is_choice(const char *choices, const char *word)
{
	size_t		length = strlen(word);

	while (*choices != '\0')
	{
		size_t		n = strcspn(choices, "|");

		if (n == length && strncmp(choices, word, n) == 0)
			return true;
		choices += n + (choices[n] == '|');
	}
	return false;
}

/* The factor of a size's unit, 0 for an unknown one. */
static double
unit_factor(const char *unit)
{
	static const struct
	{
		const char *name;
		double		factor;
	}			units[] = {{"", 1}, {"B", 1}, {"kB", 1024}, {"MB", 1024.0 * 1024}, {"GB", 1024.0 * 1024 * 1024}};

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
	{
		if (strcasecmp(unit, units[i].name) == 0)
			return units[i].factor;
	}
	return 0;
}

static bool
read_number(const SluiceOption *option, const char *text)
{
	char	   *end;
	double		number;

	errno = 0;
	number = strtod(text, &end);
	if (end == text || errno != 0 || !isfinite(number))
		return false;
	if (option->kind == SLUICE_OPTION_SIZE)
		number *= unit_factor(end);
	else if (*end != '\0')
		return false;
	if (number < option->minimum || number > option->maximum)
		return false;
	if (option->kind == SLUICE_OPTION_REAL)
		*(double *) option->value = number;
	else if (number != floor(number))
		return false;
	else
		*(size_t *) option->value = (size_t) number;
	return true;
}

static void
add_item(SluiceOptionList *list, const char *item)
{
	list->items = sluice_memory_resize(list->items, (list->count + 1) * sizeof(char *));
	list->items[list->count++] = item;
}

static bool
read_value(const SluiceOption *option, const char *text, const char *command)
{
	bool		ok = true;

	switch (option->kind)
	{
		case SLUICE_OPTION_TEXT:
			*(const char **) option->value = text;
			break;
		case SLUICE_OPTION_LIST:
			add_item(option->value, text);
			break;
		case SLUICE_OPTION_CHOICE:
			ok = is_choice(option->argument, text);
			*(const char **) option->value = text;
			break;
		default:
			ok = read_number(option, text);
			break;
	}
	if (!ok)
		fprintf(stderr, "%s: invalid value for --%s: \"%s\"\n", command, option->name, text);
	return ok;
}

/* --name, --no-name, --name=value, --name value: the arguments used, or -1. */
static int
read_long(const SluiceOption *table, char **argv, int left, const char *command)
{
	const char *name = argv[0] + 2;
	size_t		length = strcspn(name, "=");
	const char *value = name[length] == '=' ? name + length + 1 : NULL;
	const SluiceOption *option = find_long(table, name, length);
	bool		on = true;

	if (option == NULL && strncmp(name, "no-", 3) == 0)
	{
		option = find_long(table, name + 3, length - 3);
		on = false;
		if (option != NULL && option->kind != SLUICE_OPTION_SWITCH)
			option = NULL;
	}
	if (option == NULL)
	{
		fprintf(stderr, "%s: unknown option --%.*s (try --help)\n", command, (int) length, name);
		return -1;
	}
	if (option->given != NULL)
		*option->given = true;
	if (option->kind == SLUICE_OPTION_SWITCH)
	{
		if (value != NULL)
		{
			fprintf(stderr, "%s: option --%s takes no value\n", command, option->name);
			return -1;
		}
		*(bool *) option->value = on;
		return 1;
	}
	if (value == NULL && left < 2)
	{
		fprintf(stderr, "%s: option --%s needs a value\n", command, option->name);
		return -1;
	}
	if (!read_value(option, value != NULL ? value : argv[1], command))
		return -1;
	return value != NULL ? 1 : 2;
}

/* -x, -xVALUE, -x VALUE: the arguments used, or -1. */
static int
read_short(const SluiceOption *table, char **argv, int left, const char *command)
{
	const SluiceOption *option = find_letter(table, argv[0][1]);
	const char *rest = argv[0] + 2;

	if (option == NULL || (option->kind == SLUICE_OPTION_SWITCH && *rest != '\0'))
	{
		fprintf(stderr, "%s: unknown option %s (try --help)\n", command, argv[0]);
		return -1;
	}
	if (option->given != NULL)
		*option->given = true;
	if (option->kind == SLUICE_OPTION_SWITCH)
	{
		*(bool *) option->value = true;
		return 1;
	}
	if (*rest == '\0' && left < 2)
	{
		fprintf(stderr, "%s: option -%c needs a value\n", command, option->letter);
		return -1;
	}
	if (!read_value(option, *rest != '\0' ? rest : argv[1], command))
		return -1;
	return *rest != '\0' ? 1 : 2;
}

int
sluice_options_read(const SluiceOption *table, int argc, char **argv, const char *command)
{
	int			others = 0;
	int			i = 1;

	while (i < argc)
	{
		int			used;

		if (strcmp(argv[i], "--") == 0)
		{
			for (i++; i < argc; i++)
				argv[1 + others++] = argv[i];
			break;
		}
		if (argv[i][0] != '-' || argv[i][1] == '\0')
		{
			argv[1 + others++] = argv[i++];
			continue;
		}
		if (argv[i][1] == '-')
			used = read_long(table, argv + i, argc - i, command);
		else
			used = read_short(table, argv + i, argc - i, command);
		if (used < 0)
			return -1;
		i += used;
	}
	return others;
}

void
sluice_options_show(const SluiceOption *table)
{
	for (; table->kind != SLUICE_OPTION_END; table++)
	{
		char		left[80];
		int			n = 0;

		if (table->letter != 0)
			n = snprintf(left, sizeof(left), "-%c, ", table->letter);
		else
			n = snprintf(left, sizeof(left), "    ");
		snprintf(left + n, sizeof(left) - (size_t) n, "--%s%s%s", table->name,
				 table->argument != NULL ? " " : "", table->argument != NULL ? table->argument : "");
		printf("  %-*s %s%s\n", OPTION_WIDTH, left, strlen(left) < OPTION_WIDTH ? "" : " ", table->help);
	}
}
