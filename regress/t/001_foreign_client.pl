# Any gRPC client: what is answered, and where the record is afterwards.
#
# suites: beside others
use strict;
use warnings;

use JSON::PP qw(encode_json);
use MIME::Base64 qw(encode_base64);
use Sluice;
use Test::More;

my $sluice = Sluice->new('main', conf => "sluice.max_record_size = '1MB'\n");
$sluice->create_readings('readings');
$sluice->sql(<<'END');
CREATE TABLE events (device_id text, n integer CHECK (n >= 0));
SELECT sluice.create_stream('events', 'events', payload_format => 'json');
CREATE TABLE blobs (content bytea CHECK (content <> ''));
SELECT sluice.create_stream('blobs', 'blobs', payload_format => 'bytes');
END

sub reading
{
	my ($key, $temperature) = @_;
	return { key => $key, reading => { device_id => $key, timestamp => '2026-01-02T03:04:05.678901Z',
			temperature_celsius => $temperature, humidity_percent => 50 } };
}

# A broken message: field 1 says 127 bytes, and there are none.
my $undecodable = encode_base64("\x0a\x7f", '');

subtest 'statuses' => sub {
	my $report = $sluice->exact([ reading('new', 21.5) ]);
	is_deeply($report->{responses}, [ [ 'new', 'ACKNOWLEDGED' ] ], 'a new record is acknowledged');
	is($report->{code}, 'OK', 'the call ends with OK after half-close');
	is($sluice->sql('TABLE readings'), 'new|2026-01-02 03:04:05.678901+00|21.5|50', 'the row is as sent');

	$report = $sluice->exact([ reading('new', 21.5) ]);
	is_deeply($report->{responses}, [ [ 'new', 'ACKNOWLEDGED' ] ], 'a duplicate is acknowledged');
	is($sluice->sql('SELECT count(*) FROM readings'), 1, '... and not stored again');

	$report = $sluice->exact([ reading('cold', -300) ]);
	is_deeply($report->{responses}, [ [ 'cold', 'REJECTED_DLQ' ] ], 'a record that breaks a CHECK is rejected');
	is($sluice->sql("SELECT stream_name, sqlstate, constraint_name, state FROM sluice.dead_letters WHERE key_text = 'cold'"),
		'readings|23514|possible|open', '... and is a dead letter with the reason');

	$report = $sluice->exact([ reading('cold', -300), reading('cold', -300) ]);
	is_deeply($report->{responses}, [ ([ 'cold', 'REJECTED_DLQ' ]) x 2 ], 'its duplicates are rejected again');
	is($sluice->sql("SELECT count(*) FROM sluice.dead_letters WHERE key_text = 'cold'"), 1, '... as one dead letter');

	$report = $sluice->exact([ { key => '', reading => { device_id => 'nokey' } } ]);
	is_deeply($report->{responses}, [ [ '', 'REJECTED_DLQ' ] ], 'an empty key is rejected with an empty ack_key');
	is($sluice->sql("SELECT count(*) FROM sluice.dead_letters WHERE key IS NULL AND message <> ''"), 1, '... as a dead letter without key');

	$report = $sluice->exact([ { key => 'broken', base64 => $undecodable }, reading('after', 1) ]);
	is_deeply([ sort { $a->[0] cmp $b->[0] } @{ $report->{responses} } ],
		[ [ 'after', 'ACKNOWLEDGED' ], [ 'broken', 'REJECTED_DLQ' ] ],
		'an undecodable payload is rejected, the record behind it stored');
	is($sluice->sql("SELECT payload = '\\x0a7f' FROM sluice.dead_letters WHERE key_text = 'broken'"), 't', '... and kept as it was sent');

	$report = $sluice->exact([ { key => 'void' } ]);
	is_deeply($report->{responses}, [ [ 'void', 'REJECTED_DLQ' ] ], 'a record without payload is rejected');
};

subtest 'one key, another payload' => sub {
	my $report = $sluice->exact([ reading('new', 99) ]);
	is_deeply($report->{responses}, [ [ 'new', 'ACKNOWLEDGED' ] ], 'after stored it is a duplicate');
	is($sluice->sql("SELECT temperature_celsius FROM readings WHERE device_id = 'new'"), '21.5', '... and changes nothing');
	ok($sluice->wait_sql("SELECT key_conflicts FROM sluice.stat_streams WHERE name = 'readings'", '1', 20), '... and is counted');
	$report = $sluice->exact([ reading('cold', 5) ]);
	is_deeply($report->{responses}, [ [ 'cold', 'ACKNOWLEDGED' ] ], 'after dead-lettered it is a new attempt');
	is($sluice->sql("SELECT count(*) FROM readings WHERE device_id = 'cold'"), 1, '... which was stored');
};

