/*
 * trim_test.c
 *		Free memory goes back to the system, also where malloc would keep it.
 */
#include "endpoint/trim.h"
#include "tap.h"

#include <stdlib.h>
#include <unistd.h>

/* As gRPC's buffers; 64 MB of them. */
#define CHUNK ((size_t) 64 * 1024)
#define CHUNKS 1024
#define MB ((size_t) 1024 * 1024)

static void *chunks[CHUNKS + 1];

static size_t
resident(void)
{
	FILE	   *file = fopen("/proc/self/statm", "r");
	unsigned long pages = 0;

	if (file != NULL && fscanf(file, "%*u %lu", &pages) != 1)
		pages = 0;
	if (file != NULL)
		fclose(file);
	return pages * (size_t) sysconf(_SC_PAGESIZE);
}

/* Returns what is left behind them, so that they are not free at the end of the arena. */
static void *
peak(void)
{
	void	   *last;

	for (int i = 0; i < CHUNKS; i++)
	{
		chunks[i] = malloc(CHUNK);
		memset(chunks[i], 1, CHUNK);
	}
	last = malloc(100);
	for (int i = 0; i < CHUNKS; i++)
		free(chunks[i]);
	return last;
}

static void
free_memory_is_given_back(void)
{
	SluiceTrim	trim = {0};
	size_t		before;
	void	   *last;

	sluice_trim_look(&trim);
	before = resident();
	last = peak();
	ok(resident() > before + 48 * MB, "malloc keeps what was freed: %zu MB", (resident() - before) / MB);
	sluice_trim_look(&trim);
	ok(resident() < before + 8 * MB, "a look gives it back: %zu MB are left", (resident() - before) / MB);
	free(last);
	last = peak();
	sluice_trim_look(&trim);
	ok(resident() < before + 8 * MB, "the second time too: %zu MB are left", (resident() - before) / MB);
	free(last);
}

/* A look while all is in use finds nothing to give back; later ones do. */
static void
memory_in_use_is_looked_at_again(void)
{
	SluiceTrim	trim = {0};
	size_t		before;
	void	   *last;
	int			looks = 0;

	sluice_trim_look(&trim);
	before = resident();
	for (int i = 0; i < CHUNKS; i++)
		memset(chunks[i] = malloc(CHUNK), 1, CHUNK);
	last = malloc(100);
	for (int i = 0; i < 4; i++)
		sluice_trim_look(&trim);
	ok(resident() > before + 48 * MB, "memory in use stays");
	for (int i = 0; i < CHUNKS; i++)
		free(chunks[i]);
	while (resident() > before + 8 * MB && looks++ < 60)
		sluice_trim_look(&trim);
	ok(looks > 0 && looks <= 8, "and is given back when it is free, after %d looks", looks);
	free(last);
}

int
main(void)
{
	free_memory_is_given_back();
	memory_in_use_is_looked_at_again();
	return finish();
}
