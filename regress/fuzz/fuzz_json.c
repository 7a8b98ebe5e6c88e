/*
 * fuzz_json.c
 *		libFuzzer: JSON payloads against a table of every type, in text and in binary.
 *
 * The first byte chooses what becomes of unknown members; the rest is the payload.
 */
#include <stdlib.h>
#include <string.h>

#include "format.h"
#include "json_walk.h"
#include "row.h"
#include "utf8.h"

int			LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define COLUMN(name, type) {name, type, #type, false, false, false}
#define ARRAY(name, type) {name, type, #type, true, false, false}

/* The last one takes what is unknown; before it the types without binary form. */
static const SluiceColumn columns[] = {
	COLUMN("b", SLUICE_COLUMN_BOOL), COLUMN("i2", SLUICE_COLUMN_INT2), COLUMN("i4", SLUICE_COLUMN_INT4),
	COLUMN("i8", SLUICE_COLUMN_INT8), COLUMN("f4", SLUICE_COLUMN_FLOAT4), COLUMN("f8", SLUICE_COLUMN_FLOAT8),
	COLUMN("t", SLUICE_COLUMN_TEXT), COLUMN("y", SLUICE_COLUMN_BYTEA), COLUMN("j", SLUICE_COLUMN_JSON),
	COLUMN("jb", SLUICE_COLUMN_JSONB), COLUMN("u", SLUICE_COLUMN_UUID),
	COLUMN("n", SLUICE_COLUMN_NUMERIC), COLUMN("tz", SLUICE_COLUMN_TIMESTAMPTZ), COLUMN("o", SLUICE_COLUMN_OTHER),
	ARRAY("ai", SLUICE_COLUMN_INT4), ARRAY("at", SLUICE_COLUMN_TEXT), ARRAY("aj", SLUICE_COLUMN_JSONB),
	ARRAY("ay", SLUICE_COLUMN_BYTEA), COLUMN("rest", SLUICE_COLUMN_JSONB)
};

#define NCOLUMNS ((int) (sizeof(columns) / sizeof(columns[0])))
#define NBINARY 11

/* What must hold of a value whatever was sent. */
static void
check_value(const SluiceColumn *column, const SluiceValue *value)
{
	SluiceFormatError error;
	SluiceJsonWalk walk;
	SluiceJsonSlice slice;

	if (value->kind == SLUICE_VALUE_TEXT && !sluice_utf8_valid((const uint8_t *) value->bytes, value->length, true))
		abort();
	if (value->kind != SLUICE_VALUE_JSON)
		return;
	sluice_json_walk_start(&walk, value->bytes, value->length, &error);
	if (!sluice_json_walk_value(&walk, 0, &slice) || !sluice_json_walk_end(&walk))
		abort();
	if (column->type == SLUICE_COLUMN_JSONB && slice.nul)
		abort();
}

static void
try_payload(SluiceFormat *format, int ncolumns, const uint8_t *payload, size_t length)
{
	SluiceValue values[NCOLUMNS];
	SluiceFormatError error = {0};
	SluiceBuffer out = {0};
	bool		is_binary = sluice_row_is_binary(format, columns, ncolumns);

	if (!sluice_format_decode(format, payload, length, values, &error))
	{
		if (strncmp(error.sqlstate, "22", 2) != 0 && strncmp(error.sqlstate, "54", 2) != 0)
			abort();
		if (!sluice_utf8_valid((const uint8_t *) error.message, strlen(error.message), true))
			abort();
		return;
	}
	for (int i = 0; i < ncolumns; i++)
	{
		bool		is_null;

		check_value(&columns[i], &values[i]);
		if (values[i].kind == SLUICE_VALUE_DEFAULT)
			continue;
		out.length = 0;
		if (!sluice_row_text_field(&out, &columns[i], &values[i], &is_null, &error) && strcmp(error.sqlstate, "XX000") == 0)
			abort();
		if (is_binary && !sluice_row_binary_field(&out, &columns[i], &values[i], &error) && strcmp(error.sqlstate, "XX000") == 0)
			abort();
	}
	sluice_buffer_free(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static SluiceFormat *formats[4];
	SluiceFormatError error;
	int			which;

	if (size == 0)
		return 0;
	which = data[0] % 4;
	if (formats[which] == NULL)
	{
		SluiceFormatOptions options = {.format = SLUICE_FORMAT_JSON,.overflow_column = -1};

		options.unknown = which == 3 ? SLUICE_UNKNOWN_IGNORE : (SluiceUnknownFields) which;
		if (options.unknown == SLUICE_UNKNOWN_OVERFLOW)
			options.overflow_column = NCOLUMNS - 1;
		formats[which] = sluice_format_bind(&options, columns, which == 3 ? NBINARY : NCOLUMNS, &error);
		if (formats[which] == NULL)
			abort();
	}
	try_payload(formats[which], which == 3 ? NBINARY : NCOLUMNS, data + 1, size - 1);
	return 0;
}
