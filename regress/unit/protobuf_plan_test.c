/*
 * protobuf_plan_test.c
 *		Messages against tables: unknown fields, proto2, bind's refusals, the tables made for messages.
 */
#include "protobuf_case.h"

static void
put_wide(void)
{
	put_int(&wire, 1, 5);
	put_text(&wire, 2, "more");
	put_int(&wire, 3, UINT32_MAX);
	put_fixed(&wire, 4, UINT64_MAX, 8);
	put_int(&wire, 5, 1);
	put_int(&wire, 5, 2);
	put_int(&inner, 1, 6);
	put_text(&inner, 2, "deep");
	put_message(&wire, 6, &inner);
}

static void
test_unknown(void)
{
	SluiceColumn columns[3] = {
		column_of("known", SLUICE_COLUMN_INT4, "integer"),
		column_of("inner", SLUICE_COLUMN_JSONB, "jsonb"),
		column_of("rest", SLUICE_COLUMN_JSONB, "jsonb")
	};
	SluiceFormatOptions options = options_of("test.Narrow");

	put_wide();
	bound(&options, columns, 2, "22000 message \"test.Narrow\" has no field of number 2", "unknown fields are refused");
	options.unknown = SLUICE_UNKNOWN_IGNORE;
	put_wide();
	bound(&options, columns, 2, "known=5 inner={\"known\":6}", "unknown fields are dropped where the user said so");
	put_int(&wire, 1, 5);
	put_tag(&wire, 9, 2);
	put_varint(&wire, 10);
	bound(&options, columns, 2, "22P03 *", "what is dropped must be wire format too");
	options.unknown = SLUICE_UNKNOWN_OVERFLOW;
	options.overflow_column = 2;
	put_wide();
	bound(&options, columns, 3,
		  "known=5 inner={\"known\":6,\"#2\":\"ZGVlcA==\"} rest={\"#2\":\"bW9yZQ==\",\"#3\":4294967295,\"#4\":18446744073709551615,\"#5\":[1,2]}",
		  "unknown fields go to the overflow column");
	put_int(&wire, 1, 5);
	bound(&options, columns, 3, "known=5 inner=NULL rest=NULL", "nothing unknown: the overflow column is NULL");
	put_tag(&wire, 7, 3);
	put_int(&wire, 1, 1);
	put_tag(&wire, 8, 3);
	put_tag(&wire, 8, 4);
	put_tag(&wire, 7, 4);
	bound(&options, columns, 3, "known=0 inner=NULL rest={\"#7\":\"CAFDRDw=\"}", "an unknown group");
	put_tag(&wire, 7, 3);
	put_tag(&wire, 8, 4);
	bound(&options, columns, 3, "22P03 *", "a group that ends as another one");
	for (int i = 0; i < 1000; i++)
		put_tag(&wire, 7, 3);
	bound(&options, columns, 3, "22P03 *", "1000 groups within each other");

	/* known to the message, but without a column */
	options = options_of("test.Wide");
	put_wide();
	bound(&options, columns, 2, "bind: 42703 target has no column for field \"more\"", "a field without a column is refused by bind");
	options.unknown = SLUICE_UNKNOWN_IGNORE;
	put_wide();
	bound(&options, columns, 2, "known=5 inner={\"known\":6,\"more\":\"deep\"}", "fields without a column are dropped where the user said so");
	options.unknown = SLUICE_UNKNOWN_OVERFLOW;
	options.overflow_column = 2;
	put_wide();
	put_int(&wire, 99, 1);
	bound(&options, columns, 3,
		  "known=5 inner={\"known\":6,\"more\":\"deep\"} rest={\"more\":\"more\",\"number\":4294967295,\"wide\":\"18446744073709551615\",\"many\":[1,2],\"#99\":1}",
		  "fields without a column go to the overflow column by name");
}

static void
test_legacy(void)
{
	SluiceColumn columns[] = {
		column_of("name", SLUICE_COLUMN_TEXT, "text"), column_of("count", SLUICE_COLUMN_INT2, "smallint"),
		column_of("text", SLUICE_COLUMN_TEXT, "text"), column_of("raw", SLUICE_COLUMN_BYTEA, "bytea"),
		column_of("ratio", SLUICE_COLUMN_FLOAT8, "double precision"), column_of("level", SLUICE_COLUMN_TEXT, "text"),
		column_of("plain", SLUICE_COLUMN_INT4, "integer"), column_of("flag", SLUICE_COLUMN_BOOL, "boolean"),
		column_of("most", SLUICE_COLUMN_NUMERIC, "numeric"), column_of("numbers", SLUICE_COLUMN_INT4, "integer"),
		column_of("part", SLUICE_COLUMN_JSONB, "jsonb")
	};
	SluiceFormatOptions options = options_of("test.Legacy");

	columns[9].is_array = true;
	put_text(&wire, 1, "n");
	bound(&options, columns, 11,
		  "name=n count=-42 text=hello \"you\" raw=\\x015c78ff ratio=-Infinity level=HIGH plain=NULL flag=true "
		  "most=18446744073709551615 numbers={} part=NULL", "proto2's defaults");
	bound(&options, columns, 11, "22004 required field \"name\" of message \"test.Legacy\" is missing", "a required field is missing");
	put_text(&wire, 1, "n");
	put_int(&inner, 1, 0);
	put_message(&wire, 11, &inner);
	bound(&options, columns, 11, "22004 required field \"b\" of message \"test.Legacy.Part\" is missing", "a required field of a nested message is missing");
	put_text(&wire, 1, "n");
	put_int(&inner, 1, 0);
	put_message(&wire, 11, &inner);
	put_int(&inner, 2, 0);
	put_message(&wire, 11, &inner);
	bound(&options, columns, 11, "name=n count=-42*", "required fields in two pieces of a message");
	put_text(&wire, 1, "n");
	put_int(&wire, 150, 1);
	bound(&options, columns, 11, "22000 *", "an extension is an unknown field");
	columns[8].type = SLUICE_COLUMN_INT8;
	bound(&options, columns, 11, "bind: 22003 value 18446744073709551615 is out of range for column \"most\"*", "a default that the column cannot hold");
	options.message_type = "test.Grouped";
	bound(&options, columns, 11, "bind: 0A000 field \"inside\" of message \"test.Grouped\" is a group, which is not supported", "a group");
}

