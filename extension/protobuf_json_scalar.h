/*
 * protobuf_json_scalar.h
 *		Protobuf values that are no messages, as JSON text.
 *
 * Between protobuf_json.c and protobuf_json_scalar.c; others use protobuf_json.h.
 */
#ifndef SLUICE_PROTOBUF_JSON_SCALAR_H
#define SLUICE_PROTOBUF_JSON_SCALAR_H

#include "descriptor.h"

extern void sluice_protobuf_json_scalar(SluiceBuffer *out, const SluiceField *field, const SluiceValue *value);

/* As the name of a member: always a string. */
extern void sluice_protobuf_json_key(SluiceBuffer *out, const SluiceField *field, const SluiceValue *value);

/* The value of a map's entry that has none: its type's default; of a message, the empty one. */
extern void sluice_protobuf_json_absent_value(SluiceBuffer *out, const SluiceField *field);

/* Is it the default of a field without presence? */
extern bool sluice_protobuf_json_is_zero(const SluiceValue *value);

#endif							/* SLUICE_PROTOBUF_JSON_SCALAR_H */
