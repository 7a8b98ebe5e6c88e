/*
 * ingest_call.c
 *		ingestion.IngestionService/IngestData.
 *
 * A call begins by asking the main thread for its stream: a record of kind
 * SLUICE_OPEN.  Until that has come back nothing is read, and the client has
 * no initial metadata.  Then every message becomes a record in a parcel; the
 * parcel is in the list "out" while the main thread has it, in the list
 * "answers" from its verdict until its answer was given to gRPC.
 *
 * A call stops reading when there is no room (room.h), or when it is over a rate
 * (throttle.h): it is paused, maybe with one message that was asked for before ("held").
 * gRPC then stops opening the flow control window, and the client waits.
 *
 * Answers go one after the other, for gRPC takes one message at a time.  All
 * but the last of what is there carry the hint that more follows, so that a
 * burst is written to the socket once.
 *
 * A call ends (SluiceIngestCall.ending) for the first reason that comes: the
 * client half-closed, a message was malformed, the stream is gone, the server
 * drains.  Its status goes out after the last answer.  Where the client left,
 * the call stays until the main thread has given back its records.
 */
#include <stddef.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <grpc/byte_buffer.h>
#include <grpc/slice.h>

#include "carrier.h"
#include "envelope.h"
#include "thread.h"
#include "throttle.h"

/* A message is asked for where there would be room for one of this size. */
#define EXPECTED_MESSAGE 256

typedef struct SluiceIngestCall
{
	SluiceCarrier carrier;		/* first, for the casts */
	SluiceParcelList out;
	SluiceParcelList answers;
	uint64_t	verdicts[SLUICE_FILTERED + 1];	/* that were answered */
} SluiceIngestCall;

/* What the trailing metadata of a call counts. */
static const struct
{
	const char *key;
	SluiceVerdict verdict;
} trailing_counts[] = {
	{"sluice-stored", SLUICE_STORED},
	{"sluice-duplicates", SLUICE_DUPLICATE},
	{"sluice-dead-letters", SLUICE_DEAD_LETTERED},
	{"sluice-filtered", SLUICE_FILTERED}
};

#define TRAILING_COUNTS (sizeof(trailing_counts) / sizeof(trailing_counts[0]))

static SluiceParcel *
take_parcel(SluiceIngestCall *ingest, size_t message_length)
{
	SluiceParcel *parcel = sluice_parcel_take(&ingest->carrier.call.network->pool, message_length);

	if (parcel != NULL)
		sluice_carrier_take_room(&ingest->carrier, 1, parcel->size);
	return parcel;
}

static void
give_parcel(SluiceIngestCall *ingest, SluiceParcel *parcel)
{
	sluice_carrier_give_room(&ingest->carrier, 1, parcel->size);
	sluice_parcel_give(&ingest->carrier.call.network->pool, parcel);
}

static void
hand_over(SluiceIngestCall *ingest, SluiceParcel *parcel)
{
	TAILQ_INSERT_TAIL(&ingest->out, parcel, link);
	sluice_carrier_hand_over(&ingest->carrier, &parcel->record);
}

/* Begin: the stream is asked for. */

static void
ingest_begin(SluiceCall *call, const grpc_metadata_array *metadata)
{
	SluiceIngestCall *ingest = (SluiceIngestCall *) call;
	SluiceNetwork *network = call->network;
	SluiceParcel *parcel;

	TAILQ_INIT(&ingest->out);
	TAILQ_INIT(&ingest->answers);
	if (!sluice_carrier_begin(&ingest->carrier, metadata))
		return;
	if (!sluice_carrier_join(&ingest->carrier) ||
		!sluice_room_has(&network->room, 1, sluice_parcel_size(0)) ||
		(parcel = take_parcel(ingest, 0)) == NULL)
	{
		sluice_thread_count(&network->refused_calls, 1);
		sluice_call_end(call, GRPC_STATUS_RESOURCE_EXHAUSTED,
						"the worker has no memory for another call: try again later, or raise sluice.worker_memory");
		return;
	}
	parcel->record.kind = SLUICE_OPEN;
	parcel->record.received_at = network->now;
	hand_over(ingest, parcel);
}

/* Reading. */

static bool
may_read(const SluiceIngestCall *ingest)
{
	return sluice_carrier_has_room(&ingest->carrier, 1, sluice_parcel_size(EXPECTED_MESSAGE));
}

static void
read_on(SluiceIngestCall *ingest)
{
	SluiceCarrier *carrier = &ingest->carrier;

	if (carrier->ending || carrier->call.over || carrier->call.reading || sluice_throttle_pause(carrier))
		return;
	if (may_read(ingest))
		sluice_call_read(&carrier->call);
	else
		sluice_carrier_pause(carrier);
}

/* A payload in several parts is one part in a new parcel; NULL: out of memory. */
static SluiceParcel *
join_payload(SluiceIngestCall *ingest, SluiceParcel *parcel, size_t length, SluiceEnvelope *envelope)
{
	SluiceParcel *joined;

	joined = take_parcel(ingest, envelope->key_length + (size_t) envelope->payload_length);
	if (joined != NULL)
	{
		if (envelope->key_length > 0)
			memcpy(joined->message, envelope->key, envelope->key_length);
		sluice_envelope_join(parcel->message, length, joined->message + envelope->key_length);
		envelope->key = joined->message;
		envelope->payload = joined->message + envelope->key_length;
	}
	give_parcel(ingest, parcel);
	return joined;
}

