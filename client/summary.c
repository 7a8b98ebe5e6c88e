/*
 * summary.c
 *		How a run ended: what it tells about its records.
 *
 * The wire says of a record only that it is acknowledged or dead-lettered.
 * What was stored now and what was known already comes as the server's counts
 * at the end of a call; a call that was cut has none, so for its records the
 * two cannot be told apart, and are not.
 */
#include "summary.h"

#include <inttypes.h>

static uint64_t
undistinguished(const SluiceSenderCounts *counts)
{
	return counts->acknowledged - counts->stored - counts->duplicates;
}

static double
rate(const SluiceSummary *summary)
{
	uint64_t	answered = summary->counts.acknowledged + summary->counts.dead_letters;

	return summary->seconds > 0 ? (double) answered / summary->seconds : 0;
}

void
sluice_summary_print_text(FILE *file, const SluiceSummary *summary)
{
	const SluiceSenderCounts *counts = &summary->counts;

	fprintf(file, "%" PRIu64 " sent: %" PRIu64 " stored, %" PRIu64 " duplicates, ",
			counts->sent, counts->stored, counts->duplicates);
	if (undistinguished(counts) > 0)
		fprintf(file, "%" PRIu64 " stored or duplicate, ", undistinguished(counts));
	fprintf(file, "%" PRIu64 " dead letters", counts->dead_letters);
	if (summary->unacknowledged > 0)
		fprintf(file, ", %" PRIu64 " UNACKNOWLEDGED", summary->unacknowledged);
	fprintf(file, "; %.1f s, %.0f records/s, %" PRIu64 " bytes", summary->seconds, rate(summary), counts->bytes);
	if (counts->resent > 0)
		fprintf(file, ", %" PRIu64 " resent over %" PRIu64 " calls", counts->resent, counts->calls);
	fputc('\n', file);
}

void
sluice_summary_print_json(FILE *file, const SluiceSummary *summary)
{
	const SluiceSenderCounts *counts = &summary->counts;

	fprintf(file, "{\"sent\":%" PRIu64 ",\"acknowledged\":%" PRIu64 ",\"stored\":%" PRIu64 ",\"duplicates\":%" PRIu64
			",\"stored_or_duplicate\":%" PRIu64 ",\"dead_letters\":%" PRIu64 ",\"unacknowledged\":%" PRIu64,
			counts->sent, counts->acknowledged, counts->stored, counts->duplicates, undistinguished(counts),
			counts->dead_letters, summary->unacknowledged);
	fprintf(file, ",\"resent\":%" PRIu64 ",\"calls\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"seconds\":%.3f"
			",\"records_per_second\":%.0f,\"exit_status\":%d}\n",
			counts->resent, counts->calls, counts->bytes, summary->seconds, rate(summary), (int) summary->exit);
}
