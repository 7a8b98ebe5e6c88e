/*
 * certificate_test.c
 *		What is taken for a certificate with its key, and what is found in it.
 */
#include "endpoint/certificate.h"

#include <time.h>

#include <openssl/err.h>

#include "certificates.h"
#include "tap.h"

#define CIPHERS "HIGH:MEDIUM:+3DES:!aNULL"

static Certified authority;
static Certified server;
static SluiceCertificate found;
static char reason[128];

static SluiceCertificateFault
check(const char *chain, const char *key, const char *authorities, const char *ciphers)
{
	SluicePems	pems = {(char *) chain, (char *) key, (char *) authorities};

	return sluice_certificate_check(&pems, ciphers, &found, reason, sizeof(reason));
}

static void
is_fault(SluiceCertificateFault got, SluiceCertificateFault expected, const char *why, const char *what)
{
	ok(got == expected, "%s", what);
	is_text(reason, why, "... and why");
	ok(ERR_peek_error() == 0, "... no error of OpenSSL is left behind");
}

static char *
joined(const char *one, const char *other)
{
	char	   *both = malloc(strlen(one) + strlen(other) + 1);

	strcpy(both, one);
	return strcat(both, other);
}

static void
good_ones(const char *chain, const char *key, const char *root)
{
	char	   *longer = joined(chain, root);
	int64_t		now = time(NULL);

	is_fault(check(chain, key, NULL, CIPHERS), SLUICE_CERTIFICATE_GOOD, "", "a certificate and its key");
	is_text(found.subject, "CN=a\\,b,O=sluice", "its subject");
	is_text(found.issuer, "CN=root,O=sluice", "its issuer");
	is_text(found.serial, "0ABC", "its serial number");
	ok(found.not_before > now - 60 && found.not_before <= now + 1, "its beginning");
	ok(found.not_after - found.not_before == 5 * 86400, "its end");
	is_fault(check(longer, key, root, CIPHERS), SLUICE_CERTIFICATE_GOOD, "", "a chain, and authorities");
	free(longer);
}

static void
bad_ones(const char *chain, const char *key, const char *root)
{
	Certified	other = certificates_make("other", 5, &authority, 5);
	char	   *other_key = certificates_key_pem(&other, NULL);
	char	   *locked = certificates_key_pem(&server, "secret");
	char	   *cut = joined(root, "-----BEGIN CERTIFICATE-----\nAAAA\n");

	is_fault(check("", key, NULL, CIPHERS), SLUICE_CERTIFICATE_BAD_CHAIN, "it holds no certificate", "an empty file");
	is_fault(check(key, key, NULL, CIPHERS), SLUICE_CERTIFICATE_BAD_CHAIN, "it holds no certificate", "a key for a certificate");
	is_fault(check(cut, key, NULL, CIPHERS), SLUICE_CERTIFICATE_BAD_CHAIN, "bad end line", "a chain that is cut off");
	is_fault(check(chain, "x", NULL, CIPHERS), SLUICE_CERTIFICATE_BAD_KEY, "it holds no private key that can be read", "no key");
	is_fault(check(chain, other_key, NULL, CIPHERS), SLUICE_CERTIFICATE_BAD_KEY, "it does not match the certificate", "another key");
	is_fault(check(chain, locked, NULL, CIPHERS), SLUICE_CERTIFICATE_BAD_KEY,
			 "it is protected by a passphrase, which the gRPC port does not support", "a key with a passphrase");
	is_fault(check(chain, key, "", CIPHERS), SLUICE_CERTIFICATE_BAD_AUTHORITIES, "it holds no certificate", "no authority");
	is_fault(check(chain, key, cut, CIPHERS), SLUICE_CERTIFICATE_BAD_AUTHORITIES, "bad end line", "authorities that are cut off");
	is_fault(check(chain, key, root, "NONSENSE"), SLUICE_CERTIFICATE_BAD_CIPHERS, "no cipher match", "no cipher");
	free(other_key);
	free(locked);
	free(cut);
	certificates_free(&other);
}

/* Whatever byte is another one: an answer, and nothing read that is not there. */
static void
damaged_ones(const char *chain, const char *key)
{
	char	   *text = strdup(chain);
	int			refused = 0;

	for (size_t i = 0; text[i] != '\0'; i++)
	{
		char		was = text[i];

		text[i] = '!';
		refused += check(text, key, NULL, CIPHERS) != SLUICE_CERTIFICATE_GOOD;
		text[i] = was;
	}
	ok(refused > (int) strlen(text) / 2, "%d of %zu damages are noticed", refused, strlen(text));
	free(text);
}

int
main(void)
{
	char	   *chain;
	char	   *key;
	char	   *root;

	authority = certificates_make("root", 4, NULL, 10);
	server = certificates_make("a,b", 3, &authority, 5);
	chain = certificates_pem(&server);
	key = certificates_key_pem(&server, NULL);
	root = certificates_pem(&authority);
	good_ones(chain, key, root);
	bad_ones(chain, key, root);
	damaged_ones(chain, key);
	free(chain);
	free(key);
	free(root);
	certificates_free(&authority);
	certificates_free(&server);
	return finish();
}
