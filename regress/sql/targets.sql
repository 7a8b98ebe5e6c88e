-- Targets of all kinds
CREATE EXTENSION pg_sluice;
SET client_min_messages = warning;
\set ten '(SELECT array_agg(''k'' || i) FROM generate_series(1, 10) i), (SELECT array_agg(convert_to(format(''{"a": %s}'', i), ''utf8'')) FROM generate_series(1, 10) i)'

-- Partitioned, 100 leaves; a row without a partition is refused alone.
CREATE TABLE p (a int, b text DEFAULT 'd') PARTITION BY RANGE (a);
SELECT format('CREATE TABLE p_%s PARTITION OF p FOR VALUES FROM (%s) TO (%s)', i, i * 10, i * 10 + 10) FROM generate_series(0, 99) i \gexec
SELECT sluice.create_stream('p', 'p') > 0 AS made;
SELECT verdict, count(*) FROM sluice.ingest('p', (SELECT array_agg('p' || i) FROM generate_series(1, 1000) i),
	(SELECT array_agg(convert_to(format('{"a": %s}', i), 'utf8')) FROM generate_series(1, 1000) i)) verdict GROUP BY verdict ORDER BY verdict;
SELECT count(*), count(DISTINCT tableoid) FROM p;
SELECT sqlstate, message FROM sluice.dead_letters;

-- A BEFORE trigger: changes rows, fills columns, filters some, raises for some.
CREATE TABLE tr (a int, b text NOT NULL);
CREATE FUNCTION tr_before() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
	IF NEW.a % 3 = 0 THEN RETURN NULL; END IF;
	IF NEW.a = 7 THEN RAISE EXCEPTION 'seven is refused'; END IF;
	NEW.b := 'b' || NEW.a; RETURN NEW; END $$;
CREATE TRIGGER tr_before BEFORE INSERT ON tr FOR EACH ROW EXECUTE FUNCTION tr_before();
SELECT sluice.create_stream('tr', 'tr') > 0 AS made;
SELECT * FROM sluice.ingest('tr', :ten) WITH ORDINALITY;
SELECT * FROM sluice.ingest('tr', :ten) WITH ORDINALITY;
SELECT * FROM tr ORDER BY a;

-- Immediate and deferred foreign keys, a deferred constraint trigger, a statement trigger.
CREATE TABLE parent (id int PRIMARY KEY);
INSERT INTO parent SELECT generate_series(1, 5);
CREATE TABLE fk (a int REFERENCES parent);
SELECT sluice.create_stream('fk', 'fk') > 0 AS made;
SELECT array_agg(v) FROM sluice.ingest('fk', :ten) v;
CREATE TABLE fkd (a int REFERENCES parent DEFERRABLE INITIALLY DEFERRED);
SELECT sluice.create_stream('fkd', 'fkd') > 0 AS made;
SELECT array_agg(v) FROM sluice.ingest('fkd', :ten) v;
SELECT count(*) FROM fk UNION ALL SELECT count(*) FROM fkd;
-- The caller's own deferred events stay deferred.
CREATE TABLE other (id int PRIMARY KEY, p int REFERENCES parent DEFERRABLE INITIALLY DEFERRED);
BEGIN;
INSERT INTO other VALUES (1, 77);
SELECT sluice.ingest('fkd', 'one more', '{"a": 1}'::bytea);
INSERT INTO parent VALUES (77);
COMMIT;
-- The child-first pattern works for piece after piece of one transaction.
CREATE TABLE child (id int REFERENCES parent DEFERRABLE INITIALLY DEFERRED);
CREATE FUNCTION child_first() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
	INSERT INTO child VALUES (NEW.id); RETURN NEW; END $$;
