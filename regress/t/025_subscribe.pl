# Subscribe: rows out again, in order, resumable.
#
# suites: beside others
use strict;
use warnings;

use Sluice qw(wait_until);
use Subscriber;
use Test::More;

my $sluice = Sluice->new('main');
my $client = Subscriber->new($sluice);

sub create_stream
{
	my ($name) = @_;
	$sluice->sql("SELECT sluice.create_stream('$name', payload_format => 'json')");
}

# Rows by plain SQL: their numbers are their offsets.
sub insert
{
	my ($stream, $first, $last) = @_;
	$sluice->sql("INSERT INTO $stream (received_at, payload) SELECT now(), jsonb_build_object('n', n) FROM generate_series($first, $last) n");
}

sub position { my ($name) = @_; return $sluice->sql("SELECT position FROM sluice.subscriptions WHERE name = '$name'") }

subtest 'backlog, then live rows' => sub {
	create_stream('events');
	insert('events', 1, 2500);
	my $active = $client->open_call('a', stream => 'events', subscription => 'first', create => 1);
	is($active->{position}, 0, 'active at the beginning');
	is($active->{guarantee}, 'AT_LEAST_ONCE', '... at_least_once');
	my $rows = $client->collect('a', 2500, ack => 1);
	is_deeply($rows->{offsets}, [ 1 .. 2500 ], 'the backlog, in order');
	is($rows->{gaps}, 0, 'each message follows the one before');
	like($rows->{payloads}[0], qr/^\{"id":1,.*"payload":\{"n": ?1\}\}$/, 'a row is an object of its columns');
	is_deeply([ sort keys %{ $client->event('a') } ], ['caught_up'], 'caught up');
	insert('events', 2501, 2503);
	is_deeply($client->collect('a', 2503, ack => 1)->{offsets}, [ 2501 .. 2503 ], 'live rows of plain SQL');
	ok($sluice->wait_sql("SELECT position FROM sluice.subscriptions WHERE name = 'first'", '2503'), 'the position is kept');
	is($client->finish('a'), 'OK', 'it leaves');
	insert('events', 2504, 2505);
	is($client->open_call('b', subscription => 'first')->{position}, 2503, 'the next one goes on there');
	is_deeply($client->collect('b', 2505)->{offsets}, [ 2504, 2505 ], '... with the next row');
	is($client->finish('b'), 'OK', 'it leaves');
};

subtest 'standby and takeover' => sub {
	create_stream('queue');
	insert('queue', 1, 10);
	my $active = $client->open_call('a', stream => 'queue', subscription => 'jobs', create => 1);
	is_deeply($client->collect('a', 10)->{offsets}, [ 1 .. 10 ], 'one has them');
	$client->begin('b', subscription => 'jobs');
	ok(exists $client->event('b')->{standby}, 'the other stands by');
	$client->step('ack', 'a', epoch => $active->{epoch}, offset => 4);
	ok($sluice->wait_sql("SELECT position FROM sluice.subscriptions WHERE name = 'jobs'", 4), 'four are acknowledged');
	$client->step('cut', 'a');
	my $next = $client->event('b')->{active};
	is($next->{position}, 4, 'the other takes over at the acknowledged position');
	isnt($next->{epoch}, $active->{epoch}, '... in another epoch');
	is_deeply($client->collect('b', 5)->{offsets}, [5], 'the first row alone, as a consumer was lost with it');
	$client->step('ack', 'b', epoch => $next->{epoch}, offset => 5);
	is_deeply($client->collect('b', 10)->{offsets}, [ 6 .. 10 ], 'then all');
	$client->step('ack', 'b', epoch => $active->{epoch}, offset => 7);
	is($client->ending('b'), 'ABORTED STALE_EPOCH', 'an acknowledgement of the older epoch is refused');
	is(position('jobs'), 5, '... and moves nothing');
};

