/*
 * certificates.c
 *		Are these the certificates and the key that they are said to be?
 *
 * OpenSSL's queue of errors is the thread's, and gRPC reads it too: it is left empty.
 */
#include "certificates.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "../sluice.h"

/* Nobody is there to type it, and OpenSSL would ask on the terminal. */
static int
no_passphrase(char *buffer, int size, int writing, void *argument)
{
	(void) buffer;
	(void) size;
	(void) writing;
	(void) argument;
	return -1;
}

static X509 *
read_certificate(const char *pem)
{
	BIO		   *in = BIO_new_mem_buf(pem, -1);
	X509	   *certificate = in != NULL ? PEM_read_bio_X509(in, NULL, no_passphrase, NULL) : NULL;

	BIO_free(in);
	ERR_clear_error();
	return certificate;
}

static EVP_PKEY *
read_key(const char *pem)
{
	BIO		   *in = BIO_new_mem_buf(pem, -1);
	EVP_PKEY   *key = in != NULL ? PEM_read_bio_PrivateKey(in, NULL, no_passphrase, NULL) : NULL;

	BIO_free(in);
	ERR_clear_error();
	return key;
}

int
sluice_certificates_check_trusted(const char *path, const char *pem, SluiceError *error)
{
	X509	   *certificate = read_certificate(pem);

	if (certificate == NULL)
		return sluice_error_set(error, SLUICE_ERROR_OPTION, "\"%s\" (tls_ca) has no certificate", path);
	X509_free(certificate);
	return SLUICE_OK;
}

static int
check_dates(const X509 *certificate, const char *path, SluiceError *error)
{
	if (X509_cmp_current_time(X509_get0_notAfter(certificate)) < 0)
		return sluice_error_set(error, SLUICE_ERROR_OPTION, "the certificate in \"%s\" (tls_cert) has expired", path);
	if (X509_cmp_current_time(X509_get0_notBefore(certificate)) > 0)
		return sluice_error_set(error, SLUICE_ERROR_OPTION, "the certificate in \"%s\" (tls_cert) is not valid yet", path);
	return SLUICE_OK;
}

int
sluice_certificates_check_pair(const char *cert_path, const char *cert, const char *key_path, const char *key,
							   SluiceError *error)
{
	X509	   *certificate = read_certificate(cert);
	EVP_PKEY   *private_key = read_key(key);
	int			code;

	if (certificate == NULL)
		code = sluice_error_set(error, SLUICE_ERROR_OPTION, "\"%s\" (tls_cert) has no certificate", cert_path);
	else if (private_key == NULL)
		code = sluice_error_set(error, SLUICE_ERROR_OPTION, "\"%s\" (tls_key) has no key, or one with a passphrase", key_path);
	else if (X509_check_private_key(certificate, private_key) != 1)
		code = sluice_error_set(error, SLUICE_ERROR_OPTION, "the key in \"%s\" (tls_key) is not the one of the certificate in \"%s\"",
								key_path, cert_path);
	else
		code = check_dates(certificate, cert_path, error);
	ERR_clear_error();
	X509_free(certificate);
	EVP_PKEY_free(private_key);
	return code;
}
