/*
 * measure.c
 *		Wall time, CPU time of ourselves and of servers, latencies.
 *
 * A server's CPU is the first number of /proc/PID/task/TID/schedstat, summed
 * over its threads: the scheduler's own account in nanoseconds, where
 * /proc/PID/stat counts ticks of 10 ms.  It holds user and kernel time, so the
 * reads of the socket and the fsync are in it.
 */
#include "measure.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "failure.h"

static uint64_t
read_clock(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t) now.tv_sec * UINT64_C(1000000000) + (uint64_t) now.tv_nsec;
}

uint64_t
measure_now_ns(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

static uint64_t
read_schedstat(const char *path)
{
	FILE	   *file = fopen(path, "r");
	uint64_t	ns;
	int			fields;

	if (file == NULL)
		failure_exit("could not open %s: %m", path);
	fields = fscanf(file, "%" SCNu64, &ns);
	fclose(file);
	if (fields != 1)
		failure_exit("could not read %s", path);
	return ns;
}

/* Threads that come and go in between are missed; our servers keep theirs. */
static uint64_t
read_process_cpu(pid_t pid)
{
	char		directory[64];
	char		path[sizeof(directory) + 300];
	DIR		   *tasks;
	struct dirent *task;
	uint64_t	total = 0;

	snprintf(directory, sizeof(directory), "/proc/%d/task", (int) pid);
	tasks = opendir(directory);
	if (tasks == NULL)
		failure_exit("could not open %s: %m", directory);
	while ((task = readdir(tasks)) != NULL)
	{
		if (task->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s/schedstat", directory, task->d_name);
		total += read_schedstat(path);
	}
	closedir(tasks);
	return total;
}

void
measure_add_server(Measure *measure, const char *name, pid_t pid)
{
	if (measure->nservers == MEASURE_MAX_SERVERS)
		failure_exit("more than %d servers to measure", MEASURE_MAX_SERVERS);
	measure->servers[measure->nservers].name = name;
	measure->servers[measure->nservers].pid = pid;
	measure->nservers++;
}

void
measure_keep_latencies(Measure *measure, size_t count)
{
	measure->latencies_ns = calloc(count, sizeof(uint64_t));
	if (measure->latencies_ns == NULL)
		failure_exit("out of memory for %zu latencies", count);
	measure->max_latencies = count;
}

void
measure_start(Measure *measure)
{
	for (int i = 0; i < measure->nservers; i++)
		measure->servers[i].cpu_ns = read_process_cpu(measure->servers[i].pid);
	measure->own_cpu_ns = read_clock(CLOCK_PROCESS_CPUTIME_ID);
	measure->wall_ns = measure_now_ns();
}

void
measure_latency(Measure *measure, uint64_t ns)
{
	if (measure->nlatencies < measure->max_latencies)
		measure->latencies_ns[measure->nlatencies++] = ns;
}

void
measure_stop(Measure *measure)
{
	measure->wall_ns = measure_now_ns() - measure->wall_ns;
	measure->own_cpu_ns = read_clock(CLOCK_PROCESS_CPUTIME_ID) - measure->own_cpu_ns;
	for (int i = 0; i < measure->nservers; i++)
		measure->servers[i].cpu_ns =
			read_process_cpu(measure->servers[i].pid) - measure->servers[i].cpu_ns;
}

static int
compare_ns(const void *left, const void *right)
{
	uint64_t	a = *(const uint64_t *) left;
	uint64_t	b = *(const uint64_t *) right;

	return (a > b) - (a < b);
}

static double
percentile_us(const Measure *measure, double fraction)
{
	size_t		index = (size_t) (fraction * (double) (measure->nlatencies - 1) + 0.5);

	return (double) measure->latencies_ns[index] / 1000.0;
}

void
measure_print(Measure *measure, size_t records)
{
	double		per_record = 1.0 / 1000.0 / (double) records;

	printf("{\"records\": %zu, \"seconds\": %.6f, \"records_per_s\": %.1f, \"client_cpu_us_per_record\": %.4f",
		   records,
		   (double) measure->wall_ns / 1e9,
		   (double) records * 1e9 / (double) measure->wall_ns,
		   (double) measure->own_cpu_ns * per_record);
	for (int i = 0; i < measure->nservers; i++)
		printf(", \"%s_cpu_us_per_record\": %.4f",
			   measure->servers[i].name, (double) measure->servers[i].cpu_ns * per_record);
	if (measure->nlatencies > 0)
	{
		qsort(measure->latencies_ns, measure->nlatencies, sizeof(uint64_t), compare_ns);
		printf(", \"p50_us\": %.1f, \"p99_us\": %.1f",
			   percentile_us(measure, 0.50), percentile_us(measure, 0.99));
	}
	printf("}\n");
	if (fflush(stdout) != 0)
		failure_exit("could not write the result: %m");
}