subtest 'nacks' => sub {
	create_stream('work');
	insert('work', 1, 5);
	$sluice->sql("SELECT sluice.create_subscription('worker', 'work', max_attempts => 3, retry_delay => '50 ms')");
	my $active = $client->open_call('a', subscription => 'worker');
	is_deeply($client->collect('a', 5)->{offsets}, [ 1 .. 5 ], 'all rows');
	$client->step('ack', 'a', epoch => $active->{epoch}, offset => 1);
	foreach my $attempt (1 .. 3)
	{
		$client->step('nack', 'a', epoch => $active->{epoch}, offset => 2, reason => "no $attempt");
		my $event;
		do { $event = $client->event('a') } until $event->{active} || $event->{status};
		$active = $event->{active};
		is($active->{position}, $attempt < 3 ? 1 : 2, "attempt $attempt");
		my $rows = $client->collect('a', 5);
		is_deeply($rows->{offsets}, [ $attempt < 3 ? (2 .. 5) : (3 .. 5) ], 'they come again');
		is_deeply($rows->{attempts}, [ $attempt < 3 ? ($attempt, 0, 0, 0) : (0, 0, 0) ], '... and tell how often they were given back');
	}
	is($sluice->sql(q{SELECT "offset", state, message FROM sluice.dead_letters WHERE stream_name = 'work'}), '2|open|no 3', 'a dead letter');
	$client->step('ack', 'a', epoch => $active->{epoch}, offset => 5);
	my $id = $sluice->sql("SELECT id FROM sluice.dead_letters WHERE stream_name = 'work'");
	$sluice->sql("SELECT * FROM sluice.redrive(ids => ARRAY[$id])");
	my $event;
	do { $event = $client->event('a') } until $event->{rows} || $event->{status} || $event->{silence};
	is($event->{rows}{rows}[0]{redrive}, $id, 'it is put back');
	$client->step('ack', 'a', epoch => $active->{epoch}, redriven => [ 0 + $id ]);
	ok($sluice->wait_sql("SELECT state FROM sluice.dead_letters WHERE id = $id", 'redriven'), '... and done');
	is($client->finish('a'), 'OK', 'it leaves');
	is(position('worker'), 5, 'the position');
};

subtest 'consumers that are lost' => sub {
	create_stream('deadly');
	insert('deadly', 1, 5);
	$sluice->sql("SELECT sluice.create_subscription('victim', 'deadly', max_losses => 3)");
	foreach my $loss (1 .. 3)
	{
		my $active = $client->open_call("v$loss", subscription => 'victim');
		is($active->{position}, $loss == 1 ? 0 : 1, "consumer $loss");
		is_deeply($client->collect("v$loss", $loss == 1 ? 5 : 2)->{offsets}, [ $loss == 1 ? (1 .. 5) : 2 ], '... gets rows');
		$client->step('ack', "v$loss", epoch => $active->{epoch}, offset => 1) if $loss == 1;
		ok($sluice->wait_sql("SELECT position FROM sluice.subscriptions WHERE name = 'victim'", 1), '... the first of them is acknowledged');
		$client->step('cut', "v$loss");
		ok($sluice->wait_sql("SELECT losses FROM sluice.subscriptions WHERE name = 'victim'", $loss % 3), '... and is lost');
	}
	is($sluice->sql(q{SELECT "offset", state, message FROM sluice.dead_letters WHERE stream_name = 'deadly'}),
		'2|open|3 consumers in a row were lost with it', 'the row is a dead letter');
	is($client->open_call('v', subscription => 'victim')->{position}, 2, 'and is passed');
	is_deeply($client->collect('v', 5)->{offsets}, [ 3 .. 5 ], 'the others come');
	is($client->finish('v'), 'OK', 'it leaves');
	is($sluice->sql("SELECT losses FROM sluice.subscriptions WHERE name = 'victim'"), 0, 'gracefully, which is no loss');
};

subtest 'acknowledged in the transaction of the consumer' => sub {
	create_stream('bills');
	insert('bills', 1, 4);
	my $active = $client->open_call('a', stream => 'bills', subscription => 'biller', create => 1);
	is_deeply($client->collect('a', 4)->{offsets}, [ 1 .. 4 ], 'rows');
	$client->begin('b', subscription => 'biller');
	ok(exists $client->event('b')->{standby}, 'another stands by');
	my $session = $sluice->node->background_psql('postgres');
	$session->query_safe($_) foreach 'BEGIN', "SELECT sluice.ack('biller', $active->{epoch}, 2, 0)";
	$client->step('ack', 'a', epoch => $active->{epoch}, offset => 1);
	$client->step('half_close', 'a');
	is_deeply($client->event('b', 0.5), { silence => 0.5 }, 'its open transaction holds the takeover');
	$session->query_safe('COMMIT');
	$session->quit;
	is($client->ending('a'), 'OK', 'the first one has left');
	my $next = $client->next_event('b', 'active');
	is($next->{position}, 2, 'the next one goes on behind what was acknowledged');
	my ($status, undef, $error) = $sluice->try_sql("SELECT sluice.ack('biller', $active->{epoch}, 3, 2)");
	like($error, qr/this activation of subscription "biller" is over/, 'the first one cannot acknowledge any more');
	is_deeply($client->collect('b', 4)->{offsets}, [ 3, 4 ], 'rows');
	$sluice->sql("SELECT sluice.ack('biller', $next->{epoch}, 4, 2)");
	is(position('biller'), 4, 'the position');
	is($client->finish('b'), 'OK', 'it leaves');
};

