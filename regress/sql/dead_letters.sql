-- Redrive and discard
CREATE EXTENSION pg_sluice;
SET client_min_messages = warning;
CREATE TABLE t (a int CHECK (a < 100));
SELECT sluice.create_stream('t', 't') > 0 AS made;
CREATE TABLE o (a int CHECK (a < 100));
SELECT sluice.create_stream('o', 'o') > 0 AS made;
SELECT array_agg(v) FROM sluice.ingest('t', ARRAY['k1', 'k2', 'k3', ''], ARRAY['{"a": 100}', '{"a": 200}', 'junk', '{"a": 4}']::bytea[]) v;
SELECT sluice.ingest('o', 'k1', '{"a": 100}'::bytea);

-- Nothing has changed: all are refused again, and stay as they are.
SELECT * FROM sluice.redrive();
SELECT id, stream_name, state FROM sluice.dead_letters ORDER BY id;
-- The table has: they are stored, once, with their keys.
ALTER TABLE t DROP CONSTRAINT t_a_check, ADD CHECK (a < 150);
SELECT * FROM sluice.redrive('t');
SELECT * FROM sluice.redrive('t');
SELECT sluice.ingest('t', 'k1', '{"a": 100}'::bytea);
SELECT * FROM t ORDER BY a;
-- An edited payload, for one.
SELECT * FROM sluice.redrive(payload => '{"a": 3}'::bytea);
SELECT * FROM sluice.redrive(ids => ARRAY[2, 3]::bigint[], payload => '{"a": 3}'::bytea);
SELECT * FROM sluice.redrive(ids => ARRAY[3]::bigint[], payload => '{"a": 300}'::bytea);
SELECT * FROM sluice.redrive(ids => ARRAY[3]::bigint[], payload => '{"a": 3}'::bytea);
SELECT * FROM sluice.redrive(ids => ARRAY[3]::bigint[], payload => '{"a": 3}'::bytea);
SELECT * FROM sluice.redrive('nosuch');
-- The sender repaired its payload itself: the letter can only be a duplicate now.
SELECT sluice.ingest('t', 'k2', '{"a": 2}'::bytea);
ALTER TABLE t DROP CONSTRAINT t_a_check;
SELECT * FROM sluice.redrive('t');
SELECT * FROM t ORDER BY a;
SELECT id, key_text, state, settled_by = current_user AS by_me, settled_at IS NOT NULL AS at FROM sluice.dead_letters WHERE stream_name = 't' ORDER BY id;
-- Rolled back, it is open again and its key is as it was.
BEGIN;
ALTER TABLE o DROP CONSTRAINT o_a_check;
SELECT * FROM sluice.redrive('o');
ROLLBACK;
SELECT state FROM sluice.dead_letters WHERE stream_name = 'o';
SELECT sluice.ingest('o', 'k1', '{"a": 100}'::bytea);
-- Discard, with a reason, who and when; a second one changes nothing.
SELECT sluice.discard(ARRAY(SELECT id FROM sluice.dead_letters WHERE stream_name = 'o'), 'of no use');
SELECT sluice.discard(ARRAY(SELECT id FROM sluice.dead_letters WHERE stream_name = 'o'), 'again');
SELECT state, settle_reason, settled_by = current_user AS by_me FROM sluice.dead_letters WHERE stream_name = 'o';
SELECT * FROM sluice.redrive('o');
SELECT sluice.ingest('o', 'k1', '{"a": 100}'::bytea);
DROP EXTENSION pg_sluice;
DROP TABLE t, o;
