/*
 * publication.c
 *		The messages of Publish but for batches, as bytes.
 */
#include "publication.h"

#include <stdlib.h>
#include <string.h>

#include "../../extension/wire.h"
#include "program.h"
#include "sluice.pb-c.h"

/* Members of PublishResponse, Opened, Limits, Ack and Exception. */
enum
{
	RESPONSE_OPENED = 1,
	RESPONSE_ACK = 2,

	OPENED_LAST_SEQUENCE = 1,
	OPENED_LAST_CRC,
	OPENED_LAST_IS_GAP,
	OPENED_EPOCH,
	OPENED_STREAM_UID,
	OPENED_DEAD,
	OPENED_MORE_DEAD,
	OPENED_LIMITS,

	LIMITS_RECORD_BYTES = 1,
	LIMITS_BATCH_BYTES,
	LIMITS_BATCH_RECORDS,

	ACK_THROUGH = 1,
	ACK_EXCEPTIONS,

	EXCEPTION_SEQUENCE = 1,
	EXCEPTION_VERDICT
};

/* The tags as they lie on the wire, for switch. */
#define VARINT(number) ((number) << 3 | SLUICE_WIRE_VARINT)
#define FIXED32(number) ((number) << 3 | SLUICE_WIRE_FIXED32)
#define BYTES(number) ((number) << 3 | SLUICE_WIRE_BYTES)

/* ---- what is sent ---- */

size_t
sluice_publication_write_open(uint8_t out[SLUICE_PUBLICATION_MAX], const SluiceOpening *opening, const char *program)
{
	Sluice__V1__PublishRequest request = SLUICE__V1__PUBLISH_REQUEST__INIT;
	Sluice__V1__Open open = SLUICE__V1__OPEN__INIT;
	char		client[SLUICE_PROGRAM_ROOM];

	sluice_program_describe(client, program);
	open.stream = (char *) opening->stream;
	open.producer_id.data = (uint8_t *) opening->producer_id;
	open.producer_id.len = sizeof(opening->producer_id);
	open.nonces = (uint64_t *) opening->nonces;
	open.n_nonces = (size_t) opening->nnonces;
	open.sent = opening->sent;
	open.acked_through = opening->acked_through;
	if (opening->has_stream_uid)
	{
		open.stream_uid.data = (uint8_t *) opening->stream_uid;
		open.stream_uid.len = sizeof(opening->stream_uid);
	}
	open.client = client;
	request.request_case = SLUICE__V1__PUBLISH_REQUEST__REQUEST_OPEN;
	request.open = &open;
	return sluice__v1__publish_request__pack(&request, out);
}

size_t
sluice_publication_write_report(uint8_t out[SLUICE_PUBLICATION_MAX], const SluiceBacklogReport *report, int64_t clock)
{
	Sluice__V1__PublishRequest request = SLUICE__V1__PUBLISH_REQUEST__INIT;
	Sluice__V1__Report message = SLUICE__V1__REPORT__INIT;

	message.buffered_records = report->records;
	message.buffered_bytes = report->bytes;
	message.oldest_age = report->oldest_age;
	message.clock = clock;
	request.request_case = SLUICE__V1__PUBLISH_REQUEST__REQUEST_REPORT;
	request.report = &message;
	return sluice__v1__publish_request__pack(&request, out);
}

/* ---- what comes ---- */

/* Of a PublishResponse, the last member of the oneof, and only if it is this one. */
static bool
open_response(const uint8_t *bytes, size_t length, uint32_t wanted, SluiceWire *message)
{
	SluiceWire	wire = {bytes, bytes + length};
	uint32_t	number;
	uint32_t	type;
	uint32_t	found = 0;

	while (wire.at < wire.end)
	{
		if (!sluice_wire_tag(&wire, &number, &type))
			return false;
		if ((number == RESPONSE_OPENED || number == RESPONSE_ACK) && type == SLUICE_WIRE_BYTES)
		{
			found = number;
			if (!sluice_wire_bytes(&wire, message))
				return false;
		}
		else if (!sluice_wire_skip(&wire, number, type))
			return false;
	}
	return found == wanted;
}

