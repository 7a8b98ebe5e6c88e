/*
 * demand.c
 *		SubscribeRequest, and Unsubscribe's messages, on the wire, by hand.
 */
#include "demand.h"

#include <stdlib.h>
#include <string.h>

#include "../utf8.h"
#include "../wire.h"

#define NAME_CHARACTERS_MAX 200

static const char malformed[] = "message is not a sluice.v1.SubscribeRequest: its fields do not add up";

static bool
fail(const char **error, const char *message)
{
	*error = message;
	return false;
}

/* Of several kinds in one message the last one counts, as in every oneof. */
bool
sluice_demand_parse(const uint8_t *data, size_t length, SluiceDemand *demand, const char **error)
{
	SluiceWire	wire = {data, data + length};

	memset(demand, 0, sizeof(*demand));
	while (wire.at < wire.end)
	{
		uint32_t	number;
		uint32_t	type;
		SluiceWire	body;

		if (!sluice_wire_tag(&wire, &number, &type))
			return fail(error, malformed);
		if (number > SLUICE_DEMAND_NACK || type != SLUICE_WIRE_BYTES)
		{
			if (!sluice_wire_skip(&wire, number, type))
				return fail(error, malformed);
			continue;
		}
		if (!sluice_wire_bytes(&wire, &body))
			return fail(error, malformed);
		demand->kind = (SluiceDemandKind) number;
		demand->body = body.at;
		demand->length = body.end - body.at;
	}
	return true;
}

/* ---- fields ---- */

/* More than any message here has. */
#define FIELDS_MAX 12

static const uint8_t nothing[1];

/* The fields of a message by their numbers; what was left out is 0, or nothing. */
typedef struct Fields
{
	uint64_t	number[FIELDS_MAX];
	SluiceWire	bytes[FIELDS_MAX];
} Fields;

/*
 * Read a message without looking into what is nested.  types has a letter for
 * each field, from number 1: v a varint, f a fixed64, b bytes, r a repeated
 * field, which is left to its own reader.
 */
static bool
read_fields(SluiceWire wire, const char *types, Fields *fields)
{
	const size_t known = strlen(types);

	memset(fields->number, 0, sizeof(fields->number));
	for (size_t i = 0; i < FIELDS_MAX; i++)
		fields->bytes[i] = (SluiceWire) {nothing, nothing};
	while (wire.at < wire.end)
	{
		uint32_t	number;
		uint32_t	type;
		char		expected;
		bool		read;

		if (!sluice_wire_tag(&wire, &number, &type))
			return false;
		expected = number <= known ? types[number - 1] : 'r';
		if (expected == 'v')
			read = type == SLUICE_WIRE_VARINT && sluice_wire_varint(&wire, &fields->number[number]);
		else if (expected == 'f')
			read = type == SLUICE_WIRE_FIXED64 && sluice_wire_fixed64(&wire, &fields->number[number]);
		else if (expected == 'b')
			read = type == SLUICE_WIRE_BYTES && sluice_wire_bytes(&wire, &fields->bytes[number]);
		else
			read = sluice_wire_skip(&wire, number, type);
		if (!read)
			return false;
	}
	return true;
}

static bool
is_there(const SluiceWire *bytes)
{
	return bytes->at != nothing;
}

static size_t
length_of(const SluiceWire *bytes)
{
	return bytes->end - bytes->at;
}

static SluiceWire
body_of(const SluiceDemand *demand)
{
	return (SluiceWire) {demand->body, demand->body + demand->length};
}

static bool
take_name(char name[SLUICE_WISH_NAME_SIZE], const SluiceWire *bytes, const char **error)
{
	size_t		length = length_of(bytes);
	size_t		characters = 0;

	if (length >= SLUICE_WISH_NAME_SIZE || !sluice_utf8_valid(bytes->at, length, true))
		return fail(error, "the name of a subscription is not valid: it has at most 200 characters, in UTF-8");
	for (size_t i = 0; i < length; i++)
		characters += (bytes->at[i] & 0xC0) != 0x80;
	if (characters > NAME_CHARACTERS_MAX)
		return fail(error, "the name of a subscription is not valid: it has at most 200 characters, in UTF-8");
	memcpy(name, bytes->at, length);
	name[length] = '\0';
	return true;
}

