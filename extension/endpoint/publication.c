/*
 * publication.c
 *		PublishRequest and PublishResponse on the wire, by hand.
 */
#include "publication.h"

#include <stdlib.h>
#include <string.h>

#include "../wire.h"

#define KEY_LENGTH_MAX 1024

static const char malformed[] = "message is not a sluice.v1.PublishRequest: its fields do not add up";

static bool
fail(const char **error, const char *message)
{
	*error = message;
	return false;
}

static bool
fault_is(SluicePublicationFault *fault, const char *reason, const char *message)
{
	fault->reason = reason;
	fault->message = message;
	return false;
}

/* Of several kinds in one message the last one counts, as in every oneof. */
bool
sluice_publication_parse(const uint8_t *data, size_t length, SluicePublication *publication, const char **error)
{
	SluiceWire	wire = {data, data + length};

	memset(publication, 0, sizeof(*publication));
	while (wire.at < wire.end)
	{
		uint32_t	number;
		uint32_t	type;
		SluiceWire	body;

		if (!sluice_wire_tag(&wire, &number, &type))
			return fail(error, malformed);
		if (number > SLUICE_PUBLICATION_REPORT || type != SLUICE_WIRE_BYTES)
		{
			if (!sluice_wire_skip(&wire, number, type))
				return fail(error, malformed);
			continue;
		}
		if (!sluice_wire_bytes(&wire, &body))
			return fail(error, malformed);
		publication->kind = (SluicePublicationKind) number;
		publication->body = body.at;
		publication->length = body.end - body.at;
	}
	return true;
}

/* ---- Open ---- */

static bool
read_id(SluiceWire *wire, uint8_t *id)
{
	SluiceWire	bytes;

	if (!sluice_wire_bytes(wire, &bytes) || bytes.end - bytes.at != SLUICE_PRODUCER_SIZE)
		return false;
	memcpy(id, bytes.at, SLUICE_PRODUCER_SIZE);
	return true;
}

/* Empty and left out are the same. */
static bool
read_stream_uid(SluiceWire *wire, SluiceOpening *opening)
{
	SluiceWire	ahead = *wire;
	SluiceWire	bytes;

	if (!sluice_wire_bytes(&ahead, &bytes))
		return false;
	opening->has_stream_uid = bytes.end > bytes.at;
	if (opening->has_stream_uid)
		return read_id(wire, opening->stream_uid);
	*wire = ahead;
	return true;
}

static bool
add_nonce(SluiceOpening *opening, uint64_t nonce)
{
	if (opening->nnonces == SLUICE_NONCES_MAX)
		return false;
	opening->nonces[opening->nnonces++] = nonce;
	return true;
}

/* Packed, as proto3 writes it, or one by one. */
static bool
read_nonces(SluiceWire *wire, uint32_t type, SluiceOpening *opening)
{
	SluiceWire	packed;
	uint64_t	nonce;

	if (type == SLUICE_WIRE_FIXED64)
		return sluice_wire_fixed64(wire, &nonce) && add_nonce(opening, nonce);
	if (!sluice_wire_bytes(wire, &packed))
		return false;
	while (packed.at < packed.end)
		if (!sluice_wire_fixed64(&packed, &nonce) || !add_nonce(opening, nonce))
			return false;
	return true;
}

static bool
read_name(SluiceWire *wire, const char **name, uint32_t *length)
{
	SluiceWire	bytes;

	if (!sluice_wire_bytes(wire, &bytes) || (size_t) (bytes.end - bytes.at) > UINT32_MAX)
		return false;
	*name = (const char *) bytes.at;
	*length = (uint32_t) (bytes.end - bytes.at);
	return true;
}

/* False: no such field, or not of this type. */
static bool
read_open_field(SluiceWire *wire, uint32_t number, uint32_t type, SluiceOpening *opening,
				SluiceProducer *producer, SluicePublicationNames *names)
{
	switch (number)
	{
		case 1:
			return type == SLUICE_WIRE_BYTES && read_name(wire, &names->stream, &names->stream_length);
		case 2:
			return type == SLUICE_WIRE_BYTES && read_id(wire, producer->id);
		case 3:
			return (type == SLUICE_WIRE_BYTES || type == SLUICE_WIRE_FIXED64) && read_nonces(wire, type, opening);
		case 4:
			return type == SLUICE_WIRE_VARINT && sluice_wire_varint(wire, &opening->sent);
		case 5:
			return type == SLUICE_WIRE_VARINT && sluice_wire_varint(wire, &opening->acked_through);
		case 6:
			return type == SLUICE_WIRE_BYTES && read_stream_uid(wire, opening);
		case 7:
			return type == SLUICE_WIRE_BYTES && read_name(wire, &names->client, &names->client_length);
		default:
			return sluice_wire_skip(wire, number, type);
	}
}

