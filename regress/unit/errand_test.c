/*
 * errand_test.c
 *		Work for a thread beside: its order, and what is withdrawn before the thread has begun it.
 */
#include "endpoint/errand.h"

#include <poll.h>
#include <semaphore.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "tap.h"

typedef struct Errand
{
	SluiceErrand errand;		/* first, for the casts */
	char		name;
} Errand;

static sem_t begun;
static sem_t go_on;

static void
nothing(SluiceErrand *errand)
{
	(void) errand;
}

static void
wait_in_thread(SluiceErrand *errand)
{
	(void) errand;
	sem_post(&begun);
	sem_wait(&go_on);
}

static Errand *
add(SluiceErrands *errands, char name, void (*run) (SluiceErrand *))
{
	Errand	   *errand = calloc(1, sizeof(*errand));

	errand->errand.run = run;
	errand->name = name;
	sluice_errands_add(errands, &errand->errand);
	return errand;
}

static bool
withdraw(SluiceErrands *errands, Errand *errand)
{
	if (!sluice_errands_withdraw(errands, &errand->errand))
		return false;
	free(errand);
	return true;
}

/* The names of so many, as they are done. */
static const char *
take(SluiceErrands *errands, int wakeup_fd, size_t count)
{
	static char names[16];
	size_t		n = 0;

	while (n < count)
	{
		struct pollfd event = {.fd = wakeup_fd,.events = POLLIN};
		Errand	   *errand = (Errand *) sluice_errands_take(errands);
		eventfd_t	woken;

		if (errand == NULL)
		{
			if (poll(&event, 1, 10000) == 1)
				(void) eventfd_read(wakeup_fd, &woken);
			else
				break;
			continue;
		}
		names[n++] = errand->name;
		free(errand);
	}
	names[n] = '\0';
	return names;
}

/* The thread is kept busy by an errand, and waits with the others, of which some are withdrawn: their names. */
static const char *
done_without(SluiceErrands *errands, int wakeup_fd, const char *withdrawn)
{
	Errand	   *busy = add(errands, '0', wait_in_thread);
	Errand	   *waiting[4];

	sem_wait(&begun);
	for (int i = 0; i < 4; i++)
		waiting[i] = add(errands, (char) ('a' + i), nothing);
	ok(!withdraw(errands, busy), "what the thread has begun is not withdrawn");
	for (const char *name = withdrawn; *name != '\0'; name++)
		ok(withdraw(errands, waiting[*name - 'a']), "\"%c\" is withdrawn", *name);
	add(errands, 'z', nothing);
	sem_post(&go_on);
	return take(errands, wakeup_fd, 1 + 4 - strlen(withdrawn) + 1);
}

int
main(void)
{
	int			wakeup_fd = eventfd(0, EFD_CLOEXEC);
	SluiceErrands *errands = sluice_errands_start("errands", wakeup_fd);

	sem_init(&begun, 0, 0);
	sem_init(&go_on, 0, 0);
	is_text(done_without(errands, wakeup_fd, ""), "0abcdz", "in their order");
	is_text(done_without(errands, wakeup_fd, "a"), "0bcdz", "without the first one");
	is_text(done_without(errands, wakeup_fd, "bc"), "0adz", "without those between");
	is_text(done_without(errands, wakeup_fd, "d"), "0abcz", "without the last one");
	is_text(done_without(errands, wakeup_fd, "dcab"), "0z", "without all");
	sluice_errands_stop(errands);
	close(wakeup_fd);
	return finish();
}
