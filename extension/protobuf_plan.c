/*
 * protobuf_plan.c
 *		Which field of a message goes to which column, and how.
 *
 * What a column takes:
 *
 *	any column		strings (through the input function), but bytea
 *	int2, int4, int8, numeric	integers (range-checked record by record), enums (the number)
 *	float4, float8	float, double, integers (where they are exact)
 *	numeric			float, double
 *	boolean			bool
 *	text			integers, float, double, bool, enums (the name), Timestamp, Duration
 *	bytea			bytes
 *	uuid			bytes (16 of them)
 *	timestamptz, timestamp	Timestamp
 *	interval		Duration
 *	json, jsonb		everything, as protobuf's JSON; a single string must hold JSON text itself
 *	arrays			repeated fields of these types of elements
 *	any other		integers, float, double, bool, enums (the name), Timestamp, Duration: their text
 *
 * A wrapper (google.protobuf.Int32Value ...) is what it wraps, or NULL.
 *
 * A string or bytes field without presence is NULL when it is empty and the
 * column is of a type that has no empty value (uuid, numeric, timestamptz,
 * jsonb ...): on the wire, empty and absent are the same there.  Types of which
 * we know nothing get the empty text.
 */
#include <string.h>

#include "format_error.h"
#include "format_methods.h"
#include "json_write.h"
#include "protobuf_json.h"
#include "protobuf_plan.h"
#include "protobuf_value.h"
#include "value.h"

/* What a type of field is to a column. */
typedef enum Family
{
	FAMILY_INTEGER,
	FAMILY_REAL,
	FAMILY_BOOL,
	FAMILY_STRING,
	FAMILY_BYTES,
	FAMILY_ENUM,
	FAMILY_TIMESTAMP,
	FAMILY_DURATION,
	FAMILY_MESSAGE
} Family;

static Family
family_of(const SluiceField *field)
{
	switch (field->type)
	{
		case SLUICE_FIELD_DOUBLE:
		case SLUICE_FIELD_FLOAT:
			return FAMILY_REAL;
		case SLUICE_FIELD_BOOL:
			return FAMILY_BOOL;
		case SLUICE_FIELD_STRING:
			return FAMILY_STRING;
		case SLUICE_FIELD_BYTES:
			return FAMILY_BYTES;
		case SLUICE_FIELD_ENUM:
			return FAMILY_ENUM;
		case SLUICE_FIELD_MESSAGE:
			break;
		default:
			return FAMILY_INTEGER;
	}
	if (field->map)
		return FAMILY_MESSAGE;
	switch (field->message->kind)
	{
		case SLUICE_MESSAGE_TIMESTAMP:
			return FAMILY_TIMESTAMP;
		case SLUICE_MESSAGE_DURATION:
			return FAMILY_DURATION;
		case SLUICE_MESSAGE_WRAPPER:
			return family_of(&field->message->fields[0]);
		default:
			return FAMILY_MESSAGE;
	}
}

/* Does a column, or an array's element, of this type (not json or jsonb) take the family? */
static bool
takes(SluiceColumnType type, Family family)
{
	switch (family)
	{
		case FAMILY_INTEGER:
			return type == SLUICE_COLUMN_INT2 || type == SLUICE_COLUMN_INT4 || type == SLUICE_COLUMN_INT8 ||
				type == SLUICE_COLUMN_FLOAT4 || type == SLUICE_COLUMN_FLOAT8 || type == SLUICE_COLUMN_NUMERIC ||
				type == SLUICE_COLUMN_TEXT || type == SLUICE_COLUMN_OTHER;
		case FAMILY_REAL:
			return type == SLUICE_COLUMN_FLOAT4 || type == SLUICE_COLUMN_FLOAT8 ||
				type == SLUICE_COLUMN_NUMERIC || type == SLUICE_COLUMN_TEXT || type == SLUICE_COLUMN_OTHER;
		case FAMILY_BOOL:
			return type == SLUICE_COLUMN_BOOL || type == SLUICE_COLUMN_TEXT || type == SLUICE_COLUMN_OTHER;
		case FAMILY_STRING:
			return type != SLUICE_COLUMN_BYTEA;
		case FAMILY_BYTES:
			return type == SLUICE_COLUMN_BYTEA || type == SLUICE_COLUMN_UUID;
		case FAMILY_ENUM:
			return type == SLUICE_COLUMN_TEXT || type == SLUICE_COLUMN_INT2 || type == SLUICE_COLUMN_INT4 ||
				type == SLUICE_COLUMN_INT8 || type == SLUICE_COLUMN_NUMERIC || type == SLUICE_COLUMN_OTHER;
		case FAMILY_TIMESTAMP:
			return type == SLUICE_COLUMN_TIMESTAMPTZ || type == SLUICE_COLUMN_TIMESTAMP ||
				type == SLUICE_COLUMN_TEXT || type == SLUICE_COLUMN_OTHER;
		case FAMILY_DURATION:
			return type == SLUICE_COLUMN_INTERVAL || type == SLUICE_COLUMN_TEXT || type == SLUICE_COLUMN_OTHER;
		case FAMILY_MESSAGE:
			return false;
	}
	return false;
}