static bool
read_bool(SluiceWire *wire, bool *value)
{
	uint64_t	number;

	if (!sluice_wire_varint(wire, &number))
		return false;
	*value = number != 0;
	return true;
}

static bool
read_uid(SluiceWire *wire, uint8_t uid[16], bool *there)
{
	SluiceWire	bytes;

	if (!sluice_wire_bytes(wire, &bytes) || bytes.end - bytes.at != 16)
		return false;
	memcpy(uid, bytes.at, 16);
	*there = true;
	return true;
}

static bool
read_limits(SluiceWire *wire, SluiceOpened *opened)
{
	SluiceWire	limits;
	uint32_t	number;
	uint32_t	type;
	uint64_t	records = opened->batch_records;
	bool		good = sluice_wire_bytes(wire, &limits);

	while (good && limits.at < limits.end)
	{
		if (!sluice_wire_tag(&limits, &number, &type))
			return false;
		switch (number << 3 | type)
		{
			case VARINT(LIMITS_RECORD_BYTES):
				good = sluice_wire_varint(&limits, &opened->record_bytes);
				break;
			case VARINT(LIMITS_BATCH_BYTES):
				good = sluice_wire_varint(&limits, &opened->batch_bytes);
				break;
			case VARINT(LIMITS_BATCH_RECORDS):
				good = sluice_wire_varint(&limits, &records);
				break;
			default:
				good = sluice_wire_skip(&limits, number, type);
		}
	}
	opened->batch_records = records > UINT32_MAX ? UINT32_MAX : (uint32_t) records;
	return good;
}

static bool
add_dead(SluiceWire *wire, SluiceOpened *opened, uint64_t dead[SLUICE_PUBLICATION_DEAD_MAX])
{
	uint64_t	sequence;

	if (opened->ndead == SLUICE_PUBLICATION_DEAD_MAX || !sluice_wire_varint(wire, &sequence) ||
		sequence <= (opened->ndead > 0 ? dead[opened->ndead - 1] : 0))
		return false;
	dead[opened->ndead++] = sequence;
	return true;
}

static bool
read_dead(SluiceWire *wire, SluiceOpened *opened, uint64_t dead[SLUICE_PUBLICATION_DEAD_MAX])
{
	SluiceWire	packed;
	bool		good = sluice_wire_bytes(wire, &packed);

	while (good && packed.at < packed.end)
		good = add_dead(&packed, opened, dead);
	return good;
}

static bool
read_opened_member(SluiceWire *wire, SluiceOpened *opened, uint64_t dead[SLUICE_PUBLICATION_DEAD_MAX], bool *has_uid)
{
	uint32_t	number;
	uint32_t	type;

	if (!sluice_wire_tag(wire, &number, &type))
		return false;
	switch (number << 3 | type)
	{
		case VARINT(OPENED_LAST_SEQUENCE):
			return sluice_wire_varint(wire, &opened->last_sequence);
		case FIXED32(OPENED_LAST_CRC):
			return sluice_wire_fixed32(wire, &opened->last_crc);
		case VARINT(OPENED_LAST_IS_GAP):
			return read_bool(wire, &opened->last_is_gap);
		case VARINT(OPENED_EPOCH):
			return sluice_wire_varint(wire, &opened->epoch);
		case BYTES(OPENED_STREAM_UID):
			return read_uid(wire, opened->stream_uid, has_uid);
		case BYTES(OPENED_DEAD):
			return read_dead(wire, opened, dead);
		case VARINT(OPENED_DEAD):
			return add_dead(wire, opened, dead);
		case VARINT(OPENED_MORE_DEAD):
			return read_bool(wire, &opened->more_dead);
		case BYTES(OPENED_LIMITS):
			return read_limits(wire, opened);
		default:
			return sluice_wire_skip(wire, number, type);
	}
}

