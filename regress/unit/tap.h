/*
 * tap.h
 *		Test Anything Protocol for the unit tests: ok() a line, finish() at the end.
 */
#ifndef SLUICE_TAP_H
#define SLUICE_TAP_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static int	tap_count;
static int	tap_failed;

static inline bool __attribute__((format(printf, 2, 3)))
ok(bool passed, const char *format,...)
{
	va_list		arguments;

	tap_count++;
	tap_failed += !passed;
	printf("%sok %d - ", passed ? "" : "not ", tap_count);
	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	printf("\n");
	return passed;
}

static inline bool
is_text(const char *got, const char *expected, const char *name)
{
	bool		passed = strcmp(got, expected) == 0;

	ok(passed, "%s", name);
	if (!passed)
		printf("#      got: %s\n# expected: %s\n", got, expected);
	return passed;
}

static inline bool
is_number(long long got, long long expected, const char *name)
{
	bool		passed = got == expected;

	ok(passed, "%s", name);
	if (!passed)
		printf("#      got: %lld\n# expected: %lld\n", got, expected);
	return passed;
}

static inline int
finish(void)
{
	printf("1..%d\n", tap_count);
	if (tap_failed > 0)
		printf("# %d of %d failed\n", tap_failed, tap_count);
	return tap_failed > 0;
}

#endif							/* SLUICE_TAP_H */
