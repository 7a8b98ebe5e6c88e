/*
 * bench_result.c
 *		What "sluice bench" measured.
 */
#include "bench_result.h"

#include <inttypes.h>

static const struct
{
	double		part;
	const char *text;
	const char *member;
}			quantiles[] = {{0.5, "p50", "p50"}, {0.9, "p90", "p90"}, {0.99, "p99", "p99"}, {0.999, "p99.9", "p99_9"}};

#define NQUANTILES (sizeof(quantiles) / sizeof(quantiles[0]))

static double
per(double amount, uint64_t count)
{
	return count > 0 ? amount / (double) count : 0;
}

/* All that were to be sent. */
static uint64_t
records(const SluiceBenchResult *result)
{
	return result->found + result->statistics.put;
}

static double
rate(const SluiceBenchResult *result)
{
	return result->seconds > 0 ? (double) records(result) / result->seconds : 0;
}

static void
print_text_line(FILE *file, const char *name, const SluiceHistogram *histogram)
{
	fprintf(file, "%-22s", name);
	for (size_t i = 0; i < NQUANTILES; i++)
		fprintf(file, " %s %.1f", quantiles[i].text, (double) sluice_histogram_quantile(histogram, quantiles[i].part) / 1e3);
	fprintf(file, " max %.1f\n", (double) histogram->maximum / 1e3);
}

void
sluice_bench_result_print_text(FILE *file, const SluiceBenchResult *result)
{
	const sluice_statistics *statistics = &result->statistics;

	fprintf(file, "%" PRIu64 " records in %.2f s: %.0f a second, put in within %.2f s\n",
			records(result), result->seconds, rate(result), result->put_seconds);
	fprintf(file, "%" PRIu64 " stored, %" PRIu64 " dead letters, %" PRIu64 " without a verdict, %" PRIu64 " sent again\n",
			statistics->stored + statistics->settled_before, statistics->dead_lettered + statistics->set_aside,
			statistics->buffered_records, statistics->resent);
	print_text_line(file, "due to verdict, us:", &result->settled);
	print_text_line(file, "sluice_send, us:", &result->calls);
	fprintf(file, "this process: %.2f us of CPU a record, %.1f MB, %" PRIu64 " syncs\n",
			per(result->cpu * 1e6, records(result)), (double) result->memory / 1048576, statistics->syncs);
}

static void
print_json_member(FILE *file, const char *name, const SluiceHistogram *histogram)
{
	fprintf(file, ",\"%s\":{", name);
	for (size_t i = 0; i < NQUANTILES; i++)
		fprintf(file, "\"%s\":%.2f,", quantiles[i].member,
				(double) sluice_histogram_quantile(histogram, quantiles[i].part) / 1e3);
	fprintf(file, "\"max\":%.2f,\"count\":%" PRIu64 "}", (double) histogram->maximum / 1e3, histogram->total);
}

void
sluice_bench_result_print_json(FILE *file, const SluiceBenchResult *result)
{
	const sluice_statistics *statistics = &result->statistics;

	fprintf(file, "{\"records\":%" PRIu64 ",\"found\":%" PRIu64 ",\"measured\":%" PRIu64 ",\"stored\":%" PRIu64 ",\"duplicates\":%" PRIu64
			",\"dead_letters\":%" PRIu64 ",\"unacknowledged\":%" PRIu64 ",\"resent\":%" PRIu64,
			statistics->put, result->found, result->measured, statistics->stored + statistics->settled_before, statistics->duplicates,
			statistics->dead_lettered + statistics->set_aside, statistics->buffered_records, statistics->resent);
	fprintf(file, ",\"seconds\":%.3f,\"put_seconds\":%.3f,\"records_per_s\":%.0f,\"rate\":%.0f,\"threads\":%zu,\"size\":%zu",
			result->seconds, result->put_seconds, rate(result), result->rate, result->threads, result->size);
	print_json_member(file, "latency_us", &result->settled);
	print_json_member(file, "send_us", &result->calls);
	fprintf(file, ",\"cpu_us_per_record\":%.3f,\"rss_bytes\":%" PRIu64 ",\"file_bytes\":%" PRIu64 ",\"syncs\":%" PRIu64
			",\"connections\":%" PRIu64 "}\n",
			per(result->cpu * 1e6, records(result)), result->memory, statistics->file_bytes, statistics->syncs,
			statistics->connections);
}
