/*
 * column_shape.c
 *		A column of a table as the payload formats see it.
 */
#include "postgres.h"

#include "column_shape.h"

#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

static SluiceColumnType
column_type(Oid type)
{
	switch (type)
	{
		case BOOLOID:
			return SLUICE_COLUMN_BOOL;
		case INT2OID:
			return SLUICE_COLUMN_INT2;
		case INT4OID:
			return SLUICE_COLUMN_INT4;
		case INT8OID:
			return SLUICE_COLUMN_INT8;
		case FLOAT4OID:
			return SLUICE_COLUMN_FLOAT4;
		case FLOAT8OID:
			return SLUICE_COLUMN_FLOAT8;
		case NUMERICOID:
			return SLUICE_COLUMN_NUMERIC;
		case TEXTOID:
		case VARCHAROID:
		case BPCHAROID:
			return SLUICE_COLUMN_TEXT;
		case BYTEAOID:
			return SLUICE_COLUMN_BYTEA;
		case JSONOID:
			return SLUICE_COLUMN_JSON;
		case JSONBOID:
			return SLUICE_COLUMN_JSONB;
		case TIMESTAMPTZOID:
			return SLUICE_COLUMN_TIMESTAMPTZ;
		case TIMESTAMPOID:
			return SLUICE_COLUMN_TIMESTAMP;
		case INTERVALOID:
			return SLUICE_COLUMN_INTERVAL;
		case UUIDOID:
			return SLUICE_COLUMN_UUID;
		default:
			return SLUICE_COLUMN_OTHER;
	}
}

static char *
to_utf8(const char *text)
{
	return pstrdup(pg_server_to_any(text, strlen(text), PG_UTF8));
}

SluiceColumn
sluice_column_shape(Form_pg_attribute attribute)
{
	Oid			base = getBaseType(attribute->atttypid);
	Oid			element = get_element_type(base);

	return (SluiceColumn) {
		.name = to_utf8(NameStr(attribute->attname)),
		.type = column_type(OidIsValid(element) ? getBaseType(element) : base),
		.type_name = to_utf8(format_type_be(attribute->atttypid)),
		.is_array = OidIsValid(element),
		.has_default = attribute->atthasdef || attribute->attidentity != '\0',
		.not_null = attribute->attnotnull
	};
}
