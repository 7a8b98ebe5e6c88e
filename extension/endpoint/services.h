/*
 * services.h
 *		The descriptors of all services that the endpoint serves.
 *
 * Plain C: the FileDescriptorSet that was embedded at build, with look-ups by
 * file name and by symbol.
 */
#ifndef SLUICE_SERVICES_H
#define SLUICE_SERVICES_H

#include <stdbool.h>
#include <stddef.h>

#include "google/protobuf/descriptor.pb-c.h"

typedef Google__Protobuf__FileDescriptorSet SluiceServices;
typedef Google__Protobuf__FileDescriptorProto SluiceServiceFile;

extern SluiceServices *sluice_services_read(void);	/* NULL: out of memory */
extern void sluice_services_free(SluiceServices *services);

/* NULL: there is none. */
extern const SluiceServiceFile *sluice_services_file(const SluiceServices *services, const char *name);

/* The file that defines a message, an enum, a service or a method: "package.Service.Method". */
extern const SluiceServiceFile *sluice_services_symbol(const SluiceServices *services, const char *symbol);
extern bool sluice_services_has_message(const SluiceServices *services, const char *symbol);

#endif							/* SLUICE_SERVICES_H */
