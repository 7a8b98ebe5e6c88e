/*
 * subscribe_call.c
 *		sluice.v1.SluiceService/Subscribe.
 *
 * What goes between the threads is told in consumer.h.  A call begins with a
 * Subscribe, which the main thread answers (SLUICE_SUBSCRIBE).  Once it is open
 * the client has its initial metadata, and two things go on side by side:
 *
 *	Pulls.  The call has SLUICE_PULLS records that say "there is room for one
 *		more message".  One that comes back with a message waits until gRPC takes
 *		it, one at a time, and goes to the main thread again when its message has
 *		passed flow control.  So a client that does not read stops the main
 *		thread's reading for it, and for nobody else.
 *	Advances.  Starts, acknowledgements and nacks are read all the time and
 *		handed over, each in a record of its own.
 *
 * Room (room.h).  A call reserves SUBSCRIPTION_RECORDS: its pulls, the record of
 * its end, and a few advances, so that nothing of it ever waits for those that
 * send.  More advances take common room; where there is none, a message that was
 * read is held (carrier.h) until one of the call's own comes back.  Pulls that wait
 * for rows thus use nothing but what is reserved.
 *
 * However a call ends, SLUICE_LEAVE goes to the main thread once, and the status
 * goes out when that and all else is back.  Messages that came before are sent.
 */
#include "carrier.h"

#include <stdlib.h>
#include <string.h>

#include <grpc/byte_buffer.h>
#include <grpc/slice.h>

#include "board.h"
#include "consumer.h"
#include "demand.h"
#include "thread.h"

/* Of a SubscribeRequest, in bytes: more than the largest that is of use. */
#define REQUEST_LENGTH_MAX (64 * 1024)

/* Advances with the main thread that need no common room. */
#define OWN_ADVANCES 4
#define SUBSCRIPTION_RECORDS (SLUICE_PULLS + 1 + OWN_ADVANCES)

typedef enum Phase
{
	CONNECTED,					/* the Subscribe has not come yet */
	OPENING,					/* the main thread has it */
	OPEN,
	LEAVING,					/* SLUICE_LEAVE was handed over */
	GONE						/* the main thread does not know this call (any more) */
} Phase;

typedef struct Advance
{
	SluiceConsumerRecord record;	/* first, for the casts */
	TAILQ_ENTRY(Advance) link;
	size_t		size;
	bool		common;			/* takes common room */
} Advance;

#define ADVANCE_SIZE_MAX (sizeof(Advance) + sizeof(SluiceAdvance) + SLUICE_ADVANCE_REDRIVEN_MAX * sizeof(int64_t))

typedef struct SluiceSubscribeCall
{
	SluiceCarrier carrier;		/* first, for the casts */
	Phase		phase;
	SluiceWish	wish;
	SluiceConsumerRecord subscribe;
	SluiceConsumerRecord leave;

	/* Each pull is with the main thread, or one of these; next is ours by then. */
	SluiceConsumerRecord pulls[SLUICE_PULLS];
	SluiceConsumerRecord *idle;
	SluiceConsumerRecord *waiting;	/* with messages, in their order */
	SluiceConsumerRecord *sending;
	int			nidle;

	TAILQ_HEAD(AdvanceList, Advance) advances;	/* with the main thread */
	int			own_advances;	/* of them */
} SluiceSubscribeCall;

static void
malformed(SluiceSubscribeCall *subscribe, const char *message)
{
	sluice_carrier_finish_for(&subscribe->carrier, GRPC_STATUS_INVALID_ARGUMENT, "MALFORMED", message);
}

static void
out_of_memory(SluiceSubscribeCall *subscribe)
{
	sluice_carrier_finish(&subscribe->carrier, GRPC_STATUS_RESOURCE_EXHAUSTED, "the worker is out of memory: try again later");
}

static void
free_refusal(SluiceRecord *record)
{
	free(record->refusal);
	record->refusal = NULL;
}

static void
hand_over(SluiceSubscribeCall *subscribe, SluiceConsumerRecord *record, SluiceRecordKind kind)
{
	record->record = (SluiceRecord) {
		.kind = kind,.run = 1,.received_at = subscribe->carrier.call.network->now
	};
	sluice_carrier_hand_over(&subscribe->carrier, &record->record);
}

/* The main thread is to forget this call, if it knows it. */
static void
leave(SluiceSubscribeCall *subscribe)
{
	SluiceCall *call = &subscribe->carrier.call;

	if (subscribe->phase != OPEN)
		return;
	subscribe->phase = LEAVING;
	if (call->moves)
		subscribe->leave.graceful = true;
	/* From now on its client has as much time as others to read what is left. */
	call->patient = false;
	call->sending_since = call->network->turn_at;
	hand_over(subscribe, &subscribe->leave, SLUICE_LEAVE);
}

