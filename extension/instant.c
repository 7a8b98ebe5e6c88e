/*
 * instant.c
 *		Points and spans of time: ranges, and their text.
 */
#include <stdio.h>
#include <string.h>

#include "instant.h"

#define SECONDS_PER_DAY INT64_C(86400)
#define MICROSECONDS INT64_C(1000000)
#define NANOSECONDS 1000000000

/* 2000-01-01 in Unix time */
#define EPOCH_SECONDS INT64_C(946684800)
#define EPOCH_DAYS INT64_C(10957)

/* protobuf's: 0001-01-01 to 9999-12-31T23:59:59 in Unix time, and 10,000 years */
#define TIMESTAMP_MIN INT64_C(-62135596800)
#define TIMESTAMP_MAX INT64_C(253402300799)
#define DURATION_MAX INT64_C(315576000000)

bool
sluice_instant_from_timestamp(int64_t seconds, int32_t nanos, int64_t *result)
{
	/* bounds first, so that the product cannot overflow; they are whole seconds */
	if (nanos < 0 || nanos >= NANOSECONDS ||
		seconds < SLUICE_INSTANT_MIN / MICROSECONDS + EPOCH_SECONDS ||
		seconds >= SLUICE_INSTANT_END / MICROSECONDS + EPOCH_SECONDS)
		return false;
	*result = (seconds - EPOCH_SECONDS) * MICROSECONDS + nanos / 1000;
	return true;
}

bool
sluice_instant_from_duration(int64_t seconds, int32_t nanos, int64_t *result)
{
	if (seconds < -DURATION_MAX || seconds > DURATION_MAX ||
		nanos <= -NANOSECONDS || nanos >= NANOSECONDS ||
		(seconds > 0 && nanos < 0) || (seconds < 0 && nanos > 0))
		return false;
	*result = seconds * MICROSECONDS + nanos / 1000;
	return true;
}

/* Days since 1970-01-01 as year (0 is 1 BC), month, day of the Gregorian calendar; eras of 400 years begin on 1 March. */
static void
civil_from_days(int64_t days, int64_t *year, int *month, int *day)
{
	int64_t		era;
	int64_t		day_of_era;
	int64_t		year_of_era;
	int64_t		day_of_year;
	int64_t		shifted_month;

	days += 719468;				/* from 0000-03-01 */
	era = (days >= 0 ? days : days - 146096) / 146097;
	day_of_era = days - era * 146097;
	year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
	day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	shifted_month = (5 * day_of_year + 2) / 153;
	*day = (int) (day_of_year - (153 * shifted_month + 2) / 5 + 1);
	*month = (int) (shifted_month < 10 ? shifted_month + 3 : shifted_month - 9);
	*year = year_of_era + era * 400 + (*month <= 2 ? 1 : 0);
}

/* "value" with its zeros at the end taken away, six digits: ".5"; nothing for 0 */
static int
microseconds_text(char *out, int value)
{
	int			length;

	if (value == 0)
		return 0;
	length = snprintf(out, 8, ".%06d", value);
	while (out[length - 1] == '0')
		length--;
	return length;
}

int
sluice_instant_point_text(char out[SLUICE_INSTANT_SIZE], int64_t point, bool zone)
{
	int64_t		days = point / (SECONDS_PER_DAY * MICROSECONDS);
	int64_t		rest = point % (SECONDS_PER_DAY * MICROSECONDS);
	int64_t		year;
	int			month;
	int			day;
	int			seconds;
	int			length;
	bool		before_christ;

	if (rest < 0)
	{
		rest += SECONDS_PER_DAY * MICROSECONDS;
		days--;
	}
	civil_from_days(days + EPOCH_DAYS, &year, &month, &day);
	before_christ = year <= 0;
	seconds = (int) (rest / MICROSECONDS);
	length = snprintf(out, SLUICE_INSTANT_SIZE, "%04lld-%02d-%02d %02d:%02d:%02d",
					  (long long) (before_christ ? 1 - year : year), month, day,
					  seconds / 3600, seconds / 60 % 60, seconds % 60);
	length += microseconds_text(out + length, (int) (rest % MICROSECONDS));
	if (zone)
	{
		memcpy(out + length, "+00", 3);
		length += 3;
	}
	if (before_christ)
	{
		memcpy(out + length, " BC", 3);
		length += 3;
	}
	return length;
}

