/*
 * protobuf_json.h
 *		Protobuf messages as JSON text: the proto3 JSON mapping.
 *
 * For json and jsonb columns.  As the mapping says: members are named by
 * json_name; 64-bit integers, NaN and infinities are strings; bytes are base64;
 * enums are names (numbers where unknown); Timestamp, Duration, wrappers,
 * Struct, Value and ListValue have their own forms; fields without presence
 * that have their default are left out.  Other well-known types (Any,
 * FieldMask) are written as the plain messages that they are.  An entry that a
 * map has twice is written twice (jsonb keeps the last one).
 */
#ifndef SLUICE_PROTOBUF_JSON_H
#define SLUICE_PROTOBUF_JSON_H

#include "descriptor.h"
#include "protobuf_tape.h"

typedef struct SluiceProtobufJson
{
	SluiceTape *tape;
	SluiceBuffer *out;
	SluiceUnknownFields unknown;	/* of fields within messages: with OVERFLOW they become members "#<number>" */
	SluiceFormatError *error;
} SluiceProtobufJson;

/* The value of a field from its notes (at least one), appended to out.  depth counts the messages around it. */
extern bool sluice_protobuf_json_field(SluiceProtobufJson *json, const SluiceField *field,
									   size_t first, size_t last, int depth);

/* A field that is absent: its default, [], {} or null. */
extern void sluice_protobuf_json_absent(SluiceBuffer *out, const SluiceField *field);

/*
 * The value of a number that the message does not have, from its notes: a
 * number (varint, fixed) or base64 (bytes, group); an array where there are
 * several.
 */
extern bool sluice_protobuf_json_unknown(SluiceProtobufJson *json, size_t first, size_t last);

#endif							/* SLUICE_PROTOBUF_JSON_H */
