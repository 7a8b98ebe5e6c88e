-- The target against the ledger.  Rows of sluice.producers are written by hand here; what writes them otherwise is tested over the network.
CREATE EXTENSION pg_sluice;
SET client_min_messages = warning;
\set SHOW_CONTEXT never
CREATE TABLE "Plain" (a int);
SELECT sluice.create_stream('plain', '"Plain"') > 0 AS made;
SELECT * FROM sluice.audit('plain');
SELECT * FROM sluice.audit('nosuch');

CREATE TABLE "Kept ""rows""" (a int, "Who" uuid, "order" bigint);
SELECT sluice.create_stream('kept', '"Kept ""rows"""', envelope_columns => '{"producer": "Who"}') > 0 AS made;
SELECT * FROM sluice.audit('kept');
SELECT sluice.alter_stream('kept', envelope_columns => '{"producer": "Who", "sequence": "order"}');
-- Nobody has sent anything.
SELECT * FROM sluice.audit('kept');

INSERT INTO sluice.producers (stream, producer, last_sequence, nonce, epoch, opened_at, stored, dead_lettered, filtered)
	SELECT s.id, p.producer::uuid, p.last, 0, 0, now(), p.stored, p.dead, p.filtered
	FROM sluice.streams s, (VALUES
		('00000000-0000-0000-0000-000000000001', 10, 8, 1, 1),	-- all is well: 3 was a dead letter, 5 was filtered
		('00000000-0000-0000-0000-000000000002', 4, 4, 0, 0),	-- 2 is there twice, 4 is not
		('00000000-0000-0000-0000-000000000003', 3, 3, 0, 0),	-- goes on beyond its last one
		('00000000-0000-0000-0000-000000000004', 2, 2, 0, 0),	-- has no row at all
		('00000000-0000-0000-0000-000000000005', 0, 0, 0, 0)	-- has only opened
	) AS p (producer, last, stored, dead, filtered) WHERE s.name = 'kept';
INSERT INTO "Kept ""rows"""
	SELECT 0, '00000000-0000-0000-0000-000000000001'::uuid, n FROM generate_series(1, 10) n WHERE n NOT IN (3, 5)
	UNION ALL SELECT 0, '00000000-0000-0000-0000-000000000002', unnest(ARRAY[1, 2, 2, 3])
	UNION ALL SELECT 0, '00000000-0000-0000-0000-000000000003', generate_series(1, 5)
	UNION ALL SELECT 0, '00000000-0000-0000-0000-00000000000f', 1		-- of a producer that nobody knows
	UNION ALL SELECT 0, NULL, NULL FROM generate_series(1, 3);			-- came by other ways
SELECT * FROM sluice.audit('kept');

-- A redriven dead letter is a row more than the ledger has stored, and is told apart.
INSERT INTO sluice.dead_letters (stream, stream_name, producer, sequence, sqlstate, message, received_at)
	SELECT id, name, '00000000-0000-0000-0000-000000000001', 3, '23514', 'too cold', now() FROM sluice.streams WHERE name = 'kept';
SELECT * FROM sluice.audit('kept') WHERE producer = '00000000-0000-0000-0000-000000000001';
INSERT INTO "Kept ""rows""" VALUES (0, '00000000-0000-0000-0000-000000000001', 3);
SELECT * FROM sluice.audit('kept') WHERE producer = '00000000-0000-0000-0000-000000000001';
UPDATE sluice.dead_letters SET state = 'redriven', settled_at = now();
SELECT * FROM sluice.audit('kept') WHERE producer = '00000000-0000-0000-0000-000000000001';

-- It reads the target as the caller: two columns are enough, none is too little, and no policy hides rows.
CREATE ROLE regress_sluice_auditor;
GRANT USAGE ON SCHEMA sluice TO regress_sluice_auditor;
SET ROLE regress_sluice_auditor;
SELECT count(*) FROM sluice.audit('kept');
RESET ROLE;
GRANT EXECUTE ON FUNCTION sluice.audit TO regress_sluice_auditor;
SET ROLE regress_sluice_auditor;
SELECT count(*) FROM sluice.audit('kept');
RESET ROLE;
GRANT SELECT ("Who", "order") ON "Kept ""rows""" TO regress_sluice_auditor;
SET ROLE regress_sluice_auditor;
SELECT count(*) FROM sluice.audit('kept');
RESET ROLE;
ALTER TABLE "Kept ""rows""" ENABLE ROW LEVEL SECURITY;
CREATE POLICY hides ON "Kept ""rows""" USING (a > 0);
SET ROLE regress_sluice_auditor;
SELECT count(*) FROM sluice.audit('kept');
RESET ROLE;
SELECT count(*) FROM sluice.audit('kept');

-- Partitions are read, a producer may be text, and no name of the caller's is in the way.
CREATE TABLE parts (a int, p text, s bigint) PARTITION BY LIST (a);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES IN (1);
CREATE SCHEMA mine;
CREATE FUNCTION mine.count() RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE TABLE mine.parts (a int);
SELECT sluice.create_stream('parts', 'parts', envelope_columns => '{"producer": "p", "sequence": "s"}') > 0 AS made;
INSERT INTO parts VALUES (1, '00000000-0000-0000-0000-00000000000A', 1);
SET search_path = mine, pg_catalog;
SELECT * FROM sluice.audit('parts');
RESET search_path;
DROP TABLE parts;
SELECT * FROM sluice.audit('parts');

DROP EXTENSION pg_sluice;
DROP TABLE "Plain", "Kept ""rows""";
DROP SCHEMA mine CASCADE;
DROP OWNED BY regress_sluice_auditor;
DROP ROLE regress_sluice_auditor;