static bool
is_json(SluiceColumnType type)
{
	return type == SLUICE_COLUMN_JSON || type == SLUICE_COLUMN_JSONB;
}

/* "int32", "repeated string", "message geo.Point": for messages */
static const char *
type_name(const SluiceField *field, char *out, size_t size)
{
	static const char *const names[] = {
		"", "double", "float", "int64", "uint64", "int32", "fixed64", "fixed32", "bool", "string",
		"group", "message", "bytes", "uint32", "enum", "sfixed32", "sfixed64", "sint32", "sint64"
	};
	SluiceBuffer buffer = {out, 0, size - 1, size - 1, false, false};

	if (field->map)
		sluice_buffer_append_text(&buffer, "map");
	else
	{
		if (field->repeated)
			sluice_buffer_append_text(&buffer, "repeated ");
		sluice_buffer_append_text(&buffer, names[field->type]);
		if (field->message != NULL || field->enumeration != NULL)
			sluice_buffer_append_char(&buffer, ' ');
		if (field->message != NULL)
			sluice_buffer_append_text(&buffer, field->message->name);
		if (field->enumeration != NULL)
			sluice_buffer_append_text(&buffer, field->enumeration->name);
	}
	out[buffer.length] = '\0';
	return out;
}

static bool
mismatch(const SluiceField *field, const SluiceColumn *column, SluiceFormatError *error)
{
	char		name[128];

	sluice_format_error_set(error, "42804", "field \"%s\" of type %s does not fit column \"%s\" of type %s%s",
							field->name, type_name(field, name, sizeof(name)),
							column->name, column->type_name, column->is_array ? "[]" : "");
	if (field->map || (field->message != NULL && family_of(field) == FAMILY_MESSAGE))
		return sluice_format_error_hint(error, "Maps and messages go to columns of type jsonb or json.");
	if (field->repeated)
		return sluice_format_error_hint(error, "Repeated fields go to array columns, or to columns of type jsonb or json.");
	return sluice_format_error_hint(error, "Change the type of the column, or of the field.");
}

static SluicePlanAction
single_action(const SluiceField *field, SluiceColumnType type)
{
	switch (family_of(field))
	{
		case FAMILY_TIMESTAMP:
			return SLUICE_PLAN_TIMESTAMP;
		case FAMILY_DURATION:
			return SLUICE_PLAN_DURATION;
		case FAMILY_ENUM:
			return type == SLUICE_COLUMN_TEXT || type == SLUICE_COLUMN_OTHER ? SLUICE_PLAN_ENUM_NAME : SLUICE_PLAN_SCALAR;
		default:
			return field->message != NULL ? SLUICE_PLAN_WRAPPER : SLUICE_PLAN_SCALAR;
	}
}

/* Is empty text no value of the type, whatever it is? */
static bool
has_no_empty(SluiceColumnType type)
{
	return type != SLUICE_COLUMN_TEXT && type != SLUICE_COLUMN_BYTEA && type != SLUICE_COLUMN_OTHER;
}

bool
sluice_protobuf_plan_fits(const SluiceField *field, const SluiceColumn *column)
{
	if (is_json(column->type))
		return !column->is_array;
	return column->is_array == field->repeated && takes(column->type, family_of(field));
}

