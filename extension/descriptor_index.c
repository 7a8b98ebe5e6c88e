/*
 * descriptor_index.c
 *		The types of a FileDescriptorSet by their full names.
 *
 * protobuf-c parses by recursion and without bounds of its own, so the set is
 * walked by hand first to limit how deep message types lie within each other,
 * and its allocator counts.
 */
#include <stdlib.h>
#include <string.h>

#include "descriptor_index.h"
#include "format_error.h"
#include "utf8.h"
#include "wire.h"

#define MAX_SET_SIZE ((size_t) 16 << 20)
#define MAX_ALLOCATED ((size_t) 256 << 20)
#define MAX_NESTING 32
#define MAX_NAME_LENGTH 512

/* The numbers of the fields that lead from a set to nested message types. */
#define SET_FILE 1
#define FILE_MESSAGE_TYPE 4
#define MESSAGE_NESTED_TYPE 3

static void *
counting_alloc(void *data, size_t size)
{
	SluiceDescriptorIndex *index = data;

	if (size > MAX_ALLOCATED - index->allocated)
		return NULL;
	index->allocated += size;
	return malloc(size);
}

static void
counting_free(void *data, void *pointer)
{
	(void) data;
	free(pointer);
}

/* Is the wire sound, and are types nested less deeply than "level" allows?  level counts down to 0. */
static bool
check_nesting(SluiceWire wire, uint32_t nested_number, int level)
{
	while (wire.at < wire.end)
	{
		uint32_t	number;
		uint32_t	type;
		SluiceWire	inner;

		if (!sluice_wire_tag(&wire, &number, &type))
			return false;
		if (number != nested_number || type != SLUICE_WIRE_BYTES)
		{
			if (!sluice_wire_skip(&wire, number, type))
				return false;
			continue;
		}
		if (!sluice_wire_bytes(&wire, &inner) || level == 0)
			return false;
		if (!check_nesting(inner,
						   nested_number == SET_FILE ? FILE_MESSAGE_TYPE : MESSAGE_NESTED_TYPE,
						   level - 1))
			return false;
	}
	return true;
}

bool
sluice_descriptor_index_is_identifier(const char *name)
{
	if (name == NULL || *name == '\0' || (*name >= '0' && *name <= '9'))
		return false;
	for (; *name != '\0'; name++)
	{
		if (!((*name >= 'a' && *name <= 'z') || (*name >= 'A' && *name <= 'Z') ||
			  (*name >= '0' && *name <= '9') || *name == '_'))
			return false;
	}
	return true;
}

static bool
out_of_memory(SluiceFormatError *error)
{
	return sluice_format_error_set(error, "53200", "out of memory");
}

static bool
invalid(SluiceFormatError *error, const char *problem)
{
	sluice_format_error_set(error, "22023", "invalid descriptor set: %s", problem);
	return sluice_format_error_hint(error, "Make it with protoc --include_imports --descriptor_set_out=FILE.");
}

static SluiceIndexEntry *
add_entry(SluiceDescriptorIndex *index, const char *scope, const char *name, bool proto3,
		  SluiceFormatError *error)
{
	size_t		scope_length = strlen(scope);
	SluiceIndexEntry *entry;
	char	   *full;

	if (!sluice_descriptor_index_is_identifier(name))
	{
		invalid(error, "the name of a type is not an identifier");
		return NULL;
	}
	if (scope_length + strlen(name) + 2 > MAX_NAME_LENGTH)
	{
		invalid(error, "the name of a type is too long");
		return NULL;
	}
	if (index->nentries == index->capacity)
	{
		size_t		capacity = index->capacity > 0 ? index->capacity * 2 : 64;
		SluiceIndexEntry *entries = realloc(index->entries, capacity * sizeof(SluiceIndexEntry));

		if (entries == NULL)
		{
			out_of_memory(error);
			return NULL;
		}
		index->entries = entries;
		index->capacity = capacity;
	}
	full = sluice_arena_alloc(&index->names, scope_length + strlen(name) + 2, 1);
	if (full == NULL)
	{
		out_of_memory(error);
		return NULL;
	}
	memcpy(full, scope, scope_length);
	if (scope_length > 0)
		full[scope_length++] = '.';
	memcpy(full + scope_length, name, strlen(name));
	entry = &index->entries[index->nentries++];
	memset(entry, 0, sizeof(SluiceIndexEntry));
	entry->name = full;
	entry->proto3 = proto3;
	return entry;
}

static bool
add_enum(SluiceDescriptorIndex *index, const char *scope,
		 const Google__Protobuf__EnumDescriptorProto *enumeration, bool proto3, SluiceFormatError *error)
{
	SluiceIndexEntry *entry = add_entry(index, scope, enumeration->name, proto3, error);

	if (entry == NULL)
		return false;
	entry->enumeration = enumeration;
	return true;
}

