# Publish: accounts outlive crashes, restarts, dumps and moves between workers;
# they end with their stream only.
#
# suites: beside others
use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Publisher;
use Sluice qw(wait_until process_is_gone);
use Test::More;
use Time::HiRes qw(time);

my $drain  = 2;
my $sluice = Sluice->new('main', streaming => 1, conf => "sluice.drain_timeout = '${drain}s'\n");
my $client = Publisher->new($sluice);
my $node   = $sluice->node;
my $quiet  = 0.25;		# so long nothing must come

sub account { return Publisher::account($sluice, @_) }
sub rows { my ($stream) = @_; return $sluice->sql("SELECT count(*) || ' ' || count(DISTINCT (producer, sequence)) FROM $stream") }
sub silent { my ($call, $what) = @_; is_deeply($client->event($call, $quiet), { silence => $quiet }, $what) }

sub transaction
{
	my $session = $node->background_psql('postgres');
	$session->query_safe($_) foreach 'BEGIN', @_;
	return $session;
}

sub come_back
{
	$sluice->wait_connectable;
	$sluice->wait_serving;
}

my %crash = (
	'the worker is killed' => sub {
		my ($worker) = $sluice->workers;
		kill 'KILL', $worker;
		wait_until('the worker is gone', sub { process_is_gone($worker) });
		come_back();
	},
	'the worker is terminated' => sub {
		my ($worker) = $sluice->workers;
		$sluice->sql("SELECT pg_terminate_backend($worker)");
		wait_until('the worker is gone', sub { process_is_gone($worker) });
		come_back();
	},
	'the server is killed' => sub {
		$sluice->kill_server;
		$sluice->start;
		come_back();
	},
	'the server is restarted' => sub {
		$node->stop('fast');
		$sluice->start;
		come_back();
	});

my %epochs;
Publisher::create_items($sluice, 'items');
foreach my $what (sort keys %crash)
{
	subtest $what => sub {
		(my $name = $what) =~ tr/ /_/;
		$client->open_call('a', producer => $name, stream => 'items');
		is_deeply($client->publish('a', from => 1, to => 100, gaps => [ [ 101, 110, 'compacted' ] ]), {}, 'what was acknowledged');
		# Many batches are on their way; some of them are acknowledged before the end.
		$client->batch('a', from => 111, to => 3110, by => 10);
		my $ack = $client->event('a')->{ack};
		$crash{$what}->();
		my $ending = $client->ending('a');
		like($ending, qr/^UNAVAILABLE/, 'its call ends');
		my $opened = $client->open_call('b', producer => $name, stream => 'items', nonces => [ 1, 2 ], acked_through => $ack->{through});
		cmp_ok($opened->{last_sequence}, '>=', $ack->{through}, 'opened knows all that was acknowledged');
		is($epochs{ $opened->{epoch} }++, 0, 'its epoch is a new one');
		if ($opened->{last_sequence} < 3110)
		{
			is_deeply($client->publish('b', from => $opened->{last_sequence} + 1, to => 3110), {}, "the rest is sent, from @{[ $opened->{last_sequence} + 1 ]}");
		}
		is(account('items', $name), '3110: 3100, 0, 0, 0, 10, 0; 0', 'each is there once');
		Publisher::balance_ok($sluice, 'items', $what);
	};
}

subtest 'killed before the commit' => sub {
	$client->open_call('a', producer => 'before', stream => 'items');
	my $session = transaction('LOCK TABLE items');
	$client->batch('a', from => 1, to => 10);
	ok($sluice->wait_sql("SELECT sum(records_in_flight) FROM sluice.stat_workers", '10'), 'a batch waits');
	$sluice->kill_server;
	eval { $session->quit };
	$sluice->start;
	come_back();
	is($client->open_call('b', producer => 'before', stream => 'items')->{last_sequence}, 0, 'nothing of it is stored');
	is_deeply($client->publish('b', from => 1, to => 10), {}, 'it is sent again');
	is(account('items', 'before'), '10: 10, 0, 0, 0, 0, 0; 0', '... which is no second time');
};