/* ---- begin and open ---- */

static void
subscribe_begin(SluiceCall *call, const grpc_metadata_array *metadata)
{
	SluiceSubscribeCall *subscribe = (SluiceSubscribeCall *) call;

	TAILQ_INIT(&subscribe->advances);
	subscribe->carrier.sender.wish = &subscribe->wish;
	for (int i = 0; i < SLUICE_PULLS; i++)
	{
		subscribe->pulls[i].next = subscribe->idle;
		subscribe->idle = &subscribe->pulls[i];
		subscribe->nidle++;
	}
	if (sluice_carrier_begin(&subscribe->carrier, metadata))
		sluice_call_read(call);
}

static void
ask_to_open(SluiceSubscribeCall *subscribe)
{
	SluiceCarrier *carrier = &subscribe->carrier;

	if (!sluice_carrier_join(carrier) || !sluice_carrier_reserve(carrier, SUBSCRIPTION_RECORDS))
	{
		sluice_thread_count(&carrier->call.network->refused_calls, 1);
		sluice_carrier_finish(carrier, GRPC_STATUS_RESOURCE_EXHAUSTED,
							  "the worker has no memory for another subscription: try again later");
		return;
	}
	subscribe->phase = OPENING;
	sluice_board_opened(&carrier->notice, 0, NULL, subscribe->wish.client, strlen(subscribe->wish.client));
	hand_over(subscribe, &subscribe->subscribe, SLUICE_SUBSCRIBE);
}

static void
receive_subscribe(SluiceSubscribeCall *subscribe, const uint8_t *bytes, size_t length)
{
	const char *error = "the first message of a call must be a Subscribe";
	SluiceDemand demand;
	SluiceDemandStream stream;

	if (!sluice_demand_parse(bytes, length, &demand, &error) ||
		demand.kind != SLUICE_DEMAND_SUBSCRIBE ||
		!sluice_demand_subscribe(&demand, &subscribe->wish, &stream, &error))
		malformed(subscribe, error);
	else if (stream.length == 0 ||
			 sluice_carrier_take_stream(&subscribe->carrier, stream.name, stream.length,
										"the name in Subscribe is no name of a stream"))
		ask_to_open(subscribe);
}

/* ---- pulls ---- */

/* One is always with the main thread, or has a message; the other where there is room for more. */
static void
pull(SluiceSubscribeCall *subscribe)
{
	SluiceCarrier *carrier = &subscribe->carrier;

	while (subscribe->phase == OPEN && !carrier->ending && subscribe->idle != NULL &&
		   (subscribe->nidle == SLUICE_PULLS || sluice_room_is_airy(&carrier->call.network->room)))
	{
		SluiceConsumerRecord *record = subscribe->idle;

		subscribe->idle = record->next;
		subscribe->nidle--;
		hand_over(subscribe, record, SLUICE_PULL);
	}
}

static void
rest(SluiceSubscribeCall *subscribe, SluiceConsumerRecord *record)
{
	record->next = subscribe->idle;
	subscribe->idle = record;
	subscribe->nidle++;
}

/* Its message is gone: sent, or dropped. */
static void
unload(SluiceSubscribeCall *subscribe, SluiceConsumerRecord *record)
{
	record->message = NULL;
	sluice_carrier_unload(&subscribe->carrier, record->message_length);
	rest(subscribe, record);
}

static void
drop_messages(SluiceSubscribeCall *subscribe)
{
	SluiceConsumerRecord *record;

	if (subscribe->sending != NULL)
		unload(subscribe, subscribe->sending);
	subscribe->sending = NULL;
	while ((record = subscribe->waiting) != NULL)
	{
		subscribe->waiting = record->next;
		free(record->message);
		unload(subscribe, record);
	}
}

static void
pull_settled(SluiceSubscribeCall *subscribe, SluiceConsumerRecord *record)
{
	SluiceCarrier *carrier = &subscribe->carrier;
	SluiceConsumerRecord **last = &subscribe->waiting;

	if (record->record.verdict == SLUICE_MESSAGE)
	{
		sluice_carrier_load(carrier, record->message_length);
		record->next = NULL;
		while (*last != NULL)
			last = &(*last)->next;
		*last = record;
		if (carrier->call.over)
			drop_messages(subscribe);
		return;
	}
	rest(subscribe, record);
	/* After SLUICE_LEAVE they come back with nothing. */
	if (record->record.verdict == SLUICE_REFUSED || subscribe->phase == OPEN)
		sluice_carrier_refused(carrier, record->record.refusal, "the server could not read the rows: subscribe again");
	free_refusal(&record->record);
}

