/*
 * health.c
 *		grpc.health.v1.Health: Check and Watch.
 *
 * What is known: "" (the server), "ingestion.IngestionService" and
 * "sluice.v1.SluiceService"; all serve or none does.
 */
#include "health.h"

#include <stdlib.h>
#include <string.h>

#include "grpc/health/v1/health.pb-c.h"

#include "thread.h"

#define STATUS(name) GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__##name

typedef Grpc__Health__V1__HealthCheckRequest CheckRequest;
typedef Grpc__Health__V1__HealthCheckResponse CheckResponse;
typedef Grpc__Health__V1__HealthCheckResponse__ServingStatus ServingStatus;

typedef struct HealthCall
{
	SluiceCall	call;			/* first, for the casts */
	bool		asked;			/* the request is there */
	bool		known;
	bool		told;
	ServingStatus told_status;
} HealthCall;

static void
health_begin(SluiceCall *call, const grpc_metadata_array *metadata)
{
	(void) metadata;
	sluice_call_open(call);
	sluice_call_read(call);
}

/* Is the service of this request one of ours?  False with the call ended where it is no request. */
static bool
read_request(HealthCall *health, grpc_byte_buffer *message)
{
	size_t		length;
	uint8_t    *bytes = sluice_call_message_bytes(message, &length);
	CheckRequest *request = NULL;

	if (bytes != NULL)
		request = grpc__health__v1__health_check_request__unpack(NULL, length, bytes);
	free(bytes);
	if (request == NULL)
	{
		sluice_call_end(&health->call, GRPC_STATUS_INVALID_ARGUMENT,
						"message is not a grpc.health.v1.HealthCheckRequest");
		return false;
	}
	health->asked = true;
	health->known = request->service[0] == '\0' ||
		strcmp(request->service, "ingestion.IngestionService") == 0 ||
		strcmp(request->service, "sluice.v1.SluiceService") == 0;
	grpc__health__v1__health_check_request__free_unpacked(request, NULL);
	return true;
}

static ServingStatus
current_status(const HealthCall *health)
{
	if (!health->known)
		return STATUS(SERVICE_UNKNOWN);
	return health->call.network->serving ? STATUS(SERVING) : STATUS(NOT_SERVING);
}

static void
tell(HealthCall *health)
{
	CheckResponse response;
	grpc_slice	slice;

	grpc__health__v1__health_check_response__init(&response);
	response.status = current_status(health);
	slice = grpc_slice_malloc(grpc__health__v1__health_check_response__get_packed_size(&response));
	grpc__health__v1__health_check_response__pack(&response, GRPC_SLICE_START_PTR(slice));
	health->told = true;
	health->told_status = response.status;
	sluice_call_send(&health->call, slice, false);
}

static void
check_received(SluiceCall *call, grpc_byte_buffer *message)
{
	HealthCall *health = (HealthCall *) call;

	if (!read_request(health, message))
		return;
	if (health->known)
		tell(health);
	else
		sluice_call_end(call, GRPC_STATUS_NOT_FOUND, "unknown service");
}

static void
check_sent(SluiceCall *call)
{
	sluice_call_end(call, GRPC_STATUS_OK, "");
}

/* A unary call that ends without its request. */
static void
check_half_closed(SluiceCall *call)
{
	sluice_call_end(call, GRPC_STATUS_INVALID_ARGUMENT, "request is missing");
}

/* Watch: bring the client up to date, unless that is just being done. */
static void
watch_update(SluiceCall *call)
{
	HealthCall *health = (HealthCall *) call;

	if (!health->asked || call->over || call->sending)
		return;
	if (!health->told || health->told_status != current_status(health))
		tell(health);
	else if (call->network->draining)
		sluice_call_end(call, GRPC_STATUS_UNAVAILABLE, call->network->drain_message);
}

static void
watch_received(SluiceCall *call, grpc_byte_buffer *message)
{
	if (read_request((HealthCall *) call, message))
		watch_update(call);
}

static void
nothing(SluiceCall *call)
{
	(void) call;
}

/* Before its request came there is nothing to finish. */
static void
health_drained(SluiceCall *call)
{
	HealthCall *health = (HealthCall *) call;

	if (!health->asked)
		sluice_call_end(call, GRPC_STATUS_UNAVAILABLE, call->network->drain_message);
	else if (call->method == &sluice_health_watch_method)
		watch_update(call);
}

static bool
health_destroy(SluiceCall *call)
{
	(void) call;
	return true;
}

void
sluice_health_set_serving(SluiceNetwork *network, bool serving)
{
	SluiceCall *call;

	/* Draining is for good. */
	network->serving = serving && !network->draining;
	TAILQ_FOREACH(call, &network->calls, link)
	{
		if (call->method == &sluice_health_watch_method)
			watch_update(call);
	}
}

const SluiceMethod sluice_health_check_method = {
	.path = "/grpc.health.v1.Health/Check",
	.call_size = sizeof(HealthCall),
	.begin = health_begin,
	.received = check_received,
	.half_closed = check_half_closed,
	.sent = check_sent,
	.drained = health_drained,
	.over = nothing,
	.destroy = health_destroy
};

const SluiceMethod sluice_health_watch_method = {
	.path = "/grpc.health.v1.Health/Watch",
	.call_size = sizeof(HealthCall),
	.begin = health_begin,
	.received = watch_received,
	.half_closed = check_half_closed,
	.sent = watch_update,
	.drained = health_drained,
	.over = nothing,
	.destroy = health_destroy
};
