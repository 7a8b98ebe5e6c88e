# Publish: what a producer is answered, and what its account shows for it.
#
# Each subtest is a rule of the protocol (proto/sluice.proto), played by a bare
# client step by step; after each of them the account of every producer is held
# against the rows, the dead letters and the gaps.
#
# suites: beside others
use strict;
use warnings;

use Compress::Zlib qw(crc32);
use Publisher;
use Sluice qw(wait_until);
use Test::More;

my $sluice = Sluice->new('main', conf => "sluice.max_record_size = '256kB'\n");
my $client = Publisher->new($sluice);
my $largest = 256 * 1024;

# The callbacks of a subtest get a stream of its name.
sub with_stream
{
	my ($name, $title, $test, %settings) = @_;
	subtest $title => sub {
		Publisher::create_items($sluice, $name, %settings);
		$test->($name);
		Publisher::balance_ok($sluice, $name, $title);
	};
}

sub account { return Publisher::account($sluice, @_) }
sub rows { my ($stream) = @_; return $sluice->sql("SELECT string_agg(n::text, ' ' ORDER BY id) FROM $stream") }
sub row_of { my ($stream, $producer) = @_; return $sluice->sql("SELECT p.* FROM sluice.producers p JOIN sluice.streams s ON s.id = p.stream WHERE s.name = '$stream' AND producer = '@{[ Publisher::id($producer) ]}'") }
sub uid_of { my ($stream) = @_; return $sluice->sql("SELECT replace(uid::text, '-', '') FROM sluice.streams WHERE name = '$stream'") }
sub letters { my ($stream) = @_; return $sluice->sql("SELECT coalesce(string_agg(sequence || ' ' || sqlstate, ', ' ORDER BY id), '') FROM sluice.dead_letters WHERE stream_name = '$stream'") }
sub gaps { my ($stream) = @_; return $sluice->sql("SELECT coalesce(string_agg(format('%s %s-%s %s', reason, first, last, dropped), ', ' ORDER BY g.id), '') FROM sluice.gaps g JOIN sluice.streams s ON s.id = g.stream WHERE s.name = '$stream'") }

with_stream('first', 'the first open', sub {
	my ($stream) = @_;
	my $opened = $client->open_call('a', producer => 'p', stream => $stream, client => 'test 1.0');
	is("$opened->{last_sequence} $opened->{last_crc} $opened->{last_is_gap}", '0 0 0', 'nothing is settled yet');
	is($opened->{stream_uid}, uid_of($stream), 'the stream is named by its uid');
	is_deeply([ @$opened{qw(dead more_dead)} ], [ [], JSON::PP::false ], 'no dead letters');
	is("$opened->{record_bytes} $opened->{batch_bytes}", "$largest $largest", 'the limits are those of the settings');
	cmp_ok($opened->{batch_records}, '>=', 1000, 'a batch may have many records');
	is($sluice->sql("SELECT epoch = $opened->{epoch} AND epoch > 0 AND nonce = 1 FROM sluice.producers"), 't', 'epoch and nonce are in its row');
	is(account($stream, 'p'), '0: 0, 0, 0, 0, 0, 0; 0', 'its account is open');
	is($client->finish('a'), 'OK', 'a call without batches ends well');
	$client->open_call('d', producer => 'p');
	is($client->finish('d'), 'OK', 'without a name it is the default stream');
	is($client->open_call('n', producer => 'p', stream => 'none')->{status}, 'NOT_FOUND', 'there is no such stream');
	is($sluice->sql('SELECT count(*) FROM sluice.producers'), 1, '... and no row for it');
});

with_stream('acks', 'acknowledgements', sub {
	my ($stream) = @_;
	$client->open_call('a', producer => 'p', stream => $stream);
	is_deeply($client->publish('a', from => 1, to => 3), {}, 'a batch is acknowledged, nothing is an exception');
	is(account($stream, 'p'), '3: 3, 0, 0, 0, 0, 0; 0', 'committed when it is acknowledged');
	$client->step('report', 'a', buffered_records => 5, buffered_bytes => 100, oldest_age => 20, clock => 1);
	is_deeply($client->publish('a', from => 4, to => 4), {}, 'a report in between is no batch');
	is($sluice->sql("SELECT bool_and(n = sequence AND producer = '@{[ Publisher::id('p') ]}') FROM $stream"), 't', 'producer and sequence are in their columns');
	# One for each commit: what waits for the same one is acknowledged together.
	$sluice->sql("SELECT sluice.hold('$stream', 'test')");
	$client->batch('a', from => 5, to => 2004, by => 10);
	ok($sluice->wait_sql('SELECT sum(records_in_flight) FROM sluice.stat_workers', '2000'), 'many batches are on their way');
	$sluice->sql("SELECT sluice.resume('$stream')");
	is_deeply($client->settled('a', 2004), {}, '... and settled');
	is($client->{acks}, 1, '... by one commit, of which one message tells');
	$client->batch('a', from => 2005, to => 3000);
	$client->half_close('a');
	is_deeply($client->settled('a', 3000), {}, 'what was sent before the half-close is acknowledged');
	is($client->ending('a'), 'OK', '... and the call ends well');
	my $opened = $client->open_call('b', producer => 'p', stream => $stream);
	is($opened->{last_sequence}, 3000, 'the next call is told how far it was');
	is($opened->{last_crc}, crc32('{"n": 3000}'), '... and the CRC of the last payload');
	is_deeply($client->publish('b', records => [ [ 3001, '{"n": 3001}' ] ], gaps => [ [ 3002, 3005, 'full' ] ]), {}, 'records and gaps in one batch');
	$opened = $client->open_call('c', producer => 'p', stream => $stream);
	is("$opened->{last_sequence} $opened->{last_crc} $opened->{last_is_gap}", '3005 0 1', 'the last one is a gap');
});

