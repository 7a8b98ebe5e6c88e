-- Generations of keys: never forgotten before the window is over, under a clock of our own
CREATE EXTENSION pg_sluice;
SET client_min_messages = warning;
CREATE FUNCTION step(timestamptz) RETURNS text AS 'sluice_test', 'sluice_test_rotation_step' LANGUAGE C;
CREATE TABLE t (a int CHECK (a < 100));
SELECT sluice.create_stream('t', 't', idempotency_window => '1 hour') > 0 AS made;
CREATE TABLE l (a int);
SELECT sluice.create_stream('l', 'l', idempotency_window => '2 hours') > 0 AS made;
CREATE FUNCTION generations() RETURNS text LANGUAGE sql AS $$
	SELECT format('serial %s current %s phase %s spare_empty %s', serial, current, phase, spare_empty) FROM sluice.key_generations $$;

-- The first step starts the clock; the longest window of all streams counts, and its end is not its end yet.
SELECT sluice.ingest('t', 'old', '{"a": 1}'::bytea), sluice.ingest('t', 'dead', '{"a": 500}'::bytea);
SELECT step('2030-01-01 00:00+00'), generations();
SELECT step('2030-01-01 01:30+00');
SELECT step('2030-01-01 02:00:00+00');
SELECT step('2030-01-01 02:00:00.000001+00'), generations();
-- Double: keys go to both, and are known in both.
SELECT sluice.ingest('t', 'old', '{"a": 1}'::bytea), sluice.ingest('t', 'during', '{"a": 2}'::bytea), sluice.ingest('t', 'during', '{"a": 2}'::bytea);
SELECT generation, count(*) FROM sluice.idempotency_keys GROUP BY 1 ORDER BY 1;
SELECT step('2030-01-01 02:00:01+00'), generations();
SELECT sluice.ingest('t', 'passing', '{"a": 3}'::bytea), sluice.ingest('t', 'old', '{"a": 1}'::bytea);
SELECT step('2030-01-01 02:00:02+00'), generations();
-- Settled: the spare was emptied when it had been previous; nothing is due for a window.
SELECT step('2030-01-01 02:00:03+00'), generations();
SELECT step('2030-01-01 02:00:04+00');
SELECT sluice.ingest('t', 'old', '{"a": 1}'::bytea), sluice.ingest('t', 'dead', '{"a": 500}'::bytea), sluice.ingest('t', 'passing', '{"a": 3}'::bytea);
-- A key is known for a window after the generation was settled, to the microsecond.
SELECT step('2030-01-01 04:00:02+00');
SELECT sluice.ingest('t', 'old', '{"a": 1}'::bytea);
SELECT step('2030-01-01 04:00:02.000001+00'), generations();
SELECT step('2030-01-01 04:00:03+00'), step('2030-01-01 04:00:04+00'), generations();
-- Now "old" is forgotten; "dead" is not, as its letter is open.
SELECT sluice.ingest('t', 'old', '{"a": 1}'::bytea), sluice.ingest('t', 'during', '{"a": 2}'::bytea),
	sluice.ingest('t', 'passing', '{"a": 3}'::bytea), sluice.ingest('t', 'dead', '{"a": 500}'::bytea);
SELECT count(*) FROM sluice.dead_letters;
SELECT step('2030-01-01 04:00:05+00'), generations();
SELECT generation, count(*) FROM sluice.idempotency_keys GROUP BY 1 ORDER BY 1;

-- Redrive of a key that only the previous generation knows: known as stored afterwards.
ALTER TABLE t DROP CONSTRAINT t_a_check;
SELECT * FROM sluice.redrive('t');
SELECT sluice.ingest('t', 'dead', '{"a": 500}'::bytea);
SELECT a, count(*) FROM t GROUP BY a ORDER BY a;

-- Time-ordered keys below and above the greatest one of the previous generation.
SELECT * FROM sluice.ingest('t', ARRAY['00000000-0000-7000-8000-000000000001', 'ffffffff-ffff-7fff-bfff-ffffffffffff', 'passing'],
	ARRAY['{"a": 10}', '{"a": 11}', '{"a": 3}']::bytea[]);

-- Without streams there is no window, and nothing rotates.
SELECT sluice.drop_stream('t'), sluice.drop_stream('l');
SELECT step('2031-01-01 00:00+00');
DROP FUNCTION step;
DROP FUNCTION generations;
DROP EXTENSION pg_sluice;
DROP TABLE t, l;