int
sluice_instant_span_text(char out[SLUICE_INSTANT_SIZE], int64_t span)
{
	uint64_t	magnitude = span < 0 ? 0 - (uint64_t) span : (uint64_t) span;
	uint64_t	seconds = magnitude / MICROSECONDS;
	const char *sign = span < 0 ? "-" : "";
	int			length;

	/* hours, for interval takes no more than an int32 of seconds in its text */
	length = snprintf(out, SLUICE_INSTANT_SIZE, "PT%s%lluH%s%lluM%s%llu",
					  sign, (unsigned long long) (seconds / 3600),
					  sign, (unsigned long long) (seconds / 60 % 60),
					  sign, (unsigned long long) (seconds % 60));
	length += microseconds_text(out + length, (int) (magnitude % MICROSECONDS));
	out[length++] = 'S';
	return length;
}

/* "nanos" with 0, 3, 6 or 9 digits, as protobuf's own printers do */
static int
nanoseconds_text(char *out, int nanos)
{
	if (nanos == 0)
		return 0;
	if (nanos % 1000000 == 0)
		return snprintf(out, 16, ".%03d", nanos / 1000000);
	if (nanos % 1000 == 0)
		return snprintf(out, 16, ".%06d", nanos / 1000);
	return snprintf(out, 16, ".%09d", nanos);
}

int
sluice_instant_timestamp_json(char out[SLUICE_INSTANT_SIZE], int64_t seconds, int32_t nanos)
{
	int64_t		days;
	int			rest;
	int64_t		year;
	int			month;
	int			day;
	int			length;

	if (nanos < 0 || nanos >= NANOSECONDS || seconds < TIMESTAMP_MIN || seconds > TIMESTAMP_MAX)
		return 0;
	days = seconds / SECONDS_PER_DAY;
	rest = (int) (seconds % SECONDS_PER_DAY);
	if (rest < 0)
	{
		rest += (int) SECONDS_PER_DAY;
		days--;
	}
	civil_from_days(days, &year, &month, &day);
	length = snprintf(out, SLUICE_INSTANT_SIZE, "%04lld-%02d-%02dT%02d:%02d:%02d", (long long) year,
					  month, day, rest / 3600, rest / 60 % 60, rest % 60);
	length += nanoseconds_text(out + length, nanos);
	out[length++] = 'Z';
	return length;
}

int
sluice_instant_duration_json(char out[SLUICE_INSTANT_SIZE], int64_t seconds, int32_t nanos)
{
	int64_t		span;
	bool		negative = seconds < 0 || nanos < 0;
	int			length;

	if (!sluice_instant_from_duration(seconds, nanos, &span))
		return 0;
	length = snprintf(out, SLUICE_INSTANT_SIZE, "%s%lld", negative ? "-" : "",
					  (long long) (seconds < 0 ? -seconds : seconds));
	length += nanoseconds_text(out + length, nanos < 0 ? -nanos : nanos);
	out[length++] = 's';
	return length;
}

/* Days from 1970-01-01 to a day of the Gregorian calendar. */
static int64_t
days_from_civil(int64_t year, int month, int day)
{
	int64_t		era;
	int64_t		year_of_era;
	int64_t		day_of_year;

	if (month <= 2)
		year--;
	era = (year >= 0 ? year : year - 399) / 400;
	year_of_era = year - era * 400;
	day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
	return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719468;
}

static int
days_of_month(int year, int month)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool		leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return days[month - 1] + (month == 2 && leap ? 1 : 0);
}

/* Exactly n digits. */
static bool
read_digits(const char **at, const char *end, int n, int *value)
{
	*value = 0;
	for (; n > 0; n--, (*at)++)
	{
		if (*at == end || **at < '0' || **at > '9')
			return false;
		*value = *value * 10 + (**at - '0');
	}
	return true;
}

static bool
read_char(const char **at, const char *end, char c)
{
	if (*at == end || **at != c)
		return false;
	(*at)++;
	return true;
}

