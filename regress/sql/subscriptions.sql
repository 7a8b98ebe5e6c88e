-- Durable subscriptions, the SQL side: this session takes the place of the worker and its consumer.
CREATE EXTENSION pg_sluice;
SET client_min_messages = warning;
CREATE FUNCTION activate(name text, delivered bigint) RETURNS bigint AS 'sluice_subscription_test', 'sluice_test_activate' LANGUAGE C STRICT;
CREATE FUNCTION deactivate() RETURNS void AS 'sluice_subscription_test', 'sluice_test_deactivate' LANGUAGE C;
CREATE FUNCTION report(state int, delivered bigint, in_flight bigint, rows bigint, redelivered bigint, caught_up_at timestamptz, blocker int)
	RETURNS void AS 'sluice_subscription_test', 'sluice_test_report' LANGUAGE C STRICT;
CREATE FUNCTION changes() RETURNS bigint AS 'sluice_subscription_test', 'sluice_test_changes' LANGUAGE C;
CREATE FUNCTION unsubscribe(name text, epoch bigint) RETURNS boolean AS 'sluice_subscription_test', 'sluice_test_unsubscribe' LANGUAGE C STRICT;
CREATE FUNCTION try_lock(id int) RETURNS text AS 'sluice_subscription_test', 'sluice_test_lock' LANGUAGE C STRICT;
CREATE FUNCTION worker_create(name text, stream int, "position" bigint, at_most_once boolean)
	RETURNS boolean AS 'sluice_subscription_test', 'sluice_test_create' LANGUAGE C STRICT;
CREATE FUNCTION advance(name text, "position" bigint) RETURNS bigint AS 'sluice_subscription_test', 'sluice_test_advance' LANGUAGE C STRICT;
CREATE FUNCTION restart(name text, "position" bigint) RETURNS boolean AS 'sluice_subscription_test', 'sluice_test_restart' LANGUAGE C STRICT;
CREATE FUNCTION nack(name text, "offset" bigint, payload bytea, reason text) RETURNS int AS 'sluice_subscription_test', 'sluice_test_nack' LANGUAGE C;
CREATE FUNCTION lose(name text) RETURNS int AS 'sluice_subscription_test', 'sluice_test_lose' LANGUAGE C STRICT;
CREATE FUNCTION redriven(name text, without bigint, max int) RETURNS text AS 'sluice_subscription_test', 'sluice_test_redriven' LANGUAGE C STRICT;
CREATE FUNCTION settle(name text, letter bigint, done boolean, reason text) RETURNS void AS 'sluice_subscription_test', 'sluice_test_settle' LANGUAGE C;

SELECT sluice.create_stream('events', payload_format => 'json');
INSERT INTO events (received_at, payload) SELECT '2026-01-01 00:00:00Z'::timestamptz + i * interval '1 hour', '{}' FROM generate_series(1, 10) i;

-- Where they begin.
SELECT sluice.create_subscription('first') AS id;
SELECT sluice.create_subscription('last', 'events', start => 'latest');
SELECT sluice.create_subscription('after', 'events', after_offset => 4);
SELECT sluice.create_subscription('since', 'events', since => '2026-01-01 06:00:00Z');
SELECT sluice.create_subscription('between', 'events', since => '2026-01-01 05:30:00Z', guarantee => 'at_most_once');
SELECT sluice.create_subscription('past', 'events', since => '2025-01-01', max_attempts => 2, max_losses => 3, retry_delay => '250 ms');
SELECT sluice.create_subscription('future', 'events', since => '2027-01-01', start => NULL, guarantee => NULL, max_attempts => NULL, retry_delay => NULL);
SELECT id, name, stream, owner = current_user::regrole AS mine, guarantee, position, epoch, attempt_offset, attempts, losses, max_attempts,
	max_losses, retry_delay, deleted, consumer, started_at, last_ack_at FROM sluice.subscriptions ORDER BY id;
