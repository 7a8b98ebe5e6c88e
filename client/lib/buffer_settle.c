/*
 * buffer_settle.c
 *		Verdicts: what the server said became of records.
 *
 * They are told in sequence order, in runs, without a lock: nothing that is told
 * here can change meanwhile, as records up to `claimed` are not dropped any more. Then
 * all of it is let go at once.
 */
#include "buffer_internal.h"

/* What was said, and how far it has been told. */
typedef struct Verdicts
{
	const SluiceSettled *exceptions;
	size_t		nexceptions;
	const uint64_t *dead;		/* of an Opened */
	size_t		ndead;
	size_t		next;			/* index in either */
	bool		opened;
	uint64_t	known_to;		/* above it an Opened did not say which are dead letters */
	uint64_t	through;
} Verdicts;

/* A verdict of 0: it is not told. */
typedef struct Run
{
	sluice_delivery delivery;
	bool		gap;			/* the verdict is the gap's */
} Run;

/* The next exception at or above sequence; through + 1 where there is none. */
static uint64_t
next_exception(Verdicts *verdicts, uint64_t sequence, sluice_verdict *verdict)
{
	size_t		count = verdicts->opened ? verdicts->ndead : verdicts->nexceptions;

	for (; verdicts->next < count; verdicts->next++)
	{
		uint64_t	at = verdicts->opened ? verdicts->dead[verdicts->next] : verdicts->exceptions[verdicts->next].sequence;

		if (at < sequence)
			continue;
		*verdict = verdicts->opened ? SLUICE_VERDICT_DEAD_LETTERED : verdicts->exceptions[verdicts->next].verdict;
		return at;
	}
	return verdicts->through + 1;
}

/* From `first` to at most `last`, as the server said. */
static void
run_of_server(Verdicts *verdicts, uint64_t first, uint64_t last, Run *run)
{
	sluice_verdict verdict = SLUICE_VERDICT_STORED;
	uint64_t	exception = next_exception(verdicts, first, &verdict);

	run->gap = false;
	run->delivery = (sluice_delivery) {first, last, SLUICE_VERDICT_STORED, SLUICE_REASON_NONE};
	if (first > verdicts->known_to)
	{
		run->delivery.verdict = (sluice_verdict) 0;
		return;
	}
	if (run->delivery.last > verdicts->known_to)
		run->delivery.last = verdicts->known_to;
	if (exception == first)
	{
		run->delivery.last = first;
		run->delivery.verdict = verdict;
	}
	else if (exception <= run->delivery.last)
		run->delivery.last = exception - 1;
}

static void
run_of_gap(const SluiceGap *gap, uint64_t first, uint64_t last, Run *run)
{
	sluice_reason reason = (sluice_reason) gap->reason;

	run->gap = true;
	run->delivery = (sluice_delivery) {first, last, SLUICE_VERDICT_DROPPED, reason};
	if (reason == SLUICE_REASON_TOO_LARGE)
		run->delivery.verdict = SLUICE_VERDICT_SET_ASIDE;
}

/*
 * Lock held.  A gap that was never sent is settled by an Opened: then the record had been in
 * flight, and the server took that (P11).  Of a gap of an earlier run nobody knows.
 */
static void
find_run(SluiceBuffer *buffer, Verdicts *verdicts, uint64_t first, Run *run)
{
	const SluiceGap *gap = sluice_gaps_find(&buffer->gaps, first);
	uint64_t	last = verdicts->through;

	if (gap == NULL || gap->from > last)
	{
		run_of_server(verdicts, first, last, run);
		return;
	}
	if (gap->from > first)
	{
		run_of_server(verdicts, first, gap->from - 1, run);
		return;
	}
	if (gap->to < last)
		last = gap->to;
	if (!verdicts->opened || gap->sent)
		run_of_gap(gap, first, last, run);
	else
	{
		run_of_server(verdicts, first, last, run);
		if (gap->inherited)
			run->delivery.verdict = (sluice_verdict) 0;
	}
}

static void
count_declared(sluice_statistics *counts, sluice_reason reason, uint64_t count)
{
	switch (reason)
	{
		case SLUICE_REASON_TOO_LARGE:
			counts->set_aside += count;
			break;
		case SLUICE_REASON_FULL:
		case SLUICE_REASON_NEWEST:
		case SLUICE_REASON_COMPACTED:
			counts->dropped += count;
			break;
		default:
			counts->lost += count;
	}
}

static void
count_run(sluice_statistics *counts, const Run *run, bool opened)
{
	uint64_t	count = run->delivery.last - run->delivery.first + 1;

	if (run->gap)
		count_declared(counts, run->delivery.reason, count);
	else if (opened && run->delivery.verdict != SLUICE_VERDICT_DEAD_LETTERED)
		counts->settled_before += count;
	else if (run->delivery.verdict == SLUICE_VERDICT_STORED)
		counts->stored += count;
	else if (run->delivery.verdict == SLUICE_VERDICT_DUPLICATE)
		counts->duplicates += count;
	else if (run->delivery.verdict == SLUICE_VERDICT_DEAD_LETTERED)
		counts->dead_lettered += count;
	else
		counts->filtered += count;
}

