# Subscribe where something is in the way: letters in any order, a row that cannot
# be read, offsets that begin anew, locked rows and sequences, rows of a time.
#
# suites: beside others
use strict;
use warnings;

use Sluice qw(wait_until);
use Subscriber;
use Test::More;

my $sluice = Sluice->new('main');
my $client = Subscriber->new($sluice);

sub create_stream { $sluice->sql("SELECT sluice.create_stream('$_[0]', payload_format => 'json')") }

sub insert
{
	my ($stream, $first, $last) = @_;
	$sluice->sql("INSERT INTO $stream (received_at, payload) SELECT now(), jsonb_build_object('n', n) FROM generate_series($first, $last) n");
}

sub position { my ($name) = @_; return $sluice->sql("SELECT position FROM sluice.subscriptions WHERE name = '$name'") }

# A session with an open transaction.
sub transaction
{
	my ($query) = @_;
	my $session = $sluice->node->background_psql('postgres');
	$session->query_safe($_) foreach 'BEGIN', $query;
	return $session;
}

sub end_transaction
{
	my ($session, $how) = @_;
	$session->query_safe($how);
	$session->quit;
}

subtest 'letters that are put back in another order' => sub {
	create_stream('letters');
	insert('letters', 1, 4);
	$sluice->sql("SELECT sluice.create_subscription('reader', 'letters', max_attempts => 1, retry_delay => '0')");
	my $active = $client->open_call('a', subscription => 'reader');
	foreach my $offset (1, 2)
	{
		$client->collect('a', 4);
		$client->step('nack', 'a', epoch => $active->{epoch}, offset => $offset);
		$active = $client->next_event('a', 'active');
	}
	$client->collect('a', 4);
	my ($low, $high) = split /,/, $sluice->sql("SELECT string_agg(id::text, ',' ORDER BY id) FROM sluice.dead_letters WHERE stream_name = 'letters'");
	my $state = sub { return $sluice->sql("SELECT state FROM sluice.dead_letters WHERE id = $_[0]") };
	my $put_back = sub {
		$sluice->sql("SELECT * FROM sluice.redrive(ids => ARRAY[$_[0]])");
		return $client->next_event('a', 'rows')->{rows}[0]{redrive};
	};
	is($put_back->($high), $high, 'the higher one');
	is($put_back->($low), $low, 'then the lower one, while the other is in flight');
	$client->step('nack', 'a', epoch => $active->{epoch}, redrive => 0 + $low, reason => 'again');
	ok($sluice->wait_sql("SELECT state || ' ' || message FROM sluice.dead_letters WHERE id = $low", 'open again'), 'given back: open');
	is($put_back->($low), $low, '... and put back again');
	$client->step('ack', 'a', epoch => $active->{epoch}, redriven => [ 0 + $low, 0 + $high, 0 + $low, 4711 ]);
	ok($sluice->wait_sql("SELECT count(*) FROM sluice.dead_letters WHERE stream_name = 'letters' AND state = 'redriven'", 2), 'both are done with');
	is_deeply($client->event('a', 0.3), { silence => 0.3 }, 'and come no more');
	$client->step('ack', 'a', epoch => $active->{epoch}, offset => 3);
	$client->step('nack', 'a', epoch => $active->{epoch}, offset => 4);
	$active = $client->next_event('a', 'active');
	is($active->{position}, 4, 'a third letter');
	my ($third) = $sluice->sql("SELECT max(id) FROM sluice.dead_letters WHERE stream_name = 'letters'");
	is($put_back->($third), $third, '... is put back');
	$sluice->sql(q{SELECT sluice.seek('reader', "offset" => 4)});
	my $next = $client->next_event('a', 'active');
	is($client->next_event('a', 'rows')->{rows}[0]{redrive}, $third, 'another activation gets it again');
	$client->step('ack', 'a', epoch => $next->{epoch}, redriven => [ 0 + $third ]);
	is($client->finish('a'), 'OK', 'it leaves');
	is($state->($third), 'redriven', 'with the acknowledgement taken');
};

