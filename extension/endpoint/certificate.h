/*
 * certificate.h
 *		A certificate with its key and the authorities of clients: do they fit, and
 *		what does it say?
 *
 * Plain C over OpenSSL: neither PostgreSQL nor gRPC shows here.  All is in
 * memory, in PEM form, as gRPC takes it.
 */
#ifndef SLUICE_CERTIFICATE_H
#define SLUICE_CERTIFICATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct SluicePems
{
	char	   *chain;			/* the certificate, then those between it and the root */
	char	   *key;
	char	   *authorities;	/* NULL: clients are not asked for certificates */
} SluicePems;

typedef struct SluiceCertificate
{
	char		subject[256];	/* RFC 2253, so ASCII */
	char		issuer[256];
	char		serial[64];		/* hexadecimal */
	int64_t		not_before;		/* seconds since 1970 */
	int64_t		not_after;
} SluiceCertificate;

/* Which of them is at fault. */
typedef enum SluiceCertificateFault
{
	SLUICE_CERTIFICATE_GOOD,
	SLUICE_CERTIFICATE_BAD_CHAIN,
	SLUICE_CERTIFICATE_BAD_KEY,
	SLUICE_CERTIFICATE_BAD_AUTHORITIES,
	SLUICE_CERTIFICATE_BAD_CIPHERS
} SluiceCertificateFault;

/* Would gRPC take them?  With the reason why not, to be put behind what is at fault and ": ". */
extern SluiceCertificateFault sluice_certificate_check(const SluicePems *pems, const char *ciphers,
													   SluiceCertificate *certificate,
													   char *reason, size_t reason_size);

/* Frees the texts; the key is overwritten first. */
extern void sluice_certificate_free(SluicePems *pems);

#endif							/* SLUICE_CERTIFICATE_H */
