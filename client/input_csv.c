/*
 * input_csv.c
 *		CSV with a header (RFC 4180): each row becomes a JSON object.
 *
 * The header's names are the members, the values are JSON strings; a field
 * with nothing in it is null, unless it was quoted: "" is the empty string.
 * The server converts the strings to the columns' types.  Rows end with LF or
 * CR LF, quoted fields may hold line breaks, lines with nothing in them are
 * skipped.
 *
 * A row is looked at twice: for its end, remembering how far that came when
 * more bytes are needed, and then field by field.
 */
#include "input.h"

#include <stdlib.h>
#include <string.h>

#include "memory.h"

#define COLUMNS_MAX 1600		/* a table cannot have more */

/*
 * The length of the row without its line break, *used with it.  A quote
 * changes sides each time: a doubled one twice.
 */
static SluiceInputResult
find_row(SluiceInput *input, const char *bytes, size_t length, bool at_end, size_t *used, size_t *row_length)
{
	size_t		i = input->scanned;

	for (; i < length; i++)
	{
		if (bytes[i] == '"')
			input->quoted = !input->quoted;
		else if (bytes[i] == '\n')
		{
			if (!input->quoted)
				break;
			input->newlines++;
		}
	}
	if (i > input->max_record)
		return sluice_input_fail(input, input->line, "the row is longer than the largest record (%zu bytes)%s",
								 input->max_record, input->quoted ? "; is a quote missing?" : "");
	if (i == length && !at_end)
	{
		input->scanned = i;
		return SLUICE_INPUT_MORE;
	}
	if (i == length && input->quoted)
		return sluice_input_fail(input, input->line, "the file ends within a quoted field");
	if (length == 0)
		return SLUICE_INPUT_END;
	*used = i + (i < length);
	*row_length = i > 0 && bytes[i - 1] == '\r' ? i - 1 : i;
	input->scanned = 0;
	return SLUICE_INPUT_RECORD;
}

/* As the inside of a JSON string. */
static void
append_escaped(SluiceText *text, const char *bytes, size_t length)
{
	static const char digits[] = "0123456789abcdef";
	size_t		plain = 0;

	for (size_t i = 0; i < length; i++)
	{
		unsigned char c = (unsigned char) bytes[i];

		if (c >= 0x20 && c != '"' && c != '\\')
			continue;
		sluice_text_append(text, bytes + plain, i - plain);
		plain = i + 1;
		sluice_text_append_byte(text, '\\');
		if (c == '"' || c == '\\')
			sluice_text_append_byte(text, (char) c);
		else if (c == '\n')
			sluice_text_append_byte(text, 'n');
		else
		{
			sluice_text_append(text, "u00", 3);
			sluice_text_append_byte(text, digits[c >> 4]);
			sluice_text_append_byte(text, digits[c & 15]);
		}
	}
	sluice_text_append(text, bytes + plain, length - plain);
}

/*
 * The field at the start of [at, end) into the text, quotes resolved.  Returns
 * where it ends (at a comma, or at end), or NULL where the quoting is wrong.
 */
static const char *
read_field(const char *at, const char *end, SluiceText *field, bool *quoted)
{
	field->length = 0;
	*quoted = at < end && *at == '"';
	if (!*quoted)
	{
		const char *comma = memchr(at, ',', (size_t) (end - at));
		const char *stop = comma != NULL ? comma : end;

		if (memchr(at, '"', (size_t) (stop - at)) != NULL)
			return NULL;
		sluice_text_append(field, at, (size_t) (stop - at));
		return stop;
	}
	for (at++; at < end; at++)
	{
		const char *quote = memchr(at, '"', (size_t) (end - at));

		if (quote == NULL)
			return NULL;
		sluice_text_append(field, at, (size_t) (quote - at));
		at = quote + 1;
		if (at == end || *at == ',')
			return at;
		if (*at != '"')
			return NULL;
		sluice_text_append_byte(field, '"');
	}
	return NULL;
}

static SluiceInputResult
wrong_quotes(SluiceInput *input, uint64_t line, size_t column)
{
	return sluice_input_fail(input, line, "field %zu is not quoted rightly", column + 1);
}

static void
free_header(SluiceInput *input)
{
	SluiceCsvHeader *header = input->header;

	if (header == NULL)
		return;
	for (size_t i = 0; i < header->count; i++)
		free(header->names[i]);
	free(header->names);
	free(header->lengths);
	free(header);
	input->header = NULL;
}