static void
test_bind(void)
{
	static const struct
	{
		const char *field;
		SluiceColumnType type;
		bool		is_array;
		const char *expected;
	}			cases[] = {
		{"f_bytes", SLUICE_COLUMN_INT4, false, "42804 field \"f_bytes\" of type bytes does not fit column \"f_bytes\" of type T"},
		{"f_bytes", SLUICE_COLUMN_TEXT, false, "42804 "},
		{"f_string", SLUICE_COLUMN_BYTEA, false, "42804 "},
		{"f_string", SLUICE_COLUMN_OTHER, false, ""},
		{"f_string", SLUICE_COLUMN_INT4, false, ""},
		{"f_string", SLUICE_COLUMN_TEXT, true, "42804 field \"f_string\" of type string does not fit column \"f_string\" of type T[]"},
		{"f_int64", SLUICE_COLUMN_INT2, false, ""},
		{"f_int64", SLUICE_COLUMN_BOOL, false, "42804 "},
		{"f_int64", SLUICE_COLUMN_TIMESTAMPTZ, false, "42804 "},
		{"f_int64", SLUICE_COLUMN_BYTEA, false, "42804 "},
		{"f_double", SLUICE_COLUMN_INT8, false, "42804 "},
		{"f_double", SLUICE_COLUMN_FLOAT4, false, ""},
		{"f_bool", SLUICE_COLUMN_INT4, false, "42804 "},
		{"f_bool", SLUICE_COLUMN_JSONB, false, ""},
		{"f_enum_name", SLUICE_COLUMN_FLOAT8, false, "42804 "},
		{"f_enum_name", SLUICE_COLUMN_OTHER, false, ""},
		{"f_timestamp", SLUICE_COLUMN_INT8, false, "42804 "},
		{"f_timestamp", SLUICE_COLUMN_INTERVAL, false, "42804 "},
		{"f_duration", SLUICE_COLUMN_TIMESTAMPTZ, false, "42804 "},
		{"w_bool", SLUICE_COLUMN_INT4, false, "42804 field \"w_bool\" of type message google.protobuf.BoolValue does not fit"},
		{"w_bool", SLUICE_COLUMN_BOOL, false, ""},
		{"r_int32", SLUICE_COLUMN_INT4, false, "42804 field \"r_int32\" of type repeated int32 does not fit"},
		{"r_int32", SLUICE_COLUMN_INT2, true, ""},
		{"r_int32", SLUICE_COLUMN_BOOL, true, "42804 "},
		{"r_int32", SLUICE_COLUMN_JSON, false, ""},
		{"r_point", SLUICE_COLUMN_JSONB, true, "42804 "},
		{"f_point", SLUICE_COLUMN_TEXT, false, "42804 field \"f_point\" of type message test.Point does not fit"},
		{"m_int", SLUICE_COLUMN_TEXT, true, "42804 field \"m_int\" of type map does not fit"}
	};
	SluiceFormatOptions options = EVERYTHING;
	SluiceFormatError error;

	options.unknown = SLUICE_UNKNOWN_IGNORE;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		SluiceColumn column = column_of(cases[i].field, cases[i].type, "T");
		SluiceFormat *format;
		char		got[600] = "";

		column.is_array = cases[i].is_array;
		format = sluice_format_bind(&options, &column, 1, &error);
		if (format == NULL)
			snprintf(got, sizeof(got), "%s %s", error.sqlstate, error.message);
		ok((format != NULL) == (cases[i].expected[0] == '\0') &&
		   strncmp(got, cases[i].expected, strlen(cases[i].expected)) == 0,
		   "%s into type %d%s: %s", cases[i].field, (int) cases[i].type, cases[i].is_array ? "[]" : "", got);
		sluice_format_free(format);
	}
}