CREATE TABLE late (id int PRIMARY KEY, CHECK (id <> 1003));
ALTER TABLE child DROP CONSTRAINT child_id_fkey, ADD FOREIGN KEY (id) REFERENCES late DEFERRABLE INITIALLY DEFERRED;
CREATE TRIGGER child_first BEFORE INSERT ON late FOR EACH ROW EXECUTE FUNCTION child_first();
SELECT sluice.create_stream('late', 'late') > 0 AS made;
SELECT array_agg(v) FROM sluice.ingest('late', ARRAY['l1', 'l2', 'l3', 'l4'], ARRAY['{"id": 1001}', '{"id": 1002}', '{"id": 1003}', '{"id": 1004}']::bytea[]) v;
SELECT * FROM child ORDER BY 1;

CREATE TABLE st (a int);
CREATE FUNCTION st_after() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
	IF (SELECT sum(a) FROM fresh) > 30 THEN RAISE check_violation USING MESSAGE = 'too much at once'; END IF; RETURN NULL; END $$;
CREATE TRIGGER st_after AFTER INSERT ON st REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION st_after();
SELECT sluice.create_stream('st', 'st') > 0 AS made;
SELECT array_agg(v) FROM sluice.ingest('st', ARRAY['s1', 's2', 's3'], ARRAY['{"a": 20}', '{"a": 20}', '{"a": 31}']::bytea[]) v;

-- A view with an INSTEAD OF trigger.
CREATE TABLE base (a int, note text);
CREATE VIEW vi AS SELECT a FROM base;
CREATE FUNCTION vi_insert() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
	IF NEW.a = 2 THEN RETURN NULL; END IF;
	INSERT INTO base VALUES (NEW.a, 'through the view'); RETURN NEW; END $$;
CREATE TRIGGER vi_insert INSTEAD OF INSERT ON vi FOR EACH ROW EXECUTE FUNCTION vi_insert();
SELECT sluice.create_stream('vi', 'vi') > 0 AS made;
SELECT array_agg(v) FROM sluice.ingest('vi', ARRAY['v1', 'v2', 'v3'], ARRAY['{"a": 1}', '{"a": 2}', '{"a": 3}']::bytea[]) v;
SELECT * FROM base;

-- Row security: the policies of the acting role decide.
CREATE ROLE regress_sluice_rls;
GRANT USAGE ON SCHEMA sluice TO regress_sluice_rls;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA sluice TO regress_sluice_rls;
CREATE TABLE rls (a int, b varchar(3), c timestamptz DEFAULT '2026-01-01 00:00+00', d jsonb, e int[], f bpchar(2));
ALTER TABLE rls ENABLE ROW LEVEL SECURITY;
CREATE POLICY only_small ON rls FOR INSERT WITH CHECK (a < 6);
GRANT INSERT ON rls TO regress_sluice_rls;
SET ROLE regress_sluice_rls;
SELECT sluice.create_stream('rls', 'rls') > 0 AS made;
SELECT array_agg(v) FROM sluice.ingest('rls', :ten) v;
SELECT * FROM sluice.ingest('rls', ARRAY['r1', 'r2', 'r3'], ARRAY['{"a": 1, "b": "abc", "d": {"x": 1}, "e": [1, 2], "f": "zz"}', '{"a": 2, "b": "abcd"}', '{"a": 3, "c": null}']::bytea[]);
RESET ROLE;
SELECT * FROM rls ORDER BY a, b;
SELECT DISTINCT sqlstate, message FROM sluice.dead_letters WHERE stream_name = 'rls' ORDER BY 1;

-- Foreign tables only when told so, also as a partition.
CREATE EXTENSION postgres_fdw;
CREATE SERVER loop FOREIGN DATA WRAPPER postgres_fdw;
CREATE FOREIGN TABLE ft (a int) SERVER loop;
SELECT sluice.create_stream('ft', 'ft');
SELECT sluice.create_stream('ft', 'ft', allow_foreign => true) > 0 AS made;
CREATE TABLE pf (a int) PARTITION BY LIST (a);
CREATE FOREIGN TABLE pf_1 PARTITION OF pf FOR VALUES IN (1) SERVER loop;
SELECT sluice.create_stream('pf', 'pf');