bool
sluice_publication_open(const SluicePublication *publication, SluiceOpening *opening,
						SluiceProducer *producer, SluicePublicationNames *names, const char **error)
{
	static const uint8_t nobody[SLUICE_PRODUCER_SIZE];
	SluiceWire	wire = {publication->body, publication->body + publication->length};

	memset(opening, 0, sizeof(*opening));
	memset(producer, 0, sizeof(*producer));
	*names = (SluicePublicationNames) {.stream = "",.client = ""};
	while (wire.at < wire.end)
	{
		uint32_t	number;
		uint32_t	type;

		if (!sluice_wire_tag(&wire, &number, &type) ||
			!read_open_field(&wire, number, type, opening, producer, names))
			return fail(error, "Open is not valid: producer_id and stream_uid have 16 bytes, nonces are at most 64");
	}
	if (memcmp(producer->id, nobody, sizeof(nobody)) == 0)
		return fail(error, "Open has no producer_id");
	if (opening->nnonces == 0)
		return fail(error, "Open has no nonces");
	if (opening->sent > INT64_MAX || opening->acked_through > opening->sent)
		return fail(error, "Open is not valid: acked_through is above sent");
	producer->nonce = opening->nonces[opening->nnonces - 1];
	return true;
}

/* ---- Report ---- */

bool
sluice_publication_report(const SluicePublication *publication, SluicePublicationReport *report, const char **error)
{
	SluiceWire	wire = {publication->body, publication->body + publication->length};
	uint64_t	clock = 0;
	uint64_t   *fields[] = {&report->buffered_records, &report->buffered_bytes, &report->oldest_age, &clock};

	memset(report, 0, sizeof(*report));
	while (wire.at < wire.end)
	{
		uint32_t	number;
		uint32_t	type;

		if (!sluice_wire_tag(&wire, &number, &type))
			return fail(error, malformed);
		if (number <= 4 && type == SLUICE_WIRE_VARINT ? !sluice_wire_varint(&wire, fields[number - 1]) :
			!sluice_wire_skip(&wire, number, type))
			return fail(error, malformed);
	}
	report->clock = (int64_t) clock;
	return true;
}

/* ---- Batch ---- */

enum
{
	BATCH_RECORD = 1,
	BATCH_GAP = 2
};

/* The next entry of a batch: its number and bytes; number 0: the end, or *broken. */
static uint32_t
next_entry(SluiceWire *wire, SluiceWire *entry, bool *broken)
{
	while (wire->at < wire->end)
	{
		uint32_t	number;
		uint32_t	type;

		*broken = true;
		if (!sluice_wire_tag(wire, &number, &type))
			return 0;
		if (type == SLUICE_WIRE_BYTES && (number == BATCH_RECORD || number == BATCH_GAP))
		{
			*broken = !sluice_wire_bytes(wire, entry);
			return *broken ? 0 : number;
		}
		if (!sluice_wire_skip(wire, number, type))
			return 0;
	}
	*broken = false;
	return 0;
}

bool
sluice_publication_count(const SluicePublication *publication, const SluicePublicationLimits *limits,
						 size_t *n, SluicePublicationFault *fault)
{
	SluiceWire	wire = {publication->body, publication->body + publication->length};
	SluiceWire	entry;
	bool		broken = false;

	*n = 0;
	while (next_entry(&wire, &entry, &broken) != 0)
		if (++*n > limits->records)
			return fault_is(fault, "TOO_LARGE", "batch has more records and gaps than Opened.limits allows");
	if (broken)
		return fault_is(fault, "MALFORMED", malformed);
	if (*n == 0)
		return fault_is(fault, "MALFORMED", "batch is empty");
	return true;
}