/* As much of a text as there is room for, cut off between characters. */
static void
take_text(char *out, size_t size, const SluiceWire *bytes)
{
	size_t		used = 0;

	for (const uint8_t *at = bytes->at; at < bytes->end;)
	{
		int			n = *at == '\0' ? 0 : sluice_utf8_length(at, bytes->end - at);
		size_t		step = n > 0 ? (size_t) n : 1;

		if (used + step >= size)
			break;
		if (n > 0)
			memcpy(out + used, at, step);
		else
			out[used] = '?';
		used += step;
		at += step;
	}
	out[used] = '\0';
}

/* ---- Subscribe ---- */

enum
{
	SUBSCRIBE_STREAM = 1,
	SUBSCRIBE_SUBSCRIPTION,
	SUBSCRIBE_CREATE,
	SUBSCRIBE_FROM,
	SUBSCRIBE_AFTER_OFFSET,
	SUBSCRIBE_SINCE,
	SUBSCRIBE_GUARANTEE,
	SUBSCRIBE_ENCODING,
	SUBSCRIBE_MAX_IN_FLIGHT,
	SUBSCRIBE_WANTS_START,
	SUBSCRIBE_CLIENT
};

#define ENCODING_MAX 3

/* A value that this server does not know must not be taken for the default. */
static bool
take_choice(uint8_t *choice, uint64_t value, uint32_t most, const char **error, const char *message)
{
	if ((uint32_t) value > most)
		return fail(error, message);
	*choice = (uint8_t) value;
	return true;
}

static uint32_t
in_flight(uint32_t wanted)
{
	if (wanted == 0)
		return SLUICE_IN_FLIGHT_DEFAULT;
	return wanted < SLUICE_IN_FLIGHT_MAX ? wanted : SLUICE_IN_FLIGHT_MAX;
}

bool
sluice_demand_subscribe(const SluiceDemand *demand, SluiceWish *wish,
						SluiceDemandStream *stream, const char **error)
{
	Fields		fields;
	const SluiceWire *name = &fields.bytes[SUBSCRIBE_STREAM];

	memset(wish, 0, sizeof(*wish));
	if (!read_fields(body_of(demand), "bbvvvvvvvvb", &fields))
		return fail(error, malformed);
	if (!take_name(wish->subscription, &fields.bytes[SUBSCRIBE_SUBSCRIPTION], error) ||
		!take_choice(&wish->from, fields.number[SUBSCRIBE_FROM], SLUICE_FROM_TIME, error,
					 "Subscribe.from is not known to this server") ||
		!take_choice(&wish->guarantee, fields.number[SUBSCRIBE_GUARANTEE], SLUICE_AT_MOST_ONCE, error,
					 "Subscribe.guarantee is not known to this server") ||
		!take_choice(&wish->encoding, fields.number[SUBSCRIBE_ENCODING], ENCODING_MAX, error,
					 "Subscribe.encoding is not known to this server"))
		return false;
	take_text(wish->client, sizeof(wish->client), &fields.bytes[SUBSCRIBE_CLIENT]);
	wish->create = fields.number[SUBSCRIBE_CREATE] != 0;
	wish->wants_start = fields.number[SUBSCRIBE_WANTS_START] != 0;
	wish->max_in_flight = in_flight((uint32_t) fields.number[SUBSCRIBE_MAX_IN_FLIGHT]);
	wish->after_offset = (int64_t) fields.number[SUBSCRIBE_AFTER_OFFSET];
	wish->since = (int64_t) fields.number[SUBSCRIBE_SINCE];
	*stream = (SluiceDemandStream) {(const char *) name->at, length_of(name)};
	return true;
}

/* ---- Start ---- */

enum
{
	START_EPOCH = 1,
	START_TOKEN,
	START_ACCEPT_FORK
};