with_stream('bad', 'exceptions', sub {
	my ($stream) = @_;
	$sluice->sql(<<"END");
CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS \$\$ BEGIN RETURN CASE WHEN NEW.n % 10 = 7 THEN NULL ELSE NEW END; END \$\$;
CREATE TRIGGER swallow BEFORE INSERT ON $stream FOR EACH ROW EXECUTE FUNCTION swallow();
END
	$client->open_call('a', producer => 'p', stream => $stream);
	my @records = map { [ $_, "{\"n\": $_}" ] } 1 .. 12;
	$records[2][1]  = '{"n": -1}';
	$records[4][1]  = 'nonsense';
	$records[5][2]  = 'k';
	$records[8][2]  = 'k';
	$records[11][1] = '';
	is_deeply($client->publish('a', records => \@records),
		{ 3 => 'dead_lettered', 5 => 'dead_lettered', 7 => 'filtered', 9 => 'duplicate', 12 => 'dead_lettered' }, 'each is told');
	is(account($stream, 'p'), '12: 7, 1, 3, 1, 0, 0; 0', '... and counted as what it is');
	is(rows($stream), '1 2 4 6 8 10 11', 'the others are stored in order');
	like(letters($stream), qr/^3 23514, 5 22\w+, 12 22\w+$/, 'the dead letters have their sequences');
	is($client->finish('a'), 'OK', 'the call goes on');
});

with_stream('keyed', 'records with keys', sub {
	my ($stream) = @_;
	$client->open_call('a', producer => 'p', stream => $stream);
	is($sluice->sql("SELECT sluice.ingest('$stream', 'sql', '{\"n\": 5}'::bytea)"), 'stored', 'a key that came by SQL');
	is_deeply($client->publish('a', records => [ [ 1, '{"n": 1}', 'k1' ], [ 2, '{"n": 5}', 'sql' ], [ 3, '{"n": -3}', 'bad' ], [ 4, '{"n": 4}' ] ]),
		{ 2 => 'duplicate', 3 => 'dead_lettered' }, 'a known key stores nothing');
	$client->open_call('b', producer => 'q', stream => $stream);
	my $told = $client->publish('b', records => [ [ 1, '{"n": 1}', 'k1' ], [ 2, '{"n": 9}', 'k1' ], [ 3, '{"n": -3}', 'bad' ], [ 4, '{"n": 4}', 'bad' ] ]);
	is_deeply([ @$told{1, 2} ], [ 'duplicate', 'duplicate' ], 'also where it came from another producer, or with another payload');
	like($told->{3}, qr/^(duplicate|dead_lettered)$/, 'the key of a dead letter writes no second one');
	is($told->{4}, undef, '... but another payload is a new attempt');
	is(account($stream, 'q'), '4: 1, 3, 0, 0, 0, 0; 0', 'what came under a known key is a duplicate in the account, whatever became of the first');
	is(account($stream, 'p'), '4: 2, 1, 1, 0, 0, 0; 0', '... of each producer');
	is($sluice->sql("SELECT count(*) FROM $stream WHERE producer IS NULL"), 1, 'the row of SQL has no producer');
});

with_stream('conflict', 'keys that come with another payload, as dead letters', sub {
	my ($stream) = @_;
	$client->open_call('a', producer => 'p', stream => $stream);
	is_deeply($client->publish('a', records => [ [ 1, '{"n": 1}', 'k' ], [ 2, '{"n": 2}', 'k' ] ]), { 2 => 'dead_lettered' }, 'in one batch');
	is_deeply($client->publish('a', records => [ [ 3, '{"n": 3}', 'k' ], [ 4, '{"n": 1}', 'k' ] ]), { 3 => 'dead_lettered', 4 => 'duplicate' }, 'later');
	is(account($stream, 'p'), '4: 1, 1, 2, 0, 0, 0; 0', 'counted as what was written');
}, key_conflict => "'dead_letter'");

