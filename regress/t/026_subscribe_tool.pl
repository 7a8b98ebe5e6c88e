# The tools "sluice subscribe" and "sluice unsubscribe" against the real server: what comes out, and where it goes on.
#
# suites: beside others
use strict;
use warnings;

use IPC::Run;
use JSON::PP ();
use PostgreSQL::Test::Utils;
use Sluice qw(slurp_lines wait_until);
use Subscriber;
use Test::More;
use Time::HiRes qw(sleep);

my $sluice = Sluice->new('main', conf => "wal_writer_delay = '10s'\n");
my $json = JSON::PP->new->canonical->allow_nonref;
my $directory = $PostgreSQL::Test::Utils::tmp_check;
my @runs;

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

# The same while other things happen: in many transactions, and some that are rolled back.
sub insert_meanwhile
{
	my ($stream, $first, $last) = @_;
	my $file = "$directory/$stream$first.sql";
	my $script = '';
	for (my $n = $first; $n <= $last; $n += 20)
	{
		my $rows = "INSERT INTO $stream (received_at, payload) SELECT now(), jsonb_build_object('n', n) FROM generate_series($n, $n + 19) n;\n";
		$script .= $n % 200 == 1 ? "BEGIN;\n${rows}ROLLBACK;\n$rows" : $rows;
	}
	append_to_file($file, $script);
	return IPC::Run::start([ 'psql', '-X', '-q', '-f', $file, '-d', $sluice->node->connstr('postgres') ], '<', \undef, '2>', \my $err);
}

sub position { my ($name) = @_; return $sluice->sql("SELECT position FROM sluice.subscriptions WHERE name = '$name'") }

sub command
{
	return ($ENV{SLUICE_TOOL}, 'subscribe', '--server', $sluice->address,
		'--set', 'backoff_first=20ms', '--set', 'backoff_last=200ms', @_);
}

# In the background; its standard output goes to a file.
sub begin
{
	my ($name, @arguments) = @_;
	my $run = { name => $name, file => "$directory/$name.out", err => '' };
	unlink $run->{file};
	$run->{run} = IPC::Run::start([ command(@arguments) ], '<', \undef, '>', $run->{file}, '2>', \$run->{err});
	push @runs, $run;
	return $run;
}

END
{
	my $status = $?;
	$_->{run}->kill_kill foreach grep { !$_->{over} } @runs;
	$? = $status;
}

# Its exit status, after a signal if one is named; -1: it was killed.
sub finish
{
	my ($run, $signal) = @_;
	$run->{run}->signal($signal) if defined $signal;
	$run->{run}->finish;
	$run->{over} = 1;
	my ($status) = $run->{run}->full_results;
	return $status & 127 ? -1 : $status >> 8;
}

# To its end: exit status, standard output, standard error.
sub subscribe
{
	my ($out, $err) = ('', '');
	IPC::Run::run([ command(@_) ], '<', \undef, '>', \$out, '2>', \$err, IPC::Run::timeout(60));
	return ($? >> 8, $out, $err);
}

sub ids { return map { $json->decode($_)->{id} } grep { /\}$/ } slurp_lines($_[0]->{file}) }

sub wait_lines
{
	my ($run, $count) = @_;
	return wait_until("$run->{name} has $count lines", sub { scalar(my @lines = slurp_lines($run->{file})) >= $count })
	  || diag($run->{err});
}

sub wait_err
{
	my ($run, $pattern) = @_;
	return wait_until("$run->{name} says $pattern", sub { $run->{run}->pump_nb; $run->{err} =~ $pattern }) || diag($run->{err});
}

