/*
 * input_ndjson.c
 *		Newline-delimited JSON: each line an object, sent as it stands.
 *
 * A line is only looked at as far as the tool needs it: that it is one object,
 * from its brace to the matching one, and what its top-level member with the
 * key's name holds.  What is inside is the server's to judge, record by record.
 * Of several members of one name the last counts, as it does for jsonb.
 */
#include "input.h"

#include <stdio.h>
#include <string.h>

#include "json_scan.h"

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* The four digits behind \u. */
static bool
read_code_unit(SluiceScan *scan, uint32_t *unit)
{
	*unit = 0;
	if (scan->end - scan->at < 4)
		return false;
	for (int i = 0; i < 4; i++)
	{
		int			digit = hex_digit(*scan->at++);

		if (digit < 0)
			return false;
		*unit = *unit << 4 | (uint32_t) digit;
	}
	return true;
}

static void
append_utf8(SluiceText *text, uint32_t code)
{
	if (code < 0x80)
		sluice_text_append_byte(text, (char) code);
	else if (code < 0x800)
	{
		sluice_text_append_byte(text, (char) (0xC0 | code >> 6));
		sluice_text_append_byte(text, (char) (0x80 | (code & 0x3F)));
	}
	else
	{
		if (code < 0x10000)
			sluice_text_append_byte(text, (char) (0xE0 | code >> 12));
		else
		{
			sluice_text_append_byte(text, (char) (0xF0 | code >> 18));
			sluice_text_append_byte(text, (char) (0x80 | (code >> 12 & 0x3F)));
		}
		sluice_text_append_byte(text, (char) (0x80 | (code >> 6 & 0x3F)));
		sluice_text_append_byte(text, (char) (0x80 | (code & 0x3F)));
	}
}

/* What stands behind \u, with the second half of a pair. */
static bool
append_unicode_escape(SluiceText *text, SluiceScan *scan)
{
	uint32_t	code;
	uint32_t	low;

	if (!read_code_unit(scan, &code))
		return false;
	if (code >= 0xD800 && code <= 0xDBFF)
	{
		if (!sluice_scan_skip_byte(scan, '\\') || !sluice_scan_skip_byte(scan, 'u') || !read_code_unit(scan, &low) ||
			low < 0xDC00 || low > 0xDFFF)
			return false;
		code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
	}
	else if (code >= 0xDC00 && code <= 0xDFFF)
		return false;
	append_utf8(text, code);
	return true;
}

/* The text of a string, escapes resolved. */
static bool
append_unescaped(SluiceText *text, SluiceScan inside)
{
	static const char escapes[] = "\"\\/bfnrt";
	static const char meanings[] = "\"\\/\b\f\n\r\t";

	while (inside.at < inside.end)
	{
		const char *escape = memchr(inside.at, '\\', (size_t) (inside.end - inside.at));
		const char *known;

		sluice_text_append(text, inside.at, (size_t) ((escape != NULL ? escape : inside.end) - inside.at));
		if (escape == NULL)
			return true;
		inside.at = escape + 1;
		if (inside.at >= inside.end)
			return false;
		known = memchr(escapes, *inside.at, sizeof(escapes) - 1);
		inside.at++;
		if (known != NULL)
			sluice_text_append_byte(text, meanings[known - escapes]);
		else if (inside.at[-1] != 'u' || !append_unicode_escape(text, &inside))
			return false;
	}
	return true;
}

/* The values of the members that are wanted; at is NULL where there is none. */
typedef struct Wanted
{
	SluiceInput *input;
	SluiceScan	values[SLUICE_INPUT_COLUMNS];
} Wanted;

static void
note_member(void *argument, SluiceScan name, SluiceScan value)
{
	Wanted	   *wanted = argument;
	SluiceInput *input = wanted->input;
	const char *bytes = name.at;
	size_t		length = (size_t) (name.end - name.at);

	if (memchr(name.at, '\\', length) != NULL)
	{
		input->name.length = 0;
		if (!append_unescaped(&input->name, name))
			return;
		bytes = input->name.bytes;
		length = input->name.length;
	}
	for (int kind = 0; kind < SLUICE_INPUT_COLUMNS; kind++)
	{
		if (sluice_input_is_column(input, kind, bytes, length))
			wanted->values[kind] = value;
	}
}

