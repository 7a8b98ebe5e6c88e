# Text arrives as it was sent: whatever client_encoding a session has, and in a
# database that is not UTF-8; what it cannot hold is a dead letter.
#
# suites: beside others
use strict;
use warnings;
use utf8;

use Encode qw(encode);
use MIME::Base64 qw(encode_base64);
use Sluice;
use Test::More;

sub reading
{
	my ($key, $text) = @_;
	return { key => $key, reading => { device_id => $text, temperature_celsius => 1 } };
}

sub json_bytes
{
	my ($text) = @_;
	return '\\x' . unpack 'H*', encode('UTF-8', "{\"name\": \"$text\", \"more\": \"$text\"}");
}

my $sluice = Sluice->new('main');
$sluice->create_readings('readings');
$sluice->sql(<<'END');
CREATE TABLE names (name text, rest jsonb);
SELECT sluice.create_stream('names', 'names', payload_format => 'json', unknown_fields => 'overflow', overflow_column => 'rest');
END

subtest 'client_encoding' => sub {
	foreach my $encoding (qw(UTF8 LATIN1 WIN1252 EUC_JP SJIS SQL_ASCII))
	{
		my $key = lc $encoding;
		$sluice->sql("SET client_encoding = '$encoding'; SELECT sluice.ingest('names', '$key'::text, '" . json_bytes("é$key") . "'::bytea)");
		is($sluice->sql("SELECT encode(convert_to(name, 'UTF8'), 'hex') || ' ' || (rest->>'more' = name) FROM names WHERE name LIKE '%$key'"),
			unpack('H*', encode('UTF-8', "é$key")) . ' true', "sluice.ingest under $encoding");
	}
	my $before = $sluice->sql("SET client_encoding = 'LATIN1'; SELECT sluice.ingest('names', 'k'::text, '" . json_bytes('x') . "'::bytea); SHOW client_encoding");
	like($before, qr/LATIN1$/, 'the session keeps its encoding');
};

subtest 'a UTF-8 database' => sub {
	my $report = $sluice->exact([ reading('é', 'Ärger mit 日本語 😀') ]);
	is_deeply($report->{responses}, [ [ 'é', 'ACKNOWLEDGED' ] ], 'keys come back as they were sent');
	is($sluice->sql("SELECT encode(convert_to(device_id, 'UTF8'), 'hex') FROM readings"),
		unpack('H*', encode('UTF-8', 'Ärger mit 日本語 😀')), 'text of any script');
};

subtest 'a LATIN1 database' => sub {
	$sluice->sql("CREATE DATABASE western TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'");
	$sluice->sql("ALTER SYSTEM SET sluice.database = 'western'");
	$sluice->sql('SELECT pg_reload_conf()');
	$sluice->set_database('western');
	$sluice->sql('CREATE EXTENSION pg_sluice');
	$sluice->wait_serving;
	$sluice->create_readings('readings');
	my $report;
	Sluice::wait_until('the endpoint serves the new database', sub {
		$report = $sluice->exact([ reading('é1', 'Café') ]);
		return $report->{code} eq 'OK';
	}, 30);
	is_deeply($report->{responses}, [ [ 'é1', 'ACKNOWLEDGED' ] ], 'text that LATIN1 has is stored');
	is($sluice->sql("SELECT encode(convert_to(device_id, 'LATIN1'), 'hex') FROM readings"), '436166e9', '... in its encoding');
	$report = $sluice->exact([ reading('日', 'x'), reading('wide', '日本') ]);
	my %status = map { @$_ } @{ $report->{responses} };
	is($status{wide}, 'REJECTED_DLQ', 'text that LATIN1 does not have is a dead letter');
	is($status{'日'}, 'ACKNOWLEDGED', 'a key that LATIN1 does not have is a key');
	$report = $sluice->exact([ reading('日', 'x'), reading('wide', '日本') ]);
	is($sluice->sql("SELECT count(*) FROM readings WHERE device_id = 'x'"), 1, 'its duplicate is known');
	is($sluice->sql('SELECT count(*) FROM sluice.dead_letters'), 1, 'so is the dead letter');
	is($sluice->sql("SELECT position('\\xe697a5e69cac'::bytea in payload) > 0 FROM sluice.dead_letters"), 't', 'which keeps the payload as sent');
};

done_testing();
