/*
 * format_json_test.c
 *		JSON payloads: what is JSON, which column takes what, unknown members.
 */
#include "format_case.h"

static const SluiceFormatOptions reject = {.format = SLUICE_FORMAT_JSON,.overflow_column = -1};

/* '`' stands for a quote in payloads and expectations, which is easier to read. */
static void
unquote(char *text)
{
	for (; *text != '\0'; text++)
	{
		if (*text == '`')
			*text = '"';
	}
}

static void
expect(const SluiceFormatOptions *options, const SluiceColumn *columns, int ncolumns,
	   const char *payload, const char *expected)
{
	char	   *sent = strdup(payload);
	char	   *wanted = strdup(expected);
	char	   *exact;
	char	   *got;
	size_t		length;

	unquote(sent);
	unquote(wanted);
	length = strlen(sent);
	/* in memory of its own length, so that a checker of memory sees a read behind the end */
	exact = malloc(length > 0 ? length : 1);
	memcpy(exact, sent, length);
	got = show_payload(options, columns, ncolumns, exact, length);
	is_start(got, wanted, payload);
	if (strlen(wanted) > 5 && wanted[5] != ' ')
		ok(strcmp(got, wanted) == 0, "  and nothing more");
	free(got);
	free(exact);
	free(wanted);
	free(sent);
}

/* One column "v" of a type. */
static void
one(SluiceColumnType type, const char *type_name, bool is_array, const char *payload, const char *expected)
{
	SluiceColumn column = column_of("v", type, type_name);

	column.is_array = is_array;
	expect(&reject, &column, 1, payload, expected);
}

static void
test_grammar(void)
{
	static const char *const good[] = {
		"{}", " {} ", "{`v`:1}", "\t{\n`v`\r: 1 }", "{`v`:[]}", "{`v`:[[],{}]}", "{`v`:{`v`:{}}}",
		"{`v`:-0}", "{`v`:-0.0e-0}", "{`v`:1E+2}", "{`v`:1.5e10}", "{`v`:true}", "{`v`:false}",
		"{`v`:``}", "{`v`:`\\`\\\\\\/\\b\\f\\n\\r\\t\\u12aB`}", "{`v`:`\\ud83d\\ude00`}",
		"{`v`:`h\xc3\xa9llo \xf0\x9f\x98\x80`}", "{`v`:`\x7f`}", "{`v`:1,`v`:2}"
	};
	static const char *const bad[] = {
		"", " ", "{", "}", "[", "[]", "1", "null", "`v`", "{`v`}", "{`v`:}", "{`v`:1,}", "{,}", "{`v`:1 `w`:2}",
		"{`v`:1}}", "{`v`:1} x", "{v:1}", "{'v':1}", "{`v`:01}", "{`v`:+1}", "{`v`:.5}", "{`v`:1.}", "{`v`:1e}",
		"{`v`:1e+}", "{`v`:-}", "{`v`:0x10}", "{`v`:NaN}", "{`v`:Infinity}", "{`v`:tru}", "{`v`:nul}", "{`v`:truex}",
		"{`v`:[1,]}", "{`v`:[,1]}", "{`v`:[1 2]}", "{`v`:[1}", "{`v`:[1}]}", "{`v`:{`a`:1]}", "{`v`:`abc}",
		"{`v`:`\\x`}", "{`v`:`\\u12`}", "{`v`:`\\u12g4`}", "{`v`:`\\ud800`}", "{`v`:`\\ud800\\u0041`}",
		"{`v`:`\\udc00`}", "{`v`:`\\", "{`v`:`\\u", "{`v`:`a\nb`}", "{`v`:`a\tb`}", "{`v`:\x01}", "\xef\xbb\xbf{}",
		"{`v`:1}/**/", "{\xc2\xa0}"
	};
	static const char *const not_utf8[] = {
		"{`v`:`\x80`}", "{`v`:`\xc3`}", "{`v`:`\xc0\x80`}", "{`v`:`\xed\xa0\x80`}", "{`v`:`\xf4\x90\x80\x80`}",
		"{`v`:`\xff`}", "{`v`:`\xe2\x82`}", "{`\xc3\x28`:1}"
	};

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		one(SLUICE_COLUMN_JSON, "json", false, good[i], "v=");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		one(SLUICE_COLUMN_JSON, "json", false, bad[i], "22P02 ");
	for (size_t i = 0; i < sizeof(not_utf8) / sizeof(not_utf8[0]); i++)
		one(SLUICE_COLUMN_JSON, "json", false, not_utf8[i], "22021 ");
	one(SLUICE_COLUMN_JSON, "json", false, "{`v`:1,}", "22P02 invalid JSON: expected a member's name at byte 8, found `}`");
	one(SLUICE_COLUMN_JSON, "json", false, "[1]", "22P02 invalid JSON: expected an object at byte 1, found `[1]`");
}

