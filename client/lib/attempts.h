/*
 * attempts.h
 *		Which server is tried next, and when.
 */
#ifndef SLUICE_LIB_ATTEMPTS_H
#define SLUICE_LIB_ATTEMPTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../backoff.h"
#include "endpoints.h"
#include "error.h"
#include "passwords.h"
#include "settings.h"

typedef struct SluiceAttempts
{
	const SluiceSettings *settings;
	SluiceEndpoints endpoints;
	SluicePasswords passwords;
	SluiceBackoff backoff;
	size_t		refusals;		/* in a row */
} SluiceAttempts;

/* ERROR_OPTION, ERROR_MEMORY: nothing is to be released. */
extern int sluice_attempts_init(SluiceAttempts *attempts, const SluiceSettings *settings, SluiceError *error);
extern void sluice_attempts_release(SluiceAttempts *attempts);

static inline const SluiceEndpoint *
sluice_attempts_endpoint(const SluiceAttempts *attempts)
{
	return sluice_endpoints_current(&attempts->endpoints);
}

/* Something was achieved: what went wrong before counts no more. */
extern void sluice_attempts_achieved(SluiceAttempts *attempts);

/* The server took the call. */
extern void sluice_attempts_opened(SluiceAttempts *attempts);

/*
 * The attempt failed, or the connection is lost: so many nanoseconds to the next one.
 * achieved: something was, on this connection.  hint: the server's wish, as in backoff.h, which counts more than the backoff.
 */
extern int64_t sluice_attempts_again(SluiceAttempts *attempts, bool achieved, int64_t hint);

/* The same where the server refuses.  Another one may take us; only when all of them refused there is no hurry. */
extern int64_t sluice_attempts_refused(SluiceAttempts *attempts, bool achieved, int64_t hint);

/* The server wants a new connection, and nothing failed: soon, to the same name, but not all at once. */
extern int64_t sluice_attempts_reconnect(SluiceAttempts *attempts);

#endif							/* SLUICE_LIB_ATTEMPTS_H */
