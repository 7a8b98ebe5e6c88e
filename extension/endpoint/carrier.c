/*
 * carrier.c
 *		What calls that carry records have in common: IngestData, Publish and Subscribe.
 */
#include "carrier.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <grpc/byte_buffer.h>

#include "lifetime.h"
#include "sender.h"
#include "thread.h"
#include "throttle.h"

/* Paused calls looked at in one turn of the loop. */
#define RESUME_STEP 16

/* ---- begin ---- */

bool
sluice_carrier_begin(SluiceCarrier *carrier, const grpc_metadata_array *metadata)
{
	SluiceNetwork *network = carrier->call.network;

	carrier->sender.call = carrier;
	carrier->sender.claim = -1;
	sluice_lifetime_begin(carrier);
	if (sluice_sender_read(&carrier->sender, carrier->call.grpc, metadata))
	{
		if (carrier->call.method->shown != SLUICE_CONNECTION_NONE)
			sluice_board_take(&network->board, &carrier->notice, carrier->call.method->shown,
							  carrier->sender.address, &carrier->usage, network->now);
		return true;
	}
	if (carrier->sender.stream == NULL && carrier->sender.address != NULL && carrier->sender.login != NULL)
		sluice_call_end(&carrier->call, GRPC_STATUS_NOT_FOUND, "the name in sluice-stream is too long for a stream");
	else
		sluice_call_end(&carrier->call, GRPC_STATUS_RESOURCE_EXHAUSTED, "the worker is out of memory: try again later");
	return false;
}

bool
sluice_carrier_take_stream(SluiceCarrier *carrier, const char *name, size_t length, const char *otherwise)
{
	char	   *stream;

	if (length > SLUICE_STREAM_NAME_MAX || memchr(name, '\0', length) != NULL)
	{
		sluice_carrier_finish(carrier, GRPC_STATUS_NOT_FOUND, "%s", otherwise);
		return false;
	}
	stream = strndup(name, length);
	if (stream == NULL)
	{
		sluice_carrier_finish(carrier, GRPC_STATUS_RESOURCE_EXHAUSTED, "the worker is out of memory: try again later");
		return false;
	}
	free(carrier->sender.stream);
	carrier->sender.stream = stream;
	return true;
}

bool
sluice_carrier_join(SluiceCarrier *carrier)
{
	carrier->share = sluice_room_join(&carrier->call.network->room, carrier->sender.stream);
	return carrier->share != NULL;
}

/* ---- the loop's attention ---- */

void
sluice_carrier_schedule(SluiceCarrier *carrier)
{
	if (carrier->answering || carrier->call.grpc == NULL)
		return;
	carrier->answering = true;
	TAILQ_INSERT_TAIL(&carrier->call.network->answering, carrier, answering_link);
}

void
sluice_carrier_pause(SluiceCarrier *carrier)
{
	SluiceNetwork *network = carrier->call.network;

	if (carrier->paused)
		return;
	carrier->paused = true;
	TAILQ_INSERT_TAIL(&network->paused, carrier, paused_link);
	network->npaused++;
}

static void
unpause(SluiceCarrier *carrier)
{
	SluiceNetwork *network = carrier->call.network;

	if (!carrier->paused)
		return;
	carrier->paused = false;
	TAILQ_REMOVE(&network->paused, carrier, paused_link);
	network->npaused--;
}

static void
drop_held(SluiceCarrier *carrier)
{
	if (carrier->held != NULL)
		grpc_byte_buffer_destroy(carrier->held);
	carrier->held = NULL;
}

void
sluice_carrier_go_on(SluiceCarrier *carrier)
{
	grpc_byte_buffer *held = carrier->held;

	carrier->held = NULL;
	if (held != NULL)
		carrier->call.method->received(&carrier->call, held);
	else
		carrier->call.method->resume(&carrier->call);
}

