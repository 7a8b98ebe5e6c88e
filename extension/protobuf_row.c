/*
 * protobuf_row.c
 *		A row as the stream's protobuf message.
 *
 * NULL is an absent field, and so is the default of a field without presence.
 * Columns of json and jsonb are read as protobuf's JSON.  A column whose type
 * cannot hold what its field holds (the stream ignores the field) is left out.
 */
#include "postgres.h"

#include "protobuf_row.h"

#include "arena.h"
#include "catalog/pg_type.h"
#include "column_shape.h"
#include "common/int.h"
#include "fmgr.h"
#include "json_protobuf.h"
#include "mb/pg_wchar.h"
#include "protobuf_plan.h"
#include "protobuf_write.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

/* A field and its column. */
typedef struct Source
{
	const SluiceField *field;
	char	   *name;			/* of the column, in the server's encoding */
	SluiceColumn column;
	Oid			type;			/* under its domains; of the elements of an array */
	int16		length;			/* of an element */
	bool		by_value;
	char		align;
	FmgrInfo	output;			/* for what has no case of its own */
} Source;

struct SluiceProtobufRow
{
	SluiceArena arena;			/* malloc'ed: the message type */
	SluiceBuffer scratch;		/* malloc'ed, too */
	const SluiceMessageType *type;
	Source	   *sources;
	int			nsources;
	char	   *overflow;		/* column that takes fields without a column, or NULL: its value comes last */
	bool		overflow_is_jsonb;
};

static void
throw_error(const SluiceFormatError *error)
{
	char	   *message = sluice_stream_text(error->message, strlen(error->message));
	char	   *hint = sluice_stream_text(error->hint, strlen(error->hint));

	ereport(ERROR,
			(errcode(MAKE_SQLSTATE(error->sqlstate[0], error->sqlstate[1], error->sqlstate[2],
								   error->sqlstate[3], error->sqlstate[4])),
			 errmsg("row cannot be written as the stream's message: %s", message),
			 *hint != '\0' ? errhint("%s", hint) : 0));
}

static void
release(void *arg)
{
	SluiceProtobufRow *row = arg;

	sluice_arena_free(&row->arena);
	sluice_buffer_free(&row->scratch);
}

static Form_pg_attribute
find_attribute(TupleDesc table, const char *name)
{
	for (int i = 0; i < table->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(table, i);

		/* Names of fields are ASCII in every encoding. */
		if (!attribute->attisdropped && strcmp(NameStr(attribute->attname), name) == 0)
			return attribute;
	}
	return NULL;
}

static void
add_source(SluiceProtobufRow *row, const SluiceField *field, Form_pg_attribute attribute)
{
	Source	   *source = &row->sources[row->nsources];
	Oid			base = getBaseType(attribute->atttypid);
	Oid			element = get_element_type(base);
	Oid			output;
	bool		is_varlena;

	source->column = sluice_column_shape(attribute);
	if (!sluice_protobuf_plan_fits(field, &source->column))
		return;
	source->field = field;
	source->name = pstrdup(NameStr(attribute->attname));
	source->type = OidIsValid(element) ? element : base;
	get_typlenbyvalalign(source->type, &source->length, &source->by_value, &source->align);
	getTypeOutputInfo(source->type, &output, &is_varlena);
	fmgr_info_cxt(output, &source->output, CurrentMemoryContext);
	source->type = getBaseType(source->type);
	row->nsources++;
}

