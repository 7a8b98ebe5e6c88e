/*
 * envelope.c
 *		IngestDataRequest and IngestDataResponse on the wire, by hand.
 *
 * A cursor walks the bytes and never leaves them: every read asks first how
 * much is left, lengths are compared with what is left and never added to a
 * pointer.  Once a cursor has failed it stays failed.
 */
#include "envelope.h"

#include <string.h>

enum
{
	WIRE_VARINT = 0,
	WIRE_FIXED64 = 1,
	WIRE_BYTES = 2,
	WIRE_START_GROUP = 3,
	WIRE_END_GROUP = 4,
	WIRE_FIXED32 = 5
};

#define FIELD_KEY 1
#define FIELD_PAYLOAD 2

/* Unknown groups inside unknown groups; deeper ones are refused. */
#define GROUP_DEPTH_MAX 32

typedef struct Cursor
{
	const uint8_t *at;
	const uint8_t *end;
	const char *error;
} Cursor;

static bool
fail(Cursor *cursor, const char *error)
{
	if (cursor->error == NULL)
		cursor->error = error;
	return false;
}

static bool
read_varint(Cursor *cursor, uint64_t *value)
{
	uint64_t	result = 0;

	for (int shift = 0; shift < 70; shift += 7)
	{
		uint8_t		byte;

		if (cursor->at == cursor->end)
			return fail(cursor, "message ends inside a number");
		byte = *cursor->at++;
		if (shift == 63 && byte > 1)
			return fail(cursor, "number has more than 64 bits");
		result |= (uint64_t) (byte & 0x7f) << shift;
		if (byte < 0x80)
		{
			*value = result;
			return true;
		}
	}
	return fail(cursor, "number has more than ten bytes");
}

static bool
read_tag(Cursor *cursor, uint32_t *field, int *wire_type)
{
	uint64_t	tag;

	if (!read_varint(cursor, &tag))
		return false;
	if (tag > UINT32_MAX || (tag >> 3) == 0)
		return fail(cursor, "field number out of range");
	*field = (uint32_t) (tag >> 3);
	*wire_type = (int) (tag & 7);
	return true;
}

static bool
read_bytes(Cursor *cursor, const uint8_t **bytes, uint32_t *length)
{
	uint64_t	n;

	if (!read_varint(cursor, &n))
		return false;
	if (n > (size_t) (cursor->end - cursor->at) || n > UINT32_MAX)
		return fail(cursor, "field is longer than its message");
	*bytes = cursor->at;
	*length = (uint32_t) n;
	cursor->at += n;
	return true;
}

static bool
skip_fixed(Cursor *cursor, size_t n)
{
	if ((size_t) (cursor->end - cursor->at) < n)
		return fail(cursor, "message ends inside a field");
	cursor->at += n;
	return true;
}

/* One value that is neither the start nor the end of a group. */
static bool
skip_plain(Cursor *cursor, int wire_type)
{
	const uint8_t *bytes;
	uint32_t	length;
	uint64_t	value;

	switch (wire_type)
	{
		case WIRE_VARINT:
			return read_varint(cursor, &value);
		case WIRE_FIXED64:
			return skip_fixed(cursor, 8);
		case WIRE_BYTES:
			return read_bytes(cursor, &bytes, &length);
		case WIRE_FIXED32:
			return skip_fixed(cursor, 4);
		default:
			return fail(cursor, "unknown wire type");
	}
}

/* The rest of a group whose start was read. */
static bool
skip_group(Cursor *cursor, uint32_t field)
{
	uint32_t	open[GROUP_DEPTH_MAX];
	int			depth = 0;

	open[depth++] = field;
	while (depth > 0)
	{
		uint32_t	inner;
		int			wire_type;

		if (!read_tag(cursor, &inner, &wire_type))
			return false;
		if (wire_type == WIRE_START_GROUP)
		{
			if (depth == GROUP_DEPTH_MAX)
				return fail(cursor, "groups are nested too deeply");
			open[depth++] = inner;
		}
		else if (wire_type == WIRE_END_GROUP)
		{
			if (open[--depth] != inner)
				return fail(cursor, "group ends with another number than it began with");
		}
		else if (!skip_plain(cursor, wire_type))
			return false;
	}
	return true;
}

static bool
skip_unknown(Cursor *cursor, uint32_t field, int wire_type)
{
	if (wire_type == WIRE_START_GROUP)
		return skip_group(cursor, field);
	if (wire_type == WIRE_END_GROUP)
		return fail(cursor, "group ends that did not begin");
	return skip_plain(cursor, wire_type);
}

static bool
read_payload(Cursor *cursor, SluiceEnvelope *envelope)
{
	const uint8_t *bytes;
	uint32_t	length;

	if (!read_bytes(cursor, &bytes, &length))
		return false;
	if (envelope->payload_parts == 0)
		envelope->payload = bytes;
	/* Parts do not overlap, so that their sum is below the message's length. */
	envelope->payload_length += length;
	envelope->payload_parts++;
	return true;
}

bool
sluice_envelope_parse(const uint8_t *data, size_t length,
					  SluiceEnvelope *envelope, const char **error)
{
	Cursor		cursor = {data, data + length, NULL};

	memset(envelope, 0, sizeof(*envelope));
	if (length > UINT32_MAX)
		fail(&cursor, "message is too long");
	while (cursor.error == NULL && cursor.at < cursor.end)
	{
		uint32_t	field;
		int			wire_type;

		if (!read_tag(&cursor, &field, &wire_type))
			break;
		if (field != FIELD_KEY && field != FIELD_PAYLOAD)
			skip_unknown(&cursor, field, wire_type);
		else if (wire_type != WIRE_BYTES)
			fail(&cursor, field == FIELD_KEY ? "field 1 is not a string" : "field 2 is not a message");
		else if (field == FIELD_KEY)
			read_bytes(&cursor, &envelope->key, &envelope->key_length);
		else
			read_payload(&cursor, envelope);
	}
	*error = cursor.error;
	return cursor.error == NULL;
}

void
sluice_envelope_join(const uint8_t *data, size_t length, uint8_t *payload)
{
	Cursor		cursor = {data, data + length, NULL};
	uint32_t	field;
	int			wire_type;

	while (cursor.at < cursor.end && read_tag(&cursor, &field, &wire_type))
	{
		const uint8_t *bytes;
		uint32_t	n;

		if (field == FIELD_PAYLOAD && wire_type == WIRE_BYTES)
		{
			if (!read_bytes(&cursor, &bytes, &n))
				return;
			memcpy(payload, bytes, n);
			payload += n;
		}
		else if (!skip_unknown(&cursor, field, wire_type))
			return;
	}
}

static size_t
varint_size(size_t value)
{
	size_t		size = 1;

	while (value >= 0x80)
	{
		value >>= 7;
		size++;
	}
	return size;
}

size_t
sluice_envelope_answer_size(size_t key_length)
{
	size_t		size = 2;		/* the status */

	if (key_length > 0)
		size += 1 + varint_size(key_length) + key_length;
	return size;
}

void
sluice_envelope_answer(uint8_t *out, const void *key, size_t key_length, int status)
{
	if (key_length > 0)
	{
		size_t		rest = key_length;

		*out++ = FIELD_KEY << 3 | WIRE_BYTES;
		while (rest >= 0x80)
		{
			*out++ = (uint8_t) (rest | 0x80);
			rest >>= 7;
		}
		*out++ = (uint8_t) rest;
		memcpy(out, key, key_length);
		out += key_length;
	}
	*out++ = 2 << 3 | WIRE_VARINT;
	*out = (uint8_t) status;
}
