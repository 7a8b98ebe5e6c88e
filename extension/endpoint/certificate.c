/*
 * certificate.c
 *		A certificate with its key and the authorities of clients: do they fit, and
 *		what does it say?
 *
 * They are put into a context of OpenSSL in the order and with the calls that
 * gRPC uses, so what passes here passes there: OpenSSL's security level and
 * its configuration have their say too.  The thread's queue of errors is empty
 * before and after, for others of the process read it.
 */
#include "certificate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

typedef struct Check
{
	SSL_CTX    *context;
	SluiceCertificate *certificate;
	bool		passphrase_wanted;
	char	   *reason;
	size_t		reason_size;
} Check;

/* The innermost of OpenSSL's errors has the cause. */
static void
explain(Check *check, const char *otherwise)
{
	unsigned long code = ERR_peek_error();
	const char *text = code != 0 ? ERR_reason_error_string(code) : NULL;

	snprintf(check->reason, check->reason_size, "%s", text != NULL ? text : otherwise);
}

static BIO *
memory(const char *text)
{
	return BIO_new_mem_buf(text, -1);
}

/* Called for a key that is encrypted: nobody is here to be asked. */
static int
refuse_passphrase(char *buffer, int size, int writing, void *arg)
{
	Check	   *check = arg;

	(void) buffer;
	(void) size;
	(void) writing;
	check->passphrase_wanted = true;
	return -1;
}

/* The end of a PEM text is an error like others. */
static bool
at_end(void)
{
	unsigned long code = ERR_peek_last_error();
	bool		end = ERR_GET_LIB(code) == ERR_LIB_PEM && ERR_GET_REASON(code) == PEM_R_NO_START_LINE;

	if (end)
		ERR_clear_error();
	return end;
}

/* ---- what it says ---- */

static void
write_name(X509_NAME *name, char *text, size_t size)
{
	BIO		   *out = BIO_new(BIO_s_mem());
	int			length = 0;

	if (out != NULL && X509_NAME_print_ex(out, name, 0, XN_FLAG_RFC2253) >= 0)
		length = BIO_read(out, text, (int) size - 1);
	text[length > 0 ? length : 0] = '\0';
	BIO_free(out);
}

static int64_t
write_time(const ASN1_TIME *time)
{
	struct tm	broken;

	return ASN1_TIME_to_tm(time, &broken) == 1 ? (int64_t) timegm(&broken) : 0;
}

static void
write_serial(const ASN1_INTEGER *serial, char *text, size_t size)
{
	BIGNUM	   *number = ASN1_INTEGER_to_BN(serial, NULL);
	char	   *digits = number != NULL ? BN_bn2hex(number) : NULL;

	snprintf(text, size, "%s", digits != NULL ? digits : "");
	OPENSSL_free(digits);
	BN_free(number);
}

static void
describe(X509 *x509, SluiceCertificate *certificate)
{
	write_name(X509_get_subject_name(x509), certificate->subject, sizeof(certificate->subject));
	write_name(X509_get_issuer_name(x509), certificate->issuer, sizeof(certificate->issuer));
	write_serial(X509_get0_serialNumber(x509), certificate->serial, sizeof(certificate->serial));
	certificate->not_before = write_time(X509_get0_notBefore(x509));
	certificate->not_after = write_time(X509_get0_notAfter(x509));
}

/* ---- do they fit? ---- */

static bool
use_intermediates(Check *check, BIO *in)
{
	X509	   *x509;

	while ((x509 = PEM_read_bio_X509(in, NULL, NULL, NULL)) != NULL)
	{
		if (SSL_CTX_add_extra_chain_cert(check->context, x509) != 1)
		{
			X509_free(x509);
			return false;
		}
	}
	return at_end();
}

static bool
use_chain(Check *check, const char *text)
{
	BIO		   *in = memory(text);
	X509	   *x509 = in != NULL ? PEM_read_bio_X509_AUX(in, NULL, NULL, NULL) : NULL;
	bool		good = x509 != NULL && SSL_CTX_use_certificate(check->context, x509) == 1;

	if (good)
		describe(x509, check->certificate);
	good = good && use_intermediates(check, in);
	if (!good && x509 == NULL && at_end())
		snprintf(check->reason, check->reason_size, "it holds no certificate");
	else if (!good)
		explain(check, "it is no certificate");
	X509_free(x509);
	BIO_free(in);
	return good;
}

static bool
use_key(Check *check, const char *text)
{
	BIO		   *in = memory(text);
	EVP_PKEY   *key = in != NULL ? PEM_read_bio_PrivateKey(in, NULL, refuse_passphrase, check) : NULL;
	bool		good = key != NULL && SSL_CTX_use_PrivateKey(check->context, key) == 1;

	if (check->passphrase_wanted)
		snprintf(check->reason, check->reason_size, "it is protected by a passphrase, which the gRPC port does not support");
	else if (key == NULL)
		snprintf(check->reason, check->reason_size, "it holds no private key that can be read");
	else if (!good)
		snprintf(check->reason, check->reason_size, "it does not match the certificate");
	EVP_PKEY_free(key);
	BIO_free(in);
	return good;
}

static bool
use_authorities(Check *check, const char *text)
{
	BIO		   *in = memory(text);
	X509	   *x509;
	int			count = 0;
	bool		good;

	while (in != NULL && (x509 = PEM_read_bio_X509_AUX(in, NULL, NULL, NULL)) != NULL)
	{
		count++;
		X509_free(x509);
	}
	good = at_end();
	if (!good)
		explain(check, "it is no certificate");
	else if (count == 0)
		snprintf(check->reason, check->reason_size, "it holds no certificate");
	BIO_free(in);
	return good && count > 0;
}

static bool
use_ciphers(Check *check, const char *ciphers)
{
	bool		good = SSL_CTX_set_cipher_list(check->context, ciphers) == 1;

	if (!good)
		explain(check, "no cipher match");
	return good;
}

static SluiceCertificateFault
use_all(Check *check, const SluicePems *pems, const char *ciphers)
{
	if (!use_chain(check, pems->chain))
		return SLUICE_CERTIFICATE_BAD_CHAIN;
	if (!use_key(check, pems->key))
		return SLUICE_CERTIFICATE_BAD_KEY;
	if (pems->authorities != NULL && !use_authorities(check, pems->authorities))
		return SLUICE_CERTIFICATE_BAD_AUTHORITIES;
	if (!use_ciphers(check, ciphers))
		return SLUICE_CERTIFICATE_BAD_CIPHERS;
	return SLUICE_CERTIFICATE_GOOD;
}

SluiceCertificateFault
sluice_certificate_check(const SluicePems *pems, const char *ciphers,
						 SluiceCertificate *certificate, char *reason, size_t reason_size)
{
	Check		check = {.certificate = certificate, .reason = reason, .reason_size = reason_size};
	SluiceCertificateFault fault = SLUICE_CERTIFICATE_BAD_CHAIN;

	memset(certificate, 0, sizeof(*certificate));
	reason[0] = '\0';
	ERR_clear_error();
	check.context = SSL_CTX_new(TLS_method());
	if (check.context == NULL)
		explain(&check, "out of memory");
	else
		fault = use_all(&check, pems, ciphers);
	SSL_CTX_free(check.context);
	ERR_clear_error();
	return fault;
}

void
sluice_certificate_free(SluicePems *pems)
{
	if (pems->key != NULL)
		explicit_bzero(pems->key, strlen(pems->key));
	free(pems->chain);
	free(pems->key);
	free(pems->authorities);
	memset(pems, 0, sizeof(*pems));
}
