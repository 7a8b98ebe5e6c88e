/*
 * source.c
 *		A stream that this worker delivers rows from.
 */
#include "postgres.h"

#include "source.h"

#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "watch.h"

/* After a failure: doubling, up to a second.  A table that is locked is one. */
#define RETRY_US INT64CONST(10000)
#define RETRY_DOUBLINGS 7

static dlist_head sources = DLIST_STATIC_INIT(sources);

SluiceSource *
sluice_source_join(int32 stream_id)
{
	dlist_iter	iter;
	SluiceSource *source;

	dlist_foreach(iter, &sources)
	{
		source = dlist_container(SluiceSource, node, iter.cur);
		if (source->stream_id == stream_id)
		{
			source->users++;
			return source;
		}
	}
	source = MemoryContextAllocZero(TopMemoryContext, sizeof(*source));
	source->stream_id = stream_id;
	source->users = 1;
	source->dirty = true;
	source->state.final = source->state.last_value = PG_INT64_MIN;
	source->state.look_at = PG_INT64_MAX;
	dlist_push_tail(&sources, &source->node);
	return source;
}

static void
forget_readings(SluiceSource *source)
{
	ListCell   *cell;

	foreach(cell, source->readings)
		sluice_reading_free(((SluiceSourceReading *) lfirst(cell))->reading);
	list_free_deep(source->readings);
	source->readings = NIL;
	source->extract.valid = false;
	source->extract.reading = NULL;
}

/* The tables of all sources, and nothing else. */
static void
watch_all(void)
{
	dlist_iter	iter;
	Oid		   *all = NULL;
	int			n = 0;

	dlist_foreach(iter, &sources)
	{
		SluiceSource *source = dlist_container(SluiceSource, node, iter.cur);
		const Oid  *relids;
		int			nrelids = source->horizon == NULL ? 0 : sluice_horizon_relations(source->horizon, &relids);

		if (nrelids == 0)
			continue;
		all = all == NULL ? palloc(sizeof(Oid) * nrelids) : repalloc(all, sizeof(Oid) * (n + nrelids));
		memcpy(all + n, relids, sizeof(Oid) * nrelids);
		n += nrelids;
	}
	sluice_watch_set(all, n);
}

void
sluice_source_leave(SluiceSource *source)
{
	if (--source->users > 0)
		return;
	dlist_delete(&source->node);
	forget_readings(source);
	if (source->horizon != NULL)
		sluice_horizon_free(source->horizon);
	sluice_buffer_free(&source->extract.rows);
	pfree(source);
	watch_all();
}

void
sluice_source_soil(SluiceSource *source)
{
	source->dirty = true;
}

void
sluice_source_soil_all(void)
{
	dlist_iter	iter;

	dlist_foreach(iter, &sources)
		dlist_container(SluiceSource, node, iter.cur)->dirty = true;
}

int64
sluice_source_failed(SluiceSource *source, int64 now)
{
	source->dirty = true;
	source->retry_at = now + (RETRY_US << source->failures);
	if (source->failures < RETRY_DOUBLINGS)
		source->failures++;
	return source->retry_at;
}

/* A new horizon, where the old one does not fit the table any more.  False: there can be none. */
static bool
renew_horizon(SluiceSource *source, SluiceStream *stream, char **why)
{
	SluiceHorizon *before = source->horizon;

	if (before != NULL && !sluice_horizon_is_stale(before))
		return true;
	source->horizon = sluice_horizon_create(stream->target, stream->offset_column, why);
	if (before != NULL && source->horizon != NULL && sluice_horizon_is_restart(before, source->horizon))
		source->restarts++;
	if (before != NULL)
		sluice_horizon_free(before);
	if (source->horizon == NULL)
		return false;
	/* Watched first, and looked at then: so nothing is missed in between. */
	watch_all();
	source->extract.valid = false;
	source->dirty = true;
	return true;
}

