# Publish: what has to wait, waits in its order, and nothing else waits with it.
#
# suites: beside others
use strict;
use warnings;

use Publisher;
use Sluice qw(wait_until);
use Test::More;

my $sluice = Sluice->new('main', conf => "sluice.lock_timeout = '200ms'\nsluice.max_attempts = 3\n");
my $client = Publisher->new($sluice);
my $seconds = 0.25;		# so long nothing must come

sub with_stream
{
	my ($name, $title, $test, %settings) = @_;
	subtest $title => sub {
		Publisher::create_items($sluice, $name, %settings);
		$test->($name);
		Publisher::balance_ok($sluice, $name, $title);
		is($sluice->sql("SELECT count(*) FROM sluice.stat_streams WHERE name = '$name' AND hold IS NOT NULL"), 0, 'the stream is not held any more');
	};
}

sub account { return Publisher::account($sluice, @_) }
sub rows { my ($stream, $producer) = @_; return $sluice->sql("SELECT string_agg(n::text, ' ' ORDER BY id) FROM $stream WHERE producer = '@{[ Publisher::id($producer // 'p') ]}'") }
sub letters { my ($stream) = @_; return $sluice->sql("SELECT coalesce(string_agg(sequence || ' ' || sqlstate, ', ' ORDER BY sequence), '') FROM sluice.dead_letters WHERE stream_name = '$stream'") }
sub silent { my ($call, $what) = @_; is_deeply($client->event($call, $seconds), { silence => $seconds }, $what) }

# A session with a transaction in which the queries were run.
sub transaction
{
	my $session = $sluice->node->background_psql('postgres');
	$session->query_safe($_) foreach 'BEGIN', @_;
	return $session;
}

