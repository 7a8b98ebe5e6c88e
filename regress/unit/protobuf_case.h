/*
 * protobuf_case.h
 *		A protobuf payload being written, and what it is decoded to: for the tests of protobuf streams.
 */
#ifndef SLUICE_PROTOBUF_CASE_H
#define SLUICE_PROTOBUF_CASE_H

#include "everything_descriptor.h"
#include "format_case.h"
#include "ingestion_descriptor.h"
#include "legacy_descriptor.h"
#include "wire_writer.h"

#define EVERYTHING {.format = SLUICE_FORMAT_PROTOBUF, .message_type = "test.Everything", \
	.descriptor_set = sluice_everything_descriptor, \
	.descriptor_set_length = sluice_everything_descriptor_length, .overflow_column = -1}

static SluiceBuffer wire;		/* the payload being written; emptied by each check */
static SluiceBuffer inner;		/* a message within it */
static SluiceBuffer deeper;

static inline SluiceFormatOptions
options_of(const char *message_type)
{
	SluiceFormatOptions options = EVERYTHING;

	options.message_type = message_type;
	if (strncmp(message_type, "test.Legacy", 11) == 0 || strcmp(message_type, "test.Grouped") == 0)
	{
		options.descriptor_set = sluice_legacy_descriptor;
		options.descriptor_set_length = sluice_legacy_descriptor_length;
	}
	if (strncmp(message_type, "ingestion.", 10) == 0)
	{
		options.descriptor_set = sluice_ingestion_descriptor;
		options.descriptor_set_length = sluice_ingestion_descriptor_length;
	}
	return options;
}

/* The payload in memory of its own length, so that a checker of memory sees a read behind its end. */
static inline char *
take_exact(size_t *length)
{
	char	   *exact = malloc(wire.length > 0 ? wire.length : 1);

	*length = wire.length;
	if (wire.length > 0)
		memcpy(exact, wire.data, wire.length);
	sluice_buffer_reset(&wire);
	return exact;
}

/* Bind a message to columns, decode the payload, compare the row. */
static inline void
bound(const SluiceFormatOptions *options, const SluiceColumn *columns, int ncolumns,
	  const char *expected, const char *name)
{
	size_t		length;
	char	   *exact = take_exact(&length);
	char	   *shown = show_payload(options, columns, ncolumns, exact, length);

	if (expected[strlen(expected) - 1] == '*')
	{
		char	   *start = strdup(expected);

		start[strlen(start) - 1] = '\0';
		is_start(shown, start, name);
		free(start);
	}
	else
		is_text(shown, expected, name);
	free(shown);
	free(exact);
}

static inline void
free_payloads(void)
{
	sluice_buffer_free(&wire);
	sluice_buffer_free(&inner);
	sluice_buffer_free(&deeper);
}

#endif							/* SLUICE_PROTOBUF_CASE_H */
