/*
 * key.c
 *		An idempotency key as it is remembered: 16 bytes.
 */
#include "postgres.h"

#include "key.h"

#include "common/cryptohash.h"
#include "common/hashfn.h"
#include "common/sha2.h"

static inline int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

static bool
parse_uuid(const char *text, uint8 key[SLUICE_KEY_SIZE])
{
	for (int i = 0, byte = 0; byte < SLUICE_KEY_SIZE; byte++, i += 2)
	{
		int			high;
		int			low;

		if (i == 8 || i == 13 || i == 18 || i == 23)
			if (text[i++] != '-')
				return false;
		high = hex_digit(text[i]);
		low = hex_digit(text[i + 1]);
		if (high < 0 || low < 0)
			return false;
		key[byte] = (uint8) (high << 4 | low);
	}
	return true;
}

static void
hash_text(const char *text, size_t length, uint8 key[SLUICE_KEY_SIZE])
{
	uint8		digest[PG_SHA256_DIGEST_LENGTH];
	pg_cryptohash_ctx *ctx = pg_cryptohash_create(PG_SHA256);

	if (ctx == NULL || pg_cryptohash_init(ctx) < 0 ||
		pg_cryptohash_update(ctx, (const uint8 *) text, length) < 0 ||
		pg_cryptohash_final(ctx, digest, sizeof(digest)) < 0)
		elog(ERROR, "could not compute %s hash: %s", "SHA-256", pg_cryptohash_error(ctx));
	pg_cryptohash_free(ctx);
	memcpy(key, digest, SLUICE_KEY_SIZE);
	key[6] = (key[6] & 0x0F) | 0x80;	/* version 8: custom */
	key[8] = (key[8] & 0x3F) | 0x80;	/* variant of RFC 9562 */
}

void
sluice_key_make(const char *text, size_t length, uint8 key[SLUICE_KEY_SIZE])
{
	if (length != 36 || !parse_uuid(text, key))
		hash_text(text, length, key);
}

int64
sluice_key_payload_hash(const uint8 *payload, size_t length)
{
	return (int64) hash_bytes_extended(payload, (int) length, 0);
}