/* Nothing, or a point and one to nine digits. */
static bool
read_fraction(const char **at, const char *end, int32_t *nanos)
{
	int32_t		unit = NANOSECONDS / 10;

	*nanos = 0;
	if (!read_char(at, end, '.'))
		return true;
	for (; *at < end && **at >= '0' && **at <= '9'; (*at)++)
	{
		if (unit == 0)
			return false;
		*nanos += (**at - '0') * unit;
		unit /= 10;
	}
	return unit < NANOSECONDS / 10;
}

/* "Z", or "+05:30" as the seconds to add. */
static bool
read_zone(const char **at, const char *end, int *offset)
{
	int			hours;
	int			minutes;
	bool		behind = false;

	*offset = 0;
	if (read_char(at, end, 'Z') || read_char(at, end, 'z'))
		return true;
	if (!read_char(at, end, '+'))
	{
		if (!read_char(at, end, '-'))
			return false;
		behind = true;
	}
	if (!read_digits(at, end, 2, &hours) || !read_char(at, end, ':') || !read_digits(at, end, 2, &minutes) ||
		hours > 23 || minutes > 59)
		return false;
	*offset = (hours * 60 + minutes) * (behind ? 60 : -60);
	return true;
}

bool
sluice_instant_parse_timestamp(const char *text, size_t length, int64_t *seconds, int32_t *nanos)
{
	const char *at = text;
	const char *end = text + length;
	int			year;
	int			month;
	int			day;
	int			hour;
	int			minute;
	int			second;
	int			offset;

	if (!read_digits(&at, end, 4, &year) || !read_char(&at, end, '-') ||
		!read_digits(&at, end, 2, &month) || !read_char(&at, end, '-') ||
		!read_digits(&at, end, 2, &day) ||
		!(read_char(&at, end, 'T') || read_char(&at, end, 't') || read_char(&at, end, ' ')) ||
		!read_digits(&at, end, 2, &hour) || !read_char(&at, end, ':') ||
		!read_digits(&at, end, 2, &minute) || !read_char(&at, end, ':') ||
		!read_digits(&at, end, 2, &second) ||
		!read_fraction(&at, end, nanos) || !read_zone(&at, end, &offset) || at != end)
		return false;
	if (month < 1 || month > 12 || day < 1 || day > days_of_month(year, month) ||
		hour > 23 || minute > 59 || second > 59)
		return false;
	*seconds = days_from_civil(year, month, day) * SECONDS_PER_DAY + hour * 3600 + minute * 60 + second + offset;
	return *seconds >= TIMESTAMP_MIN && *seconds <= TIMESTAMP_MAX;
}

bool
sluice_instant_parse_duration(const char *text, size_t length, int64_t *seconds, int32_t *nanos)
{
	const char *at = text;
	const char *end = text + length;
	bool		negative = read_char(&at, end, '-');
	const char *digits = at;

	*seconds = 0;
	for (; at < end && *at >= '0' && *at <= '9'; at++)
	{
		*seconds = *seconds * 10 + (*at - '0');
		if (*seconds > DURATION_MAX)
			return false;
	}
	if (at == digits || !read_fraction(&at, end, nanos) || !read_char(&at, end, 's') || at != end)
		return false;
	if (negative)
	{
		*seconds = -*seconds;
		*nanos = -*nanos;
	}
	return true;
}

void
sluice_instant_to_timestamp(int64_t point, int64_t *seconds, int32_t *nanos)
{
	int64_t		whole = point / MICROSECONDS;
	int64_t		rest = point % MICROSECONDS;

	if (rest < 0)
	{
		rest += MICROSECONDS;
		whole--;
	}
	*seconds = whole + EPOCH_SECONDS;
	*nanos = (int32_t) (rest * 1000);
}

bool
sluice_instant_to_duration(int64_t span, int64_t *seconds, int32_t *nanos)
{
	*seconds = span / MICROSECONDS;
	*nanos = (int32_t) (span % MICROSECONDS * 1000);
	return *seconds >= -DURATION_MAX && *seconds <= DURATION_MAX;
}