subtest 'a worker that is told to stop' => sub {
	$client->open_call($_, producer => $_, stream => 'items') foreach 'idle', 'busy';
	my $session = transaction('LOCK TABLE items');
	$client->batch('busy', from => 1, to => 10);
	ok($sluice->wait_sql("SELECT sum(records_in_flight) FROM sluice.stat_workers", '10'), 'a batch waits');
	my ($worker) = $sluice->workers;
	my $started = time;
	$sluice->sql("SELECT pg_terminate_backend($worker)");
	is($client->ending('idle'), 'UNAVAILABLE', 'an idle call ends with UNAVAILABLE');
	is($client->ending('busy'), 'UNAVAILABLE', 'so does one of which a batch waits');
	cmp_ok(time - $started, '<', $drain + 3, 'within the drain timeout');
	$session->query_safe('COMMIT');
	$session->quit;
	$sluice->wait_serving;
	is($client->open_call('b', producer => 'busy', stream => 'items')->{last_sequence}, 0, 'it was not stored');
	is_deeply($client->publish('b', from => 1, to => 10), {}, 'the next worker stores it');
	Publisher::balance_ok($sluice, 'items', 'drained');
};

subtest 'a synchronous standby that is not there' => sub {
	$client->open_call($_, producer => $_, stream => 'items') foreach 'sync', 'sync2';
	is_deeply($client->publish('sync2', from => 1, to => 2), {}, 'before');
	$sluice->sql("ALTER SYSTEM SET synchronous_standby_names = 'nobody'");
	$sluice->sql('SELECT pg_reload_conf()');
	ok($sluice->wait_sql('SHOW synchronous_standby_names', 'nobody'), 'commits wait');
	my $waiting = "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
	$client->batch('sync', from => 1, to => 10);
	ok($sluice->wait_sql($waiting, 't', 20), 'a batch is committed here');
	silent('sync', 'and not acknowledged');
	my ($worker) = $sluice->workers;
	$sluice->sql("SELECT pg_cancel_backend($worker)");
	silent('sync', '... nor when the wait is cancelled');
	ok($sluice->wait_sql($waiting, 't', 20), 'the worker waits on');
	$sluice->sql("SELECT pg_terminate_backend($worker)");
	ok(wait_until('the worker has ended', sub { process_is_gone($worker) }, $drain + 10), 'the worker ends');
	my $ending = $client->event('sync');
	ok(!$ending->{ack}, '... without an acknowledgement');
	# What is committed here and not there must not be told by Opened either, also where nothing new is written.
	$client->begin('again', producer => 'sync', stream => 'items', nonces => [ 1, 2 ]);
	ok($sluice->wait_sql($waiting, 't', 20), 'a call that opens waits');
	$sluice->sql('SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = \'SyncRep\'');
	silent('again', '... for the confirmation, also when its wait is cancelled');
	$node->safe_psql('postgres', 'SET synchronous_commit = local; ALTER SYSTEM RESET synchronous_standby_names');
	$sluice->sql('SELECT pg_reload_conf()');
	my $event = $client->event('again');
	is($event->{opened}{last_sequence}, 10, 'then it is');
	is_deeply($client->publish('again', from => 11, to => 12), {}, '... and goes on');
	is(account('items', 'sync'), '12: 12, 0, 0, 0, 0, 0; 0', 'nothing came twice');
};

