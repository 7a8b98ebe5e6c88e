/*
 * progress.c
 *		The line that shows how a run goes on.
 */
#include "progress.h"

#include <inttypes.h>
#include <string.h>

#include "clock.h"

void
sluice_progress_start(SluiceProgress *progress, FILE *file, bool in_place, int64_t now)
{
	memset(progress, 0, sizeof(*progress));
	progress->file = file;
	progress->in_place = in_place;
	progress->since = now;
}

void
sluice_progress_show(SluiceProgress *progress, const SluiceSender *sender, int64_t now)
{
	const SluiceSenderCounts *counts = sluice_sender_counts(sender);
	uint64_t	answered = counts->acknowledged + counts->dead_letters;
	double		seconds = (double) (now - progress->since) / SLUICE_SECOND;

	fprintf(progress->file, "%s%.0f records/s, %" PRIu64 " acknowledged, %" PRIu64 " dead letters, %zu unacknowledged, %s%s",
			progress->in_place ? "\r" : "", seconds > 0 ? (double) (answered - progress->answered) / seconds : 0,
			counts->acknowledged, counts->dead_letters, sluice_sender_unacknowledged(sender),
			sluice_sender_state(sender), progress->in_place ? "\033[K" : "\n");
	fflush(progress->file);
	progress->shown = progress->in_place;
	progress->since = now;
	progress->answered = answered;
}

void
sluice_progress_clear(SluiceProgress *progress)
{
	if (!progress->shown)
		return;
	fputs("\r\033[K", progress->file);
	fflush(progress->file);
	progress->shown = false;
}
