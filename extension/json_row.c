/*
 * json_row.c
 *		A row as a JSON object: the names and values of its columns.
 *
 * The object means what row_to_json() of the row means, but it is always in UTF-8,
 * in one line, and the same whatever bytea_output and extra_float_digits are.  The
 * time zone of a timestamptz is the session's.  What is common is written
 * here; all other types are left to to_json().
 */
#include "postgres.h"

#include "json_row.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "common/shortest_dec.h"
#include "fmgr.h"
#include "json_write.h"
#include "mb/pg_wchar.h"
#include "nodes/makefuncs.h"
#include "number.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

typedef struct Column
{
	char	   *prefix;			/* {"name":  or  ,"name": */
	size_t		prefix_length;
	Oid			type;			/* under its domains */
	FmgrInfo	to_json;		/* for the types that have no case of their own */
} Column;

struct SluiceJsonRow
{
	int			ncolumns;
	Column		columns[FLEXIBLE_ARRAY_MEMBER];
};

static bool
is_written_here(Oid type)
{
	switch (type)
	{
		case BOOLOID:
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case FLOAT4OID:
		case FLOAT8OID:
		case NUMERICOID:
		case TEXTOID:
		case VARCHAROID:
		case BPCHAROID:
		case BYTEAOID:
		case JSONOID:
		case JSONBOID:
		case DATEOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
		case UUIDOID:
			return true;
		default:
			return false;
	}
}

/* to_json() finds its argument's type in the expression that it is called by. */
static void
prepare_to_json(FmgrInfo *to_json, Form_pg_attribute attribute)
{
	Const	   *argument = makeNullConst(attribute->atttypid, attribute->atttypmod, attribute->attcollation);
	FuncExpr   *call = makeFuncExpr(F_TO_JSON, JSONOID, list_make1(argument), InvalidOid, InvalidOid, COERCE_EXPLICIT_CALL);

	fmgr_info_cxt(F_TO_JSON, to_json, CurrentMemoryContext);
	fmgr_info_set_expr((Node *) call, to_json);
}

static void
prepare_column(Column *column, Form_pg_attribute attribute, bool is_first)
{
	SluiceBuffer prefix = {0};
	char	   *name = pg_server_to_any(NameStr(attribute->attname), strlen(NameStr(attribute->attname)), PG_UTF8);

	sluice_buffer_append_char(&prefix, is_first ? '{' : ',');
	sluice_json_write_string(&prefix, name, strlen(name));
	sluice_buffer_append_char(&prefix, ':');
	if (prefix.failed)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
	column->prefix = pnstrdup(prefix.data, prefix.length);
	column->prefix_length = prefix.length;
	sluice_buffer_free(&prefix);
	column->type = getBaseType(attribute->atttypid);
	if (!is_written_here(column->type))
		prepare_to_json(&column->to_json, attribute);
}

SluiceJsonRow *
sluice_json_row_create(TupleDesc table)
{
	SluiceJsonRow *row = palloc0(offsetof(SluiceJsonRow, columns) + sizeof(Column) * table->natts);

	for (int i = 0; i < table->natts; i++)
		if (!TupleDescAttr(table, i)->attisdropped)
		{
			prepare_column(&row->columns[row->ncolumns], TupleDescAttr(table, i), row->ncolumns == 0);
			row->ncolumns++;
		}
	return row;
}

/* Text in the server's encoding as a string. */
static void
write_text(SluiceBuffer *out, const char *text, int length)
{
	char	   *utf8 = pg_server_to_any(text, length, PG_UTF8);

	sluice_json_write_string(out, utf8, utf8 == text ? length : strlen(utf8));
}

/* Text that is JSON: line breaks are white space there, never part of a string. */
static void
write_json(SluiceBuffer *out, const char *text, int length)
{
	char	   *utf8 = pg_server_to_any(text, length, PG_UTF8);
	size_t		start = out->length;

	sluice_buffer_append(out, utf8, utf8 == text ? length : strlen(utf8));
	for (size_t i = start; i < out->length; i++)
		if (out->data[i] == '\n' || out->data[i] == '\r')
			out->data[i] = ' ';
}

static void
write_varlena(SluiceBuffer *out, Datum value, void (*write) (SluiceBuffer *, const char *, int))
{
	struct varlena *text = PG_DETOAST_DATUM_PACKED(value);

	write(out, VARDATA_ANY(text), VARSIZE_ANY_EXHDR(text));
}

static void
write_int(SluiceBuffer *out, int64 value)
{
	if (sluice_buffer_reserve(out, MAXINT8LEN + 1))
		out->length += pg_lltoa(value, out->data + out->length);
}