static bool
plan_column(SluiceFormat *format, SluiceFieldPlan *plan, SluiceFormatError *error)
{
	const SluiceField *field = plan->field;
	const SluiceColumn *column = &format->columns[plan->column];
	Family		family = family_of(field);

	plan->empty_is_absent = !field->presence && !field->repeated && field->message == NULL &&
		(family == FAMILY_STRING || family == FAMILY_BYTES) && has_no_empty(column->type);
	if (!column->is_array && is_json(column->type))
	{
		plan->action = SLUICE_PLAN_JSON;
		if (family != FAMILY_STRING || field->repeated)
			return true;
		plan->json_text = true;
		plan->action = field->message != NULL ? SLUICE_PLAN_WRAPPER : SLUICE_PLAN_JSON_TEXT;
		return true;
	}
	if (!sluice_protobuf_plan_fits(field, column))
		return mismatch(field, column, error);
	plan->action = field->repeated ? SLUICE_PLAN_ARRAY : single_action(field, column->type);
	/* a string in a column of another type is text for its input function; a uuid is read by ourselves */
	if (family == FAMILY_STRING && column->type != SLUICE_COLUMN_TEXT && column->type != SLUICE_COLUMN_UUID)
		format->text_only[plan->column] = true;
	return true;
}

static bool
no_column(const SluiceField *field, SluiceFormatError *error)
{
	sluice_format_error_set(error, "42703", "target has no column for field \"%s\"", field->name);
	return sluice_format_error_hint(error, "Add a column \"%s\", name an overflow_column for unknown fields, or drop them with unknown_fields => 'ignore'.",
									field->name);
}

static int
find_column(const SluiceFormat *format, const char *name)
{
	for (int i = 0; i < format->ncolumns; i++)
	{
		if (i != format->overflow_column && strcmp(format->columns[i].name, name) == 0)
			return i;
	}
	return -1;
}

/* A default (proto2's) that the column cannot hold would refuse each record without the field. */
static bool
default_fits(const SluiceColumn *column, const SluiceValue *value, SluiceFormatError *error)
{
	int64_t		integer;
	double		real;

	if (value->kind == SLUICE_VALUE_TEXT || value->kind == SLUICE_VALUE_BYTES || value->kind == SLUICE_VALUE_BOOL)
		return true;
	switch (column->type)
	{
		case SLUICE_COLUMN_INT2:
		case SLUICE_COLUMN_INT4:
		case SLUICE_COLUMN_INT8:
			return sluice_value_to_int(column, value, &integer, error);
		case SLUICE_COLUMN_FLOAT4:
		case SLUICE_COLUMN_FLOAT8:
			return sluice_value_to_real(column, value, &real, error);
		default:
			return true;
	}
}

/* The value of a column whose field is absent. */
static bool
plan_absent(SluiceFormat *format, SluiceProtobufPlan *plan, const SluiceFieldPlan *field_plan,
			SluiceFormatError *error)
{
	const SluiceField *field = field_plan->field;
	const SluiceColumn *column = &format->columns[field_plan->column];
	SluiceValue *absent = &plan->absent[field_plan->column];

	if ((field->presence && !field->has_default) ||
		(field_plan->empty_is_absent && field->default_value.length == 0 && field_plan->action != SLUICE_PLAN_JSON))
	{
		/* NULL; but where there can be no NULL, the default */
		absent->kind = column->not_null && column->has_default ? SLUICE_VALUE_DEFAULT : SLUICE_VALUE_NULL;
		return true;
	}
	if (field_plan->action == SLUICE_PLAN_ARRAY)
	{
		absent->kind = SLUICE_VALUE_ARRAY;
		absent->bytes = "{}";
		absent->length = 2;
		return true;
	}
	*absent = field->default_value;
	if (!default_fits(column, absent, error))
		return false;
	if (field_plan->action == SLUICE_PLAN_ENUM_NAME)
		sluice_protobuf_value_name_enum(field->enumeration, absent);
	else if (field_plan->action == SLUICE_PLAN_JSON)
	{
		SluiceBuffer text = {.limit = SLUICE_FORMAT_SCRATCH_LIMIT};
		char	   *copy;

		sluice_protobuf_json_absent(&text, field);
		copy = text.failed ? NULL : sluice_arena_copy(&plan->arena, text.data, text.length);
		absent->kind = SLUICE_VALUE_JSON;
		absent->bytes = copy;
		absent->length = (uint32_t) text.length;
		sluice_buffer_free(&text);
		if (copy == NULL)
			return sluice_format_error_set(error, "53200", "out of memory");
	}
	return true;
}

