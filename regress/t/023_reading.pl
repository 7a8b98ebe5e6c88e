# Rows come out as they went in: a record that was stored as a protobuf message
# is written as a message of the same meaning, whatever columns held its fields.
#
# suites: beside others
use strict;
use warnings;
use utf8;

use Encode qw(encode decode);
use IPC::Run ();
use Sluice;
use Test::More;

my $directory = Sluice::regress_directory() . '/unit';
my $work = $ENV{TESTDATADIR};

# protoc from text to the wire, and back.
sub protoc
{
	my ($direction, $message, $input) = @_;
	my ($out, $err) = ('', '');
	IPC::Run::run([ 'protoc', "--$direction=$message", "-I$directory", '-I/usr/include', "$directory/everything.proto" ],
		\$input, \$out, \$err)
	  or die "protoc: $err\n";
	return $out;
}

my $functions = <<'END';
CREATE FUNCTION reading_create(stream text, encoding int) RETURNS text AS 'sluice_rows_test', 'sluice_test_reading_create' LANGUAGE C;
CREATE FUNCTION reading_payload("offset" bigint) RETURNS bytea AS 'sluice_rows_test', 'sluice_test_reading_payload' LANGUAGE C STRICT;
END

my $sluice = Sluice->new('main');
$sluice->sql($functions);
system('protoc', '--include_imports', "--descriptor_set_out=$work/everything.desc", "-I$directory", '-I/usr/include', "$directory/everything.proto") == 0
  or BAIL_OUT('protoc');
my $descriptor = do { local $/; open my $file, '<:raw', "$work/everything.desc" or die; unpack 'H*', <$file> };

# A row of the stream as the wire has it.
sub row
{
	my ($stream, $offset) = @_;
	return pack 'H*', $sluice->sql("SELECT reading_create('$stream', 0); SELECT encode(reading_payload($offset), 'hex')") =~ s/^\n//r;
}

sub ingest
{
	my ($stream, $key, $payload) = @_;
	return $sluice->sql("SELECT sluice.ingest('$stream'::text, '$key'::text, '\\x" . unpack('H*', $payload) . "'::bytea)");
}

sub create
{
	my ($stream, $columns, $message, @more) = @_;
	$sluice->sql("CREATE TABLE $stream (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, $columns)") if $columns;
	$sluice->sql("SELECT sluice.create_stream(" . join(', ', "'$stream'", $columns ? "'$stream', offset_column => 'id'" : (),
		"message_type => '$message'", "descriptor_set => '\\x$descriptor'", @more) . ')');
}

# A column for each field, of the type that is natural or needs care, as in regress/unit/everything_columns.h.
my $columns = <<'END';
f_double float8, f_float float4, f_int32 int, f_int64 bigint, f_uint32 bigint, f_uint64 numeric, f_sint32 int, f_sint64 numeric,
f_fixed32 bigint, f_fixed64 numeric, f_sfixed32 int, f_sfixed64 bigint, f_bool bool, f_string text, f_bytes bytea, f_enum_name text,
f_enum_number int, o_int32 int, o_string text, f_timestamp timestamptz, f_duration interval, w_double float8, w_string text, w_bool bool,
w_uint64 numeric, w_bytes bytea, f_struct jsonb, r_int32 int[], r_string text[], r_enum text[], r_timestamp timestamptz[], r_double float8[],
r_bytes bytea[], r_bool bool[], r_json jsonb, r_wrapper int[], f_point jsonb, r_point json, m_point jsonb, m_int jsonb, m_bool json,
c_string text, c_int32 int, c_point jsonb, c_timestamp timestamp, s_uuid uuid, s_numeric numeric, s_timestamp timestamptz, s_jsonb jsonb,
b_uuid uuid, i_int4 int, i_double float8, i_text text, j_int64 jsonb, j_default text, far text
END
# Whatever can hold text.
my $text_columns = <<'END';
f_double text, f_float text, f_int32 text, f_int64 text, f_uint32 text, f_uint64 text, f_sint32 numeric, f_sint64 text, f_fixed32 text, f_fixed64 text,
f_sfixed32 varchar, f_sfixed64 text, f_bool text, f_string text, f_bytes bytea, f_enum_name text, f_enum_number bigint, o_int32 text, o_string char(3),
f_timestamp text, f_duration text, w_double text, w_string text, w_bool text, w_uint64 text, w_bytes uuid, f_struct json, r_int32 text[], r_string text[],
r_enum int[], r_timestamp text[], r_double numeric[], r_bytes bytea[], r_bool text[], r_json json, r_wrapper jsonb, f_point json, r_point jsonb, m_point json,
m_int json, m_bool jsonb, c_string text, c_int32 text, c_point json, c_timestamp text, s_uuid text, s_numeric text, s_timestamp text, s_jsonb text, b_uuid bytea,
i_int4 text, i_double text, i_text text, j_int64 text, j_default jsonb, far text
END

