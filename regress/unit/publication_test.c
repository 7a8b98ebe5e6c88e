/*
 * publication_test.c
 *		Requests of Publish as clients may send them, and the responses.
 *
 * Requests are written by protobuf-c, or by hand where no client would write
 * them, and read from memory that ends where they end.
 */
#include <stdlib.h>

#include "endpoint/publication.h"
#include "sluice.pb-c.h"
#include "tap.h"
#include "wire_writer.h"

#define MAX_ENTRIES 8

static const SluicePublicationLimits limits = {.records = MAX_ENTRIES,.record_bytes = 2048};

/* A copy whose end a sanitizer knows. */
static uint8_t *
exact(const SluiceBuffer *request)
{
	uint8_t    *copy = malloc(request->length > 0 ? request->length : 1);

	if (request->length > 0)
		memcpy(copy, request->data, request->length);
	return copy;
}

/* ---- batches ---- */

static void
put_record(SluiceBuffer *batch, uint64_t sequence, const char *payload, const char *key)
{
	SluiceBuffer record = {0};

	put_int(&record, 1, (int64_t) sequence);
	put_text(&record, 2, payload);
	if (key != NULL)
		put_text(&record, 3, key);
	put_message(batch, 1, &record);
	sluice_buffer_free(&record);
}

static void
put_gap(SluiceBuffer *batch, uint64_t from, uint64_t to, int reason)
{
	SluiceBuffer gap = {0};

	put_int(&gap, 1, (int64_t) from);
	put_int(&gap, 2, (int64_t) to);
	put_int(&gap, 3, reason);
	put_message(batch, 2, &gap);
	sluice_buffer_free(&gap);
}

/*
 * What is read of a batch, which is emptied: "5 five, 6 six (key), 7-9 full",
 * or the reason why it is refused.  *next goes on.
 */
static const char *
read_batch(SluiceBuffer *batch, uint64_t *next, bool may_repeat)
{
	static char text[512];
	SluiceBuffer request = {0};
	SluiceRecord records[MAX_ENTRIES];
	SluicePublication publication;
	SluicePublicationFault fault = {"", ""};
	const char *error = "";
	uint64_t	before = *next;
	uint8_t    *bytes;
	size_t		n = 0;
	bool		valid;

	put_message(&request, 2, batch);
	bytes = exact(&request);
	memset(records, 0, sizeof(records));
	text[0] = '\0';
	valid = sluice_publication_parse(bytes, request.length, &publication, &error) &&
		publication.kind == SLUICE_PUBLICATION_BATCH &&
		sluice_publication_count(&publication, &limits, &n, &fault) &&
		sluice_publication_batch(&publication, &limits, records, n, next, may_repeat, &fault);
	for (size_t i = 0; valid && i < n; i++)
	{
		SluiceRecord *record = &records[i];
		char	   *at = text + strlen(text);
		size_t		left = sizeof(text) - strlen(text);

		if (record->run != n || record->at != i || sluice_record_first(record) != records)
			snprintf(at, left, "not a run! ");
		else if (record->kind == SLUICE_GAP)
			snprintf(at, left, "%s%d-%d %d", i > 0 ? ", " : "", (int) record->sequence, (int) record->through, record->reason);
		else
			snprintf(at, left, "%s%d %.*s%s%.*s", i > 0 ? ", " : "", (int) record->sequence,
					 (int) record->payload_length, (const char *) record->payload,
					 record->key_length > 0 ? " " : "", (int) record->key_length, record->key_text);
	}
	if (!valid)
		snprintf(text, sizeof(text), "%s%s", *next == before ? "" : "next was moved! ", fault.reason);
	free(bytes);
	sluice_buffer_free(&request);
	return text;
}

static void
batches_are_runs(void)
{
	SluiceBuffer batch = {0};
	uint64_t	next = 5;

	put_record(&batch, 5, "five", NULL);
	put_record(&batch, 6, "six", "a key");
	put_gap(&batch, 7, 9, 1);
	put_record(&batch, 10, "", NULL);
	is_text(read_batch(&batch, &next, false), "5 five, 6 six a key, 7-9 1, 10 ", "records and gaps are one run");
	ok(next == 11, "the next batch begins behind it");
	put_gap(&batch, 11, 12, 6);
	put_gap(&batch, 14, 14, 2);
	put_record(&batch, 15, "b", NULL);
	put_record(&batch, 13, "a", NULL);
	is_text(read_batch(&batch, &next, false), "11-12 6, 13 a, 14-14 2, 15 b", "in order of their sequences, however they were sent");
	put_gap(&batch, 16, INT64_MAX - 1, 5);
	ok(read_batch(&batch, &next, false)[0] != '\0' && next == INT64_MAX, "a gap may reach the end of all sequences");
	sluice_buffer_free(&batch);
}

