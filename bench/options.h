/*
 * options.h
 *		What the programs of the benchmark are told on their command line.
 */
#ifndef BENCH_OPTIONS_H
#define BENCH_OPTIONS_H

#include <stddef.h>
#include <stdint.h>

#include "records.h"

typedef struct BenchOptions
{
	const char *conninfo;
	const char *mode;
	const char *format;			/* of COPY: csv or binary */
	const char *stream;			/* of sluice.ingest */
	int			redis_port;
	RecordsKeys keys;
	size_t		records;
	size_t		batch;			/* records a transaction */
	size_t		piece;			/* records a COPY; 0: as batch */
	uint64_t	seed;
	const char *server;			/* of pg_sluice */
	const char *encoding;		/* of rows that are delivered */
	size_t		consumers;
	size_t		rate;			/* rows a second */
} BenchOptions;

extern void options_read(BenchOptions *options, int argc, char **argv);

#endif							/* BENCH_OPTIONS_H */
