/*
 * array_literal.c
 *		A PostgreSQL array literal, written element by element.
 *
 * The delimiter is the comma: that of every type of PostgreSQL but box, and of
 * a box no payload has an array (bind leaves it to the input function, which
 * refuses).
 */
#include <string.h>

#include "array_literal.h"
#include "format_error.h"
#include "value.h"

static void
separate(SluiceBuffer *out)
{
	/* after the first element of a dimension stands anything but its brace; a quoted brace is followed by its quote */
	if (out->length > 0 && out->data[out->length - 1] != '{')
		sluice_buffer_append_char(out, ',');
}

void
sluice_array_literal_open(SluiceBuffer *out)
{
	sluice_buffer_append_char(out, '{');
}

void
sluice_array_literal_open_inner(SluiceBuffer *out)
{
	separate(out);
	sluice_buffer_append_char(out, '{');
}

void
sluice_array_literal_close(SluiceBuffer *out)
{
	sluice_buffer_append_char(out, '}');
}

/* Numbers and truth values need no quotes; all else gets them. */
static bool
needs_quotes(const SluiceValue *element)
{
	switch (element->kind)
	{
		case SLUICE_VALUE_BOOL:
		case SLUICE_VALUE_INT:
		case SLUICE_VALUE_UINT:
		case SLUICE_VALUE_DOUBLE:
		case SLUICE_VALUE_FLOAT:
		case SLUICE_VALUE_NUMBER:
			return false;
		default:
			return true;
	}
}

/* Quote what was appended since start, in place: backslashes before quotes and backslashes. */
static void
quote(SluiceBuffer *out, size_t start)
{
	size_t		length = out->length - start;
	size_t		nescapes = 0;
	char	   *from;
	char	   *to;

	for (size_t i = start; i < out->length; i++)
		nescapes += out->data[i] == '"' || out->data[i] == '\\';
	if (!sluice_buffer_reserve(out, nescapes + 2))
		return;
	/* from the end backwards, so that nothing is overwritten before it was read */
	from = out->data + start + length;
	out->length += nescapes + 2;
	to = out->data + out->length;
	*--to = '"';
	while (from > out->data + start)
	{
		*--to = *--from;
		if (*to == '"' || *to == '\\')
			*--to = '\\';
	}
	*--to = '"';
}

bool
sluice_array_literal_append(SluiceBuffer *out, const SluiceColumn *column,
							const SluiceValue *element, SluiceFormatError *error)
{
	size_t		start;

	separate(out);
	if (element->kind == SLUICE_VALUE_NULL)
	{
		sluice_buffer_append_text(out, "NULL");
		return true;
	}
	start = out->length;
	if (!sluice_value_append_text(out, column, element, error))
		return false;
	if (needs_quotes(element))
		quote(out, start);
	return true;
}
