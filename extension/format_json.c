/*
 * format_json.c
 *		JSON payloads: an object whose members go to the columns of their names.
 *
 * Two passes.  The first walks the whole payload, validates it, and notes for
 * each column the slice of its member (the last one of that name); members
 * that no column takes are refused, dropped, or written to the overflow
 * object.  The second turns the slices into values, so that only what is kept
 * is converted.
 *
 * null is NULL; an absent member takes the column's default, or NULL.
 *
 * A target whose one column is "payload", of type json or jsonb, takes the
 * whole object there.
 */
#include <stdlib.h>
#include <string.h>

#include "format_error.h"
#include "format_methods.h"
#include "json_value.h"
#include "json_walk.h"

typedef struct JsonState
{
	int			whole;			/* column that takes the whole object, or -1 */
	uint32_t	mask;			/* size of slots - 1 */
	int		   *slots;			/* open addressing, by hash of the name: column + 1, 0 = free */
	uint32_t   *lengths;		/* of the columns' names */
	SluiceJsonSlice *slices;	/* by column: data NULL = absent */
	SluiceBuffer name;			/* a member's name without its escapes */
	SluiceBuffer element;		/* an array's element without its escapes */
} JsonState;

/* Eight bytes at a time; only names of columns are in the table, so nobody can crowd it from outside. */
static uint32_t
hash_name(const char *name, size_t length)
{
	uint64_t	hash = length;
	uint64_t	word = 0;

	for (; length >= 8; length -= 8, name += 8)
	{
		memcpy(&word, name, 8);
		hash = (hash ^ word) * UINT64_C(0x9E3779B97F4A7C15);
		hash ^= hash >> 32;
	}
	word = 0;
	for (size_t i = 0; i < length; i++)
		word = word << 8 | (uint8_t) name[i];
	hash = (hash ^ word) * UINT64_C(0x9E3779B97F4A7C15);
	return (uint32_t) (hash >> 32);
}

static int
find_column(const SluiceFormat *format, const JsonState *state, const char *name, size_t length)
{
	uint32_t	slot = hash_name(name, length) & state->mask;

	for (; state->slots[slot] != 0; slot = (slot + 1) & state->mask)
	{
		int			column = state->slots[slot] - 1;

		if (state->lengths[column] == length &&
			memcmp(format->columns[column].name, name, length) == 0)
			return column;
	}
	return -1;
}

static bool
build_slots(SluiceFormat *format, JsonState *state)
{
	uint32_t	size = 8;

	while (size < (uint32_t) format->ncolumns * 4)
		size *= 2;
	state->mask = size - 1;
	state->slots = calloc(size, sizeof(int));
	state->lengths = calloc((size_t) format->ncolumns + 1, sizeof(uint32_t));
	state->slices = calloc((size_t) format->ncolumns + 1, sizeof(SluiceJsonSlice));
	if (state->slots == NULL || state->lengths == NULL || state->slices == NULL)
		return false;
	for (int i = 0; i < format->ncolumns; i++)
	{
		uint32_t	slot;

		/* a member of the overflow column's name is as unknown as any other */
		if (i == format->overflow_column)
			continue;
		state->lengths[i] = (uint32_t) strlen(format->columns[i].name);
		slot = hash_name(format->columns[i].name, state->lengths[i]) & state->mask;
		while (state->slots[slot] != 0)
			slot = (slot + 1) & state->mask;
		state->slots[slot] = i + 1;
	}
	return true;
}

static bool
is_json_column(const SluiceColumn *column)
{
	return !column->is_array &&
		(column->type == SLUICE_COLUMN_JSON || column->type == SLUICE_COLUMN_JSONB);
}

static bool
json_bind(SluiceFormat *format, const SluiceFormatOptions *options, SluiceFormatError *error)
{
	JsonState  *state = calloc(1, sizeof(JsonState));

	(void) options;
	if (state == NULL)
		return sluice_format_error_set(error, "53200", "out of memory");
	format->state = state;
	state->whole = -1;
	if (format->ncolumns == 0)
		return sluice_format_error_set(error, "42804", "target has no column that a payload could fill");
	if (format->ncolumns == 1 && format->overflow_column < 0 &&
		is_json_column(&format->columns[0]) && strcmp(format->columns[0].name, "payload") == 0)
		state->whole = 0;
	if (!build_slots(format, state))
		return sluice_format_error_set(error, "53200", "out of memory");
	for (int i = 0; i < format->ncolumns; i++)
	{
		SluiceColumnType type = format->columns[i].type;

		format->filled[i] = true;
		/* these come as strings, which only their input functions read */
		format->text_only[i] = type == SLUICE_COLUMN_TIMESTAMPTZ ||
			type == SLUICE_COLUMN_TIMESTAMP || type == SLUICE_COLUMN_INTERVAL;
	}
	return true;
}

static void
json_release(SluiceFormat *format)
{
	JsonState  *state = format->state;

	if (state == NULL)
		return;
	free(state->slots);
	free(state->lengths);
	free(state->slices);
	sluice_buffer_free(&state->name);
	sluice_buffer_free(&state->element);
	free(state);
}

static bool
json_table_columns(const SluiceFormatOptions *options, SluiceBuffer *out, SluiceFormatError *error)
{
	(void) options;
	(void) error;
	sluice_buffer_append_text(out, "\"payload\" pg_catalog.jsonb");
	return true;
}

