/*
 * secret_test.c
 *		Comparing a password with a SCRAM secret: the example of RFC 7677.
 */
#include "endpoint/secret.h"

#include "tap.h"

/* Of "pencil": the client's proof in the RFC is made with this key. */
static const SluiceSecret pencil = {
	.salt = {0x5b, 0x6d, 0x99, 0x68, 0x9d, 0x12, 0x35, 0x8e, 0xec, 0xa0, 0x4b, 0x14, 0x12, 0x36, 0xfa, 0x81},
	.salt_length = 16,
	.iterations = 4096,
	.stored_key = {0x58, 0x6e, 0x5d, 0xf2, 0x83, 0xe6, 0xdc, 0xeb, 0x5c, 0x3e, 0x79, 0x1d, 0x8b, 0x85, 0x28, 0xec,
	0x19, 0x1e, 0x66, 0x40, 0x45, 0xce, 0x97, 0x17, 0x92, 0xe2, 0xe6, 0xb5, 0xbb, 0x13, 0xe2, 0xa6}
};

int
main(void)
{
	SluiceSecret other = pencil;

	ok(sluice_secret_fits(&pencil, "pencil"), "the password");
	ok(!sluice_secret_fits(&pencil, "pencil "), "a longer one");
	ok(!sluice_secret_fits(&pencil, "penci"), "a shorter one");
	ok(!sluice_secret_fits(&pencil, "Pencil"), "in another case");
	ok(!sluice_secret_fits(&pencil, ""), "an empty one");
	other.iterations = 4095;
	ok(!sluice_secret_fits(&other, "pencil"), "other iterations");
	other = pencil;
	other.salt_length = 15;
	ok(!sluice_secret_fits(&other, "pencil"), "another salt");
	other = pencil;
	other.stored_key[SLUICE_SECRET_KEY_SIZE - 1] ^= 1;
	ok(!sluice_secret_fits(&other, "pencil"), "a key that differs in its last bit");
	other = (SluiceSecret) {.salt_length = 16,.iterations = 1};
	ok(!sluice_secret_fits(&other, "pencil"), "no key at all");
	return finish();
}
