/*
 * sink_database.c
 *		Rows into a table of another database, in the transactions that keep the position.
 *
 * Rows are collected, and brought in one transaction: it moves the position first, from what the first
 * of them follows to the last one, so that of two consumers one fails; then it inserts, those with the same
 * members together.  Where the table refuses one of them, halves are tried, each a
 * transaction, until it is alone.  A redriven row has a transaction of its own, which keeps its id.
 */
#include "sink_database.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json_scan.h"
#include "memory.h"
#include "text.h"

#define ROWS_MAX 5000
#define BYTES_MAX ((size_t) 4 * 1024 * 1024)

typedef struct Kept
{
	sluice_row	row;			/* without its payload */
	size_t		start;			/* of it, in bytes; it ends with NUL */
	size_t		length;
	size_t		members;		/* equal numbers: the same members in the same order */
} Kept;

typedef struct Sink
{
	SluiceSink	sink;			/* first, for the casts */
	SluiceDatabase *database;
	Kept	   *rows;
	size_t		first;			/* not settled: from this one */
	size_t		count;			/* to this one */
	SluiceText	bytes;
	SluiceText	members;		/* of the last row: its members' names, each with a quote behind it */
	SluiceText	scanned;
	size_t		nmembers;		/* changes of them so far */
	size_t		statement;		/* the number that the database's statement is for */
	SluiceText	json;			/* of one INSERT */
} Sink;

/* ---- taking ---- */

static void
note_name(void *argument, SluiceScan name, SluiceScan value)
{
	SluiceText *names = argument;

	(void) value;
	sluice_text_append(names, name.at, (size_t) (name.end - name.at));
	sluice_text_append_byte(names, '"');
}

static bool
is_same(const SluiceText *one, const SluiceText *other)
{
	return one->length == other->length && (one->length == 0 || memcmp(one->bytes, other->bytes, one->length) == 0);
}

/* What is no object has members of its own, and fails alone. */
static size_t
classify(Sink *sink, const sluice_row *row)
{
	SluiceScan	scan = {row->payload, (const char *) row->payload + row->payload_length};
	SluiceText	before;

	sink->scanned.length = 0;
	if (!sluice_scan_object(&scan, note_name, &sink->scanned))
	{
		sink->members.length = 0;
		return ++sink->nmembers;
	}
	if (sink->nmembers > 0 && is_same(&sink->scanned, &sink->members))
		return sink->nmembers;
	before = sink->members;
	sink->members = sink->scanned;
	sink->scanned = before;
	return ++sink->nmembers;
}

static void
forget(Sink *sink)
{
	sink->first = 0;
	sink->count = 0;
	sink->bytes.length = 0;
}

static bool
take(SluiceSink *base, const sluice_row *row)
{
	Sink	   *sink = (Sink *) base;
	Kept	   *kept = &sink->rows[sink->count++];

	kept->row = *row;
	kept->start = sink->bytes.length;
	kept->length = row->payload_length;
	kept->members = classify(sink, row);
	sluice_text_append(&sink->bytes, row->payload, row->payload_length);
	sluice_text_append_byte(&sink->bytes, '\0');
	return sink->count < ROWS_MAX && sink->bytes.length < BYTES_MAX;
}

/* ---- one transaction ---- */

/* Those from from to to, which have the same members. */
static SluiceDatabaseResult
insert(Sink *sink, size_t from, size_t to)
{
	const Kept *first = &sink->rows[from];
	SluiceDatabaseResult code;

	sink->json.length = 0;
	for (size_t i = from; i < to; i++)
	{
		sluice_text_append_byte(&sink->json, i == from ? '[' : ',');
		sluice_text_append(&sink->json, sink->bytes.bytes + sink->rows[i].start, sink->rows[i].length);
	}
	sluice_text_append(&sink->json, "]", 2);
	code = sluice_database_insert(sink->database, sink->json.bytes, sink->bytes.bytes + first->start,
								  sink->statement == first->members);
	sink->statement = code == SLUICE_DATABASE_OK ? first->members : 0;
	return code;
}

static SluiceDatabaseResult
insert_all(Sink *sink, size_t from, size_t to)
{
	SluiceDatabaseResult code = SLUICE_DATABASE_OK;

	while (code == SLUICE_DATABASE_OK && from < to)
	{
		size_t		end = from + 1;

		while (end < to && sink->rows[end].members == sink->rows[from].members)
			end++;
		code = insert(sink, from, end);
		from = end;
	}
	return code;
}