SluiceProtobufRow *
sluice_protobuf_row_create(SluiceStream *stream, TupleDesc table)
{
	SluiceProtobufRow *row = palloc0(sizeof(SluiceProtobufRow));
	MemoryContextCallback *callback = palloc0(sizeof(MemoryContextCallback));
	SluiceFormatError error = {0};
	Form_pg_attribute attribute;

	callback->func = release;
	callback->arg = row;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, callback);
	row->type = sluice_descriptor_load(&row->arena, stream->descriptor_set, stream->descriptor_set_length,
									   stream->message_type, &error);
	if (row->type == NULL)
		throw_error(&error);
	row->sources = palloc0(sizeof(Source) * (row->type->nfields + 1));
	for (int i = 0; i < row->type->nfields; i++)
	{
		attribute = find_attribute(table, row->type->fields[i].name);
		if (attribute != NULL)
			add_source(row, &row->type->fields[i], attribute);
	}
	attribute = stream->overflow_column == NULL ? NULL : find_attribute(table, stream->overflow_column);
	if (attribute != NULL)
	{
		row->overflow = pstrdup(stream->overflow_column);
		row->overflow_is_jsonb = getBaseType(attribute->atttypid) == JSONBOID;
	}
	return row;
}

List *
sluice_protobuf_row_columns(const SluiceProtobufRow *row)
{
	List	   *columns = NIL;

	for (int i = 0; i < row->nsources; i++)
		columns = lappend(columns, row->sources[i].name);
	if (row->overflow != NULL)
		columns = lappend(columns, row->overflow);
	return columns;
}

/* Values */

/* Text in the server's encoding. */
static void
set_text(SluiceValue *value, SluiceValueKind kind, const char *text, size_t length)
{
	char	   *utf8 = pg_server_to_any(text, length, PG_UTF8);

	value->kind = kind;
	value->bytes = utf8;
	value->length = utf8 == text ? length : strlen(utf8);
}

static void
set_output(Source *source, Datum datum, SluiceValue *value)
{
	const char *text = OutputFunctionCall(&source->output, datum);

	set_text(value, SLUICE_VALUE_TEXT, text, strlen(text));
}

static bool
is_message(const SluiceField *field, SluiceMessageKind kind)
{
	return field->message != NULL && field->message->kind == kind;
}

