/*
 * descriptor_default.h
 *		The default of a field: what it is when it is absent.
 */
#ifndef SLUICE_DESCRIPTOR_DEFAULT_H
#define SLUICE_DESCRIPTOR_DEFAULT_H

#include "google/protobuf/descriptor.pb-c.h"

#include "descriptor.h"

/*
 * Fill field->default_value, from proto's default_value where it has one.
 * enumeration is the field's enum, or NULL.
 */
extern bool sluice_descriptor_default_set(SluiceArena *arena, SluiceField *field,
										  const Google__Protobuf__FieldDescriptorProto *proto,
										  const Google__Protobuf__EnumDescriptorProto *enumeration,
										  SluiceFormatError *error);

#endif							/* SLUICE_DESCRIPTOR_DEFAULT_H */
