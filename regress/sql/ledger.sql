-- Producers, gaps and the ledger, as SQL sees them
CREATE EXTENSION pg_sluice;
SET client_min_messages = warning;
CREATE ROLE sluice_maker;
CREATE ROLE sluice_nobody;
GRANT USAGE ON SCHEMA sluice TO sluice_maker, sluice_nobody;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA sluice TO sluice_maker;
CREATE TABLE t (id bigint GENERATED ALWAYS AS IDENTITY, p uuid, s bigint, a int CHECK (a < 100));
SELECT sluice.create_stream('t', 't', envelope_columns => '{"producer": "p", "sequence": "s"}') > 0 AS made;
CREATE TABLE o (a int);
ALTER TABLE o OWNER TO sluice_maker;
SET ROLE sluice_maker;
SELECT sluice.create_stream('o', 'o') > 0 AS made;
RESET ROLE;
SELECT id AS t FROM sluice.streams WHERE name = 't' \gset
SELECT id AS o FROM sluice.streams WHERE name = 'o' \gset
CREATE VIEW books AS SELECT name, left(producer::text, 8) AS producer, first, last, stored, duplicate, dead_lettered, filtered, declared, lost, unexplained
	FROM sluice.ledger;

-- What is stored by SQL has no producer.
SELECT sluice.ingest('t', 'k', '{"a": 1}'::bytea);
SELECT p, s, a FROM t;
SELECT count(*) FROM books;

-- A producer's account adds up, whoever writes it.
INSERT INTO sluice.producers (stream, producer, last_sequence, nonce, epoch, stored, duplicate, dead_lettered, filtered, declared, lost, opened_at) VALUES
	(:t, '00000001-0000-0000-0000-000000000000', 21, 1, 1, 1, 2, 3, 4, 5, 6, now()),
	(:t, '00000002-0000-0000-0000-000000000000', 0, 1, 1, 0, 0, 0, 0, 0, 0, now()),
	(:o, '00000001-0000-0000-0000-000000000000', 3, -1, -1, 3, 0, 0, 0, 0, 0, now());
SELECT * FROM books ORDER BY 1, 2;
\set VERBOSITY sqlstate
UPDATE sluice.producers SET last_sequence = last_sequence + 1;
UPDATE sluice.producers SET stored = stored + 1;
UPDATE sluice.producers SET duplicate = duplicate + 1;
UPDATE sluice.producers SET dead_lettered = dead_lettered + 1;
UPDATE sluice.producers SET filtered = filtered + 1;
UPDATE sluice.producers SET declared = declared + 1;
UPDATE sluice.producers SET lost = lost + 1;
UPDATE sluice.producers SET stored = stored + 1, lost = lost - 1;
UPDATE sluice.producers SET last_sequence = NULL;
UPDATE sluice.producers SET producer = NULL;
INSERT INTO sluice.producers SELECT * FROM sluice.producers;
\set VERBOSITY default
-- What is sent again is not in the sum.
UPDATE sluice.producers SET resent = 7 WHERE stream = :o;
SELECT * FROM books WHERE name = 'o';

-- Gaps have a reason that is known, and drop no more than they span.
INSERT INTO sluice.gaps (stream, producer, reason, first, last, dropped)
	SELECT :t, '00000001-0000-0000-0000-000000000000', reason, 10, 19, 10
	FROM unnest(ARRAY['full', 'newest', 'compacted', 'too_large', 'lost_tail', 'server_lost', 'damaged', 'previous_stream']) reason;
INSERT INTO sluice.gaps (stream, producer, reason, first, last, dropped) VALUES (:o, '00000001-0000-0000-0000-000000000000', 'full', 1, 1, 1);
\set VERBOSITY sqlstate
UPDATE sluice.gaps SET reason = 'bored';
UPDATE sluice.gaps SET dropped = 11;
UPDATE sluice.gaps SET dropped = 0;
UPDATE sluice.gaps SET last = 9;
\set VERBOSITY default
SELECT count(*), sum(dropped) FROM sluice.gaps;

-- A producer that will not come back leaves the ledger; nothing of it is forgotten.
SELECT sluice.retire_producer('t', '00000001-0000-0000-0000-000000000000');
SELECT * FROM books ORDER BY 1, 2;
SELECT stream = :t AS here, last_sequence, retired FROM sluice.producers ORDER BY stream, producer;
SELECT sluice.retire_producer('t', '00000001-0000-0000-0000-000000000000');
BEGIN;
SELECT sluice.retire_producer('t', '00000002-0000-0000-0000-000000000000');
ROLLBACK;
SELECT count(*) FROM books;
SELECT sluice.retire_producer('t', '00000003-0000-0000-0000-000000000000');
SELECT sluice.retire_producer('none', '00000001-0000-0000-0000-000000000000');
SELECT sluice.retire_producer(NULL, NULL) IS NULL AS null;

-- Who may what: the owner of a stream retires its producers, and nobody reads or writes the books without a grant.
SET ROLE sluice_maker;
SELECT sluice.retire_producer('o', '00000001-0000-0000-0000-000000000000');
SELECT sluice.retire_producer('t', '00000002-0000-0000-0000-000000000000');
SELECT count(*) FROM sluice.producers;
SELECT count(*) FROM sluice.gaps;
SELECT count(*) FROM sluice.ledger;
UPDATE sluice.producers SET epoch = 0;
DELETE FROM sluice.gaps;
SET ROLE sluice_nobody;
SELECT sluice.retire_producer('o', '00000001-0000-0000-0000-000000000000');
RESET ROLE;
SELECT relname, relacl FROM pg_class WHERE relnamespace = 'sluice'::regnamespace AND relname IN ('producers', 'gaps', 'ledger')
	AND EXISTS (SELECT FROM aclexplode(relacl) WHERE grantee = 0);

-- A dead letter with a sequence is redriven: its row says whose it is, the account stays as it is.
INSERT INTO sluice.dead_letters (stream, stream_name, producer, sequence, payload, sqlstate, message, received_at)
	SELECT :t, 't', '00000001-0000-0000-0000-000000000000', n, convert_to(format('{"a": %s}', n), 'UTF8'), '23514', 'refused', now() FROM generate_series(3, 5) n;
SELECT verdict FROM sluice.redrive('t');
SELECT left(p::text, 8) AS p, s, a FROM t ORDER BY id;
SELECT last_sequence, stored, dead_lettered FROM sluice.producers WHERE stream = :t AND producer = '00000001-0000-0000-0000-000000000000';
SELECT sequence, state FROM sluice.dead_letters ORDER BY id;

-- Producers and gaps go with their stream, those of others stay.
SELECT sluice.drop_stream('t');
SELECT stream = :o AS other, count(*) FROM sluice.producers GROUP BY 1;
SELECT stream = :o AS other, count(*) FROM sluice.gaps GROUP BY 1;
BEGIN;
SELECT sluice.drop_stream('o');
SELECT count(*) FROM sluice.producers;
ROLLBACK;
SELECT count(*) FROM sluice.producers;
-- What they are kept for is in a dump.
SELECT c.relname FROM pg_extension e, unnest(e.extconfig) t JOIN pg_class c ON c.oid = t
	WHERE extname = 'pg_sluice' AND c.relname IN ('producers', 'gaps', 'gaps_id_seq') ORDER BY 1;

DROP VIEW books;
DROP EXTENSION pg_sluice;
DROP TABLE t, o;
DROP OWNED BY sluice_maker, sluice_nobody;
DROP ROLE sluice_maker, sluice_nobody;