enum
{
	TOKEN_STREAM_UID = 1,
	TOKEN_SYSTEM_IDENTIFIER,
	TOKEN_TIMELINE,
	TOKEN_LSN,
	TOKEN_OFFSET
};

static bool
take_token(SluiceToken *token, SluiceWire bytes, const char **error)
{
	Fields		fields;

	if (!read_fields(bytes, "bfvfv", &fields))
		return fail(error, malformed);
	if (length_of(&fields.bytes[TOKEN_STREAM_UID]) != SLUICE_UID_SIZE)
		return fail(error, "Token.stream_uid does not have 16 bytes");
	memcpy(token->stream_uid, fields.bytes[TOKEN_STREAM_UID].at, SLUICE_UID_SIZE);
	token->system_identifier = fields.number[TOKEN_SYSTEM_IDENTIFIER];
	token->timeline = (uint32_t) fields.number[TOKEN_TIMELINE];
	token->lsn = fields.number[TOKEN_LSN];
	token->offset = (int64_t) fields.number[TOKEN_OFFSET];
	return true;
}

/* An advance, and so many bytes behind it. */
static SluiceAdvance *
new_advance(SluiceAdvanceKind kind, size_t more, size_t *size)
{
	SluiceAdvance *advance = calloc(1, sizeof(SluiceAdvance) + more);

	*size = sizeof(SluiceAdvance) + more;
	if (advance != NULL)
		advance->kind = kind;
	return advance;
}

static SluiceAdvance *
read_start(SluiceWire body, size_t *size, const char **error)
{
	Fields		fields;
	SluiceToken token = {0};
	SluiceAdvance *advance;

	if (!read_fields(body, "fbv", &fields))
	{
		fail(error, malformed);
		return NULL;
	}
	if (is_there(&fields.bytes[START_TOKEN]) && !take_token(&token, fields.bytes[START_TOKEN], error))
		return NULL;
	advance = new_advance(SLUICE_ADVANCE_START, 0, size);
	if (advance == NULL)
		return NULL;
	advance->epoch = fields.number[START_EPOCH];
	advance->has_token = is_there(&fields.bytes[START_TOKEN]);
	advance->token = token;
	advance->accept_fork = fields.number[START_ACCEPT_FORK] != 0;
	return advance;
}

/* ---- Acknowledge ---- */

enum
{
	ACKNOWLEDGE_EPOCH = 1,
	ACKNOWLEDGE_OFFSET,
	ACKNOWLEDGE_REDRIVEN
};

static bool
read_number(SluiceWire *wire, int64_t *out, size_t *n)
{
	uint64_t	number;

	if (!sluice_wire_varint(wire, &number) || *n == SLUICE_ADVANCE_REDRIVEN_MAX)
		return false;
	if (out != NULL)
		out[*n] = (int64_t) number;
	++*n;
	return true;
}

/* Packed, as proto3 writes them, or one by one; only counted where out is NULL. */
static bool
read_redriven(SluiceWire wire, int64_t *out, size_t *n)
{
	*n = 0;
	while (wire.at < wire.end)
	{
		uint32_t	number;
		uint32_t	type;
		SluiceWire	packed;

		if (!sluice_wire_tag(&wire, &number, &type))
			return false;
		if (number != ACKNOWLEDGE_REDRIVEN)
		{
			if (!sluice_wire_skip(&wire, number, type))
				return false;
		}
		else if (type == SLUICE_WIRE_VARINT)
		{
			if (!read_number(&wire, out, n))
				return false;
		}
		else
		{
			if (type != SLUICE_WIRE_BYTES || !sluice_wire_bytes(&wire, &packed))
				return false;
			while (packed.at < packed.end)
				if (!read_number(&packed, out, n))
					return false;
		}
	}
	return true;
}

