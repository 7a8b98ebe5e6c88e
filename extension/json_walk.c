/*
 * json_walk.c
 *		Walking JSON text by hand.
 */
#include <string.h>

#include "format_error.h"
#include "json_walk.h"
#include "number.h"
#include "utf8.h"

void
sluice_json_walk_start(SluiceJsonWalk *walk, const void *text, size_t length, SluiceFormatError *error)
{
	walk->start = length > 0 ? text : "";
	walk->at = walk->start;
	walk->end = walk->start + length;
	walk->error = error;
}

static bool
refuse(SluiceJsonWalk *walk, const char *expected)
{
	char		clip[SLUICE_CLIP_SIZE];
	size_t		position = (size_t) (walk->at - walk->start) + 1;

	if (walk->at == walk->end)
		return sluice_format_error_set(walk->error, "22P02", "invalid JSON: expected %s at byte %zu, where the payload ends",
									   expected, position);
	return sluice_format_error_set(walk->error, "22P02", "invalid JSON: expected %s at byte %zu, found \"%s\"",
								   expected, position,
								   sluice_format_error_clip(clip, walk->at, (size_t) (walk->end - walk->at)));
}

static bool
refuse_string(SluiceJsonWalk *walk, const char *at, const char *sqlstate, const char *problem)
{
	return sluice_format_error_set(walk->error, sqlstate, "invalid JSON: %s at byte %zu",
								   problem, (size_t) (at - walk->start) + 1);
}

static inline void
pass_space(SluiceJsonWalk *walk)
{
	while (walk->at < walk->end &&
		   (*walk->at == ' ' || *walk->at == '\n' || *walk->at == '\r' || *walk->at == '\t'))
		walk->at++;
}

/* Four hexadecimal digits, or -1. */
static int
read_hex(const char *at, const char *end)
{
	int			code = 0;

	if (end - at < 4)
		return -1;
	for (int i = 0; i < 4; i++)
	{
		char		c = at[i];

		if (c >= '0' && c <= '9')
			code = code << 4 | (c - '0');
		else if (c >= 'a' && c <= 'f')
			code = code << 4 | (c - 'a' + 10);
		else if (c >= 'A' && c <= 'F')
			code = code << 4 | (c - 'A' + 10);
		else
			return -1;
	}
	return code;
}

/* The code point of "\uXXXX" or of a pair of them at a backslash; *size is what it takes.  -1: invalid. */
static int
read_unicode_escape(const char *at, const char *end, int *size)
{
	int			high = read_hex(at + 2, end);
	int			low;

	*size = 6;
	if (high < 0xD800 || high > 0xDFFF)
		return high;
	if (high > 0xDBFF || end - at < 12 || at[6] != '\\' || at[7] != 'u')
		return -1;
	low = read_hex(at + 8, end);
	if (low < 0xDC00 || low > 0xDFFF)
		return -1;
	*size = 12;
	return 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
}

/* Pass an escape; at is its backslash. */
static bool
pass_escape(SluiceJsonWalk *walk, const char **at, SluiceJsonSlice *slice)
{
	int			size;
	int			code;

	slice->escaped = true;
	if (walk->end - *at < 2)
		return refuse_string(walk, *at, "22P02", "unterminated string");
	if ((*at)[1] == 'u')
	{
		code = read_unicode_escape(*at, walk->end, &size);
		if (code < 0)
			return refuse_string(walk, *at, "22P02", "invalid \\u escape, or half of a surrogate pair");
		if (code == 0)
			slice->nul = true;
		*at += size;
		return true;
	}
	if (memchr("\"\\/bfnrt", (*at)[1], 8) == NULL)
		return refuse_string(walk, *at, "22P02", "unknown escape");
	*at += 2;
	return true;
}

/* The first byte at or after "at" that is a quote, a backslash, a control character, or not ASCII. */
static inline const char *
pass_plain(const char *at, const char *end)
{
	const uint64_t ones = UINT64_C(0x0101010101010101);
	const uint64_t highs = UINT64_C(0x8080808080808080);

	while (end - at >= 8)
	{
		uint64_t	word;
		uint64_t	quote;
		uint64_t	backslash;

		memcpy(&word, at, 8);
		quote = word ^ (ones * '"');
		backslash = word ^ (ones * '\\');
		/* exact enough: a false alarm only leads to the loop below */
		if (((word - ones * 0x20) | (quote - ones) | (backslash - ones) | word) & highs)
			break;
		at += 8;
	}
	while (at < end && (uint8_t) *at >= 0x20 && (uint8_t) *at < 0x80 && *at != '"' && *at != '\\')
		at++;
	return at;
}

