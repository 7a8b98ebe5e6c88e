# The worker's path is clean under valgrind: new records, duplicates, refused
# and undecodable ones, a call that is cut, redrive, a drain.
use strict;
use warnings;

use IPC::Run ();
use PostgreSQL::Test::Utils;
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
