# Limits of calls: what the refused and those with a rate are told; calls that the clock
# ends, by age or because nobody speaks.
#
# suites: beside others
use strict;
use warnings;

use Publisher;
use Sluice;
use Subscriber;
use Test::More;

sub set
{
	my ($sluice, %settings) = @_;
	$sluice->sql("ALTER SYSTEM SET $_ = '$settings{$_}'") foreach sort keys %settings;
	$sluice->sql('SELECT pg_reload_conf()');
}

my $sluice = Sluice->new('main');
my $client = Publisher->new($sluice);
Publisher::create_items($sluice, 'items');

subtest 'a producer is told of smaller batches where a rate holds' => sub {
	is($client->open_call('free', producer => 'free', stream => 'items')->{batch_records}, 10000, 'without a limit');
	$sluice->sql("SELECT sluice.alter_stream('items', rate => 500, burst => 25)");
	is($client->open_call('held', producer => 'held', stream => 'items')->{batch_records}, 50, 'a tenth of a second');
	my $begun = $sluice->sql('SELECT extract(epoch FROM clock_timestamp())');
	$client->batch('held', from => 1, to => 1000);
	$client->batch('held', from => 1001, to => 1001);
	is_deeply($client->settled('held', 1001), {}, 'a larger batch is taken all the same');
	cmp_ok($sluice->sql('SELECT extract(epoch FROM clock_timestamp())') - $begun, '>', 1.8, '... and paid for by the next one');
	$sluice->sql("SELECT sluice.alter_stream('items', rate => -1, burst => -1)");
	is($client->finish($_), 'OK', "$_ ends") foreach qw(free held);
	Publisher::balance_ok($sluice, 'items', 'at a rate');
};

subtest 'the refused are told when to come back' => sub {
	set($sluice, 'sluice.max_calls' => 2);
	$sluice->wait_serving;
	ok($sluice->wait_sql("SELECT calls FROM sluice.stat_workers WHERE state = 'serving'", 0, 60), 'nobody is there');
	$client->open_call($_, producer => $_, stream => 'items') foreach qw(r1 r2);
	my @hints;
	foreach my $n (1 .. 30)
	{
		$client->begin("more$n", producer => "more$n", stream => 'items');
		my $event = $client->event("more$n");
		is($event->{status}, 'RESOURCE_EXHAUSTED', 'a call too many') if $n == 1;
		push @hints, $event->{retry_ms};
	}
	cmp_ok($hints[0], '>=', 250, 'the first one soon');
	cmp_ok($hints[0], '<', 300, '... but not at once');
	ok(!(grep { $_ < 250 || $_ > 600 } @hints), "the hints of thirty: @hints[0, 9, 19, 29]");

	my ($worker) = $sluice->workers;
	$sluice->sql("SELECT pg_terminate_backend($worker)");
	my $event = $client->event('r1');
	is("$event->{status} $event->{retry_ms}", 'UNAVAILABLE 100', 'where the server drains, soon');
	$sluice->wait_serving;
};

subtest 'a client that does not speak' => sub {
	set($sluice, 'sluice.max_calls' => 2000, 'authentication_timeout' => '2s', 'sluice.max_calls_per_connection' => 3);
	ok($sluice->wait_sql("SELECT count(*) FROM sluice.stat_workers WHERE state = 'serving'", 1, 60), 'settings');
	$sluice->wait_serving;
	$client->open_call('open', producer => 'open', stream => 'items');
	$client->step('call', $_, method => $_, address => $sluice->address) foreach qw(Publish Subscribe Unsubscribe);
	foreach my $method (qw(Publish Subscribe Unsubscribe))
	{
		my $event = $client->event($method, 30);
		is($event->{status}, 'DEADLINE_EXCEEDED', "$method: its call ends");
		is($event->{details}, 'the first message of the call did not come within 2 seconds (authentication_timeout)', '... and says why');
	}
	is_deeply($client->publish('open', from => 1, to => 10), {}, 'one that has spoken goes on');
	is($client->finish('open'), 'OK', 'and ends');

	$client->step('call', 'empty', method => 'Unsubscribe', address => $sluice->address);
	is($client->finish('empty'), 'INVALID_ARGUMENT MALFORMED', 'Unsubscribe without a request ends at once');
};

