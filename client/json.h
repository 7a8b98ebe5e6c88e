/*
 * json.h
 *		Values in JSON, onto a file.
 */
#ifndef SLUICE_JSON_H
#define SLUICE_JSON_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* With its quotes; what is not UTF-8 becomes U+FFFD. */
extern void sluice_json_print_text(FILE *file, const char *text, size_t length);

/* Without quotes. */
extern void sluice_json_write_base64(FILE *file, const void *bytes, size_t length);

/* With its quotes. */
extern void sluice_json_print_base64(FILE *file, const void *bytes, size_t length);

/* With its quotes: 2026-01-31T23:59:59.123456Z from microseconds since 1970. */
extern void sluice_json_print_time(FILE *file, int64_t microseconds);

/* With its quotes: as a UUID. */
extern void sluice_json_print_uuid(FILE *file, const uint8_t bytes[16]);

#endif							/* SLUICE_JSON_H */
