# A record that cannot be stored neither delays nor loses the records beside it.
#
# suites: beside others
use strict;
use warnings;

use Sluice;
use Test::More;

my $sluice = Sluice->new('main');
$sluice->create_readings('readings');

# Send records in one call; the balance is checked, and how many were refused.
sub sends_ok
{
	my ($what, $count, $refused, @arguments) = @_;
	my $sender = $sluice->send_start("s$what", '--count', $count, '--prefix', $what, '--window', 10000, '--timeout', 150, @arguments);
	my $report = $sluice->send_finish($sender);
	is($report->{rejected}, $refused, "$what: $refused of $count refused");
	is($report->{calls}, 1, "$what: the call was not broken");
	$sluice->balance_ok($what, $sender, $report, 'readings');
	$sluice->sql('TRUNCATE readings; DELETE FROM sluice.dead_letters');
}

subtest 'by position' => sub {
	sends_ok('one', 10000, 1, '--bad-every', 7777);
	sends_ok('all', 2000, 2000, '--bad-every', 1);
	sends_ok('half', 4000, 2000, '--bad-every', 2);
};

# In SQL a batch is what one call says, so its first and last record are known.
sub array_of
{
	my ($name, @bad) = @_;
	my %is_bad = map { $_ => 1 } @bad;
	return <<"END";
SELECT string_agg(n || '=' || v, ' ' ORDER BY n) FILTER (WHERE v <> 'stored') || ' ' || count(*)
FROM unnest(sluice_verdicts('$name', ARRAY[@{[ join ',', map { $is_bad{$_} ? -1 : $_ } 1 .. 1000 ]}])) WITH ORDINALITY AS x(v, n)
END
}

subtest 'first and last of a batch' => sub {
	$sluice->sql(<<'END');
CREATE TABLE events (name text, n integer CHECK (n >= 0));
SELECT sluice.create_stream('events', 'events', payload_format => 'json');
CREATE FUNCTION sluice_verdicts(name text, values_ integer[]) RETURNS text[] LANGUAGE sql AS $$
	SELECT array_agg(v) FROM sluice.ingest('events',
		(SELECT array_agg(name || '-' || o ORDER BY o) FROM unnest(values_) WITH ORDINALITY AS x(n, o)),
		(SELECT array_agg(convert_to(json_build_object('name', name || '-' || o, 'n', n)::text, 'UTF8') ORDER BY o)
			FROM unnest(values_) WITH ORDINALITY AS x(n, o))) AS v
$$;
END
	is($sluice->sql(array_of('first', 1)), '1=dead_lettered 1000', 'bad first');
	is($sluice->sql(array_of('last', 1000)), '1000=dead_lettered 1000', 'bad last');
	is($sluice->sql(array_of('ends', 1, 1000)), '1=dead_lettered 1000=dead_lettered 1000', 'bad first and last');
	is($sluice->sql(array_of('pair', 500, 501)), '500=dead_lettered 501=dead_lettered 1000', 'two side by side');
	is($sluice->sql("SELECT count(*) || ' ' || count(DISTINCT name) FROM events"), '3994 3994', 'all others stored once');
	$sluice->sql('DELETE FROM sluice.dead_letters');
};

subtest 'a constraint that fails at commit' => sub {
	$sluice->sql(<<'END');
CREATE TABLE devices (device_id text PRIMARY KEY);
INSERT INTO devices SELECT 'fk-' || n FROM generate_series(1, 3000) n WHERE n % 1000 <> 0;
ALTER TABLE readings ADD CONSTRAINT known FOREIGN KEY (device_id) REFERENCES devices DEFERRABLE INITIALLY DEFERRED;
END
	sends_ok('fk', 3000, 3);
	$sluice->sql('ALTER TABLE readings DROP CONSTRAINT known');
};

subtest 'errors that tell no line' => sub {
	$sluice->sql(<<'END');
ALTER TABLE readings ADD CONSTRAINT known FOREIGN KEY (device_id) REFERENCES devices;
END
	$sluice->sql("INSERT INTO devices SELECT 'ifk-' || n FROM generate_series(1, 3000) n WHERE n NOT IN (1, 1500, 3000)");
	sends_ok('ifk', 3000, 3);
	$sluice->sql(<<'END');
ALTER TABLE readings DROP CONSTRAINT known;
CREATE FUNCTION no_thirteen() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF EXISTS (SELECT FROM added WHERE device_id LIKE '%-13') THEN
		RAISE EXCEPTION 'thirteen is refused';
	END IF;
	RETURN NULL;
END $$;
CREATE TRIGGER no_thirteen AFTER INSERT ON readings REFERENCING NEW TABLE AS added
	FOR EACH STATEMENT EXECUTE FUNCTION no_thirteen();
END
	sends_ok('statement', 2000, 1);
	$sluice->sql('DROP TRIGGER no_thirteen ON readings');
};

subtest 'a row that a trigger swallows' => sub {
	$sluice->sql(<<'END');
CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	RETURN CASE WHEN NEW.device_id LIKE '%0' THEN NULL ELSE NEW END;
END $$;
CREATE TRIGGER swallow BEFORE INSERT ON readings FOR EACH ROW EXECUTE FUNCTION swallow();
END
	my $report = $sluice->client('send', '--count', 1000, '--prefix', 'swallow', '--timeout', 60);
	is($report->{acknowledged}, 1000, 'its sender is told acknowledged');
	is($sluice->sql('SELECT count(*) FROM readings'), 900, 'it is not stored');
	$report = $sluice->client('send', '--count', 1000, '--prefix', 'swallow', '--timeout', 60);
	is($sluice->sql('SELECT count(*) FROM readings'), 900, 'nor are its duplicates');
	$sluice->sql('DROP TRIGGER swallow ON readings; TRUNCATE readings');
};

subtest 'partitions' => sub {
	$sluice->sql(<<'END');
DROP TABLE IF EXISTS parts;
CREATE TABLE parts (device_id text, temperature_celsius float8, humidity_percent float8, "timestamp" timestamptz)
	PARTITION BY RANGE (temperature_celsius);
SELECT format('CREATE TABLE parts_%s PARTITION OF parts FOR VALUES FROM (%s) TO (%s)', n, n, n + 1)
FROM generate_series(0, 99) n \gexec
SELECT sluice.create_stream('parts', 'parts', message_type => 'ingestion.DataPayload');
END
	my $report = $sluice->client('send', '--count', 5000, '--prefix', 'part', '--stream', 'parts', '--bad-every', 1000, '--timeout', 90);
	is("$report->{acknowledged} $report->{rejected}", '4995 5', 'no partition for a record: that record is refused');
	is($sluice->sql('SELECT count(*) FROM parts'), 4995, 'the others are stored over 100 leaves');
};

done_testing();
