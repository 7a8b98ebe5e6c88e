/*
 * format.c
 *		Dispatch to the payload formats, and the bytes format.
 *
 * SQLSTATEs of a refused payload are all of the classes 22 and 54, which make
 * a dead letter of a record, with one exception: 53200, out of memory, which
 * is transient.
 *
 *	22000	a member or field that no column takes (unknown_fields = 'reject')
 *	22003	a number out of the column's range
 *	22004	a required field (proto2) is missing
 *	22008	a Timestamp or Duration out of range
 *	22021	text that is not UTF-8, or holds a NUL
 *	2203F	a JSON object or array where the column takes a scalar
 *	22P02	not JSON, or a value that the column's type does not take
 *	22P03	not the protobuf wire format
 *	22P05	\u0000 on its way to text or jsonb
 *	54000	too large once decoded
 *	54001	nested too deeply
 */
#include <stdlib.h>
#include <string.h>

#include "format_error.h"
#include "format_methods.h"

/* ---------------------------------------------------------------- bytes */

static bool
bytes_bind(SluiceFormat *format, const SluiceFormatOptions *options, SluiceFormatError *error)
{
	int			found = -1;
	int			nfound = 0;
	bool		named = false;

	(void) options;
	for (int i = 0; i < format->ncolumns; i++)
	{
		const SluiceColumn *column = &format->columns[i];

		if (column->type != SLUICE_COLUMN_BYTEA || column->is_array || i == format->overflow_column)
			continue;
		nfound++;
		if (strcmp(column->name, "payload") == 0)
			named = true;
		if (found < 0 || strcmp(column->name, "payload") == 0)
			found = i;
	}
	if (nfound == 0)
	{
		sluice_format_error_set(error, "42804", "target has no column of type bytea for the payload");
		return sluice_format_error_hint(error, "The format bytes puts each payload into one bytea column.");
	}
	if (nfound > 1 && !named)
	{
		sluice_format_error_set(error, "42804", "target has %d columns of type bytea, and none of them is named \"payload\"", nfound);
		return sluice_format_error_hint(error, "Name the column that takes the payload \"payload\".");
	}
	format->filled[found] = true;
	return true;
}

static bool
bytes_decode(SluiceFormat *format, const uint8_t *payload, size_t length,
			 SluiceValue *values, SluiceFormatError *error)
{
	(void) error;
	for (int i = 0; i < format->ncolumns; i++)
	{
		if (!format->filled[i])
			continue;
		values[i].kind = SLUICE_VALUE_BYTES;
		values[i].length = (uint32_t) length;
		values[i].bytes = length > 0 ? (const char *) payload : "";
	}
	return true;
}

static void
bytes_release(SluiceFormat *format)
{
	(void) format;
}

static bool
bytes_table_columns(const SluiceFormatOptions *options, SluiceBuffer *out, SluiceFormatError *error)
{
	(void) options;
	(void) error;
	sluice_buffer_append_text(out, "\"payload\" pg_catalog.bytea");
	return true;
}

static const SluiceFormatMethods bytes_methods = {
	bytes_bind, bytes_decode, bytes_release, bytes_table_columns
};

/* ------------------------------------------------------------- dispatch */

static const SluiceFormatMethods *
methods_of(SluicePayloadFormat format)
{
	switch (format)
	{
		case SLUICE_FORMAT_PROTOBUF:
			return &sluice_format_protobuf;
		case SLUICE_FORMAT_JSON:
			return &sluice_format_json;
		case SLUICE_FORMAT_BYTES:
			return &bytes_methods;
	}
	return NULL;
}

static bool
copy_columns(SluiceFormat *format, const SluiceColumn *columns, int ncolumns)
{
	size_t		n = ncolumns > 0 ? (size_t) ncolumns : 1;

	format->columns = calloc(n, sizeof(SluiceColumn));
	format->filled = calloc(n, sizeof(bool));
	format->text_only = calloc(n, sizeof(bool));
	format->in_scratch = calloc(n, sizeof(bool));
	if (format->columns == NULL || format->filled == NULL ||
		format->text_only == NULL || format->in_scratch == NULL)
		return false;
	for (int i = 0; i < ncolumns; i++)
	{
		format->columns[i] = columns[i];
		format->columns[i].name = strdup(columns[i].name);
		format->columns[i].type_name = strdup(columns[i].type_name != NULL ? columns[i].type_name : "unknown");
		format->ncolumns = i + 1;
		if (format->columns[i].name == NULL || format->columns[i].type_name == NULL)
			return false;
	}
	return true;
}

static bool
check_overflow(const SluiceFormat *format, SluiceFormatError *error)
{
	const SluiceColumn *column;

	if (format->unknown != SLUICE_UNKNOWN_OVERFLOW)
		return true;
	if (format->overflow_column < 0 || format->overflow_column >= format->ncolumns)
		return sluice_format_error_set(error, "22023", "no overflow column is given for unknown fields");
	column = &format->columns[format->overflow_column];
	if (column->is_array || (column->type != SLUICE_COLUMN_JSONB && column->type != SLUICE_COLUMN_JSON))
		return sluice_format_error_set(error, "42804", "overflow column \"%s\" must be of type jsonb or json, not %s%s",
									   column->name, column->type_name, column->is_array ? "[]" : "");
	return true;
}