static void
holes_are_refused(void)
{
	static const struct
	{
		uint64_t	record;		/* beside the one with 5 */
		uint64_t	from;		/* 0: no gap */
		uint64_t	to;
		const char *why;
	}			cases[] = {
		{7, 0, 0, "a hole"},
		{5, 0, 0, "a sequence twice"},
		{0, 0, 0, "a record without a sequence"},
		{4, 0, 0, "one that was sent before"},
		{6, 6, 7, "a gap over a record"},
		{9, 6, 7, "a hole behind a gap"},
		{8, 5, 7, "a gap that begins too early"},
		{6, 7, INT64_MAX, "a gap to the end of numbers"},
		{6, 7, UINT64_MAX, "a gap beyond it"},
		{UINT64_MAX, 6, UINT64_MAX - 1, "a record at the end of numbers"},
	};
	SluiceBuffer batch = {0};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		uint64_t	next = 5;

		put_record(&batch, 5, "five", NULL);
		put_record(&batch, cases[i].record, "other", NULL);
		if (cases[i].from > 0)
			put_gap(&batch, cases[i].from, cases[i].to, 1);
		is_text(read_batch(&batch, &next, false), "HOLE", cases[i].why);
	}
	sluice_buffer_free(&batch);
}

static void
the_first_batch_may_repeat(void)
{
	SluiceBuffer batch = {0};
	uint64_t	next = 5;

	put_record(&batch, 3, "three", NULL);
	is_text(read_batch(&batch, &next, false), "HOLE", "going back is a hole");
	put_record(&batch, 3, "three", NULL);
	is_text(read_batch(&batch, &next, true), "3 three", "but for the first batch of a call");
	ok(next == 4, "which says where to go on");
	put_record(&batch, 6, "six", NULL);
	is_text(read_batch(&batch, &next, true), "HOLE", "it cannot leave anything out either");
	put_gap(&batch, 0, 4, 1);
	is_text(read_batch(&batch, &next, true), "HOLE", "nor begin with 0");
	sluice_buffer_free(&batch);
}

static void
limits_are_kept(void)
{
	SluiceBuffer batch = {0};
	char		text[2049];
	uint64_t	next = 1;

	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	put_record(&batch, 1, text, NULL);
	ok(strlen(read_batch(&batch, &next, false)) > 500 && next == 2, "a record of the largest size");
	put_record(&batch, 2, text, "k");
	is_text(read_batch(&batch, &next, false), "TOO_LARGE", "its key counts");
	text[1024] = '\0';
	put_record(&batch, 2, "", text);
	ok(strlen(read_batch(&batch, &next, false)) > 500 && next == 3, "a key of the largest size");
	memset(text, 'x', 1025);
	text[1025] = '\0';
	put_record(&batch, 3, "", text);
	is_text(read_batch(&batch, &next, false), "MALFORMED", "a longer one");
	for (uint64_t i = 0; i < MAX_ENTRIES; i++)
		put_record(&batch, 3 + i, "", NULL);
	ok(strlen(read_batch(&batch, &next, false)) > 10 && next == 3 + MAX_ENTRIES, "as many records as are allowed");
	for (uint64_t i = 0; i < MAX_ENTRIES; i++)
		put_record(&batch, next + i, "", NULL);
	put_gap(&batch, next + MAX_ENTRIES, next + MAX_ENTRIES, 1);
	is_text(read_batch(&batch, &next, false), "TOO_LARGE", "gaps are counted as well");
	sluice_buffer_free(&batch);
}

