/*
 * sink_output.c
 *		Rows onto standard output.
 *
 * They are done with when they have left the program.
 */
#include "sink_output.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "memory.h"

#define BUFFER_BYTES ((size_t) 256 * 1024)

typedef void (*WriteRow) (const sluice_row *row);

typedef struct Output
{
	SluiceSink	sink;			/* first, for the casts */
	WriteRow	write;
	sluice_row	last;
	size_t		taken;
	int			error;			/* errno of the first write that failed; 0: none did */
} Output;

/* JSON may have line breaks between its values; within them they are escapes. */
static void
write_on_one_line(const sluice_row *row)
{
	const char *at = row->payload;
	const char *end = at + row->payload_length;

	while (at < end)
	{
		size_t		length = 0;

		while (at + length < end && at[length] != '\n' && at[length] != '\r')
			length++;
		fwrite(at, 1, length, stdout);
		if (at + length < end)
			putchar(' ');
		at += length + 1;
	}
}

static void
write_ndjson(const sluice_row *row)
{
	write_on_one_line(row);
	putchar('\n');
}

static void
write_envelope(const sluice_row *row)
{
	printf("{\"offset\":%" PRId64 ",\"attempts\":%u", row->offset, row->attempts);
	if (row->redrive != 0)
		printf(",\"redrive\":%" PRId64, row->redrive);
	if (row->encoding == SLUICE_ENCODING_JSON)
	{
		fputs(",\"row\":", stdout);
		write_on_one_line(row);
	}
	else
	{
		fputs(",\"payload\":", stdout);
		sluice_json_print_base64(stdout, row->payload, row->payload_length);
	}
	fputs("}\n", stdout);
}

static void
write_line(const sluice_row *row)
{
	fwrite(row->payload, 1, row->payload_length, stdout);
	putchar('\n');
}

static void
write_delimited(const sluice_row *row)
{
	uint64_t	length = row->payload_length;

	for (; length >= 0x80; length >>= 7)
		putchar((int) (length & 0x7F) | 0x80);
	putchar((int) length);
	fwrite(row->payload, 1, row->payload_length, stdout);
}

static void
write_base64(const sluice_row *row)
{
	sluice_json_write_base64(stdout, row->payload, row->payload_length);
	putchar('\n');
}

typedef struct Format
{
	const char *name;
	const char *encoding;
	WriteRow	write;
} Format;

static const Format formats[] = {
	{"ndjson", "json", write_ndjson},
	{"envelope", "json", write_envelope},
	{"lines", "stream", write_line},
	{"protobuf", "protobuf", write_delimited},
	{"base64", "stream", write_base64}
};

static const Format *
find_format(const char *name)
{
	const Format *format = formats;

	while (strcmp(format->name, name) != 0)
		format++;
	return format;
}

const char *
sluice_sink_output_encoding(const char *format)
{
	return find_format(format)->encoding;
}

static void
note_error(Output *output)
{
	if (ferror(stdout) && output->error == 0)
		output->error = errno != 0 ? errno : EIO;
}

static bool
take(SluiceSink *sink, const sluice_row *row)
{
	Output	   *output = (Output *) sink;

	errno = 0;
	output->write(row);
	note_error(output);
	output->last = *row;
	output->taken++;
	return output->error == 0;
}

static SluiceSinkOutcome
settle(SluiceSink *sink, SluiceSinkVerdict *verdict)
{
	Output	   *output = (Output *) sink;

	errno = 0;
	fflush(stdout);
	note_error(output);
	if (output->error != 0)
	{
		snprintf(verdict->message, sizeof(verdict->message), "could not write to standard output: %s",
				 strerror(output->error));
		return SLUICE_SINK_FAILED;
	}
	verdict->done = output->last;
	verdict->ndone = output->taken;
	output->taken = 0;
	return SLUICE_SINK_DONE;
}

static bool
pending(const SluiceSink *sink)
{
	return ((const Output *) sink)->taken > 0;
}

static void
free_output(SluiceSink *sink)
{
	free(sink);
}

SluiceSink *
sluice_sink_output_create(const char *format)
{
	static const SluiceSinkKind kind = {take, settle, pending, NULL, NULL, free_output};
	Output	   *output = sluice_memory_get_zeroed(sizeof(Output));

	output->sink.kind = &kind;
	output->write = find_format(format)->write;
	setvbuf(stdout, NULL, _IOFBF, BUFFER_BYTES);
	return &output->sink;
}
