/*
 * guard.c
 *		Keeps clients that flood the worker from taking its time.
 *
 * The noise of a connection is what it has received, as long as none of its calls is
 * let in, and something for each call that came to nothing.  Some of it is not noise but
 * was not taken yet: what calls send that wait to be let in.  Only what goes beyond that, the
 * surplus, counts against the network, each byte once.
 */
#include "guard.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#include "log.h"
#include "penalty.h"
#include "sockets.h"
#include "strain.h"

#define SECOND_US ((int64_t) 1000 * 1000)

/* Between two looks, while there is much to do and else.  With many connections looking takes at most that part of the time. */
#define BUSY_TICK_US ((int64_t) 10 * 1000)
#define IDLE_TICK_US ((int64_t) 50 * 1000)
#define LOOKING_PART 20

/* Looks without much to do after which it begins anew. */
#define CALM_TICKS 20

/* Bytes of each connection that are nobody's business: its handshakes; and a second. */
#define CONNECTION_BYTES ((int64_t) 16 * 1024)
#define CONNECTION_LEAK ((int64_t) 4 * 1024)

/* What a call that came to nothing counts as: it costs more than its bytes do. */
#define VOID_BYTES 256

/* The surplus of a connection that is reset when its network is shut out.  Others of it may be innocent. */
#define RESET_SURPLUS ((int64_t) 16 * 1024)

/* A connection, at one look. */
typedef struct Reading
{
	SluiceSocket socket;
	int64_t		noise;
	int64_t		surplus;
	int64_t		charged;		/* of it, to the network */
	bool		trusted;
	bool		gone_on;		/* it is there at the look after this one */
} Reading;

typedef struct Readings
{
	Reading    *list;			/* by cookie */
	size_t		n;
	size_t		capacity;
} Readings;

struct SluiceGuard
{
	SluiceGuardSettings settings;
	pthread_t	thread;
	pthread_mutex_t mutex;		/* for the penalties and stopping */
	pthread_cond_t stop;
	bool		stopping;
	SluicePenalties penalties;
	_Atomic bool any_shut_out;
	_Atomic uint64_t total;

	/* The thread's own. */
	SluiceSockets sockets;
	Readings	now;
	Readings	before;
	bool		listening;		/* there was a look before this one, and it was complete */
	int64_t		looked_at;
	_Atomic bool resting;
	int			calm;
	int64_t		ticked_at;
	SluiceStrain strains[2];
	SluiceOrigin fresh[SLUICE_PENALTIES_MAX];	/* shut out since the last look, not barred yet */
	int			nfresh;
	bool		cannot_bar;		/* and said so */
};

static int64_t
monotonic_us(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (int64_t) time.tv_sec * SECOND_US + time.tv_nsec / 1000;
}

/* ---- readings ---- */

static int
by_cookie(const void *a, const void *b)
{
	uint64_t	one = ((const Reading *) a)->socket.cookie;
	uint64_t	other = ((const Reading *) b)->socket.cookie;

	return one < other ? -1 : one > other;
}

static Reading *
reading_before(const SluiceGuard *guard, const Reading *reading)
{
	return guard->before.n == 0 ? NULL : bsearch(reading, guard->before.list, guard->before.n, sizeof(Reading), by_cookie);
}

/* NULL: no memory; then the rest of them is not looked at. */
static Reading *
add_reading(Readings *readings)
{
	if (readings->n == readings->capacity)
	{
		size_t		capacity = readings->capacity * 2 + 64;
		Reading    *list = realloc(readings->list, capacity * sizeof(Reading));

		if (list == NULL)
			return NULL;
		readings->list = list;
		readings->capacity = capacity;
	}
	return &readings->list[readings->n++];
}

static int64_t
positive(int64_t n)
{
	return n > 0 ? n : 0;
}

/* So many bytes of noise come from the network of a connection. */
static void
hear(SluiceGuard *guard, const Reading *reading, int64_t bytes)
{
	SluiceOrigin network = sluice_origin_of(&reading->socket.peer);
	char		text[SLUICE_ORIGIN_TEXT];
	const SluicePenalty *penalty;

	pthread_mutex_lock(&guard->mutex);
	penalty = sluice_penalties_hear(&guard->penalties, &network, bytes, guard->ticked_at);
	pthread_mutex_unlock(&guard->mutex);
	if (penalty == NULL)
		return;
	guard->fresh[guard->nfresh++] = network;
	atomic_store(&guard->any_shut_out, true);
	atomic_fetch_add(&guard->total, 1);
	sluice_origin_print(&network, text);
	sluice_log_put('L', "%s is shut out for %" PRId64 " ms: it floods the worker (sluice.penalty_time)",
				   text, (penalty->ends_at - guard->ticked_at) / 1000);
}

