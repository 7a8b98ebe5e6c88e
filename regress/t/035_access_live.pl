# A client acts as its role: row security and privileges of columns hold for what it
# sends and takes, and what is revoked or altered holds for calls that are open.
#
# suites: beside others
use strict;
use warnings;

use JSON::PP ();
use POSIX ();
use PostgreSQL::Test::Utils;
use Sluice qw(wait_until);
use Test::More;
use Visitor;

my $sluice  = Sluice->new('main');
my $visitor = Visitor->new($sluice);
my $calls   = 0;

$sluice->sql(<<'END');
CREATE TABLE readings (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, device text, value integer, sender text, address text, secret text);
ALTER TABLE readings ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON readings USING (device = current_user) WITH CHECK (device = current_user);
CREATE TABLE plain (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, a integer, who text DEFAULT current_user);
SELECT sluice.create_stream('readings', 'readings', offset_column => 'id', envelope_columns => '{"role": "sender", "client_address": "address"}');
SELECT sluice.create_stream('plain', 'plain', offset_column => 'id');
CREATE ROLE anna LOGIN;
CREATE ROLE bert LOGIN;
CREATE ROLE carla LOGIN;
GRANT INSERT, SELECT ON readings, plain TO anna, bert, carla;
END

# A new call of IngestData as a role; its name.
sub open_as
{
	my ($user, $stream) = @_;
	my $call = 'call ' . ++$calls;
	$visitor->step('open', call => $call, stream => $stream, defined $user ? (user => $user) : ());
	return $call;
}

sub put { my ($call, $record, $key) = @_; return $visitor->step('put', call => $call, record => $record, defined $key ? (key => $key) : ()) }

# Until the server ends a call that does nothing.
sub ended { my ($call) = @_; return $visitor->step('end', call => $call) }

subtest 'rows are put in as the role' => sub {
	my ($anna, $bert, $nobody) = (open_as('anna', 'readings'), open_as('bert', 'readings'), open_as(undef, 'readings'));

	is_deeply(put($anna, { device => 'anna', value => 1 }), [ 'in', '' ], 'a row that the policy lets in');
	is_deeply(put($bert, { device => 'bert', value => 2 }), [ 'in', '' ], 'another role');
	is_deeply(put($anna, { device => 'bert', value => 3 }), [ 'dead', '' ], 'a row that it does not is a dead letter');
	is_deeply(put($anna, { device => 'anna', value => 4 }), [ 'in', '' ], 'and holds nobody up');
	is_deeply(put($nobody, { device => 'x', value => 5 }), [ 'in', '' ], 'who names no role acts as the owner, whom the policy does not bind');
	is($sluice->sql('SELECT device, value, sender FROM readings ORDER BY value'), "anna|1|anna\nbert|2|bert\nanna|4|anna\nx|5|postgres", 'the envelope keeps the role');
	is($sluice->sql(q{SELECT count(*) FROM readings WHERE address LIKE '127.0.0.1:%'}), 4, 'and the address');
	is($sluice->sql('SELECT sqlstate, message FROM sluice.dead_letters'), '42501|new row violates row-level security policy for table "readings"', 'the dead letter has the reason');
	$sluice->wait_sql('SELECT count(*), string_agg(role, \',\' ORDER BY role) FROM sluice.stat_connections', '3|anna,bert');
	is($sluice->sql('SELECT method, role FROM sluice.stat_connections ORDER BY role'), "IngestData|anna\nIngestData|bert\nIngestData|", 'sluice.stat_connections tells the roles');
	$visitor->step('close', call => $_) foreach $anna, $bert, $nobody;
};

subtest 'two roles at once' => sub {
	my $verdicts = $visitor->step('attempt', visits => [
			map { { target => $sluice->address, stream => 'plain', user => ($_ % 2 ? 'anna' : 'bert'), record => { a => $_ } } } 1 .. 40 ]);

	is(scalar(grep { $_->[0] eq 'in' } @$verdicts), 40, 'all are stored');
	is($sluice->sql('SELECT who, count(*) FROM plain WHERE a > 0 GROUP BY who ORDER BY who'), "anna|20\nbert|20", 'each as its role');
};