static void
send_message(SluiceSubscribeCall *subscribe)
{
	SluiceConsumerRecord *record = subscribe->waiting;

	subscribe->waiting = record->next;
	subscribe->sending = record;
	/* The slice is the message's memory from now on. */
	sluice_call_send(&subscribe->carrier.call, grpc_slice_new(record->message, record->message_length, free),
					 subscribe->waiting != NULL);
	record->message = NULL;
}

static void
subscribe_sent(SluiceCall *call)
{
	SluiceSubscribeCall *subscribe = (SluiceSubscribeCall *) call;
	SluiceConsumerRecord *record = subscribe->sending;

	subscribe->sending = NULL;
	sluice_board_answered(&subscribe->carrier.notice, record->message_rows);
	unload(subscribe, record);
	pull(subscribe);
	call->method->proceed(call);
}

/* ---- advances ---- */

static void
read_on(SluiceSubscribeCall *subscribe)
{
	SluiceCarrier *carrier = &subscribe->carrier;

	if (subscribe->phase == OPEN && !carrier->ending && carrier->held == NULL)
		sluice_call_read(&carrier->call);
}

static void
free_advance(SluiceSubscribeCall *subscribe, Advance *advance)
{
	TAILQ_REMOVE(&subscribe->advances, advance, link);
	if (advance->common)
		sluice_carrier_give_room(&subscribe->carrier, 1, advance->size);
	else
	{
		sluice_carrier_unload(&subscribe->carrier, advance->size);
		subscribe->own_advances--;
	}
	free_refusal(&advance->record.record);
	free(advance->record.advance);
	free(advance);
}

static void
hand_over_advance(SluiceSubscribeCall *subscribe, Advance *advance)
{
	advance->common = subscribe->own_advances == OWN_ADVANCES;
	if (advance->common)
		sluice_carrier_take_room(&subscribe->carrier, 1, advance->size);
	else
	{
		sluice_carrier_load(&subscribe->carrier, advance->size);
		subscribe->own_advances++;
	}
	TAILQ_INSERT_TAIL(&subscribe->advances, advance, link);
	hand_over(subscribe, &advance->record, SLUICE_ADVANCE);
}

static void
receive_advance(SluiceSubscribeCall *subscribe, const uint8_t *bytes, size_t length)
{
	const char *error = NULL;
	SluiceDemand demand;
	Advance    *advance;
	SluiceAdvance *content;
	size_t		size;

	if (!sluice_demand_parse(bytes, length, &demand, &error))
		malformed(subscribe, error);
	else if (demand.kind == SLUICE_DEMAND_SUBSCRIBE)
		malformed(subscribe, "the call is open already");
	else if (demand.kind == SLUICE_DEMAND_NONE)
		;						/* of a later version */
	else if ((content = sluice_demand_advance(&demand, &size, &error)) == NULL && error != NULL)
		malformed(subscribe, error);
	else if (content == NULL || (advance = calloc(1, sizeof(Advance))) == NULL)
	{
		free(content);
		out_of_memory(subscribe);
	}
	else
	{
		advance->record.advance = content;
		advance->size = sizeof(Advance) + size;
		sluice_board_received(&subscribe->carrier.notice, 1, subscribe->carrier.call.network->now);
		hand_over_advance(subscribe, advance);
	}
}

/* It was taken, or the call ends. */
static void
advance_settled(SluiceSubscribeCall *subscribe, Advance *advance)
{
	SluiceCarrier *carrier = &subscribe->carrier;
	grpc_byte_buffer *held = carrier->held;

	if (advance->record.record.verdict != SLUICE_OPENED)
		sluice_carrier_refused(carrier, advance->record.record.refusal, "the server did not take an acknowledgement: subscribe again");
	free_advance(subscribe, advance);
	if (carrier->ending || held == NULL)
		return;
	carrier->held = NULL;
	carrier->call.method->received(&carrier->call, held);
}

/* ---- what comes from the client ---- */

static bool
has_room(const SluiceSubscribeCall *subscribe)
{
	return subscribe->own_advances < OWN_ADVANCES ||
		sluice_carrier_has_room(&subscribe->carrier, 1, ADVANCE_SIZE_MAX);
}

static void
receive(SluiceSubscribeCall *subscribe, grpc_byte_buffer *message)
{
	size_t		length;
	uint8_t    *bytes = sluice_call_message_bytes(message, &length);

	if (bytes == NULL)
		out_of_memory(subscribe);
	else if (subscribe->phase == CONNECTED)
		receive_subscribe(subscribe, bytes, length);
	else
		receive_advance(subscribe, bytes, length);
	free(bytes);
	read_on(subscribe);
}