static void
batches_may_be_malformed(void)
{
	SluiceBuffer batch = {0};
	uint64_t	next = 5;

	is_text(read_batch(&batch, &next, false), "MALFORMED", "an empty batch");
	put_gap(&batch, 5, 4, 1);
	is_text(read_batch(&batch, &next, false), "MALFORMED", "a gap that ends before it begins");
	put_gap(&batch, 5, 5, 0);
	is_text(read_batch(&batch, &next, false), "MALFORMED", "a gap without a reason");
	put_gap(&batch, 5, 5, SLUICE_GAP_REASONS + 1);
	is_text(read_batch(&batch, &next, false), "MALFORMED", "one with a reason that nobody knows");
	put_gap(&batch, 5, 5, 256 + 1);
	is_text(read_batch(&batch, &next, false), "MALFORMED", "one whose reason is large");
	put_bytes(&batch, 1, "\x08\x05\x12\x09short", 9);
	is_text(read_batch(&batch, &next, false), "MALFORMED", "a payload that is longer than its record");
	put_bytes(&batch, 1, "\x08\x05\x0b", 3);
	is_text(read_batch(&batch, &next, false), "MALFORMED", "a group without an end");
	put_int(&batch, 1, 5);
	is_text(read_batch(&batch, &next, false), "MALFORMED", "records that are no messages are none");
	put_int(&batch, 9, 5);
	put_bytes(&batch, 10, "of a later version", 18);
	put_record(&batch, 5, "five", NULL);
	is_text(read_batch(&batch, &next, false), "5 five", "fields that nobody knows are left out");
	sluice_buffer_free(&batch);
}

/* No prefix of a batch is read beyond its end, and none is taken for the whole. */
static void
batches_may_end_anywhere(void)
{
	SluiceBuffer batch = {0};
	SluiceBuffer request = {0};
	size_t		whole = 0;

	put_record(&batch, 5, "five", "key");
	put_gap(&batch, 6, 1000000, 2);
	put_record(&batch, 1000001, "six", NULL);
	put_message(&request, 2, &batch);
	for (size_t length = 0; length <= request.length; length++)
	{
		SluiceBuffer part = {.data = request.data,.length = length};
		uint8_t    *bytes = exact(&part);
		SluicePublication publication;
		const char *error;

		whole += sluice_publication_parse(bytes, length, &publication, &error) &&
			publication.kind == SLUICE_PUBLICATION_BATCH;
		free(bytes);
	}
	ok(whole == 1, "of all its prefixes only the whole request is a batch");
	sluice_buffer_free(&batch);
	sluice_buffer_free(&request);
}

/* ---- Open, Report ---- */

static void
put_open(SluiceBuffer *request, Sluice__V1__Open *open)
{
	SluiceBuffer body = {0};
	uint8_t		packed[2048];

	sluice_buffer_append(&body, packed, sluice__v1__open__pack(open, packed));
	put_message(request, 1, &body);
	sluice_buffer_free(&body);
}

/* "" where it is accepted; request is emptied. */
static const char *
read_open(SluiceBuffer *request, SluiceOpening *opening, SluiceProducer *producer, char *names, size_t size)
{
	uint8_t    *bytes = exact(request);
	SluicePublication publication;
	SluicePublicationNames found;
	const char *error = "";

	if (sluice_publication_parse(bytes, request->length, &publication, &error) &&
		sluice_publication_open(&publication, opening, producer, &found, &error))
		snprintf(names, size, "%.*s|%.*s", (int) found.stream_length, found.stream, (int) found.client_length, found.client);
	free(bytes);
	sluice_buffer_reset(request);
	return error;
}