static bool
read_record(SluiceWire wire, SluiceRecord *record)
{
	SluiceWire	bytes;

	record->kind = SLUICE_DATA;
	record->payload = (const uint8_t *) "";
	record->key_text = "";
	while (wire.at < wire.end)
	{
		uint32_t	number;
		uint32_t	type;

		if (!sluice_wire_tag(&wire, &number, &type))
			return false;
		if (number == 1 && type == SLUICE_WIRE_VARINT)
		{
			if (!sluice_wire_varint(&wire, &record->sequence))
				return false;
		}
		else if ((number == 2 || number == 3) && type == SLUICE_WIRE_BYTES)
		{
			if (!sluice_wire_bytes(&wire, &bytes) || (size_t) (bytes.end - bytes.at) > UINT32_MAX)
				return false;
			if (number == 2)
			{
				record->payload = bytes.at;
				record->payload_length = (uint32_t) (bytes.end - bytes.at);
			}
			else
			{
				record->key_text = (const char *) bytes.at;
				record->key_length = (uint32_t) (bytes.end - bytes.at);
			}
		}
		else if (!sluice_wire_skip(&wire, number, type))
			return false;
	}
	/* proto3 does not tell an empty payload from none; a record always has one. */
	record->has_payload = true;
	record->through = record->sequence;
	return true;
}

static bool
read_gap(SluiceWire wire, SluiceRecord *record)
{
	uint64_t	reason = 0;
	uint64_t   *fields[] = {&record->sequence, &record->through, &reason};

	record->kind = SLUICE_GAP;
	record->payload = (const uint8_t *) "";
	record->key_text = "";
	while (wire.at < wire.end)
	{
		uint32_t	number;
		uint32_t	type;

		if (!sluice_wire_tag(&wire, &number, &type))
			return false;
		if (number <= 3 && type == SLUICE_WIRE_VARINT ? !sluice_wire_varint(&wire, fields[number - 1]) :
			!sluice_wire_skip(&wire, number, type))
			return false;
	}
	record->reason = (uint8_t) reason;
	return reason >= 1 && reason <= SLUICE_GAP_REASONS && record->through >= record->sequence;
}

static int
compare_records(const void *a, const void *b)
{
	const SluiceRecord *x = a;
	const SluiceRecord *y = b;

	return (x->sequence > y->sequence) - (x->sequence < y->sequence);
}

static bool
check_order(SluiceRecord *records, size_t n, uint64_t *next, bool may_repeat, SluicePublicationFault *fault)
{
	uint64_t	expected = records[0].sequence;

	if (expected == 0 || (expected != *next && !(may_repeat && expected < *next)))
		return fault_is(fault, "HOLE", "batch does not begin behind the one before it");
	for (size_t i = 0; i < n; i++)
	{
		if (records[i].sequence != expected || records[i].through >= INT64_MAX)
			return fault_is(fault, "HOLE", "batch does not cover each of its sequences once");
		expected = records[i].through + 1;
	}
	*next = expected;
	return true;
}

bool
sluice_publication_batch(const SluicePublication *publication, const SluicePublicationLimits *limits,
						 SluiceRecord *records, size_t n, uint64_t *next, bool may_repeat,
						 SluicePublicationFault *fault)
{
	SluiceWire	wire = {publication->body, publication->body + publication->length};
	SluiceWire	entry;
	bool		broken = false;
	bool		ordered = true;
	uint64_t	last[BATCH_GAP + 1] = {0};	/* of the records, and of the gaps */
	size_t		bytes = 0;

	for (size_t i = 0; i < n; i++)
	{
		SluiceRecord *record = &records[i];
		uint32_t	number = next_entry(&wire, &entry, &broken);

		if (number == 0 || !(number == BATCH_RECORD ? read_record(entry, record) : read_gap(entry, record)))
			return fault_is(fault, "MALFORMED", "a record or a gap of the batch is not valid");
		if ((uint64_t) record->payload_length + record->key_length > limits->record_bytes)
			return fault_is(fault, "TOO_LARGE", "a record is larger than Opened.limits allows");
		if (record->key_length > KEY_LENGTH_MAX)
			return fault_is(fault, "MALFORMED", "a key has more than 1024 bytes");
		if (record->sequence <= last[number])
			return fault_is(fault, "HOLE", "records and gaps of a batch do not ascend");
		last[number] = record->sequence;
		ordered = ordered && (i == 0 || record->sequence > records[i - 1].sequence);
		bytes += (size_t) record->payload_length + record->key_length;
	}
	if (!ordered)
		qsort(records, n, sizeof(SluiceRecord), compare_records);
	if (!check_order(records, n, next, may_repeat, fault))
		return false;
	for (size_t i = 0; i < n; i++)
	{
		records[i].run = (uint32_t) n;
		records[i].at = (uint32_t) i;
	}
	records[0].run_bytes = (uint32_t) bytes;
	return true;
}

