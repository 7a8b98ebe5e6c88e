/*
 * format_protobuf.c
 *		Protobuf payloads: walking the wire by a plan made at run time.
 *
 * Most fields go straight from the wire into their column's value.  Those that
 * are written as JSON or as an array, and those for the overflow column, are
 * noted on the tape while the payload is walked, and written when it has been
 * walked.
 *
 * As everywhere in protobuf, the last value of a field wins, the pieces of a
 * message add up, and of a oneof only the member that came last is there.
 * Known fields in a wrong wire type are refused whatever unknown_fields says:
 * no evolution of a message that keeps the rules makes such a payload.
 */
#include <stdlib.h>
#include <string.h>

#include "array_literal.h"
#include "format_error.h"
#include "format_methods.h"
#include "json_walk.h"
#include "json_write.h"
#include "protobuf_json.h"
#include "protobuf_plan.h"
#include "protobuf_value.h"

/* The member of a oneof that is there. */
typedef struct OneofState
{
	int			field;			/* index + 1, 0 = none */
	uint32_t	since;			/* offset of its first tag since another member was there */
} OneofState;

typedef struct ProtobufState
{
	SluiceProtobufPlan plan;
	SluiceTape	tape;
	uint8_t    *seen;			/* by field, in the payload at hand */
	SluiceSeconds *seconds;		/* by field: Timestamps and Durations so far */
	OneofState *oneofs;
} ProtobufState;

static bool
protobuf_bind(SluiceFormat *format, const SluiceFormatOptions *options, SluiceFormatError *error)
{
	ProtobufState *state = calloc(1, sizeof(ProtobufState));
	SluiceArena *arena;

	if (state == NULL)
		return sluice_format_error_set(error, "53200", "out of memory");
	format->state = state;
	arena = &state->plan.arena;
	if (!sluice_protobuf_plan_make(format, options, &state->plan, error))
		return false;
	state->seen = sluice_arena_alloc(arena, (size_t) state->plan.type->nfields, 1);
	state->seconds = sluice_arena_alloc(arena, (size_t) state->plan.type->nfields, sizeof(SluiceSeconds));
	state->oneofs = sluice_arena_alloc(arena, (size_t) state->plan.type->noneofs, sizeof(OneofState));
	if (state->seen == NULL || state->seconds == NULL || state->oneofs == NULL)
		return sluice_format_error_set(error, "53200", "out of memory");
	return true;
}

static void
protobuf_release(SluiceFormat *format)
{
	ProtobufState *state = format->state;

	if (state == NULL)
		return;
	sluice_protobuf_tape_free(&state->tape);
	sluice_arena_free(&state->plan.arena);
	free(state);
}

/* --------------------------------------------------------------- fields */

/* A member of a oneof came: what another member has left goes away. */
static void
enter_oneof(ProtobufState *state, int index, const uint8_t *tag, SluiceValue *values)
{
	OneofState *oneof = &state->oneofs[state->plan.type->fields[index].oneof];

	if (oneof->field == index + 1)
		return;
	if (oneof->field > 0)
	{
		int			other = oneof->field - 1;
		int			column = state->plan.fields[other].column;

		state->seen[other] = 0;
		if (column >= 0)
			values[column] = state->plan.absent[column];
	}
	oneof->field = index + 1;
	oneof->since = (uint32_t) (tag - state->tape.payload);
}

static bool
check_json_text(const SluiceFormat *format, const SluiceFieldPlan *plan,
				SluiceValue *value, SluiceFormatError *error)
{
	SluiceJsonWalk walk;
	SluiceJsonSlice slice;
	SluiceFormatError inner;

	memset(&inner, 0, sizeof(inner));
	sluice_json_walk_start(&walk, value->bytes, value->length, &inner);
	if (!sluice_json_walk_value(&walk, 0, &slice) || !sluice_json_walk_end(&walk))
		return sluice_format_error_set(error, inner.sqlstate, "field \"%s\": %s", plan->field->name, inner.message);
	if (slice.nul && format->columns[plan->column].type == SLUICE_COLUMN_JSONB)
		return sluice_format_error_set(error, "22P05", "field \"%s\" holds \\u0000, which jsonb cannot hold", plan->field->name);
	value->kind = SLUICE_VALUE_JSON;
	return true;
}

