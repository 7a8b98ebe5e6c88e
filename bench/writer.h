/*
 * writer.h
 *		Rows put in on a schedule, and when each of them came out again.
 *
 * Writer and consumers are one process, so that one clock tells when a row was due, when its
 * COMMIT had returned, and when a consumer had it.
 */
#ifndef BENCH_WRITER_H
#define BENCH_WRITER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "records.h"

/* What a row is put in with: $1 its number (from 0), $2 to $5 the four columns. */
#define WRITER_INSERT "INSERT INTO public.readings (number, device_id, \"timestamp\", temperature_celsius, humidity_percent) " \
	"VALUES ($1::int8, $2::text, $3::timestamptz, $4::float8, $5::float8)"

typedef struct Writer
{
	const char *conninfo;
	const char *statement;
	size_t		rate;			/* rows a second */
	size_t		count;
	size_t		consumers;		/* each of which is to have every row */
	pthread_t	thread;
	const BenchRecord *records;
	uint64_t   *due;
	uint64_t   *committed;		/* when COMMIT had returned */
	uint64_t   *received;		/* by consumer, then by number; 0: not yet */
	atomic_size_t ncommitted;
	atomic_size_t nreceived;
} Writer;

extern void writer_start(Writer *writer, uint64_t seed);
extern void writer_received(Writer *writer, size_t consumer, uint64_t number);
extern bool writer_is_done(const Writer *writer);
extern void writer_finish(Writer *writer);
extern void writer_print(Writer *writer);

#endif							/* BENCH_WRITER_H */
