/*
 * uuid7.c
 *		Time-ordered UUIDs (RFC 9562, version 7), increasing within a process.
 *
 * rand_a and rand_b together are a counter of 74 bits (RFC 9562, section 6.2,
 * method 2): random at the first UUID of a millisecond, with the top bit
 * clear, and a random step of 1 to 2^32 further for each next one.  A clock
 * that stands still or goes back goes on counting in the newest millisecond;
 * a counter that runs over takes the next millisecond.
 */
#include "uuid7.h"

#include <errno.h>
#include <sys/random.h>

#define HIGH_BITS 12
#define LOW_BITS 62

static int
random_word(SluiceUuid7 *generator, uint32_t *word)
{
	if (generator->nrandom == 0)
	{
		char	   *bytes = (char *) generator->random;
		size_t		got = 0;

		while (got < sizeof(generator->random))
		{
			ssize_t		n = getrandom(bytes + got, sizeof(generator->random) - got, 0);

			if (n < 0 && errno != EINTR)
				return 0;
			if (n > 0)
				got += (size_t) n;
		}
		generator->nrandom = sizeof(generator->random) / sizeof(generator->random[0]);
	}
	*word = generator->random[--generator->nrandom];
	return 1;
}

static int
start_millisecond(SluiceUuid7 *generator, uint64_t milliseconds)
{
	uint32_t	a;
	uint32_t	b;
	uint32_t	c;

	if (!random_word(generator, &a) || !random_word(generator, &b) || !random_word(generator, &c))
		return 0;
	generator->milliseconds = milliseconds;
	generator->high = a & ((1u << (HIGH_BITS - 1)) - 1);
	generator->low = (((uint64_t) b << 32) | c) & ((1ull << LOW_BITS) - 1);
	return 1;
}

static int
count_on(SluiceUuid7 *generator)
{
	uint32_t	step;

	if (!random_word(generator, &step))
		return 0;
	generator->low += (uint64_t) step + 1;
	if (generator->low >> LOW_BITS == 0)
		return 1;
	generator->low &= (1ull << LOW_BITS) - 1;
	generator->high++;
	if (generator->high >> HIGH_BITS == 0)
		return 1;
	return start_millisecond(generator, generator->milliseconds + 1);
}

int
sluice_uuid7_next(SluiceUuid7 *generator, uint64_t milliseconds, uint8_t uuid[16])
{
	int			ok = milliseconds > generator->milliseconds ?
		start_millisecond(generator, milliseconds) : count_on(generator);

	if (!ok)
		return 0;
	for (int i = 0; i < 6; i++)
		uuid[i] = (uint8_t) (generator->milliseconds >> (40 - 8 * i));
	uuid[6] = (uint8_t) (0x70 | generator->high >> 8);
	uuid[7] = (uint8_t) generator->high;
	for (int i = 0; i < 8; i++)
		uuid[8 + i] = (uint8_t) (generator->low >> (56 - 8 * i));
	uuid[8] |= 0x80;
	return 1;
}

void
sluice_uuid_to_text(const uint8_t uuid[16], char text[SLUICE_UUID_TEXT_LENGTH])
{
	static const char digits[] = "0123456789abcdef";
	char	   *p = text;

	for (int i = 0; i < 16; i++)
	{
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*p++ = '-';
		*p++ = digits[uuid[i] >> 4];
		*p++ = digits[uuid[i] & 15];
	}
}
