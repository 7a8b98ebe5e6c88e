/*
 * number.c
 *		Decimal numbers in text.
 */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "number.h"

#define is_digit(c) ((c) >= '0' && (c) <= '9')

size_t
sluice_number_scan(const char *data, size_t length)
{
	const char *at = data;
	const char *end = data + length;

	if (at < end && *at == '-')
		at++;
	if (at == end || !is_digit(*at))
		return 0;
	if (*at++ != '0')
	{
		while (at < end && is_digit(*at))
			at++;
	}
	if (at < end && *at == '.')
	{
		at++;
		if (at == end || !is_digit(*at))
			return 0;
		while (at < end && is_digit(*at))
			at++;
	}
	if (at < end && (*at == 'e' || *at == 'E'))
	{
		at++;
		if (at < end && (*at == '+' || *at == '-'))
			at++;
		if (at == end || !is_digit(*at))
			return 0;
		while (at < end && is_digit(*at))
			at++;
	}
	return (size_t) (at - data);
}

/* A JSON number taken apart: its significant digits lie between first and last, with a point among them perhaps. */
typedef struct Parts
{
	bool		negative;
	const char *first;			/* first digit that is not 0, or NULL: the number is zero */
	const char *last;			/* last digit that is not 0 */
	int64_t		ndigits;		/* from first to last, both included */
	int64_t		scale;			/* value = digits * 10^scale */
} Parts;

/* An exponent of more than nine digits acts as this; no number that long fits a buffer. */
#define EXPONENT_LIMIT INT64_C(10000000000)

static int64_t
read_exponent(const char *at, const char *end)
{
	bool		negative = false;
	int64_t		exponent = 0;

	if (at < end && (*at == '+' || *at == '-'))
		negative = *at++ == '-';
	for (; at < end; at++)
	{
		exponent = exponent * 10 + (*at - '0');
		if (exponent > EXPONENT_LIMIT)
			exponent = EXPONENT_LIMIT;
	}
	return negative ? -exponent : exponent;
}

static void
take_apart(const char *data, size_t length, Parts *parts)
{
	const char *end = data + length;
	const char *at = data;
	bool		fraction = false;
	int64_t		position = 0;	/* digits seen */
	int64_t		first_position = 0;
	int64_t		last_position = 0;
	int64_t		integral = 0;	/* digits before the point */

	memset(parts, 0, sizeof(Parts));
	if (at < end && *at == '-')
	{
		parts->negative = true;
		at++;
	}
	for (; at < end && *at != 'e' && *at != 'E'; at++)
	{
		if (*at == '.')
		{
			fraction = true;
			continue;
		}
		position++;
		if (!fraction)
			integral = position;
		if (*at == '0')
			continue;
		if (parts->first == NULL)
		{
			parts->first = at;
			first_position = position;
		}
		parts->last = at;
		last_position = position;
	}
	parts->ndigits = last_position - first_position + 1;
	parts->scale = integral - last_position;
	if (at < end)
		parts->scale += read_exponent(at + 1, end);
}

/* The integer without its sign. */
static SluiceNumberResult
read_magnitude(const Parts *parts, uint64_t *value)
{
	*value = 0;
	if (parts->first == NULL)
		return SLUICE_NUMBER_OK;
	if (parts->scale < 0)
		return SLUICE_NUMBER_NOT_INTEGRAL;
	if (parts->ndigits + parts->scale > 20)
		return SLUICE_NUMBER_OUT_OF_RANGE;
	for (const char *at = parts->first; at <= parts->last; at++)
	{
		if (*at == '.')
			continue;
		if (__builtin_mul_overflow(*value, 10, value) ||
			__builtin_add_overflow(*value, (uint64_t) (*at - '0'), value))
			return SLUICE_NUMBER_OUT_OF_RANGE;
	}
	for (int64_t i = 0; i < parts->scale; i++)
	{
		if (__builtin_mul_overflow(*value, 10, value))
			return SLUICE_NUMBER_OUT_OF_RANGE;
	}
	return SLUICE_NUMBER_OK;
}

