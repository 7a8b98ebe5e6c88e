/*
 * little_endian.h
 *		Numbers as bytes of a file, the lowest first.
 */
#ifndef SLUICE_LIB_LITTLE_ENDIAN_H
#define SLUICE_LIB_LITTLE_ENDIAN_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

static inline uint8_t *
sluice_put_u32(uint8_t *out, uint32_t value)
{
	value = htole32(value);
	memcpy(out, &value, sizeof(value));
	return out + sizeof(value);
}

static inline uint8_t *
sluice_put_u64(uint8_t *out, uint64_t value)
{
	value = htole64(value);
	memcpy(out, &value, sizeof(value));
	return out + sizeof(value);
}

static inline uint32_t
sluice_get_u32(const uint8_t *in)
{
	uint32_t	value;

	memcpy(&value, in, sizeof(value));
	return le32toh(value);
}

static inline uint64_t
sluice_get_u64(const uint8_t *in)
{
	uint64_t	value;

	memcpy(&value, in, sizeof(value));
	return le64toh(value);
}

#endif							/* SLUICE_LIB_LITTLE_ENDIAN_H */
