/*
 * protobuf_value.c
 *		Single values off the protobuf wire.
 */
#include <string.h>

#include "format_error.h"
#include "instant.h"
#include "protobuf_value.h"
#include "utf8.h"

uint32_t
sluice_protobuf_value_wire_type(uint8_t type)
{
	switch (type)
	{
		case SLUICE_FIELD_DOUBLE:
		case SLUICE_FIELD_FIXED64:
		case SLUICE_FIELD_SFIXED64:
			return SLUICE_WIRE_FIXED64;
		case SLUICE_FIELD_FLOAT:
		case SLUICE_FIELD_FIXED32:
		case SLUICE_FIELD_SFIXED32:
			return SLUICE_WIRE_FIXED32;
		case SLUICE_FIELD_STRING:
		case SLUICE_FIELD_BYTES:
		case SLUICE_FIELD_MESSAGE:
			return SLUICE_WIRE_BYTES;
		default:
			return SLUICE_WIRE_VARINT;
	}
}

bool
sluice_protobuf_value_malformed(const char *where, SluiceFormatError *error)
{
	sluice_format_error_set(error, "22P03", "payload is not in the protobuf wire format: \"%s\" is damaged or cut off", where);
	return sluice_format_error_hint(error, "Was the payload sent as another message type than the stream's?");
}

bool
sluice_protobuf_value_wrong_wire_type(const SluiceField *field, uint32_t wire_type, SluiceFormatError *error)
{
	sluice_format_error_set(error, "22P03", "field \"%s\" (%u) came with wire type %u, expected %u",
							field->name, field->number, wire_type, sluice_protobuf_value_wire_type(field->type));
	return sluice_format_error_hint(error, "Was the payload sent as another message type than the stream's?");
}

bool
sluice_protobuf_value_unknown(const char *message, uint32_t number, SluiceFormatError *error)
{
	sluice_format_error_set(error, "22000", "message \"%s\" has no field of number %u", message, number);
	return sluice_format_error_hint(error, "Give the stream a newer descriptor set, an overflow column, or unknown_fields => 'ignore'.");
}

static bool
read_varint(const SluiceField *field, SluiceWire *wire, SluiceValue *value)
{
	uint64_t	number;

	if (!sluice_wire_varint(wire, &number))
		return false;
	value->kind = SLUICE_VALUE_INT;
	switch (field->type)
	{
		case SLUICE_FIELD_INT64:
			value->integer = (int64_t) number;
			break;
		case SLUICE_FIELD_UINT64:
			value->kind = SLUICE_VALUE_UINT;
			value->integer = (int64_t) number;
			break;
		case SLUICE_FIELD_UINT32:
			value->kind = SLUICE_VALUE_UINT;
			value->integer = (int64_t) (uint32_t) number;
			break;
		case SLUICE_FIELD_SINT32:
			value->integer = (int32_t) sluice_wire_zigzag((uint32_t) number);
			break;
		case SLUICE_FIELD_SINT64:
			value->integer = sluice_wire_zigzag(number);
			break;
		case SLUICE_FIELD_BOOL:
			value->kind = SLUICE_VALUE_BOOL;
			value->integer = number != 0;
			break;
		default:				/* int32, enum */
			value->integer = (int32_t) (uint32_t) number;
			break;
	}
	return true;
}

static bool
read_fixed64(const SluiceField *field, SluiceWire *wire, SluiceValue *value)
{
	uint64_t	bits;

	if (!sluice_wire_fixed64(wire, &bits))
		return false;
	value->integer = (int64_t) bits;
	value->kind = field->type == SLUICE_FIELD_FIXED64 ? SLUICE_VALUE_UINT : SLUICE_VALUE_INT;
	if (field->type == SLUICE_FIELD_DOUBLE)
	{
		value->kind = SLUICE_VALUE_DOUBLE;
		memcpy(&value->real, &bits, sizeof(double));
	}
	return true;
}

static bool
read_fixed32(const SluiceField *field, SluiceWire *wire, SluiceValue *value)
{
	uint32_t	bits;
	float		single;

	if (!sluice_wire_fixed32(wire, &bits))
		return false;
	if (field->type == SLUICE_FIELD_FLOAT)
	{
		memcpy(&single, &bits, sizeof(float));
		value->kind = SLUICE_VALUE_FLOAT;
		value->real = single;
	}
	else if (field->type == SLUICE_FIELD_FIXED32)
	{
		value->kind = SLUICE_VALUE_UINT;
		value->integer = (int64_t) bits;
	}
	else
	{
		value->kind = SLUICE_VALUE_INT;
		value->integer = (int32_t) bits;
	}
	return true;
}

