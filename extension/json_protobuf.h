/*
 * json_protobuf.h
 *		JSON text as protobuf messages: the way back of protobuf_json.h.
 *
 * As the proto3 JSON mapping says, and as its parsers do: members are found by
 * json_name and by the field's own name; numbers may be strings, enums numbers,
 * bytes base64 of both alphabets; null is an absent field.  Members
 * that the message does not have are passed over, as the unknown fields
 * ("#<number>") of protobuf_json.h are.
 */
#ifndef SLUICE_JSON_PROTOBUF_H
#define SLUICE_JSON_PROTOBUF_H

#include "descriptor.h"
#include "json_walk.h"

typedef struct SluiceJsonProtobuf
{
	SluiceBuffer *out;
	SluiceBuffer scratch;		/* text of strings; the caller frees it */
	SluiceFormatError *error;
} SluiceJsonProtobuf;

/* A field, tags and all, from its value, which was walked (sluice_json_walk_value); depth counts the messages around it. */
extern bool sluice_json_protobuf_field(SluiceJsonProtobuf *json, const SluiceField *field,
									   const SluiceJsonSlice *value, int depth);

#endif							/* SLUICE_JSON_PROTOBUF_H */