my %payloads = (
	'nothing'  => '',
	'integers' => <<'END',
f_int32: -2147483648 f_int64: -9223372036854775808 f_uint32: 4294967295 f_uint64: 18446744073709551615 f_sint32: -2147483648
f_sint64: -9223372036854775808 f_fixed32: 4294967295 f_fixed64: 18446744073709551615 f_sfixed32: -1 f_sfixed64: -9223372036854775808
f_bool: true i_int4: 2147483647 i_double: 9007199254740992 i_text: -9223372036854775808 j_int64: 9223372036854775807
END
	'reals'   => 'f_double: 1.7976931348623157e308 f_float: 3.4028235e38 r_double: [0, 1.5, 0.1, -2e-300]',
	'no numbers' => 'f_double: nan f_float: -inf w_double { value: inf }',
	'text'    => 'f_string: "\303\204rger \"\\\\ \001\n\360\235\204\236" r_string: ["a b", "", "NULL", "{\"x\"}", "\303\244"] far: "x" j_default: "\"j\""',
	'bytes'   => 'f_bytes: "\000\377\\\\" r_bytes: ["", "\000", "abc"] b_uuid: "0123456789abcdef" w_bytes: { value: "fedcba9876543210" }',
	'enums'   => 'f_enum_name: GREEN f_enum_number: FAR r_enum: [RED, COLOR_UNKNOWN, BELOW]',
	'presence' => 'o_int32: 0 o_string: "abc" w_double { } w_string { } w_bool { value: false } w_uint64 { value: 18446744073709551615 } f_timestamp { } f_duration { } r_wrapper { value: 0 } r_wrapper { value: -7 }',
	'times'   => 'f_timestamp { seconds: -62135596800 } f_duration { seconds: -315576000000 nanos: -999999000 } r_timestamp { seconds: -1 nanos: 999999000 } r_timestamp { seconds: 1709208000 nanos: 1000 } c_timestamp { seconds: 253402300799 nanos: 500000000 }',
	'lists'   => 'r_int32: [1, 0, -1] r_bool: [true, false] r_json: [5, -9223372036854775808]',
	'messages' => <<'END',
f_point { x: 1.5 y_axis: -0.25 label: "" children { x: 2 children { label: "deep" } } children { } big: -9223372036854775808 color: RED raw: "\000\001\377"
  at { seconds: 1709208000 nanos: 123456789 } took { seconds: 3 nanos: 5 } maybe { value: 0 } names { key: -1 value: "minus" } names { key: 2 value: "" }
  weights: [0.5, inf, 1e-30] right { x: 1 } small: 0.1 flag: true anything { struct_value { fields { key: "a" value { null_value: NULL_VALUE } } } } }
r_point { } r_point { x: nan middle: 0 } r_point { left: "\303\244\"" color: 77 }
c_point { label: "p" anything { list_value { values { number_value: 1 } values { null_value: NULL_VALUE } values { bool_value: true } values { list_value { } } } } }
END
	'maps'    => <<'END',
m_point { key: "" value { } } m_point { key: "a \"b\" \303\244" value { x: 1 } } m_int { key: -9223372036854775808 value: 0 } m_int { key: 1 value: -1 } m_bool { key: true value: FAR } m_bool { key: false value: COLOR_UNKNOWN }
END
	'struct'  => <<'END',
f_struct { fields { key: "n" value { number_value: 1.25 } } fields { key: "s" value { string_value: "x\n" } } fields { key: "z" value { null_value: NULL_VALUE } }
  fields { key: "o" value { struct_value { } } } fields { key: "l" value { list_value { values { bool_value: false } values { struct_value { fields { key: "k" value { string_value: "" } } } } } } } }
END
	'strings' => 's_uuid: "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11" s_numeric: "123456789012345678901234567890.5" s_jsonb: "[1, {\"a\": null}]" c_string: "one"',
	'oneof'   => 'c_int32: 0');

