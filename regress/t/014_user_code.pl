# User code behind the endpoint meets what it would meet under INSERT: the
# database's search_path, and locks, which are waited for no longer than
# sluice.lock_timeout.
#
# suites: beside others
use strict;
use warnings;

use JSON::PP qw(encode_json);
use PostgreSQL::Test::Utils;
use Sluice;
use Test::More;

my $sluice = Sluice->new('main');
$sluice->sql(<<'END');
CREATE SCHEMA app;
ALTER DATABASE postgres SET search_path = app, public;
END
# The worker reads the database's settings when it connects.
$sluice->node->restart;
$sluice->wait_serving;
$sluice->sql(<<'END');
CREATE TABLE app.audit (name text, at timestamptz DEFAULT now());
CREATE TABLE app.devices (name text PRIMARY KEY, seen int DEFAULT 0);
INSERT INTO app.devices VALUES ('known'), ('other');
CREATE TABLE app.events (device text REFERENCES app.devices, n int DEFAULT 0);
CREATE TABLE app.plain (device text, n int);
CREATE FUNCTION app.note() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN INSERT INTO audit (name) VALUES (NEW.device); RETURN NEW; END $$;
CREATE TRIGGER note AFTER INSERT ON app.events FOR EACH ROW EXECUTE FUNCTION app.note();
SELECT sluice.create_stream('events', 'app.events', payload_format => 'json');
SELECT sluice.create_stream('plain', 'app.plain', payload_format => 'json');
END

subtest 'names' => sub {
	my $report = $sluice->exact([ { key => 'n1', text => '{"device": "known"}' } ], '--stream', 'events');
	is($report->{responses}[0][1], 'ACKNOWLEDGED', 'a trigger finds a table by the database\'s search_path');
	is($sluice->sql('SELECT name FROM app.audit'), 'known', '... and has written there');
};

subtest 'locks' => sub {
	my $session = $sluice->node->background_psql('postgres');
	$session->query_safe('BEGIN');
	$session->query_safe("SELECT * FROM devices WHERE name = 'other' FOR UPDATE");
	# From a file: a string would be fed only while the client is pumped.
	my $requests = PostgreSQL::Test::Utils::tempdir('requests') . '/l1';
	PostgreSQL::Test::Utils::append_to_file($requests, encode_json({ key => 'l1', text => '{"device": "other"}' }) . "\n");
	my ($out, $err) = ('', '');
	my $waiting = IPC::Run::start([ $sluice->client_command('exact', '--stream', 'events') ], '<', $requests, '>', \$out, '2>', \$err);
	ok($sluice->wait_sql("SELECT sqlstate FROM sluice.stat_streams WHERE name = 'events'", '55P03', 30),
		'a row that a foreign key wants is locked: the stream is held with the error');
	my $report = $sluice->exact([ { key => 'p1', text => '{"device": "x"}' } ], '--stream', 'plain');
	is($report->{responses}[0][1], 'ACKNOWLEDGED', '... and the other stream goes on');
	is($sluice->sql("SELECT count(*) FROM app.events WHERE device = 'other'"), 0, '... nothing is stored yet');
	$session->query_safe('COMMIT');
	$session->quit;
	$waiting->finish;
	like($out, qr/ACKNOWLEDGED/, 'the record is stored when the lock is gone');
	is($sluice->sql("SELECT count(*) FROM app.events WHERE device = 'other'"), 1, '... once');
	is($sluice->sql('SELECT count(*) FROM sluice.dead_letters'), 0, '... and was no dead letter');
};

subtest 'one record that cannot be stored for no fault of its own' => sub {
	$sluice->sql("ALTER SYSTEM SET sluice.max_attempts = 3");
	$sluice->sql(<<'END');
SELECT pg_reload_conf();
CREATE FUNCTION app.trip() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN IF NEW.n = 3 THEN PERFORM FROM no_such_table; END IF; RETURN NEW; END $$;
CREATE TRIGGER trip BEFORE INSERT ON app.plain FOR EACH ROW EXECUTE FUNCTION app.trip();
END
	my $report = $sluice->exact([ map { { key => "s$_", text => "{\"n\": $_}" } } 1 .. 5 ], '--stream', 'plain');
	my %status = map { @$_ } @{ $report->{responses} };
	is_deeply(\%status, { s1 => 'ACKNOWLEDGED', s2 => 'ACKNOWLEDGED', s3 => 'REJECTED_DLQ', s4 => 'ACKNOWLEDGED', s5 => 'ACKNOWLEDGED' },
		'it is a dead letter after max_attempts, its neighbours are stored');
	is($sluice->sql("SELECT key_text || ' ' || sqlstate FROM sluice.dead_letters"), 's3 42P01', '... with the error that it kept raising');
};

# What an owner's code leaves for COMMIT would run as the worker.
subtest 'nothing is left for COMMIT' => sub {
	$sluice->sql(<<'END');
create role owner_e login; grant usage on schema sluice to owner_e; grant execute on all functions in schema sluice to owner_e; grant create on schema app to owner_e; grant usage on schema app to owner_e;
set role owner_e;
create table who(at text, u text);
create function pwn(x text) returns text language plpgsql as $$ begin insert into who values (x, current_user); return x; end $$;
create table t2(a int);
create function t2f() returns trigger language plpgsql as $$ begin perform pwn('t2 deferred'); return null; end $$;
create constraint trigger t2c after insert on t2 deferrable initially deferred for each row execute function t2f();
create table t(a int);
create function tf() returns trigger language plpgsql as $$ begin perform pwn('deferred'); begin execute 'declare c cursor with hold for select pwn(''cursor'')'; exception when others then insert into who values ('cursor: '||sqlerrm, current_user); end;
 begin set constraints all deferred; insert into t2 values (1); exception when others then insert into who values ('again: '||sqlerrm, current_user); end; return null; end $$;
create function tb() returns trigger language plpgsql as $$ begin execute 'declare c2 cursor with hold for select pwn(''cursor2'')'; return new; end $$;
create constraint trigger tc after insert on t deferrable initially deferred for each row execute function tf();
create trigger tb before insert on t for each row execute function tb();
select sluice.create_stream('deferring', 'app.t', payload_format => 'json');
END
	my $report = $sluice->exact([ { key => 'x1', text => '{"a": 1}' } ], '--stream', 'deferring');
	is($report->{responses}[0][1], 'ACKNOWLEDGED', 'a target with deferred triggers is stored into');
	is($sluice->sql("SELECT string_agg(DISTINCT u, ' ') FROM app.who"), 'owner_e', 'its deferred trigger runs as the owner and nothing as the worker');
	is($sluice->sql("SELECT count(*) FROM app.who WHERE at IN ('cursor', 'cursor2', 't2 deferred')"), 0, 'neither a cursor WITH HOLD nor a trigger deferred anew is run at COMMIT');
	is($sluice->sql("SELECT count(*) FROM app.who WHERE at LIKE '%security-restricted%'"), 2, '... the server refuses them');
};
done_testing();
