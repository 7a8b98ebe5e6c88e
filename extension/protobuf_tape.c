/*
 * protobuf_tape.c
 *		Where the fields of messages lie in a payload.
 */
#include <stdlib.h>

#include "format_error.h"
#include "protobuf_tape.h"
#include "protobuf_value.h"

bool
sluice_protobuf_tape_note(SluiceTape *tape, uint32_t key, const uint8_t *tag, SluiceFormatError *error)
{
	if (tape->length == tape->capacity)
	{
		size_t		capacity = tape->capacity > 0 ? tape->capacity * 2 : 64;
		uint64_t   *notes = realloc(tape->notes, capacity * sizeof(uint64_t));

		if (notes == NULL)
			return sluice_format_error_set(error, "53200", "out of memory");
		tape->notes = notes;
		tape->capacity = capacity;
	}
	tape->notes[tape->length++] = (uint64_t) key << 32 | (uint32_t) (tag - tape->payload);
	return true;
}

static int
compare_notes(const void *left, const void *right)
{
	uint64_t	a = *(const uint64_t *) left;
	uint64_t	b = *(const uint64_t *) right;

	return a < b ? -1 : a > b;
}

void
sluice_protobuf_tape_sort(SluiceTape *tape, size_t first)
{
	/* most senders write fields in order */
	for (size_t i = first + 1; i < tape->length; i++)
	{
		if (tape->notes[i - 1] > tape->notes[i])
		{
			qsort(tape->notes + first, tape->length - first, sizeof(uint64_t), compare_notes);
			return;
		}
	}
}

void
sluice_protobuf_tape_free(SluiceTape *tape)
{
	free(tape->notes);
	tape->notes = NULL;
	tape->length = tape->capacity = 0;
}

size_t
sluice_protobuf_tape_run(const SluiceTape *tape, size_t first, size_t end)
{
	uint32_t	key = sluice_protobuf_tape_key(tape, first);

	while (first < end && sluice_protobuf_tape_key(tape, first) == key)
		first++;
	return first;
}

SluiceWire
sluice_protobuf_tape_value(const SluiceTape *tape, size_t note, uint32_t *wire_type)
{
	SluiceWire	wire = {tape->payload + sluice_protobuf_tape_offset(tape, note), tape->end};
	uint32_t	number;

	/* was read once already, when it was noted */
	if (!sluice_wire_tag(&wire, &number, wire_type))
		wire.at = wire.end;
	return wire;
}

void
sluice_protobuf_tape_values(SluiceTapeValues *values, const SluiceTape *tape,
							const SluiceField *field, size_t first, size_t last)
{
	values->tape = tape;
	values->field = field;
	values->next = first;
	values->last = last;
	values->packed.at = values->packed.end = NULL;
}

bool
sluice_protobuf_tape_next(SluiceTapeValues *values, SluiceValue *value,
						  bool *more, SluiceFormatError *error)
{
	const SluiceField *field = values->field;

	*more = true;
	while (values->packed.at == values->packed.end)
	{
		uint32_t	wire_type;
		SluiceWire	wire;

		if (values->next == values->last)
		{
			*more = false;
			return true;
		}
		wire = sluice_protobuf_tape_value(values->tape, values->next++, &wire_type);
		if (wire_type == sluice_protobuf_value_wire_type(field->type))
			return sluice_protobuf_value_read(field, &wire, value, error);
		if (!sluice_wire_bytes(&wire, &values->packed))
			return sluice_protobuf_value_malformed(field->name, error);
	}
	return sluice_protobuf_value_read(field, &values->packed, value, error);
}