/* Every column that must have a value must be one that the format can give a value. */
static bool
check_not_null(const SluiceFormat *format, SluiceFormatError *error)
{
	for (int i = 0; i < format->ncolumns; i++)
	{
		const SluiceColumn *column = &format->columns[i];

		if (format->filled[i] || !column->not_null || column->has_default)
			continue;
		sluice_format_error_set(error, "23502", "column \"%s\" is NOT NULL without a default, and nothing in the payload fills it",
								column->name);
		return sluice_format_error_hint(error, "Give the column a default, allow NULL, or add a field named \"%s\" to the message.",
										column->name);
	}
	return true;
}

SluiceFormat *
sluice_format_bind(const SluiceFormatOptions *options,
				   const SluiceColumn *columns, int ncolumns,
				   SluiceFormatError *error)
{
	SluiceFormat *format = calloc(1, sizeof(SluiceFormat));

	memset(error, 0, sizeof(SluiceFormatError));
	if (format == NULL)
	{
		sluice_format_error_set(error, "53200", "out of memory");
		return NULL;
	}
	format->methods = methods_of(options->format);
	format->unknown = options->unknown;
	format->overflow_column = options->unknown == SLUICE_UNKNOWN_OVERFLOW ? options->overflow_column : -1;
	format->scratch.limit = SLUICE_FORMAT_SCRATCH_LIMIT;
	if (format->methods == NULL)
		sluice_format_error_set(error, "22023", "unknown payload format %d", (int) options->format);
	else if (!copy_columns(format, columns, ncolumns))
		sluice_format_error_set(error, "53200", "out of memory");
	else if (check_overflow(format, error) &&
			 format->methods->bind(format, options, error))
	{
		if (format->overflow_column >= 0)
			format->filled[format->overflow_column] = true;
		if (check_not_null(format, error))
			return format;
	}
	sluice_format_free(format);
	return NULL;
}

void
sluice_format_free(SluiceFormat *format)
{
	if (format == NULL)
		return;
	if (format->methods != NULL)
		format->methods->release(format);
	for (int i = 0; i < format->ncolumns; i++)
	{
		free((void *) format->columns[i].name);
		free((void *) format->columns[i].type_name);
	}
	free(format->columns);
	free(format->filled);
	free(format->text_only);
	free(format->in_scratch);
	sluice_buffer_free(&format->scratch);
	free(format);
}

bool
sluice_format_filled(const SluiceFormat *format, int column)
{
	return column >= 0 && column < format->ncolumns && format->filled[column];
}

void
sluice_format_set_no_overflow(SluiceFormat *format, SluiceValue *values)
{
	const SluiceColumn *column = &format->columns[format->overflow_column];
	SluiceValue *value = &values[format->overflow_column];

	memset(value, 0, sizeof(SluiceValue));
	if (!column->not_null)
		return;
	if (column->has_default)
	{
		value->kind = SLUICE_VALUE_DEFAULT;
		return;
	}
	value->kind = SLUICE_VALUE_JSON;
	value->bytes = "{}";
	value->length = 2;
}

static void
forget_scratch(SluiceFormat *format)
{
	if (!format->any_in_scratch)
		return;
	memset(format->in_scratch, 0, (size_t) format->ncolumns * sizeof(bool));
	format->any_in_scratch = false;
}

bool
sluice_format_decode(SluiceFormat *format,
					 const uint8_t *payload, size_t length,
					 SluiceValue *values, SluiceFormatError *error)
{
	SluiceBuffer *scratch = &format->scratch;

	if (length > SLUICE_BUFFER_LIMIT)
		return sluice_format_error_set(error, "54000", "payload is too large: %zu bytes", length);
	if (scratch->capacity > SLUICE_FORMAT_SCRATCH_KEPT)
		sluice_buffer_free(scratch);
	sluice_buffer_reset(scratch);
	/* so that a value of no bytes has an address too */
	if (scratch->data == NULL && !sluice_buffer_reserve(scratch, 1))
		return sluice_format_error_buffer(error, scratch);
	if (!format->methods->decode(format, payload, length, values, error))
	{
		forget_scratch(format);
		return false;
	}
	if (scratch->failed)
	{
		forget_scratch(format);
		return sluice_format_error_buffer(error, scratch);
	}
	for (int i = 0; format->any_in_scratch && i < format->ncolumns; i++)
	{
		if (format->in_scratch[i])
			values[i].bytes = scratch->data + values[i].integer;
	}
	forget_scratch(format);
	return true;
}

bool
sluice_format_table_columns(const SluiceFormatOptions *options,
							SluiceBuffer *out, SluiceFormatError *error)
{
	const SluiceFormatMethods *methods = methods_of(options->format);

	memset(error, 0, sizeof(SluiceFormatError));
	if (methods == NULL)
		return sluice_format_error_set(error, "22023", "unknown payload format %d", (int) options->format);
	if (!methods->table_columns(options, out, error))
		return false;
	return out->failed ? sluice_format_error_buffer(error, out) : true;
}