subtest 'backlog, then live rows, as lines' => sub {
	create_stream('events');
	insert('events', 1, 2999);
	$sluice->sql(q{SELECT sluice.ingest('events', 'key', convert_to('{"payload": {"n": 3000, "t": "a\nb"}}', 'UTF8'))});
	my $run = begin('lines', '--stream', 'events', '--subscription', 'lines');
	wait_lines($run, 3000);
	insert('events', 3001, 3001);
	$sluice->sql(q{BEGIN; INSERT INTO events (received_at, payload) VALUES (now(), '1'); ROLLBACK;
		INSERT INTO events (received_at, payload) VALUES (now(), 'null')});
	wait_lines($run, 3002);
	my @lines = map { $json->encode($json->decode($_)) } slurp_lines($run->{file});
	my @rows = map { $json->encode($json->decode($_)) } split /\n/, $sluice->sql('SELECT to_json(e) FROM events e ORDER BY id');
	is(join("\n", @lines), join("\n", @rows), 'they are the table, in order');
	$sluice->wait_sql("SELECT position FROM sluice.subscriptions WHERE name = 'lines'", '3003');
	is(finish($run, 'TERM'), 5, 'a signal ends it with status 5');
	is(position('lines'), 3003, '... and all is acknowledged');
	is($run->{err}, '', '... without a word');
	my ($status, $out) = subscribe('--stream', 'events', '--from', '3000', '--until-caught-up', '--output', 'envelope');
	is($status, 0, 'an ephemeral one ends when it has caught up');
	is_deeply([ map { $json->decode($_)->{offset} } split /\n/, $out ], [ 3001, 3003 ], '... with what is behind its offset');
};

subtest 'what comes out goes in' => sub {
	$sluice->sql("SELECT sluice.create_stream('$_', message_type => 'ingestion.DataPayload')") foreach 'readings', 'copies';
	$sluice->sql(q{INSERT INTO readings (received_at, device_id, "timestamp", temperature_celsius, humidity_percent)
		SELECT now(), 'd' || n, now(), n / 7.0, nullif(n, 3) FROM generate_series(1, 500) n});
	my ($status, $out, $err) = subscribe('--stream', 'readings', '--until-caught-up', '--output', 'protobuf');
	is($status, 0, 'protobuf messages') or diag($err);
	($status) = $sluice->tool($out, 'send', '--server', $sluice->address, '--stream', 'copies', '--input', 'protobuf', '--quiet', '--summary', 'none');
	is($status, 0, '... are what sluice send reads');
	is($sluice->sql(q{SELECT count(*) FROM readings JOIN copies USING (device_id, "timestamp", temperature_celsius)
		WHERE coalesce(readings.humidity_percent, 0) = copies.humidity_percent}), 500, '... and the rows are the same');
	$sluice->sql(q{SELECT sluice.create_stream('notes', payload_format => 'bytes')});
	$sluice->sql(q{SELECT sluice.ingest('notes', ARRAY['a', 'b'], ARRAY['one', '\\xff00'::bytea])});
	($status, $out, $err) = subscribe('--stream', 'notes', '--until-caught-up', '--output', 'base64');
	is($out, "b25l\n/wA=\n", 'bytes as base64');
	($status, $out, $err) = subscribe('--stream', 'notes', '--until-caught-up', '--output', 'lines');
	is($out, "one\n\xff\0\n", 'bytes as they are');
	($status, $out, $err) = subscribe('--stream', 'notes', '--until-caught-up');
	is(join(',', map { $json->decode($_)->{payload} } split /\n/, $out), '\\x6f6e65,\\xff00', 'bytes in JSON as PostgreSQL has them');
};

