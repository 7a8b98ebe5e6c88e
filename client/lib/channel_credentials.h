/*
 * channel_credentials.h
 *		How a producer shows who it is, and knows who the server is.
 */
#ifndef SLUICE_LIB_CHANNEL_CREDENTIALS_H
#define SLUICE_LIB_CHANNEL_CREDENTIALS_H

#include <grpc/grpc_security.h>

#include "endpoints.h"
#include "error.h"
#include "passwords.h"
#include "settings.h"

/* The files are read now: a certificate that is renewed takes effect with the next connection.  NULL: see error. */
extern grpc_channel_credentials *sluice_channel_credentials(const SluiceSettings *settings, SluiceError *error);

/*
 * "Basic ..." of the user and the password for this server; *value is NULL where there is no user, else it is a secret
 * to be given back with sluice_passwords_forget().  *has_password: there was one.  ERROR_MEMORY.
 */
extern int sluice_channel_authorization(SluicePasswords *passwords, const SluiceEndpoint *endpoint, char **value,
										bool *has_password);

#endif							/* SLUICE_LIB_CHANNEL_CREDENTIALS_H */