static const char *
skip_digits(const char *at, const char *end)
{
	while (at < end && *at >= '0' && *at <= '9')
		at++;
	return at;
}

/* A number in JSON's grammar. */
static bool
is_number(SluiceScan value)
{
	const char *at = value.at;
	const char *digits;

	if (at < value.end && *at == '-')
		at++;
	digits = at;
	at = skip_digits(at, value.end);
	if (at == digits || (*digits == '0' && at - digits > 1))
		return false;
	if (at < value.end && *at == '.')
	{
		digits = ++at;
		at = skip_digits(at, value.end);
		if (at == digits)
			return false;
	}
	if (at < value.end && (*at == 'e' || *at == 'E'))
	{
		at++;
		if (at < value.end && (*at == '+' || *at == '-'))
			at++;
		digits = at;
		at = skip_digits(at, value.end);
		if (at == digits)
			return false;
	}
	return at == value.end;
}

/* An entity may be absent, and null is as if it were; a key may not. */
static bool
is_absent(int kind, SluiceScan value)
{
	return kind == SLUICE_INPUT_ENTITY &&
		(value.at == NULL || (value.end - value.at == 4 && memcmp(value.at, "null", 4) == 0));
}

/* A column's text from its value, with quotes if it is a string. */
static SluiceInputResult
read_column(SluiceInput *input, int kind, SluiceScan value, uint64_t line)
{
	SluiceInputColumn *column = &input->columns[kind];
	const char *role = sluice_input_column_role(kind);

	column->text.length = 0;
	if (column->name == NULL || is_absent(kind, value))
		return SLUICE_INPUT_RECORD;
	if (value.at == NULL)
		return sluice_input_fail(input, line, "there is no member \"%.100s\" to be the %s", column->name, role);
	if (*value.at == '"')
	{
		SluiceScan	inside = {value.at + 1, value.end - 1};

		if (!append_unescaped(&column->text, inside))
			return sluice_input_fail(input, line, "the %s \"%.100s\" holds an invalid escape", role, column->name);
	}
	else if (is_number(value))
		sluice_text_append(&column->text, value.at, (size_t) (value.end - value.at));
	else
		return sluice_input_fail(input, line, "the %s \"%.100s\" is not a string or a number", role, column->name);
	return SLUICE_INPUT_RECORD;
}

static SluiceInputResult
read_object(SluiceInput *input, SluiceScan line, SluiceInputRecord *record)
{
	SluiceScan	scan = line;
	Wanted		wanted;
	const char *end;

	memset(&wanted, 0, sizeof(wanted));
	wanted.input = input;
	if (!sluice_scan_object(&scan, note_member, &wanted))
		return sluice_input_fail(input, record->line, "not a JSON object");
	end = scan.at;
	sluice_scan_skip_space(&scan);
	if (scan.at < scan.end)
		return sluice_input_fail(input, record->line, "there is something behind the JSON object");
	record->payload = line.at;
	record->payload_length = (size_t) (end - line.at);
	for (int kind = 0; kind < SLUICE_INPUT_COLUMNS; kind++)
	{
		if (read_column(input, kind, wanted.values[kind], record->line) != SLUICE_INPUT_RECORD)
			return SLUICE_INPUT_ERROR;
	}
	return sluice_input_take_columns(input, record);
}

static SluiceInputResult
next_record(SluiceInput *input, const char *bytes, size_t length, bool at_end,
			size_t *used, SluiceInputRecord *record)
{
	size_t		done = 0;

	for (;;)
	{
		size_t		line_length;
		size_t		line_used = 0;
		SluiceInputResult result;
		SluiceScan	line;

		result = sluice_input_next_line(input, bytes + done, length - done, at_end, &line_used, &line_length);
		if (result == SLUICE_INPUT_RECORD)
		{
			line.at = bytes + done;
			line.end = line.at + line_length;
			done += line_used;
		}
		*used = done;
		if (result != SLUICE_INPUT_RECORD)
			return result;
		record->line = input->line++;
		sluice_scan_skip_space(&line);
		if (line.at < line.end)
			return read_object(input, line, record);
	}
}

const SluiceInputFormat sluice_input_ndjson = {"ndjson", true, next_record, NULL};