void
sluice_carrier_resume(SluiceNetwork *network)
{
	for (int step = 0; step < RESUME_STEP && network->resume_left > 0; step++)
	{
		SluiceCarrier *carrier = TAILQ_FIRST(&network->paused);

		if (carrier == NULL)
		{
			network->resume_left = 0;
			return;
		}
		network->resume_left--;
		unpause(carrier);
		sluice_carrier_go_on(carrier);
	}
}

void
sluice_carrier_answer(SluiceNetwork *network)
{
	SluiceCarrier *carrier;

	while ((carrier = TAILQ_FIRST(&network->answering)) != NULL)
	{
		TAILQ_REMOVE(&network->answering, carrier, answering_link);
		carrier->answering = false;
		carrier->call.method->proceed(&carrier->call);
		sluice_call_settle(&carrier->call);
	}
}

/* ---- the end ---- */

void
sluice_carrier_finish_for(SluiceCarrier *carrier, grpc_status_code status, const char *reason, const char *message)
{
	if (carrier->ending)
		return;
	carrier->ending = true;
	carrier->end_status = status;
	carrier->end_reason = reason;
	snprintf(carrier->end_message, sizeof(carrier->end_message), "%s", message);
	unpause(carrier);
	sluice_throttle_leave(carrier);
	drop_held(carrier);
	sluice_carrier_schedule(carrier);
}

void
sluice_carrier_finish(SluiceCarrier *carrier, grpc_status_code status, const char *format, ...)
{
	char		message[sizeof(carrier->end_message)];
	va_list		args;

	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	sluice_carrier_finish_for(carrier, status, NULL, message);
}

/* It was half-closed, and was to end with OK: not any more, where something of it stays without an answer. */
static void
withdraw_ok(SluiceCarrier *carrier)
{
	if (carrier->end_status == GRPC_STATUS_OK && !carrier->call.over && !carrier->call.ended)
		carrier->ending = false;
}

void
sluice_carrier_refused(SluiceCarrier *carrier, const SluiceRefusal *refusal, const char *otherwise)
{
	withdraw_ok(carrier);
	if (refusal == NULL)
	{
		sluice_carrier_finish(carrier, GRPC_STATUS_UNAVAILABLE, "%s", otherwise);
		return;
	}
	if (!carrier->ending)
		carrier->end_sequence = refusal->last_sequence;
	sluice_carrier_finish_for(carrier, refusal->status, refusal->reason, refusal->message);
}

void
sluice_carrier_end(SluiceCarrier *carrier)
{
	SluiceCall *call = &carrier->call;
	grpc_metadata reason;

	memset(&reason, 0, sizeof(reason));
	if (carrier->end_reason != NULL)
	{
		reason.key = grpc_slice_from_static_string("sluice-reason");
		reason.value = grpc_slice_from_static_string(carrier->end_reason);
		call->trailers = &reason;
		call->ntrailers = 1;
	}
	sluice_call_end(call, carrier->end_status, carrier->end_message);
	call->trailers = NULL;
	call->ntrailers = 0;
}

void
sluice_carrier_drained(SluiceCall *call)
{
	sluice_carrier_finish((SluiceCarrier *) call, GRPC_STATUS_UNAVAILABLE, "%s", call->network->drain_message);
}

void
sluice_carrier_over(SluiceCarrier *carrier)
{
	carrier->ending = true;
	atomic_store(&carrier->sender.gone, true);
	unpause(carrier);
	sluice_throttle_leave(carrier);
	drop_held(carrier);
	sluice_board_give(&carrier->notice);
}

static void
clean_up(SluiceCarrier *carrier)
{
	SluiceNetwork *network = carrier->call.network;

	sluice_board_give(&carrier->notice);
	if (carrier->share != NULL)
		sluice_room_leave(&network->room, carrier->share);
	if (carrier->reserved > 0)
	{
		sluice_room_release(&network->room, carrier->reserved);
		network->resume_left = network->npaused;
	}
	sluice_sender_free(&carrier->sender);
}

