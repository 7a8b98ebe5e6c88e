/*
 * tap.h
 *		The Test Anything Protocol, for the unit tests of the client.
 */
#ifndef SLUICE_TAP_H
#define SLUICE_TAP_H

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static int	tap_count;
static int	tap_failed;

static inline bool
ok(bool condition, const char *name)
{
	tap_count++;
	tap_failed += !condition;
	printf("%sok %d - %s\n", condition ? "" : "not ", tap_count, name);
	return condition;
}

static inline bool
is_bytes(const char *got, size_t length, const char *expected, const char *name)
{
	bool		same = length == strlen(expected) && (length == 0 || memcmp(got, expected, length) == 0);

	if (!ok(same, name))
		printf("# got \"%.*s\", expected \"%s\"\n", (int) length, got != NULL ? got : "", expected);
	return same;
}

static inline int
done_testing(void)
{
	printf("1..%d\n", tap_count);
	return tap_failed > 0;
}

#endif							/* SLUICE_TAP_H */
