/*
 * descriptor.c
 *		Message types, read at run time from a FileDescriptorSet.
 *
 * Types are built from a list of those still to do, not by recursion: message
 * types may contain themselves.
 */
#include <stdlib.h>
#include <string.h>

#include "descriptor.h"
#include "descriptor_default.h"
#include "descriptor_index.h"
#include "format_error.h"
#include "utf8.h"
#include "wire.h"

#define MAX_FIELDS 65000
#define MAX_DIRECT 512

typedef struct Loader
{
	SluiceArena *arena;
	SluiceDescriptorIndex index;
	SluiceIndexEntry **todo;	/* messages whose fields are still to be built */
	size_t		ntodo;
	SluiceFormatError *error;
} Loader;

static bool
out_of_memory(Loader *loader)
{
	return sluice_format_error_set(loader->error, "53200", "out of memory");
}

/* ---------------------------------------------------------------- enums */

static int
compare_enum_values(const void *left, const void *right)
{
	const SluiceEnumValue *a = left;
	const SluiceEnumValue *b = right;

	if (a->number != b->number)
		return a->number < b->number ? -1 : 1;
	/* aliases: the one declared first; length holds the position while sorting */
	return a->length < b->length ? -1 : a->length > b->length;
}

static const SluiceEnumType *
build_enum(Loader *loader, SluiceIndexEntry *entry)
{
	const Google__Protobuf__EnumDescriptorProto *proto = entry->enumeration;
	SluiceEnumType *type = sluice_arena_alloc(loader->arena, 1, sizeof(SluiceEnumType));
	SluiceEnumValue *values = sluice_arena_alloc(loader->arena, proto->n_value, sizeof(SluiceEnumValue));
	int			n = 0;

	if (type == NULL || values == NULL)
	{
		out_of_memory(loader);
		return NULL;
	}
	for (size_t i = 0; i < proto->n_value; i++)
	{
		if (!sluice_descriptor_index_is_identifier(proto->value[i]->name))
		{
			sluice_format_error_set(loader->error, "22023", "invalid descriptor set: a value of enum \"%s\" has no valid name", entry->name);
			return NULL;
		}
		values[i].number = proto->value[i]->number;
		values[i].name = proto->value[i]->name;
		values[i].length = (uint32_t) i;
	}
	if (proto->n_value == 0)
	{
		sluice_format_error_set(loader->error, "22023", "invalid descriptor set: enum \"%s\" has no values", entry->name);
		return NULL;
	}
	qsort(values, proto->n_value, sizeof(SluiceEnumValue), compare_enum_values);
	for (size_t i = 0; i < proto->n_value; i++)
	{
		if (n > 0 && values[n - 1].number == values[i].number)
			continue;
		values[n] = values[i];
		values[n].length = (uint32_t) strlen(values[i].name);
		values[n].name = sluice_arena_copy(loader->arena, values[i].name, values[n].length);
		if (values[n].name == NULL)
		{
			out_of_memory(loader);
			return NULL;
		}
		n++;
	}
	type->name = sluice_arena_copy(loader->arena, entry->name, strlen(entry->name));
	type->values = values;
	type->nvalues = n;
	if (type->name == NULL)
	{
		out_of_memory(loader);
		return NULL;
	}
	return type;
}

const SluiceEnumValue *
sluice_descriptor_enum_value(const SluiceEnumType *type, int32_t number)
{
	int			low = 0;
	int			high = type->nvalues - 1;

	/* nearly all enums count from 0 */
	if (number >= 0 && number <= high && type->values[number].number == number)
		return &type->values[number];
	while (low <= high)
	{
		int			middle = low + (high - low) / 2;

		if (type->values[middle].number == number)
			return &type->values[middle];
		if (type->values[middle].number < number)
			low = middle + 1;
		else
			high = middle - 1;
	}
	return NULL;
}

/* --------------------------------------------------------------- fields */

/* The type that a field names, built or put on the list. */
static void *
resolve(Loader *loader, const char *field_name, const char *type_name, bool enumeration)
{
	SluiceIndexEntry *entry = NULL;
	char		clip[SLUICE_CLIP_SIZE];

	if (type_name != NULL && type_name[0] == '.')
		entry = sluice_descriptor_index_find(&loader->index, type_name + 1);
	if (entry == NULL)
	{
		if (type_name == NULL)
			type_name = "";
		sluice_format_error_set(loader->error, "42704", "type \"%s\" of field \"%s\" is not in the descriptor set",
								sluice_format_error_clip(clip, type_name, strlen(type_name)), field_name);
		sluice_format_error_hint(loader->error, "Make the descriptor set with protoc --include_imports.");
		return NULL;
	}
	if ((entry->enumeration != NULL) != enumeration)
	{
		sluice_format_error_set(loader->error, "22023", "invalid descriptor set: \"%s\" is not what field \"%s\" takes it for",
								entry->name, field_name);
		return NULL;
	}
	if (entry->built != NULL)
		return entry->built;
	if (enumeration)
		entry->built = (void *) build_enum(loader, entry);
	else
	{
		entry->built = sluice_arena_alloc(loader->arena, 1, sizeof(SluiceMessageType));
		if (entry->built == NULL)
			out_of_memory(loader);
		else
			loader->todo[loader->ntodo++] = entry;
	}
	return entry->built;
}

