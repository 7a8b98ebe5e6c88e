/*
 * protobuf_write.h
 *		Writing the protobuf wire format: the way back of protobuf_value.h.
 *
 * A value is of any kind that the columns for its field may hold (the list is
 * in protobuf_plan.c): numbers as numbers or text, enums as numbers or names.
 * Where it is none of the field's values, the function returns false with *error set.
 */
#ifndef SLUICE_PROTOBUF_WRITE_H
#define SLUICE_PROTOBUF_WRITE_H

#include "descriptor.h"

/*
 * A field that is not repeated, or one element of a repeated message: a scalar,
 * a wrapper, a Timestamp or a Duration.  A field without presence is left out
 * where it has its default.
 */
extern bool sluice_protobuf_write_field(SluiceBuffer *out, const SluiceField *field,
										const SluiceValue *value, SluiceFormatError *error);

/* One value of a repeated field that is no message: without a tag where such values are packed. */
extern bool sluice_protobuf_write_element(SluiceBuffer *out, const SluiceField *field,
										  const SluiceValue *value, SluiceFormatError *error);

/* Are values of this type packed? */
extern bool sluice_protobuf_write_is_packed(const SluiceField *field);

/* The tag of a message, or of a packed run, and what follows up to end as its content. */
extern size_t sluice_protobuf_write_begin(SluiceBuffer *out, uint32_t number);
extern void sluice_protobuf_write_end(SluiceBuffer *out, size_t begin);

/* A Timestamp's or Duration's content. */
extern void sluice_protobuf_write_seconds(SluiceBuffer *out, int64_t seconds, int32_t nanos);

#endif							/* SLUICE_PROTOBUF_WRITE_H */
