/*
 * tail_test.c
 *		The number that was given out last outlives the process, not the identity.
 */
#include "tap.h"

#include <signal.h>
#include <stdint.h>
#include <sys/wait.h>

#include "../lib/tail.h"
#include "buffer_directory.h"

static const uint8_t one[16] = "the one producer";
static const uint8_t other[16] = "another producer";
static char directory[256];

static bool
tail_is(const uint8_t *producer, uint64_t expected)
{
	SluiceTail *tail = sluice_tail_open(directory, producer);
	uint64_t	last = 0;
	bool		same = tail != NULL && sluice_tail_read(tail, &last) && last == expected;

	sluice_tail_close(tail);
	return same;
}

static bool
tail_unknown(const uint8_t *producer)
{
	SluiceTail *tail = sluice_tail_open(directory, producer);
	uint64_t	last;
	bool		unknown = tail != NULL && !sluice_tail_read(tail, &last);

	sluice_tail_close(tail);
	return unknown;
}

/* A child gives out numbers and dies without closing anything. */
static void
die_after(uint64_t last)
{
	pid_t		child = fork();
	int			status;

	if (child == 0)
	{
		SluiceTail *tail = sluice_tail_open(directory, one);

		for (uint64_t number = 1; tail != NULL && number <= last; number++)
			sluice_tail_write(tail, number);
		kill(getpid(), SIGKILL);
	}
	waitpid(child, &status, 0);
}

static void
change_byte(size_t at)
{
	size_t		size;
	char	   *bytes = file_read(directory, "tail", &size);

	bytes[at] ^= 1;
	file_write(directory, "tail", bytes, size);
	free(bytes);
}

int
main(void)
{
	directory_make(directory);
	ok(tail_unknown(one), "a new tail knows nothing");
	ok(tail_unknown(one), "a run that gave out nothing leaves nothing");
	die_after(70000);
	ok(tail_is(one, 70000), "what a killed process gave out last is known");
	ok(tail_is(one, 70000), "and stays known when the next run gives out nothing");
	change_byte(12);
	ok(tail_unknown(one), "a tail of another boot does not count");
	die_after(7);
	ok(tail_is(one, 7), "after which it counts anew");
	ok(tail_unknown(other), "a tail of another producer does not count");
	ok(tail_unknown(one), "and its own is gone then");
	file_write(directory, "tail", "garbage", 7);
	ok(tail_unknown(one), "a short file of garbage does not count");
	ok(sluice_tail_open("/nonexistent/directory", one) == NULL, "no directory: no tail");
	directory_remove(directory);
	return done_testing();
}