with_stream('verdicts', 'a client that missed its answers', sub {
	my ($stream) = @_;
	$client->open_call('a', producer => 'p', stream => $stream);
	is_deeply($client->publish('a', records => [ [ 1, '{"n": -1}' ], [ 2, '{"n": 2}' ], [ 3, '{"n": -3}' ], [ 4, '{"n": -4}' ], [ 5, '{"n": 5}' ] ]),
		{ map { $_ => 'dead_lettered' } 1, 3, 4 }, 'three of five are refused');
	$client->cut('a');
	my $opened = $client->open_call('b', producer => 'p', stream => $stream, acked_through => 1);
	is_deeply([ @$opened{qw(last_sequence dead more_dead)} ], [ 5, [ 3, 4 ], JSON::PP::false ], 'the dead ones above acked_through are told');
	$opened = $client->open_call('c', producer => 'p', stream => $stream, acked_through => 5);
	is_deeply($opened->{dead}, [], 'none are above');
	is(scalar(keys %{ $client->publish('c', from => 6, to => 1205, payload => '{{"n": -{0}}}') }), 1200, 'more than fit');
	$opened = $client->open_call('d', producer => 'p', stream => $stream);
	is_deeply([ scalar @{ $opened->{dead} }, $opened->{dead}[0], $opened->{dead}[-1], $opened->{more_dead} ],
		[ 1000, 1, 1002, JSON::PP::true ], 'the first thousand, and that there are more');
	$opened = $client->open_call('e', producer => 'p', stream => $stream, acked_through => 205);
	is_deeply([ scalar @{ $opened->{dead} }, $opened->{more_dead} ], [ 1000, JSON::PP::false ], 'a thousand fit');
});

with_stream('fenced', 'copies of a buffer', sub {
	my ($stream) = @_;
	$client->open_call('a', producer => 'p', stream => $stream, nonces => [ 11 ]);
	is_deeply($client->publish('a', from => 1, to => 3), {}, 'the original');
	is($client->open_call('b', producer => 'p', stream => $stream, nonces => [ 11, 22 ])->{last_sequence}, 3, 'its copy, or its next run, takes over');
	my $before = row_of($stream, 'p');
	$client->batch('a', from => 4, to => 4);
	is($client->ending('a'), 'FAILED_PRECONDITION FENCED', 'what the old call sends is refused');
	is(row_of($stream, 'p'), $before, '... and changes nothing');
	my $refused = $client->open_call('a', producer => 'p', stream => $stream, nonces => [ 11 ]);
	is("$refused->{status} $refused->{reason} $refused->{last_sequence}", 'FAILED_PRECONDITION FENCED 3', 'a call of the original is refused, with the last sequence');
	$refused = $client->open_call('a', producer => 'p', stream => $stream, nonces => [ 11, 33 ]);
	is("$refused->{status} $refused->{reason}", 'FAILED_PRECONDITION FENCED', 'also after its restart');
	is(row_of($stream, 'p'), $before, '... and changes nothing');
	is_deeply($client->publish('b', from => 4, to => 4), {}, 'the copy goes on');
	# Runs that were never opened, and a server that went back to an older one.
	is($client->open_call('c', producer => 'p', stream => $stream, nonces => [ 11, 22, 44, 55 ])->{last_sequence}, 4, 'a run after one that never came');
	$sluice->sql("UPDATE sluice.producers SET nonce = 22 WHERE nonce = 55");
	is($client->open_call('d', producer => 'p', stream => $stream, nonces => [ 11, 22, 44, 55 ])->{last_sequence}, 4, 'a server that knows an earlier run only');
	is($client->open_call('e', producer => 'p', stream => $stream, nonces => [ 55, 100 .. 162 ])->{last_sequence}, 4, '64 runs');
	is($client->open_call('f', producer => 'p', stream => $stream, nonces => [ 162, 0xFFFFFFFFFFFFFFFF ])->{last_sequence}, 4, 'the largest nonce');
	is_deeply($client->publish('f', from => 5, to => 5), {}, '... stores');
});

with_stream('forked', 'what a producer cannot have sent', sub {
	my ($stream) = @_;
	$client->open_call('a', producer => 'p', stream => $stream);
	is_deeply($client->publish('a', from => 1, to => 5), {}, 'five records');
	my $before = row_of($stream, 'p');
	my $refused = $client->open_call('b', producer => 'p', stream => $stream, nonces => [ 1, 2 ], sent => 4, acked_through => 2);
	is("$refused->{status} $refused->{reason} $refused->{last_sequence}", 'FAILED_PRECONDITION FORKED 5', 'the server has one that this buffer has not sent');
	is(row_of($stream, 'p'), $before, '... which changes nothing');
	is_deeply($client->publish('a', from => 6, to => 6), {}, '... for the call that is open either');
	is($client->open_call('c', producer => 'p', stream => $stream, nonces => [ 1, 2 ], sent => 6)->{last_sequence}, 6, 'as far as it has sent is right');
	is($client->open_call('e', producer => 'p', stream => $stream, nonces => [ 3 ], sent => 0)->{reason}, 'FENCED', 'a fence comes first');
});

