/*
 * subscription.c
 *		The messages of Subscribe and Unsubscribe, as bytes.
 */
#include "subscription.h"

#include <string.h>

#include "program.h"
#include "sluice.pb-c.h"

/* Members of SubscribeResponse and of what is in it. */
enum
{
	RESPONSE_STANDBY = 1,
	RESPONSE_ACTIVE,
	RESPONSE_ROWS,
	RESPONSE_CAUGHT_UP,

	ACTIVE_EPOCH = 1,
	ACTIVE_POSITION,
	ACTIVE_TOKEN,
	ACTIVE_GUARANTEE,
	ACTIVE_ENCODING,

	TOKEN_STREAM_UID = 1,
	TOKEN_SYSTEM_IDENTIFIER,
	TOKEN_TIMELINE,
	TOKEN_LSN,
	TOKEN_OFFSET,

	ROWS_EPOCH = 1,
	ROWS_PREVIOUS,
	ROWS_TOKEN,
	ROWS_ROWS,

	ROW_OFFSET = 1,
	ROW_PAYLOAD,
	ROW_REDRIVE,
	ROW_ATTEMPTS,

	CAUGHT_UP_EPOCH = 1,
	CAUGHT_UP_OFFSET
};

/* The tags as they lie on the wire, for switch. */
#define VARINT(number) ((number) << 3 | SLUICE_WIRE_VARINT)
#define FIXED64(number) ((number) << 3 | SLUICE_WIRE_FIXED64)
#define BYTES(number) ((number) << 3 | SLUICE_WIRE_BYTES)

/* ---- what is sent ---- */

size_t
sluice_subscription_write_subscribe(uint8_t out[SLUICE_SUBSCRIPTION_MAX], const SluiceSettings *settings,
									const int64_t *resume)
{
	Sluice__V1__SubscribeRequest request = SLUICE__V1__SUBSCRIBE_REQUEST__INIT;
	Sluice__V1__Subscribe subscribe = SLUICE__V1__SUBSCRIBE__INIT;
	char		client[SLUICE_PROGRAM_ROOM];

	sluice_program_describe(client, settings->client);
	subscribe.stream = (char *) settings->stream;
	subscribe.subscription = (char *) settings->subscription;
	subscribe.create = settings->create;
	subscribe.from = (Sluice__V1__StartFrom) (settings->from + 1);
	subscribe.after_offset = settings->after_offset;
	subscribe.since = settings->since;
	if (resume != NULL)
	{
		subscribe.from = SLUICE__V1__START_FROM__FROM_OFFSET;
		subscribe.after_offset = *resume;
		subscribe.since = 0;
	}
	subscribe.guarantee = (Sluice__V1__Guarantee) settings->guarantee;
	subscribe.encoding = (Sluice__V1__Encoding) settings->encoding;
	subscribe.max_in_flight = (uint32_t) settings->max_in_flight;
	subscribe.wants_start = settings->wants_start;
	subscribe.client = client;
	request.request_case = SLUICE__V1__SUBSCRIBE_REQUEST__REQUEST_SUBSCRIBE;
	request.subscribe = &subscribe;
	return sluice__v1__subscribe_request__pack(&request, out);
}

static size_t
write_start(uint8_t *out, const SluiceReply *reply)
{
	Sluice__V1__SubscribeRequest request = SLUICE__V1__SUBSCRIBE_REQUEST__INIT;
	Sluice__V1__Start start = SLUICE__V1__START__INIT;
	Sluice__V1__Token token = SLUICE__V1__TOKEN__INIT;

	start.epoch = reply->epoch;
	start.accept_fork = reply->accept_fork;
	if (reply->has_token)
	{
		token.stream_uid.data = (uint8_t *) reply->token.stream_uid;
		token.stream_uid.len = sizeof(reply->token.stream_uid);
		token.system_identifier = reply->token.system_identifier;
		token.timeline = reply->token.timeline;
		token.lsn = reply->token.lsn;
		token.offset = reply->token.offset;
		start.token = &token;
	}
	request.request_case = SLUICE__V1__SUBSCRIBE_REQUEST__REQUEST_START;
	request.start = &start;
	return sluice__v1__subscribe_request__pack(&request, out);
}

static size_t
write_acknowledge(uint8_t *out, const SluiceReply *reply)
{
	Sluice__V1__SubscribeRequest request = SLUICE__V1__SUBSCRIBE_REQUEST__INIT;
	Sluice__V1__Acknowledge acknowledge = SLUICE__V1__ACKNOWLEDGE__INIT;

	acknowledge.epoch = reply->epoch;
	acknowledge.offset = reply->offset;
	acknowledge.redriven = (int64_t *) reply->redriven;
	acknowledge.n_redriven = reply->nredriven;
	request.request_case = SLUICE__V1__SUBSCRIBE_REQUEST__REQUEST_ACKNOWLEDGE;
	request.acknowledge = &acknowledge;
	return sluice__v1__subscribe_request__pack(&request, out);
}