/* An object of "levels" levels, the payload's own included. */
static void
nested(int levels, char open, const char *expected)
{
	SluiceColumn column = column_of("v", SLUICE_COLUMN_JSONB, "jsonb");
	SluiceBuffer text = {0};
	char	   *got;

	sluice_buffer_append_text(&text, "{\"v\":");
	for (int i = 1; i < levels; i++)
		sluice_buffer_append_text(&text, open == '[' ? "[" : i == levels - 1 ? "{" : "{\"a\":");
	for (int i = 1; i < levels; i++)
		sluice_buffer_append_char(&text, open == '[' ? ']' : '}');
	sluice_buffer_append_char(&text, '}');
	got = show_payload(&reject, &column, 1, text.data, text.length);
	ok(strncmp(got, expected, strlen(expected)) == 0, "%d levels of '%c': %.12s", levels, open, got);
	free(got);
	sluice_buffer_free(&text);
}

static void
test_scalars(void)
{
	one(SLUICE_COLUMN_TEXT, "text", false, "{`v`:`a\\u00e9\\n\\ud83d\\ude00`}", "v=a\xc3\xa9\n\xf0\x9f\x98\x80");
	one(SLUICE_COLUMN_TEXT, "text", false, "{`v`:1.50e3}", "v=1.50e3");
	one(SLUICE_COLUMN_TEXT, "text", false, "{`v`:true}", "v=true");
	one(SLUICE_COLUMN_TEXT, "text", false, "{`v`:null}", "v=NULL");
	one(SLUICE_COLUMN_TEXT, "text", false, "{`v`:{`a`:1}}", "2203F member `v`: unexpected object");
	one(SLUICE_COLUMN_TEXT, "text", false, "{`v`:[1]}", "2203F member `v`: unexpected array");
	one(SLUICE_COLUMN_TEXT, "text", false, "{`v`:`a\\u0000`}", "22P05 ");
	one(SLUICE_COLUMN_BOOL, "boolean", false, "{`v`:false}", "v=false");
	one(SLUICE_COLUMN_BOOL, "boolean", false, "{`v`:`true`}", "v=true");
	one(SLUICE_COLUMN_BOOL, "boolean", false, "{`v`:1}", "22P02 ");
	one(SLUICE_COLUMN_BOOL, "boolean", false, "{`v`:`yes`}", "22P02 ");
	one(SLUICE_COLUMN_INT4, "integer", false, "{`v`:42}", "v=42");
	one(SLUICE_COLUMN_INT4, "integer", false, "{`v`:-2147483648}", "v=-2147483648");
	one(SLUICE_COLUMN_INT4, "integer", false, "{`v`:2147483648}", "22003 value 2147483648 is out of range for column `v`");
	one(SLUICE_COLUMN_INT4, "integer", false, "{`v`:1.0}", "v=1");
	one(SLUICE_COLUMN_INT4, "integer", false, "{`v`:1.5}", "22P02 ");
	one(SLUICE_COLUMN_INT4, "integer", false, "{`v`:12e3}", "v=12000");
	one(SLUICE_COLUMN_INT4, "integer", false, "{`v`:1.2e1}", "v=12");
	one(SLUICE_COLUMN_INT4, "integer", false, "{`v`:1200e-2}", "v=12");
	one(SLUICE_COLUMN_INT4, "integer", false, "{`v`:1e-1}", "22P02 ");
	one(SLUICE_COLUMN_INT4, "integer", false, "{`v`:1e400000000000}", "22003 ");
	one(SLUICE_COLUMN_INT4, "integer", false, "{`v`:0e999999999999999999999}", "v=0");
	one(SLUICE_COLUMN_INT4, "integer", false, "{`v`:-0}", "v=0");
	one(SLUICE_COLUMN_INT4, "integer", false, "{`v`:`17`}", "v=17");
	one(SLUICE_COLUMN_INT4, "integer", false, "{`v`:` 17`}", "22P02 ");
	one(SLUICE_COLUMN_INT4, "integer", false, "{`v`:``}", "22P02 ");
	one(SLUICE_COLUMN_INT4, "integer", false, "{`v`:true}", "22P02 ");
	one(SLUICE_COLUMN_INT2, "smallint", false, "{`v`:32768}", "22003 ");
	one(SLUICE_COLUMN_INT8, "bigint", false, "{`v`:9223372036854775807}", "v=9223372036854775807");
	one(SLUICE_COLUMN_INT8, "bigint", false, "{`v`:-9223372036854775808}", "v=-9223372036854775808");
	one(SLUICE_COLUMN_INT8, "bigint", false, "{`v`:9223372036854775808}", "22003 ");
	one(SLUICE_COLUMN_INT8, "bigint", false, "{`v`:-9223372036854775809}", "22003 ");
	one(SLUICE_COLUMN_INT8, "bigint", false, "{`v`:18446744073709551617}", "22003 ");
	one(SLUICE_COLUMN_FLOAT8, "double precision", false, "{`v`:0.1}", "v=0.1");
	one(SLUICE_COLUMN_FLOAT8, "double precision", false, "{`v`:`NaN`}", "v=NaN");
	one(SLUICE_COLUMN_FLOAT8, "double precision", false, "{`v`:`-Infinity`}", "v=-Infinity");
	one(SLUICE_COLUMN_FLOAT8, "double precision", false, "{`v`:1e999}", "22003 ");
	one(SLUICE_COLUMN_FLOAT8, "double precision", false, "{`v`:1e-999}", "22003 ");
	one(SLUICE_COLUMN_FLOAT8, "double precision", false, "{`v`:`x`}", "22P02 ");
	one(SLUICE_COLUMN_FLOAT4, "real", false, "{`v`:1e39}", "22003 ");
	one(SLUICE_COLUMN_NUMERIC, "numeric", false, "{`v`:0.10000000000000000000000001}", "v=0.10000000000000000000000001");
	one(SLUICE_COLUMN_BYTEA, "bytea", false, "{`v`:`\\\\x00fF`}", "v=\\x00ff");
	one(SLUICE_COLUMN_BYTEA, "bytea", false, "{`v`:`\\\\x`}", "v=\\x");
	one(SLUICE_COLUMN_BYTEA, "bytea", false, "{`v`:`\\\\x0`}", "22P02 ");
	one(SLUICE_COLUMN_BYTEA, "bytea", false, "{`v`:`\\\\x0g`}", "22P02 ");
	one(SLUICE_COLUMN_BYTEA, "bytea", false, "{`v`:`AAEC`}", "22P02 ");
	one(SLUICE_COLUMN_UUID, "uuid", false, "{`v`:`{A0EEBC99-9c0b4ef8bb6d6bb9bd380a11}`}", "v={A0EEBC99-9c0b4ef8bb6d6bb9bd380a11}");
	one(SLUICE_COLUMN_UUID, "uuid", false, "{`v`:`x`}", "22P02 invalid uuid for column `v`: `x`");
	one(SLUICE_COLUMN_UUID, "uuid", false, "{`v`:1}", "22P02 ");
	one(SLUICE_COLUMN_TIMESTAMPTZ, "timestamp with time zone", false, "{`v`:`2024-02-29T00:00:00Z`}", "v=2024-02-29T00:00:00Z");
	one(SLUICE_COLUMN_TIMESTAMPTZ, "timestamp with time zone", false, "{`v`:12}", "22P02 ");
	one(SLUICE_COLUMN_OTHER, "inet", false, "{`v`:`::1`}", "v=::1");
	one(SLUICE_COLUMN_OTHER, "oid", false, "{`v`:12}", "v=12");
	one(SLUICE_COLUMN_JSONB, "jsonb", false, "{`v`: {`a` : [1, null]} }", "v={`a` : [1, null]}");
	one(SLUICE_COLUMN_JSONB, "jsonb", false, "{`v`:`\\u0000`}", "22P05 ");
	one(SLUICE_COLUMN_JSONB, "jsonb", false, "{`v`:{`\\u0000`:1}}", "22P05 ");
	one(SLUICE_COLUMN_JSON, "json", false, "{`v`:`\\u0000`}", "v=`\\u0000`");
	one(SLUICE_COLUMN_JSON, "json", false, "{`v`:null}", "v=NULL");
}