static SluiceDatabaseResult
transact(Sink *sink, size_t from, size_t to)
{
	const sluice_row *first = &sink->rows[from].row;
	SluiceDatabaseResult code;

	if (first->redrive != 0)
		code = sluice_database_begin_redriven(sink->database, first->redrive);
	else
		code = sluice_database_begin(sink->database, first->previous, &sink->rows[to - 1].row.token);
	if (code == SLUICE_DATABASE_DONE_BEFORE)
		return SLUICE_DATABASE_OK;
	if (code == SLUICE_DATABASE_OK)
		code = insert_all(sink, from, to);
	return code == SLUICE_DATABASE_OK ? sluice_database_commit(sink->database) : code;
}

/* ---- settling ---- */

/* The first one that was not brought is sink->first. */
static SluiceDatabaseResult
bring(Sink *sink, size_t from, size_t to)
{
	SluiceDatabaseResult code = transact(sink, from, to);
	size_t		middle = from + (to - from) / 2;

	if (code == SLUICE_DATABASE_OK)
		sink->first = to;
	if (code != SLUICE_DATABASE_DATA || to - from == 1)
		return code;
	code = bring(sink, from, middle);
	return code == SLUICE_DATABASE_OK ? bring(sink, middle, to) : code;
}

/* Redriven rows one by one, the others in one piece. */
static size_t
end_of_piece(const Sink *sink)
{
	size_t		end = sink->first + 1;

	if (sink->rows[sink->first].row.redrive != 0)
		return end;
	while (end < sink->count && sink->rows[end].row.redrive == 0)
		end++;
	return end;
}

/* The first one that is left. */
static SluiceSinkOutcome
refuse(Sink *sink, SluiceSinkVerdict *verdict)
{
	const sluice_row *row = &sink->rows[sink->first].row;

	verdict->refused = *row;
	snprintf(verdict->reason, sizeof(verdict->reason), "%s", sluice_database_message(sink->database));
	if (row->redrive != 0)
	{
		sink->first++;
		return SLUICE_SINK_REFUSED;
	}
	/* What follows is void with it. */
	if (sluice_database_refuse(sink->database, row->previous, row->offset) != SLUICE_DATABASE_OK)
	{
		snprintf(verdict->message, sizeof(verdict->message), "%s", sluice_database_message(sink->database));
		forget(sink);
		return SLUICE_SINK_AGAIN;
	}
	forget(sink);
	return SLUICE_SINK_REFUSED;
}

static SluiceSinkOutcome
give_up(Sink *sink, SluiceDatabaseResult code, SluiceSinkVerdict *verdict)
{
	forget(sink);
	snprintf(verdict->message, sizeof(verdict->message), "the database of --into: %s", sluice_database_message(sink->database));
	return code == SLUICE_DATABASE_FAILED ? SLUICE_SINK_FAILED : SLUICE_SINK_AGAIN;
}

static SluiceSinkOutcome
settle(SluiceSink *base, SluiceSinkVerdict *verdict)
{
	Sink	   *sink = (Sink *) base;
	size_t		begin = sink->first;
	SluiceDatabaseResult code = SLUICE_DATABASE_OK;

	while (code == SLUICE_DATABASE_OK && sink->first < sink->count)
		code = bring(sink, sink->first, end_of_piece(sink));
	verdict->ndone = sink->first - begin;
	if (verdict->ndone > 0)
		verdict->done = sink->rows[sink->first - 1].row;
	if (code == SLUICE_DATABASE_DATA)
		return refuse(sink, verdict);
	if (code != SLUICE_DATABASE_OK)
		return give_up(sink, code, verdict);
	forget(sink);
	return SLUICE_SINK_DONE;
}

static bool
pending(const SluiceSink *base)
{
	const Sink *sink = (const Sink *) base;

	return sink->first < sink->count;
}

static SluiceSinkOutcome
begin(SluiceSink *base, const sluice_row *active, sluice_token *token, SluiceSinkVerdict *verdict)
{
	Sink	   *sink = (Sink *) base;
	SluiceDatabaseResult code = sluice_database_connect(sink->database);

	forget(sink);
	if (code == SLUICE_DATABASE_OK)
		code = sluice_database_position(sink->database, &active->token, token);
	return code == SLUICE_DATABASE_OK ? SLUICE_SINK_DONE : give_up(sink, code, verdict);
}

static void
free_sink(SluiceSink *base)
{
	Sink	   *sink = (Sink *) base;

	sluice_database_free(sink->database);
	sluice_text_free(&sink->bytes);
	sluice_text_free(&sink->members);
	sluice_text_free(&sink->scanned);
	sluice_text_free(&sink->json);
	free(sink->rows);
	free(sink);
}

SluiceSink *
sluice_sink_database_create(SluiceDatabase *database)
{
	static const SluiceSinkKind kind = {take, settle, pending, begin, NULL, free_sink};
	Sink	   *sink = sluice_memory_get_zeroed(sizeof(Sink));

	sink->sink.kind = &kind;
	sink->database = database;
	sink->rows = sluice_memory_get(ROWS_MAX * sizeof(Kept));
	return &sink->sink;
}
