/*
 * json_protobuf.c
 *		JSON text as protobuf messages.
 */
#include <string.h>

#include "format_error.h"
#include "instant.h"
#include "json_protobuf.h"
#include "protobuf_write.h"
#include "wire.h"

static bool write_content(SluiceJsonProtobuf *json, const SluiceField *field,
						  const SluiceJsonSlice *value, int depth);

static bool
refuse(SluiceJsonProtobuf *json, const SluiceField *field, const SluiceJsonSlice *value)
{
	char		clip[SLUICE_CLIP_SIZE];

	return sluice_format_error_set(json->error, "22P02", "JSON %s is no value of field \"%s\": %s",
								   sluice_json_walk_type_name(value->type), field->name,
								   sluice_format_error_clip(clip, value->data, value->length));
}

/* The text of a string: where it lies, or in the scratch buffer. */
static bool
string_text(SluiceJsonProtobuf *json, const SluiceJsonSlice *value, const char **text, size_t *length)
{
	if (!value->escaped)
	{
		*text = value->data + 1;
		*length = value->length - 2;
		return true;
	}
	sluice_buffer_reset(&json->scratch);
	sluice_json_walk_unescape(value, &json->scratch);
	if (json->scratch.failed)
		return sluice_format_error_buffer(json->error, &json->scratch);
	*text = json->scratch.data;
	*length = json->scratch.length;
	return true;
}

/* --------------------------------------------------------------- scalars */

static int
base64_digit(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '+' || c == '-')
		return 62;
	return c == '/' || c == '_' ? 63 : -1;
}

/* Into the scratch buffer, over the text perhaps: bytes are fewer than digits. */
static bool
decode_base64(SluiceJsonProtobuf *json, const char *text, size_t length, size_t *nbytes)
{
	uint32_t	bits = 0;
	int			nbits = 0;
	size_t		n = 0;

	while (length > 0 && text[length - 1] == '=')
		length--;
	if (length % 4 == 1)
		return false;
	if (text != json->scratch.data)
	{
		sluice_buffer_reset(&json->scratch);
		if (!sluice_buffer_reserve(&json->scratch, length))
			return false;
	}
	for (size_t i = 0; i < length; i++)
	{
		int			digit = base64_digit(text[i]);

		if (digit < 0)
			return false;
		bits = bits << 6 | (uint32_t) digit;
		nbits += 6;
		if (nbits >= 8)
		{
			nbits -= 8;
			json->scratch.data[n++] = (char) (bits >> nbits);
		}
	}
	*nbytes = n;
	return true;
}

/* A slice as the value of a scalar field. */
static bool
scalar_value(SluiceJsonProtobuf *json, const SluiceField *field, const SluiceJsonSlice *slice, SluiceValue *value)
{
	size_t		length;

	memset(value, 0, sizeof(SluiceValue));
	switch (slice->type)
	{
		case SLUICE_JSON_TRUE:
		case SLUICE_JSON_FALSE:
			value->kind = SLUICE_VALUE_BOOL;
			value->integer = slice->type == SLUICE_JSON_TRUE;
			return field->type == SLUICE_FIELD_BOOL ? true : refuse(json, field, slice);
		case SLUICE_JSON_NUMBER:
			value->kind = SLUICE_VALUE_NUMBER;
			value->bytes = slice->data;
			value->length = slice->length;
			return field->type != SLUICE_FIELD_STRING ? true : refuse(json, field, slice);
		case SLUICE_JSON_STRING:
			value->kind = SLUICE_VALUE_TEXT;
			if (!string_text(json, slice, &value->bytes, &length))
				return false;
			if (field->type == SLUICE_FIELD_BYTES)
			{
				if (!decode_base64(json, value->bytes, length, &length))
					return refuse(json, field, slice);
				value->kind = SLUICE_VALUE_BYTES;
				value->bytes = json->scratch.data;
			}
			value->length = (uint32_t) length;
			return true;
		default:
			return refuse(json, field, slice);
	}
}

static bool
is_null_value(const SluiceField *field)
{
	return field->type == SLUICE_FIELD_ENUM && strcmp(field->enumeration->name, "google.protobuf.NullValue") == 0;
}

/* -------------------------------------------------------------- messages */

