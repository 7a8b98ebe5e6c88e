# pg_dump and restore keep streams, keys, dead letters and subscriptions with their positions; a restored stream is held until it is resumed.
#
# suites: beside others
use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Sluice;
use Test::More;

my $sluice = Sluice->new('main');
$sluice->create_readings('readings');
$sluice->sql(<<'END');
CREATE SCHEMA "odd Schema";
CREATE TABLE "odd Schema"."T x" (n integer);
SELECT sluice.create_stream('odd stream', '"odd Schema"."T x"', payload_format => 'json', idempotency_window => '7 days');
CREATE FUNCTION activate(name text, delivered bigint) RETURNS bigint AS 'sluice_subscription_test', 'sluice_test_activate' LANGUAGE C STRICT;
CREATE FUNCTION nack(name text, "offset" bigint, payload bytea, reason text) RETURNS int AS 'sluice_subscription_test', 'sluice_test_nack' LANGUAGE C;
END
my $sent = $sluice->client('send', '--count', 1000, '--bad-every', 10, '--prefix', 'kept', '--timeout', 60);
is("$sent->{acknowledged} $sent->{rejected}", '900 100', 'records before the dump');
is($sluice->exact([ { key => 'o', text => '{"n": 1}' } ], '--stream', 'odd stream')->{responses}[0][1], 'ACKNOWLEDGED', 'the odd stream');

# Both subscriptions have a past: one is acknowledged, the other one has an attempt and a letter that is to be redelivered.
$sluice->sql(<<'END');
ALTER TABLE readings ADD id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY;
SELECT sluice.alter_stream('readings', offset_column => 'id');
SELECT sluice.create_subscription('acknowledged', max_losses => 7, retry_delay => '250 ms');
SELECT sluice.create_subscription('odd one', after_offset => 3, max_attempts => 1);
SELECT sluice.ack('acknowledged', activate('acknowledged', 700), 700);
SELECT nack('odd one', 4, '{"n": 4}', 'odd');
SELECT sluice.redrive(ids => ARRAY(SELECT id FROM sluice.dead_letters WHERE subscription IS NOT NULL));
UPDATE sluice.subscriptions SET max_attempts = 9 WHERE name = 'odd one';
SELECT nack('odd one', 5, '{"n": 5}', 'odd, too');
DROP FUNCTION activate, nack;
CREATE ROLE watcher IN ROLE sluice_reader;
CREATE ROLE app;
GRANT EXECUTE ON FUNCTION sluice.hold TO app;
END

my $streams = "SELECT id, uid, name, target, owner, payload_format, message_type, idempotency_window, is_default FROM sluice.streams ORDER BY id";
my $letters = "SELECT id, stream, stream_name, key, key_text, payload, sqlstate, message, received_at, state, subscription, \"offset\" FROM sluice.dead_letters ORDER BY id";
my $keys    = "SELECT stream, key, verdict, payload_hash FROM sluice.idempotency_keys ORDER BY 1, 2";
my $subscriptions = "SELECT * FROM sluice.subscriptions ORDER BY id";
my %before  = map { $_ => $sluice->sql($_) } ($streams, $letters, $keys, $subscriptions);
my $node    = $sluice->node;

foreach my $format ('plain', 'custom')
{
	subtest "format $format" => sub {
		my $database = "restored_$format";
		my $file = "$PostgreSQL::Test::Utils::tmp_check/dump.$format";
		$node->command_ok([ 'pg_dump', "--format=$format", '-f', $file, 'postgres' ], 'pg_dump');
		$node->safe_psql('postgres', "CREATE DATABASE $database");
		# The worker serves the database while it is being restored.
		serve($database);
		my @restore = $format eq 'plain'
		  ? ('psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $database, '-f', $file)
		  : ('pg_restore', '--exit-on-error', '-d', $database, $file);
		$node->command_ok(\@restore, 'restore');
		is($sluice->sql($_), $before{$_}, 'the same: ' . substr $_, 0, 60) foreach sort keys %before;
		is($sluice->sql("SET ROLE watcher; SELECT count(*) FROM sluice.stat_streams; SELECT count(stream) FROM sluice.dead_letters"), "2\n101", 'a reader reads');
		is($sluice->sql("SELECT has_function_privilege('app', 'sluice.hold(text, text)', 'EXECUTE'), has_function_privilege('app', 'sluice.resume(text)', 'EXECUTE')"), 't|f',
			'what was granted besides is granted');

		$sluice->wait_serving;
		ok($sluice->wait_sql("SELECT bool_and(hold IS NOT NULL) FROM sluice.stat_streams", 't', 30), 'the streams are held');
		my $sender = $sluice->send_start("again_$format", '--count', 1000, '--bad-every', 10, '--prefix', 'kept', '--timeout', 120);
		my $new = $sluice->send_start("new_$format", '--count', 100, '--prefix', "new_$format", '--timeout', 120);
		ok($sluice->wait_sql('SELECT sum(records_in_flight) > 0 FROM sluice.stat_workers', 't', 30), 'records wait');
		is(Sluice::acknowledged_lines($sender) + Sluice::acknowledged_lines($new), 0, 'nothing is stored in a held stream');
		$sluice->sql("SELECT sluice.resume('readings')");
		my $report = $sluice->send_finish($sender);
		is("$report->{acknowledged} $report->{rejected}", '900 100', 'resumed: the old records have their old verdicts');
		$report = $sluice->send_finish($new);
		is($report->{acknowledged}, 100, 'resumed: new records are stored');
		is($sluice->sql("SELECT count(*) || ' ' || count(DISTINCT device_id) FROM readings"), '1000 1000', 'none twice');
		is($sluice->sql('SELECT count(*) FROM sluice.dead_letters WHERE subscription IS NULL'), 100, 'no dead letter twice');
		is($sluice->sql("SELECT position, state, lag_records FROM sluice.stat_subscriptions ORDER BY name"),
			"700|inactive|300\n4|inactive|996", 'subscriptions go on where they were');
		is($sluice->sql("SELECT sluice.create_subscription('next') > 2"), 't', 'new subscriptions take new ids');
		my (undef, undef, $refused) = $sluice->try_sql("SELECT sluice.ack('acknowledged', (SELECT epoch FROM sluice.subscriptions WHERE name = 'acknowledged'), 800)");
		like($refused, qr/this activation of subscription "acknowledged" is over/, 'an epoch of the other server is over');
		is($sluice->sql("SELECT sluice.create_stream('next', payload_format => 'json') > 2"), 't', 'new streams take new ids');
		serve('postgres');
	};
}

subtest 'a table in the schema sluice that is not ours' => sub {
	my ($status, $out, $err) = $sluice->try_sql('DROP EXTENSION pg_sluice', 'restored_plain');
	is($status, 0, 'DROP EXTENSION works in a restored database') or diag($err);
};

done_testing();

sub serve
{
	my ($database) = @_;
	$node->safe_psql('postgres', "ALTER SYSTEM SET sluice.database = '$database'");
	$node->safe_psql('postgres', 'SELECT pg_reload_conf()');
	$sluice->set_database($database);
}
