/*
 * row_test.c
 *		Values as COPY's input: exact bytes of the binary form, texts, refusals.
 */
#include <math.h>
#include <stdlib.h>

#include "format_case.h"
#include "instant.h"
#include "number.h"

static SluiceValue
int_value(SluiceValueKind kind, int64_t number)
{
	SluiceValue value = {.kind = kind};

	value.integer = number;
	return value;
}

static SluiceValue
real_value(SluiceValueKind kind, double number)
{
	SluiceValue value = {.kind = kind};

	value.real = number;
	return value;
}

static SluiceValue
bytes_value(SluiceValueKind kind, const char *bytes)
{
	SluiceValue value = {.kind = kind,.length = (uint32_t) strlen(bytes)};

	value.bytes = bytes;
	return value;
}

/* The binary field in hexadecimal, or the SQLSTATE of its refusal. */
static void
binary(SluiceColumnType type, SluiceValue value, const char *expected)
{
	SluiceColumn column = column_of("v", type, "its type");
	SluiceBuffer out = {0};
	SluiceFormatError error = {0};
	char		shown[256] = "";

	if (!sluice_row_binary_field(&out, &column, &value, &error))
		snprintf(shown, sizeof(shown), "%s", error.sqlstate);
	else
	{
		for (size_t i = 0; i < out.length && i < 100; i++)
			sprintf(shown + 2 * i, "%02x", (unsigned) (unsigned char) out.data[i]);
	}
	is_text(shown, expected, expected);
	sluice_buffer_free(&out);
}

static void
text(SluiceColumnType type, SluiceValue value, const char *expected)
{
	SluiceColumn column = column_of("v", type, "its type");
	SluiceBuffer out = {0};
	SluiceFormatError error = {0};
	bool		is_null = false;

	if (!sluice_row_text_field(&out, &column, &value, &is_null, &error))
	{
		out.length = 0;
		sluice_buffer_append_text(&out, error.sqlstate);
	}
	sluice_buffer_append(&out, is_null ? "NULL" : "", is_null ? 5 : 1);
	is_text(out.data, expected, expected);
	sluice_buffer_free(&out);
}