subtest 'a row that cannot be read now' => sub {
	create_stream('unread');
	insert('unread', 1, 3);
	$sluice->sql("SELECT sluice.create_subscription('unread', 'unread', max_attempts => 1)");
	my $active = $client->open_call('a', subscription => 'unread');
	$client->collect('a', 3);
	my $log = $sluice->log_offset;
	$sluice->sql('ALTER SEQUENCE unread_id_seq CACHE 5');
	$client->step('nack', 'a', epoch => $active->{epoch}, offset => 1);
	is($client->ending('a'), 'FAILED_PRECONDITION NOT_SUBSCRIBABLE', 'ends the call');
	is(position('unread'), 0, 'and is not passed without a letter');
	like($sluice->log_since($log), qr/WARNING:  could not serve a consumer of stream \d+: row 1 cannot be read for its dead letter: sequence/, 'the log says why');
	$sluice->sql('ALTER SEQUENCE unread_id_seq CACHE 1');
	$active = $client->open_call('s', subscription => 'unread', wants_start => 1);
	$sluice->sql('ALTER SEQUENCE unread_id_seq CACHE 5');
	$client->step('start', 's', epoch => $active->{epoch}, token => $active->{token});
	is($client->ending('s'), 'FAILED_PRECONDITION NOT_SUBSCRIBABLE', 'nor is a position of the consumer taken then');
	$client->begin('t', subscription => 'unread');
	is($client->ending('t'), 'FAILED_PRECONDITION NOT_SUBSCRIBABLE', '... nor another call');
	$sluice->sql('ALTER SEQUENCE unread_id_seq CACHE 1');
};

subtest 'a stream that came from a dump' => sub {
	create_stream('dumped');
	insert('dumped', 1, 2);
	my $home = $sluice->sql("SELECT home FROM sluice.streams WHERE name = 'dumped'");
	$client->open_call('a', stream => 'dumped', subscription => 'dumped', create => 1);
	$client->collect('a', 2);
	$sluice->sql("UPDATE sluice.streams SET home = 'elsewhere' WHERE name = 'dumped'");
	foreach my $call ('a', 'b')
	{
		$client->begin('b', subscription => 'dumped') if $call eq 'b';
		my $end = $client->next_event($call, 'active');
		is("$end->{status} $end->{details}",
			'UNAVAILABLE the stream is held: the stream came from another database, probably from a dump: run sluice.resume() when its keys are restored',
			$call eq 'a' ? 'ends the call' : '... and the next one');
	}
	$sluice->sql("UPDATE sluice.streams SET home = '$home' WHERE name = 'dumped'");
	is($client->open_call('a', subscription => 'dumped')->{position}, 0, 'resumed, it goes on');
	is($client->finish('a'), 'OK', 'it leaves');
};

subtest 'offsets that begin anew' => sub {
	create_stream('reborn');
	insert('reborn', 1, 10);
	$client->open_call('a', stream => 'reborn', subscription => 'reborn', create => 1);
	$client->collect('a', 10, ack => 1);
	$sluice->sql('TRUNCATE reborn RESTART IDENTITY');
	insert('reborn', 1, 3);
	my $end = $client->next_event('a', 'rows');
	is("$end->{status} $end->{reason}", 'OUT_OF_RANGE BEYOND_END', 'end the call: TRUNCATE RESTART IDENTITY');
	is($end->{details}, 'the offsets of the stream were begun anew below position 10: set it anew with sluice.seek()', '... and say what to do');
	is(position('reborn'), 10, 'the position is what it was');
	$client->begin('b', subscription => 'reborn');
	is($client->ending('b'), 'OUT_OF_RANGE BEYOND_END', '... and is beyond the end for the next one');
	$sluice->sql(q{SELECT sluice.seek('reborn', "offset" => 0)});
	$client->open_call('a', subscription => 'reborn');
	is_deeply($client->collect('a', 3, ack => 1)->{offsets}, [ 1 .. 3 ], 'seek puts it right');
	$sluice->sql('BEGIN; TRUNCATE reborn RESTART IDENTITY; INSERT INTO reborn (received_at) SELECT now() FROM generate_series(1, 20); COMMIT');
	is($client->ending('a'), 'OUT_OF_RANGE BEYOND_END', 'also where there are more rows than before at once');
	$client->open_call('a', subscription => 'reborn');
	$client->collect('a', 20, ack => 1);
	$sluice->sql("SELECT setval('reborn_id_seq', 5)");
	is($client->ending('a'), 'OUT_OF_RANGE BEYOND_END', 'setval() backwards');
};

