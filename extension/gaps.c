/*
 * gaps.c
 *		Sequences that producers will not send, on their way into sluice.gaps.
 *
 * Under compaction every second record may be a gap of its own: a row for each
 * would cost as much as the records.  So a batch leaves one row for each
 * producer and reason, with how many sequences between first and last are meant.
 */
#include "postgres.h"

#include "gaps.h"

#include "catalog.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/uuid.h"

/* sluice.v1.GapReason */
static const char *const reason_names[SLUICE_GAP_REASONS + 1] = {
	NULL, "full", "newest", "compacted", "too_large", "lost_tail", "server_lost", "damaged", "previous_stream"
};

int64
sluice_gaps_add(SluiceGaps *gaps, int32 stream, const SluiceProducer *producer,
				uint64_t first, uint64_t last, int reason)
{
	int64		n = (int64) (last - first + 1);

	/* A claim's gaps come one after the other: its rows are the last few. */
	for (int i = gaps->n - 1; i >= 0 && gaps->rows[i].producer == producer; i--)
		if (gaps->rows[i].reason == reason)
		{
			gaps->rows[i].last = (int64) last;
			gaps->rows[i].dropped += n;
			return n;
		}
	if (gaps->n == gaps->capacity)
	{
		gaps->capacity = gaps->capacity == 0 ? 16 : gaps->capacity * 2;
		gaps->rows = gaps->rows == NULL ? palloc(sizeof(SluiceGapRow) * gaps->capacity) :
			repalloc(gaps->rows, sizeof(SluiceGapRow) * gaps->capacity);
	}
	gaps->rows[gaps->n++] = (SluiceGapRow) {
		.stream = stream,.producer = producer,.reason = reason,
		.first = (int64) first,.last = (int64) last,.dropped = n
	};
	return n;
}

static Datum
array_of(Datum *values, int n, Oid type, int length, bool by_value, char align)
{
	return PointerGetDatum(construct_array(values, n, type, length, by_value, align));
}

void
sluice_gaps_write(const SluiceGaps *gaps)
{
	Oid			types[] = {INT4ARRAYOID, UUIDARRAYOID, TEXTARRAYOID, INT8ARRAYOID, INT8ARRAYOID, INT8ARRAYOID};
	Datum		arguments[lengthof(types)];
	Datum	   *columns[lengthof(types)];
	uint64		written;

	if (gaps->n == 0)
		return;
	for (int c = 0; c < lengthof(types); c++)
		columns[c] = palloc(sizeof(Datum) * gaps->n);
	for (int i = 0; i < gaps->n; i++)
	{
		const SluiceGapRow *row = &gaps->rows[i];

		columns[0][i] = Int32GetDatum(row->stream);
		columns[1][i] = UUIDPGetDatum((pg_uuid_t *) row->producer->id);
		columns[2][i] = CStringGetTextDatum(reason_names[row->reason]);
		columns[3][i] = Int64GetDatum(row->first);
		columns[4][i] = Int64GetDatum(row->last);
		columns[5][i] = Int64GetDatum(row->dropped);
	}
	arguments[0] = array_of(columns[0], gaps->n, INT4OID, 4, true, TYPALIGN_INT);
	arguments[1] = array_of(columns[1], gaps->n, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR);
	arguments[2] = array_of(columns[2], gaps->n, TEXTOID, -1, false, TYPALIGN_INT);
	for (int c = 3; c < lengthof(types); c++)
		arguments[c] = array_of(columns[c], gaps->n, INT8OID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	PushActiveSnapshot(GetTransactionSnapshot());
	written = sluice_catalog_execute("INSERT INTO sluice.gaps (stream, producer, reason, first, last, dropped) "
									 "SELECT * FROM unnest($1, $2, $3, $4, $5, $6)",
									 lengthof(types), types, arguments, NULL, SPI_OK_INSERT);
	if (written != (uint64) gaps->n)
		elog(ERROR, "%d gaps were to be written, " UINT64_FORMAT " were", gaps->n, written);
	PopActiveSnapshot();
	if (SPI_finish() != SPI_OK_FINISH)
		elog(ERROR, "SPI_finish failed");
}
