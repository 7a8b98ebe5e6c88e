-- create_stream, alter_stream, drop_stream, hold, resume: settings and mismatches
CREATE EXTENSION pg_sluice;
SET client_min_messages = warning;

-- A table is made where none is named; the first stream is the default one.
SELECT sluice.create_stream('readings', message_type => 'ingestion.DataPayload');
\d readings
SELECT sluice.create_stream('events', payload_format => 'json') = 2 AS second;
\d events
SELECT sluice.create_stream('blobs', payload_format => 'bytes', envelope_columns => '{"key": "nosuch"}') IS NULL AS never;
SELECT sluice.create_stream('blobs', payload_format => 'bytes') IS NOT NULL AS made;
SELECT name, target, owner = current_user::regrole AS mine, payload_format, message_type, idempotency_window, offset_column, unknown_fields,
	overflow_column, envelope_columns, is_default, allow_foreign, key_conflict, held_reason
	FROM sluice.streams ORDER BY id;

-- Settings that do not go together.
SELECT sluice.create_stream(NULL);
SELECT sluice.create_stream('');
SELECT sluice.create_stream('events');
CREATE TABLE taken ();
SELECT sluice.create_stream('taken');
DROP TABLE taken;
SELECT sluice.create_stream('x', payload_format => 'xml');
SELECT sluice.create_stream('x', payload_format => 'protobuf');
SELECT sluice.create_stream('x', payload_format => 'json', message_type => 'ingestion.DataPayload');
SELECT sluice.create_stream('x', payload_format => 'json', descriptor_set => '\x00');
SELECT sluice.create_stream('x', message_type => 'ingestion.NoSuchMessage');
SELECT sluice.create_stream('x', message_type => 'a.B', descriptor_set => '\xff');
SELECT sluice.create_stream('x', unknown_fields => 'keep');
SELECT sluice.create_stream('x', unknown_fields => 'overflow');
SELECT sluice.create_stream('x', key_conflict => 'ignore');
SELECT sluice.create_stream('x', rate => -2);
SELECT sluice.create_stream('x', rate => 10000001);
SELECT sluice.alter_stream('events', burst => -2);
SELECT sluice.alter_stream('events', rate => 100, burst => 10);
SELECT sluice.alter_stream('events', rate => -1);
SELECT rate, burst FROM sluice.streams WHERE name = 'events';
SELECT sluice.alter_stream('events', rate => 0, burst => -1);
SELECT s.rate, s.burst, t.rate, throttled, throttled_time = interval '0' AS never FROM sluice.streams s JOIN sluice.stat_streams t USING (name) WHERE name = 'events';
SELECT sluice.alter_stream('events', rate => -1);
SELECT sluice.create_stream('x', idempotency_window => '-1 hour');
SELECT sluice.create_stream('x', envelope_columns => '[1]');
SELECT sluice.create_stream('x', envelope_columns => '{"color": "c"}');
SELECT sluice.create_stream('x', envelope_columns => '{"key": 1}');

-- Every mismatch between message and table is an error here.
CREATE TABLE t (device_id text, "timestamp" timestamptz, temperature_celsius float8);
SELECT sluice.create_stream('t', 't', message_type => 'ingestion.DataPayload');
ALTER TABLE t ADD humidity_percent text;
SELECT sluice.create_stream('t', 't', message_type => 'ingestion.DataPayload', envelope_columns => '{"key": "nosuch"}');
ALTER TABLE t ALTER humidity_percent TYPE boolean USING false;
SELECT sluice.create_stream('t', 't', message_type => 'ingestion.DataPayload');
ALTER TABLE t ALTER humidity_percent TYPE real USING 0;
ALTER TABLE t ADD site text NOT NULL;
SELECT sluice.create_stream('t', 't', message_type => 'ingestion.DataPayload');
ALTER TABLE t ALTER site SET DEFAULT 'here', ADD at timestamptz, ADD k integer, ADD g integer GENERATED ALWAYS AS (1) STORED;
SELECT sluice.create_stream('t', 't', message_type => 'ingestion.DataPayload', envelope_columns => '{"key": "k"}');
SELECT sluice.create_stream('t', 't', message_type => 'ingestion.DataPayload', envelope_columns => '{"key": "g"}');
SELECT sluice.create_stream('t', 't', message_type => 'ingestion.DataPayload', overflow_column => 'nosuch');
SELECT sluice.create_stream('t', 't', message_type => 'ingestion.DataPayload', offset_column => 'nosuch');
SELECT sluice.create_stream('t', 't', message_type => 'ingestion.DataPayload', offset_column => 'k');
SELECT sluice.create_stream('t', 't', message_type => 'ingestion.DataPayload', envelope_columns => '{"received_at": "at"}') > 0 AS made;
SELECT sluice.create_stream('b', 't', payload_format => 'bytes');