with_stream('behind', 'a server that forgot commits', sub {
	my ($stream) = @_;
	$client->open_call('a', producer => 'p', stream => $stream);
	is_deeply($client->publish('a', from => 1, to => 3), {}, 'three are stored');
	is($client->open_call('b', producer => 'p', stream => $stream, acked_through => 5)->{last_sequence}, 3, 'two that were acknowledged are not there');
	is_deeply($client->publish('b', records => [ [ 6, '{"n": 6}' ] ], gaps => [ [ 4, 5, 'server_lost' ] ]), {}, 'the producer declares them');
	is(account($stream, 'p'), '6: 4, 0, 0, 0, 0, 2; 0', '... as lost');
	is($client->open_call('c', producer => 'q', stream => $stream, acked_through => 100)->{last_sequence}, 0, 'a server that knows nothing of it');
	is_deeply($client->publish('c', records => [ [ 101, '{"n": 101}' ] ], gaps => [ [ 1, 100, 'server_lost' ] ]), {}, '... takes what is held');
	is(account($stream, 'q'), '101: 1, 0, 0, 0, 0, 100; 0', '... and the rest is lost');
});

subtest 'a stream of the same name that is another one' => sub {
	Publisher::create_items($sluice, 'replaced');
	Publisher::create_items($sluice, 'neighbor');
	my $old = $client->open_call('a', producer => 'p', stream => 'replaced');
	$client->open_call('n', producer => 'p', stream => 'neighbor');
	is_deeply($client->publish('a', from => 1, to => 3), {}, 'stored in the old one');
	is_deeply($client->publish('n', from => 1, to => 3, gaps => [ [ 4, 4, 'full' ] ]), {}, 'and in another one');
	$client->batch('a', records => [ [ 4, '{"n": -4}' ] ], gaps => [ [ 5, 5, 'full' ] ]);
	$client->settled('a', 5);
	my $id = $sluice->sql("SELECT id FROM sluice.streams WHERE name = 'replaced'");
	$sluice->sql(<<'END');
SELECT sluice.drop_stream('replaced');
SELECT sluice.create_stream('replaced', 'replaced', envelope_columns => '{"producer": "producer", "sequence": "sequence"}');
END
	is($sluice->sql("SELECT (SELECT count(*) FROM sluice.producers WHERE stream = $id) + (SELECT count(*) FROM sluice.gaps WHERE stream = $id)"), 0,
		'producers and gaps go with their stream');
	is(account('neighbor', 'p'), '4: 3, 0, 0, 0, 1, 0; 0', '... and those of others stay');
	$client->batch('a', from => 6, to => 6);
	like($client->ending('a'), qr/^NOT_FOUND|STREAM_REPLACED$/, 'the call that was open stores nothing in the new stream');
	is($sluice->sql('SELECT count(*) FROM replaced'), 3, '... indeed');
	my $refused = $client->open_call('b', producer => 'p', stream => 'replaced', acked_through => 3, stream_uid => $old->{stream_uid});
	is("$refused->{status} $refused->{reason}", 'FAILED_PRECONDITION STREAM_REPLACED', 'who knows the old one is told');
	is(account('replaced', 'p'), '', '... and no row is made');
	my $opened = $client->open_call('c', producer => 'p', stream => 'replaced', acked_through => 3, stream_uid => uid_of('replaced'));
	is($opened->{last_sequence}, 0, 'the new one begins anew');
	is_deeply($opened->{dead}, [], '... without the dead letters of the old one');
	is_deeply($client->publish('c', records => [ [ 4, '{"n": 44}' ] ], gaps => [ [ 1, 3, 'previous_stream' ] ]), {}, 'what the old one has is declared');
	is(account('replaced', 'p'), '4: 1, 0, 0, 0, 0, 3; 0', '... as lost to the new one');
	is(rows('replaced'), '1 2 3 44', 'the table has both');
};

with_stream('superseded', 'an old call of a producer', sub {
	my ($stream) = @_;
	my %epochs;
	$epochs{ $client->open_call('a', producer => 'p', stream => $stream)->{epoch} } = 1;
	is_deeply($client->publish('a', from => 1, to => 2), {}, 'the first call stores');
	$epochs{ $client->open_call('b', producer => 'p', stream => $stream)->{epoch} } = 1;
	$client->batch('a', from => 3, to => 3);
	is($client->ending('a'), 'ABORTED SUPERSEDED', '... until a newer one is opened');
	is_deeply($client->publish('b', from => 3, to => 3, payload => '{{"n": 33}}'), {}, 'which stores');
	is(rows($stream), '1 2 33', 'what the old call sent is nowhere');
	# From the locked row, never from memory.
	$sluice->sql("UPDATE sluice.producers SET epoch = epoch + 1 WHERE last_sequence = 3");
	$client->batch('b', from => 4, to => 4);
	is($client->ending('b'), 'ABORTED SUPERSEDED', 'the epoch is compared with the row as it is');
	$epochs{ $client->open_call('c', producer => 'p', stream => $stream)->{epoch} } = 1;
	$sluice->sql("UPDATE sluice.producers SET last_sequence = 5, lost = 2 WHERE last_sequence = 3");
	$sluice->sql("INSERT INTO sluice.gaps (stream, producer, reason, first, last, dropped) SELECT stream, producer, 'damaged', 4, 5, 2 FROM sluice.producers WHERE last_sequence = 5");
	is_deeply($client->publish('c', from => 4, to => 6), {}, 'so is the last sequence');
	is(account($stream, 'p'), '6: 4, 0, 0, 0, 0, 2; 2', '... what it has passed is skipped');
	$epochs{ $client->open_call("d$_", producer => 'p', stream => $stream)->{epoch} } = 1 foreach 1 .. 5;
	is(scalar(keys %epochs), 8, 'no epoch came twice');
});