/* Lock held: given up to call. */
static void
tell(SluiceBuffer *buffer, const sluice_delivery *delivery)
{
	if (delivery->verdict == 0 || buffer->settings.on_delivery == NULL)
		return;
	pthread_mutex_unlock(&buffer->lock);
	buffer->settings.on_delivery(buffer->settings.delivery_argument, delivery);
	pthread_mutex_lock(&buffer->lock);
}

static void
tell_all(SluiceBuffer *buffer, Verdicts *verdicts)
{
	sluice_delivery pending = {.last = buffer->acked};
	Run			run;

	while (pending.last < verdicts->through)
	{
		find_run(buffer, verdicts, pending.last + 1, &run);
		count_run(&buffer->counts, &run, verdicts->opened);
		if (pending.first > 0 && run.delivery.verdict == pending.verdict && run.delivery.reason == pending.reason)
		{
			pending.last = run.delivery.last;
			continue;
		}
		if (pending.first > 0)
			tell(buffer, &pending);
		pending = run.delivery;
	}
	if (pending.first > 0)
		tell(buffer, &pending);
}

/* ---- let go; lock held ---- */

static void
settle_part(SluiceBuffer *buffer, SluiceBlock *block, uint64_t through)
{
	uint64_t	first = block->first > buffer->acked ? block->first : buffer->acked + 1;
	uint64_t	count = 0;
	uint64_t	bytes = 0;

	if (block->content == NULL)
	{
		count = through - first + 1 - sluice_gaps_count(&buffer->gaps, first, through);
		if (count > 0)
			bytes = count < block->live ? block->bytes / block->live * count : block->bytes;
	}
	else
	{
		for (uint64_t sequence = first; sequence <= through; sequence++)
		{
			if (!sluice_block_holds(block, sequence))
				continue;
			count++;
			bytes += sluice_block_record(block, sequence)->size;
		}
	}
	block->live -= count;
	block->bytes -= bytes;
	buffer->bytes -= bytes;
}

static void
settle_blocks(SluiceBuffer *buffer, uint64_t through)
{
	while (buffer->blocks.count > 0)
	{
		SluiceBlock *block = sluice_blocks_get(&buffer->blocks, 0);

		if (block->last > through)
		{
			if (block->first <= through)
				settle_part(buffer, block, through);
			break;
		}
		buffer->bytes -= block->bytes;
		sluice_blocks_remove_first(&buffer->blocks);
		block->unlinked = true;
		block->pins++;
		sluice_buffer_unpin(buffer, block);
	}
}

static void
settle(SluiceBuffer *buffer, uint64_t through)
{
	settle_blocks(buffer, through);
	sluice_gaps_remove_through(&buffer->gaps, through);
	buffer->acked = through;
	if (buffer->written < through)
		buffer->written = through;
	sluice_flight_settle(&buffer->flight, through);
	if (buffer->waiting > 0)
		pthread_cond_broadcast(&buffer->settled);
	if (buffer->wants.memory)
		pthread_cond_broadcast(&buffer->committed);
	if (buffer->writer_idle)
		sluice_writer_wake(buffer);
}

void
sluice_buffer_settle_through(SluiceBuffer *buffer, uint64_t through, const SluiceSettled *exceptions,
							 size_t nexceptions, const SluiceOpened *opened)
{
	Verdicts	verdicts = {
		.exceptions = exceptions,
		.nexceptions = nexceptions,
		.opened = opened != NULL,
		.known_to = UINT64_MAX,
		.through = through
	};

	if (opened != NULL)
	{
		verdicts.dead = opened->dead;
		verdicts.ndead = opened->ndead;
		if (opened->more_dead)
			verdicts.known_to = opened->ndead > 0 ? opened->dead[opened->ndead - 1] : 0;
	}
	pthread_mutex_lock(&buffer->lock);
	if (through > buffer->acked)
	{
		tell_all(buffer, &verdicts);
		settle(buffer, through);
	}
	pthread_mutex_unlock(&buffer->lock);
}

static bool
fits(SluiceBuffer *buffer, uint64_t through, const SluiceSettled *exceptions, size_t nexceptions)
{
	uint64_t	before;
	bool		good;

	pthread_mutex_lock(&buffer->lock);
	before = buffer->acked;
	good = buffer->connected && through >= before && through <= buffer->claimed;
	pthread_mutex_unlock(&buffer->lock);
	for (size_t i = 0; good && i < nexceptions; i++)
	{
		good = exceptions[i].sequence > before && exceptions[i].sequence <= through &&
			exceptions[i].verdict >= SLUICE_VERDICT_STORED && exceptions[i].verdict <= SLUICE_VERDICT_FILTERED;
		before = exceptions[i].sequence;
	}
	return good;
}

int
sluice_buffer_settle(SluiceBuffer *buffer, uint64_t through, const SluiceSettled *exceptions, size_t nexceptions)
{
	if (!fits(buffer, through, exceptions, nexceptions))
		return SLUICE_ERROR_PROTOCOL;
	sluice_buffer_settle_through(buffer, through, exceptions, nexceptions, NULL);
	return SLUICE_OK;
}