bool
sluice_publication_read_opened(const uint8_t *bytes, size_t length, SluiceOpened *opened,
							   uint64_t dead[SLUICE_PUBLICATION_DEAD_MAX])
{
	SluiceWire	wire;
	bool		has_uid = false;

	memset(opened, 0, sizeof(*opened));
	opened->dead = dead;
	if (!open_response(bytes, length, RESPONSE_OPENED, &wire))
		return false;
	while (wire.at < wire.end)
	{
		if (!read_opened_member(&wire, opened, dead, &has_uid))
			return false;
	}
	return has_uid && opened->record_bytes > 0 && opened->batch_bytes > 0 && opened->batch_records > 0;
}

static bool
read_exception(SluiceWire *wire, SluiceSettled *exception)
{
	SluiceWire	message;
	uint32_t	number;
	uint32_t	type;
	uint64_t	verdict = 0;
	bool		good = sluice_wire_bytes(wire, &message);

	exception->sequence = 0;
	while (good && message.at < message.end)
	{
		if (!sluice_wire_tag(&message, &number, &type))
			return false;
		switch (number << 3 | type)
		{
			case VARINT(EXCEPTION_SEQUENCE):
				good = sluice_wire_varint(&message, &exception->sequence);
				break;
			case VARINT(EXCEPTION_VERDICT):
				good = sluice_wire_varint(&message, &verdict);
				break;
			default:
				good = sluice_wire_skip(&message, number, type);
		}
	}
	exception->verdict = (sluice_verdict) verdict;
	return good && verdict >= SLUICE_VERDICT_STORED && verdict <= SLUICE_VERDICT_FILTERED;
}

/* More room for what is ahead in the message: an exception that says something takes six bytes at least. */
static bool
make_room(SluicePublicationAck *ack, size_t ahead)
{
	size_t		room = ack->nexceptions + ahead / 6 + 1;
	SluiceSettled *larger;

	if (ack->nexceptions < ack->room)
		return true;
	if (room > ack->room * 2 + 64)
		room = ack->room * 2 + 64;
	larger = realloc(ack->exceptions, room * sizeof(SluiceSettled));
	if (larger == NULL)
		return false;
	ack->exceptions = larger;
	ack->room = room;
	return true;
}

static int
add_exception(SluiceWire *wire, SluicePublicationAck *ack)
{
	SluiceSettled *exception;

	if (!make_room(ack, (size_t) (wire->end - wire->at)))
		return SLUICE_ERROR_MEMORY;
	exception = &ack->exceptions[ack->nexceptions];
	if (!read_exception(wire, exception) ||
		exception->sequence <= (ack->nexceptions > 0 ? exception[-1].sequence : 0))
		return SLUICE_ERROR_PROTOCOL;
	ack->nexceptions++;
	return SLUICE_OK;
}

static int
read_ack_member(SluiceWire *wire, SluicePublicationAck *ack)
{
	uint32_t	number;
	uint32_t	type;
	bool		good;

	if (!sluice_wire_tag(wire, &number, &type))
		return SLUICE_ERROR_PROTOCOL;
	switch (number << 3 | type)
	{
		case VARINT(ACK_THROUGH):
			good = sluice_wire_varint(wire, &ack->through);
			break;
		case BYTES(ACK_EXCEPTIONS):
			return add_exception(wire, ack);
		default:
			good = sluice_wire_skip(wire, number, type);
	}
	return good ? SLUICE_OK : SLUICE_ERROR_PROTOCOL;
}

int
sluice_publication_read_ack(const uint8_t *bytes, size_t length, SluicePublicationAck *ack)
{
	SluiceWire	wire;
	int			code = SLUICE_OK;

	ack->through = 0;
	ack->nexceptions = 0;
	if (!open_response(bytes, length, RESPONSE_ACK, &wire))
		return SLUICE_ERROR_PROTOCOL;
	while (code == SLUICE_OK && wire.at < wire.end)
		code = read_ack_member(&wire, ack);
	return code;
}

void
sluice_publication_release_ack(SluicePublicationAck *ack)
{
	free(ack->exceptions);
	memset(ack, 0, sizeof(*ack));
}