subtest 'a window' => sub {
	create_stream('narrow');
	insert('narrow', 1, 300);
	my $active = $client->open_call('a', stream => 'narrow', subscription => 'narrow', create => 1, max_in_flight => 100);
	is($active->{max_in_flight}, 100, 'as it was wished');
	is_deeply($client->collect('a', 100)->{offsets}, [ 1 .. 100 ], 'so many rows are in flight');
	is_deeply($client->event('a', 0.3), { silence => 0.3 }, '... and no more');
	$client->step('ack', 'a', epoch => $active->{epoch}, offset => 1);
	is_deeply($client->collect('a', 101)->{offsets}, [101], 'one that is done with makes room for one, after a while');
	# One by one, and yet what comes for them comes together.
	$client->step('ack', 'a', epoch => $active->{epoch}, offset => $_) foreach 2 .. 40;
	my $rows = $client->next_event('a', 'rows')->{rows};
	cmp_ok(scalar @$rows, '>=', 25, 'a quarter of the window comes at once, or more: ' . @$rows);
	$client->step('ack', 'a', epoch => $active->{epoch}, offset => 100);
	is($client->collect('a', 200)->{offsets}[-1], 200, 'it goes on');
	is($client->finish('a'), 'OK', 'it leaves');
};

subtest 'late commits' => sub {
	create_stream('late');
	$client->open_call('a', stream => 'late');
	my $session = $sluice->node->background_psql('postgres');
	$session->query_safe($_) foreach 'BEGIN', "INSERT INTO late (received_at, payload) VALUES (now(), '1')";
	insert('late', 2, 3);
	my $event;
	do { $event = $client->event('a', 0.5) } while $event->{caught_up};
	is_deeply($event, { silence => 0.5 }, 'what comes behind an open transaction waits');
	$session->query_safe('COMMIT');
	$session->quit;
	is_deeply($client->collect('a', 3)->{offsets}, [ 1 .. 3 ], 'until it has ended, and nothing is missed');
	$client->step('cancel', 'a');
};

subtest 'seek, at_most_once, and what is dropped' => sub {
	create_stream('moving');
	insert('moving', 1, 10);
	my $active = $client->open_call('a', stream => 'moving', subscription => 'mover', create => 1);
	$client->collect('a', 10, ack => 1);
	$sluice->sql(q{SELECT sluice.seek('mover', "offset" => 7)});
	my $event;
	do { $event = $client->event('a') } until $event->{active} || $event->{status};
	is($event->{active}{position}, 7, 'seek: active anew');
	is_deeply($client->collect('a', 10)->{offsets}, [ 8 .. 10 ], '... from there');
	$client->open_call('o', stream => 'moving', subscription => 'once', create => 1, guarantee => 'AT_MOST_ONCE');
	is_deeply($client->collect('o', 10)->{offsets}, [ 1 .. 10 ], 'at_most_once');
	is(position('once'), 10, '... is done with when it is sent');
	$client->step('ack', 'o', epoch => '1', offset => 1);
	is($client->ending('o'), 'ABORTED STALE_EPOCH', 'an epoch that never was');
	$sluice->sql("SELECT sluice.drop_subscription('mover')");
	is($client->ending('a'), 'NOT_FOUND DROPPED', 'the subscription is dropped');
	$client->open_call('e', stream => 'moving');
	$sluice->sql("SELECT sluice.drop_stream('moving', drop_target => true)");
	is($client->ending('e'), 'NOT_FOUND DROPPED', 'the stream is dropped');
	$client->begin('n', stream => 'nothing');
	is($client->ending('n'), 'NOT_FOUND', 'no such stream');
};

done_testing();
