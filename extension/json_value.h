/*
 * json_value.h
 *		A JSON value as the value of a column.
 */
#ifndef SLUICE_JSON_VALUE_H
#define SLUICE_JSON_VALUE_H

#include "json_walk.h"

/* Where in_buffer is set the value's bytes are in the buffer, from start on; else they are in the payload. */
typedef struct SluiceJsonValue
{
	SluiceValue value;
	bool		in_buffer;
	size_t		start;
} SluiceJsonValue;

/* A value that has been walked, for the type of a column, or of its elements where that is an array. */
extern bool sluice_json_value_convert(const SluiceColumn *column, const SluiceJsonSlice *slice,
									  SluiceBuffer *buffer, SluiceJsonValue *out, SluiceFormatError *error);

/* An array as a literal for an array column.  unescaped is for the elements' text on its way. */
extern bool sluice_json_value_append_array(SluiceBuffer *out, SluiceBuffer *unescaped, const SluiceColumn *column,
										   const SluiceJsonSlice *slice, SluiceFormatError *error);

#endif							/* SLUICE_JSON_VALUE_H */
