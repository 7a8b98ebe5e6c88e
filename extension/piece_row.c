/*
 * piece_row.c
 *		Rows of COPY's input from records: payload, envelope, defaults.
 */
#include "postgres.h"

#include "piece.h"

#include "executor/executor.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "optimizer/optimizer.h"
#include "port/pg_bswap.h"
#include "rewrite/rewriteHandler.h"
#include "row.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

void
sluice_row_writer_begin(SluiceRowWriter *writer, SluicePiece *piece)
{
	memset(writer, 0, sizeof(*writer));
	writer->piece = piece;
	writer->context = CurrentMemoryContext;
	writer->values = palloc0(sizeof(SluiceValue) * (piece->target->ncolumns + 1));
}

void
sluice_row_writer_end(SluiceRowWriter *writer)
{
	if (writer->estate != NULL)
		FreeExecutorState(writer->estate);
	writer->estate = NULL;
}

/* Reasons outlive the piece: they belong to the batch. */
static void
refuse(SluiceRowWriter *writer, SluiceItem *item, const SluiceFormatError *error)
{
	MemoryContext old = MemoryContextSwitchTo(writer->piece->context);

	/* Not the record's fault. */
	if (strcmp(error->sqlstate, "53200") == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
	item->verdict = SLUICE_DEAD_LETTERED;
	item->reason = sluice_piece_reason(error);
	MemoryContextSwitchTo(old);
}

bool
sluice_row_writer_decode(SluiceRowWriter *writer, SluiceItem *item)
{
	SluiceFormatError error = {0};

	if (!item->record->has_payload)
	{
		strcpy(error.sqlstate, "22004");
		strcpy(error.message, "record has no payload");
	}
	else if (sluice_format_decode(writer->piece->target->format, item->record->payload,
								  item->record->payload_length, writer->values, &error))
		return true;
	refuse(writer, item, &error);
	return false;
}

static SluiceValue
text_value(const char *text, size_t length)
{
	SluiceValue value = {.kind = SLUICE_VALUE_TEXT, .length = length};

	value.bytes = text;
	return value;
}

/* 16 bytes as a UUID is written. */
static SluiceValue
uuid_value(char *out, size_t size, const uint8 *id)
{
	snprintf(out, size, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
			 id[0], id[1], id[2], id[3], id[4], id[5], id[6], id[7],
			 id[8], id[9], id[10], id[11], id[12], id[13], id[14], id[15]);
	return text_value(out, 36);
}

/* The key: for a text column as it was sent, for a uuid column as it is remembered. */
static SluiceValue
key_value(SluiceRowWriter *writer, SluiceRecord *record, const SluiceColumn *shape)
{
	if (record->key_length == 0)
		return (SluiceValue) {.kind = SLUICE_VALUE_NULL};
	if (shape->type == SLUICE_COLUMN_TEXT)
		return text_value(record->key_text, record->key_length);
	return uuid_value(writer->key_text, sizeof(writer->key_text), record->key);
}

/* inet takes the host alone. */
static SluiceValue
address_value(SluiceRecord *record, const SluiceColumn *shape)
{
	const char *address = record->sender->address;
	size_t		length = strlen(address);
	const char *colon = strrchr(address, ':');

	if (length == 0)
		return (SluiceValue) {.kind = SLUICE_VALUE_NULL};
	if (shape->type == SLUICE_COLUMN_TEXT)
		return text_value(address, length);
	if (strncmp(address, "unix:", 5) == 0)
		return (SluiceValue) {.kind = SLUICE_VALUE_NULL};
	if (colon != NULL)
		length = colon - address;
	if (length > 2 && address[0] == '[')
		return text_value(address + 1, length - 2);
	return text_value(address, length);
}

static SluiceValue
envelope_value(SluiceRowWriter *writer, SluiceItem *item, const SluiceField *field)
{
	SluiceRecord *record = item->record;
	SluiceValue value = {.kind = SLUICE_VALUE_NULL};
	char	   *role;

	switch (field->item)
	{
		case SLUICE_ENVELOPE_KEY:
			return key_value(writer, record, &field->shape);
		case SLUICE_ENVELOPE_RECEIVED_AT:
			value.kind = SLUICE_VALUE_TIMESTAMP;
			value.integer = record->received_at - SLUICE_EPOCH_OFFSET;
			return value;
		case SLUICE_ENVELOPE_CLIENT_ADDRESS:
			return address_value(record, &field->shape);
		case SLUICE_ENVELOPE_ROLE:
			role = GetUserNameFromId(GetUserId(), false);
			role = pg_server_to_any(role, strlen(role), PG_UTF8);
			return text_value(role, strlen(role));
		case SLUICE_ENVELOPE_PRODUCER:
			if (record->sequence != 0)
				return uuid_value(writer->producer_text, sizeof(writer->producer_text), record->sender->producer.id);
			break;
		case SLUICE_ENVELOPE_SEQUENCE:
			if (record->sequence == 0)
				break;
			value.kind = SLUICE_VALUE_INT;
			value.integer = (int64) record->sequence;
			return value;
	}
	return value;
}

static void
prepare_default(SluiceRowWriter *writer, int field)
{
	SluiceTarget *target = writer->piece->target;
	MemoryContext old = MemoryContextSwitchTo(writer->context);

	if (writer->estate == NULL)
	{
		writer->estate = CreateExecutorState();
		writer->defaults = palloc0(sizeof(ExprState *) * target->nfields);
	}
	if (writer->defaults[field] == NULL)
	{
		Node	   *expr = build_column_default(writer->piece->rel, target->fields[field].attnum);

		if (expr == NULL)
			expr = (Node *) makeNullConst(target->fields[field].type, -1, InvalidOid);
		writer->defaults[field] = ExecPrepareExpr((Expr *) expr, writer->estate);
	}
	MemoryContextSwitchTo(old);
}

/* The column's default, as an insert of this one row would evaluate it. */
static Datum
evaluate_default(SluiceRowWriter *writer, int field, bool *is_null)
{
	SluiceTarget *target = writer->piece->target;
	Datum		result = (Datum) 0;

	prepare_default(writer, field);
	target->evaluating = true;
	PG_TRY();
	{
		result = ExecEvalExprSwitchContext(writer->defaults[field], GetPerTupleExprContext(writer->estate), is_null);
	}
	PG_FINALLY();
	{
		target->evaluating = false;
	}
	PG_END_TRY();
	return result;
}

static char *
default_text(SluiceRowWriter *writer, int field)
{
	bool		is_null;
	Datum		value = evaluate_default(writer, field, &is_null);
	Oid			output;
	bool		varlena;
	char	   *text;

	if (is_null)
		return NULL;
	getTypeOutputInfo(writer->piece->target->fields[field].type, &output, &varlena);
	text = OidOutputFunctionCall(output, value);
	return pg_server_to_any(text, strlen(text), PG_UTF8);
}

static void
append_default_binary(SluiceRowWriter *writer, int field, SluiceBuffer *out)
{
	bool		is_null;
	Datum		value = evaluate_default(writer, field, &is_null);
	uint32		length = pg_hton32((uint32) -1);
	Oid			send;
	bool		varlena;
	bytea	   *bytes;

	if (is_null)
	{
		sluice_buffer_append(out, &length, sizeof(length));
		return;
	}
	getTypeBinaryOutputInfo(writer->piece->target->fields[field].type, &send, &varlena);
	bytes = OidSendFunctionCall(send, value);
	length = pg_hton32((uint32) VARSIZE_ANY_EXHDR(bytes));
	sluice_buffer_append(out, &length, sizeof(length));
	sluice_buffer_append(out, VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes));
}