static void
admit(SluiceIngestCall *ingest, grpc_byte_buffer *message)
{
	SluiceNetwork *network = ingest->carrier.call.network;
	size_t		length = grpc_byte_buffer_length(message);
	SluiceParcel *parcel = take_parcel(ingest, length);
	SluiceEnvelope envelope;
	const char *error = "message is compressed in a way that was not asked for";
	bool		valid;

	valid = parcel != NULL && sluice_call_copy_message(message, parcel->message, length) &&
		sluice_envelope_parse(parcel->message, length, &envelope, &error);
	grpc_byte_buffer_destroy(message);
	if (valid && envelope.payload_parts > 1)
		parcel = join_payload(ingest, parcel, length, &envelope);
	if (parcel == NULL)
		sluice_carrier_finish(&ingest->carrier, GRPC_STATUS_RESOURCE_EXHAUSTED, "the worker is out of memory: try again later");
	else if (!valid)
		sluice_carrier_finish(&ingest->carrier, GRPC_STATUS_INVALID_ARGUMENT,
			   "message is not an ingestion.IngestDataRequest: %s", error);
	else if (envelope.key_length > SLUICE_KEY_LENGTH_MAX)
		sluice_carrier_finish(&ingest->carrier, GRPC_STATUS_INVALID_ARGUMENT,
			   "idempotency_key has %u bytes: at most %d are allowed",
			   (unsigned) envelope.key_length, SLUICE_KEY_LENGTH_MAX);
	else
	{
		SluiceRecord *record = &parcel->record;

		record->key_text = (const char *) envelope.key;
		record->key_length = envelope.key_length;
		record->payload = envelope.payload;
		record->payload_length = envelope.payload_length;
		record->has_payload = envelope.payload_parts > 0;
		record->run_bytes = envelope.payload_length + envelope.key_length;
		record->received_at = network->now;
		sluice_thread_count(&network->records_received, 1);
		sluice_board_received(&ingest->carrier.notice, 1, network->now);
		sluice_throttle_charge(&ingest->carrier, 1);
		hand_over(ingest, parcel);
		return;
	}
	if (parcel != NULL)
		give_parcel(ingest, parcel);
}

static void
ingest_received(SluiceCall *call, grpc_byte_buffer *message)
{
	SluiceIngestCall *ingest = (SluiceIngestCall *) call;

	if (ingest->carrier.ending)
	{
		grpc_byte_buffer_destroy(message);
		return;
	}
	if (sluice_throttle_pause(&ingest->carrier))
	{
		ingest->carrier.held = message;
		return;
	}
	if (!sluice_carrier_has_room(&ingest->carrier, 1, sluice_parcel_size(grpc_byte_buffer_length(message))))
	{
		ingest->carrier.held = message;
		sluice_carrier_pause(&ingest->carrier);
		return;
	}
	admit(ingest, message);
	read_on(ingest);
}

static void
ingest_half_closed(SluiceCall *call)
{
	sluice_carrier_finish((SluiceCarrier *) call, GRPC_STATUS_OK, "%s", "");
}

static void
ingest_resume(SluiceCall *call)
{
	read_on((SluiceIngestCall *) call);
}

/* Answering. */

static int
answer_status(const SluiceRecord *record)
{
	return record->verdict == SLUICE_DEAD_LETTERED ? SLUICE_ANSWER_REJECTED_DLQ : SLUICE_ANSWER_ACKNOWLEDGED;
}

static void
send_answer(SluiceIngestCall *ingest, SluiceParcel *parcel)
{
	const SluiceRecord *record = &parcel->record;
	grpc_slice	slice = grpc_slice_malloc(sluice_envelope_answer_size(record->key_length));

	TAILQ_REMOVE(&ingest->answers, parcel, link);
	ingest->verdicts[record->verdict]++;
	sluice_board_answered(&ingest->carrier.notice, 1);
	sluice_envelope_answer(GRPC_SLICE_START_PTR(slice), record->key_text, record->key_length,
						   answer_status(record));
	give_parcel(ingest, parcel);
	/* This would end the burst: maybe the rest of it has come meanwhile. */
	if (TAILQ_EMPTY(&ingest->answers))
		sluice_thread_collect(ingest->carrier.call.network);
	sluice_call_send(&ingest->carrier.call, slice, !TAILQ_EMPTY(&ingest->answers));
}

