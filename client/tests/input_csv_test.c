/* input_csv: rows become objects. */
#include "feed.h"

#define CSV &sluice_input_csv

static void
test_rows(void)
{
	feeds(CSV, NULL, "", "END", "nothing");
	feeds(CSV, NULL, "a,b\n", "END", "a header only");
	feeds(CSV, NULL, "a,b\n1,2\n3,4", "2:-={\"a\":\"1\",\"b\":\"2\"}|3:-={\"a\":\"3\",\"b\":\"4\"}|END", "rows");
	feeds(CSV, NULL, "\xEF\xBB\xBF" "a,b\r\n1,2\r\n", "2:-={\"a\":\"1\",\"b\":\"2\"}|END", "CR LF and a byte-order mark");
	feeds(CSV, NULL, "\na,b\n\n1,2\n\r\n3,4\n\n", "4:-={\"a\":\"1\",\"b\":\"2\"}|6:-={\"a\":\"3\",\"b\":\"4\"}|END", "blank lines");
	feeds(CSV, NULL, "a,b,c\n,\"\",\n", "2:-={\"a\":null,\"b\":\"\",\"c\":null}|END", "null, and the empty string");
	feeds(CSV, NULL, "a\n\"x,\"\"y\"\"\n\r\n\"\nz\n", "2:-={\"a\":\"x,\\\"y\\\"\\n\\u000d\\n\"}|5:-={\"a\":\"z\"}|END",
		  "commas, quotes and line breaks in a quoted field; lines are counted on");
	feeds(CSV, NULL, "a\n\\\t\x01\xC3\xA9\n", "2:-={\"a\":\"\\\\\\u0009\\u0001\xC3\xA9\"}|END", "escapes for JSON");
	feeds(CSV, NULL, "\"a\"\"b\",c\n1,2\n", "2:-={\"a\\\"b\":\"1\",\"c\":\"2\"}|END", "a quoted name");
	feeds(CSV, NULL, "a,b\n 1 , 2\n", "2:-={\"a\":\" 1 \",\"b\":\" 2\"}|END", "space belongs to a field");
}

static void
test_keys(void)
{
	feeds(CSV, "b", "a,b\n1,k1\n2,\"k,2\"\n", "2:k1={\"a\":\"1\",\"b\":\"k1\"}|3:k,2={\"a\":\"2\",\"b\":\"k,2\"}|END", "keys");
	feeds(CSV, "c", "a,b\n1,2\n", "ERROR 1: there is no column \"c\" to be the key", "no such column");
	feeds(CSV, "b", "a,b\n1,2\n3,\n", "2:2={\"a\":\"1\",\"b\":\"2\"}|ERROR 3: the key \"b\" is empty", "an empty key");
}

static void
test_errors(void)
{
	feeds(CSV, NULL, "a,b\n1,2\n3\n", "2:-={\"a\":\"1\",\"b\":\"2\"}|ERROR 3: the row has 1 fields, the header has 2", "too few");
	feeds(CSV, NULL, "a,b\n1,2,3\n", "ERROR 2: the row has 3 fields, the header has 2", "too many");
	feeds(CSV, NULL, "a,b\n1,2\"\"\n", "ERROR 2: field 2 is not quoted rightly", "quotes in an unquoted field");
	feeds(CSV, NULL, "a,b\n\"1\"x,2\n", "ERROR 2: field 1 is not quoted rightly", "text behind a quoted field");
	feeds(CSV, NULL, "a,b\n1,\"2\n3,4\n", "ERROR 2: the file ends within a quoted field", "a quote that is never closed");
	feeds(CSV, NULL, "a,,b\n", "ERROR 1: column 2 has no name", "a column without a name");
	feeds(CSV, NULL, "a,b,\"a\"\n", "ERROR 1: columns 1 and 3 have the same name", "two columns of one name");
}

static void
test_limits(void)
{
	static char text[40000];

	strcpy(text, "a\n\"");
	memset(text + 3, 'x', 1500);
	feeds(CSV, NULL, text, "ERROR 2: the row is longer than the largest record (1000 bytes); is a quote missing?",
		  "a row too long");
	text[0] = '\0';
	for (int i = 0; i <= 1600; i++)
		sprintf(text + strlen(text), "%sc%d", i > 0 ? "," : "", i);
	ok(strcmp(feed(CSV, NULL, 100000, text, 100000), "ERROR 1: there are more than 1600 columns") == 0, "too many columns");
}

static void
test_entities(void)
{
	feed_entity = "e";
	feeds(&sluice_input_csv, "k", "k,e\n1,x\n2,\n", "2:1@x={\"k\":\"1\",\"e\":\"x\"}|3:2={\"k\":\"2\",\"e\":null}|END",
		  "entities beside keys, and a record without");
	feeds(&sluice_input_csv, "k", "k\n1\n", "ERROR 1: there is no column \"e\" to be the entity", "no such column");
	feed_entity = NULL;
}

int
main(void)
{
	test_rows();
	test_keys();
	test_errors();
	test_limits();
	test_entities();
	return done_testing();
}