subtest 'killed, it repeats the tail that was not acknowledged, and nothing else' => sub {
	create_stream('killed');
	insert('killed', 1, 10000);
	# Nobody reads: what is in the pipe has left the program in part, and is not acknowledged.
	my $err = '';
	my $run = IPC::Run::start([ command('--stream', 'killed', '--subscription', 'killed', '--set', 'max_in_flight=3000') ],
		'<', \undef, '>pipe', \*KILLED, '2>', \$err);
	ok($sluice->wait_sql("SELECT in_flight FROM sluice.stat_subscriptions WHERE name = 'killed'", 3000), 'rows wait for the reader');
	$run->kill_kill(grace => 0);
	my @written = map { $json->decode($_)->{id} } grep { /\}$/ } split /\n/, do { local $/ = undef; <KILLED> };
	close KILLED;
	$sluice->wait_sql("SELECT state FROM sluice.stat_subscriptions WHERE name = 'killed'", 'inactive');
	my $position = position('killed');
	is("@written", join(' ', 1 .. @written), 'what was written has no holes');
	cmp_ok($position, '<', scalar @written, "... $position rows of it are acknowledged");
	my ($status, $out) = subscribe('--subscription', 'killed', '--until-caught-up', '--no-create');
	is($status, 0, 'the next run ends');
	is(join(' ', map { $json->decode($_)->{id} } split /\n/, $out), join(' ', $position + 1 .. 10000), '... with all that was not acknowledged');
};

subtest 'a signal hands it over to the one that stands by' => sub {
	create_stream('shift');
	my $writer = insert_meanwhile('shift', 1, 3000);
	my $first = begin('first', '--stream', 'shift', '--subscription', 'shift');
	wait_lines($first, 50);
	my $second = begin('second', '--stream', 'shift', '--subscription', 'shift');
	wait_err($second, qr/another consumer has the subscription: waiting/);
	is(finish($first, 'TERM'), 5, 'the first one leaves');
	$writer->finish;
	my $count = $sluice->sql('SELECT count(*) FROM shift');
	my @first = ids($first);
	wait_lines($second, $count - @first);
	is(join("\n", @first, ids($second)), $sluice->sql('SELECT id FROM shift ORDER BY id'),
		'both together have each row once, in order');
	is(finish($second, 'INT'), 5, 'the second one leaves');
	is(position('shift'), $sluice->sql('SELECT max(id) FROM shift'), 'all is acknowledged');
};

subtest 'a command decides by its exit status' => sub {
	create_stream('jobs');
	$sluice->sql("SELECT sluice.create_subscription('$_', 'jobs', max_attempts => 3, retry_delay => '20 ms')") foreach 'workers', 'watchers';
	$sluice->sql(q{INSERT INTO jobs (received_at, payload) VALUES (now(), '"good"'), (now(), '"bad"'), (now(), '"fine"')});
	my $log = "$directory/jobs.log";
	my $script = <<"END";
read -r row
echo "\$SLUICE_SUBSCRIPTION \$SLUICE_OFFSET \$SLUICE_ATTEMPTS \$SLUICE_REDRIVE" >>$log
case \$row in *bad*) test -e $log.mended || exit 7 ;; esac
END
	my @exec = ('--until-caught-up', '--exec', 'sh', '-c', $script);
	my ($status, $out, $err) = subscribe('--subscription', 'workers', '--stream', 'jobs', @exec);
	is($status, 2, 'status 2, as rows were given back') or diag($err);
	like($err, qr/^sluice: row 2 is given back \(attempt 1\): exit status 7$/m, '... which is told');
	is_deeply([ slurp_lines($log) ], [ 'workers 1 0 0', 'workers 2 0 0', 'workers 2 1 0', 'workers 2 2 0', 'workers 3 0 0' ],
		'each row once, the bad one three times');
	is($sluice->sql(q{SELECT "offset", state, message FROM sluice.dead_letters WHERE stream_name = 'jobs'}), '2|open|exit status 7', 'then it is a dead letter');
	is(position('workers'), 3, 'and the position is behind all');
	($status) = subscribe('--subscription', 'watchers', '--until-caught-up');
	is($status, 0, 'another subscription is not concerned');

	unlink $log;
	append_to_file("$log.mended", '');
	$sluice->sql(q{SELECT * FROM sluice.redrive('jobs')});
	my $id = $sluice->sql(q{SELECT id FROM sluice.dead_letters WHERE stream_name = 'jobs'});
	is_deeply([ subscribe('--subscription', 'watchers', '--until-caught-up') ], [ 0, '', '' ], 'redriven, it does not come to others');
	($status, $out, $err) = subscribe('--subscription', 'workers', @exec);
	is($status, 0, 'to this subscription it comes') or diag($err);
	is_deeply([ slurp_lines($log) ], ["workers 2 0 $id"], '... once');
	is($sluice->sql("SELECT state FROM sluice.dead_letters WHERE id = $id"), 'redriven', '... and is done');
};

