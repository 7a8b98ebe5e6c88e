# A hostile network at the port: beside each attack, as fast as the attacker can, a client
# that behaves keeps half of its rate, the worker's memory stays under its settings,
# nothing leaks, the log stays short.  Connections come in thousands where SLUICE_ROUNDS
# is more than two.
use strict;
use warnings;

use Authority;
use IO::Socket::INET;
use IPC::Run;
use JSON::PP qw(decode_json);
use PostgreSQL::Test::Utils;
use Sluice qw(wait_until slurp_lines);
use Test::More;
use Time::HiRes qw(time);

my $full      = ($ENV{SLUICE_ROUNDS} // 2) > 2;
my $seconds   = $full ? 4 : 2;
my $files     = PostgreSQL::Test::Utils::tempdir_short();
my $authority = Authority->new('servers');
my ($memory_mb, $calls) = (32, 2000);
my ($sluice, $worker);
my $network = 0;

# As in 005_hostile.pl: the quota, records in flight, and what the threads need.  A connection
# with TLS that has not shaken hands yet has about 64 kB beside the quota.
my $bound_kb      = ((2 * $memory_mb + 32) + 8) * 1024 + $calls * 16;
my $connection_kb = 64;

$authority->issue("$files/server", subject => '/CN=localhost');

sub serve
{
	my ($name, $conf, $local) = @_;
	$sluice = Sluice->new($name, start => 0, conf => <<"END");
sluice.listen_addresses = '127.0.0.1, unix:$files/$name'
sluice.worker_memory = '${memory_mb}MB'
$conf
END
	my $hba = $sluice->node->data_dir . '/pg_hba.conf';
	my $rules = join "\n", 'host all guarded all scram-sha-256', slurp_lines($hba), '';
	open my $file, '>', $hba or die "$hba: $!\n";
	print $file $rules;
	close $file or die "$hba: $!\n";
	$sluice->start;
	$sluice->set_credentials('--address', "unix:$files/$name") if $local;
	$sluice->sql('CREATE EXTENSION pg_sluice');
	$sluice->sql(q(CREATE ROLE guarded LOGIN PASSWORD 'right'));
	$sluice->wait_serving;
	$sluice->create_readings('readings');
	($worker) = $sluice->workers;
}

# RssAnon is what lies not in shared memory, which the good client's rows fill.
sub memory_kb
{
	my ($what) = @_;
	my ($line) = grep { /^$what:/ } slurp_lines("/proc/$worker/status");
	return $line =~ /(\d+)/ ? $1 : die "no $what\n";
}

# Of the worker: the server opens the files of tables as it needs them, and keeps them.
sub sockets_open { return scalar grep { (readlink($_) // '') =~ /^socket:/ } glob "/proc/$worker/fd/*" }

# Answers a second that the good client has, over a time.
sub rate
{
	my ($good) = @_;
	my ($answers, $from) = (Sluice::acknowledged_lines($good), time);
	wait_until('the time is over', sub { time >= $from + $seconds }, $seconds + 30);
	return (Sluice::acknowledged_lines($good) - $answers) / (time - $from);
}

sub attack_start
{
	my ($in, $out, $err) = ('', '', '');
	my $run = IPC::Run::start([ $ENV{SLUICE_PYTHON} // '/usr/bin/python3', Sluice::regress_directory() . '/hostile_network.py',
		@_, '--address', $sluice->address ], '<', \$in, '>', \$out, '2>', \$err);
	wait_until("$_[0] has begun", sub { $run->pump_nb; $out =~ /\n/ || !$run->pumpable }, 60);
	$out =~ /\n/ or die "$_[0]: $err";
	return sub { $run->finish; return decode_json((split /\n/, $out)[-1]) };
}

sub peak_reset
{
	open my $refs, '>', "/proc/$worker/clear_refs" or die "clear_refs: $!\n";
	print $refs "5\n";
	close $refs or die "clear_refs: $!\n";
}

# Connections: how many the attacker is to hold; 0: it is a flood.
sub withstands
{
	my ($name, $attack, $connections, %o) = @_;
	my ($log, $begun, $sockets_before, $memory_before) = ($sluice->log_offset, time, sockets_open(), memory_kb('RssAnon'));
	my $good = $sluice->send_start("$name-$network", '--prefix', "$name-$network", '--window', 1, '--timeout', 120);
	$sluice->wait_progress($good, 20, 30);
	my ($without, $with, $peak, $report);
	my $limit_kb = $bound_kb + $connections * $connection_kb;
	# Another process on this machine may take the time of one second, but not of three in a row.
	foreach (1 .. 3)
	{
		# Those of before are shut out still.
		my @from = ('--network', ++$network, $o{source} ? ('--source', $o{source}) : ());
		$without = rate($good);
		peak_reset();
		my $finish = attack_start($attack, '--count', $connections || 300, @from);
		$o{meanwhile}->() if $o{meanwhile};
		$with = rate($good);
		$peak = memory_kb('VmHWM') - memory_kb('RssShmem') - memory_kb('RssFile') - $memory_before;
		$report = $finish->();
		last if $with >= 0.5 * $without && $peak < $limit_kb;
	}
	my $answers = $sluice->send_stop($good);
	is($answers->{unacknowledged}, 0, "$name: the good client got all its answers");
	cmp_ok($with, '>=', 0.5 * $without, sprintf('%s: the good client keeps %.2f of its rate (%.0f a second); the attacker took %.2f s of CPU',
		$name, $with / ($without || 1), $without, $report->{cpu}));
	cmp_ok($peak, '<', $limit_kb, "$name: $peak kB of memory at the peak");
	is($sluice->wait_sql('SELECT sum(calls) FROM sluice.stat_workers', '0', 60), 1, "$name: its calls are gone");
	ok(wait_until('descriptors are closed', sub { sockets_open() <= $sockets_before }, 60), "$name: so are its connections");
	my @lines = grep { !/ LOG:  statement: / } split /\n/, $sluice->log_since($log);
	cmp_ok(scalar @lines, '<', 40 + 25 * (time - $begun), "$name: " . @lines . ' lines of log');
	is(join(' ', $sluice->workers), $worker, "$name: the worker is the same");
	if ($connections)
	{
		is($report->{connections}, $connections, "$name: all attackers were there");
	}
	elsif ($o{not_noisy})
	{
		cmp_ok($report->{closed_by_server}, '>', 0, "$name: the attacker's connections were closed");
	}
	else
	{
		my $from = $o{source} ? qr/\Q$o{source}/ : qr/127\.$network\.0\.\d/;
		isnt(scalar(grep { /$from is shut out for \d+ ms: it floods the worker/ } @lines), 0, "$name: the attacker was shut out");
	}
	note(sprintf '%s: %s; %d kB before, %d kB after', $name, join(' ', map { "$_ $report->{$_}" } sort keys %$report), $memory_before, memory_kb('RssAnon'));
	return memory_kb('RssAnon');
}

# With TLS, those who come no further than the door; the good client has another one.
serve('tls', <<"END", 1);
ssl = on
ssl_cert_file = '$files/server.crt'
ssl_key_file = '$files/server.key'
END
withstands('silent',         'silent',         $full ? 10000 : 300);
withstands('half handshake', 'half_handshake', $full ? 1000  : 100);
$sluice->node->stop;

serve('plain', '');
withstands('slow', 'slow', $full ? 1000 : 100);
my $unspoken = $full ? 1500 : 300;
withstands('unspoken', 'unspoken', $unspoken, meanwhile => sub {
	ok($sluice->wait_sql("SELECT sum(calls) >= $unspoken FROM sluice.stat_workers", 't', 30), 'unspoken: the calls are open') });
withstands($_, $_, 0) foreach qw(passwords pings settings windows drizzle);
withstands('bombs', 'bombs', 0, not_noisy => 1);

# A second attack like one before finds the memory that the first one left.  What is free goes
# back to the system in time; 16 MB are not worth it.
foreach my $flood (qw(resets metadata))
{
	my $first = withstands($flood, $flood, 0);
	withstands("$flood again", $flood, 0);
	ok(wait_until('memory is given back', sub { memory_kb('RssAnon') < $first + 20 * 1024 }, 120),
		"$flood: a second attack leaves no more memory taken than the first: " . memory_kb('RssAnon') . ' kB');
}

# Of the attacker's own network: who was there and behaves stays, who was shut out comes in again in time.
withstands('neighbour', 'pings', 0, source => '127.0.0.1');
my ($host, $port) = split /:/, $sluice->address;
ok(wait_until('the network is taken again', sub { IO::Socket::INET->new(PeerAddr => $host, PeerPort => $port, Timeout => 1) }, 60),
	'after its time a network that was shut out is taken again');
cmp_ok($sluice->sql('SELECT sum(penalties) FROM sluice.stat_workers'), '>=', 9, 'penalties are counted');

my @threads = glob "/proc/$worker/task/*";
cmp_ok(scalar @threads, '<', 40, scalar(@threads) . ' threads');
unlike($sluice->log_since, qr/terminated by signal|PANIC/, 'no process died');

# Who likes can leave all of it to a firewall.
sub has_guard { return scalar grep { -r "$_/comm" && (slurp_lines("$_/comm"))[0] =~ /^sluice guard/ } glob "/proc/$worker/task/*" }
ok(has_guard(), 'a thread guards');
$sluice->node->append_conf('postgresql.conf', 'sluice.penalty_time = 0');
$sluice->node->reload;
ok($sluice->wait_sql("SELECT count(*) FROM sluice.stat_workers WHERE state = 'serving' AND pid <> $worker", '1', 60), 'the worker is replaced');
($worker) = $sluice->workers;
ok(!has_guard(), 'sluice.penalty_time = 0: none does');

done_testing();