/* The value of a field, where it is not the column's default. */
static inline bool
field_value(SluiceRowWriter *writer, SluiceItem *item, const SluiceField *field, SluiceValue *value)
{
	*value = field->column >= 0 ? writer->values[field->column] : envelope_value(writer, item, field);
	return value->kind != SLUICE_VALUE_DEFAULT;
}

static bool
encode_binary(SluiceRowWriter *writer, SluiceItem *item, SluiceBuffer *out, SluiceFormatError *error)
{
	SluiceTarget *target = writer->piece->target;
	uint16		nfields = pg_hton16((uint16) target->nfields);

	sluice_buffer_append(out, &nfields, sizeof(nfields));
	for (int i = 0; i < target->nfields; i++)
	{
		SluiceValue value;

		if (!field_value(writer, item, &target->fields[i], &value))
			append_default_binary(writer, i, out);
		else if (!sluice_row_binary_field(out, &target->fields[i].shape, &value, error))
			return false;
	}
	return true;
}

/* A field's text into scratch; *is_null where there is none. */
static bool
field_text(SluiceRowWriter *writer, SluiceItem *item, int i, SluiceBuffer *scratch, bool *is_null, SluiceFormatError *error)
{
	SluiceField *field = &writer->piece->target->fields[i];
	SluiceValue value;
	char	   *text;

	if (field_value(writer, item, field, &value))
		return sluice_row_text_field(scratch, &field->shape, &value, is_null, error);
	text = default_text(writer, i);
	/* A default may have ingested into another stream, through the same buffer. */
	sluice_buffer_reset(scratch);
	*is_null = text == NULL;
	if (text != NULL)
		sluice_buffer_append_text(scratch, text);
	return true;
}

static bool
encode_text(SluiceRowWriter *writer, SluiceItem *item, SluiceBuffer *out, SluiceFormatError *error)
{
	static SluiceBuffer scratch;	/* of one field at a time */
	SluiceTarget *target = writer->piece->target;

	for (int i = 0; i < target->nfields; i++)
	{
		bool		is_null = false;

		sluice_buffer_reset(&scratch);
		if (!field_text(writer, item, i, &scratch, &is_null, error))
			return false;
		if (i > 0)
			sluice_buffer_append_char(out, '\t');
		if (is_null)
			sluice_buffer_append_text(out, "\\N");
		else
			sluice_row_escape(out, scratch.data, scratch.length);
		if (scratch.failed)
			ereport(ERROR,
					(errcode(ERRCODE_OUT_OF_MEMORY),
					 errmsg("out of memory")));
	}
	sluice_buffer_append_char(out, '\n');
	return true;
}

bool
sluice_row_writer_encode(SluiceRowWriter *writer, SluiceItem *item, SluiceBuffer *out)
{
	SluiceFormatError error = {0};
	size_t		start = out->length;
	bool		done;

	if (!sluice_row_writer_decode(writer, item))
		return false;
	done = writer->piece->target->binary ? encode_binary(writer, item, out, &error) :
		encode_text(writer, item, out, &error);
	if (writer->estate != NULL)
		ResetPerTupleExprContext(writer->estate);
	if (done)
		return true;
	out->length = start;
	refuse(writer, item, &error);
	return false;
}

char *
sluice_row_writer_text(SluiceRowWriter *writer, SluiceItem *item, int field)
{
	static SluiceBuffer scratch;
	SluiceFormatError error = {0};
	bool		is_null = false;

	sluice_buffer_reset(&scratch);
	if (!field_text(writer, item, field, &scratch, &is_null, &error))
	{
		refuse(writer, item, &error);
		return NULL;
	}
	return is_null ? NULL : pnstrdup(scratch.data, scratch.length);
}
