# The tool "sluice send" against the real server: its inputs, its exit status, a crash in mid stream.
#
# suites: beside others
use strict;
use warnings;

use IPC::Run;
use JSON::PP qw(decode_json);
use PostgreSQL::Test::Utils;
use Sluice qw(wait_until);
use Test::More;
use Time::HiRes qw(sleep);

my $sluice = Sluice->new('main');
$sluice->sql(<<'END');
CREATE TABLE events (id text, n integer CHECK (n >= 0), note text);
SELECT sluice.create_stream('events', 'events', payload_format => 'json');
CREATE TABLE lines (line bytea);
SELECT sluice.create_stream('lines', 'lines', payload_format => 'bytes');
END

sub send_ok
{
	my ($what, $expected, $input, @arguments) = @_;
	my ($status, $out, $err) = $sluice->tool($input, 'send', '--server', $sluice->address, '--summary', 'json', '--quiet', @arguments);
	is($status, $expected, "$what: exit status $expected") or diag("$out\n$err");
	return $out =~ /^\{/ ? decode_json($out) : { error => $err };
}

subtest 'inputs' => sub {
	send_ok('ndjson', 0, qq({"id": "a", "n": 1}\n{"id": "b", "n": 2, "note": "two"}\n), '--stream', 'events', '--key', 'id');
	is($sluice->sql('SELECT id, n, note FROM events ORDER BY id'), "a|1|\nb|2|two", 'ndjson: the rows');
	send_ok('the same again', 0, qq({"id": "a", "n": 1}\n), '--stream', 'events', '--key', 'id');
	is($sluice->sql('SELECT count(*) FROM events'), 2, 'a key sent again is not stored again');
	send_ok('csv', 0, qq(id,n,note\nc,3,"a ""quoted"", one"\n), '--stream', 'events', '--input', 'csv', '--key', 'id');
	is($sluice->sql("SELECT n, note FROM events WHERE id = 'c'"), '3|a "quoted", one', 'csv: the row');
	send_ok('lines', 0, "first\nsecond\n", '--stream', 'lines', '--input', 'lines');
	is($sluice->sql("SELECT string_agg(convert_from(line, 'UTF8'), ',' ORDER BY line) FROM lines"), 'first,second', 'lines: the rows');
};

subtest 'exit status' => sub {
	send_ok('a dead letter', 2, qq({"id": "bad", "n": -1}\n{"id": "good", "n": 1}\n), '--stream', 'events', '--key', 'id');
	is($sluice->sql("SELECT count(*) FROM sluice.dead_letters WHERE key_text = 'bad'"), 1, '... is in sluice.dead_letters');
	send_ok('input that is not JSON', 1, "{\n", '--stream', 'events');
	send_ok('an unknown stream', 4, "{}\n", '--stream', 'nowhere', '--buffer', "$PostgreSQL::Test::Utils::tmp_check/refused");
	my ($status, $out, $err) = $sluice->tool("{}\n", 'send', '--server', '127.0.0.1:1', '--timeout', 1, '--quiet',
		'--buffer', "$PostgreSQL::Test::Utils::tmp_check/unsent");
	is($status, 3, 'nobody listens: gives up with status 3');
};

subtest 'the server is killed in mid stream' => sub {
	my $count = 60000;
	my $file = "$PostgreSQL::Test::Utils::tmp_check/events.ndjson";
	open my $write, '>', $file or die "$file: $!";
	printf $write qq({"id": "k%d", "n": %d}\n), $_, $_ % 1000 == 0 ? -1 : $_ foreach 1 .. $count;
	close $write;
	$sluice->sql('TRUNCATE events; DELETE FROM sluice.dead_letters');
	my ($out, $err) = ('', '');
	my $run = IPC::Run::start([ $ENV{SLUICE_TOOL}, 'send', '--server', $sluice->address, '--summary', 'json', '--quiet',
			'--stream', 'events', '--key', 'id', '--once',
			'--set', 'batch_bytes=4kB', '--set', 'window_bytes=16kB', $file ], '<', \undef, '>', \$out, '2>', \$err);
	foreach my $part (1 .. 2)
	{
		wait_until("part $part is stored", sub { $sluice->sql('SELECT count(*) FROM events') >= $part * $count / 4 }, 60) or last;
		$sluice->kill_server;
		$sluice->start;
	}
	$run->finish;
	is($run->result(0), 2, 'all acknowledged, some as dead letters') or diag("$out $err");
	my $summary = decode_json($out);
	note($out);
	is($summary->{acknowledged}, 59940, 'the summary counts them');
	is($sluice->sql("SELECT count(*) || ' ' || count(DISTINCT id) FROM events"), '59940 59940', 'each stored once');
	is($sluice->sql("SELECT count(*) || ' ' || count(DISTINCT key) FROM sluice.dead_letters"), '60 60', 'each refused once');
};

done_testing();
