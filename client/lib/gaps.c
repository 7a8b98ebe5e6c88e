/*
 * gaps.c
 *		Sequences that will not be sent, as ranges in order: a skip list.
 */
#include "gaps.h"

#include <stdlib.h>
#include <string.h>

#include "../sluice.h"

void
sluice_gaps_free(SluiceGaps *gaps)
{
	sluice_gaps_remove_through(gaps, UINT64_MAX);
}

/* before[level]: the link that leads to the first gap that ends at or above sequence. */
static SluiceGap *
find_links(SluiceGaps *gaps, uint64_t sequence, SluiceGap **before[SLUICE_GAPS_HEIGHT])
{
	SluiceGap **links = gaps->first;

	for (int level = SLUICE_GAPS_HEIGHT - 1; level >= 0; level--)
	{
		while (links[level] != NULL && links[level]->to < sequence)
			links = links[level]->next;
		before[level] = &links[level];
	}
	return links[0];
}

SluiceGap *
sluice_gaps_find(const SluiceGaps *gaps, uint64_t sequence)
{
	SluiceGap *const *links = gaps->first;

	for (int level = SLUICE_GAPS_HEIGHT - 1; level >= 0; level--)
	{
		while (links[level] != NULL && links[level]->to < sequence)
			links = links[level]->next;
	}
	return links[0];
}

SluiceGap *
sluice_gaps_at(const SluiceGaps *gaps, uint64_t sequence)
{
	SluiceGap  *gap = sluice_gaps_find(gaps, sequence);

	return gap != NULL && gap->from <= sequence ? gap : NULL;
}

uint64_t
sluice_gaps_run_end(SluiceGaps *gaps, uint64_t sequence)
{
	if (sequence < gaps->run_from || sequence >= gaps->run_end)
	{
		gaps->run_from = sequence;
		gaps->run_end = sequence;
	}
	for (const SluiceGap *gap = sluice_gaps_find(gaps, gaps->run_end);
		 gap != NULL && gap->from <= gaps->run_end; gap = gap->next[0])
		gaps->run_end = gap->to + 1;
	return gaps->run_end;
}

static void
forget_run(SluiceGaps *gaps)
{
	gaps->run_from = 0;
	gaps->run_end = 0;
}

/* Each level has a quarter of the gaps of the one below. */
static int
choose_height(SluiceGaps *gaps)
{
	int			height = 1;
	uint32_t	bits;

	gaps->random = gaps->random * 1664525 + 1013904223;
	for (bits = gaps->random >> 8; (bits & 3) == 0 && height < SLUICE_GAPS_HEIGHT; bits >>= 2)
		height++;
	return height;
}

static SluiceGap *
insert(SluiceGaps *gaps, uint64_t from, uint64_t to, int reason)
{
	SluiceGap **before[SLUICE_GAPS_HEIGHT];
	int			height = choose_height(gaps);
	SluiceGap  *gap = calloc(1, sizeof(SluiceGap) + (size_t) height * sizeof(SluiceGap *));

	if (gap == NULL)
		return NULL;
	gap->from = from;
	gap->to = to;
	gap->reason = reason;
	find_links(gaps, from, before);
	for (int level = 0; level < height; level++)
	{
		gap->next[level] = *before[level];
		*before[level] = gap;
	}
	gaps->count++;
	return gap;
}

static void
unlink_gap(SluiceGaps *gaps, SluiceGap *gap)
{
	SluiceGap **before[SLUICE_GAPS_HEIGHT];

	find_links(gaps, gap->to, before);
	for (int level = 0; level < SLUICE_GAPS_HEIGHT && *before[level] == gap; level++)
		*before[level] = gap->next[level];
	gaps->count--;
	free(gap);
}

bool
sluice_gaps_add_stored(SluiceGaps *gaps, uint64_t from, uint64_t to, int reason, bool inherited)
{
	SluiceGap  *gap = insert(gaps, from, to, reason);

	if (gap == NULL)
		return false;
	gap->inherited = inherited;
	gap->durable_to = to;
	gaps->total += to - from + 1;
	return true;
}