static bool
take_seconds(ProtobufState *state, int index, SluiceWire *wire, SluiceUnknownFields unknown,
			 SluiceValue *value, SluiceFormatError *error)
{
	const SluiceFieldPlan *plan = &state->plan.fields[index];
	SluiceSeconds *seconds = &state->seconds[index];
	SluiceWire	content;

	if (!sluice_wire_bytes(wire, &content))
		return sluice_protobuf_value_malformed(plan->field->name, error);
	if (!state->seen[index])
		memset(seconds, 0, sizeof(SluiceSeconds));
	if (!sluice_protobuf_value_read_seconds(plan->field, content, unknown, seconds, error))
		return false;
	if (plan->action == SLUICE_PLAN_TIMESTAMP)
		return sluice_protobuf_value_timestamp(plan->field, *seconds, value, error);
	return sluice_protobuf_value_duration(plan->field, *seconds, value, error);
}

static bool
take_wrapper(SluiceFormat *format, int index, SluiceWire *wire,
			 SluiceValue *value, SluiceFormatError *error)
{
	ProtobufState *state = format->state;
	const SluiceFieldPlan *plan = &state->plan.fields[index];
	SluiceWire	content;

	if (!sluice_wire_bytes(wire, &content))
		return sluice_protobuf_value_malformed(plan->field->name, error);
	if (!state->seen[index])
		*value = plan->field->message->fields[0].default_value;
	if (!sluice_protobuf_value_read_wrapper(plan->field, content, format->unknown, value, error))
		return false;
	return plan->json_text ? check_json_text(format, plan, value, error) : true;
}

/* Keep it for later: where it lies, and that it is sound as far as its length goes. */
static bool
note(ProtobufState *state, uint32_t key, const uint8_t *tag, SluiceWire *wire,
	 uint32_t number, uint32_t wire_type, SluiceFormatError *error)
{
	if (!sluice_wire_skip(wire, number, wire_type))
		return sluice_protobuf_value_malformed(state->plan.type->name, error);
	return sluice_protobuf_tape_note(&state->tape, key, tag, error);
}

static bool
take_unknown(SluiceFormat *format, const uint8_t *tag, SluiceWire *wire,
			 uint32_t number, uint32_t wire_type, SluiceFormatError *error)
{
	ProtobufState *state = format->state;

	switch (format->unknown)
	{
		case SLUICE_UNKNOWN_REJECT:
			break;
		case SLUICE_UNKNOWN_IGNORE:
			return sluice_wire_skip(wire, number, wire_type) ? true :
				sluice_protobuf_value_malformed(state->plan.type->name, error);
		case SLUICE_UNKNOWN_OVERFLOW:
			return note(state, SLUICE_TAPE_UNKNOWN | number, tag, wire, number, wire_type, error);
	}
	return sluice_protobuf_value_unknown(state->plan.type->name, number, error);
}

static bool
take_field(SluiceFormat *format, int index, const uint8_t *tag, SluiceWire *wire,
		   uint32_t wire_type, SluiceValue *values, SluiceFormatError *error)
{
	ProtobufState *state = format->state;
	const SluiceFieldPlan *plan = &state->plan.fields[index];
	const SluiceField *field = plan->field;
	SluiceValue *value = plan->column >= 0 ? &values[plan->column] : NULL;

	if (!sluice_protobuf_value_expected(field, plan->wire_type, wire_type))
		return sluice_protobuf_value_wrong_wire_type(field, wire_type, error);
	if (field->oneof >= 0)
		enter_oneof(state, index, tag, values);
	switch ((SluicePlanAction) plan->action)
	{
		case SLUICE_PLAN_DROP:
			if (!sluice_wire_skip_simple(wire, wire_type))
				return sluice_protobuf_value_malformed(field->name, error);
			break;
		case SLUICE_PLAN_SCALAR:
			if (!sluice_protobuf_value_read(field, wire, value, error))
				return false;
			if (plan->empty_is_absent && value->length == 0)
				*value = state->plan.absent[plan->column];
			break;
		case SLUICE_PLAN_ENUM_NAME:
			if (!sluice_protobuf_value_read(field, wire, value, error))
				return false;
			sluice_protobuf_value_name_enum(field->enumeration, value);
			break;
		case SLUICE_PLAN_JSON_TEXT:
			if (!sluice_protobuf_value_read(field, wire, value, error))
				return false;
			if (plan->empty_is_absent && value->length == 0)
				*value = state->plan.absent[plan->column];
			else if (!check_json_text(format, plan, value, error))
				return false;
			break;
		case SLUICE_PLAN_TIMESTAMP:
		case SLUICE_PLAN_DURATION:
			if (!take_seconds(state, index, wire, format->unknown, value, error))
				return false;
			break;
		case SLUICE_PLAN_WRAPPER:
			if (!take_wrapper(format, index, wire, value, error))
				return false;
			break;
		case SLUICE_PLAN_OVERFLOW:
		case SLUICE_PLAN_JSON:
		case SLUICE_PLAN_ARRAY:
			if (!note(state, (uint32_t) index, tag, wire, field->number, wire_type, error))
				return false;
			break;
	}
	state->seen[index] = 1;
	return true;
}

