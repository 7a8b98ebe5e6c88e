/*
 * unsubscribe_call.c
 *		sluice.v1.SluiceService/Unsubscribe.
 *
 * One request, which the main thread answers (SLUICE_UNSUBSCRIBE, see
 * consumer.h), and one response.  What the main thread has begun is waited for,
 * also when the server drains.
 */
#include "carrier.h"

#include <stdlib.h>

#include <grpc/byte_buffer.h>
#include <grpc/slice.h>

#include "consumer.h"
#include "demand.h"
#include "thread.h"

/* In bytes: a name, and a little more. */
#define REQUEST_LENGTH_MAX 1024

typedef struct SluiceUnsubscribeCall
{
	SluiceCarrier carrier;		/* first, for the casts */
	SluiceWish	wish;
	SluiceConsumerRecord unsubscribe;
	bool		asked;			/* it was handed over */
	bool		done;			/* a response is to be sent */
} SluiceUnsubscribeCall;

static void
malformed(SluiceUnsubscribeCall *unsubscribe, const char *message)
{
	sluice_carrier_finish_for(&unsubscribe->carrier, GRPC_STATUS_INVALID_ARGUMENT, "MALFORMED", message);
}

static void
unsubscribe_begin(SluiceCall *call, const grpc_metadata_array *metadata)
{
	SluiceUnsubscribeCall *unsubscribe = (SluiceUnsubscribeCall *) call;

	unsubscribe->carrier.sender.wish = &unsubscribe->wish;
	if (sluice_carrier_begin(&unsubscribe->carrier, metadata))
		sluice_call_read(call);
}

static void
ask(SluiceUnsubscribeCall *unsubscribe)
{
	SluiceCarrier *carrier = &unsubscribe->carrier;

	if (!sluice_carrier_reserve(carrier, 1))
	{
		sluice_carrier_finish(carrier, GRPC_STATUS_RESOURCE_EXHAUSTED,
							  "the worker has no room for this call: try again later");
		return;
	}
	unsubscribe->asked = true;
	unsubscribe->unsubscribe.record = (SluiceRecord) {
		.kind = SLUICE_UNSUBSCRIBE,.run = 1,.received_at = carrier->call.network->now
	};
	sluice_carrier_hand_over(carrier, &unsubscribe->unsubscribe.record);
}

static void
unsubscribe_received(SluiceCall *call, grpc_byte_buffer *message)
{
	SluiceUnsubscribeCall *unsubscribe = (SluiceUnsubscribeCall *) call;
	size_t		length = grpc_byte_buffer_length(message);
	const char *error;
	uint8_t    *bytes;

	if (unsubscribe->carrier.ending || length > REQUEST_LENGTH_MAX)
	{
		grpc_byte_buffer_destroy(message);
		malformed(unsubscribe, "message is longer than any UnsubscribeRequest: it has at most 1024 bytes");
		return;
	}
	bytes = sluice_call_message_bytes(message, &length);
	if (bytes == NULL)
		sluice_carrier_finish(&unsubscribe->carrier, GRPC_STATUS_RESOURCE_EXHAUSTED,
							  "the worker is out of memory: try again later");
	else if (!sluice_demand_unsubscribe(bytes, length, &unsubscribe->wish, &error))
		malformed(unsubscribe, error);
	else
		ask(unsubscribe);
	free(bytes);
}

static void
unsubscribe_half_closed(SluiceCall *call)
{
	malformed((SluiceUnsubscribeCall *) call, "request is missing");
}

static void
unsubscribe_drained(SluiceCall *call)
{
	if (!((SluiceUnsubscribeCall *) call)->asked)
		sluice_carrier_drained(call);
}

static void
unsubscribe_settled(SluiceCall *call, SluiceRecord *record)
{
	SluiceUnsubscribeCall *unsubscribe = (SluiceUnsubscribeCall *) call;

	if (record->verdict == SLUICE_OPENED)
		unsubscribe->done = true;
	else
		sluice_carrier_refused(&unsubscribe->carrier, record->refusal,
							   "the server could not look for the subscription: try again");
	free(record->refusal);
	record->refusal = NULL;
}

static void
unsubscribe_proceed(SluiceCall *call)
{
	SluiceUnsubscribeCall *unsubscribe = (SluiceUnsubscribeCall *) call;
	uint8_t		response[SLUICE_UNSUBSCRIBED_SIZE_MAX];
	size_t		length;

	if (call->over || call->sending || call->ended)
		return;
	if (unsubscribe->done)
	{
		unsubscribe->done = false;
		length = sluice_demand_unsubscribed(response, unsubscribe->wish.dropped);
		sluice_call_open(call);
		sluice_call_send(call, grpc_slice_from_copied_buffer((const char *) response, length), true);
	}
	else if (unsubscribe->carrier.ending && unsubscribe->carrier.out == 0)
		sluice_carrier_end(&unsubscribe->carrier);
}

static void
unsubscribe_sent(SluiceCall *call)
{
	SluiceUnsubscribeCall *unsubscribe = (SluiceUnsubscribeCall *) call;

	sluice_carrier_finish(&unsubscribe->carrier, GRPC_STATUS_OK, "%s", "");
}

static void
unsubscribe_over(SluiceCall *call)
{
	SluiceUnsubscribeCall *unsubscribe = (SluiceUnsubscribeCall *) call;

	sluice_carrier_over(&unsubscribe->carrier);
}

static void
unsubscribe_forget(SluiceCall *call)
{
	free(((SluiceUnsubscribeCall *) call)->unsubscribe.record.refusal);
}

/* Not counted by max_calls: one must be able to end a subscription when all are taken. */
const SluiceMethod sluice_unsubscribe_call_method = {
	.path = "/sluice.v1.SluiceService/Unsubscribe",
	.call_size = sizeof(SluiceUnsubscribeCall),
	.awaits = true,
	.begin = unsubscribe_begin,
	.received = unsubscribe_received,
	.half_closed = unsubscribe_half_closed,
	.sent = unsubscribe_sent,
	.drained = unsubscribe_drained,
	.over = unsubscribe_over,
	.destroy = sluice_carrier_destroy,
	.proceed = unsubscribe_proceed,
	.settled = unsubscribe_settled,
	.forget = unsubscribe_forget
};
