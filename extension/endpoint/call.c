/*
 * call.c
 *		One gRPC call, whatever its method.
 *
 * Each thing that can be under way on a call has its own tag and its own
 * function here: on_close, on_open, on_read, on_send, on_end.  Five rules keep
 * gRPC from aborting the process or leaking:
 *
 *	RECV_CLOSE_ON_SERVER is started first and alone; it alone tells that a call
 *		is over, and it completes exactly once.
 *	After it has completed no batch is started any more.
 *	A status always goes with initial metadata: before it, or in its batch
 *		(without, gRPC takes the status and never sends it).
 *	A batch that gRPC refuses cancels the call; it never ends the process.
 *	grpc_call_unref comes when the call is over and no batch is under way.
 */
#include "call.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <grpc/byte_buffer.h>
#include <grpc/slice_buffer.h>
#include <grpc/support/alloc.h>

#include "client_address.h"
#include "guard.h"
#include "log.h"
#include "noise.h"
#include "thread.h"

/* A server that goes is soon followed by another one. */
#define DRAINED_RETRY_MS 100

/* What methods give, and the hint. */
#define TRAILERS_MAX 6

static const SluiceMethod *const methods[] = {
	&sluice_ingest_call_method,
	&sluice_publish_call_method,
	&sluice_subscribe_call_method,
	&sluice_unsubscribe_call_method,
	&sluice_health_check_method,
	&sluice_health_watch_method,
	&sluice_reflection_v1_method,
	&sluice_reflection_v1alpha_method
};

static void
ignore_call(SluiceCall *call)
{
	(void) call;
}

static void
ignore_message(SluiceCall *call, grpc_byte_buffer *message)
{
	(void) call;
	grpc_byte_buffer_destroy(message);
}

static bool
destroy_at_once(SluiceCall *call)
{
	(void) call;
	return true;
}

/* A call that gets a status and nothing else. */
static const SluiceMethod refused_method = {
	.path = NULL,
	.call_size = sizeof(SluiceCall),
	.received = ignore_message,
	.half_closed = ignore_call,
	.sent = ignore_call,
	.drained = ignore_call,
	.over = ignore_call,
	.destroy = destroy_at_once
};

static bool
start_batch(SluiceCall *call, SluiceTag *tag, const grpc_op *ops, size_t nops)
{
	grpc_call_error error = grpc_call_start_batch(call->grpc, ops, nops, tag, NULL);

	if (error == GRPC_CALL_OK)
	{
		call->batches++;
		return true;
	}
	sluice_log_put('W', "could not start a batch of a call: %s", grpc_call_error_to_string(error));
	grpc_call_cancel(call->grpc, NULL);
	return false;
}

static void
on_close(void *owner, bool success)
{
	SluiceCall *call = owner;

	(void) success;
	call->batches--;
	call->over = true;
	call->method->over(call);
	sluice_call_settle(call);
}

/* Initial metadata went out.  Nobody waits for it: what comes after it keeps its order. */
static void
on_open(void *owner, bool success)
{
	SluiceCall *call = owner;

	(void) success;
	call->batches--;
	sluice_call_settle(call);
}

static void
on_read(void *owner, bool success)
{
	SluiceCall *call = owner;
	grpc_byte_buffer *message = call->message;

	call->batches--;
	call->reading = false;
	call->message = NULL;
	if (call->over || call->ended)
	{
		if (message != NULL)
			grpc_byte_buffer_destroy(message);
	}
	else if (message != NULL)
	{
		call->spoken = true;
		call->method->received(call, message);
	}
	else if (success && !grpc_call_failed_before_recv_message(call->grpc))
	{
		call->half_closed = true;
		call->method->half_closed(call);
	}
	/* Otherwise the client is gone, or its message was too large: on_close will come. */
	sluice_call_settle(call);
}

static void
on_send(void *owner, bool success)
{
	SluiceCall *call = owner;

	call->batches--;
	call->sending = false;
	/* A failed send means that the call is dying: on_close will come. */
	if (success && !call->over)
		call->method->sent(call);
	sluice_call_settle(call);
}

