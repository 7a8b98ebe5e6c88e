/*
 * fuzz_publication.c
 *		libFuzzer: the requests of Publish, hand-walked.
 *
 * The first four bytes choose what a batch is read with, the rest is a request.
 * What was accepted must be consistent: payloads and keys lie inside the
 * message, a run covers its sequences without a hole and keeps the limits.
 * Where protobuf-c reads the request too, it must read the same; our responses
 * it must read always.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "endpoint/publication.h"
#include "sluice.pb-c.h"
#include "wire.h"

int			LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHOICES 4

typedef struct Message
{
	const uint8_t *data;
	size_t		size;
	const Sluice__V1__PublishRequest *reference;	/* NULL: protobuf-c refuses it, or merges what we do not */
} Message;

static void
check(bool holds)
{
	if (!holds)
		abort();
}

static void
check_inside(const Message *message, const void *part, size_t length)
{
	const uint8_t *bytes = part;

	if (length > 0)
		check(bytes >= message->data && length <= message->size && bytes <= message->data + message->size - length);
}

static void
check_fault(const SluicePublicationFault *fault)
{
	check(fault->reason != NULL && fault->message != NULL && fault->message[0] != '\0');
	check(strcmp(fault->reason, "MALFORMED") == 0 || strcmp(fault->reason, "HOLE") == 0 ||
		  strcmp(fault->reason, "TOO_LARGE") == 0);
}

/* ---- responses ---- */

static void
check_opened(const SluiceOpening *opening)
{
	static uint8_t bytes[SLUICE_OPENED_SIZE_MAX];
	SluicePublicationLimits limits = {10000, UINT64_MAX};
	size_t		length = sluice_publication_opened(bytes, opening, UINT64_MAX, &limits, UINT64_MAX);
	Sluice__V1__PublishResponse *response;
	const Sluice__V1__Opened *opened;

	check(length <= sizeof(bytes));
	response = sluice__v1__publish_response__unpack(NULL, length, bytes);
	check(response != NULL && response->response_case == SLUICE__V1__PUBLISH_RESPONSE__RESPONSE_OPENED);
	opened = response->opened;
	check(opened->last_sequence == opening->last_sequence && opened->last_crc == opening->last_crc);
	check(opened->epoch == UINT64_MAX && opened->n_dead == (size_t) opening->ndead);
	check(opening->ndead == 0 || memcmp(opened->dead, opening->dead, opening->ndead * sizeof(uint64_t)) == 0);
	check(opened->stream_uid.len == SLUICE_UID_SIZE && opened->limits->batch_records == limits.records);
	sluice__v1__publish_response__free_unpacked(response, NULL);
}

/* Every record as an exception. */
static void
check_ack(const SluiceRecord *records, size_t n)
{
	SluiceException *exceptions = calloc(n, sizeof(SluiceException));
	uint8_t    *bytes = malloc(SLUICE_ACK_SIZE_MAX(n));
	size_t		length;
	Sluice__V1__PublishResponse *response;

	for (size_t i = 0; i < n; i++)
		exceptions[i] = (SluiceException) {records[i].sequence, SLUICE_STORED + i % 4};
	length = sluice_publication_ack(bytes, records[n - 1].through, exceptions, n);
	check(length <= SLUICE_ACK_SIZE_MAX(n));
	response = sluice__v1__publish_response__unpack(NULL, length, bytes);
	check(response != NULL && response->response_case == SLUICE__V1__PUBLISH_RESPONSE__RESPONSE_ACK);
	check(response->ack->through_sequence == records[n - 1].through && response->ack->n_exceptions == n);
	for (size_t i = 0; i < n; i++)
		check(response->ack->exceptions[i]->sequence == records[i].sequence &&
			  (size_t) response->ack->exceptions[i]->verdict == 1 + i % 4);
	sluice__v1__publish_response__free_unpacked(response, NULL);
	free(bytes);
	free(exceptions);
}

/* ---- requests ---- */

static void
fuzz_open(const Message *message, const SluicePublication *publication)
{
	static SluiceOpening opening;
	SluiceProducer producer;
	SluicePublicationNames names;
	const char *error = NULL;

	if (!sluice_publication_open(publication, &opening, &producer, &names, &error))
	{
		check(error != NULL && error[0] != '\0');
		return;
	}
	check(opening.nnonces >= 1 && opening.nnonces <= SLUICE_NONCES_MAX);
	check(producer.nonce == opening.nonces[opening.nnonces - 1]);
	check(opening.acked_through <= opening.sent && opening.sent <= INT64_MAX);
	check_inside(message, names.stream, names.stream_length);
	check_inside(message, names.client, names.client_length);
	if (message->reference != NULL)
	{
		const Sluice__V1__Open *open = message->reference->open;

		check(open->n_nonces == (size_t) opening.nnonces && open->sent == opening.sent &&
			  open->acked_through == opening.acked_through);
		check(memcmp(open->nonces, opening.nonces, open->n_nonces * sizeof(uint64_t)) == 0);
		check(memcmp(open->producer_id.data, producer.id, SLUICE_PRODUCER_SIZE) == 0);
		check(memcmp(open->stream, names.stream, names.stream_length) == 0);
		check(memcmp(open->client, names.client, names.client_length) == 0);
		check((open->stream_uid.len == SLUICE_UID_SIZE) == opening.has_stream_uid);
	}
	for (int i = 0; i < opening.nnonces; i++)
		opening.dead[opening.ndead++] = opening.nonces[i];
	opening.last_sequence = opening.nonces[0];
	opening.last_crc = (uint32_t) opening.nonces[0];
	check_opened(&opening);
}

