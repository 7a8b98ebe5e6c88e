/*
 * protobuf_json_scalar.c
 *		Protobuf values that are no messages, as JSON text.
 */
#include <string.h>

#include "format_error.h"
#include "json_write.h"
#include "protobuf_json.h"
#include "protobuf_json_scalar.h"
#include "protobuf_value.h"

static bool
is_null_value(const SluiceField *field)
{
	return field->type == SLUICE_FIELD_ENUM &&
		strcmp(field->enumeration->name, "google.protobuf.NullValue") == 0;
}

static void
write_enum(SluiceBuffer *out, const SluiceField *field, const SluiceValue *value)
{
	SluiceValue named = *value;

	if (is_null_value(field))
	{
		sluice_buffer_append_text(out, "null");
		return;
	}
	sluice_protobuf_value_name_enum(field->enumeration, &named);
	if (named.kind == SLUICE_VALUE_TEXT)
		sluice_json_write_string(out, named.bytes, named.length);
	else
		sluice_json_write_int(out, named.integer, false);
}

void
sluice_protobuf_json_scalar(SluiceBuffer *out, const SluiceField *field, const SluiceValue *value)
{
	bool		wide = field->type == SLUICE_FIELD_INT64 || field->type == SLUICE_FIELD_SFIXED64 ||
		field->type == SLUICE_FIELD_SINT64 || field->type == SLUICE_FIELD_UINT64 ||
		field->type == SLUICE_FIELD_FIXED64;

	switch (value->kind)
	{
		case SLUICE_VALUE_BOOL:
			sluice_buffer_append_text(out, value->integer != 0 ? "true" : "false");
			break;
		case SLUICE_VALUE_INT:
			if (field->type == SLUICE_FIELD_ENUM)
				write_enum(out, field, value);
			else
				sluice_json_write_int(out, value->integer, wide);
			break;
		case SLUICE_VALUE_UINT:
			sluice_json_write_uint(out, (uint64_t) value->integer, wide);
			break;
		case SLUICE_VALUE_DOUBLE:
		case SLUICE_VALUE_FLOAT:
			sluice_json_write_real(out, value->real, value->kind == SLUICE_VALUE_FLOAT);
			break;
		case SLUICE_VALUE_TEXT:
			sluice_json_write_string(out, value->bytes, value->length);
			break;
		case SLUICE_VALUE_BYTES:
			sluice_json_write_base64(out, value->bytes, value->length);
			break;
		default:
			sluice_buffer_append_text(out, "null");
			break;
	}
}

bool
sluice_protobuf_json_is_zero(const SluiceValue *value)
{
	if (value->kind == SLUICE_VALUE_TEXT || value->kind == SLUICE_VALUE_BYTES)
		return value->length == 0;
	return value->integer == 0; /* of a real: all bits, for -0 is not the default */
}

void
sluice_protobuf_json_absent(SluiceBuffer *out, const SluiceField *field)
{
	if (field->map)
		sluice_buffer_append_text(out, "{}");
	else if (field->repeated)
		sluice_buffer_append_text(out, "[]");
	else
		sluice_protobuf_json_scalar(out, field, &field->default_value);
}

void
sluice_protobuf_json_key(SluiceBuffer *out, const SluiceField *field, const SluiceValue *value)
{
	bool		quoted = field->type != SLUICE_FIELD_STRING && field->type != SLUICE_FIELD_INT64 &&
		field->type != SLUICE_FIELD_SFIXED64 && field->type != SLUICE_FIELD_SINT64 &&
		field->type != SLUICE_FIELD_UINT64 && field->type != SLUICE_FIELD_FIXED64;

	if (quoted)
		sluice_buffer_append_char(out, '"');
	sluice_protobuf_json_scalar(out, field, value);
	if (quoted)
		sluice_buffer_append_char(out, '"');
}

void
sluice_protobuf_json_absent_value(SluiceBuffer *out, const SluiceField *field)
{
	if (field->message == NULL)
		sluice_protobuf_json_scalar(out, field, &field->default_value);
	else if (field->message->kind == SLUICE_MESSAGE_TIMESTAMP)
		sluice_buffer_append_text(out, "\"1970-01-01T00:00:00Z\"");
	else if (field->message->kind == SLUICE_MESSAGE_DURATION)
		sluice_buffer_append_text(out, "\"0s\"");
	else if (field->message->kind == SLUICE_MESSAGE_WRAPPER)
		sluice_protobuf_json_scalar(out, &field->message->fields[0], &field->message->fields[0].default_value);
	else if (field->message->kind == SLUICE_MESSAGE_VALUE)
		sluice_buffer_append_text(out, "null");
	else
		sluice_buffer_append_text(out, field->message->kind == SLUICE_MESSAGE_LIST_VALUE ? "[]" : "{}");
}

static bool
write_unknown_value(SluiceProtobufJson *json, size_t note)
{
	uint32_t	wire_type;
	SluiceWire	wire = sluice_protobuf_tape_value(json->tape, note, &wire_type);
	const uint8_t *start = wire.at;
	uint64_t	number = 0;
	uint32_t	small;
	SluiceWire	bytes;
	bool		sound = true;

	switch (wire_type)
	{
		case SLUICE_WIRE_VARINT:
			sound = sluice_wire_varint(&wire, &number);
			break;
		case SLUICE_WIRE_FIXED64:
			sound = sluice_wire_fixed64(&wire, &number);
			break;
		case SLUICE_WIRE_FIXED32:
			sound = sluice_wire_fixed32(&wire, &small);
			number = sound ? small : 0;
			break;
		case SLUICE_WIRE_BYTES:
			sound = sluice_wire_bytes(&wire, &bytes);
			if (sound)
				sluice_json_write_base64(json->out, (const char *) bytes.at, (size_t) (bytes.end - bytes.at));
			break;
		default:
			/* a group, with its closing tag */
			sound = sluice_wire_skip(&wire, sluice_protobuf_tape_key(json->tape, note) & ~SLUICE_TAPE_UNKNOWN, wire_type);
			if (sound)
				sluice_json_write_base64(json->out, (const char *) start, (size_t) (wire.at - start));
			break;
	}
	if (!sound)
		return sluice_protobuf_value_malformed("unknown field", json->error);
	if (wire_type != SLUICE_WIRE_BYTES && wire_type != SLUICE_WIRE_GROUP)
		sluice_json_write_uint(json->out, number, false);
	return true;
}

bool
sluice_protobuf_json_unknown(SluiceProtobufJson *json, size_t first, size_t last)
{
	if (last - first == 1)
		return write_unknown_value(json, first);
	sluice_buffer_append_char(json->out, '[');
	for (size_t note = first; note < last; note++)
	{
		if (note > first)
			sluice_buffer_append_char(json->out, ',');
		if (!write_unknown_value(json, note))
			return false;
	}
	sluice_buffer_append_char(json->out, ']');
	return true;
}
