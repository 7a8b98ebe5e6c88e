/*
 * answer.c
 *		An ingestion.IngestDataResponse, as it came.
 *
 * Walked by hand, for there is one of it for every record.
 */
#include "answer.h"

#include <string.h>

#define FIELD_ACK_KEY 1
#define FIELD_STATUS 2

#define WIRE_VARINT 0
#define WIRE_FIXED64 1
#define WIRE_BYTES 2
#define WIRE_FIXED32 5

typedef struct Walk
{
	const uint8_t *at;
	const uint8_t *end;
} Walk;

static bool
walk_varint(Walk *walk, uint64_t *value)
{
	*value = 0;
	for (int shift = 0; shift < 64 && walk->at < walk->end; shift += 7)
	{
		uint8_t		byte = *walk->at++;

		*value |= (uint64_t) (byte & 0x7F) << shift;
		if (byte < 0x80)
			return true;
	}
	return false;
}

static bool
walk_bytes(Walk *walk, uint64_t length)
{
	if (length > (uint64_t) (walk->end - walk->at))
		return false;
	walk->at += length;
	return true;
}

static bool
skip_field(Walk *walk, unsigned wire_type)
{
	uint64_t	value;

	switch (wire_type)
	{
		case WIRE_VARINT:
			return walk_varint(walk, &value);
		case WIRE_FIXED64:
			return walk_bytes(walk, 8);
		case WIRE_BYTES:
			return walk_varint(walk, &value) && walk_bytes(walk, value);
		case WIRE_FIXED32:
			return walk_bytes(walk, 4);
		default:
			return false;
	}
}

bool
sluice_answer_decode(const uint8_t *bytes, size_t length, SluiceAnswer *answer)
{
	Walk		walk = {bytes, bytes + length};

	memset(answer, 0, sizeof(*answer));
	while (walk.at < walk.end)
	{
		uint64_t	tag;
		uint64_t	size;

		if (!walk_varint(&walk, &tag) || tag >> 3 == 0)
			return false;
		if (tag == (FIELD_ACK_KEY << 3 | WIRE_BYTES))
		{
			if (!walk_varint(&walk, &size) || !walk_bytes(&walk, size))
				return false;
			answer->key = walk.at - size;
			answer->key_length = (size_t) size;
		}
		else if (tag == (FIELD_STATUS << 3 | WIRE_VARINT))
		{
			if (!walk_varint(&walk, &answer->status))
				return false;
		}
		else if (!skip_field(&walk, (unsigned) (tag & 7)))
			return false;
	}
	return true;
}
