/*
 * reflection.c
 *		Server reflection, v1 and v1alpha.
 *
 * Both have the same messages on the wire, so that v1's code serves both.  One
 * response a request, in order: the next request is read after the response
 * went out.  What is unknown is an error_response and not the end of the call.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "grpc/reflection/v1/reflection.pb-c.h"

#include "services.h"
#include "thread.h"

/* Files in an answer: there are fewer in the whole set. */
#define FILES_MAX 16
#define SERVICES_MAX 16

#define REQUEST(name) GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_##name
#define RESPONSE(name) GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_##name

typedef Grpc__Reflection__V1__ServerReflectionRequest Request;
typedef Grpc__Reflection__V1__ServerReflectionResponse Response;

typedef struct ReflectionCall
{
	SluiceCall	call;			/* first, for the casts */
	SluiceServices *services;
} ReflectionCall;

/* A response being made: the parts that its pointers point to. */
typedef struct Answer
{
	Response	response;
	Grpc__Reflection__V1__FileDescriptorResponse files;
	Grpc__Reflection__V1__ExtensionNumberResponse extensions;
	Grpc__Reflection__V1__ListServiceResponse list;
	Grpc__Reflection__V1__ErrorResponse error;
	const SluiceServiceFile *taken[FILES_MAX];
	ProtobufCBinaryData bytes[FILES_MAX];
	Grpc__Reflection__V1__ServiceResponse services[SERVICES_MAX];
	Grpc__Reflection__V1__ServiceResponse *service_pointers[SERVICES_MAX];
	char		names[SERVICES_MAX][128];
} Answer;

static void
init_answer(Answer *answer, Request *request)
{
	memset(answer, 0, sizeof(*answer));
	grpc__reflection__v1__server_reflection_response__init(&answer->response);
	grpc__reflection__v1__file_descriptor_response__init(&answer->files);
	grpc__reflection__v1__extension_number_response__init(&answer->extensions);
	grpc__reflection__v1__list_service_response__init(&answer->list);
	grpc__reflection__v1__error_response__init(&answer->error);
	answer->response.valid_host = request->host;
	answer->response.original_request = request;
}

static void
free_answer(Answer *answer)
{
	for (size_t i = 0; i < answer->files.n_file_descriptor_proto; i++)
		free(answer->bytes[i].data);
}

static void
answer_error(Answer *answer, grpc_status_code code, const char *message)
{
	answer->error.error_code = code;
	answer->error.error_message = (char *) message;
	answer->response.message_response_case = RESPONSE(ERROR_RESPONSE);
	answer->response.error_response = &answer->error;
}

/* A file and what it imports, each once. */
static bool
add_file(Answer *answer, const SluiceServices *services, const SluiceServiceFile *file)
{
	size_t		n = answer->files.n_file_descriptor_proto;
	ProtobufCBinaryData *bytes = &answer->bytes[n];

	for (size_t i = 0; i < n; i++)
	{
		if (answer->taken[i] == file)
			return true;
	}
	if (n == FILES_MAX)
		return false;
	bytes->len = google__protobuf__file_descriptor_proto__get_packed_size(file);
	bytes->data = malloc(bytes->len);
	if (bytes->data == NULL)
		return false;
	google__protobuf__file_descriptor_proto__pack(file, bytes->data);
	answer->taken[n] = file;
	answer->files.n_file_descriptor_proto++;

	for (size_t i = 0; i < file->n_dependency; i++)
	{
		const SluiceServiceFile *import = sluice_services_file(services, file->dependency[i]);

		if (import != NULL && !add_file(answer, services, import))
			return false;
	}
	return true;
}

static void
answer_file(Answer *answer, const SluiceServices *services, const SluiceServiceFile *file,
			const char *unknown)
{
	if (file == NULL)
		answer_error(answer, GRPC_STATUS_NOT_FOUND, unknown);
	else if (!add_file(answer, services, file))
		answer_error(answer, GRPC_STATUS_RESOURCE_EXHAUSTED, "out of memory");
	else
	{
		answer->files.file_descriptor_proto = answer->bytes;
		answer->response.message_response_case = RESPONSE(FILE_DESCRIPTOR_RESPONSE);
		answer->response.file_descriptor_response = &answer->files;
	}
}

static void
answer_list(Answer *answer, const SluiceServices *services)
{
	size_t		n = 0;

	for (size_t i = 0; i < services->n_file; i++)
	{
		const SluiceServiceFile *file = services->file[i];

		for (size_t j = 0; j < file->n_service && n < SERVICES_MAX; j++, n++)
		{
			snprintf(answer->names[n], sizeof(answer->names[n]), "%s.%s",
					 file->package, file->service[j]->name);
			grpc__reflection__v1__service_response__init(&answer->services[n]);
			answer->services[n].name = answer->names[n];
			answer->service_pointers[n] = &answer->services[n];
		}
	}
	answer->list.n_service = n;
	answer->list.service = answer->service_pointers;
	answer->response.message_response_case = RESPONSE(LIST_SERVICES_RESPONSE);
	answer->response.list_services_response = &answer->list;
}

