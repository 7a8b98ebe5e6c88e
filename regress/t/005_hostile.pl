# Hostile and broken peers at the port: the server goes on serving others, no
# process dies, memory stays under its settings.
#
# suites: beside others
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

# gRPC finds a message too long only when it has read it to its end.  What stops it is
# the quota: sluice.worker_memory, 32 MB, and 16 kB for each of sluice.max_calls.  Besides
# it there are the records in flight, sluice.worker_memory again.  The rest is what
# the threads themselves need for their work.
my $call_kb = 16;
my $quota_kb = ($memory_mb + 32) * 1024 + 2000 * $call_kb;
my $records_kb = $memory_mb * 1024;
my $rest_kb = 8 * 1024;
my $base = 0;

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

# Of the worker, in kB: its memory now (VmRSS), and the most that it was since peak_reset (VmHWM).
sub memory_kb
{
	my ($what) = @_;
	my ($line) = grep { /^$what:/ } slurp_lines("/proc/$worker/status");
	return $line =~ /(\d+)/ ? $1 : die "no $what\n";
}

# The kernel counts the peak anew from what the memory is now.  (That freed memory goes back to the system is
# unit/trim_test's; malloc may keep it for a while, to be used again.)
sub peak_reset
{
	open my $file, '>', "/proc/$worker/clear_refs" or die "clear_refs: $!\n";
	print $file "5\n";
	close $file or die "clear_refs: $!\n";
	return memory_kb('VmRSS');
}

sub peak_ok
{
	my ($before, $bound, $what) = @_;
	my $peak = memory_kb('VmHWM') - $before;
	cmp_ok($peak, '<', $bound, sprintf('%s: %d kB at the peak, %d kB allowed, %d kB before', $what, $peak, $bound, $before));
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
$base = memory_kb('VmRSS');

subtest 'bytes' => sub {
	my $before = peak_reset();
	attack('noise', '--count', 400);
	still_serves('random bytes');
	attack('frames', '--count', 400);
	still_serves('frames that stop half-way');
	attack('prefixes', '--count', 300);
	still_serves('huge length prefixes');
	peak_ok($before, $rest_kb, 'announced lengths cost no memory');
};

subtest 'records' => sub {
	my $report = attack('records', '--count', 500);
	my @odd = grep { !/^(OK\/[01]|INVALID_ARGUMENT|RESOURCE_EXHAUSTED)$/ } keys %{ $report->{endings} };
	is("@odd", '', 'a broken message is answered, or ends its call with INVALID_ARGUMENT') or diag(encode_json($report));
	still_serves('broken messages');
};

subtest '100 MB' => sub {
	my $before = peak_reset();
	my $report = attack('oversize', '--size', 100);
	is($report->{code}, 'RESOURCE_EXHAUSTED', 'a message of 100 MB ends its call');
	peak_ok($before, $quota_kb + $rest_kb, 'no more than the quota is read of it');
	still_serves('100 MB');
};

subtest '160 MB in four calls' => sub {
	my $before = peak_reset();
	my @peers = map { my $out = ''; [ \$out, IPC::Run::start(peer_command('oversize', '--size', 40), '<', \undef, '>', \$out) ] } 1 .. 4;
	$_->[1]->finish foreach @peers;
	is(join(' ', map { decode_json(${ $_->[0] })->{code} } @peers), join(' ', ('RESOURCE_EXHAUSTED') x 4), 'all end');
	peak_ok($before, $quota_kb + $rest_kb, 'calls share the quota');
	still_serves('160 MB');
	cmp_ok(memory_kb('VmRSS') - $base, '<', $quota_kb + $rest_kb, 'and what is kept does not add up');
};

subtest '1,000 idle calls' => sub {
	my $before = peak_reset();
	my ($report, $release) = attack_start('idle', '--count', 1000);
	is($report->{calls}, 1000, 'they are open');
	still_serves('1,000 idle calls');
	peak_ok($before, 1000 * $call_kb + $rest_kb, 'they take what is reckoned for a call');
	$release->();
	ok($sluice->wait_sql('SELECT sum(calls) FROM sluice.stat_workers', '0', 60), 'they are gone when their connections are');
};

subtest 'answers that nobody reads' => sub {
	my $before = peak_reset();
	my ($report, $release) = attack_start('unread', '--count', 8, '--seconds', 8);
	cmp_ok($report->{sent}, '>', 1000, 'the peers sent records');
	still_serves('unread answers');
	peak_ok($before, $records_kb + 8 * $call_kb + $rest_kb, 'what is in flight stays under sluice.worker_memory');
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

unlike($sluice->log_since, qr/ is shut out for /, 'nobody was taken for a flood');
done_testing();