static bool
plan_field(SluiceFormat *format, SluiceProtobufPlan *plan, int index, SluiceFormatError *error)
{
	SluiceFieldPlan *field_plan = &plan->fields[index];
	const SluiceField *field = &plan->type->fields[index];

	field_plan->field = field;
	field_plan->wire_type = (uint8_t) sluice_protobuf_value_wire_type(field->type);
	field_plan->column = find_column(format, field->name);
	if (field->oneof >= 0)
		plan->oneofs = true;
	if (field_plan->column < 0)
	{
		if (format->unknown == SLUICE_UNKNOWN_REJECT)
			return no_column(field, error);
		field_plan->action = format->unknown == SLUICE_UNKNOWN_IGNORE ? SLUICE_PLAN_DROP : SLUICE_PLAN_OVERFLOW;
		return true;
	}
	if (!plan_column(format, field_plan, error) ||
		!plan_absent(format, plan, field_plan, error))
		return false;
	format->filled[field_plan->column] = true;
	return true;
}

bool
sluice_protobuf_plan_make(SluiceFormat *format, const SluiceFormatOptions *options,
						  SluiceProtobufPlan *plan, SluiceFormatError *error)
{
	plan->type = sluice_descriptor_load(&plan->arena, options->descriptor_set, options->descriptor_set_length,
										options->message_type, error);
	if (plan->type == NULL)
		return false;
	plan->fields = sluice_arena_alloc(&plan->arena, (size_t) plan->type->nfields, sizeof(SluiceFieldPlan));
	plan->absent = sluice_arena_alloc(&plan->arena, (size_t) format->ncolumns, sizeof(SluiceValue));
	if (plan->fields == NULL || plan->absent == NULL)
		return sluice_format_error_set(error, "53200", "out of memory");
	for (int i = 0; i < plan->type->nfields; i++)
	{
		if (!plan_field(format, plan, i, error))
			return false;
	}
	return true;
}

/* --------------------------------------------------------------- tables */

/* Key words are nobody else's; names are looked up along the caller's search_path if they are not qualified. */
static const char *
column_type(const SluiceField *field)
{
	switch (field->type)
	{
		case SLUICE_FIELD_DOUBLE:
			return "double precision";
		case SLUICE_FIELD_FLOAT:
			return "real";
		case SLUICE_FIELD_INT32:
		case SLUICE_FIELD_SINT32:
		case SLUICE_FIELD_SFIXED32:
			return "integer";
		case SLUICE_FIELD_INT64:
		case SLUICE_FIELD_SINT64:
		case SLUICE_FIELD_SFIXED64:
		case SLUICE_FIELD_UINT32:
		case SLUICE_FIELD_FIXED32:
			return "bigint";
		case SLUICE_FIELD_UINT64:
		case SLUICE_FIELD_FIXED64:
			return "numeric";
		case SLUICE_FIELD_BOOL:
			return "boolean";
		case SLUICE_FIELD_BYTES:
			return "pg_catalog.bytea";
		case SLUICE_FIELD_MESSAGE:
			break;
		default:
			return "pg_catalog.text";
	}
	switch (family_of(field))
	{
		case FAMILY_TIMESTAMP:
			return "timestamp with time zone";
		case FAMILY_DURATION:
			return "interval";
		case FAMILY_MESSAGE:
			return "pg_catalog.jsonb";
		default:
			return column_type(&field->message->fields[0]);
	}
}

/* PostgreSQL cuts longer names; the field would not find its column again. */
#define MAX_IDENTIFIER 63

bool
sluice_protobuf_plan_table_columns(const SluiceFormatOptions *options,
								   SluiceBuffer *out, SluiceFormatError *error)
{
	SluiceArena arena = {NULL};
	const SluiceMessageType *type = sluice_descriptor_load(&arena, options->descriptor_set, options->descriptor_set_length,
														   options->message_type, error);
	bool		made = type != NULL;

	if (made && type->nfields == 0)
		made = sluice_format_error_set(error, "22023", "message \"%s\" has no fields", type->name);
	for (int i = 0; made && i < type->nfields; i++)
	{
		const SluiceField *field = &type->fields[i];

		if (strlen(field->name) > MAX_IDENTIFIER)
			made = sluice_format_error_set(error, "42622", "field \"%s\" has a name too long for a column", field->name);
		if (i > 0)
			sluice_buffer_append_text(out, ", ");
		/* always quoted: many good names of fields are key words.  Identifiers hold no quotes. */
		sluice_buffer_append_char(out, '"');
		sluice_buffer_append_text(out, field->name);
		sluice_buffer_append_text(out, "\" ");
		sluice_buffer_append_text(out, column_type(field));
		if (field->repeated && family_of(field) != FAMILY_MESSAGE)
			sluice_buffer_append_text(out, "[]");
	}
	sluice_arena_free(&arena);
	return made;
}
