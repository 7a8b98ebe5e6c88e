/*
 * publish_call.c
 *		sluice.v1.SluiceService/Publish.
 *
 * A call begins with an Open, which the main thread answers (a record of kind
 * SLUICE_OPEN).  Then every batch becomes a consignment: a run of records.  It is
 * in the list "out" while the main thread has it and until it is acknowledged.
 * When a commit has settled some of them they come back together, and one Ack
 * tells of them all.
 *
 * Batches must follow each other without a hole; that is checked here, so what
 * the ingest transaction finds missing can only be a record that waits.
 *
 * A call stops reading where there is no room (room.h).  A message that was read
 * by then is held (carrier.h) as gRPC gave it; what it needs is known once its
 * records were counted, so that it is not copied again before there is room for them.
 */
#include "carrier.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <grpc/byte_buffer.h>
#include <grpc/slice.h>

#include "board.h"
#include "consignment.h"
#include "publication.h"
#include "sender.h"
#include "thread.h"
#include "throttle.h"

/* A message is asked for where there would be room for one of this size. */
#define EXPECTED_MESSAGE (16 * 1024)
#define OPEN_LENGTH_MAX (8 * 1024)
#define BATCH_RECORDS_MAX 10000

/* An Ack is sent when it has so many exceptions, though it could go further. */
#define ACK_EXCEPTIONS_MAX 10000

typedef enum Phase
{
	CONNECTED,					/* the Open has not come yet */
	OPENING,					/* the main thread has it */
	OPEN
} Phase;

typedef struct SluicePublishCall
{
	SluiceCarrier carrier;		/* first, for the casts */
	Phase		phase;
	SluiceRecord opening_record;
	grpc_slice	opened;			/* to be sent */
	bool		has_opened;
	SluicePublicationLimits limits;
	uint64_t	next;			/* sequence that the next batch begins with */
	bool		batched;		/* one has come: from now on exactly there */
	SluiceConsignmentList out;
	SluiceUsage need;			/* of the message that is held, once its records were counted; or 0 */
} SluicePublishCall;

static void
malformed(SluicePublishCall *publish, const char *message)
{
	sluice_carrier_finish_for(&publish->carrier, GRPC_STATUS_INVALID_ARGUMENT, "MALFORMED", message);
}

static void
out_of_memory(SluicePublishCall *publish)
{
	sluice_carrier_finish(&publish->carrier, GRPC_STATUS_RESOURCE_EXHAUSTED, "the worker is out of memory: try again later");
}

/* ---- begin and open ---- */

static void
publish_begin(SluiceCall *call, const grpc_metadata_array *metadata)
{
	SluicePublishCall *publish = (SluicePublishCall *) call;

	TAILQ_INIT(&publish->out);
	publish->limits.records = BATCH_RECORDS_MAX;
	publish->limits.record_bytes = call->network->settings.max_record_size;
	if (sluice_carrier_begin(&publish->carrier, metadata))
		sluice_call_read(call);
}

static void
ask_to_open(SluicePublishCall *publish, const SluicePublicationNames *names)
{
	SluiceCarrier *carrier = &publish->carrier;
	SluiceNetwork *network = carrier->call.network;

	if (!sluice_carrier_join(carrier) || !sluice_room_has(&network->room, 1, EXPECTED_MESSAGE))
	{
		sluice_thread_count(&network->refused_calls, 1);
		sluice_carrier_finish(carrier, GRPC_STATUS_RESOURCE_EXHAUSTED,
							  "the worker has no memory for another call: try again later, or raise sluice.worker_memory");
		return;
	}
	publish->phase = OPENING;
	carrier->sender.sequenced = true;
	sluice_board_opened(&carrier->notice, 0, carrier->sender.producer.id, names->client, names->client_length);
	publish->opening_record = (SluiceRecord) {.kind = SLUICE_OPEN,.run = 1,.received_at = network->now};
	sluice_carrier_take_room(carrier, 1, sizeof(SluiceOpening));
	sluice_carrier_hand_over(carrier, &publish->opening_record);
}

