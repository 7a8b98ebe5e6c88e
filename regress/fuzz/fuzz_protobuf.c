/*
 * fuzz_protobuf.c
 *		libFuzzer: protobuf payloads by a rich descriptor, and descriptor sets.
 *
 * The first byte chooses.  0 to 2: the rest is a payload of test.Everything
 * (unknown fields refused, dropped, kept).  3: of a message most of whose
 * fields go to the overflow column.  4: of proto2's test.Legacy.  5: the rest
 * is a descriptor set, with a payload behind it (before the set one byte that
 * chooses the message type and the table, and two bytes of length).
 */
#include <stdlib.h>
#include <string.h>

#include "everything_columns.h"
#include "everything_descriptor.h"
#include "format.h"
#include "json_walk.h"
#include "legacy_descriptor.h"
#include "row.h"
#include "utf8.h"

int			LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX_COLUMNS (NEVERYTHING + 1)

static const SluiceColumn overflow = {"rest", SLUICE_COLUMN_JSONB, "jsonb", false, false, false};

typedef struct Bound
{
	SluiceFormat *format;
	SluiceColumn columns[MAX_COLUMNS];
	int			ncolumns;
} Bound;

static void
check_value(const SluiceValue *value)
{
	SluiceFormatError error;
	SluiceJsonWalk walk;
	SluiceJsonSlice slice;

	if (value->kind == SLUICE_VALUE_TEXT && !sluice_utf8_valid((const uint8_t *) value->bytes, value->length, true))
		abort();
	if (value->kind != SLUICE_VALUE_JSON)
		return;
	sluice_json_walk_start(&walk, value->bytes, value->length, &error);
	/* 100 messages with a list around each are deeper than what we read ourselves; all else must be JSON */
	if ((!sluice_json_walk_value(&walk, 0, &slice) || !sluice_json_walk_end(&walk)) && strcmp(error.sqlstate, "54001") != 0)
		abort();
}

static void
check_refusal(const SluiceFormatError *error)
{
	if (strncmp(error->sqlstate, "22", 2) != 0 && strncmp(error->sqlstate, "54", 2) != 0)
		abort();
	if (!sluice_utf8_valid((const uint8_t *) error->message, strlen(error->message), true))
		abort();
}

static void
try_payload(const Bound *bound, const uint8_t *payload, size_t length)
{
	SluiceValue values[MAX_COLUMNS];
	SluiceFormatError error = {0};
	SluiceBuffer out = {0};
	bool		is_binary = sluice_row_is_binary(bound->format, bound->columns, bound->ncolumns);

	if (!sluice_format_decode(bound->format, payload, length, values, &error))
	{
		check_refusal(&error);
		return;
	}
	for (int i = 0; i < bound->ncolumns; i++)
	{
		bool		is_null;

		check_value(&values[i]);
		if (values[i].kind == SLUICE_VALUE_DEFAULT)
			continue;
		out.length = 0;
		if (!sluice_row_text_field(&out, &bound->columns[i], &values[i], &is_null, &error))
			check_refusal(&error);
		if (is_binary && sluice_format_filled(bound->format, i) &&
			!sluice_row_binary_field(&out, &bound->columns[i], &values[i], &error))
			check_refusal(&error);
	}
	sluice_buffer_free(&out);
}

static void
bind_fixed(Bound *bound, int which)
{
	SluiceFormatOptions options = {.format = SLUICE_FORMAT_PROTOBUF,.message_type = "test.Everything",.overflow_column = -1};
	SluiceFormatError error;

	options.descriptor_set = sluice_everything_descriptor;
	options.descriptor_set_length = sluice_everything_descriptor_length;
	memcpy(bound->columns, everything_columns, sizeof(everything_columns));
	bound->ncolumns = NEVERYTHING;
	options.unknown = which == 1 ? SLUICE_UNKNOWN_IGNORE : which == 0 ? SLUICE_UNKNOWN_REJECT : SLUICE_UNKNOWN_OVERFLOW;
	if (which == 3)
		bound->ncolumns = 0;
	if (which == 4)
	{
		static const SluiceColumn legacy[] = {
			{"name", SLUICE_COLUMN_TEXT, "text", false, false, false}, {"count", SLUICE_COLUMN_INT2, "smallint", false, false, false},
			{"ratio", SLUICE_COLUMN_FLOAT4, "real", false, false, false}, {"part", SLUICE_COLUMN_JSONB, "jsonb", false, false, false}
		};

		options.message_type = "test.Legacy";
		options.descriptor_set = sluice_legacy_descriptor;
		options.descriptor_set_length = sluice_legacy_descriptor_length;
		memcpy(bound->columns, legacy, sizeof(legacy));
		bound->ncolumns = 4;
	}
	if (options.unknown == SLUICE_UNKNOWN_OVERFLOW)
	{
		options.overflow_column = bound->ncolumns;
		bound->columns[bound->ncolumns++] = overflow;
	}
	bound->format = sluice_format_bind(&options, bound->columns, bound->ncolumns, &error);
	if (bound->format == NULL)
		abort();
}

/* A descriptor set that nobody has checked, then a payload for what it describes. */
static void
try_descriptor(const uint8_t *data, size_t size)
{
	static const char *const names[] = {"a.M", "test.Everything", "test.Legacy", "test.Point", "M"};
	SluiceFormatOptions options = {.format = SLUICE_FORMAT_PROTOBUF,.unknown = SLUICE_UNKNOWN_OVERFLOW};
	SluiceFormatError error;
	SluiceBuffer out = {0};
	Bound		bound;
	size_t		length;

	if (size < 3)
		return;
	options.message_type = names[data[0] % 5];
	length = (size_t) data[1] << 8 | data[2];
	size -= 3;
	if (length > size)
		length = size;
	options.descriptor_set = data + 3;
	options.descriptor_set_length = length;
	memcpy(bound.columns, everything_columns, sizeof(everything_columns));
	bound.ncolumns = NEVERYTHING + 1;
	switch (data[0] / 5 % 3)
	{
		case 0:					/* fields that have a column go there, the others into the overflow column */
			options.overflow_column = NEVERYTHING;
			bound.columns[NEVERYTHING] = overflow;
			break;
		case 1:					/* all into the overflow column */
			options.overflow_column = 0;
			bound.columns[0] = overflow;
			bound.ncolumns = 1;
			break;
		default:
			(void) sluice_format_table_columns(&options, &out, &error);
			sluice_buffer_free(&out);
			return;
	}
	bound.format = sluice_format_bind(&options, bound.columns, bound.ncolumns, &error);
	if (bound.format == NULL)
		return;
	try_payload(&bound, data + 3 + length, size - length);
	sluice_format_free(bound.format);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static Bound fixed[5];
	int			which;

	if (size == 0)
		return 0;
	which = data[0] % 6;
	if (which == 5)
	{
		try_descriptor(data + 1, size - 1);
		return 0;
	}
	if (fixed[which].format == NULL)
		bind_fixed(&fixed[which], which);
	try_payload(&fixed[which], data + 1, size - 1);
	return 0;
}