/* proto3 services have no extensions: a known message has none, an unknown one is an error. */
static void
answer_extension_numbers(Answer *answer, const SluiceServices *services, char *type)
{
	if (!sluice_services_has_message(services, type))
	{
		answer_error(answer, GRPC_STATUS_NOT_FOUND, "unknown message type");
		return;
	}
	answer->extensions.base_type_name = type;
	answer->response.message_response_case = RESPONSE(ALL_EXTENSION_NUMBERS_RESPONSE);
	answer->response.all_extension_numbers_response = &answer->extensions;
}

static void
make_answer(Answer *answer, const SluiceServices *services, Request *request)
{
	switch (request->message_request_case)
	{
		case REQUEST(FILE_BY_FILENAME):
			answer_file(answer, services, sluice_services_file(services, request->file_by_filename),
						"unknown file");
			return;
		case REQUEST(FILE_CONTAINING_SYMBOL):
			answer_file(answer, services, sluice_services_symbol(services, request->file_containing_symbol),
						"unknown symbol");
			return;
		case REQUEST(FILE_CONTAINING_EXTENSION):
			answer_error(answer, GRPC_STATUS_NOT_FOUND, "unknown extension");
			return;
		case REQUEST(ALL_EXTENSION_NUMBERS_OF_TYPE):
			answer_extension_numbers(answer, services, request->all_extension_numbers_of_type);
			return;
		case REQUEST(LIST_SERVICES):
			answer_list(answer, services);
			return;
		default:
			answer_error(answer, GRPC_STATUS_INVALID_ARGUMENT, "request asks for nothing");
	}
}

static void
send_answer(SluiceCall *call, const Response *response)
{
	grpc_slice	slice;

	slice = grpc_slice_malloc(grpc__reflection__v1__server_reflection_response__get_packed_size(response));
	grpc__reflection__v1__server_reflection_response__pack(response, GRPC_SLICE_START_PTR(slice));
	sluice_call_send(call, slice, false);
}

static void
reflection_begin(SluiceCall *call, const grpc_metadata_array *metadata)
{
	ReflectionCall *reflection = (ReflectionCall *) call;

	(void) metadata;
	reflection->services = sluice_services_read();
	if (reflection->services == NULL)
	{
		sluice_call_end(call, GRPC_STATUS_RESOURCE_EXHAUSTED, "out of memory");
		return;
	}
	sluice_call_open(call);
	sluice_call_read(call);
}

static void
reflection_received(SluiceCall *call, grpc_byte_buffer *message)
{
	ReflectionCall *reflection = (ReflectionCall *) call;
	size_t		length;
	uint8_t    *bytes = sluice_call_message_bytes(message, &length);
	Request    *request = NULL;
	Answer		answer;

	if (bytes != NULL)
		request = grpc__reflection__v1__server_reflection_request__unpack(NULL, length, bytes);
	free(bytes);
	if (request == NULL)
	{
		sluice_call_end(call, GRPC_STATUS_INVALID_ARGUMENT, "message is not a ServerReflectionRequest");
		return;
	}
	init_answer(&answer, request);
	make_answer(&answer, reflection->services, request);
	send_answer(call, &answer.response);
	free_answer(&answer);
	grpc__reflection__v1__server_reflection_request__free_unpacked(request, NULL);
}

static void
reflection_sent(SluiceCall *call)
{
	if (call->network->draining)
		sluice_call_end(call, GRPC_STATUS_UNAVAILABLE, call->network->drain_message);
	else
		sluice_call_read(call);
}

static void
reflection_half_closed(SluiceCall *call)
{
	sluice_call_end(call, GRPC_STATUS_OK, "");
}

static void
reflection_drained(SluiceCall *call)
{
	if (!call->sending)
		sluice_call_end(call, GRPC_STATUS_UNAVAILABLE, call->network->drain_message);
}

static void
reflection_over(SluiceCall *call)
{
	(void) call;
}

static bool
reflection_destroy(SluiceCall *call)
{
	sluice_services_free(((ReflectionCall *) call)->services);
	return true;
}

#define REFLECTION_METHOD(version) { \
	.path = "/grpc.reflection." version ".ServerReflection/ServerReflectionInfo", \
	.call_size = sizeof(ReflectionCall), \
	.begin = reflection_begin, \
	.received = reflection_received, \
	.half_closed = reflection_half_closed, \
	.sent = reflection_sent, \
	.drained = reflection_drained, \
	.over = reflection_over, \
	.destroy = reflection_destroy \
}

const SluiceMethod sluice_reflection_v1_method = REFLECTION_METHOD("v1");
const SluiceMethod sluice_reflection_v1alpha_method = REFLECTION_METHOD("v1alpha");
