/*
 * format_error.h
 *		Filling a SluiceFormatError: printf, cut at a character's boundary.
 */
#ifndef SLUICE_FORMAT_ERROR_H
#define SLUICE_FORMAT_ERROR_H

#include "format.h"

/* Both return false, so that a function can say "return sluice_format_error_set(...)". */
extern bool sluice_format_error_set(SluiceFormatError *error, const char *sqlstate,
									const char *format,...) __attribute__((format(printf, 3, 4)));
extern bool sluice_format_error_hint(SluiceFormatError *error,
									 const char *format,...) __attribute__((format(printf, 2, 3)));

/* The failure of a buffer: 54000 where its limit was met, else 53200. */
extern bool sluice_format_error_buffer(SluiceFormatError *error, const SluiceBuffer *buffer);

/*
 * Content of a payload for a message: valid UTF-8 without control characters,
 * at most SLUICE_CLIP_SIZE - 1 bytes, "..." where it was cut.  Returns out.
 */
#define SLUICE_CLIP_SIZE 64
extern const char *sluice_format_error_clip(char out[SLUICE_CLIP_SIZE], const char *data, size_t length);

#endif							/* SLUICE_FORMAT_ERROR_H */
