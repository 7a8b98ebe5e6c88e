/*
 * memory.c
 *		Memory for the programs of this directory, which cannot go on without.
 *
 * All that is unacknowledged is bounded by the window, so running out of
 * memory means that the machine has none; the sender's next run resends.
 */
#include "memory.h"

#include <stdlib.h>
#include <unistd.h>

#include "exit_status.h"

static void
out_of_memory(void)
{
	static const char message[] = "sluice: out of memory\n";

	ssize_t		written = write(STDERR_FILENO, message, sizeof(message) - 1);

	(void) written;				/* nothing else could be done about it */
	_exit(SLUICE_EXIT_GAVE_UP);
}

void *
sluice_memory_get(size_t size)
{
	void	   *memory = malloc(size > 0 ? size : 1);

	if (memory == NULL)
		out_of_memory();
	return memory;
}

void *
sluice_memory_get_zeroed(size_t size)
{
	void	   *memory = calloc(1, size > 0 ? size : 1);

	if (memory == NULL)
		out_of_memory();
	return memory;
}

void *
sluice_memory_resize(void *memory, size_t size)
{
	void	   *resized = realloc(memory, size > 0 ? size : 1);

	if (resized == NULL)
		out_of_memory();
	return resized;
}