static void
test_binary(void)
{
	binary(SLUICE_COLUMN_INT4, int_value(SLUICE_VALUE_NULL, 0), "ffffffff");
	binary(SLUICE_COLUMN_BOOL, int_value(SLUICE_VALUE_BOOL, 1), "0000000101");
	binary(SLUICE_COLUMN_INT2, int_value(SLUICE_VALUE_INT, -2), "00000002fffe");
	binary(SLUICE_COLUMN_INT4, int_value(SLUICE_VALUE_INT, 66051), "0000000400010203");
	binary(SLUICE_COLUMN_INT8, int_value(SLUICE_VALUE_INT, INT64_MIN), "000000088000000000000000");
	binary(SLUICE_COLUMN_INT2, int_value(SLUICE_VALUE_INT, 32768), "22003");
	binary(SLUICE_COLUMN_INT2, int_value(SLUICE_VALUE_INT, -32769), "22003");
	binary(SLUICE_COLUMN_INT4, int_value(SLUICE_VALUE_INT, INT64_C(2147483648)), "22003");
	binary(SLUICE_COLUMN_INT8, int_value(SLUICE_VALUE_UINT, -1), "22003");
	binary(SLUICE_COLUMN_INT4, int_value(SLUICE_VALUE_UINT, 7), "0000000400000007");
	binary(SLUICE_COLUMN_INT4, bytes_value(SLUICE_VALUE_NUMBER, "7.0"), "0000000400000007");
	binary(SLUICE_COLUMN_INT4, bytes_value(SLUICE_VALUE_NUMBER, "7.5"), "22P02");
	binary(SLUICE_COLUMN_FLOAT8, real_value(SLUICE_VALUE_DOUBLE, 1.5), "000000083ff8000000000000");
	binary(SLUICE_COLUMN_FLOAT4, real_value(SLUICE_VALUE_FLOAT, 1.5), "000000043fc00000");
	binary(SLUICE_COLUMN_FLOAT4, real_value(SLUICE_VALUE_DOUBLE, 0.1), "000000043dcccccd");
	binary(SLUICE_COLUMN_FLOAT4, real_value(SLUICE_VALUE_DOUBLE, 1e39), "22003");
	binary(SLUICE_COLUMN_FLOAT4, real_value(SLUICE_VALUE_DOUBLE, 1e-60), "22003");
	binary(SLUICE_COLUMN_FLOAT4, real_value(SLUICE_VALUE_DOUBLE, INFINITY), "000000047f800000");
	binary(SLUICE_COLUMN_FLOAT8, int_value(SLUICE_VALUE_INT, INT64_C(1) << 53), "000000084340000000000000");
	binary(SLUICE_COLUMN_FLOAT8, int_value(SLUICE_VALUE_INT, (INT64_C(1) << 53) + 1), "22003");
	binary(SLUICE_COLUMN_FLOAT8, int_value(SLUICE_VALUE_INT, INT64_MAX), "22003");
	binary(SLUICE_COLUMN_FLOAT8, int_value(SLUICE_VALUE_INT, INT64_MIN), "00000008c3e0000000000000");
	binary(SLUICE_COLUMN_FLOAT8, int_value(SLUICE_VALUE_UINT, -1), "22003");
	binary(SLUICE_COLUMN_FLOAT4, int_value(SLUICE_VALUE_INT, 16777217), "22003");
	binary(SLUICE_COLUMN_FLOAT4, int_value(SLUICE_VALUE_INT, 16777216), "000000044b800000");
	binary(SLUICE_COLUMN_TEXT, bytes_value(SLUICE_VALUE_TEXT, "ab"), "000000026162");
	binary(SLUICE_COLUMN_TEXT, bytes_value(SLUICE_VALUE_TEXT, ""), "00000000");
	binary(SLUICE_COLUMN_TEXT, int_value(SLUICE_VALUE_INT, -42), "000000032d3432");
	binary(SLUICE_COLUMN_BYTEA, bytes_value(SLUICE_VALUE_BYTES, "\xff\x01"), "00000002ff01");
	binary(SLUICE_COLUMN_JSON, bytes_value(SLUICE_VALUE_JSON, "{}"), "000000027b7d");
	binary(SLUICE_COLUMN_JSONB, bytes_value(SLUICE_VALUE_JSON, "{}"), "00000003017b7d");
	binary(SLUICE_COLUMN_TIMESTAMPTZ, int_value(SLUICE_VALUE_TIMESTAMP, 1), "000000080000000000000001");
	binary(SLUICE_COLUMN_INTERVAL, int_value(SLUICE_VALUE_INTERVAL, -1), "00000010ffffffffffffffff0000000000000000");
	binary(SLUICE_COLUMN_UUID, bytes_value(SLUICE_VALUE_TEXT, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
		   "00000010a0eebc999c0b4ef8bb6d6bb9bd380a11");
	binary(SLUICE_COLUMN_UUID, bytes_value(SLUICE_VALUE_TEXT, "{A0EEBC999C0B4EF8BB6D6BB9BD380A11}"),
		   "00000010a0eebc999c0b4ef8bb6d6bb9bd380a11");
	binary(SLUICE_COLUMN_UUID, bytes_value(SLUICE_VALUE_TEXT, "a0ee-bc99-9c0b-4ef8-bb6d-6bb9-bd38-0a11"),
		   "00000010a0eebc999c0b4ef8bb6d6bb9bd380a11");
	binary(SLUICE_COLUMN_UUID, bytes_value(SLUICE_VALUE_TEXT, "a0e-ebc99-9c0b-4ef8-bb6d-6bb9-bd38-0a11"), "22P02");
	binary(SLUICE_COLUMN_UUID, bytes_value(SLUICE_VALUE_TEXT, "{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"), "22P02");
	binary(SLUICE_COLUMN_UUID, bytes_value(SLUICE_VALUE_TEXT, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11 "), "22P02");
	binary(SLUICE_COLUMN_UUID, bytes_value(SLUICE_VALUE_BYTES, "0123456789abcdef"), "0000001030313233343536373839616263646566");
	binary(SLUICE_COLUMN_UUID, bytes_value(SLUICE_VALUE_BYTES, "0123456789abcde"), "22P02");
	binary(SLUICE_COLUMN_OTHER, bytes_value(SLUICE_VALUE_TEXT, "x"), "XX000");
	binary(SLUICE_COLUMN_INT4, int_value(SLUICE_VALUE_DEFAULT, 0), "XX000");
}

static void
test_text(void)
{
	text(SLUICE_COLUMN_INT4, int_value(SLUICE_VALUE_NULL, 0), "NULL");
	text(SLUICE_COLUMN_BOOL, int_value(SLUICE_VALUE_BOOL, 5), "true");
	text(SLUICE_COLUMN_INT8, int_value(SLUICE_VALUE_INT, INT64_MIN), "-9223372036854775808");
	text(SLUICE_COLUMN_NUMERIC, int_value(SLUICE_VALUE_UINT, -1), "18446744073709551615");
	text(SLUICE_COLUMN_INT4, int_value(SLUICE_VALUE_INT, INT64_C(-2147483649)), "22003");
	text(SLUICE_COLUMN_INT4, bytes_value(SLUICE_VALUE_NUMBER, "1e2"), "100");
	text(SLUICE_COLUMN_FLOAT8, bytes_value(SLUICE_VALUE_NUMBER, "1e2"), "1e2");
	text(SLUICE_COLUMN_FLOAT8, real_value(SLUICE_VALUE_DOUBLE, 0.1), "0.1");
	text(SLUICE_COLUMN_FLOAT8, real_value(SLUICE_VALUE_DOUBLE, 1.0 / 3), "0.3333333333333333");
	text(SLUICE_COLUMN_FLOAT8, real_value(SLUICE_VALUE_DOUBLE, 5e-324), "4.94065645841247e-324");
	text(SLUICE_COLUMN_FLOAT8, real_value(SLUICE_VALUE_DOUBLE, -NAN), "NaN");
	text(SLUICE_COLUMN_FLOAT8, real_value(SLUICE_VALUE_DOUBLE, -INFINITY), "-Infinity");
	text(SLUICE_COLUMN_FLOAT8, real_value(SLUICE_VALUE_DOUBLE, -0.0), "-0");
	text(SLUICE_COLUMN_FLOAT4, real_value(SLUICE_VALUE_FLOAT, (double) 0.1f), "0.1");
	text(SLUICE_COLUMN_TEXT, real_value(SLUICE_VALUE_FLOAT, (double) 16777216.0f), "16777216");
	text(SLUICE_COLUMN_BYTEA, bytes_value(SLUICE_VALUE_BYTES, "\x01\xfe"), "\\x01fe");
	text(SLUICE_COLUMN_UUID, bytes_value(SLUICE_VALUE_BYTES, "0123456789abcdef"), "30313233343536373839616263646566");
	text(SLUICE_COLUMN_TIMESTAMPTZ, int_value(SLUICE_VALUE_TIMESTAMP, 0), "2000-01-01 00:00:00+00");
	text(SLUICE_COLUMN_TIMESTAMP, int_value(SLUICE_VALUE_TIMESTAMP, -1), "1999-12-31 23:59:59.999999");
	text(SLUICE_COLUMN_TIMESTAMPTZ, int_value(SLUICE_VALUE_TIMESTAMP, SLUICE_INSTANT_MIN), "4714-11-24 00:00:00+00 BC");
	text(SLUICE_COLUMN_TIMESTAMPTZ, int_value(SLUICE_VALUE_TIMESTAMP, SLUICE_INSTANT_END - 1), "294276-12-31 23:59:59.999999+00");
	text(SLUICE_COLUMN_TIMESTAMPTZ, int_value(SLUICE_VALUE_TIMESTAMP, INT64_C(-63082281600000000)), "0001-01-01 00:00:00+00");
	text(SLUICE_COLUMN_TIMESTAMPTZ, int_value(SLUICE_VALUE_TIMESTAMP, INT64_C(-63082281600000001)), "0001-12-31 23:59:59.999999+00 BC");
	text(SLUICE_COLUMN_TIMESTAMPTZ, int_value(SLUICE_VALUE_TIMESTAMP, INT64_C(762480000500000)), "2024-02-29 00:00:00.5+00");
	text(SLUICE_COLUMN_INTERVAL, int_value(SLUICE_VALUE_INTERVAL, 0), "PT0H0M0S");
	text(SLUICE_COLUMN_INTERVAL, int_value(SLUICE_VALUE_INTERVAL, INT64_C(-5430000001)), "PT-1H-30M-30.000001S");
	text(SLUICE_COLUMN_INTERVAL, int_value(SLUICE_VALUE_INTERVAL, INT64_C(315576000000000000)), "PT87660000H0M0S");
}

static void
test_escape(void)
{
	SluiceBuffer out = {0};

	sluice_row_escape(&out, "a\\b\tc\nd\re\\", 10);
	sluice_row_escape(&out, "", 0);
	sluice_buffer_append_char(&out, '\0');
	is_text(out.data, "a\\\\b\\tc\\nd\\re\\\\", "COPY's escapes");
	sluice_buffer_free(&out);
}

static void
test_limit(void)
{
	SluiceBuffer out = {.limit = 8};
	SluiceColumn column = column_of("v", SLUICE_COLUMN_INT8, "bigint");
	SluiceValue value = int_value(SLUICE_VALUE_INT, 1);
	SluiceFormatError error = {0};

	ok(!sluice_row_binary_field(&out, &column, &value, &error) && strcmp(error.sqlstate, "54000") == 0 && out.length == 0,
	   "a full buffer refuses a field as too large, and keeps what it had");
	sluice_buffer_free(&out);
}

/* Every double reads back from its text as itself. */
static void
test_round_trip(void)
{
	uint64_t	state = 88172645463325252u;
	int			ndoubles = 0;
	int			nfloats = 0;

	for (int i = 0; i < 20000; i++)
	{
		char		number[SLUICE_NUMBER_SIZE];
		double		value;
		float		single;
		uint32_t	half;

		state ^= state << 13;
		state ^= state >> 7;
		state ^= state << 17;
		memcpy(&value, &state, 8);
		half = (uint32_t) state;
		memcpy(&single, &half, 4);
		sluice_number_from_real(number, value, false);
		ndoubles += isnan(value) ? strcmp(number, "NaN") == 0 : strtod(number, NULL) == value;
		sluice_number_from_real(number, single, true);
		nfloats += isnan(single) ? strcmp(number, "NaN") == 0 : strtof(number, NULL) == single;
	}
	ok(ndoubles == 20000, "20,000 doubles of random bits read back as themselves (%d)", ndoubles);
	ok(nfloats == 20000, "20,000 floats of random bits read back as themselves (%d)", nfloats);
}

/* Short numbers take a way of their own: it must agree with the long one. */
static void
test_reading(void)
{
	uint32_t	state = 1;
	int			nsame = 0;

	for (int i = 0; i < 100000; i++)
	{
		char		number[64];
		double		value;
		int			length;

		state = state * 1664525 + 1013904223;
		length = snprintf(number, sizeof(number), "%s%u.%ue%d", state & 64 ? "-" : "", state >> 12, state >> (state & 31), (int) (state >> 8) % 26 - 13);
		nsame += sluice_number_to_real(number, (size_t) length, false, &value) == SLUICE_NUMBER_OK && value == strtod(number, NULL);
	}
	ok(nsame == 100000, "100,000 numbers read as strtod reads them (%d)", nsame);
}

int
main(void)
{
	test_binary();
	test_text();
	test_escape();
	test_limit();
	test_round_trip();
	test_reading();
	return finish();
}
