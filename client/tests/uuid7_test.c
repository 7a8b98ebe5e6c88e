/* uuid7: version, order, and the clock's moods. */
#include "uuid7.h"

#include <stdlib.h>

#include "tap.h"

static uint64_t
milliseconds_of(const uint8_t uuid[16])
{
	uint64_t	result = 0;

	for (int i = 0; i < 6; i++)
		result = result << 8 | uuid[i];
	return result;
}

/* n more at this time: all well-formed, each above the one before. */
static bool
rises(SluiceUuid7 *generator, uint8_t last[16], uint64_t milliseconds, int n)
{
	uint8_t		next[16];

	for (int i = 0; i < n; i++)
	{
		if (!sluice_uuid7_next(generator, milliseconds, next) || memcmp(last, next, 16) >= 0 ||
			next[6] >> 4 != 7 || next[8] >> 6 != 2)
			return false;
		memcpy(last, next, 16);
	}
	return true;
}

int
main(void)
{
	SluiceUuid7 *generator = calloc(1, sizeof(SluiceUuid7));
	SluiceUuid7 *other = calloc(1, sizeof(SluiceUuid7));
	uint8_t		last[16] = {0};
	uint8_t		uuid[16];
	const uint64_t now = 0x0190A1B2C3D4;
	char		text[SLUICE_UUID_TEXT_LENGTH];
	static const uint8_t known[16] = {0x01, 0x7F, 0x22, 0xE2, 0x79, 0xB0, 0x7C, 0xC3, 0x98, 0xC4, 0xDC, 0x0C, 0x0C, 0x07, 0x39, 0x8F};

	ok(rises(generator, last, now, 1) && milliseconds_of(last) == now, "the time is in front");
	ok(rises(generator, last, now, 100000), "100,000 in one millisecond rise");
	ok(milliseconds_of(last) == now, "and stay in it");
	ok(rises(generator, last, now + 1, 1) && milliseconds_of(last) == now + 1, "the next millisecond");
	ok(rises(generator, last, now - 5000, 1000) && milliseconds_of(last) == now + 1, "a clock that goes back");
	ok(rises(generator, last, now + 2, 1) && milliseconds_of(last) == now + 2, "and forth again");

	generator->high = (1 << 12) - 1;
	generator->low = (1ull << 62) - 1;
	ok(rises(generator, memset(last, 0, 16), now + 2, 1) && milliseconds_of(last) == now + 3, "a counter that runs over");
	ok(rises(generator, last, now + 2, 1000), "goes on rising");

	generator->high = 5;
	generator->low = (1ull << 62) - 1;
	ok(sluice_uuid7_next(generator, now, uuid) && generator->high == 6, "low carries into high");

	ok(sluice_uuid7_next(generator, now + 9, last) && sluice_uuid7_next(other, now + 9, uuid) &&
	   memcmp(last + 6, uuid + 6, 10) != 0, "two generators differ");
	sluice_uuid_to_text(known, text);
	is_bytes(text, sizeof(text), "017f22e2-79b0-7cc3-98c4-dc0c0c07398f", "the example of RFC 9562 as text");
	free(generator);
	free(other);
	return done_testing();
}