-- What cannot be a target.
CREATE VIEW v AS SELECT 1 AS a;
CREATE SEQUENCE seq;
CREATE TEMP TABLE tmp (a int);
CREATE UNLOGGED TABLE fast (a int);
SELECT sluice.create_stream('v', 'v');
SELECT sluice.create_stream('seq', 'seq');
SELECT sluice.create_stream('tmp', 'tmp');
SELECT sluice.create_stream('fast', 'fast');
SELECT sluice.create_stream('cat', 'pg_class');
SELECT sluice.create_stream('own', 'sluice.streams');

-- Another default takes over.
SELECT sluice.alter_stream('t', is_default => true);
SELECT name FROM sluice.streams WHERE is_default;
SELECT sluice.alter_stream('nosuch');
SELECT sluice.alter_stream('t', key_conflict => 'never');
SELECT sluice.alter_stream('t', unknown_fields => 'ignore', idempotency_window => '7 days', key_conflict => 'dead_letter');
SELECT unknown_fields, idempotency_window, key_conflict FROM sluice.streams WHERE name = 't';
-- A target that does not fit is refused, and nothing has changed.
SELECT sluice.alter_stream('t', target => 'events', unknown_fields => 'reject');
SELECT target FROM sluice.streams WHERE name = 't';

-- Hold and resume.
SELECT sluice.hold('events', 'maintenance of the table');
SELECT sluice.ingest('events', 'k1', '{}'::bytea);
SELECT hold, message FROM sluice.stat_streams WHERE name = 'events';
SELECT sluice.resume('events');
SELECT sluice.ingest('events', 'k1', '{}'::bytea);
SELECT sluice.hold('nosuch', 'x');
SELECT sluice.ingest('nosuch', 'k', '{}'::bytea);

-- Schema changes of the target are followed.
ALTER TABLE t RENAME humidity_percent TO moisture;
SELECT sluice.ingest('t', 'after-rename', '\x'::bytea);
SELECT site, moisture FROM t;
SELECT sluice.alter_stream('t', unknown_fields => 'reject');
ALTER TABLE t RENAME moisture TO humidity_percent;
SELECT sluice.alter_stream('t', unknown_fields => 'reject');
DROP TABLE t;
SELECT sluice.ingest('t', 'after-drop', '\x'::bytea);

-- Drop: open dead letters are discarded, the table goes only when told.
SELECT sluice.ingest('events', 'k2', 'no json'::bytea);
SELECT sluice.drop_stream('events', drop_target => true);
SELECT to_regclass('events') IS NULL AS gone;
SELECT state, settle_reason FROM sluice.dead_letters WHERE key_text = 'k2';
SELECT sluice.drop_stream('t');
SELECT sluice.drop_stream('blobs');
SELECT to_regclass('blobs') IS NOT NULL AS kept;
SELECT sluice.drop_stream('blobs');

-- Roles: the caller must be able to insert, and own what it changes.
CREATE ROLE regress_sluice_a;
CREATE ROLE regress_sluice_b;
GRANT USAGE ON SCHEMA sluice TO regress_sluice_a, regress_sluice_b;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA sluice TO regress_sluice_a, regress_sluice_b;
CREATE TABLE mine (a int);
SET ROLE regress_sluice_a;
SELECT sluice.create_stream('mine', 'mine');
RESET ROLE;
GRANT INSERT ON mine TO regress_sluice_a;
SET ROLE regress_sluice_a;
SELECT sluice.create_stream('mine', 'mine') > 0 AS made;
SELECT sluice.ingest('mine', 'k1', '{"a": 1}'::bytea);
SELECT sluice.ingest('mine', 'bad', '{"zz": 1}'::bytea);
SELECT * FROM sluice.streams;
SET ROLE regress_sluice_b;
SELECT sluice.hold('mine', 'mischief');
SELECT sluice.drop_stream('mine');
SELECT sluice.discard(ARRAY(SELECT generate_series(1, 100)::bigint), 'not mine');
SELECT * FROM sluice.redrive();
SELECT sluice.ingest('mine', 'k2', '{"a": 2}'::bytea);
RESET ROLE;
SELECT owner FROM sluice.streams WHERE name = 'mine';
DROP EXTENSION pg_sluice;
DROP TABLE mine, readings, blobs, fast;
DROP VIEW v;
DROP SEQUENCE seq;
DROP OWNED BY regress_sluice_a, regress_sluice_b;
DROP ROLE regress_sluice_a, regress_sluice_b;
