/*
 * secret.c
 *		Is a password the one that a SCRAM secret was made of?
 */
#include "secret.h"

#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>

bool
sluice_secret_fits(const SluiceSecret *secret, const char *password)
{
	static const unsigned char label[] = "Client Key";
	uint8_t		salted[SLUICE_SECRET_KEY_SIZE];
	uint8_t		client_key[SLUICE_SECRET_KEY_SIZE];
	uint8_t		stored_key[SLUICE_SECRET_KEY_SIZE];
	unsigned	length = sizeof(client_key);
	bool		fits;

	fits = PKCS5_PBKDF2_HMAC(password, (int) strlen(password), secret->salt, (int) secret->salt_length,
							 secret->iterations, EVP_sha256(), sizeof(salted), salted) == 1 &&
		HMAC(EVP_sha256(), salted, sizeof(salted), label, sizeof(label) - 1, client_key, &length) != NULL &&
		EVP_Digest(client_key, sizeof(client_key), stored_key, NULL, EVP_sha256(), NULL) == 1 &&
		CRYPTO_memcmp(stored_key, secret->stored_key, sizeof(stored_key)) == 0;
	OPENSSL_cleanse(salted, sizeof(salted));
	OPENSSL_cleanse(client_key, sizeof(client_key));
	return fits;
}
