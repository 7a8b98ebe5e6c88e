# Hostile and broken peers at the port: the server goes on serving others, no
# process dies, memory stays under its settings.
use strict;
use warnings;

use IPC::Run;
use JSON::PP qw(decode_json encode_json);
use Sluice qw(wait_until slurp_lines);
use Test::More;

my $memory_mb = 32;
my $sluice = Sluice->new('main', conf => <<"END");
sluice.worker_memory = '${memory_mb}MB'
sluice.max_record_size = '1MB'
END
$sluice->create_readings('readings');
my $started = $sluice->sql('SELECT pg_postmaster_start_time()');
my ($worker) = $sluice->workers;
my $served = 0;

sub peer_command
{
	my ($command, @arguments) = @_;
	return [ $ENV{SLUICE_PYTHON} // '/usr/bin/python3', Sluice::regress_directory() . '/hostile.py',
		$command, '--address', $sluice->address, '--seed', $ENV{SLUICE_SEED} // 1, @arguments ];
}

sub attack
{
	my ($out, $err) = ('', '');
	IPC::Run::run(peer_command(@_), '<', \undef, '>', \$out, '2>', \$err);
	note("$_[0]: $out");
	return decode_json($out || die $err);
}

# A peer that stays until it is released: its first line, and what releases it.
sub attack_start
{
	my ($in, $out, $err) = ('', '', '');
	my $run = IPC::Run::start(peer_command(@_), '<', \$in, '>', \$out, '2>', \$err);
	wait_until("$_[0] has begun", sub { $run->pump_nb; $out =~ /\n/ }, 120) or die $err;
	note("$_[0]: $out");
	return (decode_json((split /\n/, $out)[0]), sub { $run->kill_kill });
}

sub resident_kb
{
	my ($line) = grep { /^VmRSS/ } slurp_lines("/proc/$worker/status");
	return $line =~ /(\d+)/ ? $1 : 0;
}

sub still_serves
{
	my ($what) = @_;
	$served++;
	my $report = $sluice->client('send', '--count', 200, '--prefix', "fine$served", '--timeout', 60);
	is("$report->{acknowledged} $report->{calls}", '200 1', "$what: others are served meanwhile");
	is(join(' ', $sluice->workers), $worker, "$what: the worker is the same");
}

still_serves('before');
my $base = resident_kb();

subtest 'bytes' => sub {
	attack('noise', '--count', 400);
	still_serves('random bytes');
	attack('frames', '--count', 400);
	still_serves('frames that stop half-way');
	attack('prefixes', '--count', 300);
	still_serves('huge length prefixes');
	cmp_ok(resident_kb() - $base, '<', 40 * 1024, 'announced lengths cost no memory');
};

subtest 'records' => sub {
	my $report = attack('records', '--count', 500);
	my @odd = grep { !/^(OK\/[01]|INVALID_ARGUMENT|RESOURCE_EXHAUSTED)$/ } keys %{ $report->{endings} };
	is("@odd", '', 'a broken message is answered, or ends its call with INVALID_ARGUMENT') or diag(encode_json($report));
	still_serves('broken messages');
};

# gRPC finds a message too long only when it has read it; what bounds it is the quota:
# sluice.worker_memory, 32 MB, and 16 kB for each of sluice.max_calls; besides
# it there are the records in flight, sluice.worker_memory again.
my $bound_kb = (2 * $memory_mb + 32) * 1024 + 16 * 2000;

subtest '100 MB' => sub {
	my $report = attack('oversize');
	is($report->{code}, 'RESOURCE_EXHAUSTED', 'a message of 100 MB ends its call');
	cmp_ok(resident_kb() - $base, '<', $bound_kb, 'and memory stays under its bound: ' . (resident_kb() - $base) . ' kB');
	still_serves('100 MB');
};

subtest '1,000 idle calls' => sub {
	my ($report, $release) = attack_start('idle', '--count', 1000);
	is($report->{calls}, 1000, 'they are open');
	still_serves('1,000 idle calls');
	cmp_ok(resident_kb() - $base, '<', $bound_kb, 'memory stays under its bound: ' . (resident_kb() - $base) . ' kB');
	$release->();
	ok($sluice->wait_sql('SELECT sum(calls) FROM sluice.stat_workers', '0', 60), 'they are gone when their connections are');
};

subtest 'answers that nobody reads' => sub {
	my ($report, $release) = attack_start('unread', '--count', 8, '--seconds', 8);
	cmp_ok($report->{sent}, '>', 1000, 'the peers sent records');
	still_serves('unread answers');
	cmp_ok(resident_kb() - $base, '<', ($memory_mb + 96) * 1024, 'memory stays bounded: ' . (resident_kb() - $base) . ' kB');
	$release->();
};

subtest 'file descriptors used up' => sub {
	my $open = () = glob "/proc/$worker/fd/*";
	my ($limits) = grep { /^Max open files/ } slurp_lines("/proc/$worker/limits");
	my ($soft, $hard) = $limits =~ /(\d+)\s+(\d+)/;
	is(system('prlimit', '--pid', $worker, '--nofile=' . ($open + 30) . ":$hard"), 0, 'the worker may open 30 more files');
	my ($report, $release) = attack_start('descriptors', '--count', 100);
	cmp_ok($report->{connections}, '>=', 40, 'more connections came than that');
	wait_until('the worker has run out', sub { my @fds = glob "/proc/$worker/fd/*"; @fds >= $open + 25 }, 20);
	$release->();
	$sluice->wait_serving(60);
	still_serves('after the descriptors were used up');
	system('prlimit', '--pid', $worker, "--nofile=$soft:$hard");
};

is($sluice->sql('SELECT pg_postmaster_start_time()'), $started, 'the server never restarted');
unlike($sluice->log_since, qr/terminated by signal|PANIC|was terminated/, 'no process died');
is($sluice->sql("SELECT count(*) FROM (SELECT FROM readings WHERE device_id LIKE 'fine%' GROUP BY device_id HAVING count(*) > 1) x"),
	0, 'nothing of the others was doubled');
is($sluice->sql("SELECT count(*) FROM readings WHERE device_id LIKE 'fine%'"), 200 * $served, 'nor lost');

done_testing();