subtest 'a privilege that is revoked' => sub {
	my ($anna, $bert) = (open_as('anna', 'plain'), open_as('bert', 'plain'));

	is(put($_, { a => 100 })->[0], 'in', 'both are in') foreach $anna, $bert;
	$sluice->sql('REVOKE INSERT ON plain FROM anna');
	is_deeply(put($anna, { a => 101 }), [ 'PERMISSION_DENIED', 'permission denied for table plain: the role needs INSERT on it' ], 'the open call ends');
	is(put($bert, { a => 102 })->[0], 'in', 'that of another role goes on');
	is($sluice->sql('SELECT count(*) FROM plain WHERE a = 101'), 0, 'nothing was stored');
	is($sluice->sql("SELECT hold FROM sluice.stat_streams WHERE name = 'plain'"), '', 'the stream is not held');
	$sluice->sql('GRANT INSERT (a) ON plain TO anna');
	is_deeply(put(open_as('anna', 'plain'), { a => 103 }), [ 'PERMISSION_DENIED', 'permission denied for table plain: the role needs INSERT (who) on it' ],
		'all columns that the stream fills are wanted');
	$sluice->sql('GRANT INSERT (who) ON plain TO anna');
	is(put(open_as('anna', 'plain'), { a => 104, who => 'x' })->[0], 'in', 'and these are enough');
	$sluice->sql('CREATE SCHEMA inner_part; ALTER TABLE plain SET SCHEMA inner_part');
	is_deeply(put($bert, { a => 105 }), [ 'PERMISSION_DENIED', 'permission denied for schema inner_part' ], 'a schema that the role may not use');
	$sluice->sql('ALTER TABLE inner_part.plain SET SCHEMA public');
};

subtest 'a role that may no longer log in' => sub {
	my %alter = (
		'NOLOGIN'             => [ 'ALTER ROLE carla NOLOGIN', 'ALTER ROLE carla LOGIN', qr/^role "carla" is not permitted to log in$/, 'UNAUTHENTICATED' ],
		'CONNECT revoked'     => [ 'REVOKE CONNECT ON DATABASE postgres FROM PUBLIC', 'GRANT CONNECT ON DATABASE postgres TO PUBLIC',
			qr/^permission denied for database "postgres": the role needs CONNECT$/, 'PERMISSION_DENIED' ],
		'DROP ROLE'           => [ 'DROP OWNED BY carla; DROP ROLE carla', 'CREATE ROLE carla LOGIN; GRANT INSERT, SELECT ON readings, plain TO carla',
			qr/^role "carla" does not exist$/, 'UNAUTHENTICATED' ]);

	foreach my $what (sort keys %alter)
	{
		my ($do, $undo, $message, $status) = @{ $alter{$what} };
		my ($idle, $bert) = (open_as('carla', 'plain'), open_as('bert', 'plain'));
		is(put($_, { a => 200 })->[0], 'in', "$what: both are in") foreach $idle, $bert;
		$visitor->step('subscribe', call => "s $what", stream => 'plain', subscription => '', user => 'carla');
		is(ref $visitor->step('take', call => "s $what"), 'HASH', "$what: and a consumer");
		$sluice->sql($do);
		my $end = ended($idle);
		is($end->[0], $status, "$what: a call that does nothing ends");
		like($end->[1], $message, "$what: and tells why");
		is(ended("s $what")->[0], $status, "$what: so does the consumer's");
		is(put($bert, { a => 201 })->[0], 'in', "$what: others go on") if $what ne 'CONNECT revoked';
		$sluice->sql($undo);
	}
};