static void
test_arrays(void)
{
	one(SLUICE_COLUMN_INT4, "integer", true, "{`v`:[1,2.0,null,`3`]}", "v={1,2,NULL,3}");
	one(SLUICE_COLUMN_INT4, "integer", true, "{`v`:[]}", "v={}");
	one(SLUICE_COLUMN_INT4, "integer", true, "{`v`:[[1,2],[3,4]]}", "v={{1,2},{3,4}}");
	one(SLUICE_COLUMN_INT4, "integer", true, "{`v`:[[],[]]}", "22P02 member `v`: empty array within an array");
	one(SLUICE_COLUMN_INT4, "integer", true, "{`v`:[1,`x`]}", "22P02 ");
	one(SLUICE_COLUMN_INT4, "integer", true, "{`v`:[99999999999]}", "22003 ");
	one(SLUICE_COLUMN_INT4, "integer", true, "{`v`:1}", "22P02 ");
	one(SLUICE_COLUMN_INT4, "integer", true, "{`v`:[{}]}", "2203F ");
	one(SLUICE_COLUMN_INT4, "integer", true, "{`v`:[[[[[[[1]]]]]]]}", "22P02 ");
	one(SLUICE_COLUMN_TEXT, "text", true, "{`v`:[`a b`,``,`NULL`,`q\\`\\\\{,}`,true,1]}",
		"v={`a b`,``,`NULL`,`q\\`\\\\{,}`,true,1}");
	one(SLUICE_COLUMN_TEXT, "text", true, "{`v`:null}", "v=NULL");
	one(SLUICE_COLUMN_BYTEA, "bytea", true, "{`v`:[`\\\\x01`]}", "v={`\\\\x01`}");
	one(SLUICE_COLUMN_JSONB, "jsonb", true, "{`v`:[{`a`:[1]},[2],null,`x`]}", "v={`{\\`a\\`:[1]}`,`[2]`,NULL,`\\`x\\``}");
}