/* ---- responses ---- */

static uint8_t *
put_varint(uint8_t *out, uint64_t value)
{
	while (value >= 0x80)
	{
		*out++ = (uint8_t) (value | 0x80);
		value >>= 7;
	}
	*out++ = (uint8_t) value;
	return out;
}

/* A field that is not 0. */
static uint8_t *
put_number(uint8_t *out, uint32_t field, uint64_t value)
{
	if (value == 0)
		return out;
	out = put_varint(out, field << 3 | SLUICE_WIRE_VARINT);
	return put_varint(out, value);
}

static uint8_t *
put_bytes(uint8_t *out, uint32_t field, const void *bytes, size_t length)
{
	out = put_varint(out, field << 3 | SLUICE_WIRE_BYTES);
	out = put_varint(out, length);
	memcpy(out, bytes, length);
	return out + length;
}

/* Put the head of a message that begins at out and was written behind room for it; returns the end. */
#define HEAD_ROOM 11
static size_t
close_response(uint8_t *out, uint32_t field, uint8_t *end)
{
	size_t		length = end - (out + HEAD_ROOM);
	uint8_t		head[HEAD_ROOM];
	size_t		head_length;

	head_length = put_varint(put_varint(head, field << 3 | SLUICE_WIRE_BYTES), length) - head;
	memmove(out + head_length, out + HEAD_ROOM, length);
	memcpy(out, head, head_length);
	return head_length + length;
}

size_t
sluice_publication_opened(uint8_t *out, const SluiceOpening *opening, uint64_t epoch,
						  const SluicePublicationLimits *limits, uint64_t batch_bytes)
{
	uint8_t		packed[SLUICE_DEAD_MAX * 10];
	uint8_t		inner[40];
	uint8_t    *end = out + HEAD_ROOM;
	uint8_t    *last;

	end = put_number(end, 1, opening->last_sequence);
	end = put_varint(end, 2 << 3 | SLUICE_WIRE_FIXED32);
	for (int shift = 0; shift < 32; shift += 8)
		*end++ = (uint8_t) (opening->last_crc >> shift);
	end = put_number(end, 3, opening->last_is_gap);
	end = put_number(end, 4, epoch);
	end = put_bytes(end, 5, opening->uid, SLUICE_UID_SIZE);
	last = packed;
	for (int i = 0; i < opening->ndead; i++)
		last = put_varint(last, opening->dead[i]);
	if (last > packed)
		end = put_bytes(end, 6, packed, last - packed);
	end = put_number(end, 7, opening->more_dead);
	last = put_number(inner, 1, limits->record_bytes);
	last = put_number(last, 2, batch_bytes);
	last = put_number(last, 3, limits->records);
	end = put_bytes(end, 8, inner, last - inner);
	return close_response(out, 1, end);
}

static uint64_t
wire_verdict(SluiceVerdict verdict)
{
	switch (verdict)
	{
		case SLUICE_DUPLICATE:
			return 2;
		case SLUICE_DEAD_LETTERED:
			return 3;
		case SLUICE_FILTERED:
			return 4;
		default:
			return 1;
	}
}

size_t
sluice_publication_ack(uint8_t *out, uint64_t through, const SluiceException *exceptions, size_t nexceptions)
{
	uint8_t    *end = put_number(out + HEAD_ROOM, 1, through);

	for (size_t i = 0; i < nexceptions; i++)
	{
		uint8_t		inner[16];
		uint8_t    *last = put_number(inner, 1, exceptions[i].sequence);

		last = put_number(last, 2, wire_verdict(exceptions[i].verdict));
		end = put_bytes(end, 2, inner, last - inner);
	}
	return close_response(out, 2, end);
}
