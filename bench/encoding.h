/*
 * encoding.h
 *		A record as the bytes that a way into the table wants.
 */
#ifndef BENCH_ENCODING_H
#define BENCH_ENCODING_H

#include <stddef.h>
#include <stdint.h>

#include "records.h"

typedef struct Encoding
{
	char	   *data;
	size_t		length;
	size_t		room;
} Encoding;

/* The four columns as binary parameters, in network byte order. */
typedef struct EncodingColumns
{
	uint64_t	timestamp;
	uint64_t	temperature_celsius;
	uint64_t	humidity_percent;
} EncodingColumns;

extern void encoding_put(Encoding *to, const void *bytes, size_t length);
extern void encoding_put_int16(Encoding *to, int16_t value);
extern void encoding_put_int32(Encoding *to, int32_t value);
extern void encoding_columns(const BenchRecord *record, EncodingColumns *columns);

extern void encoding_copy_begin(Encoding *to);
extern void encoding_copy_end(Encoding *to);
extern void encoding_copy_key(Encoding *to, const BenchRecord *record);
extern void encoding_copy_row(Encoding *to, const BenchRecord *record);
extern void encoding_csv_key(Encoding *to, const BenchRecord *record);
extern void encoding_csv_row(Encoding *to, const BenchRecord *record);
extern void encoding_payload(Encoding *to, const BenchRecord *record);

#endif							/* BENCH_ENCODING_H */
