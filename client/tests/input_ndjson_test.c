/* input_ndjson: objects, line by line, and their keys. */
#include "feed.h"

#define NDJSON &sluice_input_ndjson

static void
test_lines(void)
{
	feeds(NDJSON, NULL, "", "END", "nothing");
	feeds(NDJSON, NULL, "\n \t\r\n\n", "END", "blank lines only");
	feeds(NDJSON, NULL, "{}\n{\"a\":1}\n", "1:-={}|2:-={\"a\":1}|END", "two lines");
	feeds(NDJSON, NULL, "{}\n\n{\"a\":1}", "1:-={}|3:-={\"a\":1}|END", "no newline at the end, an empty line between");
	feeds(NDJSON, NULL, " {\"a\" : [1, {\"}\":\"]\"}] } \r\n", "1:-={\"a\" : [1, {\"}\":\"]\"}] }|END",
		  "space around it is not sent, brackets in strings are text");
	feeds(NDJSON, NULL, "\xEF\xBB\xBF{}\n", "1:-={}|END", "a byte-order mark");
	feeds(NDJSON, NULL, "{\"a\":\"\\\"\\\\\"}\n", "1:-={\"a\":\"\\\"\\\\\"}|END", "escaped quotes");
}

static void
test_not_objects(void)
{
	static const char *const texts[] = {
		"1", "[]", "\"a\"", "{", "}", "{\"a\"}", "{\"a\":}", "{\"a\":1", "{\"a\":1,}", "{a:1}", "{\"a\":1 \"b\":2}",
		"{\"a\":\"b}", "{\"a\":\"b\\", "{\"a\":[1}", "{\"a\":\"\t\"}", "{,}", "{\"a\":{\"b\":1}", "\xEF\xBB{}"
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
	{
		char		text[100];

		snprintf(text, sizeof(text), "{}\n%s\n{}\n", texts[i]);
		feeds(NDJSON, NULL, text, "1:-={}|ERROR 2: not a JSON object", texts[i]);
	}
	feeds(NDJSON, NULL, "{}\n{} x\n", "1:-={}|ERROR 2: there is something behind the JSON object", "two values");
}

static void
test_keys(void)
{
	feeds(NDJSON, "k", "{\"k\":\"a\"}", "1:a={\"k\":\"a\"}|END", "a string");
	feeds(NDJSON, "k", "{\"k\":-1.50e+3}", "1:-1.50e+3={\"k\":-1.50e+3}|END", "a number as it stands");
	feeds(NDJSON, "k", "{\"x\":{\"k\":1},\"k\":2,\"y\":[\"k\",3]}", "1:2={\"x\":{\"k\":1},\"k\":2,\"y\":[\"k\",3]}|END",
		  "only at the top level");
	feeds(NDJSON, "k", "{\"k\":1,\"k\":2}", "1:2={\"k\":1,\"k\":2}|END", "the last of two");
	feeds(NDJSON, "k", "{\"\\u006B\":\"\\u00e9\\ud83d\\ude00\\n\\/\"}",
		  "1:\xC3\xA9\xF0\x9F\x98\x80\n/={\"\\u006B\":\"\\u00e9\\ud83d\\ude00\\n\\/\"}|END", "escapes in name and value");
	feeds(NDJSON, "k", "{\"kk\":1}\n", "ERROR 1: there is no member \"k\" to be the key", "absent");
	feeds(NDJSON, "k", "{\"k\":\"\"}\n", "ERROR 1: the key \"k\" is empty", "empty");
}

static void
test_bad_keys(void)
{
	static const char *const not_keys[] = {"null", "true", "{}", "[]", "01", "1.", ".5", "-", "1e", "1e+", "+1", "0x1", "NaN"};
	static const char *const bad_escapes[] = {"\\x", "\\u12", "\\u12g4", "\\ud800", "\\ud800\\u0041", "\\udc00", "\\ud800x"};
	char		text[100];

	for (size_t i = 0; i < sizeof(not_keys) / sizeof(not_keys[0]); i++)
	{
		snprintf(text, sizeof(text), "{\"k\":%s}", not_keys[i]);
		feeds(NDJSON, "k", text, "ERROR 1: the key \"k\" is not a string or a number", not_keys[i]);
	}
	for (size_t i = 0; i < sizeof(bad_escapes) / sizeof(bad_escapes[0]); i++)
	{
		snprintf(text, sizeof(text), "{\"k\":\"%s\"}", bad_escapes[i]);
		feeds(NDJSON, "k", text, "ERROR 1: the key \"k\" holds an invalid escape", bad_escapes[i]);
	}
	feeds(NDJSON, "k", "{\"k\":\"a\\u0000b\"}", "ERROR 1: the key \"k\" is not UTF-8 text without zero bytes", "a zero byte");
	feeds(NDJSON, "k", "{\"k\":\"\xC0\x80\"}", "ERROR 1: the key \"k\" is not UTF-8 text without zero bytes", "overlong UTF-8");
	feeds(NDJSON, "k", "{\"k\":\"\xED\xA0\x80\"}", "ERROR 1: the key \"k\" is not UTF-8 text without zero bytes", "a surrogate");
}

static void
test_limits(void)
{
	char		text[2000] = "{\"k\":\"";
	char		name[32];

	memset(text + 6, 'x', 1500);
	strcpy(text + 1506, "\"}\n");
	feeds(NDJSON, "k", text, "ERROR 1: the line is longer than the largest record (1000 bytes)", "a line too long");
	ok(strcmp(feed(NDJSON, "k", 2000, text, 64), "ERROR 1: the key \"k\" is longer than 1024 bytes") == 0, "a key too long");
	for (size_t length = 1023; length <= 1025; length++)
	{
		memset(text + 6, 'x', length);
		strcpy(text + 6 + length, "\"}");
		snprintf(name, sizeof(name), "a key of %zu bytes", length);
		ok((strncmp(feed(NDJSON, "k", 2000, text, 64), "1:xxx", 5) == 0) == (length <= 1024), name);
	}
}

static void
test_entities(void)
{
	feed_entity = "e";
	feeds(NDJSON, "k", "{\"e\":\"x\",\"k\":1}\n{\"k\":2}\n{\"k\":3,\"e\":null}\n{\"k\":4,\"e\":17}",
		  "1:1@x={\"e\":\"x\",\"k\":1}|2:2={\"k\":2}|3:3={\"k\":3,\"e\":null}|4:4@17={\"k\":4,\"e\":17}|END",
		  "entities beside keys, and records without");
	feeds(NDJSON, NULL, "{\"e\":\"\\u00e9\"}{", "ERROR 1: there is something behind the JSON object", "behind an entity");
	feeds(NDJSON, "e", "{\"e\":\"x\"}", "1:x@x={\"e\":\"x\"}|END", "key and entity in one");
	feeds(NDJSON, NULL, "{\"e\":[1]}", "ERROR 1: the entity \"e\" is not a string or a number", "no text");
	feed_entity = NULL;
}

int
main(void)
{
	test_lines();
	test_not_objects();
	test_keys();
	test_bad_keys();
	test_limits();
	test_entities();
	return done_testing();
}