static void
test_bind_table(void)
{
	SluiceColumn columns[2] = {
		column_of("known", SLUICE_COLUMN_INT4, "integer"), column_of("must", SLUICE_COLUMN_INT4, "integer")
	};
	SluiceFormatOptions options = options_of("test.Narrow");
	SluiceFormatError error;

	options.unknown = SLUICE_UNKNOWN_IGNORE;
	columns[1].not_null = true;
	bound(&options, columns, 2, "bind: 23502 column \"must\" is NOT NULL without a default, and nothing in the payload fills it",
		  "a column that must have a value, and no field fills");
	columns[1].has_default = true;
	put_int(&wire, 1, 3);
	bound(&options, columns, 2, "known=3", "a column that no field fills is left to its default");
	options.unknown = SLUICE_UNKNOWN_REJECT;
	ok(sluice_format_bind(&options, columns, 1, &error) == NULL && strstr(error.hint, "overflow_column") != NULL &&
	   strstr(error.hint, "unknown_fields => 'ignore'") != NULL && strstr(error.hint, "Add a column") != NULL,
	   "a field without a column: the hint names three ways out");
	options.message_type = "Narrow";
	bound(&options, columns, 1, "bind: 42704 message type \"Narrow\" is not in the descriptor set", "no such message type");
	options.message_type = "test.Color";
	bound(&options, columns, 1, "bind: 42704 *", "an enum is no message type");
	options.descriptor_set = (const uint8_t *) "garbage";
	options.descriptor_set_length = 7;
	bound(&options, columns, 1, "bind: 22023 *", "a descriptor set of garbage");
	options.descriptor_set_length = 0;
	bound(&options, columns, 1, "bind: 22023 *", "an empty descriptor set");
	options.descriptor_set = NULL;
	bound(&options, columns, 1, "bind: 22023 *", "no descriptor set");
}

static void
test_binary(void)
{
	SluiceColumn columns[] = {
		column_of("device_id", SLUICE_COLUMN_TEXT, "text"),
		column_of("timestamp", SLUICE_COLUMN_TIMESTAMPTZ, "timestamp with time zone"),
		column_of("temperature_celsius", SLUICE_COLUMN_FLOAT8, "double precision"),
		column_of("humidity_percent", SLUICE_COLUMN_FLOAT8, "double precision"),
		column_of("other", SLUICE_COLUMN_OTHER, "inet")
	};
	SluiceFormatOptions options = options_of("ingestion.DataPayload");
	SluiceFormatError error;
	SluiceFormat *format = sluice_format_bind(&options, columns, 5, &error);

	ok(format != NULL && sluice_row_is_binary(format, columns, 5), "ingestion.DataPayload takes the binary form");
	ok(format != NULL && !sluice_format_filled(format, 4), "a column without a field is not filled, and does not count");
	sluice_format_free(format);
	put_text(&wire, 1, "sensor-1");
	put_seconds(&wire, 2, 1709164800, 0);
	put_double(&wire, 3, 21.5);
	put_double(&wire, 4, 40);
	bound(&options, columns, 5, "device_id=sensor-1 timestamp=2024-02-29 00:00:00+00 temperature_celsius=21.5 humidity_percent=40",
		  "ingestion.DataPayload");
	columns[0].type = SLUICE_COLUMN_TIMESTAMPTZ;
	format = sluice_format_bind(&options, columns, 5, &error);
	ok(format != NULL && !sluice_row_is_binary(format, columns, 5), "a string for timestamptz takes the text form");
	sluice_format_free(format);
}

static void
test_tables(void)
{
	SluiceFormatOptions options = options_of("ingestion.DataPayload");
	SluiceFormatError error;
	SluiceBuffer out = {0};

	ok(sluice_format_table_columns(&options, &out, &error), "table columns of ingestion.DataPayload");
	sluice_buffer_append_char(&out, '\0');
	is_text(out.data, "\"device_id\" pg_catalog.text, \"timestamp\" timestamp with time zone, "
			"\"temperature_celsius\" double precision, \"humidity_percent\" double precision", "its columns");
	sluice_buffer_reset(&out);
	options = options_of("test.Everything");
	ok(sluice_format_table_columns(&options, &out, &error), "table columns of test.Everything");
	sluice_buffer_append_char(&out, '\0');
	ok(strstr(out.data, "\"f_uint64\" numeric,") && strstr(out.data, "\"f_uint32\" bigint,") &&
	   strstr(out.data, "\"w_uint64\" numeric,") && strstr(out.data, "\"r_timestamp\" timestamp with time zone[],") &&
	   strstr(out.data, "\"r_enum\" pg_catalog.text[],") && strstr(out.data, "\"m_int\" pg_catalog.jsonb,") &&
	   strstr(out.data, "\"r_point\" pg_catalog.jsonb,") && strstr(out.data, "\"f_struct\" pg_catalog.jsonb,") &&
	   strstr(out.data, "\"f_duration\" interval,") && strstr(out.data, "\"w_bytes\" pg_catalog.bytea,"), "natural columns: %s", out.data);
	sluice_buffer_free(&out);
}

int
main(void)
{
	test_unknown();
	test_legacy();
	test_bind();
	test_bind_table();
	test_binary();
	test_tables();
	free_payloads();
	return finish();
}
