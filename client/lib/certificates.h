/*
 * certificates.h
 *		Are these the certificates and the key that they are said to be?
 *
 * gRPC takes anything and then fails without a reason.
 */
#ifndef SLUICE_LIB_CERTIFICATES_H
#define SLUICE_LIB_CERTIFICATES_H

#include "error.h"

/* Certificates to trust, in PEM; path is for people.  ERROR_OPTION. */
extern int sluice_certificates_check_trusted(const char *path, const char *pem, SluiceError *error);

/* A certificate of one's own and its key.  ERROR_OPTION. */
extern int sluice_certificates_check_pair(const char *cert_path, const char *cert, const char *key_path, const char *key,
										  SluiceError *error);

#endif							/* SLUICE_LIB_CERTIFICATES_H */
