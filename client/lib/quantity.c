/*
 * quantity.c
 *		Numbers with units as text.
 */
#include "quantity.h"

#include <string.h>
#include <strings.h>

typedef struct Unit
{
	const char *name;
	int64_t		factor;
} Unit;

static const Unit size_units[] = {
	{"", 1}, {"B", 1}, {"kB", 1024}, {"MB", 1024 * 1024}, {"GB", 1024 * 1024 * 1024},
	{"TB", (int64_t) 1024 * 1024 * 1024 * 1024}, {NULL, 0}
};

static const Unit duration_units[] = {
	{"", 1000000}, {"us", 1000}, {"ms", 1000000}, {"s", 1000000000}, {"min", INT64_C(60000000000)},
	{"h", INT64_C(3600000000000)}, {"d", INT64_C(86400000000000)}, {NULL, 0}
};

static const Unit no_units[] = {{"", 1}, {NULL, 0}};

/* 0 for an unknown one. */
static int64_t
unit_factor(const char *name, size_t length, SluiceUnits units)
{
	const Unit *unit = units == SLUICE_UNITS_SIZE ? size_units : units == SLUICE_UNITS_DURATION ? duration_units : no_units;

	for (; unit->name != NULL; unit++)
	{
		if (strlen(unit->name) == length && strncasecmp(unit->name, name, length) == 0)
			return unit->factor;
	}
	return 0;
}

/* Digits, and perhaps a point with more digits: whole and the rest in billionths.  NULL: neither. */
static const char *
read_decimal(const char *text, int64_t *whole, int64_t *billionths)
{
	const char *begin = text;
	int64_t		place = 100000000;

	*whole = 0;
	*billionths = 0;
	for (; *text >= '0' && *text <= '9'; text++)
	{
		if (*whole > (INT64_MAX - 9) / 10)
			return NULL;
		*whole = *whole * 10 + (*text - '0');
	}
	if (text == begin)
		return NULL;
	if (*text != '.')
		return text;
	begin = ++text;
	for (; *text >= '0' && *text <= '9'; text++, place /= 10)
		*billionths += place * (*text - '0');
	return text > begin ? text : NULL;
}

static bool
read_quantity(const char *text, size_t length, SluiceUnits units, int64_t *quantity)
{
	const char *end = text + length;
	int64_t		whole;
	int64_t		billionths;
	int64_t		factor;
	const char *unit = read_decimal(text, &whole, &billionths);

	if (unit == NULL || unit > end)
		return false;
	if (unit < end - 1 && *unit == ' ')
		unit++;
	factor = unit_factor(unit, (size_t) (end - unit), units);
	if (factor == 0 || (units == SLUICE_UNITS_NONE && billionths != 0))
		return false;
	if (__builtin_mul_overflow(whole, factor, quantity))
		return false;
	/* In two steps: the fraction's product may be over 63 bits. */
	return !__builtin_add_overflow(*quantity, factor / 1000000000 * billionths +
								   factor % 1000000000 * billionths / 1000000000, quantity);
}

bool
sluice_quantity_read(const char *text, SluiceUnits units, int64_t *quantity)
{
	return read_quantity(text, strlen(text), units, quantity);
}

bool
sluice_quantity_read_range(const char *text, SluiceUnits units, int64_t *least, int64_t *most)
{
	const char *to = strstr(text, " to ");

	return to != NULL && read_quantity(text, (size_t) (to - text), units, least) &&
		sluice_quantity_read(to + strlen(" to "), units, most);
}
