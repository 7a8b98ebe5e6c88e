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
 * A call stops reading when there is no room (room.h): it is paused, maybe
 * with one message that was asked for while there still was room ("held").
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
#include "ingest_call.h"

#include <stdarg.h>
#include <stddef.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <grpc/byte_buffer.h>
#include <grpc/slice.h>

#include "envelope.h"
#include "sender.h"
#include "thread.h"

/* Paused calls looked at in one turn of the loop. */
#define RESUME_STEP 16

/* A message is asked for where there would be room for one of this size. */
#define EXPECTED_MESSAGE 256

typedef struct SluiceIngestCall
{
	SluiceCall	call;			/* first, for the casts */
	TAILQ_ENTRY(SluiceIngestCall) answering_link;
	TAILQ_ENTRY(SluiceIngestCall) paused_link;
	bool		answering;
	bool		paused;
	bool		ending;
	SluiceSender sender;
	SluiceShare *share;
	SluiceUsage usage;
	SluiceParcelList out;
	SluiceParcelList answers;
	grpc_byte_buffer *held;
	int			end_status;
	char		end_message[256];
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

static SluiceIngestCall *
ingest_of(SluiceSender *sender)
{
	return (SluiceIngestCall *) ((char *) sender - offsetof(SluiceIngestCall, sender));
}

/* Have the loop look after this call before it waits again. */
static void
schedule(SluiceIngestCall *ingest)
{
	if (ingest->answering || ingest->call.grpc == NULL)
		return;
	ingest->answering = true;
	TAILQ_INSERT_TAIL(&ingest->call.network->answering, ingest, answering_link);
}

static void
pause_reading(SluiceIngestCall *ingest)
{
	SluiceNetwork *network = ingest->call.network;

	if (ingest->paused)
		return;
	ingest->paused = true;
	TAILQ_INSERT_TAIL(&network->paused, ingest, paused_link);
	network->npaused++;
}

static void
unpause(SluiceIngestCall *ingest)
{
	SluiceNetwork *network = ingest->call.network;

	if (!ingest->paused)
		return;
	ingest->paused = false;
	TAILQ_REMOVE(&network->paused, ingest, paused_link);
	network->npaused--;
}

static void
drop_held(SluiceIngestCall *ingest)
{
	if (ingest->held != NULL)
		grpc_byte_buffer_destroy(ingest->held);
	ingest->held = NULL;
}

static void finish(SluiceIngestCall *ingest, grpc_status_code status, const char *format,...)
			__attribute__((format(printf, 3, 4)));

/* Nothing more is read; the first reason stands. */
static void
finish(SluiceIngestCall *ingest, grpc_status_code status, const char *format,...)
{
	va_list		args;

	if (ingest->ending)
		return;
	ingest->ending = true;
	ingest->end_status = status;
	va_start(args, format);
	vsnprintf(ingest->end_message, sizeof(ingest->end_message), format, args);
	va_end(args);
	unpause(ingest);
	drop_held(ingest);
	schedule(ingest);
}

static SluiceParcel *
take_parcel(SluiceIngestCall *ingest, size_t message_length)
{
	SluiceNetwork *network = ingest->call.network;
	SluiceParcel *parcel = sluice_parcel_take(&network->pool, message_length);

	if (parcel == NULL)
		return NULL;
	parcel->record.sender = &ingest->sender;
	sluice_room_take(&network->room, ingest->share, &ingest->usage, parcel->size);
	return parcel;
}

static void
give_parcel(SluiceIngestCall *ingest, SluiceParcel *parcel)
{
	SluiceNetwork *network = ingest->call.network;

	sluice_room_give(&network->room, ingest->share, &ingest->usage, parcel->size);
	sluice_parcel_give(&network->pool, parcel);
	network->resume_left = network->npaused;
}

static void
hand_over(SluiceIngestCall *ingest, SluiceParcel *parcel)
{
	TAILQ_INSERT_TAIL(&ingest->out, parcel, link);
	sluice_thread_push(ingest->call.network, &parcel->record);
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
	sluice_sender_read(&ingest->sender, call->grpc, metadata);
	if (ingest->sender.stream == NULL)
	{
		sluice_call_end(call, GRPC_STATUS_NOT_FOUND, "the name in sluice-stream is too long for a stream");
		return;
	}
	ingest->share = sluice_room_join(&network->room, ingest->sender.stream);
	if (ingest->sender.address == NULL || ingest->share == NULL ||
		!sluice_room_has(&network->room, sluice_parcel_size(0)) ||
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
	return sluice_room_admits(&ingest->call.network->room, ingest->share, &ingest->usage,
							  sluice_parcel_size(EXPECTED_MESSAGE));
}

static void
read_on(SluiceIngestCall *ingest)
{
	if (ingest->ending || ingest->call.over || ingest->call.reading)
		return;
	if (may_read(ingest))
		sluice_call_read(&ingest->call);
	else
		pause_reading(ingest);
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
	SluiceNetwork *network = ingest->call.network;
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
		finish(ingest, GRPC_STATUS_RESOURCE_EXHAUSTED, "the worker is out of memory: try again later");
	else if (!valid)
		finish(ingest, GRPC_STATUS_INVALID_ARGUMENT,
			   "message is not an ingestion.IngestDataRequest: %s", error);
	else if (envelope.key_length > SLUICE_KEY_LENGTH_MAX)
		finish(ingest, GRPC_STATUS_INVALID_ARGUMENT,
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
		record->received_at = network->now;
		sluice_thread_count(&network->records_received, 1);
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

	if (ingest->ending)
	{
		grpc_byte_buffer_destroy(message);
		return;
	}
	if (!sluice_room_admits(&call->network->room, ingest->share, &ingest->usage,
							sluice_parcel_size(grpc_byte_buffer_length(message))))
	{
		ingest->held = message;
		pause_reading(ingest);
		return;
	}
	admit(ingest, message);
	read_on(ingest);
}

static void
ingest_half_closed(SluiceCall *call)
{
	finish((SluiceIngestCall *) call, GRPC_STATUS_OK, "%s", "");
}

void
sluice_ingest_call_resume(SluiceNetwork *network)
{
	for (int step = 0; step < RESUME_STEP && network->resume_left > 0; step++)
	{
		SluiceIngestCall *ingest = TAILQ_FIRST(&network->paused);
		grpc_byte_buffer *held;

		if (ingest == NULL)
		{
			network->resume_left = 0;
			return;
		}
		network->resume_left--;
		unpause(ingest);
		held = ingest->held;
		ingest->held = NULL;
		if (held != NULL)
			ingest_received(&ingest->call, held);
		else
			read_on(ingest);
	}
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
	sluice_envelope_answer(GRPC_SLICE_START_PTR(slice), record->key_text, record->key_length,
						   answer_status(record));
	give_parcel(ingest, parcel);
	/* This would end the burst: maybe the rest of it has come meanwhile. */
	if (TAILQ_EMPTY(&ingest->answers))
		sluice_thread_collect(ingest->call.network);
	sluice_call_send(&ingest->call, slice, !TAILQ_EMPTY(&ingest->answers));
}

/* The status, with the call's verdicts counted: an answer does not tell a duplicate from a new record. */
static void
end_call(SluiceIngestCall *ingest)
{
	grpc_metadata trailers[TRAILING_COUNTS];
	char		text[24];

	memset(trailers, 0, sizeof(trailers));
	for (size_t i = 0; i < TRAILING_COUNTS; i++)
	{
		snprintf(text, sizeof(text), "%" PRIu64, ingest->verdicts[trailing_counts[i].verdict]);
		trailers[i].key = grpc_slice_from_static_string(trailing_counts[i].key);
		trailers[i].value = grpc_slice_from_copied_string(text);
	}
	ingest->call.trailers = trailers;
	ingest->call.ntrailers = TRAILING_COUNTS;
	sluice_call_end(&ingest->call, ingest->end_status, ingest->end_message);
	ingest->call.trailers = NULL;
	ingest->call.ntrailers = 0;
	for (size_t i = 0; i < TRAILING_COUNTS; i++)
		grpc_slice_unref(trailers[i].value);
}

/* The next thing to send, if it is time for it. */
static void
send_next(SluiceIngestCall *ingest)
{
	SluiceCall *call = &ingest->call;
	SluiceParcel *parcel = TAILQ_FIRST(&ingest->answers);

	if (call->over || call->sending)
		return;
	if (parcel != NULL)
		send_answer(ingest, parcel);
	else if (ingest->ending && TAILQ_EMPTY(&ingest->out))
		end_call(ingest);
}

static void
ingest_sent(SluiceCall *call)
{
	send_next((SluiceIngestCall *) call);
}

void
sluice_ingest_call_answer(SluiceNetwork *network)
{
	SluiceIngestCall *ingest;

	while ((ingest = TAILQ_FIRST(&network->answering)) != NULL)
	{
		TAILQ_REMOVE(&network->answering, ingest, answering_link);
		ingest->answering = false;
		send_next(ingest);
		sluice_call_settle(&ingest->call);
	}
}

/* Back from the main thread. */

static void
open_settled(SluiceIngestCall *ingest, const SluiceRecord *record)
{
	if (record->verdict == SLUICE_OPENED)
	{
		if (!ingest->ending)
			sluice_call_open(&ingest->call);
		read_on(ingest);
	}
	else if (record->refusal != NULL)
		finish(ingest, record->refusal->status, "%s", record->refusal->message);
	else
		finish(ingest, GRPC_STATUS_UNAVAILABLE, "the server could not look for the stream: try again");
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
			if (ingest->call.over || ingest->call.ended)
				return false;
			TAILQ_INSERT_TAIL(&ingest->answers, parcel, link);
			return true;
		case SLUICE_PENDING:
			finish(ingest, GRPC_STATUS_UNAVAILABLE,
				   "the server did not come to store all records: send those without an answer again");
			return false;
		case SLUICE_OPENED:
		case SLUICE_REFUSED:
			break;
	}
	if (record->refusal != NULL)
		finish(ingest, record->refusal->status, "%s", record->refusal->message);
	else
		finish(ingest, GRPC_STATUS_UNAVAILABLE, "the stream takes no more records: try again");
	return false;
}

static void
clean_up(SluiceIngestCall *ingest)
{
	if (ingest->share != NULL)
		sluice_room_leave(&ingest->call.network->room, ingest->share);
	sluice_sender_free(&ingest->sender);
}

void
sluice_ingest_call_settled(SluiceNetwork *network, SluiceRecord *record)
{
	SluiceIngestCall *ingest = ingest_of(record->sender);
	SluiceParcel *parcel = sluice_parcel_of(record);
	bool		keep = false;

	(void) network;
	TAILQ_REMOVE(&ingest->out, parcel, link);
	if (record->kind == SLUICE_OPEN)
		open_settled(ingest, record);
	else
		keep = data_settled(ingest, parcel);
	if (!keep)
		give_parcel(ingest, parcel);

	if (ingest->call.grpc != NULL)
		schedule(ingest);
	else if (TAILQ_EMPTY(&ingest->out))
	{
		clean_up(ingest);
		sluice_call_free(&ingest->call);
	}
}

/* The end. */

static void
ingest_drained(SluiceCall *call)
{
	finish((SluiceIngestCall *) call, GRPC_STATUS_UNAVAILABLE, "%s", call->network->drain_message);
}

static void
ingest_over(SluiceCall *call)
{
	SluiceIngestCall *ingest = (SluiceIngestCall *) call;
	SluiceParcel *parcel;

	ingest->ending = true;
	unpause(ingest);
	drop_held(ingest);
	while ((parcel = TAILQ_FIRST(&ingest->answers)) != NULL)
	{
		TAILQ_REMOVE(&ingest->answers, parcel, link);
		give_parcel(ingest, parcel);
	}
}

static bool
ingest_destroy(SluiceCall *call)
{
	SluiceIngestCall *ingest = (SluiceIngestCall *) call;

	if (ingest->answering)
	{
		TAILQ_REMOVE(&call->network->answering, ingest, answering_link);
		ingest->answering = false;
	}
	if (!TAILQ_EMPTY(&ingest->out))
		return false;
	clean_up(ingest);
	return true;
}

void
sluice_ingest_call_forget(SluiceNetwork *network)
{
	SluiceCall *call;

	/* Only calls that wait for their records are left. */
	while ((call = TAILQ_FIRST(&network->calls)) != NULL)
	{
		SluiceIngestCall *ingest = (SluiceIngestCall *) call;
		SluiceParcel *parcel;

		while ((parcel = TAILQ_FIRST(&ingest->out)) != NULL)
		{
			TAILQ_REMOVE(&ingest->out, parcel, link);
			give_parcel(ingest, parcel);
		}
		clean_up(ingest);
		sluice_call_free(call);
	}
}

const SluiceMethod sluice_ingest_call_method = {
	.path = "/ingestion.IngestionService/IngestData",
	.call_size = sizeof(SluiceIngestCall),
	.ingests = true,
	.begin = ingest_begin,
	.received = ingest_received,
	.half_closed = ingest_half_closed,
	.sent = ingest_sent,
	.drained = ingest_drained,
	.over = ingest_over,
	.destroy = ingest_destroy
};