/* ------------------------------------------------------- what was noted */

/* Leave out the notes of a oneof's member that came before another member did. */
static size_t
narrow_to_oneof(const ProtobufState *state, size_t first, size_t last)
{
	uint32_t	index = sluice_protobuf_tape_key(&state->tape, first);
	const OneofState *oneof;

	if (index & SLUICE_TAPE_UNKNOWN || state->plan.type->fields[index].oneof < 0)
		return first;
	oneof = &state->oneofs[state->plan.type->fields[index].oneof];
	if (oneof->field != (int) index + 1)
		return last;
	while (first < last && sluice_protobuf_tape_offset(&state->tape, first) < oneof->since)
		first++;
	return first;
}

/* One element of an array as the column's type of elements takes it. */
static bool
element_value(SluiceFormat *format, const SluiceFieldPlan *plan, size_t note, SluiceValue *value,
			  SluiceFormatError *error)
{
	ProtobufState *state = format->state;
	const SluiceField *field = plan->field;
	SluiceSeconds seconds = {0, 0};
	SluiceWire	content;
	uint32_t	wire_type;
	SluiceWire	wire = sluice_protobuf_tape_value(&state->tape, note, &wire_type);

	if (!sluice_wire_bytes(&wire, &content))
		return sluice_protobuf_value_malformed(field->name, error);
	if (field->message->kind == SLUICE_MESSAGE_WRAPPER)
	{
		*value = field->message->fields[0].default_value;
		return sluice_protobuf_value_read_wrapper(field, content, format->unknown, value, error);
	}
	if (!sluice_protobuf_value_read_seconds(field, content, format->unknown, &seconds, error))
		return false;
	if (field->message->kind == SLUICE_MESSAGE_TIMESTAMP)
		return sluice_protobuf_value_timestamp(field, seconds, value, error);
	return sluice_protobuf_value_duration(field, seconds, value, error);
}

static bool
write_array(SluiceFormat *format, const SluiceFieldPlan *plan, size_t first, size_t last,
			SluiceFormatError *error)
{
	ProtobufState *state = format->state;
	const SluiceColumn *column = &format->columns[plan->column];
	bool		by_name = plan->field->type == SLUICE_FIELD_ENUM &&
		(column->type == SLUICE_COLUMN_TEXT || column->type == SLUICE_COLUMN_OTHER);
	SluiceTapeValues values;
	SluiceValue value;
	bool		more = true;

	memset(&value, 0, sizeof(value));
	sluice_array_literal_open(&format->scratch);
	if (plan->field->message != NULL)
	{
		for (; first < last; first++)
		{
			if (!element_value(format, plan, first, &value, error) ||
				!sluice_array_literal_append(&format->scratch, column, &value, error))
				return false;
		}
		sluice_array_literal_close(&format->scratch);
		return true;
	}
	sluice_protobuf_tape_values(&values, &state->tape, plan->field, first, last);
	for (;;)
	{
		if (!sluice_protobuf_tape_next(&values, &value, &more, error))
			return false;
		if (!more)
			break;
		if (by_name)
			sluice_protobuf_value_name_enum(plan->field->enumeration, &value);
		if (!sluice_array_literal_append(&format->scratch, column, &value, error))
			return false;
	}
	sluice_array_literal_close(&format->scratch);
	return true;
}

static bool
write_column(SluiceFormat *format, SluiceProtobufJson *json, const SluiceFieldPlan *plan,
			 size_t first, size_t last, SluiceValue *values)
{
	size_t		start = format->scratch.length;

	if (plan->action == SLUICE_PLAN_ARRAY)
	{
		if (!write_array(format, plan, first, last, json->error))
			return false;
		sluice_format_set_scratch(format, plan->column, values, SLUICE_VALUE_ARRAY, start);
		return true;
	}
	if (!sluice_protobuf_json_field(json, plan->field, first, last, 1))
		return false;
	sluice_format_set_scratch(format, plan->column, values, SLUICE_VALUE_JSON, start);
	return true;
}

static bool
write_overflow_member(SluiceFormat *format, SluiceProtobufJson *json, size_t first, size_t last, size_t start)
{
	ProtobufState *state = format->state;
	uint32_t	key = sluice_protobuf_tape_key(&state->tape, first);
	SluiceBuffer *out = &format->scratch;

	sluice_buffer_append_char(out, out->length == start ? '{' : ',');
	if (key & SLUICE_TAPE_UNKNOWN)
	{
		sluice_buffer_append_text(out, "\"#");
		sluice_json_write_uint(out, key & ~SLUICE_TAPE_UNKNOWN, false);
		sluice_buffer_append_text(out, "\":");
		return sluice_protobuf_json_unknown(json, first, last);
	}
	sluice_json_write_string(out, state->plan.fields[key].field->name, strlen(state->plan.fields[key].field->name));
	sluice_buffer_append_char(out, ':');
	return sluice_protobuf_json_field(json, state->plan.fields[key].field, first, last, 1);
}