static void
on_end(void *owner, bool success)
{
	SluiceCall *call = owner;

	(void) success;
	call->batches--;
	sluice_call_settle(call);
}

static const SluiceMethod *
find_method(const grpc_slice *path)
{
	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
	{
		if (grpc_slice_str_cmp(*path, methods[i]->path) == 0)
			return methods[i];
	}
	return NULL;
}

static void
read_address(grpc_call *grpc, struct sockaddr_storage *address)
{
	char	   *peer = grpc_call_get_peer(grpc);

	sluice_client_address_parse(address, peer);
	gpr_free(peer);
}

static bool
is_tcp(const struct sockaddr_storage *address)
{
	return address->ss_family == AF_INET || address->ss_family == AF_INET6;
}

static SluiceCall *
new_call(SluiceNetwork *network, const SluiceMethod *method, grpc_call *grpc, const struct sockaddr_storage *address)
{
	SluiceCall *call = calloc(1, method->call_size);
	grpc_op		op;

	if (call == NULL)
		return NULL;
	call->network = network;
	call->method = method;
	call->grpc = grpc;
	if (is_tcp(address))
		call->talker = sluice_noise_join(&network->noise, address);
	call->close_tag = (SluiceTag) {on_close, call};
	call->open_tag = (SluiceTag) {on_open, call};
	call->read_tag = (SluiceTag) {on_read, call};
	call->send_tag = (SluiceTag) {on_send, call};
	call->end_tag = (SluiceTag) {on_end, call};
	TAILQ_INSERT_TAIL(&network->calls, call, link);
	network->grpc_calls++;
	sluice_thread_count(&network->calls_alive, 1);
	if (method->ingests)
	{
		sluice_thread_count(&network->ingest_calls, 1);
		sluice_thread_count(&network->calls_total, 1);
	}

	memset(&op, 0, sizeof(op));
	op.op = GRPC_OP_RECV_CLOSE_ON_SERVER;
	op.data.recv_close_on_server.cancelled = &call->cancelled;
	if (!start_batch(call, &call->close_tag, &op, 1))
		call->over = true;
	return call;
}

/* Why a call is not served; NULL where it is. */
static const char *
refuse_reason(SluiceNetwork *network, const SluiceMethod *method, grpc_status_code *status)
{
	uint64_t	ingest_calls = atomic_load_explicit(&network->ingest_calls, memory_order_relaxed);
	uint64_t	alive = atomic_load_explicit(&network->calls_alive, memory_order_relaxed);

	if (network->draining || network->stopping)
	{
		*status = GRPC_STATUS_UNAVAILABLE;
		return network->drain_message[0] != '\0' ? network->drain_message :
			"the server is shutting down: reconnect";
	}
	if (method == NULL)
	{
		*status = GRPC_STATUS_UNIMPLEMENTED;
		return "unknown method: ask for grpc.reflection.v1.ServerReflection to see what there is";
	}
	*status = GRPC_STATUS_RESOURCE_EXHAUSTED;
	if (method->ingests && ingest_calls >= (uint64_t) network->settings.max_calls)
		return "too many open calls: try again later, or raise sluice.max_calls";
	if (!method->ingests && alive - ingest_calls >= SLUICE_OTHER_CALLS_MAX)
		return "too many open calls of this kind: try again later";
	return NULL;
}

/* Little is spent on it: no batch, no memory of ours. */
static void
turn_away(SluiceRequest *request, const char *reason)
{
	grpc_call_cancel_with_status(request->grpc, GRPC_STATUS_UNAVAILABLE, reason, NULL);
	grpc_call_unref(request->grpc);
}

static SluiceCall *
begin(SluiceNetwork *network, SluiceRequest *request, const struct sockaddr_storage *address)
{
	const SluiceMethod *method = find_method(&request->details.method);
	grpc_status_code status = GRPC_STATUS_OK;
	const char *reason = refuse_reason(network, method, &status);
	SluiceCall *call;

	if (reason != NULL && method != NULL && method->ingests)
		sluice_thread_count(&network->refused_calls, 1);
	call = new_call(network, reason == NULL ? method : &refused_method, request->grpc, address);
	if (call == NULL)
		turn_away(request, "the worker is out of memory: try again later");
	else if (reason == NULL)
		method->begin(call, &request->metadata);
	else
		sluice_call_end(call, status, reason);
	return call;
}