static bool
is_of_option(int reason)
{
	return reason == SLUICE_REASON_FULL || reason == SLUICE_REASON_NEWEST || reason == SLUICE_REASON_COMPACTED;
}

static bool
may_join(const SluiceGaps *gaps, const SluiceGap *gap, int reason)
{
	if (gap->inherited || gap->sent)
		return false;
	return gap->reason == reason ||
		(gaps->count >= SLUICE_GAPS_EXACT && is_of_option(gap->reason) && is_of_option(reason));
}

bool
sluice_gaps_declare(SluiceGaps *gaps, uint64_t from, uint64_t to, int reason, SluiceAmendments *amendments)
{
	SluiceGap  *before = from > 1 ? sluice_gaps_at(gaps, from - 1) : NULL;
	SluiceGap  *after = sluice_gaps_at(gaps, to + 1);

	if (!sluice_amendments_reserve(amendments, 2))
		return false;
	if (before != NULL && !may_join(gaps, before, reason))
		before = NULL;
	if (after != NULL && !may_join(gaps, after, reason))
		after = NULL;
	if (before != NULL)
	{
		if (after != NULL)
		{
			to = after->to;
			sluice_amendments_erase(amendments, after->from);
			gaps->total -= after->to - after->from + 1;
			unlink_gap(gaps, after);
		}
		gaps->total += to - before->to;
		before->to = to;
		from = before->from;
	}
	else if (after != NULL)
	{
		sluice_amendments_erase(amendments, after->from);
		gaps->total += after->from - from;
		after->from = from;
		after->durable_to = 0;
	}
	else if (insert(gaps, from, to, reason) != NULL)
		gaps->total += to - from + 1;
	else
		return false;
	sluice_amendments_write(amendments, from);
	return true;
}

void
sluice_gaps_take(SluiceGaps *gaps, SluiceGaps *lower)
{
	SluiceGap **before[SLUICE_GAPS_HEIGHT];

	find_links(lower, UINT64_MAX, before);
	for (int level = 0; level < SLUICE_GAPS_HEIGHT; level++)
	{
		*before[level] = gaps->first[level];
		gaps->first[level] = lower->first[level];
		lower->first[level] = NULL;
	}
	gaps->total += lower->total;
	gaps->count += lower->count;
	lower->total = 0;
	lower->count = 0;
	forget_run(gaps);
}

void
sluice_gaps_remove_through(SluiceGaps *gaps, uint64_t sequence)
{
	SluiceGap  *gap;

	while ((gap = gaps->first[0]) != NULL && gap->to <= sequence)
	{
		gaps->total -= gap->to - gap->from + 1;
		for (int level = 0; level < SLUICE_GAPS_HEIGHT && gaps->first[level] == gap; level++)
			gaps->first[level] = gap->next[level];
		gaps->count--;
		free(gap);
	}
	if (gaps->run_from <= sequence)
		forget_run(gaps);
	if (gap != NULL && gap->from <= sequence)
	{
		gaps->total -= sequence - gap->from + 1;
		gap->from = sequence + 1;
	}
}

void
sluice_gaps_remove_above(SluiceGaps *gaps, uint64_t sequence)
{
	SluiceGap  *gap;

	forget_run(gaps);
	while ((gap = sluice_gaps_find(gaps, sequence + 1)) != NULL)
	{
		if (gap->from <= sequence)
		{
			gaps->total -= gap->to - sequence;
			gap->to = sequence;
			if (gap->durable_to > sequence)
				gap->durable_to = sequence;
			continue;
		}
		gaps->total -= gap->to - gap->from + 1;
		unlink_gap(gaps, gap);
	}
}

uint64_t
sluice_gaps_count(const SluiceGaps *gaps, uint64_t first, uint64_t last)
{
	uint64_t	count = 0;

	for (const SluiceGap *gap = sluice_gaps_find(gaps, first); gap != NULL && gap->from <= last; gap = gap->next[0])
		count += (gap->to < last ? gap->to : last) - (gap->from > first ? gap->from : first) + 1;
	return count;
}
