/*
 * secret.h
 *		Is a password the one that a SCRAM secret was made of?
 *
 * Plain C.  This is meant to take long (some milliseconds), so it is done in a thread
 * beside (errand.h).
 */
#ifndef SLUICE_SECRET_H
#define SLUICE_SECRET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SLUICE_SECRET_KEY_SIZE 32
#define SLUICE_SECRET_SALT_MAX 128

/* A third of a second.  A role may give itself a secret with any number: nobody else is to wait for it. */
#define SLUICE_SECRET_ITERATIONS_MAX 500000

/* What the server keeps of a password, by RFC 5802 with SHA-256. */
typedef struct SluiceSecret
{
	uint8_t		salt[SLUICE_SECRET_SALT_MAX];
	size_t		salt_length;
	int			iterations;
	uint8_t		stored_key[SLUICE_SECRET_KEY_SIZE];
} SluiceSecret;

/* The password is normalized already (SASLprep). */
extern bool sluice_secret_fits(const SluiceSecret *secret, const char *password);

#endif							/* SLUICE_SECRET_H */
