# Everything that is committed is read once and in order, while many sessions
# write: at random speed, rolled back, to savepoints, prepared, into partitions directly.
#
# suites: beside others
use strict;
use warnings;

use Sluice;
use Test::More;

my $seconds = $ENV{SLUICE_SECONDS} // 6;
my $seed = $ENV{SLUICE_SEED} // 1;
my $sluice = Sluice->new('main', workers => 0, extension => 0, conf => "max_prepared_transactions = 20\nautovacuum_naptime = '1s'\n");
my $directory = $ENV{TESTDATADIR};

$sluice->sql(<<'END');
CREATE EXTENSION pg_sluice;
CREATE FUNCTION watch_attach(int) RETURNS void AS 'sluice_rows_test', 'sluice_test_watch_attach' LANGUAGE C;
CREATE FUNCTION watch_set(regclass[]) RETURNS void AS 'sluice_rows_test', 'sluice_test_watch_set' LANGUAGE C;
CREATE FUNCTION watch_take() RETURNS boolean AS 'sluice_rows_test', 'sluice_test_watch_take' LANGUAGE C;
CREATE FUNCTION watch_wait(ms int) RETURNS boolean AS 'sluice_rows_test', 'sluice_test_watch_wait' LANGUAGE C;
CREATE FUNCTION horizon_create(regclass, text) RETURNS text AS 'sluice_rows_test', 'sluice_test_horizon_create' LANGUAGE C;
CREATE FUNCTION horizon_look(now_ms bigint) RETURNS text AS 'sluice_rows_test', 'sluice_test_horizon_look' LANGUAGE C;
CREATE FUNCTION horizon_stale() RETURNS boolean AS 'sluice_rows_test', 'sluice_test_horizon_stale' LANGUAGE C;
CREATE FUNCTION horizon_relations() RETURNS regclass[] AS 'sluice_rows_test', 'sluice_test_horizon_relations' LANGUAGE C;
CREATE FUNCTION reading_create(stream text, encoding int) RETURNS text AS 'sluice_rows_test', 'sluice_test_reading_create' LANGUAGE C;
CREATE FUNCTION reading_read(after bigint, through bigint, max_rows int, max_bytes int, "limit" int, OUT offsets bigint[], OUT payloads bytea[], OUT complete boolean)
	AS 'sluice_rows_test', 'sluice_test_reading_read' LANGUAGE C;
CREATE FUNCTION reading_stale() RETURNS boolean AS 'sluice_rows_test', 'sluice_test_reading_stale' LANGUAGE C;

CREATE TABLE t (id bigserial PRIMARY KEY, who int) PARTITION BY HASH (id);
CREATE TABLE t0 PARTITION OF t FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE t1 PARTITION OF t FOR VALUES WITH (MODULUS 2, REMAINDER 1);
SELECT sluice.create_stream('t', 't', offset_column => 'id');
CREATE TABLE delivered (n bigserial, id bigint, at timestamptz DEFAULT clock_timestamp());

CREATE PROCEDURE deliver(seconds int) LANGUAGE plpgsql AS $$
DECLARE
	until timestamptz := clock_timestamp() + seconds * interval '1 second';
	last bigint := 0;
	final bigint;
	got record;
	state text;
BEGIN
	PERFORM watch_attach(31);
	PERFORM horizon_create('t', 'id'), reading_create('t', 0);
	PERFORM watch_set(horizon_relations());
	WHILE clock_timestamp() < until LOOP
		IF horizon_stale() OR reading_stale() THEN
			PERFORM horizon_create('t', 'id'), reading_create('t', 0);
		END IF;
		state := horizon_look((extract(epoch FROM clock_timestamp()) * 1000)::bigint);
		COMMIT;
		final := substring(state FROM 'final (\d+)')::bigint;
		IF final > last THEN
			got := reading_read(last, final, 1000, 1000000, 0);
			INSERT INTO delivered (id) SELECT unnest(got.offsets);
			last := CASE WHEN got.complete THEN final ELSE got.offsets[array_upper(got.offsets, 1)] END;
		ELSE
			PERFORM watch_wait(coalesce(substring(state FROM 'after (\d+) ms')::int, 5000));
		END IF;
		COMMIT;
	END LOOP;
END $$;
END