static void
test_members(void)
{
	SluiceColumn columns[4] = {
		column_of("a", SLUICE_COLUMN_INT4, "integer"),
		column_of("caf\xc3\xa9", SLUICE_COLUMN_TEXT, "text"),
		column_of("rest", SLUICE_COLUMN_JSONB, "jsonb"),
		column_of("d", SLUICE_COLUMN_INT4, "integer")
	};
	SluiceFormatOptions options = {.format = SLUICE_FORMAT_JSON,.overflow_column = -1};

	columns[3].has_default = true;
	expect(&options, columns, 4, "{`a`:1,`a`:`no number`,`a`:3}", "a=3 caf\xc3\xa9=NULL rest=NULL d=DEFAULT");
	expect(&options, columns, 4, "{`d`:null}", "a=NULL caf\xc3\xa9=NULL rest=NULL d=NULL");
	expect(&options, columns, 4, "{`\\u0061`:1,`caf\\u00e9`:`x`}", "a=1 caf\xc3\xa9=x rest=NULL d=DEFAULT");
	expect(&options, columns, 4, "{`A`:1}", "22000 no column takes member `A`");
	expect(&options, columns, 4, "{`a`:1,`zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz`:1}",
		   "22000 no column takes member `zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz...`");
	options.unknown = SLUICE_UNKNOWN_IGNORE;
	expect(&options, columns, 4, "{`x`:[1],`a`:1}", "a=1 caf\xc3\xa9=NULL rest=NULL d=DEFAULT");
	expect(&options, columns, 4, "{`x`:[1,`a`:1}", "22P02 ");
	options.unknown = SLUICE_UNKNOWN_OVERFLOW;
	options.overflow_column = 2;
	expect(&options, columns, 4, "{`x`:[1],`a`:1,`rest`: {`y`:2}}",
		   "a=1 caf\xc3\xa9=NULL rest={`x`:[1],`rest`:{`y`:2}} d=DEFAULT");
	expect(&options, columns, 4, "{`a`:1}", "a=1 caf\xc3\xa9=NULL rest=NULL d=DEFAULT");
	expect(&options, columns, 4, "{`x`:`\\u0000`}", "22P05 ");
	columns[2].not_null = true;
	expect(&options, columns, 4, "{`a`:1}", "a=1 caf\xc3\xa9=NULL rest={} d=DEFAULT");
	columns[2].type = SLUICE_COLUMN_TEXT;
	expect(&options, columns, 4, "{`a`:1}", "bind: 42804 overflow column `rest` must be of type jsonb or json");
}