SluiceNumberResult
sluice_number_to_int(const char *data, size_t length, int64_t *result)
{
	Parts		parts;
	uint64_t	value;
	SluiceNumberResult outcome;

	take_apart(data, length, &parts);
	*result = 0;
	outcome = read_magnitude(&parts, &value);
	if (outcome != SLUICE_NUMBER_OK)
		return outcome;
	if (value > (uint64_t) INT64_MAX + (parts.negative ? 1 : 0))
		return SLUICE_NUMBER_OUT_OF_RANGE;
	*result = parts.negative ? (int64_t) (0 - value) : (int64_t) value;
	return SLUICE_NUMBER_OK;
}

SluiceNumberResult
sluice_number_to_uint(const char *data, size_t length, uint64_t *result)
{
	Parts		parts;
	SluiceNumberResult outcome;

	take_apart(data, length, &parts);
	outcome = read_magnitude(&parts, result);
	if (outcome == SLUICE_NUMBER_OK && parts.negative && *result != 0)
		return SLUICE_NUMBER_OUT_OF_RANGE;
	return outcome;
}

/*
 * Numbers of few digits: where the digits are an integer below 2^53 and the
 * power of ten is exact in a double, one multiplication or division rounds
 * correctly (Clinger's fast path).
 */
static bool
read_short(const Parts *parts, double *result)
{
	static const double powers[] = {
		1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
		1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22
	};
	uint64_t	digits = 0;

	if (parts->first == NULL || parts->ndigits > 15 || parts->scale < -22 || parts->scale > 22)
		return false;
	for (const char *at = parts->first; at <= parts->last; at++)
	{
		if (*at != '.')
			digits = digits * 10 + (uint64_t) (*at - '0');
	}
	*result = parts->scale < 0 ? (double) digits / powers[-parts->scale] : (double) digits * powers[parts->scale];
	if (parts->negative)
		*result = -*result;
	return true;
}

SluiceNumberResult
sluice_number_to_real(const char *data, size_t length, bool single, double *result)
{
	char		local[64];
	char	   *text = local;
	Parts		parts;
	SluiceNumberResult outcome = SLUICE_NUMBER_OK;

	take_apart(data, length, &parts);
	/* FLT_EVAL_METHOD: no wider registers that would round twice */
	if (!single && FLT_EVAL_METHOD == 0 && read_short(&parts, result))
		return SLUICE_NUMBER_OK;
	if (length >= sizeof(local))
	{
		text = malloc(length + 1);
		if (text == NULL)
			return SLUICE_NUMBER_OUT_OF_RANGE;
	}
	memcpy(text, data, length);
	text[length] = '\0';
	*result = single ? (double) strtof(text, NULL) : strtod(text, NULL);
	if (text != local)
		free(text);
	if (isinf(*result))
		outcome = SLUICE_NUMBER_OUT_OF_RANGE;
	else if (*result == 0 && parts.first != NULL)
		outcome = SLUICE_NUMBER_OUT_OF_RANGE;
	return outcome;
}

int
sluice_number_from_real(char out[SLUICE_NUMBER_SIZE], double value, bool single)
{
	int			first = single ? 6 : 15;
	int			last = single ? 9 : 17;
	int			length = 0;

	if (isnan(value))
		return snprintf(out, SLUICE_NUMBER_SIZE, "NaN");
	if (isinf(value))
		return snprintf(out, SLUICE_NUMBER_SIZE, value < 0 ? "-Infinity" : "Infinity");
	for (int digits = first; digits <= last; digits++)
	{
		length = snprintf(out, SLUICE_NUMBER_SIZE, "%.*g", digits, value);
		if (single ? strtof(out, NULL) == (float) value : strtod(out, NULL) == value)
			break;
	}
	return length;
}

int
sluice_number_from_uint(char *out, uint64_t value)
{
	char		reversed[24];
	int			n = 0;

	do
	{
		reversed[n++] = (char) ('0' + value % 10);
		value /= 10;
	} while (value > 0);
	for (int i = 0; i < n; i++)
		out[i] = reversed[n - 1 - i];
	return n;
}

int
sluice_number_from_int(char *out, int64_t value)
{
	if (value >= 0)
		return sluice_number_from_uint(out, (uint64_t) value);
	out[0] = '-';
	return 1 + sluice_number_from_uint(out + 1, 0 - (uint64_t) value);
}
