/*
 * format_protobuf_test.c
 *		Protobuf payloads: every type of field, the rules of the wire.
 */
#include <math.h>

#include "everything_columns.h"
#include "protobuf_case.h"

/* Decode the payload as test.Everything; one column, or a refusal, is compared. */
static void
everything(const char *column, const char *expected, const char *name)
{
	static SluiceFormat *format;
	SluiceFormatOptions options = EVERYTHING;
	SluiceFormatError error;
	size_t		length;
	char	   *exact = take_exact(&length);
	char	   *shown;
	char		marker[64];
	char	   *start;

	if (column == NULL)
	{
		/* the last call */
		sluice_format_free(format);
		free(exact);
		return;
	}
	if (format == NULL)
		format = sluice_format_bind(&options, everything_columns, NEVERYTHING, &error);
	if (format == NULL && !ok(false, "bind everything: %s", error.message))
	{
		free(exact);
		return;
	}
	shown = show_row(format, everything_columns, NEVERYTHING, exact, length);
	snprintf(marker, sizeof(marker), " %s=", column);
	start = strstr(shown, marker);
	if (*column == '\0')
		is_start(shown, expected, name);
	else if (start == NULL)
		is_text(shown, expected, name);
	else
	{
		start += strlen(marker);
		/* up to the next column */
		for (char *at = start; *at != '\0'; at++)
		{
			if (*at == ' ' && strchr("foarwsmcibj", at[1]) != NULL && (at[2] == '_' || strncmp(at + 1, "far=", 4) == 0))
				*at = '\0';
		}
		is_text(start, expected, name);
	}
	free(shown);
	free(exact);
}

