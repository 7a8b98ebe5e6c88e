/*
 * instant.h
 *		Points and spans of time: ranges, and their text.
 *
 * A point is microseconds since 2000-01-01 UTC, as in PostgreSQL; a span is
 * microseconds.  protobuf's Timestamp and Duration are seconds (since 1970)
 * and nanoseconds.
 */
#ifndef SLUICE_INSTANT_H
#define SLUICE_INSTANT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* PostgreSQL's range: 4714-11-24 00:00:00 BC up to, not including, 294277-01-01. */
#define SLUICE_INSTANT_MIN INT64_C(-211813488000000000)
#define SLUICE_INSTANT_END INT64_C(9223371331200000000)

/* A Timestamp as a point; what is finer than a microsecond is cut toward the past.  False: out of range. */
extern bool sluice_instant_from_timestamp(int64_t seconds, int32_t nanos, int64_t *result);

/* A Duration as a span, cut toward zero.  False: out of protobuf's range, or the signs differ. */
extern bool sluice_instant_from_duration(int64_t seconds, int32_t nanos, int64_t *result);

/* All return the length, and put no NUL behind. */
#define SLUICE_INSTANT_SIZE 64

/* "2024-02-29 12:00:00.5+00", "4714-11-24 00:00:00+00 BC"; zone: with "+00" */
extern int	sluice_instant_point_text(char out[SLUICE_INSTANT_SIZE], int64_t point, bool zone);

/* "PT-1.5S": ISO 8601, as PostgreSQL's interval reads it */
extern int	sluice_instant_span_text(char out[SLUICE_INSTANT_SIZE], int64_t span);

/* protobuf's JSON: "2024-02-29T12:00:00.500Z" and "1.500s", to the nanosecond; 0 where JSON has no form for it. */
extern int	sluice_instant_timestamp_json(char out[SLUICE_INSTANT_SIZE], int64_t seconds, int32_t nanos);
extern int	sluice_instant_duration_json(char out[SLUICE_INSTANT_SIZE], int64_t seconds, int32_t nanos);

/* And back: RFC 3339 with any offset, and seconds with an "s" behind.  False: not of that form, or out of range. */
extern bool sluice_instant_parse_timestamp(const char *text, size_t length, int64_t *seconds, int32_t *nanos);
extern bool sluice_instant_parse_duration(const char *text, size_t length, int64_t *seconds, int32_t *nanos);

/* A point or span as protobuf's seconds and nanoseconds.  False: a span longer than protobuf's 10,000 years. */
extern void sluice_instant_to_timestamp(int64_t point, int64_t *seconds, int32_t *nanos);
extern bool sluice_instant_to_duration(int64_t span, int64_t *seconds, int32_t *nanos);

#endif							/* SLUICE_INSTANT_H */
