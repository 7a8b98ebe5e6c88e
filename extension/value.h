/*
 * value.h
 *		A decoded value against the column that takes it: does it fit, and what
 *		is its text.
 *
 * All refusals of a value for its size are here, so that the binary row, the
 * text row and the elements of arrays are refused alike.
 */
#ifndef SLUICE_VALUE_H
#define SLUICE_VALUE_H

#include "format.h"

/* The integer for an int2, int4 or int8 column, from INT, UINT or NUMBER; false with 22003 or 22P02. */
extern bool sluice_value_to_int(const SluiceColumn *column, const SluiceValue *value,
								int64_t *result, SluiceFormatError *error);

/* The same for float4 and float8, from DOUBLE and FLOAT too.  An integer must be representable exactly. */
extern bool sluice_value_to_real(const SluiceColumn *column, const SluiceValue *value,
								 double *result, SluiceFormatError *error);

/* What the input function of the column's type (the type of its elements) reads.  Not for NULL and DEFAULT. */
extern bool sluice_value_append_text(SluiceBuffer *out, const SluiceColumn *column,
									 const SluiceValue *value, SluiceFormatError *error);

/* A uuid in any form that PostgreSQL reads. */
extern bool sluice_value_parse_uuid(const char *text, size_t length, uint8_t uuid[16]);

#endif							/* SLUICE_VALUE_H */