subtest 'streams by metadata' => sub {
	my $report = $sluice->exact([ { key => 'e1', text => '{"device_id": "a", "n": 7}' },
			{ key => 'e2', text => '{"device_id": "b", "n": -7}' }, { key => 'e3', text => '{"n": ' } ],
		'--stream', 'events');
	my %status = map { @$_ } @{ $report->{responses} };
	is_deeply(\%status, { e1 => 'ACKNOWLEDGED', e2 => 'REJECTED_DLQ', e3 => 'REJECTED_DLQ' }, 'json');
	is($sluice->sql('TABLE events'), 'a|7', 'its row');
	$report = $sluice->exact([ { key => 'b1', base64 => encode_base64("\0\xff\x80", '') } ], '--stream', 'blobs');
	is($sluice->sql('TABLE blobs'), '\x00ff80', 'bytes');

	# One key in two streams is two keys.
	$report = $sluice->exact([ { key => 'new', text => '{"device_id": "new", "n": 1}' } ], '--stream', 'events');
	is($sluice->sql("SELECT count(*) FROM events WHERE device_id = 'new'"), 1, 'keys are of their stream');

	$report = $sluice->exact([ reading('x', 1) ], '--stream', 'nowhere');
	is($report->{code}, 'NOT_FOUND', 'an unknown stream');
	like($report->{details}, qr/nowhere/, '... is named');
};

subtest 'what is not a record' => sub {
	my $report = $sluice->exact([ { raw => encode_base64("\xff\xff\xff", '') } ]);
	is($report->{code}, 'INVALID_ARGUMENT', 'a message that is no IngestDataRequest ends the call');
	$report = $sluice->exact([ { key => 'big', text => 'x' x (2 << 20) } ], '--stream', 'blobs');
	is($report->{code}, 'RESOURCE_EXHAUSTED', 'a message over sluice.max_record_size ends the call');
	$report = $sluice->exact([ { key => 'k' x 1025, text => '{}' } ], '--stream', 'events');
	isnt($report->{code}, 'INTERNAL', 'a key over 1024 bytes is no internal error');
	is(scalar(grep { $_->[1] eq 'ACKNOWLEDGED' } @{ $report->{responses} }), 0, '... and is not acknowledged');
	is($sluice->exact([ reading('still', 1) ])->{code}, 'OK', 'the port still serves');
};

subtest 'health and reflection' => sub {
	is($sluice->client('health')->{status}, 'SERVING', 'health of the server');
	is($sluice->client('health', '--service', 'ingestion.IngestionService')->{status}, 'SERVING', 'health of the service');
	is($sluice->client('health', '--service', 'no.such')->{status}, 'NOT_FOUND', 'health of an unknown service');
	my $report = $sluice->client('reflect');
	foreach my $version (qw(v1 v1alpha))
	{
		my $found = $report->{$version};
		my %has = map { $_ => 1 } @{ $found->{services} };
		ok($has{'ingestion.IngestionService'} && $has{'grpc.health.v1.Health'}, "$version lists the services")
		  or diag(encode_json($found));
		ok((grep { grep { $_ eq 'IngestDataRequest' } @$_ } values %{ $found->{files} }), "$version knows the messages");
		is($found->{unknown_symbol}, 5, "$version: an unknown symbol is NOT_FOUND");
	}
};

subtest 'a long call' => sub {
	my $sender = $sluice->send_start('long', '--count', 20000, '--bad-every', 97, '--prefix', 'long');
	my $report = $sluice->send_finish($sender);
	is($report->{rejected}, int(20000 / 97), 'each bad record is rejected');
	$sluice->sql("CREATE VIEW long AS SELECT * FROM readings WHERE device_id LIKE 'long-%'");
	$sluice->sql("CREATE VIEW long_dead AS SELECT * FROM sluice.dead_letters WHERE key_text LIKE 'long-%'");
	my $sums = $sluice->balance($sender->{ledger}, ['long'], ['long_dead']);
	is("$sums->{answers} $sums->{lost} $sums->{doubled} $sums->{both} $sums->{unanswered}", '20000 0 0 0 0',
		'each record has one answer and is in one place');
};

done_testing();