/* The status, with the call's verdicts counted: an answer does not tell a duplicate from a new record. */
static void
end_call(SluiceIngestCall *ingest)
{
	SluiceCall *call = &ingest->carrier.call;
	grpc_metadata trailers[TRAILING_COUNTS + 1];
	char		text[24];

	memset(trailers, 0, sizeof(trailers));
	for (size_t i = 0; i < TRAILING_COUNTS; i++)
	{
		snprintf(text, sizeof(text), "%" PRIu64, ingest->verdicts[trailing_counts[i].verdict]);
		trailers[i].key = grpc_slice_from_static_string(trailing_counts[i].key);
		trailers[i].value = grpc_slice_from_copied_string(text);
	}
	call->trailers = trailers;
	call->ntrailers = TRAILING_COUNTS;
	if (ingest->carrier.end_reason != NULL)
	{
		trailers[TRAILING_COUNTS].key = grpc_slice_from_static_string("sluice-reason");
		trailers[TRAILING_COUNTS].value = grpc_slice_from_static_string(ingest->carrier.end_reason);
		call->ntrailers++;
	}
	sluice_call_end(call, ingest->carrier.end_status, ingest->carrier.end_message);
	call->trailers = NULL;
	call->ntrailers = 0;
	for (size_t i = 0; i < TRAILING_COUNTS; i++)
		grpc_slice_unref(trailers[i].value);
}

/* The next thing to send, if it is time for it. */
static void
send_next(SluiceIngestCall *ingest)
{
	SluiceCall *call = &ingest->carrier.call;
	SluiceParcel *parcel = TAILQ_FIRST(&ingest->answers);

	if (call->over || call->sending)
		return;
	if (parcel != NULL)
		send_answer(ingest, parcel);
	else if (ingest->carrier.ending && ingest->carrier.out == 0)
		end_call(ingest);
}

static void
ingest_sent(SluiceCall *call)
{
	send_next((SluiceIngestCall *) call);
}

static void
ingest_proceed(SluiceCall *call)
{
	send_next((SluiceIngestCall *) call);
}

/* Back from the main thread. */

static void
open_settled(SluiceIngestCall *ingest, const SluiceRecord *record)
{
	if (record->verdict == SLUICE_OPENED)
	{
		if (!ingest->carrier.ending)
			sluice_call_open(&ingest->carrier.call);
		sluice_board_opened(&ingest->carrier.notice, ingest->carrier.sender.stream_id, NULL, NULL, 0);
		read_on(ingest);
	}
	else
		sluice_carrier_refused(&ingest->carrier, record->refusal, "the server could not look for the stream: try again");
}

static bool
data_settled(SluiceIngestCall *ingest, SluiceParcel *parcel)
{
	const SluiceRecord *record = &parcel->record;

	switch ((SluiceVerdict) record->verdict)
	{
		case SLUICE_STORED:
		case SLUICE_DUPLICATE:
		case SLUICE_DEAD_LETTERED:
		case SLUICE_FILTERED:
			if (ingest->carrier.call.over || ingest->carrier.call.ended)
				return false;
			TAILQ_INSERT_TAIL(&ingest->answers, parcel, link);
			return true;
		case SLUICE_PENDING:
			sluice_carrier_refused(&ingest->carrier, NULL,
								   "the server did not come to store all records: send those without an answer again");
			return false;
		case SLUICE_DECLARED:
		case SLUICE_RESENT:
		case SLUICE_OPENED:
		case SLUICE_MESSAGE:
		case SLUICE_REFUSED:
			break;
	}
	sluice_carrier_refused(&ingest->carrier, record->refusal, "the stream takes no more records: try again");
	return false;
}

static void
ingest_settled(SluiceCall *call, SluiceRecord *record)
{
	SluiceIngestCall *ingest = (SluiceIngestCall *) call;
	SluiceParcel *parcel = sluice_parcel_of(record);
	bool		keep = false;

	TAILQ_REMOVE(&ingest->out, parcel, link);
	if (record->kind == SLUICE_OPEN)
		open_settled(ingest, record);
	else
		keep = data_settled(ingest, parcel);
	if (!keep)
		give_parcel(ingest, parcel);
}

/* The end. */

static void
give_all(SluiceIngestCall *ingest, SluiceParcelList *list)
{
	SluiceParcel *parcel;

	while ((parcel = TAILQ_FIRST(list)) != NULL)
	{
		TAILQ_REMOVE(list, parcel, link);
		give_parcel(ingest, parcel);
	}
}

static void
ingest_over(SluiceCall *call)
{
	SluiceIngestCall *ingest = (SluiceIngestCall *) call;

	sluice_carrier_over(&ingest->carrier);
	give_all(ingest, &ingest->answers);
}

static void
ingest_forget(SluiceCall *call)
{
	SluiceIngestCall *ingest = (SluiceIngestCall *) call;

	give_all(ingest, &ingest->out);
}

const SluiceMethod sluice_ingest_call_method = {
	.path = "/ingestion.IngestionService/IngestData",
	.call_size = sizeof(SluiceIngestCall),
	.ingests = true,
	.shown = SLUICE_CONNECTION_INGEST_DATA,
	.begin = ingest_begin,
	.received = ingest_received,
	.half_closed = ingest_half_closed,
	.sent = ingest_sent,
	.drained = sluice_carrier_drained,
	.over = ingest_over,
	.destroy = sluice_carrier_destroy,
	.proceed = ingest_proceed,
	.resume = ingest_resume,
	.settled = ingest_settled,
	.forget = ingest_forget
};