bool
sluice_carrier_destroy(SluiceCall *call)
{
	SluiceCarrier *carrier = (SluiceCarrier *) call;

	if (carrier->answering)
	{
		TAILQ_REMOVE(&call->network->answering, carrier, answering_link);
		carrier->answering = false;
	}
	if (carrier->out > 0)
		return false;
	clean_up(carrier);
	return true;
}

/* ---- records ---- */

void
sluice_carrier_take_room(SluiceCarrier *carrier, size_t records, size_t bytes)
{
	sluice_room_take(&carrier->call.network->room, carrier->share, &carrier->usage, records, bytes);
}

void
sluice_carrier_give_room(SluiceCarrier *carrier, size_t records, size_t bytes)
{
	SluiceNetwork *network = carrier->call.network;

	sluice_room_give(&network->room, carrier->share, &carrier->usage, records, bytes);
	network->resume_left = network->npaused;
}

bool
sluice_carrier_has_room(const SluiceCarrier *carrier, size_t records, size_t bytes)
{
	return sluice_room_admits(&carrier->call.network->room, carrier->share, &carrier->usage, records, bytes);
}

bool
sluice_carrier_reserve(SluiceCarrier *carrier, size_t records)
{
	if (!sluice_room_reserve(&carrier->call.network->room, records))
		return false;
	carrier->reserved = records;
	return true;
}

void
sluice_carrier_load(SluiceCarrier *carrier, size_t bytes)
{
	sluice_room_load(&carrier->call.network->room, &carrier->usage, bytes);
}

void
sluice_carrier_unload(SluiceCarrier *carrier, size_t bytes)
{
	SluiceNetwork *network = carrier->call.network;

	sluice_room_unload(&network->room, &carrier->usage, bytes);
	network->resume_left = network->npaused;
}

void
sluice_carrier_hand_over(SluiceCarrier *carrier, SluiceRecord *record)
{
	record->sender = &carrier->sender;
	carrier->out++;
	sluice_thread_push(carrier->call.network, record);
}

void
sluice_carrier_check(SluiceNetwork *network)
{
	SluiceCall *call;

	TAILQ_FOREACH(call, &network->calls, link)
	{
		SluiceCarrier *carrier = (SluiceCarrier *) call;

		/* One that was refused as it began may have no name of a stream, or no login. */
		if (call->method->proceed == NULL || !call->opened || call->ended || carrier->ending || carrier->checking)
			continue;
		carrier->checking = true;
		carrier->check = (SluiceRecord) {.kind = SLUICE_CHECK,.run = 1,.received_at = network->now};
		sluice_carrier_hand_over(carrier, &carrier->check);
	}
}

static void
check_settled(SluiceCarrier *carrier)
{
	carrier->checking = false;
	if (carrier->check.verdict != SLUICE_OPENED)
		sluice_carrier_refused(carrier, carrier->check.refusal, "the server could not look up the role of this call: open it again");
	free(carrier->check.refusal);
	carrier->check.refusal = NULL;
}

void
sluice_carrier_settled(SluiceNetwork *network, SluiceRecord *record)
{
	SluiceCarrier *carrier = record->sender->call;

	(void) network;
	carrier->out--;
	carrier->notice.connection.role = carrier->sender.role;
	if (record->verdict == SLUICE_OPENED)
		sluice_call_admit(&carrier->call);
	if (record == &carrier->check)
		check_settled(carrier);
	else
		carrier->call.method->settled(&carrier->call, record);
	if (carrier->call.grpc != NULL)
		sluice_carrier_schedule(carrier);
	else if (carrier->out == 0)
	{
		clean_up(carrier);
		sluice_call_free(&carrier->call);
	}
}

void
sluice_carrier_forget(SluiceNetwork *network)
{
	SluiceCall *call;

	/* Only calls that wait for their records are left. */
	while ((call = TAILQ_FIRST(&network->calls)) != NULL)
	{
		call->method->forget(call);
		free(((SluiceCarrier *) call)->check.refusal);
		clean_up((SluiceCarrier *) call);
		sluice_call_free(call);
	}
}
