/*
 * sluice_rows_test.c
 *		What the worker uses to hand rows out, as SQL functions: watching tables, the
 *		horizon, and reading.  A session keeps one horizon, under a clock of the test's own,
 *		and one reading.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "portability/instr_time.h"
#include "storage/latch.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "horizon.h"
#include "reading.h"
#include "watch.h"
#include "wire.h"

PG_MODULE_MAGIC;

extern PGDLLEXPORT Datum sluice_test_watch_attach(PG_FUNCTION_ARGS);
extern PGDLLEXPORT Datum sluice_test_watch_set(PG_FUNCTION_ARGS);
extern PGDLLEXPORT Datum sluice_test_watch_take(PG_FUNCTION_ARGS);
extern PGDLLEXPORT Datum sluice_test_watch_wait(PG_FUNCTION_ARGS);
extern PGDLLEXPORT Datum sluice_test_horizon_create(PG_FUNCTION_ARGS);
extern PGDLLEXPORT Datum sluice_test_horizon_look(PG_FUNCTION_ARGS);
extern PGDLLEXPORT Datum sluice_test_horizon_stale(PG_FUNCTION_ARGS);
extern PGDLLEXPORT Datum sluice_test_horizon_relations(PG_FUNCTION_ARGS);
extern PGDLLEXPORT Datum sluice_test_reading_create(PG_FUNCTION_ARGS);
extern PGDLLEXPORT Datum sluice_test_reading_read(PG_FUNCTION_ARGS);
extern PGDLLEXPORT Datum sluice_test_reading_payload(PG_FUNCTION_ARGS);
extern PGDLLEXPORT Datum sluice_test_reading_offset_at(PG_FUNCTION_ARGS);
extern PGDLLEXPORT Datum sluice_test_reading_stale(PG_FUNCTION_ARGS);
extern PGDLLEXPORT Datum sluice_test_reading_measure(PG_FUNCTION_ARGS);
extern PGDLLEXPORT Datum sluice_test_reading_append(PG_FUNCTION_ARGS);

PG_FUNCTION_INFO_V1(sluice_test_watch_attach);
PG_FUNCTION_INFO_V1(sluice_test_watch_set);
PG_FUNCTION_INFO_V1(sluice_test_watch_take);
PG_FUNCTION_INFO_V1(sluice_test_watch_wait);
PG_FUNCTION_INFO_V1(sluice_test_horizon_create);
PG_FUNCTION_INFO_V1(sluice_test_horizon_look);
PG_FUNCTION_INFO_V1(sluice_test_horizon_stale);
PG_FUNCTION_INFO_V1(sluice_test_horizon_relations);
PG_FUNCTION_INFO_V1(sluice_test_reading_create);
PG_FUNCTION_INFO_V1(sluice_test_reading_read);
PG_FUNCTION_INFO_V1(sluice_test_reading_payload);
PG_FUNCTION_INFO_V1(sluice_test_reading_offset_at);
PG_FUNCTION_INFO_V1(sluice_test_reading_stale);
PG_FUNCTION_INFO_V1(sluice_test_reading_measure);
PG_FUNCTION_INFO_V1(sluice_test_reading_append);

static SluiceHorizon *horizon = NULL;
static SluiceReading *reading = NULL;

/* As the worker of this number, which must not run. */
Datum
sluice_test_watch_attach(PG_FUNCTION_ARGS)
{
	sluice_watch_attach(PG_GETARG_INT32(0));
	PG_RETURN_VOID();
}

Datum
sluice_test_watch_set(PG_FUNCTION_ARGS)
{
	Datum	   *elements;
	Oid		   *relids;
	int			n;

	deconstruct_array(PG_GETARG_ARRAYTYPE_P(0), REGCLASSOID, sizeof(Oid), true, TYPALIGN_INT, &elements, NULL, &n);
	relids = palloc(sizeof(Oid) * (n + 1));
	for (int i = 0; i < n; i++)
		relids[i] = DatumGetObjectId(elements[i]);
	sluice_watch_set(relids, n);
	PG_RETURN_VOID();
}

Datum
sluice_test_watch_take(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(sluice_watch_take());
}

/* Wait until somebody has written, at most so many milliseconds.  True: somebody has. */
Datum
sluice_test_watch_wait(PG_FUNCTION_ARGS)
{
	bool		written;

	while (!(written = sluice_watch_take()))
	{
		int			events = WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
									   PG_GETARG_INT32(0), PG_WAIT_EXTENSION);

		if (events & WL_TIMEOUT)
			break;
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
	PG_RETURN_BOOL(written);
}

