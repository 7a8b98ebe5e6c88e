# Outages of every length and kind: what a durable producer does while the
# server, the disk, the clock or its own directory are not what they were.
#
# SLUICE_OUTAGES picks subtests by a pattern of their names, SLUICE_OUTAGE_RECORDS
# is the backlog of the long one.
use strict;
use warnings;

use Account;
use List::Util qw(max min sum);
use POSIX qw(ceil);
use PostgreSQL::Test::Utils;
use Producer;
use Proxy;
use Sluice qw(wait_until slurp_lines);
use Test::More;
use Time::HiRes qw(sleep time);

my $records = $ENV{SLUICE_OUTAGE_RECORDS} // 1_000_000;
my %quick = (backoff_first => '50 ms', backoff_last => '500 ms', connect_timeout => '2 s');
my %subtests = (
	'a long outage'               => \&long_outage,
	'a copied buffer'             => \&copied_buffer,
	'a clock set back and forth'  => \&clock_set,
	'many clients at once'        => \&many_clients,
	'a full disk'                 => \&full_disk,
	'a record that is too large'  => \&too_large,
	'the time of a reconnection'  => \&reconnection);
my $only = $ENV{SLUICE_OUTAGES} // '.';

my $sluice = Sluice->new('main', conf => <<'END');
sluice.drain_timeout = '2s'
sluice.max_record_size = '64kB'
max_wal_size = '4GB'
END
my $proxy = Proxy->new($sluice->port);

foreach my $name (grep { /$only/ } sort keys %subtests)
{
  SKIP:
	{
		skip 'no small disk: mounting a tmpfs needs root or sudo', 1 if $name eq 'a full disk' && !$ENV{SLUICE_SMALL_DISK};
		subtest $name => $subtests{$name};
	}
}
$proxy->stop;
$sluice->node->stop('fast');
done_testing();

#
# Producers and what they say
#

