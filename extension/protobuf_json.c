/*
 * protobuf_json.c
 *		Protobuf messages as JSON text.
 *
 * A message is written in two steps: walk its pieces on the wire, noting all
 * fields on the tape; then write field by field.  Recursion goes as deep as
 * messages are nested, and is refused beyond SLUICE_WIRE_DEPTH.
 */
#include <string.h>

#include "format_error.h"
#include "instant.h"
#include "json_write.h"
#include "protobuf_json.h"
#include "protobuf_json_scalar.h"
#include "protobuf_value.h"

static bool write_message(SluiceProtobufJson *json, const SluiceField *field,
						  size_t first, size_t last, int depth);

/* ----------------------------------------------------------------- walk */

/* The content of a note that is a message. */
static bool
message_content(SluiceProtobufJson *json, const SluiceField *field, size_t note, SluiceWire *content)
{
	uint32_t	wire_type;
	SluiceWire	wire = sluice_protobuf_tape_value(json->tape, note, &wire_type);

	return sluice_wire_bytes(&wire, content) ? true : sluice_protobuf_value_malformed(field->name, json->error);
}

/* Note all fields of a piece of a message. */
static bool
note_fields(SluiceProtobufJson *json, const SluiceField *parent, SluiceWire wire)
{
	const SluiceMessageType *type = parent->message;

	while (wire.at < wire.end)
	{
		const uint8_t *tag = wire.at;
		uint32_t	number;
		uint32_t	wire_type;
		uint32_t	key;
		int			index;

		if (!sluice_wire_tag(&wire, &number, &wire_type))
			return sluice_protobuf_value_malformed(parent->name, json->error);
		index = sluice_descriptor_find(type, number);
		if (index >= 0)
		{
			const SluiceField *field = &type->fields[index];

			if (!sluice_protobuf_value_expected(field, sluice_protobuf_value_wire_type(field->type), wire_type))
				return sluice_protobuf_value_wrong_wire_type(field, wire_type, json->error);
			key = (uint32_t) index;
		}
		else if (json->unknown == SLUICE_UNKNOWN_REJECT)
			return sluice_protobuf_value_unknown(type->name, number, json->error);
		else
			key = SLUICE_TAPE_UNKNOWN | number;
		if (!sluice_wire_skip(&wire, number, wire_type))
			return sluice_protobuf_value_malformed(parent->name, json->error);
		if (index < 0 && json->unknown == SLUICE_UNKNOWN_IGNORE)
			continue;
		if (!sluice_protobuf_tape_note(json->tape, key, tag, json->error))
			return false;
	}
	return true;
}

/*
 * Of the members of a oneof only the one that came last counts, and of that
 * one only what came after the others.  Narrow a field's run to this; an empty
 * run says that another member won.
 */
static void
narrow_to_oneof(const SluiceTape *tape, const SluiceMessageType *type, size_t base, size_t end,
				size_t *first, size_t last)
{
	uint32_t	index = sluice_protobuf_tape_key(tape, *first);
	int			oneof = type->fields[index].oneof;

	for (size_t at = base; at < end; at++)
	{
		uint32_t	key = sluice_protobuf_tape_key(tape, at);

		if (key & SLUICE_TAPE_UNKNOWN)
			break;
		if (key == index || type->fields[key].oneof != oneof)
			continue;
		while (*first < last &&
			   sluice_protobuf_tape_offset(tape, *first) < sluice_protobuf_tape_offset(tape, at))
			(*first)++;
	}
}

/* ------------------------------------------------------------- messages */

static bool
write_unknown_member(SluiceProtobufJson *json, size_t first, size_t last)
{
	sluice_buffer_append_text(json->out, "\"#");
	sluice_json_write_uint(json->out, sluice_protobuf_tape_key(json->tape, first) & ~SLUICE_TAPE_UNKNOWN, false);
	sluice_buffer_append_text(json->out, "\":");
	return sluice_protobuf_json_unknown(json, first, last);
}

/* May a field be left out, being its default without presence? */
static bool
is_default(SluiceProtobufJson *json, const SluiceField *field, size_t note, bool *result)
{
	uint32_t	wire_type;
	SluiceWire	wire = sluice_protobuf_tape_value(json->tape, note, &wire_type);
	SluiceValue value;

	*result = false;
	if (field->presence || field->repeated)
		return true;
	if (!sluice_protobuf_value_read(field, &wire, &value, json->error))
		return false;
	*result = sluice_protobuf_json_is_zero(&value);
	return true;
}

static bool
write_known_member(SluiceProtobufJson *json, const SluiceMessageType *type,
				   size_t base, size_t end, size_t first, size_t last, int depth, bool *comma)
{
	const SluiceField *field = &type->fields[sluice_protobuf_tape_key(json->tape, first)];
	bool		skip;

	if (field->oneof >= 0)
		narrow_to_oneof(json->tape, type, base, end, &first, last);
	if (first == last)
		return true;
	if (!is_default(json, field, last - 1, &skip))
		return false;
	if (skip)
		return true;
	if (*comma)
		sluice_buffer_append_char(json->out, ',');
	*comma = true;
	sluice_json_write_string(json->out, field->json_name, strlen(field->json_name));
	sluice_buffer_append_char(json->out, ':');
	return sluice_protobuf_json_field(json, field, first, last, depth);
}

