/*
 * summary.c
 *		How a run ended: what it tells about its records.
 */
#include "summary.h"

#include <inttypes.h>

static uint64_t
acknowledged(const sluice_statistics *statistics)
{
	return statistics->stored + statistics->duplicates + statistics->filtered + statistics->settled_before;
}

static double
rate(const SluiceSummary *summary)
{
	uint64_t	settled = acknowledged(&summary->statistics) + summary->statistics.dead_lettered;

	return summary->seconds > 0 ? (double) settled / summary->seconds : 0;
}

/* What is mostly nothing. */
static void
print_if_any(FILE *file, uint64_t number, const char *what)
{
	if (number > 0)
		fprintf(file, ", %" PRIu64 " %s", number, what);
}

void
sluice_summary_print_text(FILE *file, const SluiceSummary *summary)
{
	const sluice_statistics *statistics = &summary->statistics;

	fprintf(file, "%" PRIu64 " sent: %" PRIu64 " stored, %" PRIu64 " duplicates, %" PRIu64 " dead letters",
			statistics->sent - statistics->resent, statistics->stored + statistics->settled_before,
			statistics->duplicates, statistics->dead_lettered);
	print_if_any(file, statistics->filtered, "filtered");
	print_if_any(file, statistics->set_aside, "set aside");
	print_if_any(file, statistics->dropped, "dropped");
	print_if_any(file, statistics->lost, "LOST");
	print_if_any(file, statistics->buffered_records, "UNACKNOWLEDGED");
	fprintf(file, "; %.1f s, %.0f records/s", summary->seconds, rate(summary));
	if (statistics->connections > 1)
		fprintf(file, ", %" PRIu64 " resent over %" PRIu64 " connections", statistics->resent, statistics->connections);
	fputc('\n', file);
}

void
sluice_summary_print_json(FILE *file, const SluiceSummary *summary)
{
	const sluice_statistics *statistics = &summary->statistics;

	fprintf(file, "{\"sent\":%" PRIu64 ",\"acknowledged\":%" PRIu64 ",\"stored\":%" PRIu64 ",\"duplicates\":%" PRIu64
			",\"filtered\":%" PRIu64 ",\"settled_before\":%" PRIu64,
			statistics->sent - statistics->resent, acknowledged(statistics), statistics->stored, statistics->duplicates,
			statistics->filtered, statistics->settled_before);
	fprintf(file, ",\"dead_letters\":%" PRIu64 ",\"set_aside\":%" PRIu64 ",\"dropped\":%" PRIu64 ",\"lost\":%" PRIu64
			",\"unacknowledged\":%" PRIu64,
			statistics->dead_lettered, statistics->set_aside, statistics->dropped, statistics->lost,
			statistics->buffered_records);
	fprintf(file, ",\"resent\":%" PRIu64 ",\"calls\":%" PRIu64 ",\"seconds\":%.3f,\"records_per_second\":%.0f"
			",\"exit_status\":%d}\n",
			statistics->resent, statistics->connections, summary->seconds, rate(summary), (int) summary->exit);
}
