/*
 * producer.h
 *		What producer.c and report.c share.
 */
#ifndef REGRESS_PRODUCER_H
#define REGRESS_PRODUCER_H

#include <stdatomic.h>
#include <stdint.h>

#include <sluice.h>

#define ERRORS 64

typedef struct Settings
{
	const char *directory;
	const char *name;
	const char *journal;
	const char *timeline;
	int			producers;
	int			threads;
	long		count;			/* -1: until SIGTERM */
	long		rate;			/* records a second of each producer; 0: as fast as it goes */
	long		size;
	long		bad_every;
	long		key_every;
	long		entities;
	long		flush;
	long		stay;
} Settings;

typedef struct Producer
{
	char		name[64];
	sluice_producer *handle;
	int			promised;		/* file descriptors, -1: no journal */
	int			delivered;
	int64_t		run;
	atomic_long next;
	atomic_long sent;
	atomic_int	fatal;
	atomic_ulong told[8];		/* records by verdict */
} Producer;

/* CLOCK_MONOTONIC in seconds. */
extern double producer_now(void);

/* A line of JSON with the memory of the process. */
extern void report_memory(const char *when);

/* The last line: errors of sluice_send() by number, and what each producer says. */
extern void report_end(const Settings *settings, const Producer *producers, const atomic_ulong errors[ERRORS]);

#endif							/* REGRESS_PRODUCER_H */
