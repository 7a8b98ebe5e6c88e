/*
 * trim.c
 *		Memory that the process does not use any more goes back to the system.
 *
 * gRPC reads into buffers of up to 64 kB, which malloc takes from its arenas.
 * Of an arena it gives back only what lies free at the end: after a peak, one
 * small piece there keeps all the rest.  (What came of six messages of 100 MB at
 * once was kept for ever, though only to be used again.)
 */
#include "trim.h"

#include <malloc.h>
#include <stdio.h>
#include <unistd.h>

/* Free memory that is not worth the trouble. */
#define WORTHWHILE ((size_t) 16 * 1024 * 1024)

#define PATIENCE_MAX 60

/* The process's own memory, in bytes; 0: not known. */
static size_t
anonymous_memory(void)
{
	FILE	   *file = fopen("/proc/self/statm", "re");
	unsigned long resident = 0;
	unsigned long shared = 0;

	if (file == NULL)
		return 0;
	if (fscanf(file, "%*u %lu %lu", &resident, &shared) != 2 || resident < shared)
		resident = shared = 0;
	fclose(file);
	return (resident - shared) * (size_t) sysconf(_SC_PAGESIZE);
}

/*
 * What malloc keeps and what it has given out look the same from outside.  So a try
 * in vain says nothing about the next one, only that it need not come soon.
 */
void
sluice_trim_look(SluiceTrim *trim)
{
	size_t		before;
	size_t		after;

	if (trim->left > 0)
	{
		trim->left--;
		return;
	}
	before = anonymous_memory();
	if (trim->least == 0 || before < trim->least)
		trim->least = before;
	if (before - trim->least < WORTHWHILE)
		return;
	malloc_trim(0);
	after = anonymous_memory();
	if (after < before && before - after >= WORTHWHILE)
		trim->patience = 0;
	else if (trim->patience < PATIENCE_MAX)
		trim->patience = trim->patience * 2 + 1;
	trim->left = trim->patience;
}
