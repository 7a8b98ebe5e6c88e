/*
 * array_literal.h
 *		A PostgreSQL array literal, written element by element.
 */
#ifndef SLUICE_ARRAY_LITERAL_H
#define SLUICE_ARRAY_LITERAL_H

#include "format.h"

/* "{", and "{" as an element of an outer dimension. */
extern void sluice_array_literal_open(SluiceBuffer *out);
extern void sluice_array_literal_open_inner(SluiceBuffer *out);
extern void sluice_array_literal_close(SluiceBuffer *out);

/* One element: the comma before it, its text, quoted where it must be.  SLUICE_VALUE_NULL is NULL. */
extern bool sluice_array_literal_append(SluiceBuffer *out, const SluiceColumn *column,
										const SluiceValue *element, SluiceFormatError *error);

#endif							/* SLUICE_ARRAY_LITERAL_H */