static void
subscribe_received(SluiceCall *call, grpc_byte_buffer *message)
{
	SluiceSubscribeCall *subscribe = (SluiceSubscribeCall *) call;
	size_t		length = grpc_byte_buffer_length(message);

	if (subscribe->carrier.ending)
		grpc_byte_buffer_destroy(message);
	else if (length > REQUEST_LENGTH_MAX)
	{
		grpc_byte_buffer_destroy(message);
		malformed(subscribe, "message is longer than any SubscribeRequest: it has at most 65536 bytes");
	}
	else if (subscribe->phase == CONNECTED || has_room(subscribe))
		receive(subscribe, message);
	else
		subscribe->carrier.held = message;
}

static void
subscribe_half_closed(SluiceCall *call)
{
	SluiceSubscribeCall *subscribe = (SluiceSubscribeCall *) call;

	subscribe->leave.graceful = !subscribe->carrier.ending;
	sluice_carrier_finish(&subscribe->carrier, GRPC_STATUS_OK, "%s", "");
}

/* ---- what comes from the main thread ---- */

static void
opening_settled(SluiceSubscribeCall *subscribe, SluiceRecord *record)
{
	SluiceCarrier *carrier = &subscribe->carrier;

	if (record->verdict != SLUICE_OPENED)
	{
		subscribe->phase = GONE;
		sluice_carrier_refused(carrier, record->refusal, "the server could not look for the subscription: try again");
		free_refusal(record);
		return;
	}
	subscribe->phase = OPEN;
	if (carrier->ending)
		return;
	sluice_board_opened(&carrier->notice, carrier->sender.stream_id, NULL, NULL, 0);
	carrier->call.patient = true;
	sluice_call_open(&carrier->call);
	pull(subscribe);
	read_on(subscribe);
}

static void
subscribe_settled(SluiceCall *call, SluiceRecord *record)
{
	SluiceSubscribeCall *subscribe = (SluiceSubscribeCall *) call;

	switch ((SluiceRecordKind) record->kind)
	{
		case SLUICE_SUBSCRIBE:
			opening_settled(subscribe, record);
			break;
		case SLUICE_PULL:
			pull_settled(subscribe, (SluiceConsumerRecord *) record);
			break;
		case SLUICE_ADVANCE:
			advance_settled(subscribe, (Advance *) record);
			break;
		default:
			subscribe->phase = GONE;
			break;
	}
	if (subscribe->carrier.ending)
		leave(subscribe);
}

static void
subscribe_proceed(SluiceCall *call)
{
	SluiceSubscribeCall *subscribe = (SluiceSubscribeCall *) call;

	if (call->over || call->ended)
		return;
	if (subscribe->carrier.ending)
		leave(subscribe);
	if (subscribe->sending != NULL)
		return;
	if (subscribe->waiting != NULL)
		send_message(subscribe);
	else if (subscribe->carrier.ending && subscribe->carrier.out == 0)
		sluice_carrier_end(&subscribe->carrier);
}

/* ---- the end ---- */

static void
subscribe_over(SluiceCall *call)
{
	SluiceSubscribeCall *subscribe = (SluiceSubscribeCall *) call;

	sluice_carrier_over(&subscribe->carrier);
	drop_messages(subscribe);
	leave(subscribe);
}

static void
subscribe_forget(SluiceCall *call)
{
	SluiceSubscribeCall *subscribe = (SluiceSubscribeCall *) call;

	free_refusal(&subscribe->subscribe.record);
	free_refusal(&subscribe->leave.record);
	for (int i = 0; i < SLUICE_PULLS; i++)
	{
		free_refusal(&subscribe->pulls[i].record);
		free(subscribe->pulls[i].message);
	}
	while (!TAILQ_EMPTY(&subscribe->advances))
		free_advance(subscribe, TAILQ_FIRST(&subscribe->advances));
}

const SluiceMethod sluice_subscribe_call_method = {
	.path = "/sluice.v1.SluiceService/Subscribe",
	.call_size = sizeof(SluiceSubscribeCall),
	.ingests = true,
	.awaits = true,
	.shown = SLUICE_CONNECTION_SUBSCRIBE,
	.begin = subscribe_begin,
	.received = subscribe_received,
	.half_closed = subscribe_half_closed,
	.sent = subscribe_sent,
	.drained = sluice_carrier_drained,
	.over = subscribe_over,
	.destroy = sluice_carrier_destroy,
	.proceed = subscribe_proceed,
	.settled = subscribe_settled,
	.forget = subscribe_forget
};