subtest 'dump and restore' => sub {
	$client->open_call('d', producer => 'dumped', stream => 'items');
	is_deeply($client->publish('d', records => [ [ 1, '{"n": 1}' ], [ 2, '{"n": -2}' ], [ 3, '{"n": 3}', 'k' ] ], gaps => [ [ 4, 9, 'full' ] ]), { 2 => 'dead_lettered' }, 'a producer');
	$sluice->sql("SELECT sluice.retire_producer('items', '@{[ Publisher::id('idle') ]}')");
	my @queries = map { "SELECT * FROM sluice.$_ ORDER BY 1, 2, 3" } 'producers', 'gaps', 'ledger';
	my %before  = map { $_ => $sluice->sql($_) } @queries;
	my $file = "$PostgreSQL::Test::Utils::tmp_check/dump";
	$node->command_ok([ 'pg_dump', '-f', $file, 'postgres' ], 'pg_dump');
	$sluice->sql('CREATE DATABASE restored');
	$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', 'restored', '-f', $file ], 'restore');
	is($sluice->sql($_, 'restored'), $before{$_}, "the same: $_") foreach @queries;
	# After the dump the producer goes on here, and is then sent to the copy.
	is_deeply($client->publish('d', from => 10, to => 12), {}, 'after the dump');
	serve('restored');
	$client->ending('d');
	is($client->open_call('e', producer => 'dumped', stream => 'items', acked_through => 12)->{last_sequence}, 9, 'the restored server is behind');
	$client->batch('e', from => 11, to => 13, gaps => [ [ 10, 10, 'server_lost' ] ]);
	silent('e', 'the restored stream is held');
	$sluice->sql("SELECT sluice.resume('items')");
	is_deeply($client->settled('e', 13), {}, 'resumed: what is still at hand is sent, the rest is lost');
	is(account('items', 'dumped'), '13: 5, 0, 1, 0, 6, 1; 0', '... and on the books');
	is($sluice->sql('SELECT count(*) FROM sluice.gaps'), 1 + $node->safe_psql('postgres', 'SELECT count(*) FROM sluice.gaps'), 'new gaps take new ids');
	Publisher::balance_ok($sluice, 'items', 'restored');
	# Of a server that is behind its own past a copy is told.
	serve('postgres');
	$client->ending('e');
	is($client->open_call('f', producer => 'dumped', stream => 'items', nonces => [ 1, 2 ], sent => 13, acked_through => 13)->{last_sequence}, 12, 'back at the first one');
	is_deeply($client->publish('f', gaps => [ [ 13, 13, 'server_lost' ] ]), {}, '... which lacks what the other one has');
	is(account('items', 'dumped'), '13: 5, 0, 1, 0, 6, 1; 0', '... and says so');
};

sub serve
{
	my ($database) = @_;
	$node->safe_psql('postgres', "ALTER SYSTEM SET sluice.database = '$database'");
	$node->safe_psql('postgres', 'SELECT pg_reload_conf()');
	$sluice->set_database($database);
	wait_until("the workers serve $database", sub {
			$sluice->sql("SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE '%sluice%' AND datname = '$database'") > 0;
		});
	$sluice->wait_serving;
}

subtest 'streams that are dropped under a call' => sub {
	Publisher::create_items($sluice, 'dropped');
	$client->open_call($_, producer => $_, stream => 'dropped') foreach 'p', 'q';
	is_deeply($client->publish('p', from => 1, to => 3, gaps => [ [ 4, 4, 'full' ] ]), {}, 'a producer');
	$sluice->sql("SELECT sluice.hold('dropped', 'test')");
	$client->batch('p', from => 5, to => 10);
	silent('p', 'a batch waits');
	$sluice->sql("SELECT sluice.drop_stream('dropped')");
	is($client->ending('p'), 'NOT_FOUND', 'the call of which a batch waits ends');
	$client->batch('q', from => 1, to => 3);
	is($client->ending('q'), 'NOT_FOUND', 'so does another one at its next batch');
	is($sluice->sql("SELECT count(*) FROM sluice.producers p WHERE NOT EXISTS (SELECT FROM sluice.streams s WHERE s.id = p.stream)"), 0, 'no row of theirs is left');
	is($sluice->sql("SELECT count(*) FROM sluice.gaps p WHERE NOT EXISTS (SELECT FROM sluice.streams s WHERE s.id = p.stream)"), 0, '... nor a gap');
	# Dropped by a transaction that is still open.
	Publisher::create_items($sluice, 'dropping');
	$client->open_call('p', producer => 'p', stream => 'dropping');
	my $session = transaction("SELECT sluice.drop_stream('dropping')");
	$client->batch('p', from => 1, to => 3);
	silent('p', 'a batch waits while its stream is being dropped');
	$session->query_safe('ROLLBACK');
	$session->quit;
	is_deeply($client->settled('p', 3), {}, '... and is stored when it is not');
	Publisher::balance_ok($sluice, 'dropping', 'not dropped');
};