# Each on a call of its own; nothing of the message is stored.
with_stream('malformed', 'messages out of order', sub {
	my ($stream) = @_;
	my $call = 0;
	my $refuses = sub {
		my ($what, $reason, %batch) = @_;
		my $name = 'm' . ++$call;
		$client->open_call($name, producer => 'p', stream => $stream);
		$client->batch($name, %batch);
		is($client->ending($name, 10), "INVALID_ARGUMENT $reason", $what);
	};
	$client->open_call('a', producer => 'p', stream => $stream);
	is_deeply($client->publish('a', from => 1, to => 3), {}, 'three records');
	my $before = row_of($stream, 'p');
	my @four = (4, '{"n": 4}');
	my @six  = (6, '{"n": 6}');
	$refuses->('a hole in front', 'HOLE', records => [ [ 5, '{"n": 5}' ] ]);
	$refuses->('a hole inside', 'HOLE', records => [ \@four, \@six ]);
	$refuses->('a gap with a hole in front', 'HOLE', gaps => [ [ 5, 6, 'full' ] ]);
	$refuses->('a hole between record and gap', 'HOLE', records => [ \@four ], gaps => [ [ 6, 7, 'full' ] ]);
	$refuses->('a sequence twice', 'HOLE', records => [ \@four, \@four ]);
	$refuses->('a gap over a record', 'HOLE', records => [ \@four, [ 5, '{"n": 5}' ] ], gaps => [ [ 5, 6, 'full' ] ]);
	$refuses->('gaps over each other', 'HOLE', gaps => [ [ 4, 6, 'full' ], [ 6, 7, 'newest' ] ]);
	my $descending = 'm' . ++$call;
	$client->open_call($descending, producer => 'p', stream => $stream);
	$client->batch($descending, records => [ [ 5, '{"n": 5}' ], \@four ]);
	like($client->ending($descending, 10), qr/^INVALID_ARGUMENT (HOLE|MALFORMED)$/, 'descending sequences');
	like(do { $client->open_call('z', producer => 'p', stream => $stream); $client->batch('z', records => [ [ 0, '{"n": 0}' ] ]); $client->ending('z', 10) },
		qr/^INVALID_ARGUMENT (HOLE|MALFORMED)$/, 'sequence 0');
	$refuses->('a batch of nothing', 'MALFORMED', records => []);
	$refuses->('a gap for no reason', 'MALFORMED', gaps => [ [ 4, 5, 0 ] ]);
	$refuses->('a gap for a reason of the future', 'MALFORMED', gaps => [ [ 4, 5, 99 ] ]);
	$refuses->('a gap that ends before it begins', 'MALFORMED', gaps => [ [ 4, 3, 'full' ] ]);
	is(account($stream, 'p'), '3: 3, 0, 0, 0, 0, 0; 0', 'nothing of all that is stored');

	$client->open_call('r', producer => 'p', stream => $stream);
	is_deeply($client->publish('r', from => 2, to => 4), {}, 'the first batch of a call may repeat what is settled');
	$client->batch('r', from => 4, to => 5);
	is($client->ending('r', 10), 'INVALID_ARGUMENT HOLE', '... the second one may not');

	$client->step('call', 'n', address => $sluice->address);
	$client->batch('n', from => 1, to => 1);
	is($client->ending('n', 10), 'INVALID_ARGUMENT MALFORMED', 'a batch before Open');
	$client->begin('o', producer => 'p', stream => $stream);
	$client->batch('o', from => 5, to => 5);
	my $first = $client->event('o');
	# The server need not notice that Opened was not waited for.
	if (!$first->{opened})
	{
		is("$first->{status} $first->{reason}", 'INVALID_ARGUMENT MALFORMED', 'a batch before Opened');
		$client->open_call('o', producer => 'p', stream => $stream);
		$client->batch('o', from => 5, to => 5);
	}
	is_deeply($client->settled('o', 5), {}, 'a batch that did not wait for Opened is taken or refused');
	$client->step('again', 'o', open => { producer => Publisher::id('p'), stream => $stream, nonces => [ 1 ], sent => 9 });
	is($client->ending('o', 10), 'INVALID_ARGUMENT MALFORMED', 'a second Open');
	foreach my $case ([ 'bytes that are no message', '0affffffff' ], [ 'an Open in half', '0a1012' ], [ 'nothing', '' ])
	{
		$client->step('call', 'x', address => $sluice->address);
		$client->step('raw', 'x', hex => $case->[1]);
		is($client->ending('x', 10), 'INVALID_ARGUMENT MALFORMED', "$case->[0] before Open");
		$client->open_call('y', producer => 'p', stream => $stream);
		$client->step('raw', 'y', hex => $case->[1]);
		like($client->ending('y', $case->[1] eq '' ? 0.3 : 10), $case->[1] eq '' ? qr/silence/ : qr/^INVALID_ARGUMENT MALFORMED$/, "$case->[0] after it");
	}
	foreach my $case (
		[ 'a producer_id of 15 bytes', producer => '0102030405060708090a0b0c0d0e0f', nonces => [1] ],
		[ 'no producer_id', producer => '', nonces => [1] ],
		[ 'no nonce', nonces => [] ],
		[ '65 nonces', nonces => [ 1 .. 65 ] ],
		[ 'a stream_uid of 4 bytes', stream_uid => '01020304', nonces => [1] ])
	{
		my ($what, %open) = @$case;
		$client->step('open', 'v', address => $sluice->address, open => { producer => Publisher::id('v'), stream => $stream, sent => 9, %open });
		is($client->ending('v', 10), 'INVALID_ARGUMENT MALFORMED', $what);
	}
	is($sluice->sql("SELECT count(*) FROM sluice.ledger WHERE name = '$stream'"), 1, 'no row for any of them');
});