/* A point of time from a column of another type, which holds its text. */
static void
set_instant(Source *source, Datum datum, SluiceValue *value)
{
	char	   *text = OutputFunctionCall(&source->output, datum);

	value->kind = SLUICE_VALUE_TIMESTAMP;
	value->integer = DatumGetTimestampTz(DirectFunctionCall3(timestamptz_in, CStringGetDatum(text),
															 ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
}

static void
set_interval(const Interval *interval, SluiceValue *value)
{
	int64		days = interval->day + (int64) interval->month * DAYS_PER_MONTH;
	int64		span;

	value->kind = SLUICE_VALUE_INTERVAL;
	if (pg_mul_s64_overflow(days, USECS_PER_DAY, &span) || pg_add_s64_overflow(span, interval->time, &value->integer))
		value->integer = PG_INT64_MAX;	/* out of a Duration's range, too */
}

/* Does the field, or what it wraps, hold bytes? */
static bool
holds_bytes(const SluiceField *field)
{
	if (is_message(field, SLUICE_MESSAGE_WRAPPER))
		field = &field->message->fields[0];
	return field->type == SLUICE_FIELD_BYTES;
}

static void
set_varlena(Datum datum, SluiceValueKind kind, SluiceValue *value)
{
	struct varlena *data = PG_DETOAST_DATUM_PACKED(datum);

	set_text(value, kind, VARDATA_ANY(data), VARSIZE_ANY_EXHDR(data));
}

/* Those that are numbers, bytes or text by themselves, whatever the field is.  False: none of them. */
static bool
set_plain(Oid type, Datum datum, SluiceValue *value)
{
	bytea	   *bytes;

	switch (type)
	{
		case BOOLOID:
			value->kind = SLUICE_VALUE_BOOL;
			value->integer = DatumGetBool(datum);
			return true;
		case INT2OID:
			value->kind = SLUICE_VALUE_INT;
			value->integer = DatumGetInt16(datum);
			return true;
		case INT4OID:
			value->kind = SLUICE_VALUE_INT;
			value->integer = DatumGetInt32(datum);
			return true;
		case INT8OID:
			value->kind = SLUICE_VALUE_INT;
			value->integer = DatumGetInt64(datum);
			return true;
		case FLOAT4OID:
			value->kind = SLUICE_VALUE_FLOAT;
			value->real = DatumGetFloat4(datum);
			return true;
		case FLOAT8OID:
			value->kind = SLUICE_VALUE_DOUBLE;
			value->real = DatumGetFloat8(datum);
			return true;
		case TEXTOID:
		case VARCHAROID:
		case BPCHAROID:
			set_varlena(datum, SLUICE_VALUE_TEXT, value);
			return true;
		case BYTEAOID:
			bytes = DatumGetByteaPP(datum);
			value->kind = SLUICE_VALUE_BYTES;
			value->bytes = VARDATA_ANY(bytes);
			value->length = VARSIZE_ANY_EXHDR(bytes);
			return true;
		default:
			return false;
	}
}

static void
set_value(Source *source, Datum datum, SluiceValue *value)
{
	const SluiceField *field = source->field;

	memset(value, 0, sizeof(SluiceValue));
	if (is_message(field, SLUICE_MESSAGE_TIMESTAMP))
	{
		if (source->type == TIMESTAMPTZOID || source->type == TIMESTAMPOID)
		{
			value->kind = SLUICE_VALUE_TIMESTAMP;
			value->integer = DatumGetTimestampTz(datum);
		}
		else
			set_instant(source, datum, value);
	}
	else if (is_message(field, SLUICE_MESSAGE_DURATION))
	{
		if (source->type != INTERVALOID)
			datum = DirectFunctionCall3(interval_in, CStringGetDatum(OutputFunctionCall(&source->output, datum)),
										ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));
		set_interval(DatumGetIntervalP(datum), value);
	}
	else if (source->type == UUIDOID && holds_bytes(field))
	{
		value->kind = SLUICE_VALUE_BYTES;
		value->bytes = (const char *) DatumGetUUIDP(datum)->data;
		value->length = UUID_LEN;
	}
	else if (!set_plain(source->type, datum, value))
		set_output(source, datum, value);
}

/* Fields */

static bool
write_json(SluiceProtobufRow *row, const SluiceField *field, const char *text, size_t length,
		   SluiceBuffer *out, SluiceFormatError *error)
{
	SluiceJsonProtobuf json = {out, row->scratch, error};
	SluiceJsonWalk walk;
	SluiceJsonSlice slice;
	bool		written;

	sluice_json_walk_start(&walk, text, length, error);
	written = sluice_json_walk_value(&walk, 0, &slice) && sluice_json_protobuf_field(&json, field, &slice, 1);
	/* It may have moved. */
	row->scratch = json.scratch;
	return written;
}

/* JSON text of a json or jsonb value. */
static void
set_json(bool is_jsonb, Datum datum, SluiceValue *value)
{
	if (is_jsonb)
	{
		Jsonb	   *jsonb = DatumGetJsonbP(datum);
		const char *text = JsonbToCString(NULL, &jsonb->root, VARSIZE(jsonb));

		set_text(value, SLUICE_VALUE_JSON, text, strlen(text));
	}
	else
		set_varlena(datum, SLUICE_VALUE_JSON, value);
}

/* A string, or a wrapped one, that holds JSON. */
static bool
is_json_text(const SluiceField *field)
{
	if (field->repeated)
		return false;
	if (is_message(field, SLUICE_MESSAGE_WRAPPER))
		return field->message->fields[0].type == SLUICE_FIELD_STRING;
	return field->type == SLUICE_FIELD_STRING;
}

static bool
write_json_column(SluiceProtobufRow *row, Source *source, Datum datum, SluiceBuffer *out, SluiceFormatError *error)
{
	SluiceValue value = {0};

	set_json(source->type == JSONBOID, datum, &value);
	if (is_json_text(source->field))
		return sluice_protobuf_write_field(out, source->field, &value, error);
	return write_json(row, source->field, value.bytes, value.length, out, error);
}

static bool
write_array(Source *source, Datum datum, SluiceBuffer *out, SluiceFormatError *error)
{
	const SluiceField *field = source->field;
	bool		packed = sluice_protobuf_write_is_packed(field);
	Datum	   *elements;
	bool	   *nulls;
	int			n;
	size_t		begin = 0;

	deconstruct_array(DatumGetArrayTypeP(datum), ARR_ELEMTYPE(DatumGetArrayTypeP(datum)), source->length,
					  source->by_value, source->align, &elements, &nulls, &n);
	if (n == 0)
		return true;
	if (packed)
		begin = sluice_protobuf_write_begin(out, field->number);
	for (int i = 0; i < n; i++)
	{
		SluiceValue value;

		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("row cannot be written as the stream's message: column \"%s\" holds a NULL element, which a repeated field cannot hold",
							source->name)));
		set_value(source, elements[i], &value);
		if (field->message != NULL ? !sluice_protobuf_write_field(out, field, &value, error) :
			!sluice_protobuf_write_element(out, field, &value, error))
			return false;
	}
	if (packed)
		sluice_protobuf_write_end(out, begin);
	return true;
}