subtest 'calls of a connection' => sub {
	$client->open_call('c1', producer => 'c1', stream => 'items');
	foreach my $n (2 .. 4)
	{
		my %open = (producer => Publisher::id("c$n"), stream => 'items', nonces => [1], sent => 1000);
		$client->step('open', "c$n", beside => 'c1', open => \%open);
	}
	ok(exists $client->event("c$_")->{opened}, "call $_ is open") foreach 2, 3;
	ok(exists $client->event('c4', 1)->{silence}, 'call 4 waits');
	is($client->finish('c1'), 'OK', 'one ends');
	ok(exists $client->event('c4')->{opened}, 'and call 4 is open');
	is($client->finish("c$_"), 'OK', "call $_ ends") foreach 2 .. 4;
};

subtest 'the age of a connection' => sub {
	my $two = Sluice->new('two', workers => 2);
	my $publisher = Publisher->new($two);
	my $subscriber = Subscriber->new($two);
	$two->create_readings('aged');
	Publisher::create_items($two, 'kept', offset_column => "'id'");
	set($two, 'sluice.max_connection_age' => '2s');
	ok($two->wait_sql("SELECT count(*) FROM sluice.stat_workers WHERE state = 'serving'", 2, 60), 'two workers');
	$two->wait_serving;
	$two->sql("SELECT sluice.create_subscription('s', 'kept')");

	my @senders = map { $two->send_start("aged$_", '--prefix', "aged$_", '--rate', 100, '--timeout', 200) } 1 .. 4;
	$publisher->open_call('p', producer => 'p', stream => 'kept');
	is_deeply($publisher->publish('p', from => 1, to => 5), {}, 'a producer');
	$subscriber->open_call('s', stream => 'kept', subscription => 's');
	my $rows = $subscriber->collect('s', 3, ack => 1);
	my $event = $publisher->event('p', 30);
	is("$event->{status} $event->{reason} $event->{retry_ms}", 'UNAVAILABLE RECONNECT 0', 'the producer is asked to connect again');
	is($subscriber->ending('s', 30), 'UNAVAILABLE RECONNECT', 'so is the consumer');
	is($publisher->open_call('p', producer => 'p', stream => 'kept', acked_through => 5)->{last_sequence}, 5, 'the producer goes on');
	is_deeply($publisher->publish('p', from => 6, to => 8), {}, '... with the next');
	$subscriber->open_call('s', stream => 'kept', subscription => 's');
	my $next = $rows->{offsets}[-1] + 1;
	$rows = $subscriber->collect('s', 8, ack => 1);
	is($rows->{offsets}[0], $next, 'the consumer goes on at its position') or diag(explain($rows));

	my $calls = "FROM sluice.stat_connections WHERE method = 'IngestData'";
	ok($two->wait_sql("SELECT count(*) $calls", 4, 60), 'four senders are there');
	foreach my $age (1, 2)
	{
		my $last = $two->sql("SELECT max(connected_at) $calls");
		ok($two->wait_sql("SELECT count(*) $calls AND connected_at > '$last'", 4, 60), 'all have come again');
	}
	ok($two->wait_sql('SELECT count(*) FROM sluice.stat_workers WHERE records_received > 0', 2, 60), 'both workers have had records');
	$_->{run}->signal('TERM') foreach @senders;
	my $sent = 0;
	foreach my $sender (@senders)
	{
		my $report = $two->send_finish($sender);
		$sent += $report->{records};
		cmp_ok($report->{endings}{UNAVAILABLE} // 0, '>=', 2, "$sender->{name} was asked to connect again");
		is($report->{unacknowledged} + $report->{contradicted} + $report->{unknown}, 0, '... and all is answered');
	}
	is($two->sql('SELECT count(*), count(DISTINCT device_id) FROM aged'), "$sent|$sent", 'nothing is lost or doubled');
	Publisher::balance_ok($two, 'kept', 'at their age');
};

done_testing();
