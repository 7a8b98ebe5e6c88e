# Subscribers beside each other: on two workers, many of them, one that reads
# nothing, and beside transactions that do not concern them.
#
# suites: beside others
use strict;
use warnings;

use List::Util qw(uniq);
use Sluice qw(wait_until process_is_gone slurp_lines);
use Subscriber;
use Test::More;

my $sluice = Sluice->new('main', workers => 2, conf => "sluice.worker_memory = '8MB'\n");
my $client = Subscriber->new($sluice);

sub create_stream
{
	my ($name) = @_;
	$sluice->sql("SELECT sluice.create_stream('$name', payload_format => 'json')");
}

sub insert
{
	my ($stream, $first, $last, $payload) = @_;
	$payload //= q{jsonb_build_object('n', n)};
	$sluice->sql("INSERT INTO $stream (received_at, payload) SELECT now(), $payload FROM generate_series($first, $last) n");
}

sub worker_of { return $sluice->sql("SELECT pid FROM sluice.stat_subscriptions WHERE name = '$_[0]'") }

sub memory_of
{
	my ($pid) = @_;
	my ($line) = grep { /^RssAnon:/ } slurp_lines("/proc/$pid/status");
	return $line =~ /(\d+) kB/ ? $1 : die "no RssAnon of $pid\n";
}