static void
opens(void)
{
	static SluiceOpening opening;
	uint8_t		id[SLUICE_PRODUCER_SIZE] = "0123456789abcde";
	uint64_t	nonces[SLUICE_NONCES_MAX + 1] = {0};
	Sluice__V1__Open open = SLUICE__V1__OPEN__INIT;
	SluiceProducer producer;
	SluiceBuffer request = {0};
	char		names[64] = "";

	for (int i = 0; i < SLUICE_NONCES_MAX; i++)
		nonces[i] = UINT64_MAX - i;
	open.stream = "readings";
	open.client = "agent 1.0";
	open.producer_id = (ProtobufCBinaryData) {sizeof(id), id};
	open.stream_uid = (ProtobufCBinaryData) {sizeof(id), id};
	open.nonces = nonces;
	open.n_nonces = SLUICE_NONCES_MAX;
	open.sent = INT64_MAX;
	open.acked_through = 60;
	put_open(&request, &open);
	is_text(read_open(&request, &opening, &producer, names, sizeof(names)), "", "an Open with all it can have");
	is_text(names, "readings|agent 1.0", "its names");
	ok(opening.nnonces == SLUICE_NONCES_MAX && memcmp(opening.nonces, nonces, SLUICE_NONCES_MAX * sizeof(uint64_t)) == 0 &&
	   producer.nonce == nonces[SLUICE_NONCES_MAX - 1], "its nonces, the newest last");
	ok(opening.has_stream_uid && memcmp(opening.stream_uid, id, sizeof(id)) == 0 && memcmp(producer.id, id, sizeof(id)) == 0 &&
	   opening.sent == INT64_MAX && opening.acked_through == 60, "ids and numbers");

	open.n_nonces = SLUICE_NONCES_MAX + 1;
	put_open(&request, &open);
	ok(read_open(&request, &opening, &producer, names, sizeof(names))[0] != '\0', "a nonce too many");
	open.n_nonces = 0;
	put_open(&request, &open);
	is_text(read_open(&request, &opening, &producer, names, sizeof(names)), "Open has no nonces", "no nonce");
	open.n_nonces = 1;
	open.sent = 59;
	put_open(&request, &open);
	ok(read_open(&request, &opening, &producer, names, sizeof(names))[0] != '\0', "acknowledged beyond what was sent");
	open.sent = (uint64_t) INT64_MAX + 1;
	put_open(&request, &open);
	ok(read_open(&request, &opening, &producer, names, sizeof(names))[0] != '\0', "numbers that PostgreSQL does not have");
	open.sent = 60;
	open.stream_uid.len = 0;
	open.stream = "";
	put_open(&request, &open);
	ok(read_open(&request, &opening, &producer, names, sizeof(names))[0] == '\0' && !opening.has_stream_uid, "no stream_uid yet");
	open.stream_uid.len = SLUICE_UID_SIZE - 1;
	put_open(&request, &open);
	ok(read_open(&request, &opening, &producer, names, sizeof(names))[0] != '\0', "a stream_uid that is short");
	open.stream_uid.len = 0;
	open.producer_id.len = SLUICE_PRODUCER_SIZE - 1;
	put_open(&request, &open);
	ok(read_open(&request, &opening, &producer, names, sizeof(names))[0] != '\0', "a producer_id that is short");
	open.producer_id.len = 0;
	put_open(&request, &open);
	is_text(read_open(&request, &opening, &producer, names, sizeof(names)), "Open has no producer_id", "no producer_id");
	sluice_buffer_free(&request);
}

static void
nonces_may_come_one_by_one(void)
{
	static SluiceOpening opening;
	SluiceProducer producer;
	SluiceBuffer open = {0};
	SluiceBuffer request = {0};
	char		names[64];

	put_bytes(&open, 2, "0123456789abcdef", SLUICE_PRODUCER_SIZE);
	put_fixed(&open, 3, 7, 8);
	put_bytes(&open, 3, "\x08\0\0\0\0\0\0\0", 8);
	put_fixed(&open, 3, 9, 8);
	put_message(&request, 1, &open);
	ok(read_open(&request, &opening, &producer, names, sizeof(names))[0] == '\0' && opening.nnonces == 3 &&
	   opening.nonces[0] == 7 && opening.nonces[1] == 8 && producer.nonce == 9, "nonces that are not packed are read as well");
	put_bytes(&open, 2, "0123456789abcdef", SLUICE_PRODUCER_SIZE);
	put_bytes(&open, 3, "\x08\0\0\0\0\0\0\0\1", 9);
	put_message(&request, 1, &open);
	ok(read_open(&request, &opening, &producer, names, sizeof(names))[0] != '\0', "half of a nonce is none");
	sluice_buffer_free(&open);
	sluice_buffer_free(&request);
}