static bool
write_source(SluiceProtobufRow *row, Source *source, Datum datum, SluiceBuffer *out, SluiceFormatError *error)
{
	SluiceValue value;

	if (source->column.is_array)
		return write_array(source, datum, out, error);
	if (source->type == JSONOID || source->type == JSONBOID)
		return write_json_column(row, source, datum, out, error);
	set_value(source, datum, &value);
	return sluice_protobuf_write_field(out, source->field, &value, error);
}

static bool
has_source(const SluiceProtobufRow *row, const SluiceField *field)
{
	for (int i = 0; i < row->nsources; i++)
		if (row->sources[i].field == field)
			return true;
	return false;
}

/* The field without a column of this name, or NULL. */
static const SluiceField *
overflowed_field(const SluiceProtobufRow *row, const char *name, size_t length)
{
	for (int i = 0; i < row->type->nfields; i++)
	{
		const SluiceField *field = &row->type->fields[i];

		if (strlen(field->name) == length && memcmp(field->name, name, length) == 0)
			return has_source(row, field) ? NULL : field;
	}
	return NULL;
}

/* Members of the overflow object that are fields of the message. */
static bool
write_overflow(SluiceProtobufRow *row, Datum datum, SluiceBuffer *out, SluiceFormatError *error)
{
	SluiceValue value = {0};
	SluiceJsonWalk walk;
	bool		more;

	set_json(row->overflow_is_jsonb, datum, &value);
	sluice_json_walk_start(&walk, value.bytes, value.length, error);
	if (!sluice_json_walk_enter(&walk, '{'))
		return true;
	for (bool first = true;; first = false)
	{
		SluiceJsonSlice name;
		SluiceJsonSlice member;
		const SluiceField *field;

		if (!sluice_json_walk_next(&walk, '}', first, &more))
			return false;
		if (!more)
			return true;
		if (!sluice_json_walk_name(&walk, &name) || !sluice_json_walk_value(&walk, 1, &member))
			return false;
		/* Names of fields have nothing to escape. */
		field = overflowed_field(row, name.data + 1, name.length - 2);
		if (field != NULL && !write_json(row, field, member.data, member.length, out, error))
			return false;
	}
}

void
sluice_protobuf_row_write(SluiceProtobufRow *row, const Datum *values, const bool *nulls, SluiceBuffer *out)
{
	SluiceFormatError error = {0};
	bool		written = true;

	for (int i = 0; i < row->nsources && written; i++)
		if (!nulls[i])
			written = write_source(row, &row->sources[i], values[i], out, &error);
	if (written && row->overflow != NULL && !nulls[row->nsources])
		written = write_overflow(row, values[row->nsources], out, &error);
	/* A buffer that has failed is the caller's to report. */
	if (!written && !out->failed)
		throw_error(&error);
}