static void
receive_open(SluicePublishCall *publish, grpc_byte_buffer *message)
{
	SluiceSender *sender = &publish->carrier.sender;
	SluicePublication publication;
	SluicePublicationNames names;
	const char *error = "the first message of a call must be an Open";
	size_t		length = grpc_byte_buffer_length(message);
	uint8_t    *bytes;

	if (length > OPEN_LENGTH_MAX)
	{
		grpc_byte_buffer_destroy(message);
		malformed(publish, error);
		return;
	}
	bytes = sluice_call_message_bytes(message, &length);
	sender->opening = malloc(sizeof(SluiceOpening));
	if (bytes == NULL || sender->opening == NULL)
		out_of_memory(publish);
	else if (!sluice_publication_parse(bytes, length, &publication, &error) ||
			 publication.kind != SLUICE_PUBLICATION_OPEN ||
			 !sluice_publication_open(&publication, sender->opening, &sender->producer, &names, &error))
		malformed(publish, error);
	else if (sluice_carrier_take_stream(&publish->carrier, names.stream, names.stream_length,
										"the name in Open is no name of a stream"))
		ask_to_open(publish, &names);
	free(bytes);
}

static void
opening_settled(SluicePublishCall *publish, const SluiceRecord *record)
{
	SluiceCarrier *carrier = &publish->carrier;
	SluiceOpening *opening = carrier->sender.opening;
	uint8_t    *bytes;

	sluice_carrier_give_room(carrier, 1, sizeof(SluiceOpening));
	if (record->verdict != SLUICE_OPENED)
		sluice_carrier_refused(carrier, record->refusal, "the server could not look for the stream: try again");
	else if (carrier->call.over || carrier->ending)
		publish->phase = OPEN;	/* nobody is to be told any more */
	else if ((bytes = malloc(SLUICE_OPENED_SIZE_MAX)) == NULL)
		out_of_memory(publish);
	else
	{
		/* Smaller batches where a rate holds: a client that sends larger ones waits longer after each. */
		SluicePublicationLimits told = publish->limits;
		size_t		length;

		told.records = sluice_throttle_batch(carrier, told.records);
		length = sluice_publication_opened(bytes, opening, carrier->sender.producer.epoch, &told,
										   carrier->call.network->settings.max_record_size);

		publish->opened = grpc_slice_from_copied_buffer((const char *) bytes, length);
		publish->has_opened = true;
		publish->phase = OPEN;
		publish->next = opening->last_sequence + 1;
		sluice_board_opened(&carrier->notice, carrier->sender.stream_id, carrier->sender.producer.id, NULL, 0);
		free(bytes);
		sluice_call_open(&carrier->call);
	}
	free(record->refusal);
	free(opening);
	carrier->sender.opening = NULL;
}

/* ---- batches ---- */

static void
read_on(SluicePublishCall *publish)
{
	SluiceCarrier *carrier = &publish->carrier;

	if (carrier->ending || carrier->call.over || carrier->call.reading || sluice_throttle_pause(carrier))
		return;
	if (sluice_carrier_has_room(carrier, 1, EXPECTED_MESSAGE))
		sluice_call_read(&carrier->call);
	else
		sluice_carrier_pause(carrier);
}

static void
refuse_batch(SluicePublishCall *publish, SluiceConsignment *consignment, const SluicePublicationFault *fault)
{
	sluice_consignment_free(consignment);
	sluice_carrier_finish_for(&publish->carrier,
							  strcmp(fault->reason, "TOO_LARGE") == 0 ? GRPC_STATUS_OUT_OF_RANGE : GRPC_STATUS_INVALID_ARGUMENT,
							  fault->reason, fault->message);
}