subtest 'a role that cannot be looked up' => sub {
	my ($calls, $offset) = (200, $sluice->log_offset);
	my $crowd = Visitor->new($sluice);
	my @ended;

	$sluice->sql('ALTER TABLE sluice.streams RENAME name TO title');
	my $begun = $sluice->sql('SELECT clock_timestamp()');
	$crowd->step('open', call => $_, stream => 'plain') foreach 1 .. $calls;
	ok(wait_until('all have ended', sub { @ended = @{ $crowd->step('ended') }; @ended == $calls }), 'without a role, and with a table that was tampered with');
	my $seconds = $sluice->sql("SELECT extract(epoch FROM clock_timestamp() - '$begun')");
	is(scalar(grep { $_->[0] eq 'UNAVAILABLE' && $_->[1] eq 'the role could not be looked up (SQLSTATE XX000), open the call again' } @ended), $calls, 'clients are told to come again');
	my $lines = () = $sluice->log_since($offset) =~ /could not look up the role of a client: /g;
	cmp_ok($lines, '>', 0, 'the log tells it');
	cmp_ok($lines, '<=', 20 * ($seconds + 2), "not for each of them: $lines lines in $seconds s");
	$sluice->sql('ALTER TABLE sluice.streams RENAME title TO name');
	$crowd->leave;
	is(put(open_as(undef, 'plain'), { a => 300 })->[0], 'in', 'and when it can be, they are let in');
};

subtest 'pg_hba.conf is read again' => sub {
	my ($anna, $bert) = (open_as('anna', 'readings'), open_as('bert', 'readings'));
	my $file = $sluice->node->data_dir . '/pg_hba.conf';
	my $before = slurp_file($file);

	is(put($_->[0], { device => $_->[1] })->[0], 'in', "$_->[1] is in") foreach [ $anna, 'anna' ], [ $bert, 'bert' ];
	open my $hba, '>', $file or die;
	print $hba "host all anna all reject\n$before";
	close $hba;
	$sluice->node->reload;
	is_deeply([ (ended($anna))[0][0] ], ['UNAUTHENTICATED'], 'the open call of a role that is rejected now ends');
	is(put($bert, { device => 'bert' })->[0], 'in', 'another one goes on');
	open $hba, '>', $file or die;
	print $hba "nonsense\n$before";
	close $hba;
	my $offset = $sluice->log_offset;
	$sluice->node->reload;
	ok(wait_until('the mistake is told', sub { $sluice->log_since($offset) =~ /gRPC clients are judged by what was read of ".*pg_hba.conf" before: it has mistakes/ }), 'a mistake is logged');
	is((ended(open_as('anna', 'readings')))->[0], 'UNAUTHENTICATED', 'and the rules before it stay');
	is(put(open_as('bert', 'readings'), { device => 'bert' })->[0], 'in', 'for all');
	open $hba, '>', $file or die;
	print $hba $before;
	close $hba;
	$sluice->node->reload;
	ok(wait_until('anna is let in', sub { put(open_as('anna', 'readings'), { device => 'anna' })->[0] eq 'in' }), 'a file that is right again is taken');
	open $hba, '>', $file or die;
	print $hba "host all bert all scram-sha-256\n$before";
	close $hba;
	$sluice->node->reload;
	is_deeply([ (ended($bert))[0][0] ], ['UNAUTHENTICATED'], 'the open call of a role that is asked for a password now, and never gave one, ends');
	open $hba, '>', $file or die;
	print $hba $before;
	close $hba;
	$sluice->node->reload;
	ok(wait_until('bert is let in', sub { put(open_as('bert', 'readings'), { device => 'bert' })->[0] eq 'in' }), 'and may come again when it is not');
};

