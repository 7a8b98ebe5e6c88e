# Publish at its limits: batches without room, calls that end in the middle, what others do to our tables.
#
# suites: beside others
use strict;
use warnings;

use Publisher;
use Sluice qw(wait_until);
use Test::More;

my $sluice = Sluice->new('main', conf => "sluice.worker_memory = '4MB'\nsluice.batch_records = 100\n");
my $client = Publisher->new($sluice);

sub session
{
	my $session = $sluice->node->background_psql('postgres');
	$session->query_safe($_) foreach 'BEGIN', @_;
	return $session;
}

sub finish
{
	my ($session) = @_;
	$session->query_safe('COMMIT');
	$session->quit;
}

sub in_flight { return $sluice->sql('SELECT coalesce(sum(records_in_flight), 0) FROM sluice.stat_connections') }

subtest 'batches that there is no room for hold nobody but themselves' => sub {
	Publisher::create_items($sluice, 'room');
	my $lock = session('LOCK TABLE room');
	my @small = map { "small$_" } 1 .. 20;
	my @large = map { "large$_" } 1 .. 12;
	$client->open_call($_, producer => $_, stream => 'room') foreach @small, @large;
	$client->batch($_, from => 1, to => 150) foreach @small;
	ok(wait_until('the small ones are taken', sub { in_flight() >= 2000 }), 'small batches wait for the table');
	$client->batch($_, from => 1, to => 9000, payload => '{{}}') foreach @large;
	$client->cancel($_) foreach @large[ 0 .. 3 ];
	finish($lock);
	foreach my $call (@small)
	{
		is_deeply($client->settled($call, 150), {}, "$call is stored");
	}
	foreach my $call (@large[ 4 .. $#large ])
	{
		my $told = $client->settled($call, 9000);
		is(ref $told eq 'HASH' && !exists $told->{through}, 1, "$call is settled");
	}
	Publisher::balance_ok($sluice, 'room', 'batches without room');
};

subtest 'what is settled of a batch is acknowledged when its call ends' => sub {
	Publisher::create_items($sluice, 'ends');
	my $busy = session("SELECT sluice.ingest('ends', 'busy', '{\"n\": 100}'::bytea)");
	$client->open_call('p', producer => 'p', stream => 'ends');
	$client->batch('p', records => [ [ 1, '{"n": 1}' ], [ 2, '{"n": -2}' ], [ 3, '{"n": 100}', 'busy' ], [ 4, '{"n": 4}' ] ]);
	ok(wait_until('the first two are settled', sub { $sluice->sql("SELECT last_sequence FROM sluice.producers JOIN sluice.streams s ON s.id = stream WHERE s.name = 'ends'") == 2 }), 'the first two are settled');
	my $pid = $sluice->sql('SELECT pid FROM sluice.stat_workers');
	$sluice->sql("SELECT pg_terminate_backend($pid)");
	my $told = $client->step('settle', 'p', through => 2);
	is($told->{through}, 2, 'so far it is acknowledged');
	is_deeply([ map { @$_ } @{ $told->{exceptions} } ], [ 2, 'dead_lettered' ], 'with its verdicts');
	finish($busy);
	$sluice->wait_serving;
};

subtest 'a server that lost commits says so' => sub {
	my $offset = $sluice->log_offset;
	Publisher::create_items($sluice, 'lost');
	$client->open_call('q', producer => 'q', stream => 'lost', acked_through => 7);
	ok(wait_until('the warning', sub { $sluice->log_since($offset) =~ /WARNING:  a producer of stream "lost" was told of commits that this server does not have/ }), 'a warning');
	like($sluice->log_since($offset), qr/DETAIL:  Producer [-0-9a-f]{36} has acknowledgements up to 7, the server has 0\./, 'with the numbers');
};

subtest 'a stream from a dump takes no new producers: they may be on their way' => sub {
	Publisher::create_items($sluice, 'dumped');
	$client->open_call('r', producer => 'r', stream => 'dumped');
	$sluice->sql("UPDATE sluice.streams SET home = 'elsewhere' WHERE name = 'dumped'");
	$client->begin('s', producer => 's', stream => 'dumped');
	my $event = $client->event('s');
	is($event->{status}, 'UNAVAILABLE', 'a new one is to come again');
	like($event->{message} // $event->{details} // '', qr/stream "dumped" is held, new producers wait: the stream came from another database/, 'and is told why');
	is($client->open_call('t', producer => 'r', stream => 'dumped')->{last_sequence}, 0, 'a known one may open');
	$sluice->sql("SELECT sluice.resume('dumped')");
	is($client->open_call('s2', producer => 's', stream => 'dumped')->{last_sequence}, 0, 'the new one, too, when it is resumed');
};

subtest 'further indexes on sluice.producers stay whole' => sub {
	Publisher::create_items($sluice, 'indexed');
	$sluice->sql('CREATE INDEX by_sequence ON sluice.producers (last_sequence)');
	foreach my $name ('u', 'v', 'w')
	{
		$client->open_call($name, producer => $name, stream => 'indexed');
		$client->publish($name, from => $_, to => $_) foreach 1 .. 100;
	}
	is($sluice->sql('SET enable_seqscan = off; SELECT count(*) FROM sluice.producers WHERE last_sequence = 100'), 3, 'all rows are found by it');
	$sluice->sql('DROP INDEX sluice.by_sequence');
};

done_testing();
