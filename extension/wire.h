/*
 * wire.h
 *		The protobuf wire format, walked by hand.
 *
 * Every function checks its bounds and returns false on what is not wire
 * format; none looks behind "end".  Inline: this is the inner loop of ingest.
 */
#ifndef SLUICE_WIRE_H
#define SLUICE_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef enum SluiceWireType
{
	SLUICE_WIRE_VARINT = 0,
	SLUICE_WIRE_FIXED64 = 1,
	SLUICE_WIRE_BYTES = 2,
	SLUICE_WIRE_GROUP = 3,
	SLUICE_WIRE_GROUP_END = 4,
	SLUICE_WIRE_FIXED32 = 5
} SluiceWireType;

#define SLUICE_WIRE_MAX_NUMBER ((UINT32_C(1) << 29) - 1)

/* Messages and groups within each other, as deep as protobuf's own parsers go. */
#define SLUICE_WIRE_DEPTH 100

typedef struct SluiceWire
{
	const uint8_t *at;
	const uint8_t *end;
} SluiceWire;

/* At most ten bytes; bits above the 64th are dropped, as all parsers do. */
static inline bool
sluice_wire_varint(SluiceWire *wire, uint64_t *value)
{
	const uint8_t *at = wire->at;
	const uint8_t *last = wire->end - at > 10 ? at + 10 : wire->end;
	uint64_t	result;
	unsigned	shift = 7;

	if (at == last)
		return false;
	result = *at++;
	if (result >= 0x80)
	{
		uint64_t	byte;

		result &= 0x7F;
		do
		{
			if (at == last)
				return false;
			byte = *at++;
			result |= (byte & 0x7F) << shift;
			shift += 7;
		} while (byte >= 0x80);
	}
	wire->at = at;
	*value = result;
	return true;
}

/* Field number and wire type. */
static inline bool
sluice_wire_tag(SluiceWire *wire, uint32_t *number, uint32_t *type)
{
	uint64_t	tag;

	if (!sluice_wire_varint(wire, &tag))
		return false;
	*number = (uint32_t) (tag >> 3);
	*type = (uint32_t) (tag & 7);
	return tag <= UINT32_MAX && *number != 0 && *type <= SLUICE_WIRE_FIXED32;
}

/* The wire is little-endian. */
static inline bool
sluice_wire_fixed32(SluiceWire *wire, uint32_t *value)
{
	if (wire->end - wire->at < 4)
		return false;
	memcpy(value, wire->at, 4);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	*value = __builtin_bswap32(*value);
#endif
	wire->at += 4;
	return true;
}

static inline bool
sluice_wire_fixed64(SluiceWire *wire, uint64_t *value)
{
	if (wire->end - wire->at < 8)
		return false;
	memcpy(value, wire->at, 8);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	*value = __builtin_bswap64(*value);
#endif
	wire->at += 8;
	return true;
}

/* A length and that many bytes, as a walk of their own. */
static inline bool
sluice_wire_bytes(SluiceWire *wire, SluiceWire *bytes)
{
	uint64_t	length;

	if (!sluice_wire_varint(wire, &length) || length > (uint64_t) (wire->end - wire->at))
		return false;
	bytes->at = wire->at;
	bytes->end = wire->at + length;
	wire->at += length;
	return true;
}

/* Pass a value that is no group. */
static inline bool
sluice_wire_skip_simple(SluiceWire *wire, uint32_t type)
{
	uint64_t	value;
	SluiceWire	bytes;

	switch (type)
	{
		case SLUICE_WIRE_VARINT:
			return sluice_wire_varint(wire, &value);
		case SLUICE_WIRE_FIXED64:
			return sluice_wire_fixed64(wire, &value);
		case SLUICE_WIRE_BYTES:
			return sluice_wire_bytes(wire, &bytes);
		case SLUICE_WIRE_FIXED32:
			if (wire->end - wire->at < 4)
				return false;
			wire->at += 4;
			return true;
		default:
			return false;
	}
}

/* Pass any value whose tag was read; a group with all within it. */
static inline bool
sluice_wire_skip(SluiceWire *wire, uint32_t number, uint32_t type)
{
	uint32_t	open[SLUICE_WIRE_DEPTH];
	int			level = 0;

	if (type != SLUICE_WIRE_GROUP)
		return sluice_wire_skip_simple(wire, type);
	open[level++] = number;
	while (level > 0)
	{
		if (!sluice_wire_tag(wire, &number, &type))
			return false;
		if (type == SLUICE_WIRE_GROUP)
		{
			if (level == SLUICE_WIRE_DEPTH)
				return false;
			open[level++] = number;
		}
		else if (type == SLUICE_WIRE_GROUP_END)
		{
			if (open[--level] != number)
				return false;
		}
		else if (!sluice_wire_skip_simple(wire, type))
			return false;
	}
	return true;
}

static inline int64_t
sluice_wire_zigzag(uint64_t value)
{
	return (int64_t) ((value >> 1) ^ (0 - (value & 1)));
}

#endif							/* SLUICE_WIRE_H */