sub wait_said
{
	my ($producer, $when, $seconds) = @_;
	wait_until("$producer->{name} says \"$when\"", sub { $producer->said($when) || !$producer->is_running }, $seconds // 120);
	my $said = $producer->said($when);
	return $said if $said;
	$producer->diagnose;
	die "$producer->{name} did not say \"$when\"\n";
}

sub figure
{
	my ($report, $figure) = @_;
	return sum(0, map { $_->{$figure} // 0 } @{ $report->{producers} // [] });
}

sub message { return $_[0]{producers}[0]{message} // '' }

sub delivers_all
{
	my ($report, $producer, $what) = @_;
	return ok($report->{status} == 0 && $report->{signal} == 0, $what)
	  || (diag("status $report->{status}, signal $report->{signal}"), $producer->diagnose);
}

sub balanced
{
	my ($what, $stream, $producers, @reasons) = @_;
	return Account::balanced($what, Account::of($sluice, $stream, $producers, reasons => \@reasons));
}

# The room that a directory's files take on the disk.
sub room
{
	my ($directory) = @_;
	return sum(0, map { (stat $_)[12] * 512 } glob "$directory/*");
}

sub percentile
{
	my ($part, @values) = @_;
	@values = sort { $a <=> $b } @values;
	return $values[ max(0, ceil($part * @values) - 1) ];
}

#
# The server is gone for long
#

# As fast as records can be made.
sub speedy
{
	my ($stream, $count) = @_;
	Account::create_stream($sluice, $stream);
	return Producer->new($stream,
		server    => $sluice->address,
		journal   => 0,
		arguments => [ '--count', $count, '--size', 100, '--flush', 240_000, '--stay', $stream eq 'outage' ? 60_000 : 0 ],
		options   => { %quick, stream => $stream, durability => 'interval', memory => '16 MB' });
}

# Records a second from the connection to the end.
sub rate
{
	my ($producer, $count) = @_;
	my ($opened) = grep { $_->[2] eq 'opened' } $producer->timeline;
	return $count / ($producer->said('flushed')->{at} - $opened->[0]);
}

sub long_outage
{
	my $count  = int($records / 4);
	my $steady = speedy('steady', $count);
	delivers_all($steady->run, $steady, 'with the server up all is delivered');
	my $rate = rate($steady, $count);

	my $producer = speedy('outage', $records);
	$sluice->node->stop('fast');
	$producer->start;
	my $put    = wait_said($producer, 'put', 240);
	my $opened = $producer->said('open');
	my $full   = room($producer->buffer);
	$sluice->start;
	wait_said($producer, 'flushed', 300);
	ok(wait_until('the buffer shrinks', sub { room($producer->buffer) < $full / 10 }, 20), 'the buffer shrinks again');
	note(sprintf 'the buffer: %.1f MB with the backlog, %.1f MB afterwards', $full / 1e6, room($producer->buffer) / 1e6);
	my $report = $producer->stop;
	delivers_all($report, $producer, "$records records that were buffered are delivered afterwards");
	my $drain = rate($producer, $records);

	is($sluice->sql('SELECT count(*), count(DISTINCT sequence), count(DISTINCT running), max(sequence) FROM outage'),
		"$records|$records|$records|$records", 'each of them once');
	is($sluice->sql('SELECT count(*) FROM (SELECT sequence, lag(sequence, 1, 0::bigint) OVER (ORDER BY id) AS before FROM outage) x WHERE sequence <> before + 1'),
		0, 'in order');
	is($sluice->sql("SELECT last, stored, declared, lost, unexplained FROM sluice.ledger WHERE name = 'outage'"),
		"$records|$records|0|0|0", 'the ledger balances');
	is($sluice->sql("SELECT sum(resent) FROM sluice.producers"), 0, 'the server saw none again');
	note(sprintf 'put at %.0f/s; drained at %.0f/s, steady %.0f/s: %.2f of it',
		$records / ($put->{at} - $opened->{at}), $drain, $rate, $drain / $rate);
	note("memory: $opened->{rss_kb} kB when opened; with the backlog $put->{rss_kb} kB, $put->{anonymous_kb} kB of it anonymous; peak $report->{peak_kb} kB");
	# What LMDB maps of its file belongs to the page cache.
	cmp_ok(max($put->{anonymous_kb}, $producer->said('flushed')->{anonymous_kb}) - $opened->{anonymous_kb}, '<', 40 * 1024,
		'memory is bounded by its option, not by the backlog');
	cmp_ok($full, '>', $records * 50, 'the backlog was on disk');
}

#
# A copied directory
#

sub copyable
{
	my ($stream, $name) = @_;
	return Producer->new("${stream}_$name",
		server    => $sluice->address,
		arguments => [ '--flush', 20_000 ],
		options   => { %quick, stream => $stream, durability => 'each' });
}

# A buffer that has delivered some records, and a copy of it.
sub copied
{
	my ($stream) = @_;
	Account::create_stream($sluice, $stream);
	my ($original, $copy) = (copyable($stream, 'original'), copyable($stream, 'copy'));
	delivers_all($original->run('--count', 100), $original, "$stream: the original delivers");
	system('cp', '-R', $original->buffer, $copy->buffer) == 0 or die "cp failed\n";
	return ($original, $copy);
}

# The one that comes second is told, keeps what it has, and can be given an identity of its own.
sub fenced
{
	my ($stream, $first, $second) = @_;

	delivers_all($first->run('--count', 50), $first, "$stream: the first to come goes on");
	# It is given its records before it can be told.
	my ($server, $given) = ($second->{server}, 70);
	$second->{server} = '127.0.0.1:1';
	is($second->run('--count', $given, '--flush', 0)->{producers}[0]{sent_ok}, $given, "$stream: the second is given $given records");
	$second->{server} = $server;
	my $report = $second->run('--count', 0);
	is($report->{status}, 3, "$stream: it is fenced");
	like(message($report), qr/copy/, "$stream: it says why");
	is($report->{producers}[0]{state}, 4, "$stream: its state tells");
	is($report->{producers}[0]{buffered_records}, $given, "$stream: it keeps them");
	cmp_ok($report->{producers}[0]{attempts}, '<=', 2, "$stream: and does not try again");
	is($second->run('--count', 0)->{status}, 3, "$stream: fenced it stays");
	delivers_all($first->run('--count', 10), $first, "$stream: the first is not disturbed");

	my ($status, $out, $err) = $sluice->tool('', 'buffer', 'repair', '--new-identity', $second->buffer);
	is($status, 0, "$stream: sluice buffer repair --new-identity") or diag($out, $err);
	delivers_all($second->run('--count', 5), $second, "$stream: what was its own is delivered under a new identity");
	# The original's first 100, and all that either was given since.
	is($sluice->sql("SELECT count(*), count(DISTINCT (name, running)), count(*) FILTER (WHERE name = '$second->{name}-1') FROM $stream"),
		sprintf('%d|%d|%d', 165 + $given, 165 + $given, $given + ($second->{name} =~ /copy/ ? 5 : 105)), "$stream: every record of both is there once");
	is($sluice->sql("SELECT count(*), sum(unexplained), sum(lost), sum(declared) FROM sluice.ledger WHERE name = '$stream'"),
		'2|0|0|0', "$stream: the ledger balances");
}

sub copied_buffer
{
	my ($original, $copy) = copied('orderly');
	fenced('orderly', $original, $copy);
	($original, $copy) = copied('usurped');
	fenced('usurped', $copy, $original);
}

#
# The clock
#

sub set_clock
{
	my ($file, $seconds) = @_;
	open my $clock, '+<', $file or die "$file: $!\n";
	print $clock pack('q', $seconds);
	close $clock;
}

sub clock_set
{
	my $file = "$PostgreSQL::Test::Utils::tmp_check/clock.shift";
	append_to_file($file, pack('q', 0));
	Account::create_stream($sluice, 'clock');
	my $producer = Producer->new('clock',
		server      => $proxy->address,
		producers   => 2,
		arguments   => [ '--rate', 300 ],
		environment => { LD_PRELOAD => $ENV{SLUICE_CLOCK}, SLUICE_CLOCK_SHIFT => $file },
		options     => { %quick, stream => 'clock', durability => 'interval', interval => '100 ms' });
	$producer->start;
	ok($producer->wait_progress(30), 'it sends');
	my @longest;
	foreach my $seconds (365 * 86400, -3650 * 86400, 0, 3600, -60, 7, 0)
	{
		set_clock($file, $seconds);
		my $started = time;
		ok($producer->wait_progress(20), "it goes on with the clock at $seconds s");
		$proxy->tell('cut');
		ok($producer->wait_progress(20), "it connects again with the clock at $seconds s");
		push @longest, time - $started;
	}
	cmp_ok(max(@longest), '<', 10, sprintf 'no wait depends on the time of day: %.2f s at most', max(@longest));

	# What is older than the interval is on disk, also when the clock went back meanwhile.
	$proxy->tell('refuse');
	$proxy->tell('cut');
	set_clock($file, -86400);
	sleep 0.3;
	my @old = map { slurp_lines($_) } $producer->files('promised');
	sleep 1;
	$producer->kill;
	set_clock($file, 86400);
	$proxy->tell('pass');
	$producer->start;
	ok($producer->wait_progress(30), 'it goes on after SIGKILL in another time');
	delivers_all($producer->stop, $producer, 'all is delivered');
	my $known = "$PostgreSQL::Test::Utils::tmp_check/clock.old";
	append_to_file($known, join('', map { "$_\n" } @old));
	is($sluice->sql("CREATE TEMP TABLE old (name text, sequence bigint, running bigint, kind text, content text);\n\\copy old from '$known'\n"
			  . 'SELECT count(*) FROM old o WHERE NOT EXISTS (SELECT FROM clock c WHERE (c.name, c.running) = (o.name, o.running))'),
		0, scalar(@old) . ' records were older than the interval: each is there');
	Account::balanced('the clock', Account::of($sluice, 'clock', [$producer], reasons => ['lost_tail'], unnoted => 2));
}

#
# A herd
#

# Attempts in each tenth of a second after the cut.
sub histogram
{
	my ($cut, $tenths) = @_;
	my $file = "$PostgreSQL::Test::Utils::tmp_check/attempts";
	my @count = (0) x $tenths;

	$proxy->tell("attempts $file");
	foreach my $attempt (slurp_lines($file))
	{
		my $tenth = int(($attempt - $cut) * 10);
		$count[$tenth]++ if $attempt >= $cut && $tenth < $tenths;
	}
	return @count;
}

sub many_clients
{
	my $herd = 200;
	my $dead = PostgreSQL::Test::Cluster::get_free_port();
	Account::create_stream($sluice, 'herd');
	my $producer = Producer->new('herd',
		server    => $proxy->address,
		producers => $herd,
		journal   => 0,
		arguments => [ '--rate', 2 ],
		# The last wait is one that nobody comes to in the four seconds that are looked at.
		options   => { stream => 'herd', memory => '1 MB', backoff_last => '5 s' });
	my $connected = sub {
		my (%opened) = map { $_->[1] => $_->[0] } grep { $_->[2] eq 'acknowledged' && $_->[0] >= $_[0] } $producer->timeline;
		return scalar keys %opened;
	};
	$producer->start;
	ok(wait_until("all $herd are served", sub { $connected->(0) == $herd }, 60), "$herd clients are served");
	$proxy->tell("upstream $dead");
	my $cut = $proxy->tell('cut');
	sleep 4;
	my $back = $proxy->tell('upstream ' . $sluice->port);
	my $again = wait_until('all are served again', sub { $connected->($back) == $herd }, 60);
	my $served = time;
	ok($again, 'all are served again');
	my @count = histogram($cut, 100);
	note('attempts in each tenth of a second after the cut:');
	note(sprintf '%4.1f s %s', $_, join ' ', map { sprintf '%3d', $_ } @count[ $_ * 10 .. $_ * 10 + 9 ]) foreach 0 .. 9;
	my @last = map { $_->[0] } grep { $_->[2] eq 'acknowledged' && $_->[0] >= $back } $producer->timeline;
	note(sprintf 'first acknowledgement after the server was back: p50 %.2f s, p99 %.2f s', percentile(0.5, @last) - $back, percentile(0.99, @last) - $back);

	# The first wait is drawn evenly from a second: 20 in each tenth, give or take 4.2.
	cmp_ok(max(@count[ 0 .. 9 ]), '<', 50, 'no tenth of the first second has a quarter of them');
	cmp_ok(min(map { sum(@count[ $_ * 5 .. $_ * 5 + 4 ]) } 0 .. 1), '>', 50, 'each half of the first second has its part');
	cmp_ok(sum(@count[ 0 .. 39 ]), '<', 4 * $herd, 'waits grow: fewer than four attempts a client in four seconds');
	my $report = $producer->stop;
	delivers_all($report, $producer, 'all deliver all');
	cmp_ok(figure($report, 'attempts') - $herd, '<=', 10 * $herd, 'no storm: ' . figure($report, 'attempts') . ' attempts in all');
	is($sluice->sql("SELECT count(*), sum(unexplained), sum(lost), sum(declared) FROM sluice.ledger WHERE name = 'herd'"), "$herd|0|0|0", 'the ledger balances');
}

#
# The client's disk
#

sub fill { system("cat /dev/zero >>'$_[0]' 2>/dev/null") }

# Until this file has not grown for half a second, though it is given all that there is.
sub wait_full
{
	my ($producer, $ballast) = @_;
	my ($size, $since) = (-1, time);
	return wait_until('nothing more is promised', sub {
		fill($ballast);
		my $now = $producer->promised_size;
		($size, $since) = ($now, time) if $now != $size;
		return time - $since > 0.5;
	}, 60);
}

sub full_disk
{
	my $ballast = "$ENV{SLUICE_SMALL_DISK}/ballast";
	Account::create_stream($sluice, 'disk');
	my $producer = Producer->new('disk',
		server    => $proxy->address,
		directory => "$ENV{SLUICE_SMALL_DISK}/buffers",
		arguments => [ '--rate', 3000, '--threads', 4, '--size', 200 ],
		options   => { %quick, stream => 'disk', durability => 'each' });
	$producer->start;
	ok($producer->wait_progress(30), 'it sends');
	$proxy->tell('refuse');
	$proxy->tell('cut');
	my $some = $producer->promised_size + 1_000_000;
	ok(wait_until('there is a backlog', sub { $producer->promised_size > $some }, 60), 'there is a backlog');
	ok(wait_full($producer, $ballast), 'the disk is full: nothing more is promised');
	ok($producer->is_running, 'the program lives');
	unlink $ballast;
	my $size = $producer->promised_size;
	ok(wait_until('more is promised', sub { $producer->promised_size > $size }, 30), 'with room again it goes on');

	# Full again, killed, and started where nothing can be written.
	ok(wait_full($producer, $ballast), 'the disk is full again');
	$producer->kill;
	$producer->start;
	ok(wait_said($producer, 'open', 30), 'it starts on a full disk');
	# A backlog that filled the disk must not keep itself there.
	my $told = $producer->size('delivered');
	$proxy->tell('pass');
	ok(wait_until('records are delivered', sub { fill($ballast); $producer->size('delivered') > $told }, 30),
		'what is on the full disk is delivered');
	unlink $ballast;
	ok($producer->wait_progress(30), 'with room it takes records again');
	my $report = $producer->stop;
	delivers_all($report, $producer, 'all is delivered');
	balanced('the full disk', 'disk', [$producer]);
	system('rm', '-rf', $producer->{directory});
}

#
# A record that the server will not take
#

sub too_large
{
	Account::create_stream($sluice, 'large');
	my $producer = Producer->new('large',
		server    => $proxy->address,
		options   => { %quick, stream => 'large', durability => 'each' });
	# Before the first connection nobody knows the server's limit.
	$proxy->tell('refuse');
	$producer->run('--count', 5, '--flush', 0);
	$producer->run('--count', 3, '--size', 300_000, '--flush', 0);
	$producer->run('--count', 5, '--flush', 0);
	$proxy->tell('pass');
	my $report = $producer->run('--count', 5, '--flush', 30_000);
	delivers_all($report, $producer, 'the others are delivered');
	is(figure($report, 'set_aside'), 3, 'the large ones are set aside');
	is(figure($report, 'told_set_aside'), 3, 'the callback is told');
	is(figure($report, 'connections'), 1, 'in one connection');
	is($sluice->sql("SELECT reason, sum(dropped) FROM sluice.gaps g JOIN sluice.streams s ON s.id = g.stream WHERE s.name = 'large' GROUP BY 1"),
		'too_large|3', 'they are declared');
	my ($status, $out, $err) = $sluice->tool('', 'buffer', 'dump', $producer->buffer);
	is($status, 0, 'sluice buffer dump') or diag($err);
	my @large = grep { length > 100_000 } split /\n/, $out;
	is(scalar @large, 3, 'it lists them');
	# From the second connection on the limit is known before a record is put in.
	$report = $producer->run('--count', 5, '--flush', 30_000);
	$producer->start('--rate', 50, '--size', 300_000);
	ok(wait_until('the producer is connected', sub { grep { $_->[2] eq 'opened' } $producer->timeline }, 30), 'it is connected again');
	sleep 0.3;
	$report = $producer->stop;
	delivers_all($report, $producer, 'nothing is left');
	cmp_ok($report->{errors}{22} // 0, '>', 0, 'sluice_send refuses them once the limit is known');
	cmp_ok(figure($report, 'connections'), '<=', 1, 'without another connection');
	balanced('large records', 'large', [$producer], 'too_large');
}

#
# How long it takes
#

# Seconds from the cut to the first acknowledgement on the new connection, of each producer.
sub recoveries
{
	my ($producer, $cut) = @_;
	my %after;
	my %opened;

	foreach my $event ($producer->timeline)
	{
		my ($at, $index, $what) = @$event;
		next if $at < $cut;
		$opened{$index} = 1 if $what eq 'opened';
		$after{$index} //= $at - $cut if $what eq 'acknowledged' && $opened{$index};
	}
	return values %after;
}

sub wait_recoveries
{
	my ($producer, $cut, $seconds) = @_;
	wait_until('all are acknowledged again', sub { my @all = recoveries($producer, $cut); @all == $producer->{producers} }, $seconds);
	return recoveries($producer, $cut);
}

sub reconnection
{
	Account::create_stream($sluice, 'reconnection');
	# Everything as it is by default.
	my $producer = Producer->new('reconnection',
		server    => $proxy->address,
		producers => 10,
		journal   => 0,
		arguments => [ '--rate', 200 ],
		options   => { stream => 'reconnection' });
	$producer->start;
	is(scalar(wait_recoveries($producer, 0, 60)), 10, 'all are served');
	my @reset;
	foreach my $round (1 .. 10)
	{
		push @reset, wait_recoveries($producer, scalar $proxy->tell('cut'), 30);
		sleep rand 0.2;
	}
	is(scalar @reset, 100, 'every reset was recovered from');
	note(sprintf 'from a reset to the first acknowledgement: p50 %.2f s, p99 %.2f s, longest %.2f s',
		percentile(0.5, @reset), percentile(0.99, @reset), max(@reset));
	cmp_ok(percentile(0.99, @reset), '<=', 1.5, 'a reset connection is replaced within 1.5 s');

	my $cut = $proxy->tell('mute up');
	$proxy->tell('mute down');
	my @silent = wait_recoveries($producer, $cut, 60);
	is(scalar @silent, 10, 'every silence was recovered from');
	note(sprintf 'from silence to the first acknowledgement: p50 %.2f s, longest %.2f s', percentile(0.5, @silent), max(@silent));
	cmp_ok(max(@silent), '<=', 10 + 5 + 2, 'a silent connection is replaced within the keepalive time and timeout');
	my $report = $producer->stop;
	delivers_all($report, $producer, 'all is delivered');
	is($sluice->sql("SELECT sum(resent) FROM sluice.producers"), 0, 'the server saw none again');
	$proxy->tell('cut');
}