with_stream('large', 'what is too large', sub {
	my ($stream) = @_;
	# Messages that are far over the limit are refused by gRPC itself.
	my $too_large = qr/^(OUT_OF_RANGE TOO_LARGE|RESOURCE_EXHAUSTED)$/;
	my $opened = $client->open_call('a', producer => 'p', stream => $stream);
	my $long = sub { my ($n, $size) = @_; return sprintf('{"n": %d%s}', $n, ' ' x ($size - 7 - length $n)) };
	is(length $long->(2, $largest), $largest, 'a payload as long as a record may be');
	is_deeply($client->publish('a', records => [ [ 1, '{"n": 1}' ] ]), {}, 'a record');
	is_deeply($client->publish('a', records => [ [ 2, $long->(2, $opened->{record_bytes}) ] ]), {}, 'one as large as the limit says, alone in its batch');
	$client->batch('a', records => [ [ 3, $long->(3, $opened->{record_bytes} + 1) ] ]);
	is($client->ending('a'), 'OUT_OF_RANGE TOO_LARGE', 'one byte more');
	$client->open_call('b', producer => 'p', stream => $stream);
	$client->batch('b', records => [ [ 3, $long->(3, $opened->{record_bytes} - 1), 'kk' ] ]);
	is($client->ending('b'), 'OUT_OF_RANGE TOO_LARGE', 'the key counts');
	$client->open_call('c', producer => 'p', stream => $stream);
	$client->batch('c', records => [ [ 3, $long->(3, 20 * $largest) ] ]);
	like($client->ending('c'), $too_large, 'far more');
	$client->open_call('d', producer => 'p', stream => $stream);
	is_deeply($client->publish('d', records => [ [ 4, '{"n": 4}' ] ], gaps => [ [ 3, 3, 'too_large' ] ]), {}, 'a gap in its place');
	is(account($stream, 'p'), '4: 3, 0, 0, 0, 1, 0; 0', '... is the producer\'s own');
	my $most = $opened->{batch_records};
	is_deeply($client->publish('d', gaps => [ map { [ $_, $_, 'compacted' ] } 5 .. 4 + $most ]), {}, 'as many entries as a batch may have');
	is_deeply($client->publish('d', records => [ map { [ $_, $long->($_, int($opened->{batch_bytes} / 4) - 40) ] } 5 + $most .. 8 + $most ]), {}, 'nearly as many bytes');
	$client->open_call('e', producer => 'q', stream => $stream);
	$client->batch('e', gaps => [ map { [ $_, $_, 'compacted' ] } 1 .. $most ], records => [ [ $most + 1, '{}' ] ]);
	is($client->ending('e'), 'OUT_OF_RANGE TOO_LARGE', 'one more than a batch may have');
	$client->open_call('f', producer => 'q', stream => $stream);
	$client->batch('f', records => [ map { [ $_, $long->($_, int($opened->{batch_bytes} / 2)) ] } 1 .. 8 ]);
	like($client->ending('f'), $too_large, 'more bytes than a batch may have');
	is(account($stream, 'q'), '0: 0, 0, 0, 0, 0, 0; 0', 'none of them is taken');
});

with_stream('resent', 'records that come again', sub {
	my ($stream) = @_;
	$client->open_call('a', producer => 'p', stream => $stream);
	is_deeply($client->publish('a', records => [ [ 1, '{"n": 1}', 'k1' ], [ 2, '{"n": -2}' ], [ 3, '{"n": 3}' ] ]), { 2 => 'dead_lettered' }, 'three');
	$client->open_call('b', producer => 'p', stream => $stream);
	is_deeply($client->publish('b', records => [ [ 1, '{"n": 1}', 'k1' ], [ 2, '{"n": -2}' ], [ 3, '{"n": 3}' ], [ 4, '{"n": 4}' ] ]), {},
		'three of four are settled already: they have no verdict here');
	is(account($stream, 'p'), '4: 3, 0, 1, 0, 0, 0; 3', 'they are counted apart');
	is(letters($stream), '2 23514', 'no second dead letter');
	$client->open_call('c', producer => 'p', stream => $stream);
	is_deeply($client->publish('c', from => 1, to => 3, key => 'new{0}'), {}, 'a batch of nothing new is acknowledged');
	is(account($stream, 'p'), '4: 3, 0, 1, 0, 0, 0; 6', '... and stores nothing');
	is($sluice->sql('SELECT count(*) FROM sluice.idempotency_keys WHERE stream = (SELECT id FROM sluice.streams WHERE name = \'resent\')'), 1,
		'keys are not looked at');
	is_deeply($client->publish('c', from => 4, to => 6), {}, 'it goes on behind it');
	is(rows($stream), '1 3 4 5 6', 'each is stored once');
});