static bool
pass_string(SluiceJsonWalk *walk, SluiceJsonSlice *slice)
{
	const char *at = walk->at + 1;

	for (;;)
	{
		int			n;

		at = pass_plain(at, walk->end);
		if (at == walk->end)
			return refuse_string(walk, walk->at, "22P02", "unterminated string");
		if (*at == '"')
			break;
		if (*at == '\\')
		{
			if (!pass_escape(walk, &at, slice))
				return false;
			continue;
		}
		if ((uint8_t) *at < 0x20)
			return refuse_string(walk, at, "22P02", "control character in a string");
		n = sluice_utf8_length((const uint8_t *) at, (size_t) (walk->end - at));
		if (n == 0)
			return refuse_string(walk, at, "22021", "invalid UTF-8");
		at += n;
	}
	walk->at = at + 1;
	return true;
}

static bool
pass_word(SluiceJsonWalk *walk, const char *word, size_t length)
{
	if ((size_t) (walk->end - walk->at) < length || memcmp(walk->at, word, length) != 0)
		return refuse(walk, "a value");
	walk->at += length;
	return true;
}

/* Pass a value that is no object or array. */
static bool
pass_scalar(SluiceJsonWalk *walk, SluiceJsonSlice *slice, uint8_t *type)
{
	size_t		n;

	switch (walk->at < walk->end ? *walk->at : '\0')
	{
		case '"':
			*type = SLUICE_JSON_STRING;
			return pass_string(walk, slice);
		case 't':
			*type = SLUICE_JSON_TRUE;
			return pass_word(walk, "true", 4);
		case 'f':
			*type = SLUICE_JSON_FALSE;
			return pass_word(walk, "false", 5);
		case 'n':
			*type = SLUICE_JSON_NULL;
			return pass_word(walk, "null", 4);
		default:
			n = sluice_number_scan(walk->at, (size_t) (walk->end - walk->at));
			if (n == 0)
				return refuse(walk, "a value");
			*type = SLUICE_JSON_NUMBER;
			walk->at += n;
			return true;
	}
}

static bool
pass_name(SluiceJsonWalk *walk, SluiceJsonSlice *slice)
{
	pass_space(walk);
	if (walk->at == walk->end || *walk->at != '"')
		return refuse(walk, "a member's name");
	if (!pass_string(walk, slice))
		return false;
	pass_space(walk);
	if (walk->at == walk->end || *walk->at != ':')
		return refuse(walk, "\":\"");
	walk->at++;
	return true;
}

/* Open an object or array within a value; *empty where it closes at once. */
static bool
open_level(SluiceJsonWalk *walk, char *stack, int *level, int depth,
		   SluiceJsonSlice *slice, bool *empty)
{
	char		closing = *walk->at == '{' ? '}' : ']';

	if (depth + *level >= SLUICE_JSON_DEPTH)
		return sluice_format_error_set(walk->error, "54001", "JSON is nested more than %d levels deep at byte %zu",
									   SLUICE_JSON_DEPTH, (size_t) (walk->at - walk->start) + 1);
	walk->at++;
	pass_space(walk);
	*empty = walk->at < walk->end && *walk->at == closing;
	if (*empty)
	{
		walk->at++;
		return true;
	}
	stack[(*level)++] = closing;
	return closing == '}' ? pass_name(walk, slice) : true;
}

/* After a value: pass the brackets that close, and the comma; with *level 0 the whole value is passed. */
static bool
close_levels(SluiceJsonWalk *walk, const char *stack, int *level, SluiceJsonSlice *slice)
{
	while (*level > 0)
	{
		char		closing = stack[*level - 1];

		pass_space(walk);
		if (walk->at < walk->end && *walk->at == ',')
		{
			walk->at++;
			return closing == '}' ? pass_name(walk, slice) : true;
		}
		if (walk->at == walk->end || *walk->at != closing)
			return refuse(walk, closing == '}' ? "\",\" or \"}\"" : "\",\" or \"]\"");
		walk->at++;
		(*level)--;
	}
	return true;
}