/* There is room for it: its records go to the main thread. */
static void
admit(SluicePublishCall *publish, SluiceConsignment *consignment)
{
	SluiceNetwork *network = publish->carrier.call.network;
	SluicePublicationFault fault;

	if (!sluice_consignment_make_records(consignment))
	{
		sluice_consignment_free(consignment);
		out_of_memory(publish);
		return;
	}
	if (!sluice_publication_batch(&consignment->publication, &publish->limits, consignment->records,
								  consignment->nrecords, &publish->next, !publish->batched, &fault))
	{
		refuse_batch(publish, consignment, &fault);
		return;
	}
	publish->batched = true;
	for (size_t i = 0; i < consignment->nrecords; i++)
	{
		consignment->records[i].sender = &publish->carrier.sender;
		consignment->records[i].received_at = network->now;
	}
	sluice_carrier_take_room(&publish->carrier, consignment->nrecords, sluice_consignment_size(consignment));
	sluice_thread_count(&network->records_received, consignment->nrecords);
	sluice_board_received(&publish->carrier.notice, consignment->nrecords, network->now);
	sluice_throttle_charge(&publish->carrier, consignment->nrecords);
	TAILQ_INSERT_TAIL(&publish->out, consignment, link);
	sluice_carrier_hand_over(&publish->carrier, consignment->records);
}

/* Its records go to the main thread; false: there is no room for them. */
static bool
admit_with_room(SluicePublishCall *publish, SluiceConsignment *consignment)
{
	publish->need = (SluiceUsage) {.records = consignment->nrecords,.bytes = sluice_consignment_size(consignment)};
	if (!sluice_carrier_has_room(&publish->carrier, publish->need.records, publish->need.bytes))
		return false;
	publish->need = (SluiceUsage) {0};
	admit(publish, consignment);
	return true;
}

static void
receive_report(SluicePublishCall *publish, const SluicePublication *publication)
{
	SluicePublicationReport report;
	const char *error;

	if (sluice_publication_report(publication, &report, &error))
		sluice_board_report(&publish->carrier.notice, report.buffered_records, report.buffered_bytes,
							report.oldest_age, report.clock, publish->carrier.call.network->now);
	else
		malformed(publish, error);
}

/* False: it is a batch that there is no room for. */
static bool
receive_consignment(SluicePublishCall *publish, SluiceConsignment *consignment)
{
	SluicePublicationFault fault;
	const char *error;

	if (!sluice_publication_parse(consignment->message, consignment->length, &consignment->publication, &error))
		malformed(publish, error);
	else if (consignment->publication.kind == SLUICE_PUBLICATION_OPEN)
		malformed(publish, "the call is open already");
	else if (consignment->publication.kind == SLUICE_PUBLICATION_REPORT)
		receive_report(publish, &consignment->publication);
	else if (consignment->publication.kind == SLUICE_PUBLICATION_BATCH)
	{
		if (sluice_publication_count(&consignment->publication, &publish->limits, &consignment->nrecords, &fault))
			return admit_with_room(publish, consignment);
		refuse_batch(publish, consignment, &fault);
		return true;
	}
	sluice_consignment_free(consignment);
	return true;
}

static void
hold(SluicePublishCall *publish, grpc_byte_buffer *message)
{
	publish->carrier.held = message;
	sluice_carrier_pause(&publish->carrier);
}

static void
receive(SluicePublishCall *publish, grpc_byte_buffer *message)
{
	size_t		length = grpc_byte_buffer_length(message);
	SluiceConsignment *consignment = sluice_consignment_create(length);

	if (consignment == NULL)
		out_of_memory(publish);
	else if (!sluice_call_copy_message(message, consignment->message, length))
	{
		sluice_consignment_free(consignment);
		malformed(publish, "message is compressed in a way that was not asked for");
	}
	else if (!receive_consignment(publish, consignment))
	{
		sluice_consignment_free(consignment);
		hold(publish, message);
		return;
	}
	grpc_byte_buffer_destroy(message);
	read_on(publish);
}

