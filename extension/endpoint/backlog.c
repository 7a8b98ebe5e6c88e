/*
 * backlog.c
 *		The records that have arrived and have no verdict yet, and which of them
 *		come next.
 *
 * Records come and go in runs, by the first of each (record.h); "record" below is
 * a run.  Each stream has a queue of records that are ready, in order of arrival, and
 * a queue of parked records for each length of delay.  All that wait in one of
 * these were parked for the same time, so its first is due first and no queue
 * needs sorting.  What is due again goes to the front of the ready ones: it came
 * before them.
 *
 * A held stream keeps all of its records.  When its time is over it is on trial:
 * it is given a batch of its own, so that if it fails again nobody else's batch
 * fails with it, and streams on trial take turns with the healthy ones, so
 * that neither starve.
 */
#include "backlog.h"

#include <stdlib.h>
#include <string.h>

#include "queue.h"

#define MS INT64_C(1000)

#define PARK_STEPS 8
#define HOLD_MIN (100 * MS)
#define HOLD_MAX_LOCKED (2000 * MS)
#define HOLD_MAX_FAILED (10000 * MS)
#define HOLD_PAUSED (1000 * MS)

static const int64_t park_delays[PARK_STEPS] = {
	10 * MS, 20 * MS, 40 * MS, 80 * MS, 160 * MS, 320 * MS, 640 * MS, 1000 * MS
};

typedef struct Stream
{
	int32_t		id;
	SluiceQueue ready;
	SluiceQueue parked[PARK_STEPS];
	size_t		nparked;		/* in all of them */
	int64_t		held_until;
	int64_t		hold_delay;		/* the last one; 0: none, or paused */
	bool		trial;			/* held, and no success since */

	/* While a batch is chosen. */
	SluiceRecord *cursor;		/* first ready record that is not chosen */
	size_t		chosen;			/* runs */
	size_t		chosen_records;
} Stream;

struct SluiceBacklog
{
	Stream	  **streams;		/* ascending by id */
	int			nstreams;
	int			stream_room;
	int			last_found;		/* index: most records follow one of their own stream */
	size_t		count;
	unsigned int turn;			/* which stream is served first */
	bool		trial_turn;		/* streams on trial are next */
	SluiceRecord **records;		/* what was taken last */
	size_t		record_room;
	SluicePortion *portions;
	int			portion_room;
};

/* What a batch may hold, and what it holds so far. */
typedef struct Choice
{
	size_t		max_records;
	size_t		max_bytes;
	size_t		records;
	size_t		bytes;
} Choice;

/* ---- streams ---- */

SluiceBacklog *
sluice_backlog_create(void)
{
	return calloc(1, sizeof(SluiceBacklog));
}

void
sluice_backlog_free(SluiceBacklog *backlog)
{
	if (backlog == NULL)
		return;
	for (int i = 0; i < backlog->nstreams; i++)
		free(backlog->streams[i]);
	free(backlog->streams);
	free(backlog->records);
	free(backlog->portions);
	free(backlog);
}

size_t
sluice_backlog_count(const SluiceBacklog *backlog)
{
	return backlog->count;
}