bool
sluice_json_walk_value(SluiceJsonWalk *walk, int depth, SluiceJsonSlice *slice)
{
	char		stack[SLUICE_JSON_DEPTH];
	int			level = 0;
	uint8_t		type;

	pass_space(walk);
	slice->data = walk->at;
	slice->escaped = false;
	slice->nul = false;
	if (walk->at < walk->end && (*walk->at == '{' || *walk->at == '['))
		slice->type = *walk->at == '{' ? SLUICE_JSON_OBJECT : SLUICE_JSON_ARRAY;
	else if (!pass_scalar(walk, slice, &slice->type))
		return false;
	else
	{
		slice->length = (uint32_t) (walk->at - slice->data);
		return true;
	}
	do
	{
		bool		empty = true;

		pass_space(walk);
		if (walk->at < walk->end && (*walk->at == '{' || *walk->at == '['))
		{
			if (!open_level(walk, stack, &level, depth, slice, &empty))
				return false;
		}
		else if (!pass_scalar(walk, slice, &type))
			return false;
		if (empty && !close_levels(walk, stack, &level, slice))
			return false;
	} while (level > 0);
	slice->length = (uint32_t) (walk->at - slice->data);
	return true;
}

bool
sluice_json_walk_enter(SluiceJsonWalk *walk, char opening)
{
	pass_space(walk);
	if (walk->at == walk->end || *walk->at != opening)
		return refuse(walk, opening == '{' ? "an object" : "an array");
	walk->at++;
	return true;
}

bool
sluice_json_walk_next(SluiceJsonWalk *walk, char closing, bool first, bool *more)
{
	pass_space(walk);
	*more = true;
	if (walk->at < walk->end && *walk->at == closing)
	{
		walk->at++;
		*more = false;
		return true;
	}
	if (first)
		return true;
	if (walk->at == walk->end || *walk->at != ',')
		return refuse(walk, closing == '}' ? "\",\" or \"}\"" : "\",\" or \"]\"");
	walk->at++;
	return true;
}

bool
sluice_json_walk_name(SluiceJsonWalk *walk, SluiceJsonSlice *name)
{
	pass_space(walk);
	name->data = walk->at;
	name->type = SLUICE_JSON_STRING;
	name->escaped = false;
	name->nul = false;
	if (walk->at == walk->end || *walk->at != '"')
		return refuse(walk, "a member's name");
	if (!pass_string(walk, name))
		return false;
	name->length = (uint32_t) (walk->at - name->data);
	pass_space(walk);
	if (walk->at == walk->end || *walk->at != ':')
		return refuse(walk, "\":\"");
	walk->at++;
	return true;
}

bool
sluice_json_walk_end(SluiceJsonWalk *walk)
{
	pass_space(walk);
	return walk->at == walk->end ? true : refuse(walk, "nothing more");
}

void
sluice_json_walk_unescape(const SluiceJsonSlice *slice, SluiceBuffer *out)
{
	const char *at = slice->data + 1;
	const char *end = slice->data + slice->length - 1;
	char	   *to;

	/* text is never longer than its escapes */
	if (!sluice_buffer_reserve(out, slice->length))
		return;
	to = out->data + out->length;
	while (at < end)
	{
		int			size = 2;

		if (*at != '\\')
		{
			*to++ = *at++;
			continue;
		}
		switch (at[1])
		{
			case 'b':
				*to++ = '\b';
				break;
			case 'f':
				*to++ = '\f';
				break;
			case 'n':
				*to++ = '\n';
				break;
			case 'r':
				*to++ = '\r';
				break;
			case 't':
				*to++ = '\t';
				break;
			case 'u':
				to += sluice_utf8_encode(to, (uint32_t) read_unicode_escape(at, end, &size));
				break;
			default:
				*to++ = at[1];
				break;
		}
		at += size;
	}
	out->length = (size_t) (to - out->data);
}

const char *
sluice_json_walk_type_name(uint8_t type)
{
	static const char *const names[] = {"null", "false", "true", "number", "string", "array", "object"};

	return type < sizeof(names) / sizeof(names[0]) ? names[type] : "value";
}