sub finish
{
	my ($session, $how) = @_;
	$session->query_safe($how // 'COMMIT');
	$session->quit;
}

foreach my $end ('COMMIT', 'ROLLBACK')
{
	with_stream("busy_\L$end", "a key that another transaction has, which ends with $end", sub {
		my ($stream) = @_;
		my $session = transaction("SELECT sluice.ingest('$stream', 'busy', '{\"n\": 100}'::bytea)");
		$client->open_call($_, producer => $_, stream => $stream) foreach 'p', 'q';
		$client->batch('p', records => [ [ 1, '{"n": 1}' ], [ 2, '{"n": 100}', 'busy' ], [ 3, '{"n": 3}', 'free' ], [ 4, '{"n": 4}' ] ]);
		is_deeply($client->publish('q', from => 1, to => 5, key => 'q{0}'), {}, 'another producer goes on');
		$client->batch('p', from => 5, to => 6);
		my $event = $client->event('p', $seconds);
		ok($event->{silence} || $event->{ack}{through} == 1, 'nothing is told of the record, nor of those behind it');
		silent('p', '... nor later') unless $event->{silence};
		ok(($sluice->sql("SELECT coalesce(max(sequence), 0) FROM $stream WHERE producer = '@{[ Publisher::id('p') ]}'")) <= 1, 'none of them is stored');
		is($sluice->sql("SELECT count(*) FROM sluice.idempotency_keys JOIN sluice.streams ON id = stream WHERE name = '$stream'"), 5, 'no key is remembered of a record that waits');
		$client->batch('q', from => 6, to => 6);
		is_deeply($client->settled('q', 6), {}, 'the other producer goes on and on');
		finish($session, $end);
		my $told = $client->settled('p', 6);
		is_deeply($told, $end eq 'COMMIT' ? { 2 => 'duplicate' } : {}, 'then it is settled');
		is(rows($stream), $end eq 'COMMIT' ? '1 3 4 5 6' : '1 100 3 4 5 6', '... in order');
	});
}

with_stream('parked', 'batches that were put back at different times', sub {
	my ($stream) = @_;
	# A key that is about to be remembered; a transaction of sluice.ingest() would keep the stream from being held.
	my $busy = Publisher::id('busy');
	my $session = transaction("INSERT INTO sluice.idempotency_keys_0 (key, stream, verdict, payload_hash) SELECT '$busy', id, 's', 0 FROM sluice.streams WHERE name = '$stream'");
	$client->open_call('p', producer => 'p', stream => $stream);
	foreach my $from (1, 4, 7, 10, 13)
	{
		$client->batch('p', records => [ map { [ $_, "{\"n\": $_}", $_ == 1 ? $busy : '' ] } $from .. $from + 2 ]);
		is($client->event('p', 0.17)->{silence}, 0.17, 'a batch waits');
	}
	# While the stream is held all of them become due.
	$sluice->sql("SELECT sluice.hold('$stream', 'test')");
	is($client->event('p', 2)->{silence}, 2, 'nothing is acknowledged');
	finish($session, 'ROLLBACK');
	$sluice->sql("SELECT sluice.resume('$stream')");
	is_deeply($client->settled('p', 15), {}, 'then they are settled');
	is(rows($stream), join(' ', 1 .. 15), '... in order');
});

with_stream('one_key', 'one key in several places of a batch', sub {
	my ($stream) = @_;
	$client->open_call($_, producer => $_, stream => $stream) foreach 'p', 'q';
	is_deeply($client->publish('p', records => [ [ 1, '{"n": 1}', 'k' ], [ 2, '{"n": 2}', 'k' ], [ 3, '{"n": 3}' ], [ 4, '{"n": 1}', 'k' ], [ 5, '{"n": 5}' ] ]),
		{ 2 => 'duplicate', 4 => 'duplicate' }, 'the first one is stored, also where the payloads differ');
	is(rows($stream), '1 3 5', '... and what follows in order');
	# Two producers with the same keys in opposite order, in one transaction.
	$sluice->sql("SELECT sluice.hold('$stream', 'test')");
	$client->batch('p', records => [ map { [ $_, "{\"n\": $_}", "x$_" ] } 6 .. 105 ]);
	$client->batch('q', records => [ map { [ $_, "{\"n\": $_}", 'x' . (106 - $_) ] } 1 .. 100 ]);
	ok($sluice->wait_sql('SELECT sum(records_in_flight) FROM sluice.stat_workers', '200'), 'two hundred records, a hundred keys');
	$sluice->sql("SELECT sluice.resume('$stream')");
	my ($p, $q) = ($client->settled('p', 105), $client->settled('q', 100));
	is(keys(%$p) + keys(%$q), 100, 'each key is stored once');
	is($sluice->sql("SELECT count(*) FROM $stream"), 103, '... as the table shows');
});

with_stream('row_locked', 'the row of a producer that another transaction has', sub {
	my ($stream) = @_;
	$client->open_call($_, producer => $_, stream => $stream) foreach 'p', 'q';
	is_deeply($client->publish('p', from => 1, to => 3), {}, 'three records');
	my $session = transaction("SELECT FROM sluice.producers WHERE producer = '@{[ Publisher::id('p') ]}' FOR UPDATE");
	$client->batch('p', from => 4, to => 6);
	is_deeply($client->publish('q', from => 1, to => 3), {}, 'another producer goes on');
	$client->begin('p2', producer => 'p', stream => $stream);
	is($client->open_call('r', producer => 'r', stream => $stream)->{last_sequence}, 0, 'a new one is opened');
	silent('p', 'what waits for the row is not acknowledged');
	silent('p2', '... and a new call of the producer is not opened');
	is(account($stream, 'p'), '3: 3, 0, 0, 0, 0, 0; 0', 'nothing is stored');
	finish($session);
	my $opened = $client->event('p2')->{opened};
	my $told = $client->settled('p', 6);
	# The batch or the new call comes first, and the other one knows.
	ok($opened->{last_sequence} == 6 && !%$told || $opened->{last_sequence} == 3 && $told->{reason} eq 'SUPERSEDED', 'afterwards they agree');
	$client->publish('p2', from => 4, to => 6) if $opened->{last_sequence} == 3;
	is(rows($stream), '1 2 3 4 5 6', 'each is stored once');
	$session = transaction("SELECT FROM sluice.producers WHERE producer = '@{[ Publisher::id('p') ]}' FOR UPDATE");
	$client->batch('p2', from => 7, to => 7);
	silent('p2', 'a lock that is held when its call is cut');
	$client->cut('p2');
	finish($session, 'ROLLBACK');
	$opened = $client->open_call('p3', producer => 'p', stream => $stream);
	$client->publish('p3', from => $opened->{last_sequence} + 1, to => 8);
	is(rows($stream), '1 2 3 4 5 6 7 8', '... loses and doubles nothing');
});

with_stream('new_row', 'a row that another transaction is about to make', sub {
	my ($stream) = @_;
	my $session = transaction("INSERT INTO sluice.producers (stream, producer, last_sequence, nonce, epoch, opened_at)
		SELECT id, '@{[ Publisher::id('p') ]}', 0, 1, 1, now() FROM sluice.streams WHERE name = '$stream'");
	$client->open_call('q', producer => 'q', stream => $stream);
	$client->begin('p', producer => 'p', stream => $stream);
	is_deeply($client->publish('q', from => 1, to => 3), {}, 'another producer goes on');
	finish($session);
	my $event = $client->event('p');
	$event = { opened => $client->open_call('p', producer => 'p', stream => $stream) } if $event->{status} && $event->{status} eq 'UNAVAILABLE';
	is($event->{opened}{last_sequence}, 0, 'it is opened in the end');
	is_deeply($client->publish('p', from => 1, to => 3), {}, '... and stores');
});

with_stream('producers_locked', 'a lock on the table of producers', sub {
	my ($stream) = @_;
	$client->open_call('p', producer => 'p', stream => $stream);
	my $session = transaction('LOCK TABLE sluice.producers IN ACCESS EXCLUSIVE MODE');
	$client->batch('p', from => 1, to => 3);
	silent('p', 'all wait');
	finish($session);
	is_deeply($client->settled('p', 3), {}, 'until it is gone');
});

with_stream('held', 'a stream that is held', sub {
	my ($stream) = @_;
	Publisher::create_items($sluice, 'free');
	$client->open_call('p', producer => 'p', stream => $stream);
	$client->open_call('f', producer => 'p', stream => 'free');
	$sluice->sql("SELECT sluice.hold('$stream', 'test')");
	is($client->open_call('p2', producer => 'q', stream => $stream)->{last_sequence}, 0, 'calls are opened');
	$client->batch('p', from => 1, to => 3);
	$client->batch('p', from => 4, to => 6);
	silent('p', 'nothing is acknowledged');
	is_deeply($client->publish('f', from => 1, to => 3), {}, 'another stream goes on');
	is(account($stream, 'p'), '0: 0, 0, 0, 0, 0, 0; 0', 'nothing is stored');
	$sluice->sql("SELECT sluice.resume('$stream')");
	is_deeply($client->settled('p', 6), {}, 'until it is resumed');
	is(rows($stream), '1 2 3 4 5 6', '... in order');

	$sluice->sql("SELECT sluice.hold('$stream', 'test')");
	$client->batch('p', from => 7, to => 9, key => 'old{0}');
	silent('p', 'a batch waits');
	is($client->open_call('p3', producer => 'p', stream => $stream)->{last_sequence}, 6, 'a newer call is opened');
	$client->batch('p3', from => 7, to => 9, payload => '{{"n": 1{0}}}');
	$sluice->sql("SELECT sluice.resume('$stream')");
	is_deeply($client->settled('p3', 9), {}, 'the newer call is the one that stores');
	is($client->ending('p'), 'ABORTED SUPERSEDED', '... what waited of the older one is refused');
	is(rows($stream), '1 2 3 4 5 6 17 18 19', '... and stored nowhere');
	is($sluice->sql("SELECT count(*) FROM sluice.idempotency_keys k JOIN sluice.streams s ON s.id = k.stream WHERE s.name = '$stream'"), 0, '... nor are its keys');
});

with_stream('cut', 'calls that are cut while their batches wait', sub {
	my ($stream) = @_;
	$sluice->sql("SELECT sluice.hold('$stream', 'test')");
	foreach my $end ('cut', 'cancel', 'half_close')
	{
		$client->open_call($end, producer => $end, stream => $stream);
		$client->batch($end, from => 1, to => 30, by => 10);
	}
	ok($sluice->wait_sql('SELECT sum(records_in_flight) FROM sluice.stat_workers', '90'), 'batches wait');
	$client->$_($_) foreach 'cut', 'cancel', 'half_close';
	is($client->ending('cancel'), 'CANCELLED', 'one is cancelled');
	silent('half_close', 'one has said all, and waits for its acknowledgement');
	$sluice->sql("SELECT sluice.resume('$stream')");
	is_deeply($client->settled('half_close', 30), {}, '... which it gets');
	is($client->ending('half_close'), 'OK', '... and ends well');
	foreach my $end ('cut', 'cancel')
	{
		my $last = $client->open_call('again', producer => $end, stream => $stream)->{last_sequence};
		like($last, qr/^(0|10|20|30)$/, "what was on its way is stored or not ($last)");
		$client->publish('again', from => $last + 1, to => 40);
		is(rows($stream, $end), join(' ', 1 .. 40), '... and what is sent after it comes after it');
	}
});

subtest 'a stream that is dropped while calls have said all' => sub {
	Publisher::create_items($sluice, 'said');
	$sluice->sql("SELECT sluice.hold('said', 'test')");
	foreach my $name ('s', 't')
	{
		$client->open_call($name, producer => $name, stream => 'said');
		$client->batch($name, from => 1, to => 30, by => 10);
	}
	ok($sluice->wait_sql('SELECT sum(records_in_flight) FROM sluice.stat_workers', '60'), 'batches wait');
	$client->half_close($_) foreach 's', 't';
	silent('s', 'one has said all, and waits for its acknowledgement');
	$client->open_call('newer', producer => 's', stream => 'said');
	$sluice->sql("SELECT sluice.drop_stream('said', drop_target => true)");
	like($client->ending($_), qr/^NOT_FOUND/, 'what is not acknowledged does not end well') foreach 's', 't';
	$client->cancel('newer');
};

with_stream('locked', 'a target that is locked', sub {
	my ($stream) = @_;
	$client->open_call('p', producer => 'p', stream => $stream);
	$client->open_call('f', producer => 'q', stream => 'free');
	my $session = transaction("LOCK TABLE $stream");
	$client->batch('p', from => $_, to => $_ + 1, gaps => [ [ $_ + 2, $_ + 2, 'full' ] ]) foreach 1, 4, 7;
	silent('p', 'nothing is acknowledged');
	is_deeply($client->publish('f', from => 1, to => 3), {}, 'another stream goes on');
	is(account($stream, 'p'), '0: 0, 0, 0, 0, 0, 0; 0', 'neither records nor gaps are on the books');
	finish($session);
	is_deeply($client->settled('p', 9), {}, 'until the lock is gone');
	is(account($stream, 'p'), '9: 6, 0, 0, 0, 3, 0; 0', '... then all of them');
});

sub refuse_while
{
	my ($stream, $condition, $sqlstate) = @_;
	$sluice->sql(<<"END");
CREATE TABLE ${stream}_trouble (bad bigint);
CREATE FUNCTION ${stream}_refuse() RETURNS trigger LANGUAGE plpgsql AS \$\$ BEGIN
	IF $condition THEN RAISE EXCEPTION 'in trouble with %', NEW.n USING ERRCODE = '$sqlstate'; END IF;
	RETURN NEW;
END \$\$;
CREATE TRIGGER refuse BEFORE INSERT ON $stream FOR EACH ROW EXECUTE FUNCTION ${stream}_refuse();
END
}

with_stream('transient', 'trouble that passes', sub {
	my ($stream) = @_;
	refuse_while($stream, "EXISTS (SELECT FROM public.${stream}_trouble)", '53100');
	$sluice->sql("INSERT INTO ${stream}_trouble VALUES (0)");
	$client->open_call('p', producer => 'p', stream => $stream);
	$client->batch('p', from => $_, to => $_ + 9) foreach 1, 11, 21;
	ok($sluice->wait_sql("SELECT sqlstate FROM sluice.stat_streams WHERE name = '$stream'", '53100'), 'the stream is held');
	silent('p', 'nothing is acknowledged');
	is(account($stream, 'p'), '0: 0, 0, 0, 0, 0, 0; 0', 'nothing is on the books');
	$sluice->sql("DELETE FROM ${stream}_trouble");
	is_deeply($client->settled('p', 30), {}, 'then all are stored');
	is(letters($stream), '', 'no dead letter');
	is(rows($stream), join(' ', 1 .. 30), 'in order');
});

with_stream('stubborn', 'a record that alone keeps failing', sub {
	my ($stream) = @_;
	refuse_while($stream, "NEW.n IN (SELECT bad FROM public.${stream}_trouble)", '55P03');
	$sluice->sql("INSERT INTO ${stream}_trouble VALUES (3), (8)");
	$client->open_call($_, producer => $_, stream => $stream) foreach 'p', 'q';
	$client->batch('p', from => 1, to => 10);
	is_deeply($client->settled('p', 10), { 3 => 'dead_lettered', 8 => 'dead_lettered' }, 'is a dead letter after max_attempts');
	is(rows($stream), '1 2 4 5 6 7 9 10', '... and those behind it are stored in order');
	is(letters($stream), '3 55P03, 8 55P03', '... it says why');
	$sluice->sql("DELETE FROM ${stream}_trouble; INSERT INTO ${stream}_trouble VALUES (11)");
	$client->batch('p', from => 11, to => 13);
	is_deeply($client->publish('q', from => 1, to => 5), {}, 'another producer of the stream goes on');
	is_deeply($client->settled('p', 13), { 11 => 'dead_lettered' }, 'also the first one of a batch');
	is(account($stream, 'p'), '13: 10, 0, 3, 0, 0, 0; 0', 'all are on the books');
});

with_stream('in_order', 'what follows a record that failed for a while', sub {
	my ($stream) = @_;
	$sluice->sql('ALTER SYSTEM SET sluice.max_attempts = 1000000');
	$sluice->sql('SELECT pg_reload_conf()');
	refuse_while($stream, "NEW.n IN (SELECT bad FROM public.${stream}_trouble)", '55P03');
	$sluice->sql("INSERT INTO ${stream}_trouble VALUES (3)");
	$client->open_call($_, producer => $_, stream => $stream) foreach 'p', 'q';
	is_deeply($client->publish('q', records => [ [ 11, '{"n": 11}', 'known' ] ], gaps => [ [ 1, 10, 'full' ] ]), {}, 'a key');
	$client->batch('p', from => 1, to => 4, gaps => [ [ 5, 5, 'full' ] ]);
	$client->batch('p', records => [ [ 6, '{"n": 6}' ], [ 7, '{"n": 11}', 'known' ], [ 8, '{"n": 8}' ], [ 9, '{"n": 9}', 'again' ], [ 10, '{"n": 9}', 'again' ], [ 11, '{}' ] ]);
	is_deeply($client->publish('q', from => 12, to => 15), {}, 'another producer goes on');
	ok(wait_until('what is before it is stored', sub { account($stream, 'p') eq '2: 2, 0, 0, 0, 0, 0; 0' }, 20), 'what is before it is stored');
	my $event = $client->event('p', $seconds);
	silent('p', 'nothing behind it is acknowledged') if $event->{ack} && $event->{ack}{through} == 2;
	ok($event->{silence} || $event->{ack}{through} == 2, 'neither records nor the gap behind it are acknowledged');
	is(account($stream, 'p'), '2: 2, 0, 0, 0, 0, 0; 0', '... nor on the books');
	$sluice->sql("DELETE FROM ${stream}_trouble");
	is_deeply($client->settled('p', 11), { 7 => 'duplicate', 10 => 'duplicate' }, 'then the rest, with gaps, known keys and doubles');
	is(account($stream, 'p'), '11: 8, 2, 0, 0, 1, 0; 0', '... is on the books');
	is(rows($stream), '1 2 3 4 6 8 9', '... in order');
	$sluice->sql('ALTER SYSTEM RESET sluice.max_attempts');
	$sluice->sql('SELECT pg_reload_conf()');
});

with_stream('deferred', 'constraints that are checked at commit', sub {
	my ($stream) = @_;
	$sluice->sql(<<"END");
CREATE TABLE known (n bigint PRIMARY KEY);
INSERT INTO known SELECT n FROM generate_series(1, 100) n WHERE n % 10 <> 5;
ALTER TABLE $stream ADD FOREIGN KEY (n) REFERENCES known DEFERRABLE INITIALLY DEFERRED;
END
	$client->open_call($_, producer => $_, stream => $stream) foreach 'p', 'q';
	$client->batch('p', from => 1, to => 30);
	$client->batch('q', from => 1, to => 4);
	is_deeply($client->settled('p', 30), { map { $_ => 'dead_lettered' } 5, 15, 25 }, 'those that break them are dead letters');
	is_deeply($client->settled('q', 4), {}, 'the neighbors are stored');
	is(rows($stream), join(' ', grep { $_ % 10 != 5 } 1 .. 30), '... in order');
});

# What fails only in COMMIT itself: a trigger of the database's own, behind everything else.
with_stream('at_commit', 'an error of COMMIT', sub {
	my ($stream) = @_;
	$sluice->sql("CREATE FUNCTION fail_at_commit(bigint) RETURNS void AS 'sluice_test', 'sluice_test_fail_at_commit' LANGUAGE C");
	$sluice->sql(<<"END");
CREATE FUNCTION ${stream}_fail() RETURNS trigger LANGUAGE plpgsql AS \$\$ BEGIN
	IF NEW.n % 10 = 5 THEN PERFORM public.fail_at_commit(NEW.n); END IF;
	RETURN NEW;
END \$\$;
CREATE TRIGGER fail BEFORE INSERT ON $stream FOR EACH ROW EXECUTE FUNCTION ${stream}_fail();
END
	$client->open_call($_, producer => $_, stream => $stream) foreach 'p', 'q';
	$client->batch('p', from => 1, to => 20, key => 'k{0}');
	$client->batch('p', gaps => [ [ 21, 24, 'full' ] ], records => [ [ 25, '{"n": 25}' ], [ 26, '{"n": 26}', 'k1' ] ]);
	$client->batch('q', from => 1, to => 4);
	is_deeply($client->settled('q', 4), {}, 'the neighbors are stored');
	is_deeply($client->settled('p', 26), { map({ $_ => 'dead_lettered' } 5, 15, 25), 26 => 'duplicate' }, 'those that raise it are dead letters');
	is(account($stream, 'p'), '26: 18, 1, 3, 0, 4, 0; 0', '... on the books');
	is(rows($stream), join(' ', grep { $_ % 10 != 5 } 1 .. 20), '... and those behind them are stored in order');
});

with_stream('serializable', 'whatever the default isolation is', sub {
	my ($stream) = @_;
	$sluice->sql("ALTER SYSTEM SET default_transaction_isolation = 'serializable'");
	$sluice->sql('SELECT pg_reload_conf()');
	$client->open_call($_, producer => $_, stream => $stream) foreach 'p', 'q';
	foreach my $n (1 .. 20)
	{
		$client->batch($_, from => $n, to => $n) foreach 'p', 'q';
	}
	is_deeply($client->settled($_, 20), {}, 'each batch sees what was committed before it') foreach 'p', 'q';
	$sluice->sql('ALTER SYSTEM RESET default_transaction_isolation');
	$sluice->sql('SELECT pg_reload_conf()');
});

done_testing();
