# What runs where: libgrpc in the workers alone, signals in main threads alone.
# A worker that was told to end is replaced at once, one that fails is not.
#
# suites: beside others
use strict;
use warnings;

use IO::Socket::INET;
use Sluice qw(slurp_lines wait_until);
use Test::More;

my $sluice = Sluice->new('main', workers => 2);
$sluice->create_readings('readings');
my $sender = $sluice->send_start('flow', '--prefix', 'flow', '--timeout', 100);
$sluice->wait_progress($sender, 500, 60);

my $session = $sluice->node->background_psql('postgres');
$session->query_safe("SELECT sluice.ingest('readings', 'by-sql'::text, '\\x0a0161'::bytea)");
my $backend = $session->query_safe('SELECT pg_backend_pid()');

my @workers = $sluice->workers;
is(scalar @workers, 2, 'two workers');
is(join(' ', sort $sluice->processes_with('libgrpc')), join(' ', sort @workers), 'libgrpc is mapped in the workers and nowhere else');
ok((grep { $_ == $backend } $sluice->processes_with('pg_sluice.so')), 'a backend that has used the extension maps the light library');
ok(!(grep { $_ == $backend } $sluice->processes_with('libgrpc')), '... and no gRPC');

# Signals 1 to 64 but KILL and STOP, which nobody can block, and 32 and 33, which the C library keeps to itself.
my @blockable = grep { $_ != 9 && $_ != 19 && $_ != 32 && $_ != 33 } 1 .. 64;

sub blocked
{
	my ($status_file) = @_;
	my ($line) = grep { /^SigBlk/ } slurp_lines($status_file);
	return unless defined $line && $line =~ /([0-9a-f]{16})/;
	my $bits = reverse unpack 'B64', pack 'H16', $1;
	return map { substr($bits, $_ - 1, 1) ? $_ : () } 1 .. 64;
}

foreach my $worker (@workers)
{
	my @threads = map { /(\d+)$/ } glob "/proc/$worker/task/*";
	cmp_ok(scalar @threads, '>', 1, "worker $worker has " . @threads . ' threads');
	foreach my $thread (@threads)
	{
		my %blocked = map { $_ => 1 } blocked("/proc/$worker/task/$thread/status") or next;
		if ($thread == $worker)
		{
			# It blocks them for the microseconds in which it wakes the network thread.
			ok( wait_until(
					'the main thread takes TERM and USR1',
					sub { !grep { $_ == 15 || $_ == 10 } blocked("/proc/$worker/task/$thread/status") }),
				'the main thread takes TERM and USR1');
		}
		else
		{
			is(join(' ', grep { !$blocked{$_} } @blockable), '', "thread $thread blocks all signals");
		}
	}
}

# Each worker takes calls: the port is shared.
foreach my $n (1 .. 40)
{
	last if $sluice->sql('SELECT bool_and(records_received > 0) FROM sluice.stat_workers') eq 't';
	$sluice->client('send', '--count', 10, '--prefix', "spread$n", '--timeout', 60);
}
is($sluice->sql('SELECT count(*) FROM sluice.stat_workers WHERE records_received > 0'), 2, 'both workers receive records');
my $report = $sluice->send_stop($sender);
$session->quit;
is($sluice->sql("SELECT count(*) = $report->{records} FROM readings WHERE device_id LIKE 'flow-%'"), 't', 'all stored');

# The launcher says for how long it waits, whenever it does.
my $delayed = qr/sluice worker \d+ has failed (\d+) times in a row, starting it again in (\d+) ms/;

subtest 'orderly ends' => sub {
	my $own = Sluice->new('own', database => 'own', extension => 0);
	foreach my $n (1 .. 4)
	{
		$own->sql('CREATE DATABASE own', 'postgres');
		$own->sql('CREATE EXTENSION pg_sluice');
		$own->wait_serving;
		$own->sql('DROP DATABASE own WITH (FORCE)', 'postgres');
	}
	$own->sql('CREATE DATABASE own', 'postgres');
	foreach my $n (1 .. 4)
	{
		$own->sql('CREATE EXTENSION pg_sluice');
		$own->wait_serving;
		$own->sql('DROP EXTENSION pg_sluice');
		$own->wait_sql("SELECT string_agg(backend_type, ' ') FROM pg_stat_activity WHERE query = 'waiting for CREATE EXTENSION pg_sluice'",
			'sluice worker', 60);
	}
	unlike($own->log_since, $delayed, 'no worker had to wait after databases and extensions were dropped');
};

subtest 'failures' => sub {
	my $offset = $sluice->log_offset;
	my $taken = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1', LocalPort => 0) or die "no port: $!\n";
	$sluice->node->append_conf('postgresql.conf', 'sluice.port = ' . $taken->sockport . "\nsluice.workers = 1\n");
	$sluice->node->reload;
	ok(wait_until('a worker fails again and again', sub { $sluice->log_since($offset) =~ /has failed 4 times in a row/ }, 60),
		'a port that is taken is a failure');
	my @waits = map { /$delayed/ ? "$1:$2" : () } split /\n/, $sluice->log_since($offset);
	is("@waits[0 .. 2]", '2:500 3:1000 4:2000', 'each one waits longer than the one before');
	$taken->close;
	$sluice->node->append_conf('postgresql.conf', 'sluice.port = ' . $sluice->port . "\n");
	$sluice->node->reload;
	$sluice->wait_serving;
};

done_testing();