-- Rows and index entries that are too big are the record's fault (class 54).
CREATE TABLE big (a text);
CREATE INDEX ON big (a);
ALTER TABLE big ALTER a SET STORAGE EXTERNAL;
SELECT sluice.create_stream('big', 'big') > 0 AS made;
SELECT array_agg(v) FROM sluice.ingest('big', ARRAY['b1', 'b2', 'b3'],
	ARRAY['{"a": "x"}', convert_to(format('{"a": "%s"}', (SELECT string_agg(md5(i::text), '') FROM generate_series(1, 300) i)), 'utf8'), '{"a": "y"}']::bytea[]) v;
SELECT sqlstate FROM sluice.dead_letters WHERE stream_name = 'big';

-- A trigger may ingest in turn, also while streams change; into its own stream only so deep.
CREATE TABLE outer_t (a int);
CREATE TABLE inner_t (a int);
SELECT sluice.create_stream('outer', 'outer_t') > 0 AS made;
SELECT sluice.create_stream('inner', 'inner_t') > 0 AS made;
CREATE FUNCTION pass_on() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
	PERFORM sluice.alter_stream('inner', idempotency_window => make_interval(hours => NEW.a));
	PERFORM sluice.ingest('inner', 'from outer ' || NEW.a, convert_to(json_build_object('a', NEW.a)::text, 'utf8'));
	RETURN NEW; END $$;
CREATE TRIGGER pass_on BEFORE INSERT ON outer_t FOR EACH ROW EXECUTE FUNCTION pass_on();
SELECT array_agg(v) FROM sluice.ingest('outer', :ten) v;
SELECT count(*) FROM inner_t;
CREATE FUNCTION again() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
	PERFORM sluice.ingest('inner', gen_random_uuid()::text, '{"a": 1}'::bytea); RETURN NEW; END $$;
CREATE TRIGGER again AFTER INSERT ON inner_t FOR EACH ROW EXECUTE FUNCTION again();
SELECT sluice.ingest('inner', 'round', '{"a": 1}'::bytea);
SELECT count(*) FROM inner_t;

-- A trigger that stores a key of its own batch: an error, not an endless loop; one by one it works.
CREATE TABLE self_t (a int);
SELECT sluice.create_stream('self', 'self_t') > 0 AS made;
CREATE FUNCTION next_one() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
	IF NEW.a = 1 THEN PERFORM sluice.ingest('self', 'second', '{"a": 2}'::bytea); END IF; RETURN NEW; END $$;
CREATE TRIGGER next_one AFTER INSERT ON self_t FOR EACH ROW EXECUTE FUNCTION next_one();
SELECT * FROM sluice.ingest('self', ARRAY['first', 'second'], ARRAY['{"a": 1}', '{"a": 2}']::bytea[]);
SELECT sluice.ingest('self', 'first', '{"a": 1}'::bytea), sluice.ingest('self', 'second', '{"a": 2}'::bytea);
SELECT a, count(*) FROM self_t GROUP BY a ORDER BY a;

-- A default may ingest elsewhere while its row is being made, as text.
CREATE TABLE log_t (a text, n numeric);
SELECT sluice.create_stream('log', 'log_t') > 0 AS made;
CREATE FUNCTION logged() RETURNS text LANGUAGE plpgsql VOLATILE AS $$ BEGIN
	PERFORM sluice.ingest('log', gen_random_uuid()::text, '{"a": "from the default", "n": 12.5}'::bytea); RETURN 'own'; END $$;
CREATE TABLE defaulted (n numeric, t text DEFAULT logged());
SELECT sluice.create_stream('defaulted', 'defaulted') > 0 AS made;
SELECT sluice.ingest('defaulted', 'd1', '{"n": 1.5}'::bytea);
SELECT * FROM defaulted;
SELECT * FROM log_t;

DROP EXTENSION pg_sluice;
DROP EXTENSION postgres_fdw CASCADE;
DROP TABLE p, tr, fk, fkd, other, child, late, parent, st, base, rls, pf, big, outer_t, inner_t, self_t, log_t, defaulted CASCADE;
DROP FUNCTION next_one, logged, pass_on, again, tr_before, child_first, st_after, vi_insert;
DROP OWNED BY regress_sluice_rls;
DROP ROLE regress_sluice_rls;