static bool
has_room_for(const SluicePublishCall *publish, const grpc_byte_buffer *message)
{
	if (publish->need.records > 0)
		return sluice_carrier_has_room(&publish->carrier, publish->need.records, publish->need.bytes);
	return sluice_carrier_has_room(&publish->carrier, 1, grpc_byte_buffer_length((grpc_byte_buffer *) message));
}

static void
publish_received(SluiceCall *call, grpc_byte_buffer *message)
{
	SluicePublishCall *publish = (SluicePublishCall *) call;

	if (publish->carrier.ending)
		grpc_byte_buffer_destroy(message);
	else if (publish->phase == CONNECTED)
		receive_open(publish, message);
	else if (sluice_throttle_pause(&publish->carrier))
		publish->carrier.held = message;
	else if (has_room_for(publish, message))
		receive(publish, message);
	else
		hold(publish, message);
}

static void
publish_resume(SluiceCall *call)
{
	read_on((SluicePublishCall *) call);
}

static void
publish_half_closed(SluiceCall *call)
{
	sluice_carrier_finish((SluiceCarrier *) call, GRPC_STATUS_OK, "%s", "");
}

/* ---- acknowledging ---- */

static void
add_exceptions(const SluiceConsignment *consignment, SluiceException *exceptions, size_t *n)
{
	for (size_t i = 0; i < consignment->nrecords; i++)
	{
		const SluiceRecord *record = &consignment->records[i];

		if (record->verdict == SLUICE_DUPLICATE || record->verdict == SLUICE_DEAD_LETTERED ||
			record->verdict == SLUICE_FILTERED)
			exceptions[(*n)++] = (SluiceException) {record->sequence, (SluiceVerdict) record->verdict};
	}
}

static void
drop_first(SluicePublishCall *publish)
{
	SluiceConsignment *consignment = TAILQ_FIRST(&publish->out);

	TAILQ_REMOVE(&publish->out, consignment, link);
	sluice_carrier_give_room(&publish->carrier, consignment->nrecords, sluice_consignment_size(consignment));
	sluice_consignment_free(consignment);
}

/* All that is back, in order, in one Ack.  Returns the last sequence that it tells of; 0: of none. */
static uint64_t
gather_ack(SluicePublishCall *publish, SluiceException *exceptions, size_t *nexceptions)
{
	SluiceConsignment *consignment;
	uint64_t	through = 0;

	*nexceptions = 0;
	while ((consignment = TAILQ_FIRST(&publish->out)) != NULL && consignment->back &&
		   (through == 0 || *nexceptions + consignment->nrecords <= ACK_EXCEPTIONS_MAX))
	{
		const SluiceRefusal *refusal;
		bool		complete;
		uint64_t	settled = sluice_consignment_through(consignment, &complete, &refusal);

		if (settled > 0)
		{
			through = settled;
			add_exceptions(consignment, exceptions, nexceptions);
		}
		if (complete)
			sluice_board_answered(&publish->carrier.notice, consignment->nrecords);
		else
			sluice_carrier_refused(&publish->carrier, refusal,
								   "the server did not come to store all records: send those without an answer again");
		drop_first(publish);
		if (!complete)
			break;
	}
	return through;
}

/* False: there was nothing to acknowledge. */
static bool
send_ack(SluicePublishCall *publish)
{
	static SluiceException exceptions[ACK_EXCEPTIONS_MAX];	/* the network thread's */
	size_t		n;
	uint64_t	through = gather_ack(publish, exceptions, &n);
	grpc_slice	slice;
	uint8_t    *bytes;

	if (through == 0)
		return false;
	bytes = malloc(SLUICE_ACK_SIZE_MAX(n));
	if (bytes == NULL)
	{
		/* Settled all the same: the client asks again and is told by Opened. */
		sluice_carrier_refused(&publish->carrier, NULL, "the worker is out of memory: try again later");
		return false;
	}
	slice = grpc_slice_from_copied_buffer((const char *) bytes, sluice_publication_ack(bytes, through, exceptions, n));
	free(bytes);
	sluice_call_send(&publish->carrier.call, slice, false);
	return true;
}