static SluiceAdvance *
read_acknowledge(SluiceWire body, size_t *size, const char **error)
{
	Fields		fields;
	SluiceAdvance *advance;
	size_t		n;

	if (!read_fields(body, "fvr", &fields))
	{
		fail(error, malformed);
		return NULL;
	}
	if (!read_redriven(body, NULL, &n))
	{
		fail(error, "Acknowledge.redriven is not valid: it has at most 1000 numbers");
		return NULL;
	}
	advance = new_advance(SLUICE_ADVANCE_ACKNOWLEDGE, n * sizeof(int64_t), size);
	if (advance == NULL)
		return NULL;
	advance->epoch = fields.number[ACKNOWLEDGE_EPOCH];
	advance->offset = (int64_t) fields.number[ACKNOWLEDGE_OFFSET];
	advance->redriven = (int64_t *) (advance + 1);
	(void) read_redriven(body, advance->redriven, &n);
	advance->nredriven = (uint32_t) n;
	return advance;
}

/* ---- Nack ---- */

enum
{
	NACK_EPOCH = 1,
	NACK_OFFSET,
	NACK_REDRIVE,
	NACK_REASON
};

static SluiceAdvance *
read_nack(SluiceWire body, size_t *size, const char **error)
{
	Fields		fields;
	const SluiceWire *reason = &fields.bytes[NACK_REASON];
	size_t		room;
	SluiceAdvance *advance;

	if (!read_fields(body, "fvvb", &fields))
	{
		fail(error, malformed);
		return NULL;
	}
	room = length_of(reason) < SLUICE_NACK_REASON_SIZE ? length_of(reason) + 1 : SLUICE_NACK_REASON_SIZE;
	advance = new_advance(SLUICE_ADVANCE_NACK, length_of(reason) > 0 ? room : 0, size);
	if (advance == NULL)
		return NULL;
	advance->epoch = fields.number[NACK_EPOCH];
	advance->offset = (int64_t) fields.number[NACK_OFFSET];
	advance->redrive = (int64_t) fields.number[NACK_REDRIVE];
	if (length_of(reason) > 0)
	{
		advance->reason = (char *) (advance + 1);
		take_text(advance->reason, room, reason);
	}
	return advance;
}

SluiceAdvance *
sluice_demand_advance(const SluiceDemand *demand, size_t *size, const char **error)
{
	*error = NULL;
	switch (demand->kind)
	{
		case SLUICE_DEMAND_START:
			return read_start(body_of(demand), size, error);
		case SLUICE_DEMAND_ACKNOWLEDGE:
			return read_acknowledge(body_of(demand), size, error);
		case SLUICE_DEMAND_NACK:
			return read_nack(body_of(demand), size, error);
		case SLUICE_DEMAND_NONE:
		case SLUICE_DEMAND_SUBSCRIBE:
			break;
	}
	fail(error, malformed);
	return NULL;
}

/* ---- Unsubscribe ---- */

enum
{
	UNSUBSCRIBE_SUBSCRIPTION = 1,
	UNSUBSCRIBE_EPOCH,
	UNSUBSCRIBE_DROP
};

bool
sluice_demand_unsubscribe(const uint8_t *data, size_t length, SluiceWish *wish, const char **error)
{
	Fields		fields;

	memset(wish, 0, sizeof(*wish));
	if (!read_fields((SluiceWire) {data, data + length}, "bfv", &fields))
		return fail(error, "message is not a sluice.v1.UnsubscribeRequest: its fields do not add up");
	if (!take_name(wish->subscription, &fields.bytes[UNSUBSCRIBE_SUBSCRIPTION], error))
		return false;
	if (wish->subscription[0] == '\0')
		return fail(error, "UnsubscribeRequest has no subscription");
	wish->epoch = fields.number[UNSUBSCRIBE_EPOCH];
	wish->drop = fields.number[UNSUBSCRIBE_DROP] != 0;
	return true;
}

size_t
sluice_demand_unsubscribed(uint8_t *out, bool dropped)
{
	/* False is the default, which is left out. */
	if (!dropped)
		return 0;
	out[0] = 1 << 3 | SLUICE_WIRE_VARINT;
	out[1] = 1;
	return 2;
}
