/*
 * utf8.h
 *		Validation of UTF-8 as PostgreSQL does it: no surrogates, nothing
 *		overlong, nothing above U+10FFFF.
 */
#ifndef SLUICE_UTF8_H
#define SLUICE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The length of the valid character at data (1 to 4), or 0. */
extern int	sluice_utf8_length(const uint8_t *data, size_t left);

/* Is all of it valid?  A NUL byte counts as invalid where "text" is set: no text of PostgreSQL can hold one. */
extern bool sluice_utf8_valid(const uint8_t *data, size_t length, bool text);

/* Encode a code point (a valid one); returns the number of bytes. */
extern int	sluice_utf8_encode(char out[4], uint32_t code);

#endif							/* SLUICE_UTF8_H */
