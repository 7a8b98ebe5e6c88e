/*
 * gaps_test.c
 *		Gaps against an array of flags: found, counted, joined, cut.
 */
#include "tap.h"

#include <stdlib.h>

#include "../sluice.h"
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

/* The end of the run that begins at sequence is where the array says; low: below it all are gone. */
static bool
is_run_end(SluiceGaps *gaps, const int reasons[LAST + 2], uint64_t sequence)
{
	uint64_t	end = sequence;

	while (reasons[end] != 0)
		end++;
	return sluice_gaps_run_end(gaps, sequence) == end;
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
		good = good && same(&gaps, reasons) && are_joined(&gaps) && is_run_end(&gaps, reasons, 1 + chance(i % 2 ? 3 : LAST));
	}
	ok(good, "gaps are what was declared, joined, and cut");
	sluice_gaps_free(&gaps);
	ok(gaps.total == 0 && gaps.count == 0 && sluice_gaps_find(&gaps, 0) == NULL, "and nothing is left");
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

/* Among very many, options' reasons give way: else every record could leave a gap of its own. */
static void
test_many(void)
{
	SluiceGaps	gaps = {.total = 0};
	SluiceAmendments amendments = {.count = 0};
	uint64_t	sequence = 1;

	for (; gaps.count < SLUICE_GAPS_EXACT; sequence++)
		sluice_gaps_declare(&gaps, sequence, sequence, sequence % 2 ? SLUICE_REASON_FULL : SLUICE_REASON_COMPACTED, &amendments);
	ok(sequence == SLUICE_GAPS_EXACT + 1, "reasons are told apart");
	for (; sequence < 10000; sequence++)
		sluice_gaps_declare(&gaps, sequence, sequence, sequence % 2 ? SLUICE_REASON_FULL : SLUICE_REASON_COMPACTED, &amendments);
	ok(gaps.count == SLUICE_GAPS_EXACT && gaps.total == 9999 && sluice_gaps_run_end(&gaps, 1) == 10000,
	   "but the number of gaps is bounded");
	sluice_gaps_declare(&gaps, 10000, 10000, SLUICE_REASON_DAMAGED, &amendments);
	ok(sluice_gaps_at(&gaps, 10000)->reason == SLUICE_REASON_DAMAGED, "what is lost is always told apart");
	sluice_gaps_free(&gaps);
	sluice_amendments_free(&amendments);
}

int
main(void)
{
	test_random();
	test_joining();
	test_many();
	return done_testing();
}
