# The worker's path is clean under valgrind: new records, duplicates, refused
# and undecodable ones, a producer and what becomes of its calls, a call that is cut, redrive, a drain.
#
# suites: beside others
use strict;
use warnings;

use IPC::Run ();
use PostgreSQL::Test::Utils;
use Publisher;
use Sluice qw(wait_until);
use Test::More;

my $logs   = PostgreSQL::Test::Utils::tempdir('valgrind');
my $sluice = Sluice->new('main', start => 0, conf => <<'END');
fsync = off
autovacuum = off
sluice.keepalive_time = '30s'
sluice.keepalive_timeout = '60s'
sluice.drain_timeout = '60s'
END
my $node   = $sluice->node;
my $server = IPC::Run::start(
	[
		'valgrind', '--quiet', '--trace-children=yes', '--error-limit=no', '--num-callers=40', '--fullpath-after=',
		'--suppressions=' . Sluice::regress_directory() . '/valgrind.supp',
		"--log-file=$logs/%p.log", 'postgres', '-D', $node->data_dir
	],
	'>', $node->logfile, '2>&1');

ok(wait_until('the server answers', sub { IPC::Run::run([ 'pg_isready', '-q', '-d', $node->connstr('postgres') ]) }, 120), 'the server runs under valgrind');
$sluice->sql('CREATE EXTENSION pg_sluice');
$sluice->wait_serving(120);
$sluice->create_readings('readings');

my $report = $sluice->client('send', '--count', 800, '--prefix', 'first', '--bad-every', 50, '--timeout', 120);
is($report->{rejected}, 16, 'records are stored, refused ones are dead letters');
$report = $sluice->client('send', '--count', 800, '--prefix', 'first', '--bad-every', 50, '--timeout', 120);
is($report->{rejected}, 16, 'duplicates have the verdict of the original');
is($sluice->sql('SELECT count(*) FROM readings'), 784, '... and are not stored again');

my $cut = $sluice->send_start('cut', '--prefix', 'cut', '--timeout', 120);
$sluice->wait_progress($cut, 200, 120);
$cut->{run}->kill_kill;
$sluice->sql(<<'END');
ALTER TABLE readings ADD note text DEFAULT 'altered';
SELECT sluice.create_stream('events', payload_format => 'json');
SELECT sluice.ingest('events', 'a'::text, '{"n": [1, {"x": null}]}'), sluice.ingest('events', 'b'::text, 'no json');
SELECT * FROM sluice.redrive();
SELECT sluice.drop_stream('events', drop_target => true);
END

# A producer: records, gaps, refused and known ones, what waits, a call that is superseded, one that is cut.
subtest 'publish' => sub {
	my $client = Publisher->new($sluice);
	Publisher::create_items($sluice, 'items');
	$client->open_call('a', producer => 'p', stream => 'items', nonces => [ 1 .. 64 ]);
	is_deeply($client->publish('a', records => [ [ 1, '{"n": 1}', 'k' ], [ 2, '{"n": -2}' ], [ 3, '{"n": 1}', 'k' ], [ 4, 'x' ] ], gaps => [ [ 5, 9, 'full' ], [ 10, 10, 'damaged' ] ]),
		{ 2 => 'dead_lettered', 3 => 'duplicate', 4 => 'dead_lettered' }, 'a batch of everything');
	$client->batch('a', from => 11, to => 1010, by => 50);
	is_deeply($client->settled('a', 1010), {}, 'many batches');
	$client->open_call('c', producer => 'q', stream => 'items');
	$sluice->sql("SELECT sluice.hold('items', 'test')");
	$client->batch('a', from => 1011, to => 1110, by => 10, key => 'key{0}');
	$client->begin('b', producer => 'p', stream => 'items', nonces => [ 64 ], acked_through => 1);
	is_deeply($client->event('b')->{opened}{dead}, [ 2, 4 ], 'a newer call');
	$client->batch('b', from => 1005, to => 1110);
	$client->batch('c', from => 1, to => 100, by => 7);
	ok($sluice->wait_sql('SELECT sum(records_in_flight) FROM sluice.stat_workers', '306'), 'calls wait');
	$client->cut('c');
	$sluice->sql("SELECT sluice.resume('items')");
	is_deeply($client->settled('b', 1110), {}, '... and are settled');
	is($client->ending('a'), 'ABORTED SUPERSEDED', '... or refused');
	$client->batch('b', from => 1200, to => 1200);
	is($client->ending('b'), 'INVALID_ARGUMENT HOLE', 'a hole');
	is($client->open_call('d', producer => 'p', stream => 'items', nonces => [ 9 ])->{reason}, 'FENCED', 'a copy');
	$client->step('call', 'e', address => $sluice->address);
	$client->step('raw', 'e', hex => '0a0512ffffff');
	is($client->ending('e'), 'INVALID_ARGUMENT MALFORMED', 'a broken Open');
	$client->open_call('f', producer => 'r', stream => 'items');
	$client->batch('f', from => 1, to => 10);
	is($client->finish('f'), 'OK', 'a call that ends well');
	Publisher::balance_ok($sluice, 'items', 'valgrind');
	$client->open_call('g', producer => 'r', stream => 'items');
};

my ($worker) = $sluice->workers;
$report = $sluice->client('send', '--count', 300, '--prefix', 'altered', '--timeout', 120);
is($report->{acknowledged}, 300, 'records are stored after ALTER TABLE');

command_ok([ 'pg_ctl', '-D', $node->data_dir, '-m', 'fast', '-t', '120', 'stop' ], 'the server stops');
$server->finish;
ok(-e "$logs/$worker.log", 'the worker ran under valgrind');

# An error of ours has a frame of ours in its stack.
my @errors;
foreach my $log (glob "$logs/*.log")
{
	foreach my $error (split /^==\d+== \n/m, slurp_file($log))
	{
		push @errors, $error if $error =~ m{/extension/[\w/]+\.c:\d+|pg_sluice\w*\.so};
	}
}
is(join("\n", @errors), '', 'valgrind finds nothing in what is ours');
done_testing();