# ---- --into ----

my $sink = $sluice->node->connstr('sink');

sub into
{
	my ($stream, @arguments) = @_;
	return ('--stream', $stream, '--subscription', "to_$stream", '--into', $sink, @arguments);
}

# The sink's table has nothing that would refuse a row twice.
sub create_sink
{
	my ($table, $constraint) = @_;
	$sluice->sql("CREATE TABLE $table (id bigint, received_at timestamptz, payload jsonb " . ($constraint // '') . ')', 'sink');
}

sub wait_sink
{
	my ($query, $expected) = @_;
	return wait_until("the sink's \"$query\" gives $expected", sub { ($sluice->try_sql($query, 'sink'))[1] eq $expected });
}

sub sink_is_source
{
	my ($table, $what) = @_;
	my $all = "SELECT e::text FROM $table e ORDER BY id";
	wait_sink("SELECT count(*) >= " . $sluice->sql("SELECT count(*) FROM $table") . " FROM $table", 't');
	ok($sluice->sql($all) eq $sluice->sql($all, 'sink'), $what)
	  or diag($sluice->sql("SELECT count(*), count(DISTINCT id) FROM $table", 'sink'), ' of ', $sluice->sql("SELECT count(*) FROM $table"));
}

subtest 'into a database, each row once' => sub {
	$sluice->sql('CREATE DATABASE sink');
	create_stream('ledger');
	create_sink('ledger');
	my $count = 0;
	foreach my $part (1 .. 5)
	{
		my $writer = insert_meanwhile('ledger', 2000 * $part - 1999, 2000 * $part);
		my $run = begin("into$part", into('ledger'));
		my $more = $count + (1, 40, 300, 900, 1)[ $part - 1 ];
		wait_sink("SELECT count(*) >= $more FROM ledger", 't');
		finish($run, 'KILL');
		$writer->finish;
		$count = $sluice->sql('SELECT count(*) FROM ledger', 'sink');
		is($sluice->sql('SELECT "offset" FROM sluice_sink.positions', 'sink'), $sluice->sql('SELECT max(id) FROM ledger', 'sink'),
			"run $part, killed: rows and position agree");
	}
	my $writer = insert_meanwhile('ledger', 10001, 14000);
	my $first = begin('into_first', into('ledger'));
	wait_sink("SELECT count(*) > $count FROM ledger", 't');
	my $second = begin('into_second', into('ledger'));
	wait_err($second, qr/another consumer/);
	finish($first, 'KILL');
	$writer->finish;
	sink_is_source('ledger', 'the one that stood by brings the rest, none is missing and none twice');
	$writer = insert_meanwhile('ledger', 14001, 16000);
	kill 'KILL', $sluice->workers;
	$writer->finish;
	$sluice->wait_connectable;
	insert('ledger', 16001, 16100);
	sink_is_source('ledger', 'the worker was killed: it goes on by itself');
	is(finish($second, 'TERM'), 5, 'a signal ends it');
	is(position('to_ledger'), $sluice->sql('SELECT "offset" FROM sluice_sink.positions', 'sink'), 'both positions agree');
};

subtest 'the server goes and comes back' => sub {
	my $run = begin('restart', '--stream', 'events', '--subscription', 'restart');
	wait_lines($run, 3002);
	$sluice->kill_server;
	wait_err($run, qr/lost the connection/);
	$sluice->start;
	insert('events', 4001, 4010);
	ok(wait_until('the new rows are there', sub { (ids($run))[-1] == $sluice->sql('SELECT max(id) FROM events') }), 'it goes on');
	my %ids = map { $_ => 1 } ids($run);
	is(scalar(keys %ids), $sluice->sql('SELECT count(*) FROM events'), '... and has all rows');
	is(finish($run, 'TERM'), 5, 'a signal ends it');
};

# A position that a crash takes back would be found to come from commits that were lost, though none was.
subtest 'tokens name nothing that a crash can take back' => sub {
	my $client = Subscriber->new($sluice);
	$client->open_call('a', stream => 'events');
	$sluice->sql(q{SELECT pg_logical_emit_message(false, 'test', repeat('x', 100000))});
	my $active = $client->open_call('b', stream => 'events');
	is($sluice->sql("SELECT $active->{token}{lsn} <= pg_current_wal_flush_lsn() - '0/0'"), 't', 'what they name is on disk');
	$client->step('cancel', $_) foreach 'a', 'b';
};

subtest 'what the sink refuses is a dead letter' => sub {
	create_stream('strict');
	create_sink('strict', 'CONSTRAINT even CHECK (payload <> \'{"n": 7}\')');
	$sluice->sql("SELECT sluice.create_subscription('to_strict', 'strict', max_attempts => 2, retry_delay => '20 ms')");
	insert('strict', 1, 20);
	my ($status, $out, $err) = subscribe(into('strict', '--until-caught-up'));
	is($status, 2, 'status 2') or diag($err);
	is($sluice->sql('SELECT string_agg(id::text, \',\' ORDER BY id) FROM strict', 'sink'), join(',', 1 .. 6, 8 .. 20), 'the others are there');
	like($sluice->sql(q{SELECT "offset", state, message FROM sluice.dead_letters WHERE stream_name = 'strict'}),
		qr/^7\|open\|.*violates check constraint "even" \(SQLSTATE 23514\)$/, 'a dead letter with the reason');
	$sluice->sql('ALTER TABLE strict DROP CONSTRAINT even', 'sink');
	$sluice->sql(q{SELECT * FROM sluice.redrive('strict')});
	is_deeply([ subscribe(into('strict', '--until-caught-up')) ], [ 0, '', '' ], 'redriven');
	sink_is_source('strict', '... it is there, too');
};

subtest 'a position that does not fit the server' => sub {
	my $set = sub { $sluice->sql("UPDATE sluice_sink.positions SET $_[0] WHERE subscription = 'to_strict'", 'sink') };
	my $before = $sluice->sql("SELECT lsn FROM sluice_sink.positions WHERE subscription = 'to_strict'", 'sink');
	$set->("lsn = 'FFFFFF/0'");
	my ($status, $out, $err) = subscribe(into('strict', '--until-caught-up'));
	is($status, 6, 'FORKED: status 6');
	like($err, qr/^sluice: .*commits that this server does not have.*; --on-fork accept goes on from the position in sluice_sink\.positions$/m, '... says how to go on');
	($status, $out, $err) = subscribe(into('strict', '--on-fork', 'accept', '--until-caught-up'));
	is($status, 0, '--on-fork accept goes on') or diag($err);
	$set->("lsn = '$before'");
	$set->('"offset" = 1000');
	($status, $out, $err) = subscribe(into('strict', '--until-caught-up'));
	is($status, 6, 'BEYOND_END: status 6');
	like($err, qr/^sluice: .*position 1000 is above the last offset, 20/m, '... with both offsets');
	unlike($err, qr/--on-fork/, '... and --on-fork is no way out');
	$set->('"offset" = 20');
	$sluice->sql("SELECT sluice.drop_subscription('to_strict'); SELECT sluice.drop_stream('strict', drop_target => true)");
	create_stream('strict');
	insert('strict', 1, 1);
	($status, $out, $err) = subscribe(into('strict', '--until-caught-up'));
	is($status, 6, 'STREAM_REPLACED: status 6');
	like($err, qr/^sluice: .*the position is of another stream of this name/m, '... says so');
	$sluice->sql('TRUNCATE jobs RESTART IDENTITY');
	($status, $out, $err) = subscribe('--subscription', 'workers', '--until-caught-up');
	is($status, 6, 'TRUNCATE RESTART IDENTITY: status 6');
	like($err, qr/position 3 is above the last offset, 0: set it anew with sluice\.seek\(\)/, '... says what to do');
};

subtest 'refusals' => sub {
	$sluice->sql(q{CREATE TABLE loose (payload jsonb); SELECT sluice.create_stream('loose', 'loose', payload_format => 'json')});
	$sluice->sql(q{CREATE TABLE timeless (id bigint GENERATED ALWAYS AS IDENTITY, payload jsonb)});
	$sluice->sql(q{SELECT sluice.create_stream('timeless', 'timeless', payload_format => 'json', offset_column => 'id')});
	my @cases = (
		[ 'no such stream', 4, qr/stream "nowhere" does not exist/, '--stream', 'nowhere' ],
		[ 'no such stream, durable', 4, qr/stream "nowhere" does not exist/, '--stream', 'nowhere', '--subscription', 'new' ],
		[ 'no such subscription', 4, qr/subscription "new" does not exist/, '--stream', 'events', '--subscription', 'new', '--no-create' ],
		[ 'of another stream', 4, qr/subscription "workers" is of stream "jobs", not of "events"/, '--stream', 'events', '--subscription', 'workers' ],
		[ 'another guarantee', 4, qr/subscription "workers" is at_least_once/, '--subscription', 'workers', '--guarantee', 'at_most_once' ],
		[ 'no offsets', 4, qr/offset column/, '--stream', 'loose' ],
		[ 'no time of receipt', 4, qr/keeps no time of receipt/, '--stream', 'timeless', '--from', '2026-01-01T00:00:00Z' ]);
	foreach my $case (@cases)
	{
		my ($what, $expected, $message, @arguments) = @$case;
		my ($status, $out, $err) = subscribe(@arguments);
		is($status, $expected, "$what: status $expected");
		like($err, qr/^sluice: the server refuses: .*$message/m, '... with the reason') or diag($err);
	}
	my ($status, $out, $err) = subscribe('--server', '127.0.0.1:1', '--timeout', '0.2');
	is($status, 3, 'nobody listens: status 3');
	like($err, qr/^sluice: gave up: no connection for 0\.2 s; could not connect to/m, '... says so');
};

subtest 'unsubscribe' => sub {
	my @unsubscribe = ('unsubscribe', '--server', $sluice->address);
	my $run = begin('ended', '--stream', 'events', '--subscription', 'ended');
	wait_lines($run, 10);
	is_deeply([ $sluice->tool('', @unsubscribe, 'ended') ], [ 0, '', '' ], 'it is ended');
	is(finish($run), 4, 'the consumer ends with status 4');
	like($run->{err}, qr/^sluice: the server refuses: .*ended by/m, '... and says why');
	my ($status, $out) = subscribe('--subscription', 'ended', '--until-caught-up', '--no-create');
	is($status, 0, 'it can be taken up again');
	my @all = (ids($run), map { $json->decode($_)->{id} } split /\n/, $out);
	my %all = map { $_ => 1 } @all;
	is(scalar(keys %all), $sluice->sql('SELECT count(*) FROM events'), '... and nothing is missing');
	is_deeply([ $sluice->tool('', @unsubscribe, '--drop', 'ended') ], [ 0, '', '' ], 'it is dropped');
	is($sluice->sql("SELECT count(*) FROM sluice.subscriptions WHERE name = 'ended'"), 0, '... and gone');
	($status, $out, my $err) = $sluice->tool('', @unsubscribe, 'ended');
	is($status, 4, 'there is none any more: status 4');
	like($err, qr/^sluice: there is no such subscription$/m, '... says so');
	($status, $out, $err) = $sluice->tool('', 'unsubscribe', '--server', '127.0.0.1:1', 'ended');
	is($status, 3, 'nobody listens: status 3');
};

done_testing();
