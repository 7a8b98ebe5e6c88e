/* answer: responses, whole, with unknown fields, and cut anywhere. */
#include "answer.h"

#include <stdlib.h>

#include "tap.h"

/* Decodes a heap copy of exactly these bytes. */
static bool
decode(const char *bytes, size_t length, SluiceAnswer *answer, char key[64])
{
	uint8_t    *copy = malloc(length > 0 ? length : 1);
	bool		good;

	memcpy(copy, bytes, length);
	good = sluice_answer_decode(copy, length, answer);
	key[0] = '\0';
	if (good && answer->key_length < 64)
	{
		if (answer->key_length > 0)
			memcpy(key, answer->key, answer->key_length);
		key[answer->key_length] = '\0';
	}
	free(copy);
	return good;
}

#define DECODE(literal) decode(literal, sizeof(literal) - 1, &answer, key)

int
main(void)
{
	static const char whole[] = "\x0A\x03" "abc" "\x10\x02";
	SluiceAnswer answer;
	char		key[64];
	bool		refused = true;

	ok(DECODE("\x0A\x03" "abc" "\x10\x01") && answer.status == SLUICE_ANSWER_ACKNOWLEDGED && strcmp(key, "abc") == 0, "acknowledged");
	ok(DECODE("\x10\x02\x0A\x01" "x") && answer.status == SLUICE_ANSWER_REJECTED_DLQ && strcmp(key, "x") == 0, "the other order");
	ok(DECODE("") && answer.status == 0 && answer.key_length == 0, "an empty message");
	ok(DECODE("\x18\x07\x0A\x01" "x" "\x21" "12345678" "\x2D" "1234" "\x32\x02" "zz" "\x10\x01") && answer.status == 1 &&
	   strcmp(key, "x") == 0, "unknown fields of every wire type");
	ok(DECODE("\x10\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01") && answer.status == UINT64_MAX, "the longest varint");
	ok(!DECODE("\x10\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01"), "a longer one");
	ok(!DECODE("\x0A\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01" "abc"), "a huge length");
	ok(!DECODE("\x0A\x04" "abc"), "a length behind the end");
	ok(!DECODE("\x0B"), "a group");
	ok(!DECODE("\x02\x01" "x"), "field 0");
	for (size_t n = 1; n < sizeof(whole) - 1; n++)
	{
		if (n != 5)				/* there the key's field is whole */
			refused = refused && !decode(whole, n, &answer, key);
	}
	ok(refused, "cut anywhere");
	srand(42);
	for (int i = 0; i < 200000; i++)
	{
		char		noise[24];
		size_t		n = (size_t) rand() % sizeof(noise);

		for (size_t j = 0; j < n; j++)
			noise[j] = (char) (rand() % 4 ? rand() % 40 : rand());
		if (decode(noise, n, &answer, key) && answer.key_length > n)
			refused = false;
	}
	ok(refused, "noise never yields more than it has");
	return done_testing();
}
