/*
 * strain.c
 *		Whether a thread of this process is short of time.
 *
 * The time that it waited for a processor counts as much as what it ran: where
 * others want the processors too, a thread that has too much to do runs for only a part of
 * the time.
 */
#include "strain.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

bool
sluice_strain_open(SluiceStrain *strain, pid_t thread)
{
	char		path[64];

	snprintf(path, sizeof(path), "/proc/self/task/%d/schedstat", (int) thread);
	strain->fd = open(path, O_RDONLY | O_CLOEXEC);
	strain->time_us = 0;
	return strain->fd >= 0;
}

void
sluice_strain_close(SluiceStrain *strain)
{
	if (strain->fd >= 0)
		close(strain->fd);
	strain->fd = -1;
}

/* 0: not known. */
static int64_t
read_time(const SluiceStrain *strain)
{
	char		text[100];
	ssize_t		length = pread(strain->fd, text, sizeof(text) - 1, 0);
	uint64_t	ran_ns;
	uint64_t	waited_ns;

	text[length > 0 ? length : 0] = '\0';
	if (sscanf(text, "%" SCNu64 " %" SCNu64, &ran_ns, &waited_ns) != 2)
		return 0;
	return (int64_t) ((ran_ns + waited_ns) / 1000);
}

bool
sluice_strain_felt(SluiceStrain *strain, int64_t elapsed)
{
	int64_t		before = strain->time_us;

	strain->time_us = read_time(strain);
	return strain->time_us == 0 || (strain->time_us - before) * 2 >= elapsed;
}