static void
test_scalars(void)
{
	put_int(&wire, 3, -5);
	everything("f_int32", "-5", "int32 of ten bytes");
	put_int(&wire, 3, 7);
	put_int(&wire, 3, 8);
	everything("f_int32", "8", "the last value wins");
	put_int(&wire, 4, INT64_MIN);
	everything("f_int64", "-9223372036854775808", "int64");
	put_int(&wire, 5, 4294967295);
	everything("f_uint32", "4294967295", "uint32");
	put_int(&wire, 6, INT64_MAX);
	everything("f_uint64", "9223372036854775807", "uint64 that fits a bigint");
	put_int(&wire, 6, -1);
	everything("", "22003 value 18446744073709551615 is out of range for column \"f_uint64\"", "uint64 beyond a bigint");
	put_sint(&wire, 7, INT32_MIN);
	everything("f_sint32", "-2147483648", "sint32");
	put_sint(&wire, 8, INT64_MIN);
	everything("f_sint64", "-9223372036854775808", "sint64");
	put_fixed(&wire, 9, UINT32_MAX, 4);
	everything("f_fixed32", "4294967295", "fixed32");
	put_fixed(&wire, 10, UINT64_MAX, 8);
	everything("f_fixed64", "18446744073709551615", "fixed64");
	put_fixed(&wire, 11, UINT32_MAX, 4);
	everything("f_sfixed32", "-1", "sfixed32");
	put_fixed(&wire, 12, UINT64_MAX, 8);
	everything("f_sfixed64", "-1", "sfixed64");
	put_int(&wire, 13, 1);
	everything("f_bool", "true", "bool");
	put_text(&wire, 14, "h\xc3\xa9llo");
	everything("f_string", "h\xc3\xa9llo", "string");
	put_bytes(&wire, 15, "\0\xff", 2);
	everything("f_bytes", "\\x00ff", "bytes");
	put_float(&wire, 2, 0.1f);
	everything("f_float", "0.1", "float");
	put_double(&wire, 1, 0.1);
	put_float(&wire, 2, INFINITY);
	everything("f_float", "Infinity", "float infinity");
	put_int(&wire, 16, 2);
	everything("f_enum_name", "GREEN", "enum by name");
	put_int(&wire, 16, -1);
	everything("f_enum_name", "BELOW", "enum of a negative number");
	put_int(&wire, 16, 1000);
	everything("f_enum_name", "FAR", "enum of a number beyond the count");
	put_int(&wire, 16, 17);
	everything("f_enum_name", "17", "unknown enum number into text: digits");
	put_int(&wire, 17, 1000);
	everything("f_enum_number", "1000", "enum by number");
	put_text(&wire, 536870911, "x");
	everything("far", "x", "the highest field number");
	put_int(&wire, 85, 2147483647);
	everything("i_int4", "2147483647", "int64 into integer");
	put_int(&wire, 85, INT64_C(2147483648));
	everything("", "22003 value 2147483648 is out of range for column \"i_int4\" of type integer", "int64 beyond an integer");
	put_int(&wire, 86, INT64_C(1) << 60);
	everything("i_double", "1152921504606846976", "int64 into double precision, exact");
	put_int(&wire, 86, (INT64_C(1) << 53) + 1);
	everything("", "22003 ", "int64 into double precision, not exact");
	put_int(&wire, 87, -12);
	everything("i_text", "-12", "int64 into text");
	put_int(&wire, 88, -12);
	everything("j_int64", "\"-12\"", "int64 into jsonb is a string, as protobuf's JSON has it");
	put_text(&wire, 14, "a\xc3");
	everything("", "22021 field \"f_string\"", "a string that is not UTF-8");
	put_bytes(&wire, 14, "a\0b", 3);
	everything("", "22021 field \"f_string\"", "a string with a NUL");
	put_text(&wire, 80, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11");
	everything("s_uuid", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "string into uuid");
	put_bytes(&wire, 84, "0123456789abcdef", 16);
	everything("b_uuid", "30313233343536373839616263646566", "bytes into uuid");
	put_text(&wire, 83, "{\"a\":[1]}");
	everything("s_jsonb", "{\"a\":[1]}", "a string that holds JSON");
	put_text(&wire, 83, "{a}");
	everything("", "22P02 field \"s_jsonb\": invalid JSON: expected a member's name at byte 2", "a string that should hold JSON");
	everything("s_jsonb", "NULL", "an absent string for jsonb is NULL");
}

static void
test_absent(void)
{
	everything("f_int32", "0", "an absent integer without presence is 0");
	everything("f_string", "", "an absent string without presence is empty");
	everything("f_enum_name", "COLOR_UNKNOWN", "an absent enum is its first value");
	everything("f_bytes", "\\x", "absent bytes are empty");
	everything("o_int32", "NULL", "an absent optional is NULL");
	everything("f_timestamp", "NULL", "an absent Timestamp is NULL");
	everything("w_double", "NULL", "an absent wrapper is NULL");
	everything("r_int32", "{}", "an absent repeated field is an empty array");
	everything("r_json", "[]", "an absent repeated field in jsonb is []");
	everything("m_int", "{}", "an absent map is {}");
	everything("f_point", "NULL", "an absent message is NULL");
	everything("j_int64", "\"0\"", "an absent integer in jsonb is its default");
	put_int(&wire, 20, 0);
	everything("o_int32", "0", "an optional that is there with its default");
}

static void
test_instants(void)
{
	put_seconds(&wire, 30, 0, 0);
	everything("f_timestamp", "1970-01-01 00:00:00+00", "the empty Timestamp is the epoch");
	put_seconds(&wire, 30, 1709164800, 999999999);
	everything("f_timestamp", "2024-02-29 00:00:00.999999+00", "nanoseconds are cut");
	put_seconds(&wire, 30, -1, 999999999);
	everything("f_timestamp", "1969-12-31 23:59:59.999999+00", "nanoseconds are cut toward the past before 1970");
	put_seconds(&wire, 30, -62135596800, 0);
	everything("f_timestamp", "0001-01-01 00:00:00+00", "the first Timestamp");
	put_seconds(&wire, 30, -210866803200, 0);
	everything("f_timestamp", "4714-11-24 00:00:00+00 BC", "PostgreSQL's first");
	put_seconds(&wire, 30, -210866803201, 999999999);
	everything("", "22008 timestamp out of range in field \"f_timestamp\"", "one before PostgreSQL's first");
	put_seconds(&wire, 30, INT64_C(9224318015999), 999999999);
	everything("f_timestamp", "294276-12-31 23:59:59.999999+00", "PostgreSQL's last");
	put_seconds(&wire, 30, INT64_C(9224318016000), 0);
	everything("", "22008 ", "one after PostgreSQL's last");
	put_seconds(&wire, 30, INT64_MAX, 0);
	everything("", "22008 ", "the largest int64 of seconds");
	put_seconds(&wire, 30, INT64_MIN, 0);
	everything("", "22008 ", "the least int64 of seconds");
	put_seconds(&wire, 30, 0, 1000000000);
	everything("", "22008 ", "a Timestamp of too many nanos");
	put_seconds(&wire, 30, 0, -1);
	everything("", "22008 ", "a Timestamp of negative nanos");
	put_seconds(&wire, 30, 1709164800, 0);
	put_seconds(&wire, 30, 0, 500000000);
	everything("f_timestamp", "2024-02-29 00:00:00.5+00", "pieces of a Timestamp add up");
	put_seconds(&wire, 31, -1, -500000999);
	everything("f_duration", "PT-0H-0M-1.5S", "a Duration is cut toward zero");
	put_seconds(&wire, 31, 1, -1);
	everything("", "22008 duration out of range", "a Duration of two signs");
	put_seconds(&wire, 31, INT64_C(315576000001), 0);
	everything("", "22008 ", "a Duration of too many years");
	put_seconds(&wire, 73, 0, 1000);
	everything("c_timestamp", "1970-01-01 00:00:00.000001", "Timestamp into timestamp");
}

static void
test_wrappers(void)
{
	put_message(&wire, 32, &inner);
	everything("w_double", "0", "an empty wrapper is its default");
	put_double(&inner, 1, 2.5);
	put_message(&wire, 32, &inner);
	put_message(&wire, 32, &inner);
	everything("w_double", "2.5", "pieces of a wrapper add up");
	put_text(&inner, 1, "x");
	put_message(&wire, 33, &inner);
	everything("w_string", "x", "StringValue");
	put_int(&inner, 1, -1);
	put_message(&wire, 35, &inner);
	everything("w_uint64", "18446744073709551615", "UInt64Value into numeric");
	put_int(&inner, 2, 1);
	put_message(&wire, 35, &inner);
	everything("", "22000 message \"google.protobuf.UInt64Value\" has no field of number 2", "an unknown field in a wrapper");
	put_int(&wire, 35, 1);
	everything("", "22P03 field \"w_uint64\" (35) came with wire type 0, expected 2", "a wrapper that is no message");
}

static void
test_repeated(void)
{
	put_int(&wire, 40, 1);
	put_text(&wire, 14, "between");
	put_bytes(&wire, 40, "\x02\x03", 2);
	put_int(&wire, 40, -4);
	everything("r_int32", "{1,2,3,-4}", "packed and not packed, with another field between");
	put_bytes(&wire, 40, "", 0);
	everything("r_int32", "{}", "an empty packed run");
	put_bytes(&wire, 40, "\x02\x80", 2);
	everything("", "22P03 ", "a packed run that is cut off");
	put_text(&wire, 41, "a \"b\"\\");
	put_text(&wire, 41, "");
	put_text(&wire, 41, "NULL");
	everything("r_string", "{\"a \\\"b\\\"\\\\\",\"\",\"NULL\"}", "repeated string");
	put_bytes(&wire, 42, "\x01\x11\xe8\x07", 4);
	everything("r_enum", "{\"RED\",17,\"FAR\"}", "repeated enum");
	put_seconds(&wire, 43, 1, 0);
	put_seconds(&wire, 43, 2, 500000000);
	everything("r_timestamp", "{\"1970-01-01 00:00:01+00\",\"1970-01-01 00:00:02.5+00\"}", "repeated Timestamp");
	put_double(&wire, 44, 1.5);
	put_double(&wire, 44, -INFINITY);
	everything("r_double", "{1.5,-Infinity}", "repeated double");
	put_bytes(&wire, 45, "\x01", 1);
	everything("r_bytes", "{\"\\\\x01\"}", "repeated bytes");
	put_bytes(&wire, 46, "\x01\x00", 2);
	everything("r_bool", "{true,false}", "repeated bool");
	put_bytes(&wire, 47, "\x01\x02", 2);
	everything("r_json", "[\"-1\",\"1\"]", "repeated sint64 into jsonb");
	put_message(&wire, 48, &inner);
	put_int(&inner, 1, 7);
	put_message(&wire, 48, &inner);
	everything("r_wrapper", "{0,7}", "repeated wrapper");
}

static void
test_messages(void)
{
	put_double(&inner, 1, 1);
	put_double(&inner, 2, -0.0);
	put_text(&inner, 3, "");
	put_int(&deeper, 5, 1);
	put_message(&inner, 4, &deeper);
	put_message(&inner, 4, &deeper);
	put_int(&inner, 5, INT64_MIN);
	put_int(&inner, 6, 2);
	put_bytes(&inner, 7, "\x01\x02\x03\x04", 4);
	put_seconds(&inner, 8, 1709164800, 500000000);
	put_seconds(&inner, 9, -1, -500);
	put_message(&inner, 10, &deeper);
	put_bytes(&inner, 12, "\x00\x00\xc0\x7f\x00\x00\x80\x3f", 8);
	put_message(&wire, 60, &inner);
	everything("f_point",
			   "{\"x\":1,\"yAxis\":-0,\"label\":\"\",\"children\":[{\"big\":\"1\"},{}],\"big\":\"-9223372036854775808\","
			   "\"color\":\"GREEN\",\"raw\":\"AQIDBA==\",\"at\":\"2024-02-29T00:00:00.500Z\",\"took\":\"-1.000000500s\","
			   "\"maybe\":\"0\",\"weights\":[\"NaN\",1]}", "a nested message");
	put_double(&inner, 1, 1);
	put_message(&wire, 60, &inner);
	put_int(&inner, 5, 2);
	put_message(&wire, 60, &inner);
	everything("f_point", "{\"x\":1,\"big\":\"2\"}", "pieces of a message add up");
	put_message(&wire, 61, &inner);
	put_text(&inner, 3, "\"\\\n\x01\x7f");
	put_message(&wire, 61, &inner);
	everything("r_point", "[{},{\"label\":\"\\\"\\\\\\n\\u0001\x7f\"}]", "repeated message");
	put_text(&inner, 1, "k");
	put_double(&deeper, 1, 2);
	put_message(&inner, 2, &deeper);
	put_message(&wire, 62, &inner);
	put_message(&wire, 62, &inner);
	everything("m_point", "{\"k\":{\"x\":2},\"\":{}}", "a map of messages; an entry of nothing");
	put_int(&inner, 1, -7);
	put_int(&inner, 2, 3);
	put_message(&wire, 63, &inner);
	put_message(&wire, 63, &inner);
	everything("m_int", "{\"-7\":3,\"0\":0}", "a map of integers");
	put_int(&inner, 1, 1);
	put_int(&inner, 2, 1);
	put_message(&wire, 64, &inner);
	everything("m_bool", "{\"true\":\"RED\"}", "a map from bool to enum");
	put_double(&inner, 1, 1);
	put_text(&wire, 60, "\x0d");
	everything("", "22P03 ", "a nested message that is cut off");
	sluice_buffer_reset(&inner);
	put_int(&inner, 99, 1);
	put_message(&wire, 60, &inner);
	everything("", "22000 message \"test.Point\" has no field of number 99", "an unknown field in a nested message");
	put_seconds(&inner, 8, INT64_C(253402300800), 0);
	put_message(&wire, 60, &inner);
	everything("", "22008 ", "a Timestamp that JSON has no form for");
}

static void
test_struct(void)
{
	put_text(&inner, 1, "a");
	put_double(&deeper, 2, 1.5);
	put_message(&inner, 2, &deeper);
	put_message(&deeper, 1, &inner);
	put_message(&wire, 37, &deeper);
	everything("f_struct", "{\"a\":1.5}", "a Struct is an object");
	put_text(&inner, 1, "n");
	put_bytes(&inner, 2, "\x08\x00", 2);
	put_message(&deeper, 1, &inner);
	put_text(&inner, 1, "l");
	put_bytes(&inner, 2, "\x32\x08\x0a\x02\x20\x01\x0a\x02\x20\x00", 10);
	put_message(&deeper, 1, &inner);
	put_message(&wire, 37, &deeper);
	everything("f_struct", "{\"n\":null,\"l\":[true,false]}", "null and lists in a Struct");
}

static void
test_oneof(void)
{
	put_text(&wire, 70, "x");
	put_int(&wire, 71, 5);
	everything("c_string", "NULL", "of a oneof the earlier member is gone");
	put_text(&wire, 70, "x");
	put_int(&wire, 71, 5);
	everything("c_int32", "5", "of a oneof the later member is there");
	put_double(&inner, 1, 1);
	put_message(&wire, 72, &inner);
	put_int(&wire, 71, 5);
	put_int(&inner, 5, 2);
	put_message(&wire, 72, &inner);
	everything("c_point", "{\"big\":\"2\"}", "a message of a oneof starts anew after another member");
	put_seconds(&wire, 73, 5, 0);
	put_int(&wire, 71, 5);
	put_seconds(&wire, 73, 0, 500000000);
	everything("c_timestamp", "1970-01-01 00:00:00.5", "a Timestamp of a oneof starts anew after another member");
	put_message(&wire, 72, &inner);
	put_int(&wire, 71, 5);
	everything("c_point", "NULL", "a message of a oneof that another member replaced");
	put_text(&inner, 13, "l");
	put_double(&deeper, 1, 1);
	put_message(&inner, 14, &deeper);
	put_int(&inner, 15, 0);
	put_int(&deeper, 5, 1);
	put_message(&inner, 14, &deeper);
	put_message(&wire, 60, &inner);
	everything("f_point", "{\"right\":{\"big\":\"1\"}}", "a oneof in a nested message");
	put_int(&inner, 15, 0);
	put_message(&wire, 60, &inner);
	everything("f_point", "{\"middle\":0}", "a default in a oneof is shown");
}

/* A Point in a Point in a Point ... */
static void
put_nested(int levels)
{
	SluiceBuffer outer = {0};

	for (int i = 1; i < levels; i++)
	{
		put_message(&outer, 4, &inner);
		sluice_buffer_append(&inner, outer.data, outer.length);
		sluice_buffer_reset(&outer);
	}
	put_message(&wire, 60, &inner);
	sluice_buffer_free(&outer);
}

static void
test_wire(void)
{
	SluiceBuffer whole = {0};
	char		name[64];

	put_nested(99);
	everything("", "f_double=0", "99 messages within each other");
	put_nested(100);
	everything("", "54001 messages are nested more than 100 levels deep", "100 messages within each other");
	put_nested(10000);
	everything("", "54001 ", "10,000 messages within each other");
	sluice_buffer_append(&wire, "\x00\x00", 2);
	everything("", "22P03 payload is not in the protobuf wire format", "field number 0");
	sluice_buffer_append(&wire, "\x1e\x00", 2);
	everything("", "22P03 ", "wire type 6");
	put_tag(&wire, 3, 4);
	everything("", "22P03 ", "the end of a group that did not begin");
	sluice_buffer_append(&wire, "\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 12);
	everything("", "22P03 ", "a varint of eleven bytes");
	sluice_buffer_append(&wire, "\x98\x80\x80\x80\x80\x80\x80\x80\x80\x01\x01", 11);
	everything("", "22P03 ", "a tag beyond 32 bits");
	put_tag(&wire, 14, 2);
	put_varint(&wire, UINT64_MAX);
	everything("", "22P03 ", "a length of 2^64 - 1");
	put_tag(&wire, 14, 2);
	put_varint(&wire, 1);
	everything("", "22P03 payload is not in the protobuf wire format: \"f_string\" is damaged or cut off", "a length one beyond the end");
	put_text(&wire, 3, "x");
	everything("", "22P03 field \"f_int32\" (3) came with wire type 2, expected 0", "a singular integer that came packed");
	put_int(&wire, 9000, 1);
	everything("", "22000 message \"test.Everything\" has no field of number 9000", "a number that the message does not have");

	/* a sound payload, cut at every byte: either a refusal as cut off, or the end of a field */
	put_int(&whole, 3, 300);
	put_text(&whole, 14, "abc");
	put_seconds(&whole, 30, 1709164800, 500000000);
	put_fixed(&whole, 9, 1, 4);
	put_fixed(&whole, 10, 1, 8);
	for (size_t cut = 0; cut < whole.length; cut++)
	{
		bool		boundary = cut == 0 || cut == 3 || cut == 8 || cut == 23 || cut == 28;

		sluice_buffer_append(&wire, whole.data, cut);
		snprintf(name, sizeof(name), "cut at byte %zu", cut);
		everything("", boundary ? "f_double=" : "22P03 ", name);
	}
	sluice_buffer_free(&whole);
}

int
main(void)
{
	test_scalars();
	test_absent();
	test_instants();
	test_wrappers();
	test_repeated();
	test_messages();
	test_struct();
	test_oneof();
	test_wire();
	everything(NULL, NULL, NULL);
	free_payloads();
	return finish();
}