static bool
set_value(SluiceFormat *format, int i, const SluiceJsonSlice *slice,
		  SluiceValue *values, SluiceFormatError *error)
{
	JsonState  *state = format->state;
	const SluiceColumn *column = &format->columns[i];
	SluiceJsonValue converted;

	if (column->is_array && slice->type != SLUICE_JSON_NULL)
	{
		size_t		start = format->scratch.length;

		if (!sluice_json_value_append_array(&format->scratch, &state->element, column, slice, error))
			return false;
		sluice_format_set_scratch(format, i, values, SLUICE_VALUE_ARRAY, start);
		return true;
	}
	if (!sluice_json_value_convert(column, slice, &format->scratch, &converted, error))
		return false;
	values[i] = converted.value;
	if (converted.in_buffer)
		sluice_format_set_scratch(format, i, values, converted.value.kind, converted.start);
	return true;
}

/* ----------------------------------------------------------------- walk */

/* A member that no column takes. */
static bool
take_unknown(SluiceFormat *format, const SluiceJsonSlice *name, const SluiceJsonSlice *value,
			 SluiceFormatError *error)
{
	char		clip[SLUICE_CLIP_SIZE];

	switch (format->unknown)
	{
		case SLUICE_UNKNOWN_REJECT:
			return sluice_format_error_set(error, "22000", "no column takes member \"%s\"",
										   sluice_format_error_clip(clip, name->data + 1, name->length - 2));
		case SLUICE_UNKNOWN_IGNORE:
			return true;
		case SLUICE_UNKNOWN_OVERFLOW:
			break;
	}
	if ((name->nul || value->nul) && format->columns[format->overflow_column].type == SLUICE_COLUMN_JSONB)
		return sluice_format_error_set(error, "22P05", "member \"%s\" holds \\u0000, which jsonb cannot hold",
									   sluice_format_error_clip(clip, name->data + 1, name->length - 2));
	sluice_buffer_append_char(&format->scratch, format->scratch.length == 0 ? '{' : ',');
	sluice_buffer_append(&format->scratch, name->data, name->length);
	sluice_buffer_append_char(&format->scratch, ':');
	sluice_buffer_append(&format->scratch, value->data, value->length);
	return true;
}

/* The first pass: slices by column, the overflow object in scratch. */
static bool
walk_members(SluiceFormat *format, SluiceJsonWalk *walk, SluiceFormatError *error)
{
	JsonState  *state = format->state;
	bool		more;

	if (!sluice_json_walk_enter(walk, '{'))
		return false;
	for (bool first = true;; first = false)
	{
		SluiceJsonSlice name;
		SluiceJsonSlice value;
		int			column;

		if (!sluice_json_walk_next(walk, '}', first, &more))
			return false;
		if (!more)
			return sluice_json_walk_end(walk);
		if (!sluice_json_walk_name(walk, &name) || !sluice_json_walk_value(walk, 1, &value))
			return false;
		if (name.escaped)
		{
			sluice_buffer_reset(&state->name);
			sluice_json_walk_unescape(&name, &state->name);
			if (state->name.failed)
				return sluice_format_error_buffer(error, &state->name);
			column = find_column(format, state, state->name.data, state->name.length);
		}
		else
			column = find_column(format, state, name.data + 1, name.length - 2);
		if (column >= 0)
			state->slices[column] = value;
		else if (!take_unknown(format, &name, &value, error))
			return false;
	}
}

static bool
decode_whole(SluiceFormat *format, SluiceJsonWalk *walk, SluiceValue *value, SluiceFormatError *error)
{
	SluiceJsonSlice slice;
	SluiceJsonValue converted;

	if (!sluice_json_walk_value(walk, 0, &slice) || !sluice_json_walk_end(walk))
		return false;
	if (slice.type != SLUICE_JSON_OBJECT)
		return sluice_format_error_set(error, "22P02", "payload must be a JSON object, not %s",
									   sluice_json_walk_type_name(slice.type));
	if (!sluice_json_value_convert(&format->columns[0], &slice, &format->scratch, &converted, error))
		return false;
	*value = converted.value;
	return true;
}

static bool
json_decode(SluiceFormat *format, const uint8_t *payload, size_t length,
			SluiceValue *values, SluiceFormatError *error)
{
	JsonState  *state = format->state;
	SluiceJsonWalk walk;

	sluice_json_walk_start(&walk, payload, length, error);
	if (state->whole >= 0)
		return decode_whole(format, &walk, &values[state->whole], error);
	for (int i = 0; i < format->ncolumns; i++)
		state->slices[i].data = NULL;
	if (!walk_members(format, &walk, error))
		return false;
	if (format->overflow_column >= 0)
	{
		sluice_format_set_no_overflow(format, values);
		if (format->scratch.length > 0)
		{
			sluice_buffer_append_char(&format->scratch, '}');
			sluice_format_set_scratch(format, format->overflow_column, values, SLUICE_VALUE_JSON, 0);
		}
	}
	for (int i = 0; i < format->ncolumns; i++)
	{
		if (i == format->overflow_column)
			continue;
		if (state->slices[i].data != NULL)
		{
			if (!set_value(format, i, &state->slices[i], values, error))
				return false;
			continue;
		}
		memset(&values[i], 0, sizeof(SluiceValue));
		if (format->columns[i].has_default)
			values[i].kind = SLUICE_VALUE_DEFAULT;
	}
	return true;
}

const SluiceFormatMethods sluice_format_json = {
	json_bind, json_decode, json_release, json_table_columns
};
