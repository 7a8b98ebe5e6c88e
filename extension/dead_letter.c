/*
 * dead_letter.c
 *		Records that their target refused, written in the transaction that refuses them.
 */
#include "postgres.h"

#include "dead_letter.h"

#include "catalog.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "mb/pg_wchar.h"
#include "utils/array.h"
#include "catalog/namespace.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

/* One array argument a column. */
enum
{
	COL_KEY = 0,
	COL_KEY_TEXT,
	COL_PAYLOAD,
	COL_SQLSTATE,
	COL_MESSAGE,
	COL_DETAIL,
	COL_HINT,
	COL_CONTEXT,
	COL_CONSTRAINT,
	COL_ADDRESS,
	COL_RECEIVED_AT,
	COL_ONCE,
	COL_PRODUCER,
	COL_SEQUENCE,
	NCOLS
};

/* $1 stream id, $2 stream name, $3.. the columns.  once: not where the same letter is open already. */
static const char insert_letters[] =
	"INSERT INTO sluice.dead_letters (stream, stream_name, key, key_text, payload, sqlstate, message, detail, hint, "
	"context, constraint_name, client_address, received_at, producer, sequence) "
	"SELECT $1, $2, l.key, l.key_text, l.payload, l.sqlstate, l.message, l.detail, l.hint, l.context, "
	"l.constraint_name, l.address, l.received_at, l.producer, l.sequence "
	"FROM ROWS FROM (unnest($3), unnest($4), unnest($5), unnest($6), unnest($7), unnest($8), unnest($9), "
	"unnest($10), unnest($11), unnest($12), unnest($13), unnest($14), unnest($15), unnest($16)) AS l (key, key_text, payload, sqlstate, "
	"message, detail, hint, context, constraint_name, address, received_at, once, producer, sequence) "
	"WHERE NOT l.once OR NOT EXISTS (SELECT FROM sluice.dead_letters d WHERE d.stream = $1 AND d.key = l.key "
	"AND d.state = 'open' AND d.payload IS NOT DISTINCT FROM l.payload)";

static const Oid element_types[NCOLS] = {
	UUIDOID, TEXTOID, BYTEAOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TIMESTAMPTZOID, BOOLOID,
	UUIDOID, INT8OID
};

static const Oid array_types[NCOLS] = {
	UUIDARRAYOID, TEXTARRAYOID, BYTEAARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID,
	TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TIMESTAMPTZARRAYOID, BOOLARRAYOID,
	UUIDARRAYOID, INT8ARRAYOID
};

typedef struct Columns
{
	Datum	   *values[NCOLS];
	bool	   *nulls[NCOLS];
	int			n;
	int			if_new;			/* of them only where they are not there already */
} Columns;

/* The key as it was sent; NULL where this database cannot hold it as text. */
static char *
key_text(const SluiceRecord *record)
{
	int			encoding = GetDatabaseEncoding();
	int			capacity = record->key_length * MAX_CONVERSION_GROWTH + 1;
	char	   *converted;
	Oid			procedure;
	int			done;

	if (memchr(record->key_text, '\0', record->key_length) != NULL ||
		!pg_verify_mbstr(PG_UTF8, record->key_text, record->key_length, true))
		return NULL;
	if (encoding == PG_UTF8)
		return pnstrdup(record->key_text, record->key_length);
	procedure = FindDefaultConversionProc(PG_UTF8, encoding);
	if (!OidIsValid(procedure))
		return NULL;
	converted = palloc0(capacity);
	done = pg_do_encoding_conversion_buf(procedure, PG_UTF8, encoding, (unsigned char *) record->key_text,
										 record->key_length, (unsigned char *) converted, capacity, true);
	return done == (int) record->key_length ? converted : NULL;
}

static void
put_text(Columns *columns, int column, const char *text)
{
	columns->nulls[column][columns->n] = text == NULL;
	if (text != NULL)
		columns->values[column][columns->n] = CStringGetTextDatum(text);
}