void
sluice_call_accept(SluiceNetwork *network, SluiceRequest *request)
{
	struct sockaddr_storage address;
	SluiceCall *call = NULL;

	read_address(request->grpc, &address);
	if (sluice_guard_shuts_out(atomic_load_explicit(&network->guard, memory_order_acquire), &address))
		turn_away(request, "clients of this address are shut out for a time (sluice.penalty_time): try again later");
	else
		call = begin(network, request, &address);
	grpc_call_details_destroy(&request->details);
	grpc_metadata_array_destroy(&request->metadata);
	if (call != NULL)
		sluice_call_settle(call);
}

void
sluice_call_admit(SluiceCall *call)
{
	if (call->admitted || call->over)
		return;
	call->admitted = true;
	sluice_noise_trust(call->talker);
}

void
sluice_call_open(SluiceCall *call)
{
	grpc_op		op;

	if (call->over || call->opened)
		return;
	memset(&op, 0, sizeof(op));
	op.op = GRPC_OP_SEND_INITIAL_METADATA;
	call->opened = start_batch(call, &call->open_tag, &op, 1);
}

void
sluice_call_read(SluiceCall *call)
{
	grpc_op		op;

	if (call->over || call->ended || call->reading || call->half_closed)
		return;
	memset(&op, 0, sizeof(op));
	op.op = GRPC_OP_RECV_MESSAGE;
	op.data.recv_message.recv_message = &call->message;
	call->reading = start_batch(call, &call->read_tag, &op, 1);
}

void
sluice_call_send(SluiceCall *call, grpc_slice message, bool more)
{
	grpc_byte_buffer *buffer = call->network->send_buffer;
	grpc_op		op;

	if (call->over || call->ended || call->sending || !call->opened)
	{
		grpc_slice_unref(message);
		return;
	}
	grpc_slice_buffer_add(&buffer->data.raw.slice_buffer, message);
	memset(&op, 0, sizeof(op));
	op.op = GRPC_OP_SEND_MESSAGE;
	op.flags = more ? GRPC_WRITE_BUFFER_HINT : 0;
	op.data.send_message.send_message = buffer;
	call->sending = start_batch(call, &call->send_tag, &op, 1);
	call->sending_since = call->network->turn_at;
	/* Empty already: starting the batch has moved the slices out. */
	grpc_slice_buffer_reset_and_unref(&buffer->data.raw.slice_buffer);
}

/* The milliseconds after which the client should come back, or a little later; -1: nothing is said about it. */
static int64_t
retry_after(SluiceCall *call, grpc_status_code status)
{
	SluiceNetwork *network = call->network;

	if (status == GRPC_STATUS_RESOURCE_EXHAUSTED)
		return sluice_pressure_refuse(&network->pressure, network->turn_at);
	if (status != GRPC_STATUS_UNAVAILABLE)
		return -1;
	if (network->draining || network->stopping)
		return DRAINED_RETRY_MS;
	return call->moves ? 0 : -1;
}

/* The method's trailers and the hint, under the name that gRPC's retry design gives it.  Returns how many. */
static size_t
make_trailers(SluiceCall *call, grpc_status_code status, grpc_metadata *trailers)
{
	int64_t		retry_ms = retry_after(call, status);
	size_t		n = call->ntrailers < TRAILERS_MAX ? call->ntrailers : TRAILERS_MAX - 1;
	char		text[24];

	memset(trailers, 0, TRAILERS_MAX * sizeof(*trailers));
	for (size_t i = 0; i < n; i++)
	{
		trailers[i].key = grpc_slice_ref(call->trailers[i].key);
		trailers[i].value = grpc_slice_ref(call->trailers[i].value);
	}
	if (retry_ms < 0)
		return n;
	snprintf(text, sizeof(text), "%" PRId64, retry_ms);
	trailers[n].key = grpc_slice_from_static_string("grpc-retry-pushback-ms");
	trailers[n].value = grpc_slice_from_copied_string(text);
	return n + 1;
}