-- 'latest' of a sequence that is to begin somewhere else.
SELECT setval('events_id_seq', 1000, false);
SELECT sluice.create_subscription('restarted', start => 'latest');
SELECT position FROM sluice.subscriptions WHERE name = 'restarted';
SELECT setval('events_id_seq', 10);
CREATE TABLE low (id bigint GENERATED ALWAYS AS IDENTITY (MINVALUE -5 START -5), n int, at timestamptz);
SELECT sluice.create_stream('low', 'low', offset_column => 'id', envelope_columns => '{"received_at": "at"}') > 0 AS made;
ALTER TABLE low ALTER id SET MINVALUE 10 SET START 10 RESTART;
SELECT sluice.create_stream('low', 'low', offset_column => 'id', envelope_columns => '{"received_at": "at"}') > 0 AS made;
SELECT sluice.create_subscription('low', 'low') > 0 AS made;
SELECT sluice.create_subscription('lower', 'low', since => '2026-01-01') > 0 AS made;
SELECT name, position FROM sluice.subscriptions WHERE name LIKE 'low%' ORDER BY name;

-- What cannot be made.
SELECT sluice.create_subscription(NULL);
SELECT sluice.create_subscription('');
SELECT sluice.create_subscription(repeat('ü', 201));
SELECT sluice.create_subscription(repeat('ü', 200)) > 0 AS made;
SELECT sluice.create_subscription('first');
SELECT sluice.create_subscription('x', 'nosuch');
SELECT sluice.create_subscription('x', start => 'now');
SELECT sluice.create_subscription('x', guarantee => 'exactly_once');
SELECT sluice.create_subscription('x', start => 'latest', after_offset => 1);
SELECT sluice.create_subscription('x', since => '2026-01-01', after_offset => 1);
SELECT sluice.create_subscription('x', after_offset => 11);
SELECT sluice.create_subscription('x', max_attempts => 0);
SELECT sluice.create_subscription('x', max_losses => 0);
SELECT sluice.create_subscription('x', retry_delay => '-1 ms');
SELECT sluice.create_subscription('x', retry_delay => '61 minutes');

-- What has no order.
CREATE TABLE plain (id bigint, n int, s bigserial, i int GENERATED ALWAYS AS IDENTITY);
SELECT sluice.create_stream('plain', 'plain') > 0 AS made;
SELECT sluice.create_subscription('x', 'plain');
SELECT sluice.alter_stream('plain', offset_column => 'id');
SELECT sluice.alter_stream('plain', offset_column => 'i');
SELECT sluice.alter_stream('plain', offset_column => 's');
SELECT sluice.create_subscription('x', 'plain', since => '2026-01-01');
ALTER SEQUENCE plain_s_seq CACHE 10;
SELECT sluice.create_subscription('x', 'plain');
SELECT sluice.alter_stream('plain', key_conflict => 'duplicate');
ALTER SEQUENCE plain_s_seq CACHE 1 CYCLE;
SELECT sluice.create_subscription('x', 'plain');
ALTER SEQUENCE plain_s_seq NO CYCLE INCREMENT -1 NO MAXVALUE NO MINVALUE START -1 RESTART;
SELECT sluice.create_subscription('x', 'plain');
ALTER SEQUENCE plain_s_seq INCREMENT 5 NO MINVALUE NO MAXVALUE START 1 RESTART;
SELECT sluice.create_subscription('plain', 'plain') > 0 AS made;
SELECT position FROM sluice.subscriptions WHERE name = 'plain';
ALTER TABLE plain RENAME s TO t;
SELECT sluice.create_subscription('x', 'plain');
SELECT sluice.seek('plain', "offset" => 0);
ALTER TABLE plain RENAME t TO s;
CREATE VIEW v AS SELECT * FROM plain;
CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER t INSTEAD OF INSERT ON v FOR EACH ROW EXECUTE FUNCTION nothing();
SELECT sluice.create_stream('v', 'v', offset_column => 's');
CREATE FOREIGN DATA WRAPPER nowhere;
CREATE SERVER nowhere FOREIGN DATA WRAPPER nowhere;
CREATE TABLE parted (id bigserial, n int) PARTITION BY LIST (n);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES IN (1);
SELECT sluice.create_stream('parted', 'parted', offset_column => 'id', allow_foreign => true) > 0 AS made;
SELECT sluice.create_subscription('parted', 'parted') > 0 AS made;
CREATE FOREIGN TABLE parted_2 PARTITION OF parted FOR VALUES IN (2) SERVER nowhere;
SELECT sluice.create_subscription('x', 'parted');
DROP FOREIGN TABLE parted_2;
DROP TABLE plain CASCADE;
SELECT sluice.create_subscription('x', 'plain');