static size_t
write_nack(uint8_t *out, const SluiceReply *reply)
{
	Sluice__V1__SubscribeRequest request = SLUICE__V1__SUBSCRIBE_REQUEST__INIT;
	Sluice__V1__Nack nack = SLUICE__V1__NACK__INIT;

	nack.epoch = reply->epoch;
	nack.offset = reply->redrive != 0 ? 0 : reply->offset;
	nack.redrive = reply->redrive;
	nack.reason = (char *) reply->reason;
	request.request_case = SLUICE__V1__SUBSCRIBE_REQUEST__REQUEST_NACK;
	request.nack = &nack;
	return sluice__v1__subscribe_request__pack(&request, out);
}

size_t
sluice_subscription_write_reply(uint8_t out[SLUICE_SUBSCRIPTION_MAX], const SluiceReply *reply)
{
	switch (reply->kind)
	{
		case SLUICE_REPLY_START:
			return write_start(out, reply);
		case SLUICE_REPLY_ACKNOWLEDGE:
			return write_acknowledge(out, reply);
		case SLUICE_REPLY_NACK:
			return write_nack(out, reply);
		case SLUICE_REPLY_NONE:
			break;
	}
	return 0;
}

size_t
sluice_subscription_write_unsubscribe(uint8_t out[SLUICE_SUBSCRIPTION_MAX], const SluiceSettings *settings, bool drop)
{
	Sluice__V1__UnsubscribeRequest request = SLUICE__V1__UNSUBSCRIBE_REQUEST__INIT;

	request.subscription = (char *) settings->subscription;
	request.drop = drop;
	return sluice__v1__unsubscribe_request__pack(&request, out);
}

/* ---- what comes ---- */

/* The last member of the oneof; NONE: there is none that we know.  False: no wire format. */
static bool
open_response(const uint8_t *bytes, size_t length, SluiceResponseKind *kind, SluiceWire *message)
{
	SluiceWire	wire = {bytes, bytes + length};
	uint32_t	number;
	uint32_t	type;

	*kind = SLUICE_RESPONSE_NONE;
	while (wire.at < wire.end)
	{
		if (!sluice_wire_tag(&wire, &number, &type))
			return false;
		if (number >= RESPONSE_STANDBY && number <= RESPONSE_CAUGHT_UP && type == SLUICE_WIRE_BYTES)
		{
			*kind = (SluiceResponseKind) number;
			if (!sluice_wire_bytes(&wire, message))
				return false;
		}
		else if (!sluice_wire_skip(&wire, number, type))
			return false;
	}
	return true;
}

static bool
read_int64(SluiceWire *wire, int64_t *value)
{
	uint64_t	number;

	if (!sluice_wire_varint(wire, &number))
		return false;
	*value = (int64_t) number;
	return true;
}

static bool
read_unsigned(SluiceWire *wire, unsigned *value)
{
	uint64_t	number;

	if (!sluice_wire_varint(wire, &number) || number > UINT32_MAX)
		return false;
	*value = (unsigned) number;
	return true;
}

static bool
read_uid(SluiceWire *wire, uint8_t uid[16])
{
	SluiceWire	bytes;

	if (!sluice_wire_bytes(wire, &bytes) || bytes.end - bytes.at != 16)
		return false;
	memcpy(uid, bytes.at, 16);
	return true;
}

static bool
read_token(SluiceWire *wire, sluice_token *token)
{
	SluiceWire	message;
	uint32_t	number;
	uint32_t	type;
	bool		good = sluice_wire_bytes(wire, &message);

	memset(token, 0, sizeof(*token));
	while (good && message.at < message.end)
	{
		if (!sluice_wire_tag(&message, &number, &type))
			return false;
		switch (number << 3 | type)
		{
			case BYTES(TOKEN_STREAM_UID):
				good = read_uid(&message, token->stream_uid);
				break;
			case FIXED64(TOKEN_SYSTEM_IDENTIFIER):
				good = sluice_wire_fixed64(&message, &token->system_identifier);
				break;
			case VARINT(TOKEN_TIMELINE):
				good = read_unsigned(&message, &token->timeline);
				break;
			case FIXED64(TOKEN_LSN):
				good = sluice_wire_fixed64(&message, &token->lsn);
				break;
			case VARINT(TOKEN_OFFSET):
				good = read_int64(&message, &token->offset);
				break;
			default:
				good = sluice_wire_skip(&message, number, type);
		}
	}
	return good;
}

static bool
read_active(SluiceWire wire, SluiceResponse *response)
{
	uint32_t	number;
	uint32_t	type;
	bool		good = true;

	while (good && wire.at < wire.end)
	{
		if (!sluice_wire_tag(&wire, &number, &type))
			return false;
		switch (number << 3 | type)
		{
			case FIXED64(ACTIVE_EPOCH):
				good = sluice_wire_fixed64(&wire, &response->epoch);
				break;
			case VARINT(ACTIVE_POSITION):
				good = read_int64(&wire, &response->offset);
				break;
			case BYTES(ACTIVE_TOKEN):
				good = read_token(&wire, &response->token);
				break;
			case VARINT(ACTIVE_GUARANTEE):
				good = read_unsigned(&wire, &response->guarantee);
				break;
			case VARINT(ACTIVE_ENCODING):
				good = read_unsigned(&wire, &response->encoding);
				break;
			default:
				good = sluice_wire_skip(&wire, number, type);
		}
	}
	return good && response->epoch != 0 && response->guarantee <= SLUICE__V1__GUARANTEE__AT_MOST_ONCE &&
		response->encoding >= SLUICE_ENCODING_JSON && response->encoding <= SLUICE_ENCODING_BYTES;
}

