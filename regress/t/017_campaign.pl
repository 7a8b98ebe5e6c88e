# Durable producers, whatever fails: a campaign of seeded faults against the
# client, the server, the network between them and the client's disk.
#
# Each run has a stream of its own and processes with several producers, whose
# settings it chooses (durability, policy of a full buffer, compaction, keys,
# bad records).  After its faults the producers deliver what they have; then
# the table, sluice.ledger and the journals of what was promised and told are compared.
#
# SLUICE_SEED replays the choices, SLUICE_FAULTS sets how many faults there
# are, SLUICE_FAULT_KINDS="worker freeze" picks kinds.
#
# suites: beside others
use strict;
use warnings;

use Account;
use List::Util qw(shuffle sum);
use PostgreSQL::Test::Utils;
use Producer;
use Proxy;
use Sluice qw(wait_until process_is_gone);
use Test::More;
use Time::HiRes qw(sleep time);

my $seed   = $ENV{SLUICE_SEED}   // int(time) % 1_000_000;
my $faults = $ENV{SLUICE_FAULTS} // 30;
my %faults = (
	# the client
	client_killed  => \&fault_client_killed,
	client_moves   => \&fault_client_moves,
	client_stopped => \&fault_client_stopped,
	disk_full      => \&fault_disk_full,
	# the server
	worker         => \&fault_worker,
	terminate      => \&fault_terminate,
	postmaster     => \&fault_postmaster,
	immediate      => \&fault_immediate,
	fast           => \&fault_fast,
	server_moves   => \&fault_server_moves,
	both_killed    => \&fault_both_killed,
	# the network
	cut            => sub { $_[0]{proxy}->tell('cut') },
	cut_client     => sub { $_[0]{proxy}->tell('cut client') },
	cut_server     => sub { $_[0]{proxy}->tell('cut server') },
	frame_up       => sub { cut_after($_[0], 'up') },
	frame_down     => sub { cut_after($_[0], 'down') },
	end_up         => sub { $_[0]{proxy}->tell('finish up') },
	end_down       => sub { $_[0]{proxy}->tell('finish down') },
	silence_up     => sub { $_[0]{proxy}->tell('mute up') },
	silence_down   => sub { $_[0]{proxy}->tell('mute down') },
	freeze         => \&fault_freeze,
	refuse         => \&fault_refuse,
	delay          => \&fault_delay);
delete $faults{disk_full} unless $ENV{SLUICE_SMALL_DISK};
my @kinds = split ' ', $ENV{SLUICE_FAULT_KINDS} // join ' ', sort keys %faults;

# What varies from run to run.  kill_loses: gaps that SIGKILL of the client may make; drops: the policy's.
my @scenarios = (
	{ name => 'each', options => { durability => 'each' }, arguments => [ '--threads', 4 ] },
	{ name => 'interval', options => { durability => 'interval', interval => '50 ms' }, kill_loses => ['lost_tail'] },
	{ name => 'drop_oldest', options => { durability => 'each', full => 'drop_oldest', max_records => 200 }, drops => ['full'] },
	{ name => 'drop_newest', options => { durability => 'interval', full => 'drop_newest', max_records => 200 },
		drops => ['newest'], kill_loses => ['lost_tail'] },
	{ name => 'compaction', options => { durability => 'each', compact => 'on' }, arguments => [ '--entities', 15 ], drops => ['compacted'] },
	{ name => 'small_memory', options => { durability => 'interval', interval => '20 ms', memory => '1 MB', batch_bytes => '4 kB' },
		arguments => [ '--rate', 1000, '--size', 1200 ], kill_loses => ['lost_tail'] },
	{ name => 'none', options => { durability => 'none' }, kill_loses => ['lost_tail'] });

# Quick, so that a campaign meets many connections; keepalive as often as the server takes it.
my %quick = (
	backoff_first     => '30 ms',
	backoff_last      => '500 ms',
	connect_timeout   => '2 s',
	keepalive_time    => '2500 ms',
	keepalive_timeout => '700 ms');

note("SLUICE_SEED=$seed SLUICE_FAULTS=$faults");
my $sluice = Sluice->new('campaign', workers => 2, conf => "sluice.drain_timeout = '2s'\n");
my $proxy  = Proxy->new($sluice->port, ports => 2);
my $runs   = $faults > 60 ? int($faults / 15) : int(($faults + 5) / 6);
my %made;

# Every kind comes before one comes twice.
srand($seed);
my @deck;
push @deck, shuffle @kinds while @deck < $faults;

foreach my $number (1 .. $runs)
{
	campaign($number, splice @deck, 0, int($faults * $number / $runs) - int($faults * ($number - 1) / $runs));
}
is(sum(values %made), $faults, "$faults faults were made: " . join(', ', map { "$made{$_} $_" } sort keys %made));
is($sluice->sql('SELECT count(*) FROM sluice.ledger WHERE unexplained <> 0 OR lost <> 0'), 0, 'nothing is unexplained or lost');
unlike($sluice->log_since, qr/ is shut out for /, 'nobody was taken for a flood');
$proxy->stop;
$sluice->node->stop('fast');
done_testing();

