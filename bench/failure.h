/*
 * failure.h
 *		A benchmark that cannot go on says why and ends: no figure is better
 *		than a wrong one.
 */
#ifndef BENCH_FAILURE_H
#define BENCH_FAILURE_H

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

__attribute__((format(printf, 1, 2), noreturn))
static inline void
failure_exit(const char *format,...)
{
	va_list		args;

	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(1);
}

#endif							/* BENCH_FAILURE_H */