subtest 'takeover from worker to worker' => sub {
	create_stream('queue');
	insert('queue', 1, 100);
	my @calls = map { "c$_" } 1 .. 16;
	my (%worker, $first);
	my $active = $client->open_call($calls[0], stream => 'queue', subscription => 'jobs', create => 1);
	foreach my $call (@calls[ 1 .. $#calls ])
	{
		$client->begin($call, subscription => 'jobs');
		ok(exists $client->event($call)->{standby}, "$call stands by");
	}
	my ($position, $holder, @waiting) = (0, @calls);
	while (1)
	{
		$client->collect($holder, $position + 1);
		$worker{ worker_of('jobs') } = 1;
		last unless @waiting;
		$client->step('ack', $holder, epoch => $active->{epoch}, offset => ++$position);
		$sluice->wait_sql("SELECT position FROM sluice.subscriptions WHERE name = 'jobs'", $position) or last;
		$client->step('cut', $holder);
		# Whoever of them it is.
		my $next;
		wait_until('one takes over', sub {
			foreach my $call (@waiting)
			{
				my $event = $client->event($call, 0.01);
				next unless $event->{active};
				($next, $active) = ($call, $event->{active});
				return 1;
			}
			return 0;
		}) or last;
		is($active->{position}, $position, "$next takes over at $position");
		@waiting = grep { $_ ne $next } @waiting;
		$holder = $next;
	}
	is(scalar @waiting, 0, 'each had its turn');
	is(scalar keys %worker, 2, 'both workers had it');
	is($client->finish($holder), 'OK', 'the last one leaves');
};

subtest 'a worker that ends' => sub {
	my @calls = map { "t$_" } 1 .. 12;
	$client->begin($_, subscription => 'jobs') foreach @calls;
	my %active;
	my $find = sub {
		foreach my $call (@calls)
		{
			next if $active{$call};
			my $event = $client->event($call, 0.01);
			return $active{$call} = $event->{active} if $event->{active};
		}
		return 0;
	};
	ok(wait_until('one is active', $find), 'one is active');
	my $before = worker_of('jobs');
	my $losses = $sluice->sql("SELECT losses FROM sluice.subscriptions WHERE name = 'jobs'");
	$sluice->sql("SELECT pg_terminate_backend($before)");
	ok(wait_until('another one is active', $find), 'its worker ends: another one is active');
	isnt(worker_of('jobs'), $before, '... at the other worker');
	is($sluice->sql("SELECT losses FROM sluice.subscriptions WHERE name = 'jobs'"), $losses, 'that is no loss of a consumer');
	$client->step('cancel', $_) foreach @calls;
	ok($sluice->wait_sql("SELECT state FROM sluice.stat_subscriptions WHERE name = 'jobs'", 'inactive'), 'all leave');
	ok(wait_until('two workers serve', sub { 2 == $sluice->workers }), 'the worker is back');
};

subtest '200 subscriptions of a stream' => sub {
	create_stream('news');
	insert('news', 1, 50);
	my @calls = map { "s$_" } 1 .. 200;
	$client->begin($_, stream => 'news', subscription => $_, create => 1) foreach @calls;
	my @positions = map { $client->next_event($_, 'active')->{position} } @calls;
	is_deeply([ uniq @positions ], [0], 'all are active');
	my @backlogs = map { join ',', @{ $client->collect($_, 50, ack => 1)->{offsets} } } @calls;
	is_deeply([ uniq @backlogs ], [ join ',', 1 .. 50 ], 'each gets the backlog');
	insert('news', 51, 53);
	my @live = map { join ',', @{ $client->collect($_, 53, ack => 1)->{offsets} } } @calls;
	is_deeply([ uniq @live ], ['51,52,53'], 'each gets live rows');
	ok($sluice->wait_sql(q{SELECT count(*) FROM sluice.stat_subscriptions WHERE stream = 'news' AND position = 53 AND state = 'live' AND lag_records = 0}, 200),
		'each has its position');
	$client->step('half_close', $_) foreach @calls;
	is_deeply([ uniq map { $client->ending($_) } @calls ], ['OK'], 'all leave');
};

subtest 'one that reads nothing' => sub {
	create_stream('flood');
	my ($length, $rows) = (1000, 40_000);
	$client->begin('deaf', stream => 'flood', subscription => 'deaf', create => 1, deaf => 1);
	ok($sluice->wait_sql("SELECT state <> 'inactive' FROM sluice.stat_subscriptions WHERE name = 'deaf'", 't'), 'it is active');
	$client->open_call('beside', stream => 'flood', subscription => 'beside', create => 1);
	my %before = map { $_ => memory_of($_) } $sluice->workers;
	insert('flood', 1, $rows, qq{jsonb_build_object('n', n, 'text', repeat('x', $length))});
	my $beside = $client->collect('beside', $rows, ack => 1, bare => 1, timeout => 60);
	is(scalar @{ $beside->{offsets} // [] }, $rows, 'the one beside it gets all');
	my $sent = $sluice->sql("SELECT rows_sent FROM sluice.stat_subscriptions WHERE name = 'deaf'");
	cmp_ok($sent, '<', $rows / 4, "it is sent $sent rows and no more");
	cmp_ok(memory_of($_) - $before{$_}, '<', 16 * 1024, sprintf('%d kB more memory of a worker', memory_of($_) - $before{$_}))
	  foreach keys %before;
	$client->step('listen', 'deaf');
	$client->next_event('deaf', 'active');
	is_deeply($client->collect('deaf', $rows, ack => 1, bare => 1, timeout => 60)->{offsets}, [ 1 .. $rows ], 'when it reads, it gets all in order');
	is($client->finish($_), 'OK', "$_ leaves") foreach 'deaf', 'beside';
};

subtest 'transactions that do not concern it' => sub {
	create_stream('calm');
	$sluice->sql('CREATE TABLE other (i int)');
	$sluice->sql('CREATE DATABASE elsewhere', 'postgres');
	my $other = $sluice->node->background_psql('postgres');
	$other->query_safe($_) foreach 'BEGIN ISOLATION LEVEL REPEATABLE READ', 'INSERT INTO other VALUES (1)', 'SELECT count(*) FROM calm';
	my $elsewhere = $sluice->node->background_psql('elsewhere');
	$elsewhere->query_safe($_) foreach 'CREATE TABLE t (i int)', 'BEGIN', 'INSERT INTO t VALUES (1)';
	$client->open_call('a', stream => 'calm');
	insert('calm', 1, 3);
	is_deeply($client->collect('a', 3)->{offsets}, [ 1 .. 3 ], 'rows come beside them');
	my $vacuum = $sluice->node->background_psql('postgres');
	$vacuum->query_safe($_) foreach 'BEGIN', 'LOCK TABLE calm IN SHARE UPDATE EXCLUSIVE MODE';
	insert('calm', 4, 5);
	is_deeply($client->collect('a', 5)->{offsets}, [ 4, 5 ], '... and beside what has the lock of VACUUM');
	$client->step('cancel', 'a');
	foreach my $session ($other, $elsewhere, $vacuum)
	{
		$session->query_safe('ROLLBACK');
		$session->quit;
	}
};

subtest 'what is dropped under a live call' => sub {
	create_stream('doomed');
	insert('doomed', 1, 3);
	$client->open_call('a', stream => 'doomed', subscription => 'd', create => 1);
	$client->collect('a', 3);
	$sluice->sql('DROP TABLE doomed');
	is($client->ending('a'), 'NOT_FOUND DROPPED', 'the table');
	create_stream('ends');
	insert('ends', 1, 3);
	$client->open_call("e$_", stream => 'ends', subscription => "e$_", create => 1) foreach 1 .. 4;
	$client->collect("e$_", 3) foreach 1 .. 4;
	$sluice->sql('DROP EXTENSION pg_sluice');
	like($client->ending("e$_"), qr/^(UNAVAILABLE|NOT_FOUND DROPPED)$/, "the extension: call $_") foreach 1 .. 4;
	$sluice->sql('CREATE EXTENSION pg_sluice');
	$sluice->wait_serving;
	$sluice->sql('DROP TABLE IF EXISTS ends');
	create_stream('again');
	insert('again', 1, 2);
	$client->open_call('f', stream => 'again', subscription => 'e1', create => 1);
	is_deeply($client->collect('f', 2)->{offsets}, [ 1, 2 ], 'made again, it serves');
	is($client->finish('f'), 'OK', 'and ends');
};

unlike($sluice->log_since, qr/ is shut out for /, 'nobody was taken for a flood');
done_testing();