/* NULL, or why it cannot be. */
Datum
sluice_test_horizon_create(PG_FUNCTION_ARGS)
{
	char	   *why;

	if (horizon != NULL)
		sluice_horizon_free(horizon);
	horizon = sluice_horizon_create(PG_GETARG_OID(0), PG_ARGISNULL(1) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(1)), &why);
	if (horizon == NULL)
		PG_RETURN_TEXT_P(cstring_to_text(why));
	PG_RETURN_NULL();
}

/* At so many milliseconds: "final 1 of 2, look after 1 ms, blocked by a session". */
Datum
sluice_test_horizon_look(PG_FUNCTION_ARGS)
{
	int64		now = PG_GETARG_INT64(0) * 1000;
	SluiceHorizonState state;
	StringInfoData text;

	sluice_horizon_look(horizon, now, &state);
	initStringInfo(&text);
	if (state.final == PG_INT64_MIN)
		appendStringInfo(&text, "nothing final of " INT64_FORMAT, state.last_value);
	else
		appendStringInfo(&text, "final " INT64_FORMAT " of " INT64_FORMAT, state.final, state.last_value);
	if (state.look_at != PG_INT64_MAX)
		appendStringInfo(&text, ", look after " INT64_FORMAT " ms", (state.look_at - now) / 1000);
	if (state.blocked)
		appendStringInfo(&text, ", blocked by a %s", state.blocker != 0 ? "session" : "prepared transaction");
	PG_RETURN_TEXT_P(cstring_to_text(text.data));
}

Datum
sluice_test_horizon_stale(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(sluice_horizon_is_stale(horizon));
}

Datum
sluice_test_horizon_relations(PG_FUNCTION_ARGS)
{
	const Oid  *relids;
	int			n = sluice_horizon_relations(horizon, &relids);
	Datum	   *elements = palloc(sizeof(Datum) * n);

	for (int i = 0; i < n; i++)
		elements[i] = ObjectIdGetDatum(relids[i]);
	PG_RETURN_ARRAYTYPE_P(construct_array(elements, n, REGCLASSOID, sizeof(Oid), true, TYPALIGN_INT));
}