static bool
missing_field(SluiceProtobufJson *json, const SluiceMessageType *type, size_t base, size_t end)
{
	size_t		at = base;

	for (int i = 0; i < type->nfields; i++)
	{
		if (!type->fields[i].required)
			continue;
		while (at < end && sluice_protobuf_tape_key(json->tape, at) < (uint32_t) i)
			at++;
		if (at == end || sluice_protobuf_tape_key(json->tape, at) != (uint32_t) i)
			return sluice_format_error_set(json->error, "22004", "required field \"%s\" of message \"%s\" is missing",
										   type->fields[i].name, type->name);
	}
	return true;
}

/* A message without a form of its own, its fields noted from base on. */
static bool
write_plain(SluiceProtobufJson *json, const SluiceMessageType *type, size_t base, int depth)
{
	size_t		end = json->tape->length;
	bool		comma = false;

	if (type->nrequired > 0 && !missing_field(json, type, base, end))
		return false;
	sluice_buffer_append_char(json->out, '{');
	for (size_t first = base; first < end;)
	{
		size_t		last = sluice_protobuf_tape_run(json->tape, first, end);

		if (sluice_protobuf_tape_key(json->tape, first) & SLUICE_TAPE_UNKNOWN)
		{
			if (comma)
				sluice_buffer_append_char(json->out, ',');
			comma = true;
			if (!write_unknown_member(json, first, last))
				return false;
		}
		else if (!write_known_member(json, type, base, end, first, last, depth, &comma))
			return false;
		first = last;
	}
	sluice_buffer_append_char(json->out, '}');
	return true;
}

/* Struct and ListValue are their only field; Value is the one that is set. */
static bool
write_only_field(SluiceProtobufJson *json, const SluiceMessageType *type, size_t base, int depth)
{
	size_t		end = json->tape->length;

	for (size_t first = base; first < end;)
	{
		size_t		last = sluice_protobuf_tape_run(json->tape, first, end);
		size_t		narrowed = first;
		uint32_t	key = sluice_protobuf_tape_key(json->tape, first);

		if (key & SLUICE_TAPE_UNKNOWN)
			return sluice_protobuf_value_unknown(type->name, key & ~SLUICE_TAPE_UNKNOWN, json->error);
		if (type->fields[key].oneof >= 0)
			narrow_to_oneof(json->tape, type, base, end, &narrowed, last);
		if (narrowed < last)
			return sluice_protobuf_json_field(json, &type->fields[key], narrowed, last, depth);
		first = last;
	}
	if (type->kind == SLUICE_MESSAGE_VALUE)
		sluice_buffer_append_text(json->out, "null");
	else
		sluice_protobuf_json_absent(json->out, &type->fields[0]);
	return true;
}

static bool
write_seconds(SluiceProtobufJson *json, const SluiceField *field, size_t first, size_t last)
{
	SluiceSeconds seconds = {0, 0};
	SluiceWire	content;
	char		text[SLUICE_INSTANT_SIZE];
	int			length;

	for (size_t note = first; note < last; note++)
	{
		if (!message_content(json, field, note, &content) ||
			!sluice_protobuf_value_read_seconds(field, content, json->unknown, &seconds, json->error))
			return false;
	}
	if (field->message->kind == SLUICE_MESSAGE_TIMESTAMP)
		length = sluice_instant_timestamp_json(text, seconds.seconds, seconds.nanos);
	else
		length = sluice_instant_duration_json(text, seconds.seconds, seconds.nanos);
	if (length == 0)
		return sluice_format_error_set(json->error, "22008", "%s out of range in field \"%s\": %lld seconds, %d nanos",
									   field->message->kind == SLUICE_MESSAGE_TIMESTAMP ? "timestamp" : "duration",
									   field->name, (long long) seconds.seconds, (int) seconds.nanos);
	sluice_json_write_string(json->out, text, (size_t) length);
	return true;
}

static bool
write_wrapper(SluiceProtobufJson *json, const SluiceField *field, size_t first, size_t last)
{
	const SluiceField *inner = &field->message->fields[0];
	SluiceValue value = inner->default_value;
	SluiceWire	content;

	for (size_t note = first; note < last; note++)
	{
		if (!message_content(json, field, note, &content) ||
			!sluice_protobuf_value_read_wrapper(field, content, json->unknown, &value, json->error))
			return false;
	}
	sluice_protobuf_json_scalar(json->out, inner, &value);
	return true;
}