static void
put_item(Columns *columns, const SluiceItem *item)
{
	SluiceRecord *record = item->record;
	bytea	   *payload = palloc(record->payload_length + VARHDRSZ);

	SET_VARSIZE(payload, record->payload_length + VARHDRSZ);
	memcpy(VARDATA(payload), record->payload, record->payload_length);
	columns->values[COL_PAYLOAD][columns->n] = PointerGetDatum(payload);
	columns->nulls[COL_PAYLOAD][columns->n] = !record->has_payload;
	columns->values[COL_KEY][columns->n] = UUIDPGetDatum((pg_uuid_t *) record->key);
	columns->nulls[COL_KEY][columns->n] = !item->has_key;
	put_text(columns, COL_KEY_TEXT, item->has_key ? key_text(record) : NULL);
	put_text(columns, COL_SQLSTATE, item->reason->sqlstate);
	put_text(columns, COL_MESSAGE, item->reason->message);
	put_text(columns, COL_DETAIL, item->reason->detail);
	put_text(columns, COL_HINT, item->reason->hint);
	put_text(columns, COL_CONTEXT, item->reason->context);
	put_text(columns, COL_CONSTRAINT, item->reason->constraint);
	put_text(columns, COL_ADDRESS, record->sender->address[0] != '\0' ? record->sender->address : NULL);
	columns->values[COL_RECEIVED_AT][columns->n] = TimestampTzGetDatum(record->received_at - SLUICE_EPOCH_OFFSET);
	/* A sequence counts each of its letters: it never leaves one out. */
	columns->values[COL_ONCE][columns->n] = BoolGetDatum(item->conflicts && item->claim == NULL);
	columns->if_new += item->conflicts && item->claim == NULL;
	columns->values[COL_PRODUCER][columns->n] = UUIDPGetDatum((pg_uuid_t *) record->sender->producer.id);
	columns->nulls[COL_PRODUCER][columns->n] = columns->nulls[COL_SEQUENCE][columns->n] = item->claim == NULL;
	columns->values[COL_SEQUENCE][columns->n] = Int64GetDatum((int64) record->sequence);
	columns->n++;
}

static bool
is_letter(const SluiceItem *item)
{
	return item->verdict == SLUICE_DEAD_LETTERED && item->reason != NULL && item->leader == NULL;
}

static void
insert_columns(SluiceStream *stream, Columns *columns)
{
	Oid			types[NCOLS + 2] = {INT4OID, TEXTOID};
	Datum		arguments[NCOLS + 2] = {Int32GetDatum(stream->id), CStringGetTextDatum(stream->name)};
	int			lower = 1;
	uint64		written;

	for (int c = 0; c < NCOLS; c++)
	{
		int16		length;
		bool		by_value;
		char		align;

		get_typlenbyvalalign(element_types[c], &length, &by_value, &align);
		types[c + 2] = array_types[c];
		arguments[c + 2] = PointerGetDatum(construct_md_array(columns->values[c], columns->nulls[c], 1, &columns->n,
															  &lower, element_types[c], length, by_value, align));
	}
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	PushActiveSnapshot(GetTransactionSnapshot());
	written = sluice_catalog_execute(insert_letters, NCOLS + 2, types, arguments, NULL, SPI_OK_INSERT);
	if (written > (uint64) columns->n || written < (uint64) (columns->n - columns->if_new))
		elog(ERROR, "%d dead letters were to be written, " UINT64_FORMAT " were", columns->n, written);
	PopActiveSnapshot();
	if (SPI_finish() != SPI_OK_FINISH)
		elog(ERROR, "SPI_finish failed");
}

void
sluice_dead_letter_write(SluiceStream *stream, SluiceItem *items, int nitems)
{
	Columns		columns = {0};
	int			n = 0;

	for (int i = 0; i < nitems; i++)
		n += is_letter(&items[i]);
	if (n == 0)
		return;
	for (int c = 0; c < NCOLS; c++)
	{
		columns.values[c] = palloc0(sizeof(Datum) * n);
		columns.nulls[c] = palloc0(sizeof(bool) * n);
	}
	for (int i = 0; i < nitems; i++)
		if (is_letter(&items[i]))
			put_item(&columns, &items[i]);
	insert_columns(stream, &columns);
}
