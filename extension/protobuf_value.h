/*
 * protobuf_value.h
 *		Single values off the protobuf wire.
 */
#ifndef SLUICE_PROTOBUF_VALUE_H
#define SLUICE_PROTOBUF_VALUE_H

#include "descriptor.h"
#include "wire.h"

/* seconds and nanos of a Timestamp or Duration; occurrences of one field add up */
typedef struct SluiceSeconds
{
	int64_t		seconds;
	int32_t		nanos;
} SluiceSeconds;

/* The wire type of a value of this type that is not packed. */
extern uint32_t sluice_protobuf_value_wire_type(uint8_t type);

/* Is "wire_type" one that a tag of this field may have?  That of bytes is a packed run of values. */
static inline bool
sluice_protobuf_value_expected(const SluiceField *field, uint32_t own_wire_type, uint32_t wire_type)
{
	return wire_type == own_wire_type ||
		(wire_type == SLUICE_WIRE_BYTES && field->repeated);
}

/*
 * The scalar (no message) at the wire: INT, UINT, BOOL, DOUBLE, FLOAT, TEXT or
 * BYTES; an enum is INT.  Text is checked to be UTF-8 without NUL.
 */
extern bool sluice_protobuf_value_read(const SluiceField *field, SluiceWire *wire,
									   SluiceValue *value, SluiceFormatError *error);

/* The content of a Timestamp or Duration, over what *seconds holds already. */
extern bool sluice_protobuf_value_read_seconds(const SluiceField *field, SluiceWire content,
											   SluiceUnknownFields unknown,
											   SluiceSeconds *seconds, SluiceFormatError *error);

/* The content of a wrapper, over what *value holds already. */
extern bool sluice_protobuf_value_read_wrapper(const SluiceField *field, SluiceWire content,
											   SluiceUnknownFields unknown,
											   SluiceValue *value, SluiceFormatError *error);

/* As the kinds of value for columns: 22008 out of range. */
extern bool sluice_protobuf_value_timestamp(const SluiceField *field, SluiceSeconds seconds,
											SluiceValue *value, SluiceFormatError *error);
extern bool sluice_protobuf_value_duration(const SluiceField *field, SluiceSeconds seconds,
										   SluiceValue *value, SluiceFormatError *error);

/* An enum's number as the text of its name; unknown numbers stay numbers. */
extern void sluice_protobuf_value_name_enum(const SluiceEnumType *type, SluiceValue *value);

/* Refusals. */
extern bool sluice_protobuf_value_malformed(const char *where, SluiceFormatError *error);
extern bool sluice_protobuf_value_wrong_wire_type(const SluiceField *field, uint32_t wire_type, SluiceFormatError *error);
extern bool sluice_protobuf_value_unknown(const char *message, uint32_t number, SluiceFormatError *error);

#endif							/* SLUICE_PROTOBUF_VALUE_H */
