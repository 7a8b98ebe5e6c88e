# Code of a target's owner runs as the owner, never as the worker, and leaves
# nothing behind for the next stream.
#
# The owner's code tries a list of statements wherever it can get code to run,
# and writes down as whom it ran and which of them succeeded: none may.
#
# suites: beside others
use strict;
use warnings;

use Sluice;
use Test::More;

my $sluice = Sluice->new('main');
$sluice->sql(<<'END');
CREATE ROLE intruder LOGIN;
CREATE ROLE neighbour LOGIN;
GRANT USAGE ON SCHEMA sluice TO intruder, neighbour;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA sluice TO intruder, neighbour;
CREATE SCHEMA lair AUTHORIZATION intruder;
CREATE SCHEMA home AUTHORIZATION neighbour;
CREATE TABLE public.treasure (a integer);
SET ROLE intruder;
CREATE TABLE lair.log (place text, who text, succeeded text);
CREATE TABLE lair.attempts (statement text);
CREATE FUNCTION lair.intrude(place text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	attempt record;
	succeeded text := '';
BEGIN
	-- Not yet, while the tables are being made.
	IF NOT EXISTS (SELECT FROM lair.attempts) THEN
		RETURN true;
	END IF;
	FOR attempt IN SELECT statement FROM lair.attempts LOOP
		BEGIN
			EXECUTE attempt.statement;
			succeeded := succeeded || attempt.statement || '; ';
		EXCEPTION WHEN OTHERS THEN NULL;
		END;
	END LOOP;
	INSERT INTO lair.log VALUES (place, current_user, succeeded);
	-- What may be tried, but must be gone for the next stream.
	BEGIN EXECUTE 'CREATE TEMP TABLE trap (a integer)'; EXCEPTION WHEN OTHERS THEN NULL; END;
	BEGIN EXECUTE 'CREATE FUNCTION pg_temp.lower(text) RETURNS text LANGUAGE sql AS ''SELECT ''''trapped'''''''; EXCEPTION WHEN OTHERS THEN NULL; END;
	BEGIN EXECUTE 'SET search_path = lair'; EXCEPTION WHEN OTHERS THEN NULL; END;
	BEGIN EXECUTE 'SET work_mem = ''4321kB'''; EXCEPTION WHEN OTHERS THEN NULL; END;
	BEGIN EXECUTE 'SET lair.flag = ''left behind'''; EXCEPTION WHEN OTHERS THEN NULL; END;
	BEGIN EXECUTE 'SET default_transaction_read_only = on'; EXCEPTION WHEN OTHERS THEN NULL; END;
	BEGIN EXECUTE 'SET session_replication_role = replica'; EXCEPTION WHEN OTHERS THEN NULL; END;
	BEGIN EXECUTE 'LISTEN lair'; EXCEPTION WHEN OTHERS THEN NULL; END;
	BEGIN EXECUTE 'DECLARE cave CURSOR WITH HOLD FOR SELECT 1'; EXCEPTION WHEN OTHERS THEN NULL; END;
	RETURN true;
END $$;
CREATE FUNCTION lair.intrude_text(place text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN PERFORM lair.intrude(place); RETURN place; END $$;
CREATE FUNCTION lair.intrude_immutable(value text, place text) RETURNS text IMMUTABLE LANGUAGE plpgsql AS $$
BEGIN PERFORM lair.intrude(place); RETURN value; END $$;
CREATE FUNCTION lair.intrude_trigger() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM lair.intrude(TG_ARGV[0]); RETURN NEW; END $$;
CREATE DOMAIN lair.name AS text CHECK (lair.intrude('domain') OR VALUE IS NULL);
CREATE TABLE lair.target (
	n integer CHECK (lair.intrude('check') OR n > 0),
	name lair.name,
	a text DEFAULT lair.intrude_text('default'),
	g text GENERATED ALWAYS AS (lair.intrude_immutable('x', 'generated')) STORED);
CREATE INDEX ON lair.target (lair.intrude_immutable(a, 'index'));
CREATE INDEX ON lair.target (n) WHERE lair.intrude_immutable(a, 'predicate') IS NOT NULL;
CREATE TRIGGER t1 BEFORE INSERT ON lair.target FOR EACH ROW EXECUTE FUNCTION lair.intrude_trigger('before row');
CREATE TRIGGER t2 AFTER INSERT ON lair.target FOR EACH ROW EXECUTE FUNCTION lair.intrude_trigger('after row');
CREATE TRIGGER t3 BEFORE INSERT ON lair.target FOR EACH STATEMENT EXECUTE FUNCTION lair.intrude_trigger('before statement');
CREATE TRIGGER t4 AFTER INSERT ON lair.target FOR EACH STATEMENT EXECUTE FUNCTION lair.intrude_trigger('after statement');
SELECT sluice.create_stream('lair', 'lair.target', payload_format => 'json');
RESET ROLE;
SET ROLE neighbour;
CREATE TABLE home.seen (n integer, who text, path text, work_mem text, flag text, read_only text, temp text);
CREATE FUNCTION home.look() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	NEW.who := current_user;
	NEW.path := current_setting('search_path');
	NEW.work_mem := current_setting('work_mem');
	NEW.flag := coalesce(current_setting('lair.flag', true), '');
	NEW.read_only := current_setting('default_transaction_read_only');
	NEW.temp := to_regclass('pg_temp.trap')::text;
	RETURN NEW;
END $$;
CREATE TRIGGER look BEFORE INSERT ON home.seen FOR EACH ROW EXECUTE FUNCTION home.look();
SELECT sluice.create_stream('home', 'home.seen', payload_format => 'json');
SET ROLE intruder;
INSERT INTO lair.attempts VALUES
	('ALTER ROLE intruder SUPERUSER'),
	('CREATE ROLE accomplice SUPERUSER'),
	('INSERT INTO public.treasure VALUES (1)'),
	('DROP TABLE public.treasure'),
	('SET ROLE postgres'),
	('RESET ROLE'),
	('SET SESSION AUTHORIZATION DEFAULT'),
	('RESET SESSION AUTHORIZATION'),
	('SELECT pg_catalog.set_config(''role'', ''none'', false)'),
	('SELECT pg_catalog.set_config(''session_authorization'', ''postgres'', false)'),
	('COPY lair.log TO PROGRAM ''true'''),
	('SELECT pg_catalog.pg_read_file(''postgresql.conf'')'),
	('SELECT pg_catalog.lo_import(''/etc/hostname'')'),
	('DELETE FROM sluice.idempotency_keys_0'),
	('INSERT INTO sluice.idempotency_keys_0 VALUES (1, pg_catalog.gen_random_uuid(), 1, ''s'')'),
	('UPDATE sluice.streams SET owner = ''intruder'''),
	('DELETE FROM sluice.dead_letters'),
	('CREATE FUNCTION sluice.mine() RETURNS integer LANGUAGE sql AS ''SELECT 1'''),
	('ALTER SYSTEM SET work_mem = ''1MB''');
END

my @places = ('domain', 'check', 'default', 'generated', 'index', 'predicate',
	'before row', 'after row', 'before statement', 'after statement');

# The record goes in, by the port and by a superuser's own call; then what the log says.
sub intrusion
{
	my ($what, @expected) = @_;
	my $report = $sluice->exact([ { key => $what, text => '{"n": 1, "name": "x"}' } ], '--stream', 'lair', '--timeout', 60);
	is_deeply($report->{responses}, [ [ $what, 'ACKNOWLEDGED' ] ], "$what: the record was stored");
	is($sluice->sql("SELECT string_agg(DISTINCT place, ', ' ORDER BY place) FROM lair.log"), join(', ', sort @expected),
		"$what: the intruder's code ran in all places");
	is($sluice->sql("SELECT string_agg(DISTINCT who, ', ') FROM lair.log"), 'intruder', "$what: always as the owner");
	is($sluice->sql("SELECT string_agg(DISTINCT place || ': ' || succeeded, E'\n') FROM lair.log WHERE succeeded <> ''"), '',
		"$what: nothing succeeded");
	$sluice->sql('TRUNCATE lair.log');
	$report = $sluice->exact([ { key => $what, text => '{"n": 1}' } ], '--stream', 'home', '--timeout', 60);
	my $seen = $sluice->sql("SELECT who, path, work_mem, flag, read_only, temp IS NULL FROM home.seen");
	like($seen, qr/^neighbour\|/, "$what: the next stream's code ran as its owner");
	unlike($seen, qr/lair|4321kB|left behind|\|on\||\|f$/, "$what: it sees nothing of the intruder");
	$sluice->sql('TRUNCATE home.seen');
}

intrusion('immediate', @places);

$sluice->sql(<<'END');
SET ROLE intruder;
CREATE CONSTRAINT TRIGGER t5 AFTER INSERT ON lair.target DEFERRABLE INITIALLY DEFERRED
	FOR EACH ROW EXECUTE FUNCTION lair.intrude_trigger('deferred');
END
intrusion('deferred', @places, 'deferred');

# sluice.ingest() acts on the target as its caller, as INSERT does.  A redrive is
# not the sender's own act: a superuser who mends things must not be caught by it.
subtest 'a redrive by a superuser' => sub {
	my $report = $sluice->exact([ { key => 'again', text => '{"n": 1, "unheard": 1}' } ], '--stream', 'lair', '--timeout', 60);
	is_deeply($report->{responses}, [ [ 'again', 'REJECTED_DLQ' ] ], 'a dead letter');
	$sluice->sql('TRUNCATE lair.log');
	is($sluice->sql(q{SELECT verdict FROM sluice.redrive(ids => (SELECT array_agg(id) FROM sluice.dead_letters),
		payload => convert_to('{"n": 1}', 'UTF8'))}), 'stored', 'redriven');
	is($sluice->sql("SELECT string_agg(DISTINCT who, ', ') FROM lair.log"), 'intruder', 'the code ran as the owner');
	is($sluice->sql("SELECT string_agg(DISTINCT place || ': ' || succeeded, E'\n') FROM lair.log WHERE succeeded <> ''"), '', 'nothing succeeded');
};

is($sluice->sql("SELECT count(*) FROM pg_roles WHERE rolsuper AND rolname IN ('intruder', 'accomplice')"), 0, 'nobody became a superuser');
is($sluice->sql('SELECT count(*) FROM public.treasure'), 0, 'the treasure is untouched');

subtest 'without rights' => sub {
	$sluice->sql('CREATE ROLE stranger LOGIN');
	foreach my $query (
		"SELECT sluice.create_stream('mine')",
		"SELECT sluice.ingest('lair', 'k'::text, '{}'::bytea)",
		'SELECT * FROM sluice.dead_letters', 'SELECT * FROM sluice.streams',
		"SELECT sluice.drop_stream('lair')", "SELECT sluice.redrive()")
	{
		my ($status, $out, $err) = $sluice->try_sql("SET ROLE stranger; $query");
		like($err, qr/permission denied/, "refused: $query");
	}
	# With the right to call functions, what others own stays theirs.
	foreach my $query ("SELECT sluice.drop_stream('lair', true)", "SELECT sluice.alter_stream('lair', unknown_fields => 'ignore')",
		"SELECT sluice.hold('lair', 'x')", "SELECT sluice.create_stream('theft', 'lair.target', payload_format => 'json')",
		"SELECT sluice.ingest('lair', 'theft', convert_to('{\"n\": 1}', 'UTF8'))")
	{
		my ($status, $out, $err) = $sluice->try_sql("SET ROLE neighbour; $query");
		like($err, qr/permission denied|must be owner/, "refused to another owner: $query");
	}
};

done_testing();
