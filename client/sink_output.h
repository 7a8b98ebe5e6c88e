/*
 * sink_output.h
 *		Rows onto standard output.
 */
#ifndef SLUICE_SINK_OUTPUT_H
#define SLUICE_SINK_OUTPUT_H

#include "sink.h"

/* For the option's table. */
#define SLUICE_SINK_OUTPUT_FORMATS "ndjson|envelope|lines|protobuf|base64"

/* The encoding that the format is for, as the library's option, where the user has no other wish. */
extern const char *sluice_sink_output_encoding(const char *format);

/* format: one of these. */
extern SluiceSink *sluice_sink_output_create(const char *format);

#endif							/* SLUICE_SINK_OUTPUT_H */