/* The index of the first stream whose id is not below the given one. */
static int
stream_position(const SluiceBacklog *backlog, int32_t id)
{
	int			low = 0;
	int			high = backlog->nstreams;

	while (low < high)
	{
		int			middle = low + (high - low) / 2;

		if (backlog->streams[middle]->id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static Stream *
stream_find(SluiceBacklog *backlog, int32_t id)
{
	int			position = backlog->last_found;

	if (position >= backlog->nstreams || backlog->streams[position]->id != id)
		position = stream_position(backlog, id);
	if (position >= backlog->nstreams || backlog->streams[position]->id != id)
		return NULL;
	backlog->last_found = position;
	return backlog->streams[position];
}

static Stream *
stream_insert(SluiceBacklog *backlog, int32_t id)
{
	int			position = stream_position(backlog, id);
	Stream	   *stream;

	if (backlog->nstreams == backlog->stream_room)
	{
		int			room = backlog->stream_room ? 2 * backlog->stream_room : 16;
		Stream	  **streams = realloc(backlog->streams, room * sizeof(Stream *));

		if (streams == NULL)
			return NULL;
		backlog->streams = streams;
		backlog->stream_room = room;
	}
	stream = calloc(1, sizeof(Stream));
	if (stream == NULL)
		return NULL;
	stream->id = id;
	memmove(&backlog->streams[position + 1], &backlog->streams[position],
			(backlog->nstreams - position) * sizeof(Stream *));
	backlog->streams[position] = stream;
	backlog->nstreams++;
	return stream;
}

/* A stream without records that nothing is to be remembered of. */
static void
stream_delete(SluiceBacklog *backlog, Stream *stream)
{
	int			position = stream_position(backlog, stream->id);

	backlog->nstreams--;
	memmove(&backlog->streams[position], &backlog->streams[position + 1],
			(backlog->nstreams - position) * sizeof(Stream *));
	free(stream);
}

/* ---- records in ---- */

bool
sluice_backlog_add(SluiceBacklog *backlog, SluiceRecord *record)
{
	int32_t		id = record->sender->stream_id;
	Stream	   *stream = stream_find(backlog, id);

	if (stream == NULL && (stream = stream_insert(backlog, id)) == NULL)
		return false;
	record->delay = 0;
	sluice_queue_append(&stream->ready, record);
	backlog->count += record->run;
	return true;
}

void
sluice_backlog_park(SluiceBacklog *backlog, int32_t stream_id, SluiceRecord *record, int64_t now)
{
	Stream	   *stream = stream_find(backlog, stream_id);
	int			step = record->delay;

	record->due_at = now + park_delays[step];
	if (step < PARK_STEPS - 1)
		record->delay++;
	sluice_queue_append(&stream->parked[step], record);
	stream->nparked++;
	backlog->count += record->run;
}

void
sluice_backlog_return(SluiceBacklog *backlog, int32_t stream_id,
					  SluiceRecord **records, int nrecords)
{
	Stream	   *stream = stream_find(backlog, stream_id);

	for (int i = nrecords - 1; i >= 0; i--)
	{
		sluice_queue_prepend(&stream->ready, records[i]);
		backlog->count += records[i]->run;
	}
}

/* ---- holds ---- */

static int64_t
hold_delay(const Stream *stream, SluiceBacklogHold hold)
{
	int64_t		max = hold == SLUICE_BACKLOG_LOCKED ? HOLD_MAX_LOCKED : HOLD_MAX_FAILED;
	int64_t		delay = stream->hold_delay ? 2 * stream->hold_delay : HOLD_MIN;

	return delay < max ? delay : max;
}

int64_t
sluice_backlog_hold(SluiceBacklog *backlog, int32_t stream_id,
					SluiceBacklogHold hold, int64_t now)
{
	Stream	   *stream = stream_find(backlog, stream_id);

	stream->trial = true;
	if (hold == SLUICE_BACKLOG_PAUSED)
	{
		stream->hold_delay = 0;
		stream->held_until = now + HOLD_PAUSED;
	}
	else
	{
		stream->hold_delay = hold_delay(stream, hold);
		stream->held_until = now + stream->hold_delay;
	}
	return stream->held_until;
}

bool
sluice_backlog_release(SluiceBacklog *backlog, int32_t stream_id)
{
	Stream	   *stream = stream_find(backlog, stream_id);
	bool		held;

	if (stream == NULL)
		return false;
	held = stream->trial;
	stream->trial = false;
	stream->hold_delay = 0;
	stream->held_until = 0;
	return held;
}

/* ---- what comes next ---- */

/* Parked records whose time has come go before those that are ready. */
static void
stream_unpark(Stream *stream, int64_t now)
{
	SluiceQueue		due = {NULL, NULL, 0};

	if (stream->nparked == 0)
		return;
	for (int step = PARK_STEPS - 1; step >= 0; step--)
	{
		SluiceQueue	   *parked = &stream->parked[step];

		while (parked->first && parked->first->due_at <= now)
		{
			sluice_queue_append(&due, sluice_queue_pop(parked));
			stream->nparked--;
		}
	}
	sluice_queue_prepend_all(&stream->ready, &due);
}

static bool
stream_due(Stream *stream, int64_t now)
{
	return stream->ready.count > 0 && stream->held_until <= now;
}

/*
 * Mark which streams the batch is made of by setting their cursors: all
 * healthy ones that are due, or a single one that is on trial.  Returns how
 * many.
 */
static int
choose_streams(SluiceBacklog *backlog, int64_t now)
{
	int			healthy = 0;
	Stream	   *trial = NULL;

	for (int i = 0; i < backlog->nstreams; i++)
	{
		Stream	   *stream = backlog->streams[(i + backlog->turn) % backlog->nstreams];

		stream->chosen = stream->chosen_records = 0;
		stream->cursor = NULL;
		stream_unpark(stream, now);
		if (!stream_due(stream, now))
			continue;
		if (!stream->trial)
			healthy++;
		else if (trial == NULL)
			trial = stream;
	}
	if (trial != NULL && (healthy == 0 || backlog->trial_turn))
	{
		backlog->trial_turn = false;
		trial->cursor = trial->ready.first;
		return 1;
	}
	backlog->trial_turn = true;
	for (int i = 0; i < backlog->nstreams; i++)
	{
		Stream	   *stream = backlog->streams[i];

		if (!stream->trial && stream_due(stream, now))
			stream->cursor = stream->ready.first;
	}
	return healthy;
}

/* Choose runs of a stream up to its quota and as the batch has room. */
static void
choose_records(Stream *stream, Choice *choice, size_t quota_records, size_t quota_bytes)
{
	size_t		bytes = 0;

	while (stream->cursor != NULL && stream->chosen_records < quota_records &&
		   choice->records < choice->max_records)
	{
		size_t		more = stream->cursor->run_bytes;

		if (choice->records > 0 && choice->bytes + more > choice->max_bytes)
			break;
		if (stream->chosen > 0 && bytes + more > quota_bytes)
			break;
		bytes += more;
		choice->bytes += more;
		choice->records += stream->cursor->run;
		stream->chosen++;
		stream->chosen_records += stream->cursor->run;
		stream->cursor = stream->cursor->next;
	}
}

/* First everybody's fair part, then what is left over, to whoever has more. */
static void
choose(SluiceBacklog *backlog, int nstreams, Choice *choice)
{
	size_t		quota_records = choice->max_records / nstreams;
	size_t		quota_bytes = choice->max_bytes / nstreams;

	if (quota_records == 0)
		quota_records = 1;
	for (int pass = 0; pass < 2; pass++)
	{
		for (int i = 0; i < backlog->nstreams; i++)
		{
			Stream	   *stream = backlog->streams[(i + backlog->turn) % backlog->nstreams];

			if (stream->cursor != NULL)
				choose_records(stream, choice, quota_records, quota_bytes);
		}
		quota_records = SIZE_MAX;
		quota_bytes = choice->max_bytes;
	}
	backlog->turn++;
}

static bool
make_room(SluiceBacklog *backlog, size_t nrecords)
{
	if (nrecords > backlog->record_room)
	{
		SluiceRecord **records = realloc(backlog->records, nrecords * sizeof(SluiceRecord *));

		if (records == NULL)
			return false;
		backlog->records = records;
		backlog->record_room = nrecords;
	}
	if (backlog->nstreams > backlog->portion_room)
	{
		SluicePortion *portions = realloc(backlog->portions, backlog->nstreams * sizeof(SluicePortion));

		if (portions == NULL)
			return false;
		backlog->portions = portions;
		backlog->portion_room = backlog->nstreams;
	}
	return true;
}

/* The records of a run that have no verdict yet. */
static size_t
take_run(SluiceBacklog *backlog, SluiceRecord *first, SluiceRecord **records)
{
	size_t		n = 0;

	backlog->count -= first->run;
	for (uint32_t i = 0; i < first->run; i++)
		if (first[i].verdict == SLUICE_PENDING)
			records[n++] = &first[i];
	return n;
}

int
sluice_backlog_take(SluiceBacklog *backlog, int64_t now,
					size_t max_records, size_t max_bytes,
					SluicePortion **portions)
{
	Choice		choice = {max_records, max_bytes, 0, 0};
	int			nstreams = choose_streams(backlog, now);
	int			nportions = 0;
	size_t		taken = 0;

	*portions = backlog->portions;
	if (nstreams == 0)
		return 0;
	choose(backlog, nstreams, &choice);
	if (!make_room(backlog, choice.records))
		return -1;

	for (int i = 0; i < backlog->nstreams; i++)
	{
		Stream	   *stream = backlog->streams[i];
		SluicePortion *portion;

		if (stream->chosen == 0)
			continue;
		portion = &backlog->portions[nportions++];
		portion->stream_id = stream->id;
		portion->records = &backlog->records[taken];
		for (size_t j = 0; j < stream->chosen; j++)
			taken += take_run(backlog, sluice_queue_pop(&stream->ready), &backlog->records[taken]);
		portion->nrecords = (int) (&backlog->records[taken] - portion->records);
	}
	*portions = backlog->portions;
	return nportions;
}

int64_t
sluice_backlog_next(const SluiceBacklog *backlog)
{
	int64_t		next = SLUICE_BACKLOG_NEVER;

	for (int i = 0; i < backlog->nstreams; i++)
	{
		const Stream *stream = backlog->streams[i];
		int64_t		due = SLUICE_BACKLOG_NEVER;

		if (stream->ready.count > 0)
			due = 0;
		else if (stream->nparked > 0)
		{
			for (int step = 0; step < PARK_STEPS; step++)
				if (stream->parked[step].first && stream->parked[step].first->due_at < due)
					due = stream->parked[step].first->due_at;
		}
		else
			continue;
		if (due < stream->held_until)
			due = stream->held_until;
		if (due < next)
			next = due;
	}
	return next;
}

/* ---- records out ---- */

static SluiceRecord *
stream_remove_parked(SluiceBacklog *backlog, Stream *stream)
{
	for (int step = 0; stream->nparked > 0 && step < PARK_STEPS; step++)
	{
		SluiceRecord *record = sluice_queue_pop(&stream->parked[step]);

		if (record != NULL)
		{
			stream->nparked--;
			backlog->count -= record->run;
			return record;
		}
	}
	return NULL;
}

static SluiceRecord *
stream_remove(SluiceBacklog *backlog, Stream *stream)
{
	SluiceRecord *record = sluice_queue_pop(&stream->ready);

	if (record == NULL)
		return stream_remove_parked(backlog, stream);
	backlog->count -= record->run;
	return record;
}

SluiceRecord *
sluice_backlog_remove(SluiceBacklog *backlog, int32_t stream_id)
{
	Stream	   *stream = stream_find(backlog, stream_id);
	SluiceRecord *record;

	if (stream == NULL)
		return NULL;
	record = stream_remove(backlog, stream);
	if (record == NULL)
		stream_delete(backlog, stream);
	return record;
}

SluiceRecord *
sluice_backlog_remove_waiting(SluiceBacklog *backlog)
{
	for (int i = 0; i < backlog->nstreams; i++)
	{
		Stream	   *stream = backlog->streams[i];
		SluiceRecord *record;

		if (stream->trial)
			record = stream_remove(backlog, stream);
		else
			record = stream_remove_parked(backlog, stream);
		if (record != NULL)
			return record;
	}
	return NULL;
}

SluiceRecord *
sluice_backlog_remove_any(SluiceBacklog *backlog)
{
	for (int i = 0; i < backlog->nstreams; i++)
	{
		SluiceRecord *record = stream_remove(backlog, backlog->streams[i]);

		if (record != NULL)
			return record;
	}
	return NULL;
}