static bool
read_caught_up(SluiceWire wire, SluiceResponse *response)
{
	uint32_t	number;
	uint32_t	type;
	bool		good = true;

	while (good && wire.at < wire.end)
	{
		if (!sluice_wire_tag(&wire, &number, &type))
			return false;
		switch (number << 3 | type)
		{
			case FIXED64(CAUGHT_UP_EPOCH):
				good = sluice_wire_fixed64(&wire, &response->epoch);
				break;
			case VARINT(CAUGHT_UP_OFFSET):
				good = read_int64(&wire, &response->offset);
				break;
			default:
				good = sluice_wire_skip(&wire, number, type);
		}
	}
	return good;
}

static bool
read_row(SluiceWire wire, sluice_row *row)
{
	SluiceWire	payload;
	uint32_t	number;
	uint32_t	type;
	bool		good = true;

	row->offset = 0;
	row->redrive = 0;
	row->attempts = 0;
	row->payload = wire.at;
	row->payload_length = 0;
	while (good && wire.at < wire.end)
	{
		if (!sluice_wire_tag(&wire, &number, &type))
			return false;
		switch (number << 3 | type)
		{
			case VARINT(ROW_OFFSET):
				good = read_int64(&wire, &row->offset);
				break;
			case BYTES(ROW_PAYLOAD):
				good = sluice_wire_bytes(&wire, &payload);
				if (!good)
					return false;
				row->payload = payload.at;
				row->payload_length = (size_t) (payload.end - payload.at);
				break;
			case VARINT(ROW_REDRIVE):
				good = read_int64(&wire, &row->redrive);
				break;
			case VARINT(ROW_ATTEMPTS):
				good = read_unsigned(&wire, &row->attempts);
				break;
			default:
				good = sluice_wire_skip(&wire, number, type);
		}
	}
	return good;
}

/* All but the rows. */
static bool
read_rows_members(SluiceWire wire, SluiceResponse *response)
{
	uint32_t	number;
	uint32_t	type;
	bool		good = true;

	while (good && wire.at < wire.end)
	{
		if (!sluice_wire_tag(&wire, &number, &type))
			return false;
		switch (number << 3 | type)
		{
			case FIXED64(ROWS_EPOCH):
				good = sluice_wire_fixed64(&wire, &response->epoch);
				break;
			case VARINT(ROWS_PREVIOUS):
				good = read_int64(&wire, &response->previous);
				break;
			case BYTES(ROWS_TOKEN):
				good = read_token(&wire, &response->token);
				break;
			default:
				good = sluice_wire_skip(&wire, number, type);
		}
	}
	return good;
}

/* Each row is one, and those that count come in order. */
static bool
check_rows(SluiceResponse *response)
{
	SluiceWire	wire = response->rows;
	SluiceWire	message;
	sluice_row	row;
	uint32_t	number;
	uint32_t	type;

	response->last = response->previous;
	while (wire.at < wire.end)
	{
		if (!sluice_wire_tag(&wire, &number, &type))
			return false;
		if (number != ROWS_ROWS || type != SLUICE_WIRE_BYTES)
		{
			if (!sluice_wire_skip(&wire, number, type))
				return false;
			continue;
		}
		if (!sluice_wire_bytes(&wire, &message) || !read_row(message, &row))
			return false;
		response->nrows++;
		if (row.redrive != 0)
			continue;
		if (row.offset <= response->last)
			return false;
		response->last = row.offset;
	}
	return true;
}

bool
sluice_subscription_read(const uint8_t *bytes, size_t length, SluiceResponse *response)
{
	SluiceWire	wire = {NULL, NULL};

	memset(response, 0, sizeof(*response));
	if (!open_response(bytes, length, &response->kind, &wire))
		return false;
	switch (response->kind)
	{
		case SLUICE_RESPONSE_ACTIVE:
			return read_active(wire, response);
		case SLUICE_RESPONSE_ROWS:
			response->rows = wire;
			return read_rows_members(wire, response) && check_rows(response);
		case SLUICE_RESPONSE_CAUGHT_UP:
			return read_caught_up(wire, response);
		case SLUICE_RESPONSE_STANDBY:
		case SLUICE_RESPONSE_NONE:
			break;
	}
	return true;
}

bool
sluice_subscription_next_row(SluiceWire *rows, sluice_row *row)
{
	SluiceWire	message;
	uint32_t	number;
	uint32_t	type;

	while (rows->at < rows->end && sluice_wire_tag(rows, &number, &type))
	{
		if (number == ROWS_ROWS && type == SLUICE_WIRE_BYTES)
			return sluice_wire_bytes(rows, &message) && read_row(message, row);
		if (!sluice_wire_skip(rows, number, type))
			return false;
	}
	return false;
}