/* How noisy it has been since the look before. */
static void
judge(SluiceGuard *guard, Reading *reading, const SluiceTalk *talk, int64_t elapsed)
{
	Reading    *before = reading_before(guard, reading);
	int64_t		received = (int64_t) (reading->socket.received - (before == NULL ? 0 : before->socket.received));
	int64_t		noise = before == NULL ? 0 : before->noise;

	if (before != NULL)
		before->gone_on = true;
	reading->trusted = talk->trusted;
	reading->charged = before == NULL ? 0 : before->charged;
	/* What was noise is none where it led to a call that is let in. */
	if (talk->trusted && !(before != NULL && before->trusted))
		noise = reading->charged = 0;
	noise += talk->voids * VOID_BYTES + (talk->trusted ? 0 : received);
	reading->noise = positive(noise - elapsed * CONNECTION_LEAK / SECOND_US);
	reading->surplus = positive(reading->noise - CONNECTION_BYTES - talk->calls * guard->settings.call_bytes);
	if (reading->surplus <= reading->charged)
		return;
	hear(guard, reading, reading->surplus - reading->charged);
	reading->charged = reading->surplus;
}

/* A connection that was closed takes nothing with it. */
static void
judge_gone(SluiceGuard *guard)
{
	for (size_t i = 0; i < guard->before.n; i++)
	{
		const Reading *reading = &guard->before.list[i];
		int64_t		left = reading->noise - CONNECTION_BYTES - reading->charged;

		if (!reading->gone_on && !reading->trusted && left > 0)
			hear(guard, reading, left);
	}
}

static Readings
swap_readings(SluiceGuard *guard)
{
	Readings	spare = guard->before;

	guard->before = guard->now;
	spare.n = 0;
	return spare;
}

/* False: not all connections were seen. */
static bool
look_at_all(SluiceGuard *guard, int64_t elapsed)
{
	SluiceSocket socket;

	sluice_sockets_rewind(&guard->sockets);
	while (sluice_sockets_next(&guard->sockets, &socket))
	{
		Reading    *reading;
		SluiceTalk	talk;

		if (socket.listens)
			continue;
		if ((reading = add_reading(&guard->now)) == NULL)
			return false;
		*reading = (Reading) {.socket = socket};
		talk = sluice_noise_take(guard->settings.noise, &socket.peer);
		if (guard->listening)
			judge(guard, reading, &talk, elapsed);
	}
	return errno == 0;
}

static void
look(SluiceGuard *guard)
{
	int64_t		elapsed = guard->ticked_at - guard->looked_at;
	bool		complete;

	guard->looked_at = guard->ticked_at;
	guard->now = swap_readings(guard);
	complete = look_at_all(guard, elapsed);
	if (complete && guard->listening)
		judge_gone(guard);
	guard->listening = complete;
	if (guard->now.n > 0)
		qsort(guard->now.list, guard->now.n, sizeof(Reading), by_cookie);
}

static void
forget(SluiceGuard *guard)
{
	guard->listening = false;
	free(guard->now.list);
	free(guard->before.list);
	guard->now = guard->before = (Readings) {0};
}

/* ---- shutting out ---- */

bool
sluice_guard_shuts_out(SluiceGuard *guard, const struct sockaddr_storage *address)
{
	SluiceOrigin network;
	bool		out;

	if (guard == NULL || !atomic_load_explicit(&guard->any_shut_out, memory_order_relaxed))
		return false;
	network = sluice_origin_of(address);
	pthread_mutex_lock(&guard->mutex);
	out = sluice_penalties_shut_out(&guard->penalties, &network);
	pthread_mutex_unlock(&guard->mutex);
	return out;
}

static void
reset_noisy(SluiceGuard *guard)
{
	for (size_t i = 0; i < guard->now.n; i++)
	{
		const Reading *reading = &guard->now.list[i];

		if (reading->surplus >= RESET_SURPLUS && sluice_guard_shuts_out(guard, &reading->socket.peer))
			sluice_sockets_reset(&guard->sockets, &reading->socket);
	}
}

/* Of who is shut out nothing new is to come; of others it may. */
static void
bar(SluiceGuard *guard, const SluiceOrigin *network, bool barred)
{
	SluiceSocket socket;

	sluice_sockets_rewind(&guard->sockets);
	while (sluice_sockets_next(&guard->sockets, &socket))
	{
		if (!socket.listens || sluice_sockets_bar(&guard->sockets, &socket, network, barred) || guard->cannot_bar)
			continue;
		guard->cannot_bar = true;
		sluice_log_put('W', "clients that are shut out can connect again at once: the system cannot bar them (TCP_MD5SIG): %s",
					   strerror(errno));
	}
}