void
sluice_call_end(SluiceCall *call, grpc_status_code status, const char *message)
{
	grpc_metadata trailers[TRAILERS_MAX];
	size_t		ntrailers;
	grpc_slice	details;
	grpc_op		ops[2];
	size_t		nops = 0;

	if (call->over || call->ended)
		return;
	memset(ops, 0, sizeof(ops));
	if (!call->opened)
		ops[nops++].op = GRPC_OP_SEND_INITIAL_METADATA;
	details = grpc_slice_from_copied_string(message);
	ntrailers = make_trailers(call, status, trailers);
	ops[nops].op = GRPC_OP_SEND_STATUS_FROM_SERVER;
	ops[nops].data.send_status_from_server.status = status;
	ops[nops].data.send_status_from_server.status_details = &details;
	ops[nops].data.send_status_from_server.trailing_metadata = trailers;
	ops[nops].data.send_status_from_server.trailing_metadata_count = ntrailers;
	nops++;
	call->opened = true;
	call->ended = true;
	start_batch(call, &call->end_tag, ops, nops);
	grpc_slice_unref(details);
	for (size_t i = 0; i < ntrailers; i++)
	{
		grpc_slice_unref(trailers[i].key);
		grpc_slice_unref(trailers[i].value);
	}
}

/* A client that is alive and does not read its answers holds memory of its stream. */
void
sluice_call_cut_off_stalled(SluiceNetwork *network, int64_t now)
{
	int64_t		patience = (int64_t) network->settings.stall_timeout_ms * 1000;
	SluiceCall *call;

	TAILQ_FOREACH(call, &network->calls, link)
	{
		if (call->over || call->patient || !call->sending || now - call->sending_since < patience)
			continue;
		sluice_log_put('L', "a client did not read its answers for %d seconds: its call was cut off",
					   network->settings.stall_timeout_ms / 1000);
		grpc_call_cancel_with_status(call->grpc, GRPC_STATUS_RESOURCE_EXHAUSTED,
									 "the client does not read its answers: read them while sending", NULL);
		call->sending_since = now;
	}
}

void
sluice_call_settle(SluiceCall *call)
{
	if (!call->over || call->batches > 0 || call->grpc == NULL)
		return;
	grpc_call_unref(call->grpc);
	call->grpc = NULL;
	call->network->grpc_calls--;
	if (call->method->destroy(call))
		sluice_call_free(call);
}

void
sluice_call_free(SluiceCall *call)
{
	SluiceNetwork *network = call->network;

	TAILQ_REMOVE(&network->calls, call, link);
	sluice_noise_leave(&network->noise, call->talker, call->admitted);
	if (call->method->ingests)
		sluice_thread_count(&network->ingest_calls, -1);
	sluice_thread_count(&network->calls_alive, -1);
	free(call);
}

bool
sluice_call_copy_message(const grpc_byte_buffer *message, uint8_t *bytes, size_t length)
{
	const grpc_slice_buffer *slices = &message->data.raw.slice_buffer;
	size_t		at = 0;

	if (message->type != GRPC_BB_RAW || message->data.raw.compression != GRPC_COMPRESS_NONE)
		return false;
	for (size_t i = 0; i < slices->count; i++)
	{
		size_t		n = GRPC_SLICE_LENGTH(slices->slices[i]);

		if (n > length - at)
			return false;
		memcpy(bytes + at, GRPC_SLICE_START_PTR(slices->slices[i]), n);
		at += n;
	}
	return at == length;
}

uint8_t *
sluice_call_message_bytes(grpc_byte_buffer *message, size_t *length)
{
	uint8_t    *bytes;

	*length = grpc_byte_buffer_length(message);
	bytes = malloc(*length + 1);
	if (bytes != NULL && !sluice_call_copy_message(message, bytes, *length))
	{
		free(bytes);
		bytes = NULL;
	}
	grpc_byte_buffer_destroy(message);
	return bytes;
}
