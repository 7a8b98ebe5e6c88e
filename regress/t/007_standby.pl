# A synchronous standby that is gone: no verdict, also when the wait is
# cancelled; fast shutdown still ends; the records are there once in the end.
#
# suites: beside others
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use Sluice qw(wait_until process_is_gone);
use Test::More;
use Time::HiRes qw(sleep time);

my $drain = 3;
my $sluice = Sluice->new('primary', streaming => 1, conf => "sluice.drain_timeout = '${drain}s'\n");
$sluice->create_readings('readings');
$sluice->node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($sluice->node, 'base', has_streaming => 1);
# The copy would listen on the same port after a promotion.
my $standby_port = PostgreSQL::Test::Cluster::get_free_port();
$standby->append_conf('postgresql.conf', "sluice.port = $standby_port\n");
$standby->start;
$sluice->sql("ALTER SYSTEM SET synchronous_standby_names = '*'");
$sluice->sql('SELECT pg_reload_conf()');

my $report = $sluice->client('send', '--count', 500, '--prefix', 'with', '--timeout', 60);
is($report->{acknowledged}, 500, 'with the standby, records are acknowledged');
is($standby->safe_psql('postgres', 'SELECT count(*) FROM readings'), 500, '... and are on it');
ok(!(grep { /sluice/i } map { $standby->safe_psql('postgres', "SELECT backend_type FROM pg_stat_activity") } 1),
	'no worker serves on a standby');

$standby->stop('fast');
my $sender = $sluice->send_start('without', '--count', 200, '--prefix', 'without', '--timeout', 200);
my $waiting = "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
ok($sluice->wait_sql($waiting, 't', 60), 'without it, the worker waits');
is(Sluice::acknowledged_lines($sender), 0, 'no verdict goes out');

foreach (1 .. 3)
{
	my ($worker) = $sluice->workers;
	$sluice->sql("SELECT pg_cancel_backend($worker)");
	sleep 0.5;
}
is(Sluice::acknowledged_lines($sender), 0, 'nor after pg_cancel_backend of the worker');
ok($sluice->wait_sql($waiting, 't', 60), 'the worker waits on');

my ($worker) = $sluice->workers;
$sluice->sql("SELECT pg_terminate_backend($worker)");
ok(wait_until('the worker has ended', sub { process_is_gone($worker) }, $drain + 10), 'pg_terminate_backend ends it');
ok($sluice->wait_sql($waiting, 't', 60), 'the next worker waits too');
is(Sluice::acknowledged_lines($sender), 0, 'still no verdict');

my $started = time;
$sluice->node->stop('fast');
my $took = time - $started;
cmp_ok($took, '<', $drain + 10, sprintf('fast shutdown ends, in %.1f s', $took));
is(Sluice::acknowledged_lines($sender), 0, 'no verdict at shutdown either');

$sluice->start;
$standby->start;
$report = $sluice->send_finish($sender);
is($report->{acknowledged}, 200, 'when the standby is back, all are acknowledged');
is($sluice->sql("SELECT count(*) || ' ' || count(DISTINCT device_id) FROM readings WHERE device_id LIKE 'without-%'"),
	'200 200', '... and stored once');

subtest 'promotion' => sub {
	$sluice->sql("ALTER SYSTEM RESET synchronous_standby_names");
	$sluice->sql('SELECT pg_reload_conf()');
	$sluice->node->wait_for_catchup($standby, 'replay', $sluice->node->lsn('write'));
	$sluice->node->stop('fast');
	$standby->promote;
	local $sluice->{port} = $standby_port;
	is($sluice->client('health', '--wait', 60)->{status}, 'SERVING', 'a promoted standby serves');
	my $again = $sluice->client('send', '--count', 200, '--prefix', 'without', '--timeout', 60);
	is($again->{acknowledged}, 200, 'it knows the keys');
	is($standby->safe_psql('postgres', "SELECT count(*) FROM readings WHERE device_id LIKE 'without-%'"), 200, '... and stores nothing again');
};

done_testing();