sub campaign
{
	my ($number, @mine) = @_;
	my $scenario = $scenarios[ ($number - 1 + $seed) % @scenarios ];
	my $stream = sprintf 'run%d', $number;
	my $title  = "run $number, $scenario->{name}";

	# Each run has its own sequence.
	srand($seed * 1009 + $number);
	Account::create_stream($sluice, $stream);
	my @processes = processes($stream, $scenario);
	my $run = { proxy => $proxy, processes => \@processes, stream => $stream };
	$_->start foreach @processes;
	$_->wait_progress(60) or die "$title: does not begin\n" foreach @processes;
	foreach my $kind (@mine)
	{
		fault($run, $title, $kind);
	}
	settle($run, $title, $scenario);
}

# One with the scenario's settings, and beside it the plainest, whose promises are kept without exception.
sub processes
{
	my ($stream, $scenario) = @_;
	my @common = ('--rate', 500, '--bad-every', 30 + int rand 50, '--key-every', 7);
	my $disk   = $ENV{SLUICE_SMALL_DISK};

	return (
		Producer->new("$stream-varied",
			server    => $proxy->address,
			producers => 2,
			arguments => [ @common, @{ $scenario->{arguments} // [] } ],
			options   => { %quick, stream => $stream, %{ $scenario->{options} } }),
		Producer->new("$stream-plain",
			server    => $proxy->address,
			directory => defined $disk ? "$disk/$stream" : undef,
			arguments => [ @common, '--threads', 2 ],
			options   => { %quick, stream => $stream, durability => 'each' }));
}

# One fault, and until all have recovered from it.
sub fault
{
	my ($run, $title, $kind) = @_;
	my $started = time;

	sleep rand 0.2;
	$faults{$kind}->($run);
	my $done = time;
	my @stuck = grep { !$_->wait_progress(60) } @{ $run->{processes} };
	ok(0, "$title: $_->{name} goes on after $kind (SLUICE_SEED=$seed)") foreach @stuck;
	die "$title: the campaign ends here\n" if @stuck;
	$made{$kind}++;
	note(sprintf '%s: %s took %.2f s, recovered after %.2f s', $title, $kind, $done - $started, time - $done);
}

# Deliver everything, and compare.
sub settle
{
	my ($run, $title, $scenario) = @_;
	my @processes = @{ $run->{processes} };
	my ($varied, $plain) = @processes;
	my @reasons = (@{ $scenario->{drops} // [] }, $varied->{kills} ? @{ $scenario->{kill_loses} // [] } : ());

	foreach my $process (@processes)
	{
		my $report = $process->stop;
		ok($report->{status} == 0 && $report->{signal} == 0, "$title: $process->{name} delivers all in the end")
		  or $process->diagnose, diag("status $report->{status}, signal $report->{signal}");
		note("$process->{name}: " . join ', ', map { "sent $_->{sent}, resent $_->{resent}, connections $_->{connections}" } @{ $report->{producers} // [] });
	}
	$proxy->tell('cut');
	# What was dropped by an earlier run and had been in flight then is not told: nobody knows any more which it was.
	my @complete = grep { !$_->{kills} && ($_->{starts} == 1 || $_ == $plain || !$scenario->{drops}) } @processes;
	my $unnoted = sum(map { $_->{kills} * 8 } @processes);
	my $figures = Account::of($sluice, $run->{stream}, \@processes, reasons => \@reasons, unnoted => $unnoted,
		complete => \@complete);
	Account::balanced("$title (SLUICE_SEED=$seed)", $figures) or keep($run->{stream});
	is($sluice->sql("SELECT count(*) FROM sluice.gaps WHERE producer IN (SELECT producer FROM $run->{stream} WHERE name LIKE '%-plain-%')"),
		0, "$title: the plain producer has declared nothing");
	system('rm', '-rf', $plain->{directory}) if defined $ENV{SLUICE_SMALL_DISK};
}

# What explains a failure: the books and the gaps beside the journals.
sub keep
{
	my ($stream) = @_;
	my $file = "$PostgreSQL::Test::Utils::tmp_check/$stream";
	$sluice->sql("\\copy (SELECT * FROM sluice.producers) to '$file.producers'\n\\copy (SELECT * FROM sluice.gaps) to '$file.gaps'\n"
		  . "\\copy (SELECT * FROM $stream ORDER BY id) to '$file.rows'");
}

#
# Faults
#

sub any_process { return $_[0]{processes}[ int rand @{ $_[0]{processes} } ] }

sub fault_client_killed
{
	my ($run) = @_;
	my $process = any_process($run);
	$process->kill;
	sleep rand 0.3;
	$process->start;
}

# In good order, with everything delivered or with a backlog; nothing may be declared for it.
sub fault_client_stopped
{
	my ($run) = @_;
	my $process = any_process($run);
	my $backlog = rand() < 0.5;

	if ($backlog)
	{
		$proxy->tell('refuse');
		$proxy->tell('cut');
		sleep rand 0.5;
	}
	$process->signal('TERM');
	wait_until('it makes no more records', sub { $process->said('put') });
	$process->signal('TERM') if $backlog;
	my $report = $process->finish;
	is("$report->{status} $report->{signal}", $backlog ? '1 0' : '0 0', "$process->{name} stops in good order")
	  unless $backlog && $report->{status} == 0;
	$proxy->tell('pass');
	$process->start;
}

# Started again with another address: the other port of the proxy, or one of several of which the first is dead.
sub fault_client_moves
{
	my ($run) = @_;
	my $process = any_process($run);
	my @addresses = grep { $_ ne $process->{server} } $proxy->address(0), $proxy->address(1),
	  "127.0.0.1:1," . $proxy->address(0);
	$process->kill;
	$process->{server} = $addresses[ int rand @addresses ];
	$process->start;
}

# Nothing can be delivered and the disk fills up: sluice_send fails until there is room.
sub fault_disk_full
{
	my ($run) = @_;
	my (undef, $plain) = @{ $run->{processes} };
	my $ballast = "$ENV{SLUICE_SMALL_DISK}/ballast";

	$proxy->tell('refuse');
	$proxy->tell('cut');
	system("cat /dev/zero >'$ballast' 2>/dev/null");
	my ($size, $since) = (-1, time);
	wait_until('nothing more is promised', sub {
		my $now = $plain->promised_size;
		($size, $since) = ($now, time) if $now != $size;
		# Room that LMDB frees meanwhile is taken as well.
		system("cat /dev/zero >>'$ballast' 2>/dev/null");
		return time - $since > 0.5;
	}, 30);
	unlink $ballast;
	$proxy->tell('pass');
}

sub fault_worker
{
	my @workers;
	wait_until('there is a worker', sub { @workers = $sluice->workers });
	my $victim = $workers[ int rand @workers ];
	kill 'KILL', $victim;
	wait_until('the worker is gone', sub { process_is_gone($victim) });
	$sluice->wait_connectable;
}

sub fault_terminate
{
	my $victim;
	wait_until('there is a worker', sub { ($victim = $sluice->sql('SELECT pid FROM sluice.stat_workers ORDER BY calls DESC LIMIT 1')) ne '' });
	$sluice->sql("SELECT pg_terminate_backend($victim)");
	wait_until('the worker has ended', sub { process_is_gone($victim) });
}

sub fault_postmaster
{
	$sluice->kill_server;
	sleep rand 0.5;
	$sluice->start;
}

sub fault_immediate
{
	$sluice->node->stop('immediate');
	$sluice->start;
}

sub fault_fast
{
	$sluice->node->stop('fast');
	$sluice->start;
}

sub fault_both_killed
{
	my ($run) = @_;
	my $process = any_process($run);
	$process->kill;
	$sluice->kill_server;
	# Buffers before there is a server, or after.
	my $early = rand() < 0.5;
	$process->start if $early;
	$sluice->start;
	$process->start unless $early;
}

# The server comes back at another port; the proxy's clients find it there.
sub fault_server_moves
{
	my $port = PostgreSQL::Test::Cluster::get_free_port();
	$sluice->node->stop('fast');
	$sluice->node->append_conf('postgresql.conf', "sluice.port = $port\n");
	$sluice->{port} = $port;
	$proxy->tell("upstream $port");
	$sluice->start;
}

# In the midst of a frame; the records that flow soon reach that byte.
sub cut_after
{
	my ($run, $way) = @_;
	$run->{proxy}->tell('after ' . int(rand 5000) . " $way");
}

# Half open: what is sent finds nobody.  Then the network is back, or the old connections are dead.
sub fault_freeze
{
	my ($run) = @_;
	$run->{proxy}->tell('freeze');
	sleep 0.2 + rand 4;
	$run->{proxy}->tell('cut') if rand() < 0.5;
	$run->{proxy}->tell('pass');
}

sub fault_refuse
{
	my ($run) = @_;
	$run->{proxy}->tell('refuse');
	$run->{proxy}->tell('cut');
	sleep rand 2;
	$run->{proxy}->tell('pass');
}

# A slow line that is cut with much on its way.
sub fault_delay
{
	my ($run) = @_;
	$run->{proxy}->tell('delay ' . int(50 + rand 400));
	sleep 0.2 + rand 1;
	$run->{proxy}->tell('cut');
	$run->{proxy}->tell('pass');
}