sub round_trips
{
	my ($stream, $columns) = @_;
	create($stream, $columns, 'test.Everything');
	create("${stream}_again", $columns, 'test.Everything') if $columns;
	my $offset = 0;
	foreach my $name (sort keys %payloads)
	{
		my $payload = protoc('encode', 'test.Everything', $payloads{$name});
		is(ingest($stream, $name, $payload), 'stored', "$name goes in") or next;
		$offset++;
		my $row = row($stream, $offset);
		is(protoc('decode', 'test.Everything', $row), protoc('decode', 'test.Everything', $payload), "$name comes out");
		# What is left out by default (keys of maps) or packed is shorter, nothing is longer.
		cmp_ok(length $row, '<=', length $payload, '... in no more bytes');
		ingest("${stream}_again", $name, $row) if $columns;
	}
	is($sluice->sql("SELECT count(*) FILTER (WHERE to_jsonb(a) = to_jsonb(b)), count(*) FROM $stream a JOIN ${stream}_again b USING (id)"),
		"$offset|$offset", 'and goes in again as it was') if $columns;
}

subtest 'columns of their own types' => sub { round_trips('everything', $columns) };
subtest 'other columns' => sub { round_trips('as_text', $text_columns) };
subtest 'a table that create_stream makes' => sub { round_trips('automatic', '') };

subtest 'the overflow column' => sub {
	create('overflow', 'f_int32 int, rest jsonb', 'test.Everything', "unknown_fields => 'overflow'", "overflow_column => 'rest'");
	my $offset = 0;
	foreach my $name (sort keys %payloads)
	{
		my $payload = protoc('encode', 'test.Everything', $payloads{$name});
		is(ingest('overflow', $name, $payload), 'stored', "$name goes in");
		is(protoc('decode', 'test.Everything', row('overflow', ++$offset)), protoc('decode', 'test.Everything', $payload), "$name comes out");
	}
};

subtest 'fields that the stream ignores' => sub {
	# Columns of the same names that records do not fill are written where they can hold the field.
	$sluice->sql('CREATE TABLE wide (known bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, more text, wide bytea GENERATED ALWAYS AS (\'\\x00\') STORED)');
	$sluice->sql("SELECT sluice.create_stream('wide', 'wide', offset_column => 'known', message_type => 'test.Wide', descriptor_set => '\\x$descriptor', unknown_fields => 'ignore')");
	is(ingest('wide', 'k', protoc('encode', 'test.Wide', 'known: 77 more: "m" number: 3 many: 4 inner { known: 5 }')), 'stored', 'in');
	is(protoc('decode', 'test.Wide', row('wide', 1)), "known: 1\nmore: \"m\"\n", 'the offset column, and what was stored');
};