/* As protoc makes it: "device_id" is "deviceId". */
static const char *
camel_case(SluiceArena *arena, const char *name)
{
	char	   *copy = sluice_arena_copy(arena, name, strlen(name));
	char	   *to = copy;
	bool		upper = false;

	if (copy == NULL)
		return NULL;
	for (; *name != '\0'; name++)
	{
		if (*name == '_')
		{
			upper = true;
			continue;
		}
		*to++ = upper && *name >= 'a' && *name <= 'z' ? (char) (*name - 'a' + 'A') : *name;
		upper = false;
	}
	*to = '\0';
	return copy;
}

static bool
name_field(Loader *loader, const char *message_name,
		   const Google__Protobuf__FieldDescriptorProto *proto, SluiceField *field)
{
	if (!sluice_descriptor_index_is_identifier(proto->name))
		return sluice_format_error_set(loader->error, "22023", "invalid descriptor set: a field of \"%s\" has no valid name", message_name);
	field->name = sluice_arena_copy(loader->arena, proto->name, strlen(proto->name));
	if (proto->json_name == NULL)
		field->json_name = camel_case(loader->arena, proto->name);
	else if (!sluice_utf8_valid((const uint8_t *) proto->json_name, strlen(proto->json_name), true))
		return sluice_format_error_set(loader->error, "22023", "invalid descriptor set: json_name of field \"%s\" is not UTF-8", proto->name);
	else
		field->json_name = sluice_arena_copy(loader->arena, proto->json_name, strlen(proto->json_name));
	if (field->name == NULL || field->json_name == NULL)
		return out_of_memory(loader);
	return true;
}

static bool
build_field(Loader *loader, const SluiceIndexEntry *entry,
			const Google__Protobuf__FieldDescriptorProto *proto, SluiceField *field)
{
	const Google__Protobuf__EnumDescriptorProto *enumeration = NULL;

	if (!name_field(loader, entry->name, proto, field))
		return false;
	if (!proto->has_number || proto->number < 1 || (uint32_t) proto->number > SLUICE_WIRE_MAX_NUMBER)
		return sluice_format_error_set(loader->error, "22023", "invalid descriptor set: field \"%s\" has no valid number", field->name);
	if (!proto->has_type || (int) proto->type < SLUICE_FIELD_DOUBLE || (int) proto->type > SLUICE_FIELD_SINT64)
		return sluice_format_error_set(loader->error, "22023", "invalid descriptor set: field \"%s\" has no type", field->name);
	field->number = (uint32_t) proto->number;
	field->type = (uint8_t) proto->type;
	if (field->type == SLUICE_FIELD_GROUP)
	{
		sluice_format_error_set(loader->error, "0A000", "field \"%s\" of message \"%s\" is a group, which is not supported",
								field->name, entry->name);
		return sluice_format_error_hint(loader->error, "Make it a field of a message type.");
	}
	field->repeated = proto->has_label && proto->label == GOOGLE__PROTOBUF__FIELD_DESCRIPTOR_PROTO__LABEL__LABEL_REPEATED;
	field->required = proto->has_label && proto->label == GOOGLE__PROTOBUF__FIELD_DESCRIPTOR_PROTO__LABEL__LABEL_REQUIRED;
	field->presence = !field->repeated &&
		(!entry->proto3 || proto->has_oneof_index || proto->proto3_optional || field->type == SLUICE_FIELD_MESSAGE);
	field->oneof = -1;
	if (proto->has_oneof_index)
	{
		if (proto->oneof_index < 0 || (size_t) proto->oneof_index >= entry->message->n_oneof_decl || field->repeated)
			return sluice_format_error_set(loader->error, "22023", "invalid descriptor set: field \"%s\" is in no valid oneof", field->name);
		if (!proto->proto3_optional)
			field->oneof = proto->oneof_index;
	}
	if (field->type == SLUICE_FIELD_ENUM)
	{
		field->enumeration = resolve(loader, field->name, proto->type_name, true);
		if (field->enumeration == NULL)
			return false;
		enumeration = sluice_descriptor_index_find(&loader->index, proto->type_name + 1)->enumeration;
	}
	else if (field->type == SLUICE_FIELD_MESSAGE)
	{
		field->message = resolve(loader, field->name, proto->type_name, false);
		if (field->message == NULL)
			return false;
	}
	return sluice_descriptor_default_set(loader->arena, field, proto, enumeration, loader->error);
}