subtest 'acknowledged before the end' => sub {
	create_stream('ends');
	insert('ends', 1, 5);
	my $active = $client->open_call('a', stream => 'ends', subscription => 'ends', create => 1);
	$client->collect('a', 5);
	$client->step('ack', 'a', epoch => $active->{epoch}, offset => 3);
	$client->step('ack', 'a', epoch => '1', offset => 5);
	is($client->ending('a'), 'ABORTED STALE_EPOCH', 'one that is refused');
	is(position('ends'), 3, '... and what was acknowledged before it');
	$active = $client->open_call('a', subscription => 'ends');
	$client->collect('a', $active->{position} + 1);
	my $session = transaction("SELECT FROM sluice.subscriptions WHERE name = 'ends' FOR UPDATE");
	$client->step('ack', 'a', epoch => $active->{epoch}, offset => 4);
	$client->step('half_close', 'a');
	like($client->ending('a', 0.2), qr/silence/, 'leaving waits for a locked row');
	end_transaction($session, 'ROLLBACK');
	is($client->ending('a'), 'OK', '... and ends');
	is(position('ends'), 4, 'with what was acknowledged');
	$session = transaction("SELECT FROM sluice.subscriptions WHERE name = 'ends' FOR UPDATE");
	$client->begin('b', subscription => 'ends');
	$client->step('half_close', 'b');
	is($client->ending('b'), 'OK', 'one that was never active need not wait');
	end_transaction($session, 'ROLLBACK');
};

subtest 'Unsubscribe' => sub {
	create_stream('left');
	my $active = $client->open_call('a', stream => 'left', subscription => 'left', create => 1);
	$client->open_call('other', stream => 'left', subscription => 'other', create => 1);
	$client->begin('s', subscription => 'left');
	$client->event('s');
	$client->begin('o', subscription => 'other');
	$client->event('o');
	my $unsubscribe = sub { return $client->step('unsubscribe', 'x', address => $sluice->address, request => {@_}) };
	is_deeply($unsubscribe->(subscription => 'left', epoch => '1'), { dropped => JSON::PP::false() }, 'another epoch');
	is_deeply($client->event('s', 0.3), { silence => 0.3 }, '... ends nothing');
	$unsubscribe->(subscription => 'left', epoch => $active->{epoch});
	is($client->ending('a'), 'ABORTED UNSUBSCRIBED', 'its epoch: the active one ends');
	isnt($client->next_event('s', 'active')->{epoch}, undef, 'the one standing by takes over');
	$client->begin('t', subscription => 'left');
	$client->event('t');
	$unsubscribe->(subscription => 'left');
	is($client->ending($_), 'ABORTED UNSUBSCRIBED', "no epoch: all end ($_)") foreach 's', 't';
	is_deeply($client->event('o', 0.3), { silence => 0.3 }, 'another subscription goes on');
	is($client->open_call('a', subscription => 'left')->{position}, 0, 'and who comes later is served');
	is_deeply($unsubscribe->(subscription => 'left', drop => JSON::PP::true()), { dropped => JSON::PP::true() }, 'dropped');
	like($client->ending('a'), qr/^(ABORTED UNSUBSCRIBED|NOT_FOUND DROPPED)$/, 'its call ends');
	is($unsubscribe->(subscription => 'left')->{status}, 'NOT_FOUND', 'it is not there any more');
	is($client->finish($_), 'OK', "$_ leaves") foreach 'o', 'other';
};

subtest 'a locked sequence' => sub {
	create_stream('locked');
	insert('locked', 1, 5);
	$sluice->sql("SELECT sluice.create_subscription('locked', 'locked', after_offset => 3)");
	my $session = transaction('ALTER SEQUENCE locked_id_seq RENAME TO elsewhere');
	$client->begin('a', subscription => 'locked');
	is_deeply($client->event('a', 0.5), { silence => 0.5 }, 'is waited for');
	end_transaction($session, 'ROLLBACK');
	is($client->next_event('a', 'active')->{position}, 3, 'and then it is active');
	is_deeply($client->collect('a', 5)->{offsets}, [ 4, 5 ], 'with its rows');
	is($client->finish('a'), 'OK', 'it leaves');
};

