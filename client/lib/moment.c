/*
 * moment.c
 *		A point in time as text: "2026-01-31T23:59:59.5Z".
 */
#include "moment.h"

#include <ctype.h>
#include <time.h>

#define MINUTE INT64_C(60)
#define MICROSECONDS INT64_C(1000000)

/* So many digits, from least to most. */
static bool
read_digits(const char **text, int digits, int least, int most, int *number)
{
	*number = 0;
	for (int i = 0; i < digits; i++)
	{
		if (!isdigit((unsigned char) **text))
			return false;
		*number = *number * 10 + *(*text)++ - '0';
	}
	return *number >= least && *number <= most;
}

static bool
read_byte(const char **text, char byte)
{
	if (**text != byte)
		return false;
	(*text)++;
	return true;
}

static bool
read_date(const char **text, struct tm *date)
{
	struct tm	checked;

	if (!read_digits(text, 4, 1970, 9999, &date->tm_year) || !read_byte(text, '-') ||
		!read_digits(text, 2, 1, 12, &date->tm_mon) || !read_byte(text, '-') ||
		!read_digits(text, 2, 1, 31, &date->tm_mday))
		return false;
	date->tm_year -= 1900;
	date->tm_mon--;
	/* The 31st of April would be the 1st of May. */
	checked = *date;
	return timegm(&checked) >= 0 && checked.tm_mday == date->tm_mday;
}

/* At least one digit, at most six. */
static bool
read_fraction(const char **text, int64_t *fraction)
{
	int64_t		unit = MICROSECONDS;

	*fraction = 0;
	while (isdigit((unsigned char) **text))
	{
		unit /= 10;
		if (unit == 0)
			return false;
		*fraction += unit * (*(*text)++ - '0');
	}
	return unit < MICROSECONDS;
}

static bool
read_time(const char **text, struct tm *time, int64_t *fraction)
{
	if (!read_byte(text, 'T') && !read_byte(text, ' '))
		return true;
	if (!read_digits(text, 2, 0, 23, &time->tm_hour) || !read_byte(text, ':') ||
		!read_digits(text, 2, 0, 59, &time->tm_min))
		return false;
	if (!read_byte(text, ':'))
		return true;
	if (!read_digits(text, 2, 0, 59, &time->tm_sec))
		return false;
	return !read_byte(text, '.') || read_fraction(text, fraction);
}

/* Seconds east of UTC. */
static bool
read_zone(const char **text, int64_t *zone)
{
	bool		west = **text == '-';
	int			hours;
	int			minutes;

	if (**text == '\0' || read_byte(text, 'Z'))
		return true;
	if (!read_byte(text, '+') && !read_byte(text, '-'))
		return false;
	if (!read_digits(text, 2, 0, 15, &hours) || !read_byte(text, ':') || !read_digits(text, 2, 0, 59, &minutes))
		return false;
	*zone = (hours * 60 + minutes) * (west ? -MINUTE : MINUTE);
	return true;
}

bool
sluice_moment_read(const char *text, int64_t *microseconds)
{
	struct tm	utc = {0};
	int64_t		fraction = 0;
	int64_t		zone = 0;

	if (!read_date(&text, &utc) || !read_time(&text, &utc, &fraction) || !read_zone(&text, &zone) || *text != '\0')
		return false;
	*microseconds = ((int64_t) timegm(&utc) - zone) * MICROSECONDS + fraction;
	return *microseconds >= 0;
}
