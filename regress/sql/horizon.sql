-- The horizon of a table: which offset columns can order rows, partitions, changes
SET client_min_messages = warning;
CREATE FUNCTION horizon_create(regclass, text) RETURNS text AS 'sluice_rows_test', 'sluice_test_horizon_create' LANGUAGE C;
CREATE FUNCTION horizon_look(now_ms bigint) RETURNS text AS 'sluice_rows_test', 'sluice_test_horizon_look' LANGUAGE C;
CREATE FUNCTION horizon_stale() RETURNS boolean AS 'sluice_rows_test', 'sluice_test_horizon_stale' LANGUAGE C;
CREATE FUNCTION horizon_relations() RETURNS regclass[] AS 'sluice_rows_test', 'sluice_test_horizon_relations' LANGUAGE C;
\pset null '(null)'

-- Without writers every value given out is final at once.
CREATE TABLE t (id bigint GENERATED ALWAYS AS IDENTITY, b text);
SELECT horizon_create('t', 'id');
SELECT horizon_look(0);
INSERT INTO t (b) SELECT 'x' FROM generate_series(1, 3);
SELECT horizon_look(1);
BEGIN;
INSERT INTO t (b) VALUES ('rolled back');
ROLLBACK;
SELECT horizon_look(2);
-- One's own transaction is not waited for.
BEGIN;
INSERT INTO t (b) VALUES ('own');
SELECT horizon_look(3);
COMMIT;

-- Changes make it stale; so does an unknown change of everything.
SELECT horizon_stale();
ALTER TABLE t ADD COLUMN c int;
SELECT horizon_stale(), horizon_look(4);
SELECT horizon_create('t', 'id'), horizon_stale(), horizon_look(5);
ALTER SEQUENCE t_id_seq CACHE 10;
SELECT horizon_stale();
SELECT horizon_create('t', 'id');
ALTER SEQUENCE t_id_seq CACHE 1 CYCLE;
SELECT horizon_create('t', 'id');
ALTER SEQUENCE t_id_seq NO CYCLE INCREMENT BY -1;
SELECT horizon_create('t', 'id');
ALTER SEQUENCE t_id_seq INCREMENT BY 1;
SELECT horizon_create('t', 'id'), horizon_look(6);
-- The sequence begins anew: so does the horizon.
SELECT setval('t_id_seq', 2);
SELECT horizon_look(7);
TRUNCATE t RESTART IDENTITY;
SELECT horizon_stale();
SELECT horizon_create('t', 'id'), horizon_look(8);
ALTER TABLE t ALTER id DROP IDENTITY;
SELECT horizon_look(9);
DROP TABLE t;
\set VERBOSITY sqlstate
SELECT horizon_look(9);
\set VERBOSITY default

-- What cannot order rows.
CREATE TABLE plain (id bigint, small int GENERATED ALWAYS AS IDENTITY, foreign_default bigint, owned bigserial, computed bigint DEFAULT 1 + 1);
CREATE SEQUENCE elsewhere;
ALTER TABLE plain ALTER foreign_default SET DEFAULT nextval('elsewhere');
SELECT horizon_create('plain', NULL);
SELECT horizon_create('plain', 'missing');
SELECT horizon_create('plain', 'ctid');
SELECT horizon_create('plain', 'id');
SELECT horizon_create('plain', 'small');
SELECT horizon_create('plain', 'foreign_default');
SELECT horizon_create('plain', 'computed');
SELECT horizon_create('plain', 'owned'), horizon_look(0);
ALTER SEQUENCE elsewhere OWNED BY plain.foreign_default;
SELECT horizon_create('plain', 'foreign_default'), horizon_look(0);
ALTER TABLE plain ALTER owned DROP DEFAULT;
SELECT horizon_create('plain', 'owned');
CREATE VIEW v AS SELECT * FROM plain;
SELECT horizon_create('v', 'owned');
CREATE MATERIALIZED VIEW m AS SELECT * FROM plain;
SELECT horizon_create('m', 'owned');
CREATE FOREIGN DATA WRAPPER nothing;
CREATE SERVER nowhere FOREIGN DATA WRAPPER nothing;
CREATE FOREIGN TABLE f (id bigint) SERVER nowhere;
SELECT horizon_create('f', 'id');
SELECT horizon_create(1::oid, 'id');
DROP VIEW v;
DROP MATERIALIZED VIEW m;
DROP TABLE plain;

-- Partitions count, on all levels, and so do the tables that it is a partition of.
CREATE TABLE p (id bigserial, k int) PARTITION BY RANGE (k);
CREATE TABLE p_low PARTITION OF p FOR VALUES FROM (0) TO (10);
CREATE TABLE p_high PARTITION OF p FOR VALUES FROM (10) TO (30) PARTITION BY RANGE (k);
CREATE TABLE p_high_a PARTITION OF p_high FOR VALUES FROM (10) TO (20);
SELECT horizon_create('p', 'id');
SELECT array_agg(r::text ORDER BY r::text) FROM unnest(horizon_relations()) r;
CREATE TABLE p_high_b PARTITION OF p_high FOR VALUES FROM (20) TO (30);
SELECT horizon_stale();
INSERT INTO p (k) VALUES (1), (11), (21);
INSERT INTO p_high_a (k) VALUES (12);
SELECT horizon_create('p', 'id'), horizon_look(0);
-- The partition draws from its parent's sequence, which it does not own.
SELECT horizon_create('p_low', 'id');
CREATE TABLE own (id bigserial, k int);
ALTER TABLE own ALTER id SET NOT NULL;
ALTER TABLE p ATTACH PARTITION own FOR VALUES FROM (30) TO (40);
SELECT horizon_create('own', 'id');
SELECT array_agg(r::text ORDER BY r::text) FROM unnest(horizon_relations()) r;
CREATE FOREIGN TABLE p_far PARTITION OF p FOR VALUES FROM (40) TO (50) SERVER nowhere;
SELECT horizon_create('p', 'id');

DROP TABLE p;
DROP FOREIGN DATA WRAPPER nothing CASCADE;
DROP FUNCTION horizon_create, horizon_look, horizon_stale, horizon_relations;
