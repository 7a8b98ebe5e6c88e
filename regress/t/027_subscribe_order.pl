# Every subscriber sees every committed row once, in the order of the offsets, and misses none, while
# many write at the same time and commit in another order than they insert.
#
# SLUICE_SEED replays the writers' choices, SLUICE_ROUNDS sets how long it takes (4 s each).
#
# suites: beside others
use strict;
use warnings;

use Consumer;
use PostgreSQL::Test::Utils;
use Sluice qw(wait_until slurp_lines);
use Subscriber;
use Test::More;
use Writers;

my $seed    = $ENV{SLUICE_SEED} // int(time) % 1_000_000;
my $seconds = 4 * ($ENV{SLUICE_ROUNDS} // 2);

note("SLUICE_SEED=$seed, $seconds s");
my $sluice = Sluice->new('order', workers => 2, conf => "max_prepared_transactions = 20\ntrack_commit_timestamp = on\nlog_min_messages = info\n");
my $client = Subscriber->new($sluice);
$sluice->sql("SELECT sluice.create_stream('flow', payload_format => 'json')");

sub tool
{
	my ($name, @arguments) = @_;
	my $consumer = Consumer->new($name, $ENV{SLUICE_TOOL}, 'subscribe', '--server', $sluice->address, '--stream', 'flow', @arguments);
	$consumer->start;
	return $consumer;
}

# Those that begin before the first row, and those that meet a backlog.
my @calls = (
	[ 'durable',  subscription => 'called', create => 1 ],
	[ 'small',    subscription => 'small',  create => 1, max_in_flight => 7 ],
	[ 'once',     subscription => 'once',   create => 1, guarantee => 'AT_MOST_ONCE' ],
	['ephemeral']);
my @tools = (
	tool('durable1', '--subscription', 'durable1'),
	tool('ephemeral1'),
	tool('narrow', '--subscription', 'narrow', '--set', 'max_in_flight=50'));
$client->open_call($_->[0], stream => 'flow', @{$_}[ 1 .. $#$_ ]) foreach @calls;
my $writers = Writers->new($sluice, 'flow', seed => $seed, clients => 6, seconds => $seconds, rate => 150, senders => 2);
$writers->start;
ok($sluice->wait_sql('SELECT count(*) > 500 FROM flow', 't'), 'there is a backlog');
push @tools, tool('durable2', '--subscription', 'durable2'), tool('ephemeral2'), tool('again', '--subscription', 'again');

# One that leaves and comes back again and again.
my @breaks;
while ($sluice->sql(q{SELECT count(*) FROM pg_stat_activity WHERE application_name = 'writers'}) > 0)
{
	my $position = $sluice->sql("SELECT coalesce(max(position), 0) FROM sluice.subscriptions WHERE name = 'again'");
	$sluice->wait_sql("SELECT max(position) > $position + 50 FROM sluice.subscriptions WHERE name = 'again'", 't', 5) or last;
	push @breaks, $tools[-1]->stop;
	$tools[-1]->start;
}
$writers->stop;
unlike($writers->log_text, qr/aborted|ERROR/, 'no writer has failed');
ok(@breaks > 2, 'one left and came back, ' . @breaks . ' times');
is(scalar(grep { $_ ne '5' } @breaks), 0, '... each time in good order');
note($sluice->sql('SELECT count(DISTINCT worker) FROM sluice.stat_subscriptions') . ' workers serve them');

my @expected = split /\n/, $sluice->sql(q{SELECT id || ' ' || (payload->>'n') FROM flow ORDER BY id});
my $last = 0 + ($expected[-1] =~ /^(\d+)/)[0];
my $inversions = $sluice->sql(q{SELECT count(*) FROM (SELECT committed, lag(committed) OVER (ORDER BY id) AS before
	FROM (SELECT id, pg_xact_commit_timestamp(xmin) AS committed FROM flow) s) t WHERE committed < before});
note(scalar(@expected) . " rows, $inversions of them committed before the row that they follow");
ok($inversions > 100, 'transactions have overlapped');

sub row { return $_[0] =~ /^\{"id":(\d+),.*"payload":\{"n": ?"?(.*?)"?\}\}$/ ? "$1 $2" : "unexpected: $_[0]" }

# All of them at once: told by the first difference.
sub same
{
	my ($name, @rows) = @_;
	my $at = 0;
	$at++ while $at < @rows && $at < @expected && $rows[$at] eq $expected[$at];
	ok($at == @expected && @rows == @expected, "$name has all rows, each once, in order")
	  or diag(scalar(@rows) . " rows, row $at is \"" . ($rows[$at] // 'none') . '", not "' . ($expected[$at] // 'none') . '"');
}

foreach my $tool (@tools)
{
	my $output = ($tool->outputs)[-1];
	ok(wait_until("$tool->{name} has row $last", sub {
		return 0 unless -s $output;
		open my $file, '<', $output or return 0;
		seek $file, -(-s $output < 500 ? -s $output : 500), 2;
		return (join '', <$file>) =~ /"id":$last,[^\n]*\n\z/;
	}, 30) || !$tool->diagnose, "$tool->{name} comes to the end");
	$tool->stop;
	same($tool->{name}, map { row($_) } map { slurp_lines($_) } $tool->outputs);
}
foreach my $call (@calls)
{
	my ($name, %subscribe) = @$call;
	my $told = $client->collect($name, $last, $subscribe{subscription} && !$subscribe{guarantee} ? (ack => 1) : ());
	is($told->{gaps}, 0, "$name: each message follows the one before");
	same($name, map { row($_) } @{ $told->{payloads} });
}
ok($sluice->wait_sql('SELECT count(*) FILTER (WHERE lag_records <> 0) FROM sluice.stat_subscriptions', '0'), 'none is behind')
  or diag($sluice->sql('SELECT name, position, lag_records FROM sluice.stat_subscriptions'));
done_testing();