static void
fuzz_report(const Message *message, const SluicePublication *publication)
{
	SluicePublicationReport report;
	const char *error = NULL;

	if (!sluice_publication_report(publication, &report, &error))
		check(error != NULL && error[0] != '\0');
	else if (message->reference != NULL)
		check(report.buffered_records == message->reference->report->buffered_records &&
			  report.buffered_bytes == message->reference->report->buffered_bytes &&
			  report.oldest_age == message->reference->report->oldest_age &&
			  report.clock == message->reference->report->clock);
}

static void
check_record(const Message *message, const SluicePublicationLimits *limits, const SluiceRecord *record)
{
	check_inside(message, record->payload, record->payload_length);
	check_inside(message, record->key_text, record->key_length);
	check((uint64_t) record->payload_length + record->key_length <= limits->record_bytes);
	if (record->kind == SLUICE_GAP)
		check(record->reason >= 1 && record->reason <= SLUICE_GAP_REASONS && record->payload_length == 0);
	else
		check(record->kind == SLUICE_DATA && record->has_payload && record->sequence == record->through);
}

/* Each entry that protobuf-c read is one of ours: a run has each sequence once. */
static void
check_reference(const Sluice__V1__Batch *batch, const SluiceRecord *records, size_t n)
{
	check(batch->n_records + batch->n_gaps == n);
	for (size_t i = 0; i < batch->n_records; i++)
	{
		const Sluice__V1__Record *reference = batch->records[i];
		size_t		at = 0;

		while (at < n && records[at].sequence != reference->sequence)
			at++;
		check(at < n && records[at].kind == SLUICE_DATA && records[at].payload_length == reference->payload.len);
		check(reference->payload.len == 0 || memcmp(records[at].payload, reference->payload.data, reference->payload.len) == 0);
		check(memcmp(records[at].key_text, reference->key, records[at].key_length) == 0);
	}
	for (size_t i = 0; i < batch->n_gaps; i++)
	{
		size_t		at = 0;

		while (at < n && records[at].sequence != batch->gaps[i]->from)
			at++;
		check(at < n && records[at].kind == SLUICE_GAP && records[at].through == batch->gaps[i]->to &&
			  records[at].reason == (int) batch->gaps[i]->reason);
	}
}

static void
fuzz_batch(const Message *message, const SluicePublication *publication, const uint8_t *choices)
{
	SluicePublicationLimits limits = {.records = choices[0],.record_bytes = choices[1] * 8};
	SluicePublicationFault fault = {NULL, NULL};
	uint64_t	next = choices[2];
	bool		may_repeat = choices[3] & 1;
	uint64_t	before = next;
	SluiceRecord *records;
	size_t		n;

	if (!sluice_publication_count(publication, &limits, &n, &fault))
	{
		check_fault(&fault);
		return;
	}
	check(n >= 1 && n <= limits.records);
	records = calloc(n, sizeof(SluiceRecord));
	if (!sluice_publication_batch(publication, &limits, records, n, &next, may_repeat, &fault))
	{
		check_fault(&fault);
		check(next == before);
		free(records);
		return;
	}
	check(records[0].sequence >= 1 && (records[0].sequence == before || (may_repeat && records[0].sequence < before)));
	for (size_t i = 0; i < n; i++)
	{
		check_record(message, &limits, &records[i]);
		check(records[i].run == n && records[i].at == i && sluice_record_first(&records[i]) == records);
		check(records[i].through >= records[i].sequence && records[i].through < INT64_MAX);
		check(i == 0 || records[i].sequence == records[i - 1].through + 1);
	}
	check(next == records[n - 1].through + 1);
	if (message->reference != NULL)
		check_reference(message->reference->batch, records, n);
	check_ack(records, n);
	free(records);
}

/* Fields 1 to 3 in a message: with more than one, protobuf-c merges where we take the last. */
static int
count_requests(const uint8_t *data, size_t size)
{
	SluiceWire	wire = {data, data + size};
	uint32_t	number;
	uint32_t	type;
	int			n = 0;

	while (wire.at < wire.end && sluice_wire_tag(&wire, &number, &type) && sluice_wire_skip(&wire, number, type))
		n += number <= SLUICE_PUBLICATION_REPORT;
	return n;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *choices = data;
	Message		message;
	SluicePublication publication;
	Sluice__V1__PublishRequest *reference = NULL;
	const char *error = NULL;

	if (size < CHOICES)
		return 0;
	message = (Message) {data + CHOICES, size - CHOICES, NULL};
	if (!sluice_publication_parse(message.data, message.size, &publication, &error))
	{
		check(error != NULL && error[0] != '\0');
		return 0;
	}
	check_inside(&message, publication.body, publication.length);
	if (count_requests(message.data, message.size) == 1)
		reference = sluice__v1__publish_request__unpack(NULL, message.size, message.data);
	if (reference != NULL && (int) reference->request_case == (int) publication.kind)
		message.reference = reference;
	if (publication.kind == SLUICE_PUBLICATION_OPEN)
		fuzz_open(&message, &publication);
	else if (publication.kind == SLUICE_PUBLICATION_REPORT)
		fuzz_report(&message, &publication);
	else if (publication.kind == SLUICE_PUBLICATION_BATCH)
		fuzz_batch(&message, &publication, choices);
	if (reference != NULL)
		sluice__v1__publish_request__free_unpacked(reference, NULL);
	return 0;
}
