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

typedef struct Scan
{
	const char *at;
	const char *end;
} Scan;

static void
skip_space(Scan *scan)
{
	while (scan->at < scan->end &&
		   (*scan->at == ' ' || *scan->at == '\t' || *scan->at == '\r' || *scan->at == '\n'))
		scan->at++;
}

static bool
skip_byte(Scan *scan, char byte)
{
	if (scan->at >= scan->end || *scan->at != byte)
		return false;
	scan->at++;
	return true;
}

/* A string with its quotes; the text between them, escapes as they are. */
static bool
skip_string(Scan *scan, Scan *inside)
{
	if (!skip_byte(scan, '"'))
		return false;
	inside->at = scan->at;
	while (scan->at < scan->end && *scan->at != '"')
	{
		if ((unsigned char) *scan->at < 0x20)
			return false;
		if (*scan->at == '\\' && ++scan->at >= scan->end)
			return false;
		scan->at++;
	}
	inside->end = scan->at;
	return skip_byte(scan, '"');
}

/* An object or array: up to the bracket that closes it. */
static bool
skip_nested(Scan *scan)
{
	Scan		inside;
	size_t		depth = 0;

	while (scan->at < scan->end)
	{
		switch (*scan->at)
		{
			case '"':
				if (!skip_string(scan, &inside))
					return false;
				continue;
			case '{':
			case '[':
				depth++;
				break;
			case '}':
			case ']':
				depth--;
				break;
			default:
				break;
		}
		scan->at++;
		if (depth == 0)
			return true;
	}
	return false;
}

/* Any value; a number or word goes up to what cannot be part of one. */
static bool
skip_value(Scan *scan)
{
	Scan		inside;
	const char *start = scan->at;

	if (scan->at >= scan->end)
		return false;
	if (*scan->at == '"')
		return skip_string(scan, &inside);
	if (*scan->at == '{' || *scan->at == '[')
		return skip_nested(scan);
	while (scan->at < scan->end && memchr(",}] \t\r\n", *scan->at, 7) == NULL)
		scan->at++;
	return scan->at > start;
}

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
read_code_unit(Scan *scan, uint32_t *unit)
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
append_unicode_escape(SluiceText *text, Scan *scan)
{
	uint32_t	code;
	uint32_t	low;

	if (!read_code_unit(scan, &code))
		return false;
	if (code >= 0xD800 && code <= 0xDBFF)
	{
		if (!skip_byte(scan, '\\') || !skip_byte(scan, 'u') || !read_code_unit(scan, &low) ||
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
append_unescaped(SluiceText *text, Scan inside)
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

static bool
is_key_name(SluiceInput *input, Scan name)
{
	size_t		length = (size_t) (name.end - name.at);

	if (memchr(name.at, '\\', length) == NULL)
		return length == input->key_column_length && memcmp(name.at, input->key_column, length) == 0;
	input->name.length = 0;
	return append_unescaped(&input->name, name) && input->name.length == input->key_column_length &&
		memcmp(input->name.bytes, input->key_column, input->name.length) == 0;
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
is_number(Scan value)
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

/* The key's text from its value, with quotes if it is a string. */
static SluiceInputResult
read_key(SluiceInput *input, Scan value, SluiceInputRecord *record)
{
	input->key.length = 0;
	if (*value.at == '"')
	{
		Scan		inside = {value.at + 1, value.end - 1};

		if (!append_unescaped(&input->key, inside))
			return sluice_input_fail(input, record->line, "the key \"%.100s\" holds an invalid escape",
									 input->key_column);
	}
	else if (is_number(value))
		sluice_text_append(&input->key, value.at, (size_t) (value.end - value.at));
	else
		return sluice_input_fail(input, record->line, "the key \"%.100s\" is not a string or a number",
								 input->key_column);
	return sluice_input_take_key(input, record);
}

/* Walk over the object; *key becomes the value of the key's member, if any. */
static bool
scan_object(SluiceInput *input, Scan *scan, Scan *key)
{
	Scan		name;
	Scan		value;

	if (!skip_byte(scan, '{'))
		return false;
	skip_space(scan);
	if (skip_byte(scan, '}'))
		return true;
	for (;;)
	{
		skip_space(scan);
		if (!skip_string(scan, &name))
			return false;
		skip_space(scan);
		if (!skip_byte(scan, ':'))
			return false;
		skip_space(scan);
		value.at = scan->at;
		if (!skip_value(scan))
			return false;
		value.end = scan->at;
		if (input->key_column != NULL && is_key_name(input, name))
			*key = value;
		skip_space(scan);
		if (skip_byte(scan, '}'))
			return true;
		if (!skip_byte(scan, ','))
			return false;
	}
}

static SluiceInputResult
read_object(SluiceInput *input, Scan line, SluiceInputRecord *record)
{
	Scan		scan = line;
	Scan		key = {NULL, NULL};
	const char *end;

	if (!scan_object(input, &scan, &key))
		return sluice_input_fail(input, record->line, "not a JSON object");
	end = scan.at;
	skip_space(&scan);
	if (scan.at < scan.end)
		return sluice_input_fail(input, record->line, "there is something behind the JSON object");
	record->payload = line.at;
	record->payload_length = (size_t) (end - line.at);
	if (input->key_column == NULL)
		return SLUICE_INPUT_RECORD;
	if (key.at == NULL)
		return sluice_input_fail(input, record->line, "there is no member \"%.100s\" to be the key",
								 input->key_column);
	return read_key(input, key, record);
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
		Scan		line;

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
		skip_space(&line);
		if (line.at < line.end)
			return read_object(input, line, record);
	}
}

const SluiceInputFormat sluice_input_ndjson = {"ndjson", true, next_record, NULL};