static void
reports(void)
{
	Sluice__V1__PublishRequest request = SLUICE__V1__PUBLISH_REQUEST__INIT;
	Sluice__V1__Report sent = SLUICE__V1__REPORT__INIT;
	SluicePublication publication;
	SluicePublicationReport report;
	const char *error;
	uint8_t		bytes[100];
	size_t		length;

	sent.buffered_records = UINT64_MAX;
	sent.buffered_bytes = 2;
	sent.oldest_age = 3;
	sent.clock = -4;
	request.request_case = SLUICE__V1__PUBLISH_REQUEST__REQUEST_REPORT;
	request.report = &sent;
	length = sluice__v1__publish_request__pack(&request, bytes);
	ok(sluice_publication_parse(bytes, length, &publication, &error) && publication.kind == SLUICE_PUBLICATION_REPORT &&
	   sluice_publication_report(&publication, &report, &error) && report.buffered_records == UINT64_MAX &&
	   report.buffered_bytes == 2 && report.oldest_age == 3 && report.clock == -4, "a report");
	publication.length--;
	ok(!sluice_publication_report(&publication, &report, &error), "half of one is refused");
	ok(sluice_publication_parse(NULL, 0, &publication, &error) && publication.kind == SLUICE_PUBLICATION_NONE,
	   "an empty message asks for nothing");
	ok(sluice_publication_parse((const uint8_t *) "\x4a\x01x", 3, &publication, &error) &&
	   publication.kind == SLUICE_PUBLICATION_NONE, "nor does a request of a later version");
}

/* ---- responses ---- */

static void
responses_are_read_by_others(void)
{
	static SluiceOpening opening;
	static uint8_t bytes[SLUICE_OPENED_SIZE_MAX];
	SluiceException exceptions[] = {{5, SLUICE_DUPLICATE}, {UINT64_MAX, SLUICE_DEAD_LETTERED}, {7, SLUICE_FILTERED}};
	Sluice__V1__PublishResponse *response;
	size_t		length;

	memset(&opening, 0xff, sizeof(opening));
	opening.ndead = SLUICE_DEAD_MAX;
	opening.last_is_gap = opening.more_dead = true;
	length = sluice_publication_opened(bytes, &opening, UINT64_MAX, &limits, UINT64_MAX);
	response = sluice__v1__publish_response__unpack(NULL, length, bytes);
	ok(response != NULL && length <= sizeof(bytes), "the largest Opened has %zu bytes", length);
	ok(response != NULL && response->opened->n_dead == SLUICE_DEAD_MAX && response->opened->dead[999] == UINT64_MAX &&
	   response->opened->last_is_gap && response->opened->more_dead && response->opened->last_crc == UINT32_MAX &&
	   response->opened->limits->record_bytes == 2048 && response->opened->limits->batch_records == MAX_ENTRIES &&
	   response->opened->limits->batch_bytes == UINT64_MAX, "with all that was put in");
	sluice__v1__publish_response__free_unpacked(response, NULL);

	memset(&opening, 0, sizeof(opening));
	length = sluice_publication_opened(bytes, &opening, 1, &limits, 1);
	response = sluice__v1__publish_response__unpack(NULL, length, bytes);
	ok(response != NULL && response->opened->last_sequence == 0 && response->opened->n_dead == 0 && response->opened->epoch == 1 &&
	   response->opened->stream_uid.len == SLUICE_UID_SIZE, "the smallest one too");
	sluice__v1__publish_response__free_unpacked(response, NULL);

	length = sluice_publication_ack(bytes, INT64_MAX, exceptions, 3);
	response = sluice__v1__publish_response__unpack(NULL, length, bytes);
	ok(response != NULL && length <= SLUICE_ACK_SIZE_MAX(3) && response->ack->through_sequence == INT64_MAX && response->ack->n_exceptions == 3 &&
	   response->ack->exceptions[0]->verdict == SLUICE__V1__VERDICT__VERDICT_DUPLICATE &&
	   response->ack->exceptions[1]->verdict == SLUICE__V1__VERDICT__VERDICT_DEAD_LETTERED &&
	   response->ack->exceptions[1]->sequence == UINT64_MAX &&
	   response->ack->exceptions[2]->verdict == SLUICE__V1__VERDICT__VERDICT_FILTERED, "an Ack with exceptions");
	sluice__v1__publish_response__free_unpacked(response, NULL);
	length = sluice_publication_ack(bytes, 3, NULL, 0);
	ok(length == 4 && memcmp(bytes, "\x12\x02\x08\x03", 4) == 0, "one without has four bytes");
}

int
main(void)
{
	batches_are_runs();
	holes_are_refused();
	the_first_batch_may_repeat();
	limits_are_kept();
	batches_may_be_malformed();
	batches_may_end_anywhere();
	opens();
	nonces_may_come_one_by_one();
	reports();
	responses_are_read_by_others();
	return finish();
}