static void
test_whole(void)
{
	SluiceColumn column = column_of("payload", SLUICE_COLUMN_JSONB, "jsonb");
	SluiceColumn two[2] = {
		column_of("payload", SLUICE_COLUMN_JSONB, "jsonb"), column_of("other", SLUICE_COLUMN_TEXT, "text")
	};

	expect(&reject, &column, 1, " {`a`:1, `payload`:2} ", "payload={`a`:1, `payload`:2}");
	expect(&reject, &column, 1, "[1]", "22P02 payload must be a JSON object, not array");
	expect(&reject, &column, 1, "{`a`:`\\u0000`}", "22P05 ");
	expect(&reject, &column, 1, "{} {}", "22P02 ");
	expect(&reject, two, 2, "{`payload`:{`a`:1}}", "payload={`a`:1} other=NULL");
	column.name = "body";
	expect(&reject, &column, 1, "{`body`:2}", "body=2");
	expect(&reject, NULL, 0, "{}", "bind: 42804 target has no column that a payload could fill");
}

static void
test_bytes(void)
{
	SluiceFormatOptions options = {.format = SLUICE_FORMAT_BYTES,.overflow_column = -1};
	SluiceColumn columns[3] = {
		column_of("a", SLUICE_COLUMN_BYTEA, "bytea"),
		column_of("payload", SLUICE_COLUMN_BYTEA, "bytea"),
		column_of("n", SLUICE_COLUMN_INT4, "integer")
	};

	expect(&options, columns, 3, "ab", "payload=\\x6162");
	expect(&options, columns, 1, "", "a=\\x");
	columns[1].name = "b";
	expect(&options, columns, 3, "ab", "bind: 42804 target has 2 columns of type bytea, and none of them is named `payload`");
	expect(&options, columns + 2, 1, "ab", "bind: 42804 target has no column of type bytea for the payload");
	columns[2].not_null = true;
	expect(&options, columns + 1, 2, "ab", "bind: 23502 column `n` is NOT NULL without a default");
}

static void
test_binary(void)
{
	static const struct
	{
		SluiceColumnType type;
		bool		is_array;
		bool		binary;
	}			cases[] = {
		{SLUICE_COLUMN_BOOL, false, true}, {SLUICE_COLUMN_INT2, false, true}, {SLUICE_COLUMN_FLOAT8, false, true},
		{SLUICE_COLUMN_TEXT, false, true}, {SLUICE_COLUMN_BYTEA, false, true}, {SLUICE_COLUMN_JSONB, false, true},
		{SLUICE_COLUMN_UUID, false, true}, {SLUICE_COLUMN_NUMERIC, false, false}, {SLUICE_COLUMN_OTHER, false, false},
		{SLUICE_COLUMN_TIMESTAMPTZ, false, false}, {SLUICE_COLUMN_INTERVAL, false, false}, {SLUICE_COLUMN_TEXT, true, false}
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		SluiceColumn column = column_of("v", cases[i].type, "type");
		SluiceFormatError error;
		SluiceFormat *format;

		column.is_array = cases[i].is_array;
		format = sluice_format_bind(&reject, &column, 1, &error);
		ok(format != NULL && sluice_row_is_binary(format, &column, 1) == cases[i].binary,
		   "column type %d%s of a json stream %s binary", (int) cases[i].type, cases[i].is_array ? "[]" : "",
		   cases[i].binary ? "is" : "is not");
		sluice_format_free(format);
	}
}

static void
test_tables(void)
{
	SluiceFormatOptions options = {.format = SLUICE_FORMAT_JSON};
	SluiceFormatError error;
	SluiceBuffer out = {0};

	ok(sluice_format_table_columns(&options, &out, &error), "table columns of a json stream");
	options.format = SLUICE_FORMAT_BYTES;
	sluice_buffer_append_text(&out, "; ");
	ok(sluice_format_table_columns(&options, &out, &error), "table columns of a bytes stream");
	sluice_buffer_append_char(&out, '\0');
	is_text(out.data, "\"payload\" pg_catalog.jsonb; \"payload\" pg_catalog.bytea", "one payload column");
	sluice_buffer_free(&out);
}

int
main(void)
{
	test_grammar();
	nested(128, '[', "v=");
	nested(129, '[', "54001 ");
	nested(128, '{', "v=");
	nested(129, '{', "54001 ");
	nested(100000, '[', "54001 ");
	test_scalars();
	test_arrays();
	test_members();
	test_whole();
	test_bytes();
	test_binary();
	test_tables();
	return finish();
}