/* ------------------------------------------------------------- messages */

static bool
has_field(const SluiceMessageType *type, int index, uint32_t number, SluiceFieldType field_type)
{
	return index < type->nfields && type->fields[index].number == number &&
		type->fields[index].type == field_type && !type->fields[index].repeated;
}

/* The well-known types are known by their names, if they look as they should. */
static SluiceMessageKind
kind_of(const SluiceMessageType *type)
{
	static const char *const wrappers[] = {
		"DoubleValue", "FloatValue", "Int64Value", "UInt64Value", "Int32Value",
		"UInt32Value", "BoolValue", "StringValue", "BytesValue"
	};
	static const char package[] = "google.protobuf.";
	const char *name = type->name + sizeof(package) - 1;

	if (strncmp(type->name, package, sizeof(package) - 1) != 0)
		return SLUICE_MESSAGE_PLAIN;
	if (type->nfields == 2 && has_field(type, 0, 1, SLUICE_FIELD_INT64) && has_field(type, 1, 2, SLUICE_FIELD_INT32))
	{
		if (strcmp(name, "Timestamp") == 0)
			return SLUICE_MESSAGE_TIMESTAMP;
		if (strcmp(name, "Duration") == 0)
			return SLUICE_MESSAGE_DURATION;
	}
	if (strcmp(name, "Value") == 0)
		return SLUICE_MESSAGE_VALUE;
	if (type->nfields != 1 || type->fields[0].number != 1)
		return SLUICE_MESSAGE_PLAIN;
	if (strcmp(name, "Struct") == 0 && type->fields[0].repeated && type->fields[0].message != NULL)
		return SLUICE_MESSAGE_STRUCT;
	if (strcmp(name, "ListValue") == 0 && type->fields[0].repeated && type->fields[0].message != NULL)
		return SLUICE_MESSAGE_LIST_VALUE;
	for (size_t i = 0; i < sizeof(wrappers) / sizeof(wrappers[0]); i++)
	{
		if (strcmp(name, wrappers[i]) == 0 && !type->fields[0].repeated &&
			type->fields[0].message == NULL && type->fields[0].enumeration == NULL)
			return SLUICE_MESSAGE_WRAPPER;
	}
	return SLUICE_MESSAGE_PLAIN;
}

typedef struct Numbered
{
	uint32_t	number;
	uint16_t	index;
} Numbered;

static int
compare_numbered(const void *left, const void *right)
{
	const Numbered *a = left;
	const Numbered *b = right;

	return a->number < b->number ? -1 : a->number > b->number;
}

/* The tables that find a field by its number. */
static bool
build_lookup(Loader *loader, SluiceMessageType *type)
{
	size_t		n = (size_t) type->nfields;
	Numbered   *numbered = calloc(n + 1, sizeof(Numbered));
	uint16_t   *by_number = sluice_arena_alloc(loader->arena, n, sizeof(uint16_t));
	uint16_t   *direct = NULL;
	bool		unique = true;

	for (size_t i = 0; numbered != NULL && i < n; i++)
	{
		numbered[i].number = type->fields[i].number;
		numbered[i].index = (uint16_t) i;
	}
	if (numbered != NULL && n > 0)
	{
		qsort(numbered, n, sizeof(Numbered), compare_numbered);
		type->direct_size = numbered[n - 1].number < MAX_DIRECT ? numbered[n - 1].number + 1 : MAX_DIRECT;
		direct = sluice_arena_alloc(loader->arena, type->direct_size, sizeof(uint16_t));
	}
	if (numbered == NULL || by_number == NULL || (n > 0 && direct == NULL))
	{
		free(numbered);
		return out_of_memory(loader);
	}
	for (size_t i = 0; i < n; i++)
	{
		if (i > 0 && numbered[i].number == numbered[i - 1].number)
			unique = false;
		by_number[i] = numbered[i].index;
		if (numbered[i].number < type->direct_size)
			direct[numbered[i].number] = (uint16_t) (numbered[i].index + 1);
	}
	free(numbered);
	type->by_number = by_number;
	type->direct = direct;
	if (!unique)
		return sluice_format_error_set(loader->error, "22023", "invalid descriptor set: two fields of \"%s\" have the same number", type->name);
	return true;
}

int
sluice_descriptor_find_slow(const SluiceMessageType *type, uint32_t number)
{
	int			low = 0;
	int			high = type->nfields - 1;

	while (low <= high)
	{
		int			middle = low + (high - low) / 2;
		uint32_t	candidate = type->fields[type->by_number[middle]].number;

		if (candidate == number)
			return type->by_number[middle];
		if (candidate < number)
			low = middle + 1;
		else
			high = middle - 1;
	}
	return -1;
}

