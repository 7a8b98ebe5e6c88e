/*
 * json_write.h
 *		Writing JSON text.
 */
#ifndef SLUICE_JSON_WRITE_H
#define SLUICE_JSON_WRITE_H

#include "format.h"

/* text is valid UTF-8 */
extern void sluice_json_write_string(SluiceBuffer *out, const char *text, size_t length);
extern void sluice_json_write_base64(SluiceBuffer *out, const char *bytes, size_t length);

/* A number, or "NaN", "Infinity", "-Infinity" as strings. */
extern void sluice_json_write_real(SluiceBuffer *out, double value, bool single);

/* Decimal digits; quoted: as a string. */
extern void sluice_json_write_int(SluiceBuffer *out, int64_t value, bool quoted);
extern void sluice_json_write_uint(SluiceBuffer *out, uint64_t value, bool quoted);

#endif							/* SLUICE_JSON_WRITE_H */
