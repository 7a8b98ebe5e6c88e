# Limits: rates of streams and addresses, with one worker and with two.
#
# Records are counted between two times of the database's clock: three seconds, a
# minute under torture.
use strict;
use warnings;

use Proxy;
use Sluice qw(wait_until);
use Test::More;

my $seconds = ($ENV{SLUICE_ROUNDS} // 2) > 2 ? 60 : 3;

# Records of the table by the first letters of their keys, and the database's clock.
sub counted
{
	my ($sluice, $table) = @_;
	my %n = map { split /\|/ } split /\n/, $sluice->sql(<<"END");
SELECT split_part(device_id, '-', 1), count(*) FROM $table GROUP BY 1
UNION ALL SELECT 'clock', extract(epoch FROM statement_timestamp())
END
	return \%n;
}

# Records a second of each sender, over a time.
sub rates
{
	my ($sluice, $table, $time) = @_;
	my $first = counted($sluice, $table);
	my $last;
	wait_until("$time s have passed", sub { $last = counted($sluice, $table); $last->{clock} >= $first->{clock} + $time }, $time + 60);
	my $elapsed = delete($last->{clock}) - $first->{clock};
	return { map { $_ => ($last->{$_} - ($first->{$_} // 0)) / $elapsed } keys %$last };
}

sub sum { my $sum = 0; $sum += $_ foreach @_; return $sum }

sub rate_ok
{
	my ($rate, $expected, $what) = @_;
	ok(abs($rate - $expected) <= 0.05 * $expected, sprintf('%s: %.1f records a second of %d', $what, $rate, $expected));
}

# Senders until every worker has one.
sub start_senders
{
	my ($sluice, $stream, $workers, $least) = @_;
	my @senders;
	while (@senders < 16)
	{
		my $n = @senders;
		push @senders, $sluice->send_start("$stream$n", '--stream', $stream, '--prefix', "$stream$n", '--window', 100, '--timeout', 300);
		$sluice->wait_progress($senders[-1], 5, 60);
		last if @senders >= $least && $sluice->sql('SELECT count(DISTINCT worker) FROM sluice.stat_connections') == $workers;
	}
	return @senders;
}

sub stop_senders
{
	my ($sluice, $table, @senders) = @_;
	my $sent = 0;
	$_->{run}->signal('TERM') foreach @senders;
	foreach my $sender (@senders)
	{
		my $report = $sluice->send_finish($sender);
		$sent += $report->{records};
		is($report->{unacknowledged} + $report->{contradicted} + $report->{unknown}, 0, "$sender->{name}: all was answered");
	}
	is($sluice->sql("SELECT count(*), count(DISTINCT device_id) FROM $table"), "$sent|$sent", 'all is stored, once');
}

# A stream of its own for readings, whose senders are its own, too.
sub create
{
	my ($sluice, $name, $settings) = @_;
	$sluice->create_readings($name);
	$sluice->sql("SELECT sluice.alter_stream('$name', $settings)") if $settings;
}

sub set
{
	my ($sluice, %settings) = @_;
	$sluice->sql("ALTER SYSTEM SET $_ = '$settings{$_}'") foreach sort keys %settings;
	$sluice->sql('SELECT pg_reload_conf()');
}

my %servers = map { $_ => Sluice->new("workers$_", workers => $_) } 1, 2;

foreach my $workers (1, 2)
{
	my $sluice = $servers{$workers};
	subtest "rate of a stream, workers: $workers" => sub {
		create($sluice, 'rated', 'rate => 400, burst => 100');
		my @senders = start_senders($sluice, 'rated', $workers, 3);
		my $rates = rates($sluice, 'rated', $seconds);
		rate_ok(sum(values %$rates), 400, 'its own');
		if ($workers == 1)
		{
			my @each = sort { $a <=> $b } values %$rates;
			ok($each[-1] <= 1.2 * $each[0], sprintf('calls go on in turn: from %.1f to %.1f', @each[ 0, -1 ]));
		}
		is($sluice->sql("SELECT rate, throttled > 0, throttled_time > interval '1 s' FROM sluice.stat_streams WHERE name = 'rated'"),
			'400|t|t', 'stat_streams shows it, and that calls wait');

		$sluice->sql("SELECT sluice.alter_stream('rated', rate => 800)");
		ok(wait_until('it follows', sub { sum(values %{ rates($sluice, 'rated', 1) }) > 600 }, 20), 'altered: open calls follow');
		rate_ok(sum(values %{ rates($sluice, 'rated', 2) }), 800, 'altered');

		set($sluice, 'sluice.stream_rate' => 200);
		$sluice->sql("SELECT sluice.alter_stream('rated', rate => -1)");
		ok(wait_until('it follows', sub { sum(values %{ rates($sluice, 'rated', 1) }) < 300 }, 20), 'the setting: open calls follow');
		rate_ok(sum(values %{ rates($sluice, 'rated', 2) }), 200, 'the setting');
		set($sluice, 'sluice.stream_rate' => 0);
		ok(wait_until('it follows', sub { sum(values %{ rates($sluice, 'rated', 1) }) > 1000 }, 20), 'no limit: open calls follow');
		stop_senders($sluice, 'rated', @senders);
	};

	subtest "rate of an address, workers: $workers" => sub {
		my $proxy = Proxy->new($sluice->port);
		$proxy->tell('source 127.0.0.2');
		set($sluice, 'sluice.address_rate' => 200, 'sluice.address_burst' => 50);
		create($sluice, 'greedy');
		create($sluice, 'polite', 'is_default => false');
		my @greedy = start_senders($sluice, 'greedy', $workers, 4);
		my $polite = $sluice->send_start('polite0', '--address', $proxy->address, '--stream', 'polite', '--prefix', 'polite0', '--window', 100, '--timeout', 300);
		$sluice->wait_progress($polite, 5, 60);
		is($sluice->sql("SELECT count(DISTINCT split_part(client_address, ':', 1)) FROM sluice.stat_connections"), 2, 'two addresses');
		$sluice->sql('CREATE VIEW both_of_them AS SELECT device_id FROM greedy UNION ALL SELECT device_id FROM polite');
		my $rates = rates($sluice, 'both_of_them', $seconds);
		rate_ok($rates->{polite0}, 200, 'a polite client has its own');
		rate_ok(sum(map { $rates->{$_} } grep { /^greedy/ } keys %$rates), 200, 'calls of a greedy one share theirs');
		set($sluice, 'sluice.address_rate' => 0, 'sluice.address_burst' => 0);
		stop_senders($sluice, 'polite', $polite);
		stop_senders($sluice, 'greedy', @greedy);
		$proxy->stop;
	};
}

done_testing();