/* Whose time is over. */
static void
lift(SluiceGuard *guard, int64_t now)
{
	SluiceOrigin network;
	bool		lifted;

	do
	{
		pthread_mutex_lock(&guard->mutex);
		lifted = sluice_penalties_lift(&guard->penalties, now, &network);
		atomic_store(&guard->any_shut_out, guard->penalties.nshut_out > 0);
		pthread_mutex_unlock(&guard->mutex);
		if (lifted)
			bar(guard, &network, false);
	} while (lifted);
}

/* ---- the thread ---- */

static bool
is_busy(SluiceGuard *guard, int64_t elapsed)
{
	bool		busy = false;

	for (int i = 0; i < 2; i++)
		busy |= sluice_strain_felt(&guard->strains[i], elapsed);
	return busy;
}

/* One look.  The time of the next one. */
static int64_t
tick(SluiceGuard *guard)
{
	int64_t		now = monotonic_us();
	int64_t		elapsed = now - guard->ticked_at;
	bool		busy = is_busy(guard, elapsed);
	int64_t		wait;

	guard->ticked_at = now;
	lift(guard, now);
	guard->calm = busy ? 0 : guard->calm + 1;
	if (busy && !atomic_load(&guard->resting))
	{
		look(guard);
		while (guard->nfresh > 0)
			bar(guard, &guard->fresh[--guard->nfresh], true);
		reset_noisy(guard);
	}
	else if (guard->calm == CALM_TICKS)
		forget(guard);
	wait = guard->calm < CALM_TICKS ? BUSY_TICK_US : IDLE_TICK_US;
	now = monotonic_us();
	return now + (wait > (now - guard->ticked_at) * LOOKING_PART ? wait : (now - guard->ticked_at) * LOOKING_PART);
}

static bool
wait_until(SluiceGuard *guard, int64_t until)
{
	struct timespec time = {until / SECOND_US, until % SECOND_US * 1000};
	bool		go_on;

	pthread_mutex_lock(&guard->mutex);
	while (!guard->stopping && pthread_cond_timedwait(&guard->stop, &guard->mutex, &time) != ETIMEDOUT)
		;
	go_on = !guard->stopping;
	pthread_mutex_unlock(&guard->mutex);
	return go_on;
}

static void *
run(void *arg)
{
	SluiceGuard *guard = arg;

	prctl(PR_SET_NAME, "sluice guard");
	while (wait_until(guard, tick(guard)))
		;
	forget(guard);
	return NULL;
}

static bool
open_all(SluiceGuard *guard)
{
	const SluiceGuardSettings *settings = &guard->settings;

	guard->strains[0].fd = guard->strains[1].fd = -1;
	return sluice_sockets_open(&guard->sockets, settings->port) &&
		sluice_strain_open(&guard->strains[0], settings->threads[0]) &&
		sluice_strain_open(&guard->strains[1], settings->threads[1]);
}

static void
close_all(SluiceGuard *guard)
{
	sluice_sockets_close(&guard->sockets);
	sluice_strain_close(&guard->strains[0]);
	sluice_strain_close(&guard->strains[1]);
}

SluiceGuard *
sluice_guard_start(const SluiceGuardSettings *settings)
{
	SluiceGuard *guard = calloc(1, sizeof(*guard));
	pthread_condattr_t attributes;

	if (guard == NULL)
		return NULL;
	guard->settings = *settings;
	guard->penalties.time = settings->penalty_us;
	guard->calm = CALM_TICKS;
	pthread_mutex_init(&guard->mutex, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&guard->stop, &attributes);
	pthread_condattr_destroy(&attributes);
	if (open_all(guard) && (errno = pthread_create(&guard->thread, NULL, run, guard)) == 0)
		return guard;
	close_all(guard);
	free(guard);
	return NULL;
}

void
sluice_guard_stop(SluiceGuard *guard)
{
	if (guard == NULL)
		return;
	pthread_mutex_lock(&guard->mutex);
	guard->stopping = true;
	pthread_cond_signal(&guard->stop);
	pthread_mutex_unlock(&guard->mutex);
	pthread_join(guard->thread, NULL);
	close_all(guard);
	free(guard);
}

void
sluice_guard_rest(SluiceGuard *guard)
{
	if (guard != NULL)
		atomic_store(&guard->resting, true);
}

uint64_t
sluice_guard_penalties(SluiceGuard *guard)
{
	return guard == NULL ? 0 : atomic_load(&guard->total);
}
