/*
 * descriptor.h
 *		Message types, read at run time from a FileDescriptorSet.
 *
 * Only the types that the wanted one reaches are built.  They are checked
 * whole: names are identifiers, numbers are valid and unique, types resolve,
 * so that the decoders may rely on them.  proto2 and proto3; groups and
 * editions are refused.
 */
#ifndef SLUICE_DESCRIPTOR_H
#define SLUICE_DESCRIPTOR_H

#include "arena.h"
#include "format.h"

typedef struct SluiceMessageType SluiceMessageType;

/* The numbers are those of google.protobuf.FieldDescriptorProto.Type. */
typedef enum SluiceFieldType
{
	SLUICE_FIELD_DOUBLE = 1,
	SLUICE_FIELD_FLOAT = 2,
	SLUICE_FIELD_INT64 = 3,
	SLUICE_FIELD_UINT64 = 4,
	SLUICE_FIELD_INT32 = 5,
	SLUICE_FIELD_FIXED64 = 6,
	SLUICE_FIELD_FIXED32 = 7,
	SLUICE_FIELD_BOOL = 8,
	SLUICE_FIELD_STRING = 9,
	SLUICE_FIELD_GROUP = 10,
	SLUICE_FIELD_MESSAGE = 11,
	SLUICE_FIELD_BYTES = 12,
	SLUICE_FIELD_UINT32 = 13,
	SLUICE_FIELD_ENUM = 14,
	SLUICE_FIELD_SFIXED32 = 15,
	SLUICE_FIELD_SFIXED64 = 16,
	SLUICE_FIELD_SINT32 = 17,
	SLUICE_FIELD_SINT64 = 18
} SluiceFieldType;

/* Messages that mean more than their fields. */
typedef enum SluiceMessageKind
{
	SLUICE_MESSAGE_PLAIN = 0,
	SLUICE_MESSAGE_TIMESTAMP,
	SLUICE_MESSAGE_DURATION,
	SLUICE_MESSAGE_WRAPPER,		/* google.protobuf.Int32Value ...: field 1 */
	SLUICE_MESSAGE_STRUCT,		/* field 1: map<string, Value> */
	SLUICE_MESSAGE_VALUE,
	SLUICE_MESSAGE_LIST_VALUE	/* field 1: repeated Value */
} SluiceMessageKind;

typedef struct SluiceEnumValue
{
	int32_t		number;
	const char *name;
	uint32_t	length;			/* of name */
} SluiceEnumValue;

typedef struct SluiceEnumType
{
	const char *name;			/* "package.Enum" */
	const SluiceEnumValue *values;	/* by number, each number once (its first name) */
	int			nvalues;
} SluiceEnumType;

typedef struct SluiceField
{
	const char *name;
	const char *json_name;
	uint32_t	number;
	uint8_t		type;			/* SluiceFieldType */
	bool		repeated;		/* maps too */
	bool		map;			/* message is the entry: fields[0] key, fields[1] value */
	bool		required;
	bool		presence;		/* absent is not the same as the default */
	bool		has_default;	/* proto2: default_value was written down */
	int			oneof;			/* index of its oneof (not of one that "optional" made), or -1 */
	const SluiceMessageType *message;
	const SluiceEnumType *enumeration;
	SluiceValue default_value;	/* singular scalars: as sluice_protobuf_value_read would yield it */
} SluiceField;

struct SluiceMessageType
{
	const char *name;			/* "package.Message" */
	SluiceMessageKind kind;
	bool		map_entry;
	int			nfields;
	int			nrequired;
	int			noneofs;
	const SluiceField *fields;	/* as declared; of a map entry: key, value */
	const uint16_t *by_number;	/* indexes into fields, ascending by number */
	const uint16_t *direct;		/* index + 1 by number below direct_size, 0 = none */
	uint32_t	direct_size;
};

/*
 * The type of this name (without a leading dot) and all that it needs, in the
 * arena.  NULL with *error set.
 */
extern const SluiceMessageType *sluice_descriptor_load(SluiceArena *arena,
													   const uint8_t *descriptor_set, size_t length,
													   const char *message_type, SluiceFormatError *error);

/* Index of the field of a number, or -1. */
extern int	sluice_descriptor_find_slow(const SluiceMessageType *type, uint32_t number);

static inline int
sluice_descriptor_find(const SluiceMessageType *type, uint32_t number)
{
	if (number < type->direct_size)
		return (int) type->direct[number] - 1;
	return sluice_descriptor_find_slow(type, number);
}

/* The value of a number, or NULL. */
extern const SluiceEnumValue *sluice_descriptor_enum_value(const SluiceEnumType *type, int32_t number);

#endif							/* SLUICE_DESCRIPTOR_H */