/* Those that are no numbers are strings. */
static void
write_float8(SluiceBuffer *out, double value)
{
	if (!isfinite(value))
		sluice_json_write_real(out, value, false);
	else if (sluice_buffer_reserve(out, DOUBLE_SHORTEST_DECIMAL_LEN))
		out->length += double_to_shortest_decimal_bufn(value, out->data + out->length);
}

static void
write_float4(SluiceBuffer *out, float value)
{
	if (!isfinite(value))
		sluice_json_write_real(out, value, true);
	else if (sluice_buffer_reserve(out, FLOAT_SHORTEST_DECIMAL_LEN))
		out->length += float_to_shortest_decimal_bufn(value, out->data + out->length);
}

static void
write_numeric(SluiceBuffer *out, Datum value)
{
	const char *text = DatumGetCString(DirectFunctionCall1(numeric_out, value));
	size_t		length = strlen(text);

	/* NaN and infinities begin with a letter. */
	if (text[length - 1] >= '0' && text[length - 1] <= '9')
		sluice_buffer_append(out, text, length);
	else
		sluice_json_write_string(out, text, length);
}

static void
write_hex(char *to, const uint8 *bytes, size_t length)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < length; i++)
	{
		*to++ = digits[bytes[i] >> 4];
		*to++ = digits[bytes[i] & 15];
	}
}

static void
write_bytea(SluiceBuffer *out, const char *bytes, int length)
{
	size_t		size = (size_t) length * 2;

	sluice_buffer_append(out, "\"\\\\x", 4);
	if (!sluice_buffer_reserve(out, size + 1))
		return;
	write_hex(out->data + out->length, (const uint8 *) bytes, length);
	out->length += size;
	out->data[out->length++] = '"';
}

static void
write_uuid(SluiceBuffer *out, const pg_uuid_t *uuid)
{
	static const int groups[] = {4, 2, 2, 2, 6};
	char		text[38];
	char	   *at = text;
	int			done = 0;

	for (int i = 0; i < lengthof(groups); i++)
	{
		*at++ = i == 0 ? '"' : '-';
		write_hex(at, uuid->data + done, groups[i]);
		at += 2 * groups[i];
		done += groups[i];
	}
	*at = '"';
	sluice_buffer_append(out, text, sizeof(text));
}

static void
write_instant(SluiceBuffer *out, Datum value, Oid type)
{
	if (!sluice_buffer_reserve(out, MAXDATELEN + 3))
		return;
	out->data[out->length] = '"';
	(void) JsonEncodeDateTime(out->data + out->length + 1, value, type, NULL);
	out->length += 1 + strlen(out->data + out->length + 1);
	out->data[out->length++] = '"';
}

static void
write_jsonb(SluiceBuffer *out, Datum value)
{
	Jsonb	   *jsonb = DatumGetJsonbP(value);
	const char *text = JsonbToCString(NULL, &jsonb->root, VARSIZE(jsonb));

	write_json(out, text, strlen(text));
}

static void
write_value(SluiceBuffer *out, Column *column, Datum value)
{
	switch (column->type)
	{
		case BOOLOID:
			sluice_buffer_append_text(out, DatumGetBool(value) ? "true" : "false");
			break;
		case INT2OID:
			write_int(out, DatumGetInt16(value));
			break;
		case INT4OID:
			write_int(out, DatumGetInt32(value));
			break;
		case INT8OID:
			write_int(out, DatumGetInt64(value));
			break;
		case FLOAT4OID:
			write_float4(out, DatumGetFloat4(value));
			break;
		case FLOAT8OID:
			write_float8(out, DatumGetFloat8(value));
			break;
		case NUMERICOID:
			write_numeric(out, value);
			break;
		case TEXTOID:
		case VARCHAROID:
		case BPCHAROID:
			write_varlena(out, value, write_text);
			break;
		case BYTEAOID:
			write_varlena(out, value, write_bytea);
			break;
		case JSONOID:
			write_varlena(out, value, write_json);
			break;
		case JSONBOID:
			write_jsonb(out, value);
			break;
		case DATEOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			write_instant(out, value, column->type);
			break;
		case UUIDOID:
			write_uuid(out, DatumGetUUIDP(value));
			break;
		default:
			write_varlena(out, FunctionCall1(&column->to_json, value), write_json);
			break;
	}
}

void
sluice_json_row_write(SluiceJsonRow *row, const Datum *values, const bool *nulls, SluiceBuffer *out)
{
	for (int i = 0; i < row->ncolumns; i++)
	{
		Column	   *column = &row->columns[i];

		sluice_buffer_append(out, column->prefix, column->prefix_length);
		if (nulls[i])
			sluice_buffer_append(out, "null", 4);
		else
			write_value(out, column, values[i]);
	}
	sluice_buffer_append_char(out, '}');
}
