# sluice.stat_connections: a row for each open call that sends records, with what
# it sent and what it was answered; no row of a call or of a worker that is gone.
#
# suites: beside others
use strict;
use warnings;

use Publisher;
use Sluice qw(process_is_gone slurp_lines wait_until);
use Test::More;

my $sluice = Sluice->new('main');
$sluice->create_readings('readings');
my ($worker) = $sluice->workers;
my $calls = 'SELECT count(*) FROM sluice.stat_connections';

# Each row as name=value, in the order of their names.
sub shown
{
	my ($columns) = @_;
	return $sluice->sql("SELECT concat_ws('|', $columns) FROM sluice.stat_connections ORDER BY connected_at");
}

is($sluice->sql($calls), 0, 'nobody is there');

subtest 'a call whose records wait' => sub {
	my $session = $sluice->node->background_psql('postgres');
	$session->query_safe('BEGIN; LOCK TABLE readings IN SHARE MODE');
	my $sender = $sluice->send_start('waits', '--count', 100, '--prefix', 'waits', '--timeout', 100);

	ok($sluice->wait_sql('SELECT records_received FROM sluice.stat_connections', 100, 60), 'what it sent is shown');
	is(shown('acknowledged, records_in_flight'), '0|100', 'nothing is answered, all is in flight');
	is(shown("worker, pid, method, name, coalesce(role, 'owner'), coalesce(client, 'none'), coalesce(producer::text, 'none')"),
		"1|$worker|IngestData|readings|owner|none|none", 'who, and what for');
	is(shown('stream = (SELECT id FROM sluice.streams)'), 't', 'the stream by its id');
	is(shown("client_address ~ '^127[.]0[.]0[.]1:[0-9]+\$'"), 't', 'its address');
	is(shown('bytes_in_flight BETWEEN 100 * 20 AND 100 * 1000'), 't', 'bytes in flight');
	is(shown("last_message_at BETWEEN connected_at AND now() AND connected_at > now() - interval '2 minutes'"), 't', 'times');
	is(shown("num_nulls(buffered_records, buffered_bytes, oldest_age, clock_offset, reported_at)"), 5, 'it reports nothing');

	$session->query_safe('COMMIT');
	$session->quit;
	is($sluice->send_finish($sender)->{acknowledged}, 100, 'it is answered');
	ok($sluice->wait_sql($calls, 0, 60), 'and its row is gone');
};

subtest 'a call in full flow' => sub {
	my $sender = $sluice->send_start('flow', '--prefix', 'flow', '--rate', 400, '--timeout', 100);
	$sluice->wait_progress($sender, 200, 60);
	$sluice->sql("SELECT sluice.hold('readings', 'to count')");
	ok($sluice->wait_sql('SELECT records_in_flight > 50 FROM sluice.stat_connections', 't', 60), 'records pile up while the stream is held');
	# The call is still sending: all of a row is of one moment.
	is(shown('records_received = acknowledged + records_in_flight'), 't', 'received is acknowledged and in flight');
	ok( wait_until(
			'the answers are counted',
			sub {
				$sender->{run}->pump_nb;
				my @answers = slurp_lines($sender->{ledger});
				return shown('acknowledged') == @answers;
			}, 60), 'what is acknowledged is what the client was answered');
	$sluice->sql("SELECT sluice.resume('readings')");

	my $other = $sluice->send_start('other', '--prefix', 'other', '--rate', 100, '--timeout', 100);
	ok($sluice->wait_sql($calls, 2, 60), 'a second call has a row of its own');
	$other->{run}->kill_kill;
	ok($sluice->wait_sql($calls, 1, 60), 'which goes when its client is killed');
	my $report = $sluice->send_stop($sender);
	is($report->{acknowledged}, $report->{records}, 'all was stored');
	ok($sluice->wait_sql($calls, 0, 60), 'no row is left');
};

subtest 'a producer' => sub {
	my $publisher = Publisher->new($sluice);
	my $counts = "SELECT records_received || ' ' || acknowledged || ' ' || records_in_flight FROM sluice.stat_connections";
	Publisher::create_items($sluice, 'items');
	$publisher->open_call('c', producer => 'p', stream => 'items', client => "agent 1.0\x{7}");
	is(shown("method, name, producer, client, coalesce(reported_at::text, 'no report')"),
		'Publish|items|' . Publisher::id('p') . '|agent 1.0?|no report', 'who it is, without control characters');

	$publisher->publish('c', from => 1, to => 10);
	ok($sluice->wait_sql($counts, '10 10 0', 60), 'its records are received and acknowledged');
	$sluice->sql("SELECT sluice.hold('items', 'to count')");
	$publisher->batch('c', from => 11, to => 15);
	ok($sluice->wait_sql($counts, '15 10 5', 60), 'those of a held stream are in flight');
	$sluice->sql("SELECT sluice.resume('items')");
	$publisher->settled('c', 15);
	ok($sluice->wait_sql($counts, '15 15 0', 60), 'until it goes on');

	$publisher->step('report', 'c', buffered_records => 42, buffered_bytes => 4200, oldest_age => 90_061_500, clock => 0);
	ok($sluice->wait_sql('SELECT buffered_records FROM sluice.stat_connections', 42, 60), 'what it reports is shown');
	is(shown("buffered_bytes, oldest_age, justify_hours(clock_offset) < interval '-50 years', reported_at BETWEEN connected_at AND now()"),
		'4200|25:01:01.5|t|t', 'with the age of the oldest, and a clock that stands at its beginning');
	$publisher->cut('c');
	ok($sluice->wait_sql($calls, 0, 60), 'its row is gone with its connection');
};

subtest 'workers that end' => sub {
	my $sender = $sluice->send_start('stays', '--prefix', 'stays', '--rate', 100, '--timeout', 150);
	$sluice->wait_progress($sender, 20, 60);

	$sluice->sql("SELECT pg_terminate_backend($worker)");
	ok($sluice->wait_sql("SELECT count(*), bool_and(pid <> $worker AND records_received > 0) FROM sluice.stat_connections", '1|t', 60),
		'terminated: one row, of its successor');

	($worker) = $sluice->workers;
	kill 'KILL', $worker;
	wait_until('the worker is gone', sub { process_is_gone($worker) }, 20);
	$sluice->wait_connectable;
	ok($sluice->wait_sql("SELECT count(*), bool_and(pid <> $worker AND records_received > 0) FROM sluice.stat_connections", '1|t', 60),
		'killed: one row, of its successor');

	my $report = $sluice->send_stop($sender);
	is($report->{acknowledged}, $report->{records}, 'all was stored');
	ok($sluice->wait_sql($calls, 0, 60), 'no row is left');
};

subtest 'privileges' => sub {
	$sluice->sql('CREATE ROLE nobody');
	foreach my $from ('sluice.stat_connections', 'sluice.stat_connections()')
	{
		my ($status, undef, $err) = $sluice->try_sql("SET ROLE nobody; SELECT * FROM $from");
		like($err, qr/permission denied/, "$from is not PUBLIC's");
	}
};

done_testing();