subtest 'rows are taken as the role' => sub {
	$visitor->step('subscribe', call => 'of anna', stream => 'readings', subscription => 'annas', user => 'anna');
	$visitor->step('subscribe', call => 'of bert', stream => 'readings', subscription => '', user => 'bert');
	$visitor->step('subscribe', call => 'of carla', stream => 'readings', subscription => '', user => 'carla');
	is($visitor->step('take', call => "of $_")->{device}, $_, "$_ gets rows of its own first") foreach qw(anna bert);
	$sluice->sql("INSERT INTO readings (device, value) VALUES ('bert', 900), ('carla', 901), ('anna', 902), ('bert', 903), ('anna', 904), ('carla', 905)");
	foreach my $role (qw(anna bert carla))
	{
		my %devices;
		for (;;)
		{
			my $row = $visitor->step('take', call => "of $role");
			die "@$row" if ref $row eq 'ARRAY';
			$devices{ $row->{device} }++;
			last if ($row->{value} // 0) >= 903;
		}
		is_deeply([ keys %devices ], [$role], "$role gets no rows of others");
	}
	is($sluice->sql("SELECT owner FROM sluice.subscriptions WHERE name = 'annas'"), 'anna', 'a subscription belongs to who made it');
	my $refused = [ 'PERMISSION_DENIED', 'must be owner of subscription "annas"' ];
	$visitor->step('subscribe', call => 'thief', stream => 'readings', subscription => 'annas', user => 'bert');
	is_deeply($visitor->step('take', call => 'thief'), $refused, 'nobody else consumes it');
	is_deeply($visitor->step('unsubscribe', subscription => 'annas', drop => JSON::PP::true, user => 'bert'),
		[ 'PERMISSION_DENIED', 'must be owner of the subscription' ], 'or drops it');
	$sluice->sql('REVOKE SELECT ON readings FROM bert');
	$sluice->sql("INSERT INTO readings (device, value) VALUES ('bert', 910)");
	my $end = ended('of bert');
	is_deeply($end, [ 'PERMISSION_DENIED', 'permission denied for table readings' ], 'SELECT that is revoked ends the call');
	$sluice->sql('REVOKE SELECT ON readings FROM carla; GRANT SELECT (id, device) ON readings TO carla');
	$sluice->sql("INSERT INTO readings (device, value) VALUES ('carla', 911)");
	is(ended('of carla')->[0], 'PERMISSION_DENIED', 'all columns are wanted');
	is_deeply($visitor->step('unsubscribe', subscription => 'annas', drop => JSON::PP::true, user => 'anna'), [ 'in', '' ], 'its owner drops it');
};

subtest 'a privilege that one record lacks' => sub {
	$sluice->sql(<<'END');
CREATE FUNCTION choosy() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW.a = 302 THEN
		RAISE insufficient_privilege USING MESSAGE = 'not this one';
	END IF;
	RETURN NEW;
END $$;
CREATE TRIGGER choosy BEFORE INSERT ON plain FOR EACH ROW EXECUTE FUNCTION choosy();
SELECT sluice.hold('plain', 'until all are there');
END
	$visitor->step('together', stream => 'plain', user => 'bert', records => [ map { { a => $_ } } 301 .. 304 ]);
	$sluice->wait_sql("SELECT coalesce(sum(records_in_flight), 0) FROM sluice.stat_connections WHERE role = 'bert'", 4);
	$sluice->sql("SELECT sluice.resume('plain')");
	is_deeply($visitor->step('answers', call => 'together', count => 4), [qw(in dead in in)], 'it is a dead letter, those beside it are stored');
	is($sluice->sql("SELECT message FROM sluice.dead_letters WHERE message = 'not this one'"), 'not this one', 'with the reason');
	is_deeply(put(open_as('bert', 'plain'), { a => 302 }), [ 'PERMISSION_DENIED', 'not this one' ], 'alone, its call is told');
	$sluice->sql('DROP TRIGGER choosy ON plain');
};

subtest 'what one role is in trouble with does not hold the others' => sub {
	$sluice->sql(<<'END');
CREATE FUNCTION trouble() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF current_user = 'anna' THEN
		RAISE lock_not_available USING MESSAGE = 'anna waits';
	END IF;
	RETURN NEW;
END $$;
CREATE TRIGGER trouble BEFORE INSERT ON readings FOR EACH ROW EXECUTE FUNCTION trouble();
END
	my $other = Visitor->new($sluice);
	my ($anna, $bert) = (open_as('anna', 'readings'), 'steady');
	$other->step('open', call => $bert, stream => 'readings', user => 'bert');
	my $pid = fork // die;
	if ($pid == 0)
	{
		put($anna, { device => 'anna', value => 950 });
		POSIX::_exit(0);
	}
	ok(wait_until('it is told', sub { $sluice->log_since(0) =~ /stream "readings" is held: anna waits/ }), 'the trouble is logged');
	is($other->step('put', call => $bert, record => { device => 'bert', value => $_ })->[0], 'in', "row $_ of another role") foreach 951 .. 960;
	$sluice->sql('DROP TRIGGER trouble ON readings');
	$sluice->wait_sql('SELECT count(*) FROM readings WHERE value = 950', '1');
	waitpid $pid, 0;
	is($sluice->sql('SELECT count(*) FROM readings WHERE value = 950'), 1, 'when it is over the record is stored, once');
};

done_testing();