subtest 'the extension is dropped under a call' => sub {
	my $old = $client->open_call('p', producer => 'p', stream => 'items');
	is_deeply($client->publish('p', from => 1, to => 3), {}, 'a producer');
	$sluice->sql('DROP EXTENSION pg_sluice');
	$client->batch('p', from => 4, to => 6);
	like($client->ending('p'), qr/^(NOT_FOUND|UNAVAILABLE|FAILED_PRECONDITION)/, 'its call ends');
	$sluice->sql('CREATE EXTENSION pg_sluice');
	$sluice->sql("SELECT sluice.create_stream('items', 'items', envelope_columns => '{\"producer\": \"producer\", \"sequence\": \"sequence\"}')");
	$sluice->wait_serving;
	my $refused = $client->open_call('q', producer => 'p', stream => 'items', acked_through => 3, stream_uid => $old->{stream_uid});
	is($refused->{reason}, 'STREAM_REPLACED', 'a new installation has other streams');
};
$node->stop('fast');

subtest 'two workers' => sub {
	$sluice = Sluice->new('pair', workers => 2, conf => "sluice.lock_timeout = '20s'\nsluice.worker_memory = '1MB'\nsluice.max_record_size = '64kB'\n");
	$client = Publisher->new($sluice);
	$node = $sluice->node;
	Publisher::create_items($sluice, 'items');
	my %worker_of;
	# The kernel chooses: connections until each worker has one.
	my $open_at = sub {
		my ($call, $other) = @_;
		foreach my $try (1 .. 60)
		{
			$client->open_call("$call$try", producer => 'p', stream => 'items');
			my $pid;
			wait_until('the call is shown', sub {
					$pid = $sluice->sql("SELECT pid FROM sluice.stat_connections WHERE producer = '@{[ Publisher::id('p') ]}' ORDER BY connected_at DESC LIMIT 1");
				});
			return ("$call$try", $pid) if !defined $other || $pid != $other;
			$client->finish("$call$try");
			wait_until('it has gone', sub { $sluice->sql("SELECT count(*) FROM sluice.stat_connections WHERE pid = $pid AND producer = '@{[ Publisher::id('p') ]}'") <= 1 });
		}
		die "all connections go to one worker\n";
	};
	my ($old, $first) = $open_at->('old');
	is_deeply($client->publish($old, from => 1, to => 3), {}, 'one worker stores');
	# Its batch waits; the producer reconnects, to the other one.
	my $session = transaction('LOCK TABLE items');
	$client->batch($old, from => 4, to => 6);
	ok($sluice->wait_sql("SELECT sum(records_in_flight) FROM sluice.stat_workers", '3'), 'a batch waits there');
	my ($new, $second) = $open_at->('new', $first);
	isnt($first, $second, 'the producer opens a call at the other worker');
	$client->batch($new, from => 4, to => 6);
	$session->query_safe('COMMIT');
	is_deeply($client->settled($new, 6), {}, 'the newer call stores');
	is($client->ending($old), 'ABORTED SUPERSEDED', '... the older one does not, wherever it is');
	is(account('items', 'p'), '6: 6, 0, 0, 0, 0, 0; 0', 'each is there once');

	# The old batch is in the middle of its transaction when the new call comes.
	$sluice->sql(<<'END');
CREATE FUNCTION wait_there() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
	IF NEW.n = 8 THEN PERFORM pg_catalog.pg_advisory_xact_lock(1); END IF;
	RETURN NEW;
END $$;
CREATE TRIGGER wait_there BEFORE INSERT ON items FOR EACH ROW EXECUTE FUNCTION wait_there();
END
	$session->query_safe($_) foreach 'BEGIN', 'SELECT pg_advisory_xact_lock(1)';
	$client->batch($new, from => 7, to => 9);
	ok($sluice->wait_sql("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'advisory'", '1'), 'a batch is being stored');
	$client->begin('third', producer => 'p', stream => 'items');
	silent('third', 'a call of the producer waits, whichever worker has it');
	$session->query_safe('COMMIT');
	$session->quit;
	my $opened = $client->event('third')->{opened};
	is($opened->{last_sequence}, 9, 'it is told of what was committed meanwhile');
	is_deeply($client->publish('third', from => 10, to => 12), {}, '... and goes on');
	is($sluice->sql("SELECT string_agg(n::text, ' ' ORDER BY id) FROM items"), join(' ', 1 .. 12), 'each once, in order');
	# Many calls in a row, with what is on its way left behind.
	my ($last, $calls) = (12, 0);
	until ($last >= 2012)
	{
		my $opened = $client->open_call('r' . ++$calls, producer => 'p', stream => 'items', sent => 2012, acked_through => $last);
		cmp_ok($last = $opened->{last_sequence}, '<=', 2012, 'not more than was sent') if $opened->{last_sequence} > 2012;
		last if ($last = $opened->{last_sequence}) >= 2012;
		$client->batch("r$calls", from => $last + 1, to => 2012, by => 20);
		my $event = $client->event("r$calls");
		$last = $event->{ack}{through} if $event->{ack};
		last if $calls > 300;
	}
	is(account('items', 'p'), '2012: 2012, 0, 0, 0, 0, 0; 0', "$calls calls over both workers: each once, none again");
	Publisher::balance_ok($sluice, 'items', 'two workers');
};

