/*
 * certificates.h
 *		Certificates of the unit tests, made in memory.
 */
#ifndef SLUICE_CERTIFICATES_H
#define SLUICE_CERTIFICATES_H

#include <stdlib.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

typedef struct Certified
{
	X509	   *certificate;
	EVP_PKEY   *key;
} Certified;

static inline void
certificates_extend(X509 *certificate, int nid, const char *value)
{
	X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

	X509_add_ext(certificate, extension, -1);
	X509_EXTENSION_free(extension);
}

/* O=sluice, and the common name, which may have NULs in it; by == NULL: an authority, signed by itself. */
static inline Certified
certificates_make(const void *cn, int length, const Certified *by, long days)
{
	Certified	made = {X509_new(), EVP_EC_gen("prime256v1")};
	X509_NAME  *name = X509_get_subject_name(made.certificate);

	X509_set_version(made.certificate, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(made.certificate), 0xabc);
	X509_gmtime_adj(X509_getm_notBefore(made.certificate), 0);
	X509_gmtime_adj(X509_getm_notAfter(made.certificate), days * 86400);
	X509_set_pubkey(made.certificate, made.key);
	X509_NAME_add_entry_by_txt(name, "O", MBSTRING_UTF8, (const unsigned char *) "sluice", -1, -1, 0);
	if (length > 0)
		X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, cn, length, -1, 0);
	certificates_extend(made.certificate, NID_basic_constraints, by == NULL ? "critical,CA:TRUE" : "CA:FALSE");
	if (by != NULL)
		certificates_extend(made.certificate, NID_subject_alt_name, "IP:127.0.0.1");
	X509_set_issuer_name(made.certificate, X509_get_subject_name(by != NULL ? by->certificate : made.certificate));
	X509_sign(made.certificate, by != NULL ? by->key : made.key, EVP_sha256());
	return made;
}

/* What was written into a BIO, which goes. */
static inline char *
certificates_text(BIO *out)
{
	char	   *data;
	long		length = BIO_get_mem_data(out, &data);
	char	   *text = strndup(data, (size_t) length);

	BIO_free(out);
	return text;
}

static inline char *
certificates_pem(const Certified *made)
{
	BIO		   *out = BIO_new(BIO_s_mem());

	PEM_write_bio_X509(out, made->certificate);
	return certificates_text(out);
}

/* passphrase: NULL for a key that is not encrypted. */
static inline char *
certificates_key_pem(const Certified *made, const char *passphrase)
{
	BIO		   *out = BIO_new(BIO_s_mem());

	PEM_write_bio_PKCS8PrivateKey(out, made->key, passphrase != NULL ? EVP_aes_256_cbc() : NULL,
								  passphrase, passphrase != NULL ? (int) strlen(passphrase) : 0, NULL, NULL);
	return certificates_text(out);
}

static inline void
certificates_free(Certified *made)
{
	X509_free(made->certificate);
	EVP_PKEY_free(made->key);
}

#endif							/* SLUICE_CERTIFICATES_H */