static void
end_call(SluicePublishCall *publish)
{
	SluiceCarrier *carrier = &publish->carrier;
	SluiceCall *call = &carrier->call;
	grpc_metadata trailers[2];
	char		text[24];

	memset(trailers, 0, sizeof(trailers));
	call->trailers = trailers;
	call->ntrailers = 0;
	if (carrier->end_reason != NULL)
	{
		snprintf(text, sizeof(text), "%" PRIu64, carrier->end_sequence);
		trailers[0].key = grpc_slice_from_static_string("sluice-reason");
		trailers[0].value = grpc_slice_from_static_string(carrier->end_reason);
		trailers[1].key = grpc_slice_from_static_string("sluice-last-sequence");
		trailers[1].value = grpc_slice_from_copied_string(text);
		call->ntrailers = 2;
	}
	sluice_call_end(call, carrier->end_status, carrier->end_message);
	if (call->ntrailers == 2)
		grpc_slice_unref(trailers[1].value);
	call->trailers = NULL;
	call->ntrailers = 0;
}

static void
publish_proceed(SluiceCall *call)
{
	SluicePublishCall *publish = (SluicePublishCall *) call;

	if (call->over || call->sending || call->ended)
		return;
	if (publish->has_opened)
	{
		publish->has_opened = false;
		sluice_call_send(call, publish->opened, false);
		read_on(publish);
	}
	else if (!send_ack(publish) && publish->carrier.ending && publish->carrier.out == 0)
		end_call(publish);
}

/* ---- back from the main thread ---- */

static void
publish_settled(SluiceCall *call, SluiceRecord *record)
{
	SluicePublishCall *publish = (SluicePublishCall *) call;

	if (record->kind == SLUICE_OPEN)
	{
		opening_settled(publish, record);
		return;
	}
	sluice_consignment_of(record)->back = true;
	/* Nobody is left to tell. */
	while (call->over && !TAILQ_EMPTY(&publish->out) && TAILQ_FIRST(&publish->out)->back)
		drop_first(publish);
}

/* ---- the end ---- */

static void
publish_over(SluiceCall *call)
{
	SluicePublishCall *publish = (SluicePublishCall *) call;

	sluice_carrier_over(&publish->carrier);
	if (publish->has_opened)
		grpc_slice_unref(publish->opened);
	publish->has_opened = false;
	while (!TAILQ_EMPTY(&publish->out) && TAILQ_FIRST(&publish->out)->back)
		drop_first(publish);
}

static bool
publish_destroy(SluiceCall *call)
{
	SluicePublishCall *publish = (SluicePublishCall *) call;

	if (publish->phase == CONNECTED)
	{
		free(publish->carrier.sender.opening);
		publish->carrier.sender.opening = NULL;
	}
	return sluice_carrier_destroy(call);
}

static void
publish_forget(SluiceCall *call)
{
	SluicePublishCall *publish = (SluicePublishCall *) call;

	free(publish->carrier.sender.opening);
	while (!TAILQ_EMPTY(&publish->out))
		drop_first(publish);
}

const SluiceMethod sluice_publish_call_method = {
	.path = "/sluice.v1.SluiceService/Publish",
	.call_size = sizeof(SluicePublishCall),
	.ingests = true,
	.awaits = true,
	.shown = SLUICE_CONNECTION_PUBLISH,
	.begin = publish_begin,
	.received = publish_received,
	.half_closed = publish_half_closed,
	.sent = publish_proceed,
	.drained = sluice_carrier_drained,
	.over = publish_over,
	.destroy = publish_destroy,
	.proceed = publish_proceed,
	.resume = publish_resume,
	.settled = publish_settled,
	.forget = publish_forget
};
