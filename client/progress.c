/*
 * progress.c
 *		What a run says on standard error.
 */
#include "progress.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "clock.h"

void
sluice_progress_start(SluiceProgress *progress, FILE *file, bool in_place, int64_t now)
{
	memset(progress, 0, sizeof(*progress));
	pthread_mutex_init(&progress->mutex, NULL);
	progress->file = file;
	progress->in_place = in_place;
	progress->since = now;
}

static const char *
state_name(sluice_state state)
{
	static const char *const names[] = {
		"connecting", "connected", "waiting to connect again", "refused", "fenced", "forked", "closed", "standing by"
	};

	return (size_t) state < sizeof(names) / sizeof(names[0]) ? names[state] : "?";
}

/* Since the last time. */
static double
rate(SluiceProgress *progress, uint64_t settled, int64_t now)
{
	double		seconds = (double) (now - progress->since) / SLUICE_SECOND;
	double		result = seconds > 0 && progress->settled > 0 ? (double) (settled - progress->settled) / seconds : 0;

	progress->since = now;
	progress->settled = settled > 0 ? settled : 1;
	return result;
}

void
sluice_progress_show(SluiceProgress *progress, const sluice_statistics *statistics, int64_t now)
{
	pthread_mutex_lock(&progress->mutex);
	fprintf(progress->file, "%s%.0f records/s, %" PRIu64 " acknowledged, %" PRIu64 " dead letters, %" PRIu64 " buffered",
			progress->in_place ? "\r" : "", rate(progress, statistics->acknowledged_through, now),
			statistics->stored + statistics->duplicates + statistics->filtered + statistics->settled_before,
			statistics->dead_lettered + statistics->set_aside, statistics->buffered_records);
	if (statistics->buffered_records > 0)
		fprintf(progress->file, " (oldest %.1f s)", (double) statistics->oldest_age / 1e3);
	fprintf(progress->file, ", %s%s", state_name(statistics->state), progress->in_place ? "\033[K" : "\n");
	fflush(progress->file);
	progress->shown = progress->in_place;
	pthread_mutex_unlock(&progress->mutex);
}

void
sluice_progress_show_rows(SluiceProgress *progress, const sluice_consumption *consumption, uint64_t done,
						  uint64_t given_back, int64_t now)
{
	pthread_mutex_lock(&progress->mutex);
	fprintf(progress->file, "%s%.0f rows/s, %" PRIu64 " done, offset %" PRId64 ", %" PRIu64 " given back, %s%s%s",
			progress->in_place ? "\r" : "", rate(progress, done, now), done, consumption->offset, given_back,
			state_name(consumption->state), consumption->caught_up ? ", caught up" : "", progress->in_place ? "\033[K" : "\n");
	fflush(progress->file);
	progress->shown = progress->in_place;
	pthread_mutex_unlock(&progress->mutex);
}

static void
clear(SluiceProgress *progress)
{
	if (!progress->shown)
		return;
	fputs("\r\033[K", progress->file);
	fflush(progress->file);
	progress->shown = false;
}

void
sluice_progress_tell(SluiceProgress *progress, const char *format, ...)
{
	va_list		arguments;

	pthread_mutex_lock(&progress->mutex);
	clear(progress);
	fputs("sluice: ", progress->file);
	va_start(arguments, format);
	vfprintf(progress->file, format, arguments);
	va_end(arguments);
	fputc('\n', progress->file);
	fflush(progress->file);
	pthread_mutex_unlock(&progress->mutex);
}

void
sluice_progress_clear(SluiceProgress *progress)
{
	pthread_mutex_lock(&progress->mutex);
	clear(progress);
	pthread_mutex_unlock(&progress->mutex);
}