static bool
write_seconds(SluiceJsonProtobuf *json, const SluiceField *field, const SluiceJsonSlice *value)
{
	const char *text;
	size_t		length;
	int64_t		seconds;
	int32_t		nanos;
	bool		sound;

	if (value->type != SLUICE_JSON_STRING)
		return refuse(json, field, value);
	if (!string_text(json, value, &text, &length))
		return false;
	if (field->message->kind == SLUICE_MESSAGE_TIMESTAMP)
		sound = sluice_instant_parse_timestamp(text, length, &seconds, &nanos);
	else
		sound = sluice_instant_parse_duration(text, length, &seconds, &nanos);
	if (!sound)
		return refuse(json, field, value);
	sluice_protobuf_write_seconds(json->out, seconds, nanos);
	return true;
}

static bool
is_name(const char *name, const char *text, size_t length)
{
	return strlen(name) == length && memcmp(name, text, length) == 0;
}

static const SluiceField *
find_field(const SluiceMessageType *type, const char *text, size_t length)
{
	for (int i = 0; i < type->nfields; i++)
	{
		if (is_name(type->fields[i].json_name, text, length) || is_name(type->fields[i].name, text, length))
			return &type->fields[i];
	}
	return NULL;
}

static bool
write_plain(SluiceJsonProtobuf *json, const SluiceField *field, const SluiceJsonSlice *value, int depth)
{
	SluiceJsonWalk walk;
	bool		more;

	if (value->type != SLUICE_JSON_OBJECT)
		return refuse(json, field, value);
	sluice_json_walk_start(&walk, value->data, value->length, json->error);
	if (!sluice_json_walk_enter(&walk, '{'))
		return false;
	for (bool first = true;; first = false)
	{
		SluiceJsonSlice name;
		SluiceJsonSlice member;
		const SluiceField *found;
		const char *text;
		size_t		length;

		if (!sluice_json_walk_next(&walk, '}', first, &more))
			return false;
		if (!more)
			return true;
		if (!sluice_json_walk_name(&walk, &name) || !sluice_json_walk_value(&walk, 1, &member) ||
			!string_text(json, &name, &text, &length))
			return false;
		found = find_field(field->message, text, length);
		if (found != NULL && !sluice_json_protobuf_field(json, found, &member, depth))
			return false;
	}
}

/* The member of google.protobuf.Value for a value of this type: the numbers are those of struct.proto. */
static uint32_t
value_member(const SluiceJsonSlice *value)
{
	switch (value->type)
	{
		case SLUICE_JSON_NUMBER:
			return 2;
		case SLUICE_JSON_STRING:
			return 3;
		case SLUICE_JSON_TRUE:
		case SLUICE_JSON_FALSE:
			return 4;
		case SLUICE_JSON_OBJECT:
			return 5;
		case SLUICE_JSON_ARRAY:
			return 6;
		default:
			return 1;
	}
}

static bool
write_value(SluiceJsonProtobuf *json, const SluiceField *field, const SluiceJsonSlice *value, int depth)
{
	int			index = sluice_descriptor_find(field->message, value_member(value));
	SluiceValue null_value = {.kind = SLUICE_VALUE_INT};

	if (index < 0)
		return refuse(json, field, value);
	if (value->type == SLUICE_JSON_NULL)
		return sluice_protobuf_write_field(json->out, &field->message->fields[index], &null_value, json->error);
	return sluice_json_protobuf_field(json, &field->message->fields[index], value, depth);
}

/* The content of a message; depth counts it already. */
static bool
write_content(SluiceJsonProtobuf *json, const SluiceField *field, const SluiceJsonSlice *value, int depth)
{
	SluiceValue scalar;

	switch (field->message->kind)
	{
		case SLUICE_MESSAGE_TIMESTAMP:
		case SLUICE_MESSAGE_DURATION:
			return write_seconds(json, field, value);
		case SLUICE_MESSAGE_WRAPPER:
			return scalar_value(json, &field->message->fields[0], value, &scalar) &&
				sluice_protobuf_write_field(json->out, &field->message->fields[0], &scalar, json->error);
		case SLUICE_MESSAGE_STRUCT:
		case SLUICE_MESSAGE_LIST_VALUE:
			return sluice_json_protobuf_field(json, &field->message->fields[0], value, depth);
		case SLUICE_MESSAGE_VALUE:
			return write_value(json, field, value, depth);
		default:
			return write_plain(json, field, value, depth);
	}
}

static bool
write_message(SluiceJsonProtobuf *json, const SluiceField *field, const SluiceJsonSlice *value, int depth)
{
	size_t		begin;
	bool		written;

	if (depth >= SLUICE_WIRE_DEPTH)
		return sluice_format_error_set(json->error, "54001", "messages are nested more than %d levels deep in field \"%s\"",
									   SLUICE_WIRE_DEPTH, field->name);
	begin = sluice_protobuf_write_begin(json->out, field->number);
	written = write_content(json, field, value, depth + 1);
	sluice_protobuf_write_end(json->out, begin);
	return written;
}

