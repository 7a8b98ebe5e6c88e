# Shutdown: what arrived is settled, nobody waits longer than sluice.drain_timeout,
# and what a user's transaction holds up is not waited for.
use strict;
use warnings;

use JSON::PP qw(encode_json);
use Sluice qw(wait_until process_is_gone);
use Test::More;
use Time::HiRes qw(sleep time);

my $drain = 2;
my $sluice = Sluice->new('main', conf => "sluice.drain_timeout = '${drain}s'\n");
$sluice->create_readings('readings');

sub stop_seconds
{
	my $started = time;
	$sluice->node->stop('fast');
	return time - $started;
}

subtest 'idle' => sub {
	my $took = stop_seconds();
	cmp_ok($took, '<', $drain, sprintf('an idle server stops at once: %.2f s', $took));
	$sluice->start;
	$sluice->wait_serving;
};

subtest 'open calls that say nothing' => sub {
	my $sender = $sluice->send_start('quiet', '--rate', 0.1, '--timeout', 100, '--prefix', 'quiet');
	$sluice->wait_progress($sender, 1, 60);
	my $took = stop_seconds();
	cmp_ok($took, '<', $drain + 5, sprintf('they are ended: %.2f s', $took));
	$sluice->start;
	my $report = $sluice->send_stop($sender);
	ok(exists $report->{endings}{UNAVAILABLE}, 'with UNAVAILABLE') or diag(encode_json($report));
	is($report->{unacknowledged}, 0, 'the client came back');
};

subtest 'in full flow' => sub {
	my $sender = $sluice->send_start('flow', '--prefix', 'flow', '--timeout', 100);
	$sluice->wait_progress($sender, 2000, 60);
	my $took = stop_seconds();
	cmp_ok($took, '<', $drain + 5, sprintf('shut down in %.2f s', $took));
	$sluice->start;
	my $report = $sluice->send_stop($sender);
	is($report->{unacknowledged}, 0, 'all acknowledged afterwards');
	is(join(' ', sort grep { $_ ne 'OK' } keys %{ $report->{endings} }), 'UNAVAILABLE', 'calls ended with UNAVAILABLE');
	is($sluice->sql("SELECT count(*) = count(DISTINCT device_id) AND count(*) = $report->{records} FROM readings WHERE device_id LIKE 'flow-%'"),
		't', 'each stored once');
};

subtest 'a locked target' => sub {
	my $session = $sluice->node->background_psql('postgres');
	$session->query_safe('BEGIN');
	$session->query_safe('LOCK TABLE readings');
	my $sender = $sluice->send_start('locked', '--count', 100, '--prefix', 'locked', '--timeout', 100);
	ok($sluice->wait_sql('SELECT sum(records_in_flight) FROM sluice.stat_workers', '100', 60), 'records wait for the lock');
	my ($worker) = $sluice->workers;
	my $started = time;
	$sluice->sql("SELECT pg_terminate_backend($worker)");
	ok(wait_until('the worker has ended', sub { process_is_gone($worker) }, $drain + 10), 'the worker ends');
	my $took = time - $started;
	cmp_ok($took, '<', $drain + 2, sprintf('within the drain timeout: %.2f s', $took));
	is(Sluice::acknowledged_lines($sender), 0, 'nothing was acknowledged');
	$session->query_safe('COMMIT');
	$session->quit;
	my $report = $sluice->send_finish($sender);
	is($report->{acknowledged}, 100, 'the next worker stores them');
};

subtest 'DROP DATABASE' => sub {
	$sluice->sql('CREATE DATABASE other');
	my ($status, $out, $err) = $sluice->try_sql('DROP DATABASE other');
	is($status, 0, 'another database can be dropped');
	is($sluice->client('send', '--count', 50, '--prefix', 'drop', '--timeout', 60)->{acknowledged}, 50, 'serving goes on');
};

done_testing();