static bool
build_message(Loader *loader, const SluiceIndexEntry *entry)
{
	const Google__Protobuf__DescriptorProto *proto = entry->message;
	SluiceMessageType *type = entry->built;
	SluiceField *fields;

	if (proto->n_field > MAX_FIELDS)
		return sluice_format_error_set(loader->error, "54000", "message \"%s\" has too many fields: %zu", entry->name, proto->n_field);
	if (proto->n_oneof_decl > proto->n_field)
		return sluice_format_error_set(loader->error, "22023", "invalid descriptor set: a oneof of \"%s\" has no fields", entry->name);
	type->name = sluice_arena_copy(loader->arena, entry->name, strlen(entry->name));
	fields = sluice_arena_alloc(loader->arena, proto->n_field, sizeof(SluiceField));
	if (type->name == NULL || fields == NULL)
		return out_of_memory(loader);
	type->fields = fields;
	type->nfields = (int) proto->n_field;
	type->noneofs = (int) proto->n_oneof_decl;
	type->map_entry = proto->options != NULL && proto->options->has_map_entry && proto->options->map_entry;
	for (size_t i = 0; i < proto->n_field; i++)
	{
		if (!build_field(loader, entry, proto->field[i], &fields[i]))
			return false;
		type->nrequired += fields[i].required;
	}
	type->kind = kind_of(type);
	return build_lookup(loader, type);
}

static bool
is_map_entry(const SluiceMessageType *type)
{
	const SluiceField *fields = type->fields;

	if (type->nfields != 2 || fields[0].number != 1 || fields[1].number != 2 ||
		fields[0].repeated || fields[1].repeated || type->nrequired > 0 || type->noneofs > 0)
		return false;
	switch (fields[0].type)
	{
		case SLUICE_FIELD_DOUBLE:
		case SLUICE_FIELD_FLOAT:
		case SLUICE_FIELD_BYTES:
		case SLUICE_FIELD_ENUM:
		case SLUICE_FIELD_MESSAGE:
			return false;
		default:
			return true;
	}
}

/* Maps are known only when the entry types are built, so they come last. */
static bool
mark_maps(Loader *loader)
{
	for (size_t i = 0; i < loader->ntodo; i++)
	{
		const SluiceMessageType *type = loader->todo[i]->built;
		SluiceField *fields = (SluiceField *) type->fields;

		for (int j = 0; j < type->nfields; j++)
		{
			if (fields[j].message == NULL || !fields[j].message->map_entry)
				continue;
			if (!fields[j].repeated || !is_map_entry(fields[j].message))
				return sluice_format_error_set(loader->error, "22023", "invalid descriptor set: field \"%s\" of \"%s\" is no valid map",
											   fields[j].name, type->name);
			fields[j].map = true;
		}
	}
	return true;
}

static const SluiceMessageType *
load(Loader *loader, const char *message_type)
{
	SluiceIndexEntry *entry = sluice_descriptor_index_find(&loader->index, message_type);

	if (entry == NULL || entry->message == NULL)
	{
		char		clip[SLUICE_CLIP_SIZE];

		sluice_format_error_set(loader->error, "42704", "message type \"%s\" is not in the descriptor set",
								sluice_format_error_clip(clip, message_type, strlen(message_type)));
		sluice_format_error_hint(loader->error, "Write its name with its package, such as \"ingestion.DataPayload\".");
		return NULL;
	}
	loader->todo = calloc(loader->index.nentries, sizeof(SluiceIndexEntry *));
	entry->built = sluice_arena_alloc(loader->arena, 1, sizeof(SluiceMessageType));
	if (loader->todo == NULL || entry->built == NULL)
	{
		out_of_memory(loader);
		return NULL;
	}
	loader->todo[loader->ntodo++] = entry;
	for (size_t i = 0; i < loader->ntodo; i++)
	{
		if (!build_message(loader, loader->todo[i]))
			return NULL;
	}
	return mark_maps(loader) ? entry->built : NULL;
}

const SluiceMessageType *
sluice_descriptor_load(SluiceArena *arena, const uint8_t *descriptor_set, size_t length,
					   const char *message_type, SluiceFormatError *error)
{
	Loader		loader = {.arena = arena,.error = error};
	const SluiceMessageType *type = NULL;

	if (descriptor_set == NULL || message_type == NULL)
	{
		sluice_format_error_set(error, "22023", "protobuf streams need a message type and a descriptor set");
		return NULL;
	}
	if (sluice_descriptor_index_open(&loader.index, descriptor_set, length, error))
		type = load(&loader, message_type);
	free(loader.todo);
	sluice_descriptor_index_close(&loader.index);
	return type;
}
