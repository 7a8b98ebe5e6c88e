/*
 * protobuf_tape.h
 *		Where the fields of messages lie in a payload, grouped by field.
 *
 * The wire may hold the values of a field anywhere among those of others, in
 * several pieces.  A message that is written as a whole (JSON, arrays) is
 * therefore walked first, noting the offset of each tag, and the notes are
 * sorted by field.  The tape is a stack: messages within messages note behind
 * their parents and take their notes away again.  Each note stands for at
 * least two bytes of payload, and a parent's note for all of its child's: so
 * the tape is never larger than four times the payload.
 */
#ifndef SLUICE_PROTOBUF_TAPE_H
#define SLUICE_PROTOBUF_TAPE_H

#include "descriptor.h"
#include "wire.h"

/* Notes of numbers that the message does not have: the number itself, marked. */
#define SLUICE_TAPE_UNKNOWN (UINT32_C(1) << 31)

typedef struct SluiceTape
{
	uint64_t   *notes;			/* key << 32 | offset */
	size_t		length;
	size_t		capacity;
	const uint8_t *payload;		/* offsets count from here */
	const uint8_t *end;
} SluiceTape;

/* The values of one field that is no message, among its notes from first up to last: packed, or each by itself. */
typedef struct SluiceTapeValues
{
	const SluiceTape *tape;
	const SluiceField *field;
	size_t		next;
	size_t		last;
	SluiceWire	packed;			/* what is left of a packed run */
} SluiceTapeValues;

extern bool sluice_protobuf_tape_note(SluiceTape *tape, uint32_t key, const uint8_t *tag, SluiceFormatError *error);
extern void sluice_protobuf_tape_sort(SluiceTape *tape, size_t first);
extern void sluice_protobuf_tape_free(SluiceTape *tape);

static inline uint32_t
sluice_protobuf_tape_key(const SluiceTape *tape, size_t note)
{
	return (uint32_t) (tape->notes[note] >> 32);
}

static inline uint32_t
sluice_protobuf_tape_offset(const SluiceTape *tape, size_t note)
{
	return (uint32_t) tape->notes[note];
}

/* The end of the run of notes that have the key of the first one. */
extern size_t sluice_protobuf_tape_run(const SluiceTape *tape, size_t first, size_t end);

/* Behind the tag of a note. */
extern SluiceWire sluice_protobuf_tape_value(const SluiceTape *tape, size_t note, uint32_t *wire_type);

extern void sluice_protobuf_tape_values(SluiceTapeValues *values, const SluiceTape *tape,
										const SluiceField *field, size_t first, size_t last);

/* The next value, where there is one: *more. */
extern bool sluice_protobuf_tape_next(SluiceTapeValues *values, SluiceValue *value,
									  bool *more, SluiceFormatError *error);

#endif							/* SLUICE_PROTOBUF_TAPE_H */