static void
renew_readings(SluiceSource *source)
{
	ListCell   *cell;

	foreach(cell, source->readings)
		if (sluice_reading_is_stale(((SluiceSourceReading *) lfirst(cell))->reading))
		{
			forget_readings(source);
			return;
		}
}

SluiceSourceState
sluice_source_look(SluiceSource *source, int64 now, char **why)
{
	SluiceStream *stream = sluice_stream_by_id(source->stream_id);

	*why = NULL;
	if (stream == NULL || get_rel_relkind(stream->target) == '\0')
		return SLUICE_SOURCE_GONE;
	if (stream->restored)
	{
		*why = pstrdup(stream->held_reason);
		return SLUICE_SOURCE_HELD;
	}
	memcpy(source->uid, stream->uid, SLUICE_UID_SIZE);
	if (stream->offset_column == NULL)
	{
		*why = psprintf("stream \"%s\" has no offset column: name one with sluice.alter_stream(offset_column => ...)", stream->name);
		return SLUICE_SOURCE_UNFIT;
	}
	if (!renew_horizon(source, stream, why))
		return SLUICE_SOURCE_UNFIT;
	renew_readings(source);
	if (source->dirty || now >= source->state.look_at)
	{
		source->dirty = false;
		source->looked_at = now;
		sluice_horizon_look(source->horizon, now, &source->state);
	}
	source->failures = 0;
	source->retry_at = 0;
	return SLUICE_SOURCE_READY;
}

SluiceReading *
sluice_source_known_reading(const SluiceSource *source, Oid role, SluiceEncoding encoding)
{
	ListCell   *cell;

	foreach(cell, source->readings)
	{
		const SluiceSourceReading *known = lfirst(cell);

		if (known->role == role && known->encoding == encoding)
			return known->reading;
	}
	return NULL;
}

SluiceReading *
sluice_source_reading(SluiceSource *source, Oid role, SluiceEncoding encoding, char **why)
{
	SluiceReading *reading = sluice_source_known_reading(source, role, encoding);
	SluiceSourceReading *known;
	MemoryContext old;

	if (reading != NULL)
		return reading;
	reading = sluice_reading_create(sluice_stream_by_id(source->stream_id), role, encoding, why);
	if (reading == NULL)
		return NULL;
	old = MemoryContextSwitchTo(TopMemoryContext);
	known = palloc(sizeof(*known));
	*known = (SluiceSourceReading) {.role = role,.encoding = encoding,.reading = reading};
	source->readings = lappend(source->readings, known);
	MemoryContextSwitchTo(old);
	return reading;
}

bool
sluice_source_has_more(const SluiceSource *source, int64 after)
{
	return source->state.final > after;
}

const SluiceExtract *
sluice_source_extracted(const SluiceSource *source, Oid role, SluiceEncoding encoding, int64 after, SluiceNacked nacked, int max_rows)
{
	const SluiceExtract *extract = &source->extract;

	return extract->valid && extract->reading == sluice_source_known_reading(source, role, encoding) &&
		!sluice_reading_is_stale(extract->reading) && extract->after == after && extract->n <= max_rows &&
		extract->nacked.offset == nacked.offset && extract->nacked.attempts == nacked.attempts && extract->through > after ? extract : NULL;
}

const SluiceExtract *
sluice_source_extract(SluiceSource *source, SluiceReading *reading, int64 after, SluiceNacked nacked, int max_rows, size_t max_bytes)
{
	SluiceExtract *extract = &source->extract;
	int64		final = source->state.final;
	bool		complete;

	extract->valid = false;
	extract->reading = reading;
	extract->after = after;
	extract->nacked = nacked;
	sluice_buffer_reset(&extract->rows);
	extract->n = sluice_reading_read(reading, after, final, Min(max_rows, SLUICE_SOURCE_ROWS_MAX), max_bytes, nacked,
									 &extract->rows, extract->offsets, &complete);
	extract->through = complete ? final : extract->offsets[extract->n - 1];
	extract->valid = true;
	return extract;
}