/* Recursion as deep as types are nested, which check_nesting has limited. */
static bool
add_message(SluiceDescriptorIndex *index, const char *scope,
			const Google__Protobuf__DescriptorProto *message, bool proto3, SluiceFormatError *error)
{
	SluiceIndexEntry *entry = add_entry(index, scope, message->name, proto3, error);
	const char *name;

	if (entry == NULL)
		return false;
	entry->message = message;
	name = entry->name;			/* the entry itself may move */
	for (size_t i = 0; i < message->n_nested_type; i++)
	{
		if (!add_message(index, name, message->nested_type[i], proto3, error))
			return false;
	}
	for (size_t i = 0; i < message->n_enum_type; i++)
	{
		if (!add_enum(index, name, message->enum_type[i], proto3, error))
			return false;
	}
	return true;
}

/* "a.b.c", or empty */
static bool
is_package(const char *package)
{
	char		part[MAX_NAME_LENGTH];

	if (*package == '\0')
		return true;
	while (true)
	{
		size_t		length = strcspn(package, ".");

		if (length >= sizeof(part))
			return false;
		memcpy(part, package, length);
		part[length] = '\0';
		if (!sluice_descriptor_index_is_identifier(part))
			return false;
		if (package[length] == '\0')
			return true;
		package += length + 1;
	}
}

static bool
add_file(SluiceDescriptorIndex *index, const Google__Protobuf__FileDescriptorProto *file,
		 SluiceFormatError *error)
{
	const char *package = file->package != NULL ? file->package : "";
	const char *syntax = file->syntax != NULL ? file->syntax : "";
	bool		proto3 = strcmp(syntax, "proto3") == 0;

	if (!proto3 && *syntax != '\0' && strcmp(syntax, "proto2") != 0)
	{
		char		clip[SLUICE_CLIP_SIZE];

		return sluice_format_error_set(error, "0A000", "descriptor set has a file of syntax \"%s\": only proto2 and proto3 are supported",
									   sluice_format_error_clip(clip, syntax, strlen(syntax)));
	}
	if (!is_package(package))
		return invalid(error, "the name of a package is not made of identifiers");
	for (size_t i = 0; i < file->n_message_type; i++)
	{
		if (!add_message(index, package, file->message_type[i], proto3, error))
			return false;
	}
	for (size_t i = 0; i < file->n_enum_type; i++)
	{
		if (!add_enum(index, package, file->enum_type[i], proto3, error))
			return false;
	}
	return true;
}

static int
compare_entries(const void *left, const void *right)
{
	return strcmp(((const SluiceIndexEntry *) left)->name, ((const SluiceIndexEntry *) right)->name);
}

bool
sluice_descriptor_index_open(SluiceDescriptorIndex *index,
							 const uint8_t *descriptor_set, size_t length,
							 SluiceFormatError *error)
{
	SluiceWire	wire = {descriptor_set, descriptor_set + length};

	memset(index, 0, sizeof(SluiceDescriptorIndex));
	index->allocator.alloc = counting_alloc;
	index->allocator.free = counting_free;
	index->allocator.allocator_data = index;
	if (length > MAX_SET_SIZE)
		return sluice_format_error_set(error, "54000", "descriptor set is too large: %zu bytes, the limit is %zu",
									   length, MAX_SET_SIZE);
	if (length == 0 || !check_nesting(wire, SET_FILE, MAX_NESTING))
		return invalid(error, "it is not a serialized google.protobuf.FileDescriptorSet, or nests types too deeply");
	index->set = google__protobuf__file_descriptor_set__unpack(&index->allocator, length, descriptor_set);
	if (index->set == NULL)
		return invalid(error, "it is not a serialized google.protobuf.FileDescriptorSet");
	for (size_t i = 0; i < index->set->n_file; i++)
	{
		if (!add_file(index, index->set->file[i], error))
			return false;
	}
	if (index->nentries > 0)
		qsort(index->entries, index->nentries, sizeof(SluiceIndexEntry), compare_entries);
	for (size_t i = 1; i < index->nentries; i++)
	{
		if (strcmp(index->entries[i - 1].name, index->entries[i].name) == 0)
			return sluice_format_error_set(error, "22023", "invalid descriptor set: type \"%s\" is defined twice",
										   index->entries[i].name);
	}
	return true;
}

SluiceIndexEntry *
sluice_descriptor_index_find(SluiceDescriptorIndex *index, const char *name)
{
	SluiceIndexEntry key = {.name = name};

	if (index->nentries == 0)
		return NULL;
	return bsearch(&key, index->entries, index->nentries, sizeof(SluiceIndexEntry), compare_entries);
}

void
sluice_descriptor_index_close(SluiceDescriptorIndex *index)
{
	if (index->set != NULL)
		google__protobuf__file_descriptor_set__free_unpacked(index->set, &index->allocator);
	free(index->entries);
	sluice_arena_free(&index->names);
	memset(index, 0, sizeof(SluiceDescriptorIndex));
}