/* ---------------------------------------------------------------- fields */

/* A field that is not repeated, or one element. */
static bool
write_single(SluiceJsonProtobuf *json, const SluiceField *field, const SluiceJsonSlice *value, int depth)
{
	SluiceValue scalar;

	if (field->message != NULL)
		return write_message(json, field, value, depth);
	if (value->type == SLUICE_JSON_NULL && is_null_value(field))
		scalar = (SluiceValue) {.kind = SLUICE_VALUE_INT};
	else if (!scalar_value(json, field, value, &scalar))
		return false;
	if (field->repeated)
		return sluice_protobuf_write_element(json->out, field, &scalar, json->error);
	return sluice_protobuf_write_field(json->out, field, &scalar, json->error);
}

static bool
write_list(SluiceJsonProtobuf *json, const SluiceField *field, const SluiceJsonSlice *value, int depth)
{
	bool		packed = sluice_protobuf_write_is_packed(field);
	size_t		begin = 0;
	SluiceJsonWalk walk;
	bool		more;

	if (value->type != SLUICE_JSON_ARRAY)
		return refuse(json, field, value);
	sluice_json_walk_start(&walk, value->data, value->length, json->error);
	if (!sluice_json_walk_enter(&walk, '['))
		return false;
	for (bool first = true;; first = false)
	{
		SluiceJsonSlice element;

		if (!sluice_json_walk_next(&walk, ']', first, &more))
			return false;
		if (!more)
		{
			if (packed && !first)
				sluice_protobuf_write_end(json->out, begin);
			return true;
		}
		if (packed && first)
			begin = sluice_protobuf_write_begin(json->out, field->number);
		if (!sluice_json_walk_value(&walk, 1, &element) || !write_single(json, field, &element, depth))
			return false;
	}
}

/* A map's entry: its key and value as fields of a message. */
static bool
write_entry(SluiceJsonProtobuf *json, const SluiceField *field, const SluiceJsonSlice *name,
			const SluiceJsonSlice *value, int depth)
{
	size_t		begin = sluice_protobuf_write_begin(json->out, field->number);
	SluiceValue key = {.kind = SLUICE_VALUE_TEXT};
	size_t		length;

	if (!string_text(json, name, &key.bytes, &length))
		return false;
	key.length = (uint32_t) length;
	if (!sluice_protobuf_write_field(json->out, &field->message->fields[0], &key, json->error) ||
		!sluice_json_protobuf_field(json, &field->message->fields[1], value, depth + 1))
		return false;
	sluice_protobuf_write_end(json->out, begin);
	return true;
}

static bool
write_map(SluiceJsonProtobuf *json, const SluiceField *field, const SluiceJsonSlice *value, int depth)
{
	SluiceJsonWalk walk;
	bool		more;

	if (value->type != SLUICE_JSON_OBJECT)
		return refuse(json, field, value);
	sluice_json_walk_start(&walk, value->data, value->length, json->error);
	if (!sluice_json_walk_enter(&walk, '{'))
		return false;
	for (bool first = true;; first = false)
	{
		SluiceJsonSlice name;
		SluiceJsonSlice member;

		if (!sluice_json_walk_next(&walk, '}', first, &more))
			return false;
		if (!more)
			return true;
		if (!sluice_json_walk_name(&walk, &name) || !sluice_json_walk_value(&walk, 1, &member) ||
			!write_entry(json, field, &name, &member, depth))
			return false;
	}
}

/* Does null stand for a value here?  Everywhere else it is an absent field. */
static bool
has_null(const SluiceField *field)
{
	return field->message != NULL ? field->message->kind == SLUICE_MESSAGE_VALUE : is_null_value(field);
}

bool
sluice_json_protobuf_field(SluiceJsonProtobuf *json, const SluiceField *field,
						   const SluiceJsonSlice *value, int depth)
{
	bool		written;

	if (value->type == SLUICE_JSON_NULL && (field->repeated || !has_null(field)))
		return true;
	if (field->map)
		written = write_map(json, field, value, depth);
	else if (field->repeated)
		written = write_list(json, field, value, depth);
	else
		written = write_single(json, field, value, depth);
	if (written && json->out->failed)
		return sluice_format_error_buffer(json->error, json->out);
	return written;
}