sub script
{
	my ($name, $text) = @_;
	open my $file, '>', "$directory/$name.sql" or die "$name: $!\n";
	print $file $text;
	return "-f$directory/$name.sql";
}

my @scripts = (
	script('single', "INSERT INTO t (who) VALUES (:client_id);\n"),
	script('slow', "\\set ms random(0, 30)\nBEGIN;\nINSERT INTO t (who) VALUES (:client_id);\n\\sleep :ms ms\nINSERT INTO t (who) SELECT :client_id FROM generate_series(1, 3);\nCOMMIT;\n"),
	script('back', "\\set ms random(0, 10)\nBEGIN;\nINSERT INTO t (who) VALUES (-1);\n\\sleep :ms ms\nROLLBACK;\n"),
	script('savepoint', "\\set ms random(0, 10)\nBEGIN;\nINSERT INTO t (who) VALUES (:client_id);\nSAVEPOINT a;\nINSERT INTO t (who) VALUES (-1);\nROLLBACK TO a;\n\\sleep :ms ms\nINSERT INTO t (who) VALUES (:client_id);\nCOMMIT;\n"),
	script('prepared', "\\set ms random(0, 20)\nBEGIN;\nINSERT INTO t (who) VALUES (:client_id);\nPREPARE TRANSACTION 'p:client_id';\n\\sleep :ms ms\nCOMMIT PREPARED 'p:client_id';\n"),
	script('async', "BEGIN;\nSET LOCAL synchronous_commit = off;\nINSERT INTO t (who) VALUES (:client_id);\nCOMMIT;\n"),
	script('only_savepoint', "\\set ms random(0, 40)\nBEGIN;\nSAVEPOINT a;\nINSERT INTO t (who) VALUES (-1);\nROLLBACK TO a;\n\\sleep :ms ms\nCOMMIT;\n"),
	script('update', "UPDATE t SET who = who WHERE id = (SELECT max(id) FROM t);\n"));

my $deliverer = IPC::Run::start([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $sluice->node->connstr('postgres'), '-c', 'CALL deliver(' . ($seconds + 4) . ')' ],
	'<', \undef, '>', \my $out, '2>', \my $err);
is(system('pgbench', '-n', '-c', 8, '-j', 2, '-T', $seconds, "--random-seed=$seed", @scripts, '-h', $sluice->node->host, '-p', $sluice->node->port, '-U', 'postgres', 'postgres'),
	0, "writers, seed $seed") or diag('pgbench failed');
ok($deliverer->finish, 'deliverer') or diag($err);
cmp_ok($sluice->sql('SELECT count(*) FROM t'), '>', 100, 'rows were written: ' . $sluice->sql('SELECT count(*) FROM t'));
is($sluice->sql('SELECT count(*) FROM t WHERE NOT EXISTS (SELECT FROM delivered d WHERE d.id = t.id)'), 0, 'none is missing');
is($sluice->sql('SELECT count(*) FROM delivered d WHERE NOT EXISTS (SELECT FROM t WHERE d.id = t.id)'), 0, 'none is invented');
is($sluice->sql('SELECT count(*) - count(DISTINCT id) FROM delivered'), 0, 'none comes twice');
is($sluice->sql('SELECT count(*) FROM (SELECT id < lag(id) OVER (ORDER BY n) AS back FROM delivered) d WHERE back'), 0, 'in order');

# A wake-up comes with the commit, not with a timer.
my $waiter = IPC::Run::start([ 'psql', '-X', '-q', '-t', '-A', '-d', $sluice->node->connstr('postgres'), '-c', "SELECT watch_attach(31)", '-c', "SELECT watch_set('{t1}')",
		'-c', 'SELECT watch_take() IS NULL', '-c', "SELECT watch_wait(60000)" ], '<', \undef, '>', \$out, '2>', \$err);
$sluice->wait_sql("SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%watch_wait%' AND wait_event_type = 'Extension' AND pid <> pg_backend_pid()", 1);
my $began = time;
$sluice->sql('INSERT INTO t (who) SELECT 0 FROM generate_series(1, 10)');
$waiter->finish;
like($out, qr/t\n$/, 'told') or diag($err);
cmp_ok(time - $began, '<', 30, 'at once');

done_testing();
