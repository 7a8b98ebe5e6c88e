/*
 * number.h
 *		Decimal numbers in text: JSON's grammar, exact conversion to integers,
 *		and the shortest text of a double.
 *
 * Printing and reading of floating point follows LC_NUMERIC, which is "C" in
 * every PostgreSQL process.
 */
#ifndef SLUICE_NUMBER_H
#define SLUICE_NUMBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum SluiceNumberResult
{
	SLUICE_NUMBER_OK,
	SLUICE_NUMBER_NOT_INTEGRAL,
	SLUICE_NUMBER_OUT_OF_RANGE
} SluiceNumberResult;

/* The length of the JSON number at the beginning of data, 0 where there is none. */
extern size_t sluice_number_scan(const char *data, size_t length);

/* The integer that a JSON number is exactly: 12, 12.00 and 0.12e2 are 12, 12.5 is none. */
extern SluiceNumberResult sluice_number_to_int(const char *data, size_t length, int64_t *result);
extern SluiceNumberResult sluice_number_to_uint(const char *data, size_t length, uint64_t *result);

/* The double (or, with single, the float) next to a JSON number; out of range where it over- or underflows. */
extern SluiceNumberResult sluice_number_to_real(const char *data, size_t length, bool single, double *result);

/* The shortest text that reads back as the same value: "NaN", "Infinity" and "-Infinity" too.  Returns its length. */
#define SLUICE_NUMBER_SIZE 40
extern int	sluice_number_from_real(char out[SLUICE_NUMBER_SIZE], double value, bool single);

/* Decimal digits, at most 20 and a sign.  They return the length and put no NUL behind. */
extern int	sluice_number_from_int(char *out, int64_t value);
extern int	sluice_number_from_uint(char *out, uint64_t value);

#endif							/* SLUICE_NUMBER_H */