/* One message, from all its pieces. */
static bool
write_message(SluiceProtobufJson *json, const SluiceField *field,
			  size_t first, size_t last, int depth)
{
	const SluiceMessageType *type = field->message;
	size_t		base = json->tape->length;
	SluiceWire	content;
	bool		written;

	if (depth >= SLUICE_WIRE_DEPTH)
		return sluice_format_error_set(json->error, "54001", "messages are nested more than %d levels deep in field \"%s\"",
									   SLUICE_WIRE_DEPTH, field->name);
	if (type->kind == SLUICE_MESSAGE_TIMESTAMP || type->kind == SLUICE_MESSAGE_DURATION)
		return write_seconds(json, field, first, last);
	if (type->kind == SLUICE_MESSAGE_WRAPPER)
		return write_wrapper(json, field, first, last);
	for (size_t note = first; note < last; note++)
	{
		if (!message_content(json, field, note, &content) || !note_fields(json, field, content))
			return false;
	}
	sluice_protobuf_tape_sort(json->tape, base);
	if (type->kind == SLUICE_MESSAGE_PLAIN)
		written = write_plain(json, type, base, depth + 1);
	else
		written = write_only_field(json, type, base, depth + 1);
	json->tape->length = base;
	return written && !json->out->failed;
}

/* ----------------------------------------------------------------- maps */

static bool
write_entry(SluiceProtobufJson *json, const SluiceField *field, size_t base, int depth)
{
	const SluiceField *fields = field->message->fields;
	size_t		end = json->tape->length;
	SluiceValue key = fields[0].default_value;
	size_t		at = base;

	while (at < end && sluice_protobuf_tape_key(json->tape, at) == 0)
		at++;
	if (at > base)
	{
		uint32_t	wire_type;
		SluiceWire	wire = sluice_protobuf_tape_value(json->tape, at - 1, &wire_type);

		if (!sluice_protobuf_value_read(&fields[0], &wire, &key, json->error))
			return false;
	}
	sluice_protobuf_json_key(json->out, &fields[0], &key);
	sluice_buffer_append_char(json->out, ':');
	if (at < end && sluice_protobuf_tape_key(json->tape, at) == 1)
		return sluice_protobuf_json_field(json, &fields[1], at,
										  sluice_protobuf_tape_run(json->tape, at, end), depth);
	sluice_protobuf_json_absent_value(json->out, &fields[1]);
	return true;
}

static bool
write_map(SluiceProtobufJson *json, const SluiceField *field, size_t first, size_t last, int depth)
{
	sluice_buffer_append_char(json->out, '{');
	for (size_t note = first; note < last; note++)
	{
		size_t		base = json->tape->length;
		SluiceWire	content;
		bool		written;

		if (note > first)
			sluice_buffer_append_char(json->out, ',');
		if (!message_content(json, field, note, &content) || !note_fields(json, field, content))
			return false;
		sluice_protobuf_tape_sort(json->tape, base);
		if (json->tape->length > base &&
			sluice_protobuf_tape_key(json->tape, json->tape->length - 1) & SLUICE_TAPE_UNKNOWN)
			return sluice_protobuf_value_unknown(field->message->name,
												 sluice_protobuf_tape_key(json->tape, json->tape->length - 1) & ~SLUICE_TAPE_UNKNOWN,
												 json->error);
		written = write_entry(json, field, base, depth + 1);
		json->tape->length = base;
		if (!written || json->out->failed)
			return false;
	}
	sluice_buffer_append_char(json->out, '}');
	return true;
}

/* --------------------------------------------------------------- fields */

static bool
write_list(SluiceProtobufJson *json, const SluiceField *field, size_t first, size_t last, int depth)
{
	SluiceTapeValues values;
	SluiceValue value;
	bool		more = true;
	size_t		start;

	sluice_buffer_append_char(json->out, '[');
	start = json->out->length;
	if (field->message != NULL)
	{
		for (size_t note = first; note < last; note++)
		{
			if (note > first)
				sluice_buffer_append_char(json->out, ',');
			if (!write_message(json, field, note, note + 1, depth) || json->out->failed)
				return false;
		}
		sluice_buffer_append_char(json->out, ']');
		return true;
	}
	sluice_protobuf_tape_values(&values, json->tape, field, first, last);
	for (;;)
	{
		if (!sluice_protobuf_tape_next(&values, &value, &more, json->error))
			return false;
		if (!more || json->out->failed)
			break;
		if (json->out->length > start)
			sluice_buffer_append_char(json->out, ',');
		sluice_protobuf_json_scalar(json->out, field, &value);
	}
	sluice_buffer_append_char(json->out, ']');
	return true;
}

bool
sluice_protobuf_json_field(SluiceProtobufJson *json, const SluiceField *field,
						   size_t first, size_t last, int depth)
{
	uint32_t	wire_type;
	SluiceWire	wire;
	SluiceValue value;

	if (field->map)
		return write_map(json, field, first, last, depth);
	if (field->repeated)
		return write_list(json, field, first, last, depth);
	if (field->message != NULL)
		return write_message(json, field, first, last, depth);
	wire = sluice_protobuf_tape_value(json->tape, last - 1, &wire_type);
	if (!sluice_protobuf_value_read(field, &wire, &value, json->error))
		return false;
	sluice_protobuf_json_scalar(json->out, field, &value);
	return true;
}