bool
sluice_protobuf_value_read(const SluiceField *field, SluiceWire *wire,
						   SluiceValue *value, SluiceFormatError *error)
{
	SluiceWire	bytes;
	bool		sound;

	value->length = 0;
	switch (field->type)
	{
		case SLUICE_FIELD_STRING:
		case SLUICE_FIELD_BYTES:
		case SLUICE_FIELD_MESSAGE:
			if (!sluice_wire_bytes(wire, &bytes))
				return sluice_protobuf_value_malformed(field->name, error);
			value->kind = field->type == SLUICE_FIELD_STRING ? SLUICE_VALUE_TEXT : SLUICE_VALUE_BYTES;
			value->bytes = (const char *) bytes.at;
			value->length = (uint32_t) (bytes.end - bytes.at);
			if (field->type == SLUICE_FIELD_STRING && !sluice_utf8_valid(bytes.at, value->length, true))
				return sluice_format_error_set(error, "22021", "field \"%s\" is not UTF-8, or holds a NUL", field->name);
			return true;
		case SLUICE_FIELD_DOUBLE:
		case SLUICE_FIELD_FIXED64:
		case SLUICE_FIELD_SFIXED64:
			sound = read_fixed64(field, wire, value);
			break;
		case SLUICE_FIELD_FLOAT:
		case SLUICE_FIELD_FIXED32:
		case SLUICE_FIELD_SFIXED32:
			sound = read_fixed32(field, wire, value);
			break;
		default:
			sound = read_varint(field, wire, value);
			break;
	}
	return sound ? true : sluice_protobuf_value_malformed(field->name, error);
}

/* A field of a well-known type that its version here does not have: there is no place to keep it. */
static bool
pass_unknown(const SluiceField *field, SluiceWire *wire, uint32_t number, uint32_t type,
			 SluiceUnknownFields unknown, SluiceFormatError *error)
{
	if (unknown != SLUICE_UNKNOWN_IGNORE)
		return sluice_protobuf_value_unknown(field->message->name, number, error);
	return sluice_wire_skip(wire, number, type) ? true : sluice_protobuf_value_malformed(field->name, error);
}

bool
sluice_protobuf_value_read_seconds(const SluiceField *field, SluiceWire content,
								   SluiceUnknownFields unknown,
								   SluiceSeconds *seconds, SluiceFormatError *error)
{
	while (content.at < content.end)
	{
		uint32_t	number;
		uint32_t	type;
		uint64_t	value;

		if (!sluice_wire_tag(&content, &number, &type))
			return sluice_protobuf_value_malformed(field->name, error);
		if (number > 2)
		{
			if (!pass_unknown(field, &content, number, type, unknown, error))
				return false;
			continue;
		}
		if (type != SLUICE_WIRE_VARINT || !sluice_wire_varint(&content, &value))
			return sluice_protobuf_value_malformed(field->name, error);
		if (number == 1)
			seconds->seconds = (int64_t) value;
		else
			seconds->nanos = (int32_t) (uint32_t) value;
	}
	return true;
}

bool
sluice_protobuf_value_read_wrapper(const SluiceField *field, SluiceWire content,
								   SluiceUnknownFields unknown,
								   SluiceValue *value, SluiceFormatError *error)
{
	const SluiceField *inner = &field->message->fields[0];

	while (content.at < content.end)
	{
		uint32_t	number;
		uint32_t	type;

		if (!sluice_wire_tag(&content, &number, &type))
			return sluice_protobuf_value_malformed(field->name, error);
		if (number != inner->number)
		{
			if (!pass_unknown(field, &content, number, type, unknown, error))
				return false;
			continue;
		}
		if (type != sluice_protobuf_value_wire_type(inner->type))
			return sluice_protobuf_value_wrong_wire_type(field, type, error);
		if (!sluice_protobuf_value_read(inner, &content, value, error))
			return false;
	}
	return true;
}

static bool
out_of_range(const SluiceField *field, const char *what, SluiceSeconds seconds, SluiceFormatError *error)
{
	return sluice_format_error_set(error, "22008", "%s out of range in field \"%s\": %lld seconds, %d nanos",
								   what, field->name, (long long) seconds.seconds, (int) seconds.nanos);
}

bool
sluice_protobuf_value_timestamp(const SluiceField *field, SluiceSeconds seconds,
								SluiceValue *value, SluiceFormatError *error)
{
	value->kind = SLUICE_VALUE_TIMESTAMP;
	value->length = 0;
	if (sluice_instant_from_timestamp(seconds.seconds, seconds.nanos, &value->integer))
		return true;
	return out_of_range(field, "timestamp", seconds, error);
}

bool
sluice_protobuf_value_duration(const SluiceField *field, SluiceSeconds seconds,
							   SluiceValue *value, SluiceFormatError *error)
{
	value->kind = SLUICE_VALUE_INTERVAL;
	value->length = 0;
	if (sluice_instant_from_duration(seconds.seconds, seconds.nanos, &value->integer))
		return true;
	return out_of_range(field, "duration", seconds, error);
}

void
sluice_protobuf_value_name_enum(const SluiceEnumType *type, SluiceValue *value)
{
	const SluiceEnumValue *known = sluice_descriptor_enum_value(type, (int32_t) value->integer);

	if (known == NULL)
		return;
	value->kind = SLUICE_VALUE_TEXT;
	value->bytes = known->name;
	value->length = known->length;
}
