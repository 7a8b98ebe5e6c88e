/*
 * row.h
 *		Decoded values as a row of COPY's input, plain C.
 *
 * Binary where every column has a binary form that we write
 * (sluice_row_is_binary), else text.  Encoding is always UTF-8.
 */
#ifndef SLUICE_ROW_H
#define SLUICE_ROW_H

#include "format.h"

/* Can all these columns be written in COPY's binary format, whatever value the format yields? */
extern bool sluice_row_is_binary(const SluiceFormat *format, const SluiceColumn *columns, int ncolumns);

/*
 * Append one field.  False with *error set where the value does not fit the
 * column (22003 out of range, 22P02 ...); the caller then drops what it had
 * appended of the row.  SLUICE_VALUE_DEFAULT is the caller's to replace.
 */
extern bool sluice_row_binary_field(SluiceBuffer *out, const SluiceColumn *column,
									const SluiceValue *value, SluiceFormatError *error);

/* The same as the text that the column's input function reads, without COPY's escapes.  *is_null is set for NULL. */
extern bool sluice_row_text_field(SluiceBuffer *out, const SluiceColumn *column,
								  const SluiceValue *value, bool *is_null,
								  SluiceFormatError *error);

/* Append text to COPY's text format, escaped: backslash, tab, newline, carriage return. */
extern void sluice_row_escape(SluiceBuffer *out, const char *text, size_t length);

#endif							/* SLUICE_ROW_H */