/* For a stream, with an encoding of sluice.v1.Encoding.  NULL, or why it cannot be. */
Datum
sluice_test_reading_create(PG_FUNCTION_ARGS)
{
	SluiceStream *stream = sluice_stream_by_name(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	char	   *why;

	if (stream == NULL)
		elog(ERROR, "there is no such stream");
	if (reading != NULL)
		sluice_reading_free(reading);
	reading = NULL;
	reading = sluice_reading_create(stream, InvalidOid, PG_GETARG_INT32(1), &why);
	if (reading == NULL)
		PG_RETURN_TEXT_P(cstring_to_text(why));
	PG_RETURN_NULL();
}

/* One message "rows" of sluice.v1.Rows off the wire. */
static void
take_row(SluiceWire *wire, SluiceWire *payload, uint64 fields[5])
{
	SluiceWire	row;
	uint32		number;
	uint32		type;

	memset(fields, 0, sizeof(uint64) * 5);
	payload->at = payload->end = NULL;
	if (!sluice_wire_tag(wire, &number, &type) || number != 4 || type != SLUICE_WIRE_BYTES || !sluice_wire_bytes(wire, &row))
		elog(ERROR, "not a row");
	while (row.at < row.end)
	{
		if (!sluice_wire_tag(&row, &number, &type) || number > 4)
			elog(ERROR, "not a field of a row");
		if (number == 2 ? !sluice_wire_bytes(&row, payload) : !sluice_wire_varint(&row, &fields[number]))
			elog(ERROR, "damaged field %u", number);
	}
}

static bytea *
bytes_of(const uint8 *data, size_t length)
{
	bytea	   *bytes = palloc(VARHDRSZ + length);

	SET_VARSIZE(bytes, VARHDRSZ + length);
	if (length > 0)
		memcpy(VARDATA(bytes), data, length);
	return bytes;
}

/* (after, through, max_rows, max_bytes, limit of the buffer): (offsets bigint[], payloads bytea[], complete) */
Datum
sluice_test_reading_read(PG_FUNCTION_ARGS)
{
	int			max_rows = PG_GETARG_INT32(2);
	int64	   *offsets = palloc(sizeof(int64) * max_rows);
	Datum	   *offset_values = palloc(sizeof(Datum) * (max_rows + 1));
	Datum	   *payload_values = palloc(sizeof(Datum) * (max_rows + 1));
	SluiceBuffer rows = {.limit = PG_GETARG_INT32(4)};
	SluiceWire	wire;
	TupleDesc	desc;
	Datum		values[3];
	bool		nulls[3] = {false, false, false};
	bool		complete;
	int			n = sluice_reading_read(reading, PG_GETARG_INT64(0), PG_GETARG_INT64(1), max_rows,
										PG_GETARG_INT32(3), (SluiceNacked) {0}, &rows, offsets, &complete);

	wire.at = (const uint8_t *) rows.data;
	wire.end = wire.at + rows.length;
	for (int i = 0; i < n; i++)
	{
		SluiceWire	payload;
		uint64		fields[5];

		take_row(&wire, &payload, fields);
		if ((int64) fields[1] != offsets[i] || fields[3] != 0 || fields[4] != 0)
			elog(ERROR, "the row is another one");
		offset_values[i] = Int64GetDatum(offsets[i]);
		payload_values[i] = PointerGetDatum(bytes_of(payload.at, payload.end - payload.at));
	}
	if (wire.at != wire.end)
		elog(ERROR, "more rows than were told");
	free(rows.data);
	values[0] = PointerGetDatum(construct_array(offset_values, n, INT8OID, 8, true, TYPALIGN_DOUBLE));
	values[1] = PointerGetDatum(construct_array(payload_values, n, BYTEAOID, -1, false, TYPALIGN_INT));
	values[2] = BoolGetDatum(complete);
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

Datum
sluice_test_reading_payload(PG_FUNCTION_ARGS)
{
	uint8	   *payload;
	size_t		length;

	if (!sluice_reading_payload(reading, PG_GETARG_INT64(0), &payload, &length))
		PG_RETURN_NULL();
	PG_RETURN_BYTEA_P(bytes_of(payload, length));
}

Datum
sluice_test_reading_offset_at(PG_FUNCTION_ARGS)
{
	int64		offset;

	if (!sluice_reading_offset_at(reading, PG_GETARG_TIMESTAMPTZ(0) + SLUICE_EPOCH_OFFSET, &offset))
		PG_RETURN_NULL();
	PG_RETURN_INT64(offset);
}

Datum
sluice_test_reading_stale(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(sluice_reading_is_stale(reading));
}

/* Read all rows up to an offset in batches; microseconds for each row. */
Datum
sluice_test_reading_measure(PG_FUNCTION_ARGS)
{
	int64		through = PG_GETARG_INT64(0);
	int			max_rows = PG_GETARG_INT32(1);
	int64	   *offsets = palloc(sizeof(int64) * max_rows);
	SluiceBuffer rows = {0};
	int64		total = 0;
	int64		after = 0;
	bool		complete = false;
	instr_time	start;
	instr_time	end;

	INSTR_TIME_SET_CURRENT(start);
	while (!complete)
	{
		int			n;

		rows.length = 0;
		n = sluice_reading_read(reading, after, through, max_rows, SIZE_MAX / 2, (SluiceNacked) {0}, &rows, offsets, &complete);
		if (n > 0)
			after = offsets[n - 1];
		total += n;
	}
	INSTR_TIME_SET_CURRENT(end);
	INSTR_TIME_SUBTRACT(end, start);
	free(rows.data);
	PG_RETURN_FLOAT8(INSTR_TIME_GET_MICROSEC(end) / (double) total);
}

/* (offset, payload, redrive, attempts): what is written for them. */
Datum
sluice_test_reading_append(PG_FUNCTION_ARGS)
{
	bytea	   *payload = PG_GETARG_BYTEA_PP(1);
	SluiceBuffer rows = {0};
	bytea	   *result;

	sluice_reading_append(&rows, PG_GETARG_INT64(0), (const uint8 *) VARDATA_ANY(payload), VARSIZE_ANY_EXHDR(payload),
						  PG_GETARG_INT64(2), PG_GETARG_INT32(3));
	result = bytes_of((const uint8 *) rows.data, rows.length);
	free(rows.data);
	PG_RETURN_BYTEA_P(result);
}