/* input->name becomes a column; input->payload is scratch. */
static SluiceInputResult
add_column(SluiceInput *input, uint64_t line)
{
	SluiceCsvHeader *header = input->header;
	SluiceText *member = &input->payload;
	size_t		n = header->count;

	if (input->name.length == 0)
		return sluice_input_fail(input, line, "column %zu has no name", n + 1);
	if (n >= COLUMNS_MAX)
		return sluice_input_fail(input, line, "there are more than %d columns", COLUMNS_MAX);
	member->length = 0;
	sluice_text_append_byte(member, '"');
	append_escaped(member, input->name.bytes, input->name.length);
	sluice_text_append(member, "\":", 2);
	for (size_t i = 0; i < n; i++)
	{
		if (header->lengths[i] == member->length && memcmp(header->names[i], member->bytes, member->length) == 0)
			return sluice_input_fail(input, line, "columns %zu and %zu have the same name", i + 1, n + 1);
	}
	header->names = sluice_memory_resize(header->names, (n + 1) * sizeof(char *));
	header->lengths = sluice_memory_resize(header->lengths, (n + 1) * sizeof(size_t));
	header->names[n] = sluice_memory_get(member->length);
	memcpy(header->names[n], member->bytes, member->length);
	header->lengths[n] = member->length;
	header->count++;
	for (int kind = 0; kind < SLUICE_INPUT_COLUMNS; kind++)
	{
		if (sluice_input_is_column(input, kind, input->name.bytes, input->name.length))
			header->places[kind] = n;
	}
	return SLUICE_INPUT_RECORD;
}

static SluiceInputResult
read_header(SluiceInput *input, const char *row, size_t length, uint64_t line)
{
	const char *at = row;
	const char *end = row + length;
	bool		quoted;

	input->header = sluice_memory_get_zeroed(sizeof(SluiceCsvHeader));
	for (int kind = 0; kind < SLUICE_INPUT_COLUMNS; kind++)
		input->header->places[kind] = SIZE_MAX;
	for (;;)
	{
		SluiceInputResult result;

		at = read_field(at, end, &input->name, &quoted);
		if (at == NULL)
			return wrong_quotes(input, line, input->header->count);
		result = add_column(input, line);
		if (result != SLUICE_INPUT_RECORD)
			return result;
		if (at == end)
			break;
		at++;
	}
	for (int kind = 0; kind < SLUICE_INPUT_COLUMNS; kind++)
	{
		if (input->columns[kind].name != NULL && input->header->places[kind] == SIZE_MAX)
			return sluice_input_fail(input, line, "there is no column \"%.100s\" to be the %s",
									 input->columns[kind].name, sluice_input_column_role(kind));
	}
	return SLUICE_INPUT_RECORD;
}

static void
append_member(SluiceInput *input, size_t column, bool quoted)
{
	SluiceText *payload = &input->payload;
	const SluiceCsvHeader *header = input->header;

	sluice_text_append_byte(payload, column == 0 ? '{' : ',');
	sluice_text_append(payload, header->names[column], header->lengths[column]);
	if (input->name.length == 0 && !quoted)
	{
		sluice_text_append(payload, "null", 4);
		return;
	}
	sluice_text_append_byte(payload, '"');
	append_escaped(payload, input->name.bytes, input->name.length);
	sluice_text_append_byte(payload, '"');
}

static SluiceInputResult
read_row(SluiceInput *input, const char *row, size_t length, SluiceInputRecord *record)
{
	const SluiceCsvHeader *header = input->header;
	const char *at = row;
	const char *end = row + length;
	size_t		column = 0;
	bool		quoted;

	input->payload.length = 0;
	for (int kind = 0; kind < SLUICE_INPUT_COLUMNS; kind++)
		input->columns[kind].text.length = 0;
	for (;; column++, at++)
	{
		at = read_field(at, end, &input->name, &quoted);
		if (at == NULL)
			return wrong_quotes(input, record->line, column);
		if (column < header->count)
			append_member(input, column, quoted);
		for (int kind = 0; kind < SLUICE_INPUT_COLUMNS; kind++)
		{
			if (column == header->places[kind])
				sluice_text_append(&input->columns[kind].text, input->name.bytes, input->name.length);
		}
		if (at == end)
			break;
	}
	if (column + 1 != header->count)
		return sluice_input_fail(input, record->line, "the row has %zu fields, the header has %zu",
								 column + 1, header->count);
	sluice_text_append_byte(&input->payload, '}');
	record->payload = input->payload.bytes;
	record->payload_length = input->payload.length;
	return sluice_input_take_columns(input, record);
}

static SluiceInputResult
next_record(SluiceInput *input, const char *bytes, size_t length, bool at_end,
			size_t *used, SluiceInputRecord *record)
{
	size_t		done = 0;

	for (;;)
	{
		const char *row = bytes + done;
		size_t		row_length = 0;
		size_t		row_used = 0;
		SluiceInputResult result;

		result = find_row(input, row, length - done, at_end, &row_used, &row_length);
		done += row_used;
		*used = done;
		if (result != SLUICE_INPUT_RECORD)
			return result;
		record->line = input->line;
		input->line += input->newlines + 1;
		input->newlines = 0;
		if (row_length == 0)
			continue;
		if (input->header != NULL)
			return read_row(input, row, row_length, record);
		result = read_header(input, row, row_length, record->line);
		if (result != SLUICE_INPUT_RECORD)
			return result;
	}
}

const SluiceInputFormat sluice_input_csv = {"csv", true, next_record, free_header};