subtest 'more than there is memory for' => sub {
	Publisher::create_items($sluice, 'large');
	my @names = map { "l$_" } 1 .. 6;
	$client->open_call($_, producer => $_, stream => 'large') foreach @names;
	$client->open_call('other', producer => 'other', stream => 'items');
	$sluice->sql("SELECT sluice.hold('large', 'test')");
	my $payload = '{{"n": {0}' . ' ' x 1000 . '}}';
	$client->batch($_, from => 1, to => 3000, by => 50, payload => $payload) foreach @names;
	# A stream has three eighths of a worker's memory, and all calls may be at one worker; batches have 50 kB.
	ok($sluice->wait_sql("SELECT sum(bytes_in_flight) > 250000 FROM sluice.stat_workers", 't'), 'the memory is full');
	is($client->event($names[0], $quiet)->{silence}, $quiet, 'all wait');
	cmp_ok($sluice->sql('SELECT max(bytes_in_flight) FROM sluice.stat_workers'), '<=', 1024 * 1024, '... within their bounds');
	$sluice->sql("SELECT sluice.resume('large')");
	is_deeply($client->settled($_, 3000), {}, "$_ is settled") foreach @names;
	is($sluice->sql('SELECT count(*) FROM large'), 3000 * @names, 'all is stored');
	is_deeply($client->publish('other', from => 1, to => 3), {}, 'a call that was idle has room');
	Publisher::balance_ok($sluice, 'large', 'more than there is memory for');
};

# Keys in opposite orders from calls at both workers: neither waits for the other, nor is a deadlock broken.
subtest 'two workers and the same keys' => sub {
	Publisher::create_items($sluice, 'keyed');
	my @names = map { "x$_" } 1 .. 12;
	my $offset = $sluice->log_offset;
	$client->open_call($_, producer => $_, stream => 'keyed') foreach @names;
	is($sluice->sql('SELECT count(*) FROM sluice.stat_workers WHERE calls > 0'), 2, 'both have calls');
	foreach my $round (0 .. 14)
	{
		foreach my $i (0 .. $#names)
		{
			my @numbers = map { $round * 40 + ($_ * (2 * $i + 1)) % 41 } 1 .. 40;
			$client->batch($names[$i], records => [ map { [ $round * 40 + $_, "{\"n\": $numbers[$_ - 1]}", "k$numbers[$_ - 1]" ] } 1 .. 40 ]);
		}
	}
	my $duplicates = 0;
	$duplicates += keys %{ $client->settled($_, 600) } foreach @names;
	is($sluice->sql('SELECT count(*) || \' \' || count(DISTINCT n) FROM keyed'), join(' ', (600 * @names - $duplicates) x 2), 'each key is stored once');
	unlike($sluice->log_since($offset), qr/deadlock|lock timeout/, 'without waiting');
	Publisher::balance_ok($sluice, 'keyed', 'two workers and the same keys');
};

done_testing();