with_stream('gaps', 'gaps', sub {
	my ($stream) = @_;
	my @reasons = qw(full newest compacted too_large lost_tail server_lost damaged previous_stream);
	$client->open_call('a', producer => 'p', stream => $stream);
	foreach my $i (0 .. $#reasons)
	{
		is_deeply($client->publish('a', gaps => [ [ 10 * $i + 1, 10 * $i + 10, $reasons[$i] ] ]), {}, "a gap: $reasons[$i]");
	}
	is(account($stream, 'p'), '80: 0, 0, 0, 0, 50, 30; 0', 'the producer\'s wishes are declared, the others lost');
	is(gaps($stream), join(', ', map { "$reasons[$_] @{[ 10 * $_ + 1 ]}-@{[ 10 * $_ + 10 ]} 10" } 0 .. 7), 'each is a row');
	$sluice->sql("DELETE FROM sluice.gaps");
	$sluice->sql("UPDATE sluice.producers SET declared = declared - 50, lost = lost - 30, last_sequence = 0 WHERE last_sequence = 80");

	$client->open_call('b', producer => 'p', stream => $stream);
	is_deeply($client->publish('b',
			records => [ map { [ 2 * $_, "{\"n\": $_}" ] } 1 .. 50 ], gaps => [ map { [ 2 * $_ - 1, 2 * $_ - 1, $_ == 25 ? 'full' : 'compacted' ] } 1 .. 50 ]),
		{}, 'every second record is gone');
	is(gaps($stream), 'compacted 1-99 49, full 49-49 1', 'one row for each reason of a transaction');
	is(account($stream, 'p'), '100: 50, 0, 0, 0, 50, 0; 0', 'all are counted');

	$client->open_call('c', producer => 'p', stream => $stream);
	is_deeply($client->publish('c', gaps => [ [ 90, 110, 'full' ] ]), {}, 'a gap of which the first half is settled');
	is_deeply($client->publish('c', gaps => [ [ 111, 1 << 40, 'lost_tail' ] ], records => [ [ (1 << 40) + 1, '{"n": 1}' ] ]), {}, 'a very long one');
	is(gaps($stream), 'compacted 1-99 49, full 49-49 1, full 101-110 10, lost_tail 111-' . (1 << 40) . ' ' . ((1 << 40) - 110), '... counts what was open');
	$client->open_call('d', producer => 'p', stream => $stream, sent => 1 << 41);
	is_deeply($client->publish('d', gaps => [ [ 5, 50, 'damaged' ] ]), {}, 'one that is settled as a whole');
	is(account($stream, 'p'), (1 << 40) + 1 . ': 51, 0, 0, 0, ' . ((1 << 40) - 50) . ', 0; 0', '... counts nothing');
	foreach my $to ('18446744073709551615', '9223372036854775807')
	{
		$client->open_call('e', producer => 'q', stream => $stream);
		# {batch {gaps {from: 1 to: ... reason: FULL}}}
		my $gap = '0801' . '10' . ($to eq '9223372036854775807' ? 'ffffffffffffffff7f' : 'ffffffffffffffffff01') . '1801';
		$client->step('raw', 'e', hex => sprintf '12%02x12%02x%s', length($gap) / 2 + 2, length($gap) / 2, $gap);
		like($client->ending('e'), qr/^INVALID_ARGUMENT (HOLE|MALFORMED)$/, "a gap to $to is refused");
	}
	is(account($stream, 'q'), '0: 0, 0, 0, 0, 0, 0; 0', '... and counts nothing');
});

with_stream('many', 'producers beside each other', sub {
	my ($stream) = @_;
	my @names = map { "p$_" } 1 .. 8;
	$client->open_call($_, producer => $_, stream => $stream) foreach @names;
	foreach my $from (map { 10 * $_ + 1 } 0 .. 9)
	{
		$client->batch($_, from => $from, to => $from + 9, payload => $_ eq 'p3' ? '{{"n": -{0}}}' : '{{"n": {0}}}') foreach @names;
	}
	is_deeply($client->settled($_, 100), $_ eq 'p3' ? { map { $_ => 'dead_lettered' } 1 .. 100 } : {}, "$_ is acknowledged") foreach @names;
	is(account($stream, 'p1'), '100: 100, 0, 0, 0, 0, 0; 0', 'the same sequences of several producers');
	is(account($stream, 'p3'), '100: 0, 0, 100, 0, 0, 0; 0', '... are told apart, also the dead ones');
	# One of the calls is superseded while it shares transactions with the others.
	$client->open_call('again', producer => 'p2', stream => $stream);
	$client->batch($_, from => 101, to => 110) foreach @names, 'again';
	is_deeply($client->settled($_, 110), {}, "$_ goes on") foreach 'again', grep { $_ ne 'p2' } @names;
	is($client->ending('p2'), 'ABORTED SUPERSEDED', 'the one that is superseded is told');
});

with_stream('retired', 'a producer that is retired', sub {
	my ($stream) = @_;
	$client->open_call('a', producer => 'p', stream => $stream);
	$client->open_call('q', producer => 'q', stream => $stream);
	is_deeply($client->publish('a', from => 1, to => 3), {}, 'three records');
	$sluice->sql("SELECT sluice.retire_producer('$stream', '@{[ Publisher::id('p') ]}')");
	is(account($stream, 'p'), '', 'it is not in the ledger');
	is($client->open_call('b', producer => 'p', stream => $stream)->{last_sequence}, 3, 'nothing is forgotten');
	is(account($stream, 'p'), '3: 3, 0, 0, 0, 0, 0; 0', 'an open brings it back');
});

with_stream('redriven', 'a dead letter with a sequence is redriven', sub {
	my ($stream) = @_;
	$client->open_call('a', producer => 'p', stream => $stream);
	is_deeply($client->publish('a', records => [ [ 1, '{"n": 1}' ], [ 2, '{"n": -2}' ], [ 3, '{"n": -3}', 'k' ], [ 4, '{"n": 4}' ] ]),
		{ 2 => 'dead_lettered', 3 => 'dead_lettered' }, 'two of four are dead letters');
	my $account = account($stream, 'p');
	$sluice->sql("ALTER TABLE $stream DROP CONSTRAINT possible");
	is($sluice->sql("SELECT string_agg(verdict, ' ') FROM sluice.redrive('$stream')"), 'stored stored', 'they are stored');
	is(account($stream, 'p'), $account, 'the account does not change');
	is($sluice->sql("SELECT string_agg(sequence || ' ' || n, ', ' ORDER BY id) FROM $stream WHERE producer = '@{[ Publisher::id('p') ]}'"),
		'1 1, 4 4, 2 -2, 3 -3', 'their rows have producer and sequence');
	is($client->open_call('b', producer => 'p', stream => $stream)->{last_sequence}, 4, 'the producer is where it was');
	is_deeply($client->publish('b', from => 5, to => 5), {}, '... and goes on');
	is($sluice->sql("SELECT count(*) FROM sluice.redrive('$stream')"), 0, 'none is redriven twice');
});

with_stream('snapshot', 'the row of a producer under a long transaction', sub {
	my ($stream) = @_;
	my $session = $sluice->node->background_psql('postgres');
	$session->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ');
	$session->query_safe("SELECT count(*) FROM $stream");
	foreach my $name ('p', 'q')
	{
		$client->open_call($name, producer => $name, stream => $stream);
	}
	foreach my $n (1 .. 400)
	{
		$client->publish($_, from => $n, to => $n) foreach 'p', 'q';
	}
	is(account($stream, 'p'), '400: 400, 0, 0, 0, 0, 0; 0', 'four hundred commits');
	my $by_index = 'SET enable_seqscan = off; SET enable_bitmapscan = off; SELECT string_agg(last_sequence::text, \' \') FROM sluice.producers';
	is($sluice->sql("$by_index WHERE stream = (SELECT id FROM sluice.streams WHERE name = '$stream')"), '400 400', 'each producer is in the index once');
	$session->query_safe('COMMIT');
	$session->quit;
	$sluice->sql('VACUUM sluice.producers');
	is_deeply($client->publish('p', from => 401, to => 401), {}, 'after VACUUM has moved its row');
	$sluice->sql('VACUUM FULL sluice.producers');
	is_deeply($client->publish('p', from => 402, to => 402), {}, 'after VACUUM FULL has moved it');
	is($sluice->sql("$by_index WHERE stream = (SELECT id FROM sluice.streams WHERE name = '$stream') AND producer = '@{[ Publisher::id('p') ]}'"), '402', 'it is there once');
});

with_stream('lost_answers', 'cuts in mid stream', sub {
	my ($stream) = @_;
	my ($last, $cuts) = (0, 0);
	while ($last < 3000)
	{
		my $opened = $client->open_call('a', producer => 'p', stream => $stream);
		cmp_ok($opened->{last_sequence}, '>=', $last, "opened tells all that was acknowledged") if $opened->{last_sequence} < $last;
		last if ($last = $opened->{last_sequence}) >= 3000;
		$client->batch('a', from => $last + 1, to => 3000, by => 30);
		# What is on its way may be stored or not.
		my $event = $cuts % 2 ? $client->event('a') : {};
		$last = $event->{ack}{through} if $event->{ack};
		$cuts % 3 == 0 ? $client->cancel('a') : $client->cut('a');
		last if ++$cuts > 200;
	}
	is(account($stream, 'p'), '3000: 3000, 0, 0, 0, 0, 0; 0', "3000 records over $cuts cuts: each once, none sent again");
});

is($sluice->sql('SELECT count(*) FROM sluice.producers WHERE last_sequence <> stored + duplicate + dead_lettered + filtered + declared + lost'), 0, 'all accounts add up');
done_testing();
