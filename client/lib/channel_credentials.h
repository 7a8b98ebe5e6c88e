/*
 * channel_credentials.h
 *		How a producer shows who it is, and knows who the server is.
 */
#ifndef SLUICE_LIB_CHANNEL_CREDENTIALS_H
#define SLUICE_LIB_CHANNEL_CREDENTIALS_H

#include <grpc/grpc_security.h>

#include "error.h"
#include "settings.h"

/* The files are read now: a certificate that is renewed takes effect with the next connection.  NULL: see error. */
extern grpc_channel_credentials *sluice_channel_credentials(const SluiceSettings *settings, SluiceError *error);

/* "Basic …" of user and password; *value is NULL where there is no user, else to be given back.  ERROR_MEMORY. */
extern int sluice_channel_authorization(const SluiceSettings *settings, char **value);
extern void sluice_channel_authorization_free(char *value);

#endif							/* SLUICE_LIB_CHANNEL_CREDENTIALS_H */
