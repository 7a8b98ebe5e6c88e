/*
 * measure.h
 *		Wall time, CPU time of ourselves and of servers, latencies; printed as
 *		one line of JSON.
 */
#ifndef BENCH_MEASURE_H
#define BENCH_MEASURE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define MEASURE_MAX_SERVERS 2

typedef struct MeasureServer
{
	const char *name;			/* of its figure: <name>_cpu_us_per_record */
	pid_t		pid;
	uint64_t	cpu_ns;			/* at the start; after measure_stop what it used */
} MeasureServer;

typedef struct Measure
{
	uint64_t	wall_ns;
	uint64_t	own_cpu_ns;
	MeasureServer servers[MEASURE_MAX_SERVERS];
	int			nservers;
	uint64_t   *latencies_ns;	/* NULL where not asked for */
	size_t		nlatencies;
	size_t		max_latencies;
} Measure;

extern uint64_t measure_now_ns(void);
extern void measure_add_server(Measure *measure, const char *name, pid_t pid);
extern void measure_keep_latencies(Measure *measure, size_t count);
extern void measure_start(Measure *measure);
extern void measure_latency(Measure *measure, uint64_t ns);
extern void measure_stop(Measure *measure);
extern void measure_print(Measure *measure, size_t records);

#endif							/* BENCH_MEASURE_H */
