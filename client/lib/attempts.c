/*
 * attempts.c
 *		Which server is tried next, and when.
 */
#include "attempts.h"

#include <string.h>
#include <sys/random.h>

#include "../clock.h"

#define RECONNECT_WITHIN ((uint64_t) SLUICE_SECOND)

/* A password is not shown to a network that reads along. */
static int
check_password(const SluiceSettings *settings, const SluiceEndpoints *endpoints, SluiceError *error)
{
	if (settings->tls || settings->user == NULL || *settings->user == '\0')
		return SLUICE_OK;
	for (size_t i = 0; i < endpoints->count; i++)
	{
		if (!endpoints->list[i].local)
			return sluice_error_set(error, SLUICE_ERROR_OPTION, "user and password cannot be sent to \"%s\" without tls",
									endpoints->list[i].name);
	}
	return SLUICE_OK;
}

int
sluice_attempts_init(SluiceAttempts *attempts, const SluiceSettings *settings, SluiceError *error)
{
	int			code;

	memset(attempts, 0, sizeof(*attempts));
	attempts->settings = settings;
	code = sluice_endpoints_read(&attempts->endpoints, settings->server, error);
	if (code == SLUICE_OK)
		code = check_password(settings, &attempts->endpoints, error);
	if (code == SLUICE_OK && sluice_passwords_init(&attempts->passwords, settings) != SLUICE_OK)
		code = sluice_error_set(error, SLUICE_ERROR_MEMORY, "out of memory");
	if (code != SLUICE_OK)
		sluice_endpoints_release(&attempts->endpoints);
	return code;
}

void
sluice_attempts_release(SluiceAttempts *attempts)
{
	sluice_passwords_release(&attempts->passwords);
	sluice_endpoints_release(&attempts->endpoints);
}

static uint64_t
random_bits(void)
{
	uint64_t	random;

	/* A device that has just booted may have no randomness yet, and must not wait for it. */
	if (getrandom(&random, sizeof(random), GRND_NONBLOCK) != (ssize_t) sizeof(random))
		random = (uint64_t) sluice_clock_now() * 0x9E3779B97F4A7C15ull >> 20;
	return random;
}

void
sluice_attempts_achieved(SluiceAttempts *attempts)
{
	sluice_backoff_reset(&attempts->backoff);
}

void
sluice_attempts_opened(SluiceAttempts *attempts)
{
	attempts->refusals = 0;
}

static int64_t
next_backoff(SluiceAttempts *attempts)
{
	return sluice_backoff_next(&attempts->backoff, attempts->settings->backoff_first,
							   attempts->settings->backoff_last, random_bits());
}

/* 0: the server has no wish. */
static int64_t
follow_hint(const SluiceAttempts *attempts, int64_t hint)
{
	return hint != SLUICE_BACKOFF_NO_HINT ? sluice_backoff_hinted(hint, attempts->settings->backoff_last, random_bits()) : 0;
}

int64_t
sluice_attempts_again(SluiceAttempts *attempts, bool achieved, int64_t hint)
{
	int64_t		wished = follow_hint(attempts, hint);

	attempts->refusals = 0;
	sluice_endpoints_failed(&attempts->endpoints, achieved);
	return wished != 0 ? wished : next_backoff(attempts);
}

int64_t
sluice_attempts_refused(SluiceAttempts *attempts, bool achieved, int64_t hint)
{
	bool		everywhere = ++attempts->refusals >= attempts->endpoints.count;
	int64_t		wished = follow_hint(attempts, hint);

	sluice_endpoints_failed(&attempts->endpoints, achieved);
	if (wished != 0)
		return wished;
	return everywhere ? sluice_backoff_longest(attempts->settings->backoff_last, random_bits()) :
		next_backoff(attempts);
}

int64_t
sluice_attempts_reconnect(SluiceAttempts *attempts)
{
	attempts->refusals = 0;
	return (int64_t) (random_bits() % RECONNECT_WITHIN);
}
