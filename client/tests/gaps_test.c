/*
 * gaps_test.c
 *		Gaps against an array of flags: found, counted, joined, cut.
 */
#include "tap.h"

#include <stdlib.h>

#include "gaps.h"

#define LAST 400

static uint64_t state = 1;

static uint32_t
chance(uint32_t below)
{
	state = state * UINT64_C(6364136223846793005) + 1;
	return (uint32_t) (state >> 33) % below;
}

static bool
same(const SluiceGaps *gaps, const int reasons[LAST + 2])
{
	uint64_t	total = 0;

	for (uint64_t s = 1; s <= LAST; s++)
	{
		SluiceGap  *gap = sluice_gaps_at(gaps, s);

		if ((gap != NULL ? gap->reason : 0) != reasons[s])
			return false;
		total += reasons[s] != 0;
	}
	return gaps->total == total && sluice_gaps_count(gaps, 1, LAST) == total;
}

static bool
are_joined(const SluiceGaps *gaps)
{
	for (const SluiceGap *gap = gaps->first[0]; gap != NULL && gap->next[0] != NULL; gap = gap->next[0])
	{
		if (gap->to >= gap->next[0]->from || (gap->to + 1 == gap->next[0]->from && gap->reason == gap->next[0]->reason))
			return false;
	}
	return true;
}

static void
test_random(void)
{
	SluiceGaps	gaps = {.total = 0};
	SluiceAmendments amendments = {.count = 0};
	int			reasons[LAST + 2] = {0};
	bool		good = true;
	uint64_t	low = 0;

	for (int i = 0; i < 20000 && good; i++)
	{
		uint64_t	sequence = 1 + chance(LAST);

		if (sequence > low && reasons[sequence] == 0)
		{
			reasons[sequence] = 1 + (int) chance(2);
			good = sluice_gaps_declare(&gaps, sequence, sequence, reasons[sequence], &amendments);
		}
		else if (chance(200) == 0 && sequence > low)
		{
			sluice_gaps_remove_above(&gaps, sequence);
			memset(reasons + sequence + 1, 0, (LAST - sequence) * sizeof(int));
		}
		else if (chance(300) == 0)
		{
			low = chance(LAST / 2);
			sluice_gaps_remove_through(&gaps, low);
			memset(reasons, 0, (low + 1) * sizeof(int));
		}
		amendments.count = 0;
		good = good && same(&gaps, reasons) && are_joined(&gaps);
	}
	ok(good, "gaps are what was declared, joined, and cut");
	sluice_gaps_free(&gaps);
	ok(gaps.total == 0 && sluice_gaps_find(&gaps, 0) == NULL, "and nothing is left");
	sluice_amendments_free(&amendments);
}

static void
test_joining(void)
{
	SluiceGaps	gaps = {.total = 0};
	SluiceGaps	lower = {.total = 0};
	SluiceAmendments amendments = {.count = 0};

	sluice_gaps_declare(&gaps, 10, 10, 1, &amendments);
	sluice_gaps_declare(&gaps, 12, 12, 1, &amendments);
	sluice_gaps_declare(&gaps, 11, 11, 1, &amendments);
	ok(gaps.first[0]->from == 10 && gaps.first[0]->to == 12 && gaps.first[0]->next[0] == NULL, "the one between joins two");
	ok(amendments.count == 4 && amendments.list[2].kind == SLUICE_AMEND_ERASE && amendments.list[2].from == 12 &&
	   amendments.list[3].kind == SLUICE_AMEND_WRITE && amendments.list[3].from == 10, "the store is to forget the second");
	gaps.first[0]->sent = true;
	sluice_gaps_declare(&gaps, 13, 13, 1, &amendments);
	ok(gaps.first[0]->to == 12 && gaps.first[0]->next[0]->from == 13, "one that was sent is not joined");
	sluice_gaps_add_stored(&gaps, 20, 30, 1, true);
	sluice_gaps_declare(&gaps, 19, 19, 1, &amendments);
	ok(sluice_gaps_at(&gaps, 19)->to == 19, "nor is one of an earlier run");
	sluice_gaps_add_stored(&lower, 1, 4, 6, false);
	sluice_gaps_add_stored(&lower, 6, 7, 6, false);
	sluice_gaps_take(&gaps, &lower);
	ok(lower.total == 0 && gaps.total == 22 && sluice_gaps_at(&gaps, 7)->next[0]->from == 10 && sluice_gaps_at(&gaps, 25) != NULL,
	   "lower ones are put before");
	sluice_gaps_free(&gaps);
	sluice_amendments_free(&amendments);
}

int
main(void)
{
	test_random();
	test_joining();
	return done_testing();
}