-- Acknowledged in the consumer's own transaction.
SELECT activate('first', 5) AS epoch \gset
SELECT consumer, started_at IS NOT NULL AS started, epoch <> 0 AS epoch FROM sluice.subscriptions WHERE name = 'first';
SELECT changes() AS before \gset
BEGIN;
SELECT sluice.ack('first', :epoch, 1, 0);
SELECT sluice.ack('first', :epoch, 3, 1);
SELECT changes() - :before AS told;
ROLLBACK;
SELECT changes() - :before AS told;
SELECT position FROM sluice.subscriptions WHERE name = 'first';
BEGIN;
SELECT sluice.ack('first', :epoch, 1, 0);
SAVEPOINT s;
SELECT sluice.ack('first', :epoch, 2, 1);
ROLLBACK TO s;
SELECT sluice.ack('first', :epoch, 3, 1);
COMMIT;
SELECT changes() - :before AS told;
SELECT position, last_ack_at IS NOT NULL AS acknowledged FROM sluice.subscriptions WHERE name = 'first';
SELECT sluice.ack('first', :epoch, 4);
-- Everything that does not fit is an error, each with a condition of its own.
CREATE FUNCTION attempt(command text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	state text; message text; detail text; hint text;
BEGIN
	EXECUTE command;
	RETURN 'done';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
	RETURN concat_ws(E'\n', state || ': ' || message, nullif(detail, ''), nullif(hint, ''));
END $$;
\t \a
SELECT attempt(format('SELECT sluice.ack(%L, %s, 4)', 'first', :epoch));
SELECT attempt(format('SELECT sluice.ack(%L, %s, 3, 2)', 'first', :epoch));
SELECT attempt(format('SELECT sluice.ack(%L, %s, 5, 3)', 'first', :epoch));
SELECT attempt(format('SELECT sluice.ack(%L, %s, 6)', 'first', :epoch));
SELECT attempt(format('SELECT sluice.ack(%L, %s, 5)', 'first', :epoch + 1));
SELECT attempt(format('SELECT sluice.ack(%L, 0, 5)', 'last'));
SELECT attempt(format('SELECT sluice.ack(%L, 1, 5)', 'between'));
SELECT attempt(format('SELECT sluice.ack(%L, 1, 5)', 'nosuch'));
SELECT attempt(format('SELECT sluice.ack(%L, NULL, 5)', 'first'));
SELECT attempt(format('SELECT sluice.ack(%L, %s, 5, 4)', 'first', :epoch));
-- The row has the epoch still, but the call has ended.
SELECT deactivate();
SELECT attempt(format('SELECT sluice.ack(%L, %s, 6)', 'first', :epoch));
\t \a
-- The next one gets another epoch, at the acknowledged position.
SELECT activate('first', 9) <> :epoch AS fresh;
SELECT epoch AS old, changes() AS before FROM sluice.subscriptions WHERE name = 'first' \gset
SELECT activate('first', 9);

-- seek: in the same transaction position and epoch.
SELECT lose('first'), nack('first', 6, '{}', 'no');
SELECT position, epoch <> :old AS fresh, attempt_offset, attempts, losses FROM sluice.subscriptions WHERE name = 'first';
SELECT epoch AS old FROM sluice.subscriptions WHERE name = 'first' \gset
SELECT sluice.seek('first', 5);
SELECT changes() - :before AS told;
SELECT position, epoch <> :old AS fresh, attempt_offset, attempts, losses FROM sluice.subscriptions WHERE name = 'first';
SELECT sluice.ack('first', :old, 6);
SELECT sluice.seek('first', "time" => '2026-01-01 03:00:00Z');
SELECT position FROM sluice.subscriptions WHERE name = 'first';
SELECT sluice.seek('first', 10), sluice.seek('between', 2);
SELECT name, position FROM sluice.subscriptions WHERE name IN ('first', 'between') ORDER BY name;
SELECT sluice.seek(NULL, 1);
SELECT sluice.seek('first');
SELECT sluice.seek('first', 1, now());
SELECT sluice.seek('first', 11);
SELECT sluice.seek('nosuch', 1);
-- A prepared change is told of when it is prepared.
SELECT changes() AS before \gset
BEGIN;
SELECT sluice.seek('first', 1);
PREPARE TRANSACTION 'seek';
SELECT changes() - :before AS told;
SELECT try_lock(1);
COMMIT PREPARED 'seek';
SELECT try_lock(1), try_lock(999);
SELECT position FROM sluice.subscriptions WHERE name = 'first';

-- The worker's side.
SELECT worker_create('first', 1, 0, false), worker_create('wired', 1, 7, true), worker_create('wired', 1, 7, true), worker_create('x', 999, 0, false);
SELECT guarantee, position, owner = current_user::regrole AS streams, max_attempts, retry_delay FROM sluice.subscriptions WHERE name = 'wired';
SELECT advance('wired', 8), advance('wired', 6);
SELECT restart('first', 1), restart('first', 2);
SELECT position FROM sluice.subscriptions WHERE name = 'first';
SELECT unsubscribe('first', 1), unsubscribe('last', 0), unsubscribe('first', 0), changes() < 0 AS told;
SELECT deactivate();
SELECT unsubscribe('first', 0);

-- A row that cannot be processed.
SELECT nack('past', 1, '{"n": 1}', 'bad'), nack('past', 2, '{"n": 2}', 'another one'), nack('past', 1, '{"n": 1}', 'bad again');
SELECT position, attempt_offset, attempts FROM sluice.subscriptions WHERE name = 'past';
SELECT nack('past', 1, '{"n": 1}', 'bad for good');
SELECT nack('past', 2, '', NULL), nack('past', 2, '', NULL);
SELECT nack('past', 3, NULL, 'gone'), nack('past', 3, NULL, 'gone');
SELECT position, attempt_offset, attempts, deleted FROM sluice.subscriptions WHERE name = 'past';
SELECT id, stream, stream_name, subscription, "offset", payload, sqlstate, message, detail, state, key, producer FROM sluice.dead_letters ORDER BY id;
SELECT open_dead_letters FROM sluice.stat_streams WHERE name = 'events';
SELECT name, open_dead_letters FROM sluice.stat_subscriptions WHERE open_dead_letters > 0;

-- Redriven to that subscription alone; twice is once.
SELECT sluice.ingest('events', 'bad', 'no json'::bytea);
SELECT * FROM sluice.redrive(ids => ARRAY[1], payload => '{"n": "edited"}');
SELECT * FROM sluice.redrive(ids => ARRAY[1]);
SELECT redriven('past', 0, 10), redriven('last', 0, 10);
SELECT * FROM sluice.redrive('events');
SELECT redriven('past', 0, 10), redriven('past', 1, 10), redriven('past', 0, 1);
SELECT count(*) FROM events;
SELECT settle('past', 1, true, NULL), settle('past', 2, false, 'still bad'), settle('last', 3, true, NULL);
SELECT redriven('past', 0, 10) = '' AS none;
SELECT id, state, message, settled_at IS NOT NULL AS settled, settled_by = current_user AS by_me FROM sluice.dead_letters ORDER BY id;
-- A second acknowledgement finds nothing to do.
SELECT settle('past', 1, false, 'late');
SELECT state FROM sluice.dead_letters WHERE id = 1;
SELECT * FROM sluice.redrive();
SELECT sluice.discard(ARRAY[2, 3], 'of no use');
SELECT * FROM sluice.redrive();
SELECT redriven('past', 0, 10) = '' AS none;
-- Its rows do not disturb the ledger's side: neither keys nor producers.
SELECT sluice.ingest('events', 'bad', 'no json'::bytea);
SELECT count(*) FROM sluice.ledger;

-- Lag: rows, not offsets.
DELETE FROM events WHERE id IN (3, 4);
SELECT sluice.seek('first', 1), sluice.seek('last', 10);
SELECT name, stream, position, state, lag_records, lag_seconds > 0 AS lags FROM sluice.stat_subscriptions WHERE name IN ('first', 'last') ORDER BY name;
SELECT activate('first', 5) > 0 AS active;
SELECT report(s.state, 5, 4, 6, 2, '2026-01-01Z', 4711) FROM (VALUES (5)) s (state);
SELECT state, worker, pid = pg_backend_pid() AS here, consumer, client_address, active_since <= now() + interval '1 minute' AS since, delivered, in_flight,
	rows_sent, redelivered, attempts, losses, lag_records, blocker_pid, last_ack_at IS NOT NULL AS acknowledged
	FROM sluice.stat_subscriptions WHERE name = 'first';
CREATE VIEW states AS SELECT state, delivered, blocker_pid FROM sluice.stat_subscriptions WHERE name = 'first';
SELECT report(1, 0, 0, 0, 0, '2000-01-01Z', 0);
SELECT * FROM states;
SELECT report(2, 5, 0, 1, 0, '2000-01-01Z', 0);
SELECT * FROM states;
SELECT report(3, 5, 0, 1, 0, '2000-01-01Z', 0);
SELECT * FROM states;
SELECT report(4, 5, 0, 1, 0, '2000-01-01Z', 0);
SELECT * FROM states;
-- Without received_at: since the consumer had all rows.
INSERT INTO low (n) VALUES (1), (2);
SELECT lag_records, lag_seconds FROM sluice.stat_subscriptions WHERE name = 'low';
SELECT deactivate();
SELECT activate('low', 10) > 0 AS active;
SELECT report(3, -5, 0, 1, 0, now() - interval '10 s', 0);
SELECT lag_records, lag_seconds BETWEEN 10 AND 100 AS lags FROM sluice.stat_subscriptions WHERE name = 'low';
SELECT deactivate();
-- The column of received_at as it is now: of another type, of one that is no time, gone.
UPDATE low SET at = now() - interval '1 hour';
SELECT lag_records, lag_seconds BETWEEN 3600 AND 3700 AS lags FROM sluice.stat_subscriptions WHERE name = 'low';
ALTER TABLE low ALTER at TYPE timestamp;
SELECT lag_records, lag_seconds BETWEEN 3600 AND 3700 AS lags FROM sluice.stat_subscriptions WHERE name = 'low';
ALTER TABLE low ALTER at TYPE text;
SELECT lag_records, lag_seconds BETWEEN 3600 AND 3700 AS lags FROM sluice.stat_subscriptions WHERE name = 'low';
ALTER TABLE low ALTER at TYPE integer USING 1;
SELECT lag_records, lag_seconds FROM sluice.stat_subscriptions WHERE name = 'low';
ALTER TABLE low DROP at;
SELECT lag_records, lag_seconds FROM sluice.stat_subscriptions WHERE name = 'low';
ALTER TABLE low ADD at timestamptz;
-- Many are estimated.
INSERT INTO low (n) SELECT 1 FROM generate_series(1, 100000);
DELETE FROM low WHERE id % 2 = 0;
INSERT INTO low (n) SELECT 1 FROM generate_series(1, 150000);
SELECT lag_records BETWEEN 150000 AND 250000 AS estimated FROM sluice.stat_subscriptions WHERE name = 'low';
-- What cannot be counted is NULL, and the others are shown.
SELECT name, state, lag_records, lag_seconds FROM sluice.stat_subscriptions WHERE name IN ('plain', 'parted') ORDER BY name;

-- Who may.
CREATE ROLE regress_sluice_a;
CREATE ROLE regress_sluice_b;
GRANT USAGE ON SCHEMA sluice TO regress_sluice_a, regress_sluice_b;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA sluice TO regress_sluice_a, regress_sluice_b;
SET ROLE regress_sluice_a;
SELECT sluice.create_subscription('theirs', 'events');
SELECT sluice.drop_subscription('first');
SELECT sluice.seek('first', 1);
SELECT sluice.ack('first', 1, 1);
SELECT sluice.discard(ARRAY(SELECT generate_series(1, 10)::bigint), 'not mine');
RESET ROLE;
SELECT nack('past', 5, '{}', 'x'), nack('past', 5, '{}', 'x');
SET ROLE regress_sluice_a;
SELECT * FROM sluice.redrive(ids => ARRAY[4]);
SELECT sluice.discard(ARRAY[4], 'not mine');
RESET ROLE;
GRANT SELECT ON events TO regress_sluice_a;
SET ROLE regress_sluice_a;
SELECT sluice.create_subscription('theirs', 'events', since => '2026-01-01 06:00:00Z') > 0 AS made;
RESET ROLE;
SELECT owner, position FROM sluice.subscriptions WHERE name = 'theirs';
SELECT activate('theirs', 10) AS epoch \gset
SET ROLE regress_sluice_b;
SELECT sluice.ack('theirs', :epoch, 6);
SET ROLE regress_sluice_a;
SELECT sluice.ack('theirs', :epoch, 6);
SELECT sluice.seek('theirs', 3);
SELECT * FROM sluice.subscriptions;
RESET ROLE;
-- A policy that hides rows from who asks for a time is an error.
ALTER TABLE events ENABLE ROW LEVEL SECURITY;
SET ROLE regress_sluice_a;
SELECT sluice.seek('theirs', "time" => '2026-01-01');
SELECT sluice.drop_subscription('theirs');
RESET ROLE;
ALTER TABLE events DISABLE ROW LEVEL SECURITY;
SELECT deactivate();
-- The owner of the stream may, too; and what it reads is not read as anybody else.
GRANT ALL ON low TO regress_sluice_b;
UPDATE sluice.streams SET owner = 'regress_sluice_b' WHERE name = 'low';
SET ROLE regress_sluice_b;
SELECT sluice.seek('low', 9);
RESET ROLE;
SELECT lag_records > 0 AS counted FROM sluice.stat_subscriptions WHERE name = 'low';
REVOKE SELECT ON low FROM regress_sluice_b;
SELECT lag_records FROM sluice.stat_subscriptions WHERE name = 'low';
UPDATE sluice.streams SET owner = 999999 WHERE name = 'low';
SELECT lag_records FROM sluice.stat_subscriptions WHERE name = 'low';
-- A statement that is to end ends, wherever it is.
\set VERBOSITY terse
SET statement_timeout = '1ms';
DO $$ BEGIN FOR i IN 1 .. 1000 LOOP PERFORM count(*) FROM sluice.stat_subscriptions; END LOOP; END $$;
\unset VERBOSITY
RESET statement_timeout;

-- Drop: letters are discarded, with the subscription or with its stream.
SELECT * FROM sluice.redrive(ids => ARRAY[4]);
SELECT nack('past', 6, '{}', 'x'), nack('past', 6, '{}', 'x');
SELECT sluice.drop_subscription('past');
SELECT sluice.drop_subscription('past');
SELECT id, state, settle_reason, settled_by = current_user AS by_me FROM sluice.dead_letters WHERE subscription IS NOT NULL ORDER BY id;
SELECT nack('first', 5, '{}', 'x') FROM generate_series(1, 5);
SELECT activate('first', 5) > 0 AS active, changes() AS before \gset
SELECT sluice.drop_stream('events');
SELECT changes() - :before AS told;
SELECT state, settle_reason FROM sluice.dead_letters ORDER BY id DESC LIMIT 1;
SELECT name FROM sluice.subscriptions ORDER BY name;
SELECT name, stream, lag_records FROM sluice.stat_subscriptions ORDER BY name;
SELECT deactivate();
-- Comments on all columns.
SELECT attname FROM pg_attribute WHERE attrelid = 'sluice.subscriptions'::regclass AND attnum > 0 AND col_description(attrelid, attnum) IS NULL;
-- A row keeps its place over more versions than a page holds, and further indexes are kept up.
CREATE INDEX ON sluice.subscriptions ("position");
SELECT count(sluice.seek('low', i)) FROM generate_series(1, 99) i;
SELECT count(*), max(position) FROM sluice.subscriptions WHERE name = 'low';
SET enable_seqscan = off;
SELECT name FROM sluice.subscriptions WHERE position = 99;
SELECT name FROM sluice.subscriptions WHERE name = 'low' AND position = 99;
RESET enable_seqscan;
ALTER TABLE sluice.subscriptions ADD further int;
SELECT sluice.seek('low', 1);
DROP VIEW states;
DROP EXTENSION pg_sluice;
DROP TABLE events, low, parted;
DROP FUNCTION activate, deactivate, report, changes, unsubscribe, try_lock, worker_create, advance, restart, nack, lose, redriven, settle, attempt, nothing;
DROP SERVER nowhere;
DROP FOREIGN DATA WRAPPER nowhere;
DROP OWNED BY regress_sluice_a, regress_sluice_b;
DROP ROLE regress_sluice_a, regress_sluice_b;