/* Write all that was noted: first the columns, then the overflow object in one piece. */
static bool
write_noted(SluiceFormat *format, SluiceValue *values, bool overflow, SluiceFormatError *error)
{
	ProtobufState *state = format->state;
	SluiceTape *tape = &state->tape;
	SluiceProtobufJson json = {tape, &format->scratch, format->unknown, error};
	size_t		end = tape->length;
	size_t		start = format->scratch.length;

	for (size_t first = 0; first < end;)
	{
		size_t		last = sluice_protobuf_tape_run(tape, first, end);
		uint32_t	key = sluice_protobuf_tape_key(tape, first);
		size_t		narrowed = narrow_to_oneof(state, first, last);
		bool		is_overflow = key & SLUICE_TAPE_UNKNOWN || state->plan.fields[key].column < 0;

		first = last;
		if (narrowed == last || is_overflow != overflow)
			continue;
		if (overflow ? !write_overflow_member(format, &json, narrowed, last, start) :
			!write_column(format, &json, &state->plan.fields[key], narrowed, last, values))
			return false;
	}
	if (!overflow || format->scratch.length == start)
		return true;
	sluice_buffer_append_char(&format->scratch, '}');
	sluice_format_set_scratch(format, format->overflow_column, values, SLUICE_VALUE_JSON, start);
	return true;
}

/* --------------------------------------------------------------- payload */

static bool
check_required(const ProtobufState *state, SluiceFormatError *error)
{
	const SluiceMessageType *type = state->plan.type;

	for (int i = 0; i < type->nfields; i++)
	{
		if (type->fields[i].required && !state->seen[i])
			return sluice_format_error_set(error, "22004", "required field \"%s\" of message \"%s\" is missing",
										   type->fields[i].name, type->name);
	}
	return true;
}

static bool
walk_payload(SluiceFormat *format, SluiceWire wire, SluiceValue *values, SluiceFormatError *error)
{
	ProtobufState *state = format->state;
	const SluiceMessageType *type = state->plan.type;

	while (wire.at < wire.end)
	{
		const uint8_t *tag = wire.at;
		uint32_t	number;
		uint32_t	wire_type;
		int			index;

		if (!sluice_wire_tag(&wire, &number, &wire_type))
			return sluice_protobuf_value_malformed(type->name, error);
		index = sluice_descriptor_find(type, number);
		if (index < 0 ? !take_unknown(format, tag, &wire, number, wire_type, error) :
			!take_field(format, index, tag, &wire, wire_type, values, error))
			return false;
	}
	return true;
}

static bool
protobuf_decode(SluiceFormat *format, const uint8_t *payload, size_t length,
				SluiceValue *values, SluiceFormatError *error)
{
	ProtobufState *state = format->state;
	const SluiceProtobufPlan *plan = &state->plan;
	SluiceWire	wire = {payload, payload + length};
	SluiceTape *tape = &state->tape;

	memcpy(values, plan->absent, (size_t) format->ncolumns * sizeof(SluiceValue));
	if (plan->type->nfields > 0)
		memset(state->seen, 0, (size_t) plan->type->nfields);
	if (plan->oneofs)
		memset(state->oneofs, 0, (size_t) plan->type->noneofs * sizeof(OneofState));
	if (format->overflow_column >= 0)
		sluice_format_set_no_overflow(format, values);
	tape->length = 0;
	tape->payload = wire.at;
	tape->end = wire.end;
	if (tape->capacity * sizeof(uint64_t) > SLUICE_FORMAT_SCRATCH_KEPT)
		sluice_protobuf_tape_free(tape);
	if (!walk_payload(format, wire, values, error))
		return false;
	if (plan->type->nrequired > 0 && !check_required(state, error))
		return false;
	if (tape->length == 0)
		return true;
	sluice_protobuf_tape_sort(tape, 0);
	if (write_noted(format, values, false, error) &&
		(format->overflow_column < 0 || write_noted(format, values, true, error)))
		return true;
	return format->scratch.failed ? sluice_format_error_buffer(error, &format->scratch) : false;
}

const SluiceFormatMethods sluice_format_protobuf = {
	protobuf_bind, protobuf_decode, protobuf_release, sluice_protobuf_plan_table_columns
};
