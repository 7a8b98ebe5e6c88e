/*
 * input.c
 *		From the bytes of an input to records: what the formats have in common.
 */
#include "input.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "memory.h"
#include "record.h"

static const SluiceInputFormat *const formats[] = {&sluice_input_ndjson, &sluice_input_csv, &sluice_input_lines,
&sluice_input_protobuf};

const SluiceInputFormat *
sluice_input_format(const char *name)
{
	for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++)
	{
		if (strcmp(formats[i]->name, name) == 0)
			return formats[i];
	}
	return NULL;
}

static void
want_column(SluiceInput *input, int kind, const char *name)
{
	input->columns[kind].name = name;
	input->columns[kind].name_length = name != NULL ? strlen(name) : 0;
}

SluiceInput *
sluice_input_create(const SluiceInputFormat *format, const char *key_column, size_t max_record)
{
	SluiceInput *input = sluice_memory_get_zeroed(sizeof(SluiceInput));

	input->format = format;
	want_column(input, SLUICE_INPUT_KEY, key_column);
	input->max_record = max_record;
	input->line = 1;
	return input;
}

void
sluice_input_want_entity(SluiceInput *input, const char *entity_column)
{
	want_column(input, SLUICE_INPUT_ENTITY, entity_column);
}

void
sluice_input_free(SluiceInput *input)
{
	if (input->format->free != NULL)
		input->format->free(input);
	sluice_text_free(&input->payload);
	for (int kind = 0; kind < SLUICE_INPUT_COLUMNS; kind++)
		sluice_text_free(&input->columns[kind].text);
	sluice_text_free(&input->name);
	free(input);
}

const char *
sluice_input_error(const SluiceInput *input)
{
	return input->error;
}

uint64_t
sluice_input_line(const SluiceInput *input)
{
	return input->error_line > 0 ? input->error_line : input->line;
}

SluiceInputResult
sluice_input_fail(SluiceInput *input, uint64_t line, const char *message, ...)
{
	va_list		arguments;

	va_start(arguments, message);
	vsnprintf(input->error, sizeof(input->error), message, arguments);
	va_end(arguments);
	input->error_line = line;
	return SLUICE_INPUT_ERROR;
}

/* Bytes of a byte-order mark at the start of the input; false when it takes more bytes to tell. */
static bool
skip_mark(SluiceInput *input, const char *bytes, size_t length, bool at_end, size_t *mark)
{
	static const char byte_order_mark[] = {'\xEF', '\xBB', '\xBF'};
	size_t		n = length < sizeof(byte_order_mark) ? length : sizeof(byte_order_mark);

	*mark = 0;
	if (input->started)
		return true;
	if (input->format->has_columns && n > 0 && memcmp(bytes, byte_order_mark, n) == 0)
	{
		if (n == sizeof(byte_order_mark))
			*mark = n;
		else if (!at_end)
			return false;
	}
	input->started = n > 0;
	return true;
}

SluiceInputResult
sluice_input_next(SluiceInput *input, const char *bytes, size_t length, bool at_end,
				  size_t *used, SluiceInputRecord *record)
{
	size_t		mark;
	SluiceInputResult result;

	*used = 0;
	memset(record, 0, sizeof(*record));
	if (!skip_mark(input, bytes, length, at_end, &mark))
		return SLUICE_INPUT_MORE;
	result = input->format->next(input, bytes + mark, length - mark, at_end, used, record);
	*used += mark;
	return result;
}

SluiceInputResult
sluice_input_next_line(SluiceInput *input, const char *bytes, size_t length, bool at_end,
					   size_t *used, size_t *line_length)
{
	const char *newline = NULL;

	if (length > input->scanned)
		newline = memchr(bytes + input->scanned, '\n', length - input->scanned);
	*line_length = newline != NULL ? (size_t) (newline - bytes) : length;
	if (*line_length > input->max_record)
		return sluice_input_fail(input, input->line, "the line is longer than the largest record (%zu bytes)",
								 input->max_record);
	if (newline == NULL && !at_end)
	{
		input->scanned = length;
		return SLUICE_INPUT_MORE;
	}
	if (newline == NULL && length == 0)
		return SLUICE_INPUT_END;
	input->scanned = 0;
	*used = *line_length + (newline != NULL);
	return SLUICE_INPUT_RECORD;
}

const char *
sluice_input_column_role(int kind)
{
	return kind == SLUICE_INPUT_KEY ? "key" : "entity";
}

bool
sluice_input_is_column(const SluiceInput *input, int kind, const char *name, size_t length)
{
	const SluiceInputColumn *column = &input->columns[kind];

	return column->name != NULL && column->name_length == length && memcmp(column->name, name, length) == 0;
}

static SluiceInputResult
check_column(SluiceInput *input, int kind, uint64_t line)
{
	static const size_t longest[] = {SLUICE_KEY_MAX_LENGTH, SLUICE_ENTITY_MAX_LENGTH};
	const char *role = sluice_input_column_role(kind);
	const char *name = input->columns[kind].name;
	const SluiceText *text = &input->columns[kind].text;

	if (text->length > longest[kind])
		return sluice_input_fail(input, line, "the %s \"%.100s\" is longer than %zu bytes", role, name, longest[kind]);
	if (!sluice_text_is_utf8(text->bytes, text->length) || memchr(text->bytes, '\0', text->length) != NULL)
		return sluice_input_fail(input, line, "the %s \"%.100s\" is not UTF-8 text without zero bytes", role, name);
	return SLUICE_INPUT_RECORD;
}

SluiceInputResult
sluice_input_take_columns(SluiceInput *input, SluiceInputRecord *record)
{
	const SluiceText *key = &input->columns[SLUICE_INPUT_KEY].text;
	const SluiceText *entity = &input->columns[SLUICE_INPUT_ENTITY].text;

	if (input->columns[SLUICE_INPUT_KEY].name != NULL && key->length == 0)
		return sluice_input_fail(input, record->line, "the key \"%.100s\" is empty",
								 input->columns[SLUICE_INPUT_KEY].name);
	for (int kind = 0; kind < SLUICE_INPUT_COLUMNS; kind++)
	{
		if (input->columns[kind].text.length > 0 && check_column(input, kind, record->line) != SLUICE_INPUT_RECORD)
			return SLUICE_INPUT_ERROR;
	}
	record->key = key->length > 0 ? key->bytes : NULL;
	record->key_length = key->length;
	record->entity = entity->length > 0 ? entity->bytes : NULL;
	record->entity_length = entity->length;
	return SLUICE_INPUT_RECORD;
}