subtest 'values that are none of their fields' => sub {
	my %updates = (
		"f_uint32 = -1"                => '22003: .*value "-1" is out of range for field "f_uint32"',
		"f_uint64 = 1e20"              => '22003: .*value "100000000000000000000" is out of range for field "f_uint64"',
		"f_uint64 = 1.5"               => '22P02: .*value "1.5" is none of field "f_uint64"',
		"f_sint64 = 'NaN'"             => '22P02: .*value "NaN" is none of field "f_sint64"',
		"f_enum_name = 'MAUVE'"        => '22P02: .*value "MAUVE" is none of field "f_enum_name"',
		"f_float = NULL, r_int32 = '{1,NULL}'" => '22004: .*column "r_int32" holds a NULL element, which a repeated field cannot hold',
		"f_point = '[1]'"              => '22P02: .*JSON array is no value of field "f_point": \[1\]',
		"f_point = '{\"x\": \"much\"}'" => '22P02: .*value "much" is none of field "x"',
		"f_point = '{\"at\": \"2024-02-30T00:00:00Z\"}'" => '22P02: .*JSON string is no value of field "at"',
		"f_point = '{\"raw\": \"?\"}'" => '22P02: .*JSON string is no value of field "raw"',
		"f_point = '{\"color\": true}'" => '22P02: .*JSON true is no value of field "color"',
		"f_point = (repeat('{\"right\":', 99) || '{}' || repeat('}', 99))::jsonb" => '54001: .*messages are nested more than 100 levels deep in field "right"',
		"f_timestamp = 'infinity'"     => '22008: .*timestamp out of range in field "f_timestamp"',
		"f_duration = '11000 years'"   => '22008: .*duration out of range in field "f_duration"',
		"f_duration = '-178000000 years'" => '22008: .*duration out of range in field "f_duration"',
		"m_int = '{\"x\": 1}'"         => '22P02: .*value "x" is none of field "key"');
	create('wrong', $columns, 'test.Everything');
	$sluice->sql('INSERT INTO wrong (far) VALUES (NULL)');
	foreach my $update (sort keys %updates)
	{
		my ($status, $out, $err) = $sluice->try_sql("\\set VERBOSITY verbose\nBEGIN; UPDATE wrong SET $update; SELECT reading_create('wrong', 0); SELECT reading_payload(1)");
		like($err, qr/ERROR:  $updates{$update}/, $update);
	}
	$sluice->sql(q(UPDATE wrong SET f_point = '{"at": "2024-02-29t12:00:00.5+05:30", "took": "-1.5s", "yAxis": "1e3", "y_axis": 2, "#77": 1, "unknown": [], "raw": "_-8=", "maybe": null, "color": 2, "weights": ["NaN", 1]}'));
	like(protoc('decode', 'test.Everything', row('wrong', 1)),
		qr/y_axis: 2.*color: GREEN.*raw: "\\377\\357".*at \{\s+seconds: 1709188200\s+nanos: 500000000\s+\}\s+took \{\s+seconds: -1\s+nanos: -500000000\s+\}\s+weights: nan\s+weights: 1/s,
		'all that parsers of protobuf\'s JSON take');
};

subtest 'a LATIN1 database' => sub {
	$sluice->sql("CREATE DATABASE western TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'");
	$sluice->set_database('western');
	$sluice->sql("CREATE EXTENSION pg_sluice; $functions");
	$sluice->sql(encode('UTF-8', <<'END'));
SET client_encoding = 'UTF8';
CREATE TYPE mood AS ENUM ('glücklich');
CREATE TABLE t (id bigserial PRIMARY KEY, "näme" text, e mood, j json, jb jsonb, a text[]);
INSERT INTO t ("näme", e, j, jb, a) VALUES ('é"', 'glücklich', '{"ä": "ö"}', '{"ü": 1}', '{ß}');
SELECT sluice.create_stream('t', 't', offset_column => 'id');
END
	is(decode('UTF-8', row('t', 1)), '{"id":1,"näme":"é\"","e":"glücklich","j":{"ä": "ö"},"jb":{"ü": 1},"a":["ß"]}', 'JSON is UTF-8');
	$sluice->sql("CREATE TABLE m (id bigserial PRIMARY KEY, f_string text, r_string text[], f_struct jsonb)");
	$sluice->sql("SELECT sluice.create_stream('m', 'm', offset_column => 'id', message_type => 'test.Everything', descriptor_set => '\\x$descriptor', unknown_fields => 'ignore')");
	my $payload = protoc('encode', 'test.Everything', 'f_string: "\303\251" f_struct { fields { key: "\303\244" value { string_value: "\303\266" } } } r_string: "\303\274"');
	is(ingest('m', 'k', $payload), 'stored', 'a message goes in');
	is(protoc('decode', 'test.Everything', row('m', 1)), protoc('decode', 'test.Everything', $payload), '... and comes out');
};

done_testing();
