/*
 * services.c
 *		The descriptors of all services that the endpoint serves.
 */
#include "services.h"

#include <string.h>

#include "services_descriptor.h"

typedef Google__Protobuf__DescriptorProto Message;
typedef Google__Protobuf__EnumDescriptorProto Enum;
typedef Google__Protobuf__ServiceDescriptorProto Service;

SluiceServices *
sluice_services_read(void)
{
	return google__protobuf__file_descriptor_set__unpack(NULL, sluice_services_descriptor_length,
														 sluice_services_descriptor);
}

void
sluice_services_free(SluiceServices *services)
{
	if (services != NULL)
		google__protobuf__file_descriptor_set__free_unpacked(services, NULL);
}

const SluiceServiceFile *
sluice_services_file(const SluiceServices *services, const char *name)
{
	for (size_t i = 0; i < services->n_file; i++)
	{
		if (strcmp(services->file[i]->name, name) == 0)
			return services->file[i];
	}
	return NULL;
}

/* What follows "name." in symbol, "" where symbol is name itself; NULL: symbol is elsewhere. */
static const char *
inside(const char *symbol, const char *name)
{
	size_t		length = strlen(name);

	if (strncmp(symbol, name, length) != 0)
		return NULL;
	if (symbol[length] == '.')
		return symbol + length + 1;
	return symbol[length] == '\0' ? symbol + length : NULL;
}

static bool
message_defines(const Message *message, const char *symbol, bool messages_only)
{
	const char *rest = inside(symbol, message->name);

	if (rest == NULL)
		return false;
	if (*rest == '\0')
		return true;
	for (size_t i = 0; i < message->n_nested_type; i++)
	{
		if (message_defines(message->nested_type[i], rest, messages_only))
			return true;
	}
	for (size_t i = 0; i < message->n_enum_type && !messages_only; i++)
	{
		if (strcmp(message->enum_type[i]->name, rest) == 0)
			return true;
	}
	return false;
}

static bool
service_defines(const Service *service, const char *symbol)
{
	const char *rest = inside(symbol, service->name);

	if (rest == NULL)
		return false;
	if (*rest == '\0')
		return true;
	for (size_t i = 0; i < service->n_method; i++)
	{
		if (strcmp(service->method[i]->name, rest) == 0)
			return true;
	}
	return false;
}

static bool
file_defines(const SluiceServiceFile *file, const char *symbol, bool messages_only)
{
	const char *rest = inside(symbol, file->package);

	if (rest == NULL || *rest == '\0')
		return false;
	for (size_t i = 0; i < file->n_message_type; i++)
	{
		if (message_defines(file->message_type[i], rest, messages_only))
			return true;
	}
	if (messages_only)
		return false;
	for (size_t i = 0; i < file->n_enum_type; i++)
	{
		if (strcmp(file->enum_type[i]->name, rest) == 0)
			return true;
	}
	for (size_t i = 0; i < file->n_service; i++)
	{
		if (service_defines(file->service[i], rest))
			return true;
	}
	return false;
}

const SluiceServiceFile *
sluice_services_symbol(const SluiceServices *services, const char *symbol)
{
	for (size_t i = 0; i < services->n_file; i++)
	{
		if (file_defines(services->file[i], symbol, false))
			return services->file[i];
	}
	return NULL;
}

bool
sluice_services_has_message(const SluiceServices *services, const char *symbol)
{
	for (size_t i = 0; i < services->n_file; i++)
	{
		if (file_defines(services->file[i], symbol, true))
			return true;
	}
	return false;
}