subtest 'rows of a time' => sub {
	create_stream('timed');
	$sluice->sql("INSERT INTO timed (received_at, payload) VALUES (now() - interval '1 day', '1')");
	my $session = transaction("INSERT INTO timed (received_at, payload) VALUES (now(), '2')");
	$sluice->sql("INSERT INTO timed (received_at, payload) VALUES (now(), '3')");
	$sluice->sql("SELECT sluice.create_subscription('sql', 'timed', since => now() - interval '1 hour')");
	is(position('sql'), 1, 'SQL: not past an open transaction');
	my $since = (time - 3600) * 1_000_000;
	my $active = $client->open_call('a', stream => 'timed', subscription => 'network', create => 1, from => 'FROM_TIME', since => $since);
	is($active->{position}, 1, 'network: the same, and not before that time');
	end_transaction($session, 'COMMIT');
	is_deeply($client->collect('a', 3)->{offsets}, [ 2, 3 ], 'the rows since then');
	is($client->finish('a'), 'OK', 'it leaves');
	is($client->open_call('b', stream => 'timed', from => 'FROM_TIME', since => (time + 3600) * 1_000_000)->{position}, 3, 'none yet: behind all');
	$client->step('cancel', 'b');
	$sluice->sql('ALTER SEQUENCE timed_id_seq MINVALUE -5');
	my ($status, undef, $error) = $sluice->try_sql("SELECT sluice.create_subscription('low', 'timed')");
	like($error, qr/ERROR:  rows of stream "timed" cannot be ordered: sequence public.timed_id_seq can give out offsets below 1: ALTER SEQUENCE public.timed_id_seq MINVALUE 1/,
		'offsets below 1 are refused');
};

subtest 'a row that cannot be written' => sub {
	$sluice->sql("SELECT sluice.create_stream('proto', message_type => 'ingestion.DataPayload')");
	$sluice->sql(q{INSERT INTO proto (received_at, device_id, "timestamp") SELECT now(), 'd', CASE WHEN n = 4 THEN 'infinity' ELSE now() END FROM generate_series(1, 6) n});
	$client->open_call('p', stream => 'proto', subscription => 'proto', create => 1);
	is_deeply($client->collect('p', 3, ack => 1, bare => 1)->{offsets}, [ 1 .. 3 ], 'those before it come');
	my $end = $client->next_event('p', 'rows');
	is("$end->{status} $end->{reason}", 'FAILED_PRECONDITION NOT_SUBSCRIBABLE', 'then the call ends');
	like($end->{details}, qr/^row 4 cannot be written: .*timestamp out of range in field "timestamp"/, '... and says which row, and why');
	$client->open_call('j', stream => 'proto', encoding => 'ENCODING_JSON');
	is_deeply($client->collect('j', 6)->{offsets}, [ 1 .. 6 ], 'JSON can have it');
	$client->step('cancel', 'j');
	is(position('proto'), 3, 'what was acknowledged before is kept');
	$sluice->sql(q{SELECT sluice.seek('proto', "offset" => 4)});
	$client->open_call('p', subscription => 'proto');
	is_deeply($client->collect('p', 6, bare => 1)->{offsets}, [ 5, 6 ], 'seek goes on behind it');
	is($client->finish('p'), 'OK', 'it leaves');
};

subtest 'a schema that is renamed' => sub {
	$sluice->sql('CREATE SCHEMA s; CREATE TABLE s.t (id bigserial PRIMARY KEY, v text)');
	$sluice->sql("SELECT sluice.create_stream('renamed', 's.t', payload_format => 'json', offset_column => 'id')");
	$sluice->sql("INSERT INTO s.t (v) VALUES ('right')");
	$client->open_call('r', stream => 'renamed');
	is_deeply($client->collect('r', 1)->{payloads}, ['{"id":1,"v":"right"}'], 'a row');
	$sluice->sql("ALTER SCHEMA s RENAME TO s2; CREATE SCHEMA s; CREATE TABLE s.t (id bigserial PRIMARY KEY, v text); INSERT INTO s.t VALUES (2, 'wrong')");
	$sluice->sql("INSERT INTO s2.t (v) VALUES ('right, too')");
	is_deeply($client->collect('r', 2)->{payloads}, ['{"id":2,"v":"right, too"}'], 'the next row of the same table, not of the one that has its name now');
	$client->step('cancel', 'r');
};

subtest 'children by INHERITS' => sub {
	$sluice->sql('CREATE TABLE parent (id bigserial, v int)');
	$sluice->sql("SELECT sluice.create_stream('parent', 'parent', payload_format => 'json', offset_column => 'id')");
	$client->open_call('a', stream => 'parent');
	$sluice->sql('BEGIN; CREATE TABLE child () INHERITS (parent); INSERT INTO child (v) VALUES (1); COMMIT');
	is($client->ending('a'), 'FAILED_PRECONDITION NOT_SUBSCRIBABLE', 'end the call');
	my ($status, undef, $error) = $sluice->try_sql("SELECT sluice.create_subscription('family', 'parent')");
	like($error, qr/ERROR:  rows of stream "parent" cannot be ordered: relation "parent" has children by INHERITS, whose rows cannot be ordered: make it a partitioned table/,
		'and are refused');
};

done_testing();
