/*
 * descriptor_index.h
 *		The types of a FileDescriptorSet by their full names.
 *
 * Used while a message type is loaded (descriptor.c), and closed again then.
 */
#ifndef SLUICE_DESCRIPTOR_INDEX_H
#define SLUICE_DESCRIPTOR_INDEX_H

#include "google/protobuf/descriptor.pb-c.h"

#include "arena.h"
#include "format.h"

typedef struct SluiceIndexEntry
{
	const char *name;			/* "package.Outer.Inner" */
	const Google__Protobuf__DescriptorProto *message;	/* or */
	const Google__Protobuf__EnumDescriptorProto *enumeration;
	bool		proto3;
	void	   *built;			/* descriptor.c's */
} SluiceIndexEntry;

typedef struct SluiceDescriptorIndex
{
	Google__Protobuf__FileDescriptorSet *set;
	SluiceIndexEntry *entries;	/* ascending by name */
	size_t		nentries;
	size_t		capacity;
	size_t		allocated;		/* by protobuf-c, in bytes */
	ProtobufCAllocator allocator;
	SluiceArena names;
} SluiceDescriptorIndex;

/* Close it also where open has failed.  The index must not move while it is open. */
extern bool sluice_descriptor_index_open(SluiceDescriptorIndex *index,
										 const uint8_t *descriptor_set, size_t length,
										 SluiceFormatError *error);
extern SluiceIndexEntry *sluice_descriptor_index_find(SluiceDescriptorIndex *index, const char *name);
extern void sluice_descriptor_index_close(SluiceDescriptorIndex *index);

/* Is it a letter or underscore, followed by these and digits? */
extern bool sluice_descriptor_index_is_identifier(const char *name);

#endif							/* SLUICE_DESCRIPTOR_INDEX_H */
