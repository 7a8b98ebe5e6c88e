-- Who may do what in schema sluice.
CREATE EXTENSION pg_sluice;
SET client_min_messages = warning;
\set SHOW_CONTEXT never
CREATE ROLE regress_sluice_stranger;
CREATE ROLE regress_sluice_user;
CREATE ROLE regress_sluice_watch IN ROLE sluice_reader;
CREATE ROLE regress_sluice_boss IN ROLE sluice_admin;
CREATE ROLE regress_sluice_owner;

-- The matrix, from the catalogs: an object that is new shows up here.
SELECT has_schema_privilege('public', 'sluice', 'USAGE, CREATE') AS public, has_schema_privilege('sluice_reader', 'sluice', 'USAGE') AS reader_uses,
	has_schema_privilege('sluice_admin', 'sluice', 'USAGE') AS admin_uses, has_schema_privilege('sluice_admin', 'sluice', 'CREATE') AS admin_creates;
CREATE FUNCTION relation_privileges(role text, relation oid) RETURNS text LANGUAGE sql AS $$
	SELECT coalesce(string_agg(p, ' ' ORDER BY n), '') FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']) WITH ORDINALITY AS u (p, n)
	WHERE has_table_privilege(role, relation, p) $$;
SELECT relname, relkind AS kind, relation_privileges('public', oid) AS public, relation_privileges('regress_sluice_stranger', oid) AS stranger,
	relation_privileges('sluice_reader', oid) AS reader, relation_privileges('sluice_admin', oid) AS admin
	FROM pg_class WHERE relnamespace = 'sluice'::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'f') ORDER BY relname;
SELECT relname, has_sequence_privilege('public', oid, 'USAGE, SELECT, UPDATE') AS public, has_sequence_privilege('sluice_reader', oid, 'USAGE, SELECT, UPDATE') AS reader,
	has_sequence_privilege('sluice_admin', oid, 'USAGE, UPDATE') AS admin_changes
	FROM pg_class WHERE relnamespace = 'sluice'::regnamespace AND relkind = 'S' ORDER BY relname;
SELECT relname, attname, has_column_privilege('public', attrelid, attnum, 'SELECT, INSERT, UPDATE, REFERENCES') AS public,
	has_column_privilege('sluice_reader', attrelid, attnum, 'INSERT, UPDATE, REFERENCES') AS reader_changes
	FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid
	WHERE relnamespace = 'sluice'::regnamespace AND attnum > 0 AND NOT has_table_privilege('sluice_reader', attrelid, 'SELECT')
	AND has_column_privilege('sluice_reader', attrelid, attnum, 'SELECT') ORDER BY relname, attnum;
SELECT p.oid::regprocedure AS function, prosecdef AS definer, has_function_privilege('public', p.oid, 'EXECUTE') AS public,
	has_function_privilege('regress_sluice_stranger', p.oid, 'EXECUTE') AS stranger,
	has_function_privilege('sluice_reader', p.oid, 'EXECUTE') AS reader, has_function_privilege('sluice_admin', p.oid, 'EXECUTE') AS admin
	FROM pg_proc p WHERE pronamespace = 'sluice'::regnamespace ORDER BY p.oid::regprocedure::text COLLATE "C";
-- And who has been granted anything.
SELECT DISTINCT a.grantee::regrole FROM (SELECT relacl AS acl FROM pg_class WHERE relnamespace = 'sluice'::regnamespace
	UNION ALL SELECT proacl FROM pg_proc WHERE pronamespace = 'sluice'::regnamespace
	UNION ALL SELECT nspacl FROM pg_namespace WHERE nspname = 'sluice'
	UNION ALL SELECT attacl FROM pg_attribute JOIN pg_class c ON c.oid = attrelid WHERE relnamespace = 'sluice'::regnamespace) x,
	aclexplode(acl) a ORDER BY 1;
SELECT rolname, rolcanlogin, rolsuper, rolcreaterole, rolinherit, shobj_description(oid, 'pg_authid') FROM pg_roles WHERE rolname LIKE 'sluice\_%' ORDER BY 1;

-- Attempts: everything that can be done with every relation, and a call of every function.
CREATE FUNCTION attempts(OUT statement text) RETURNS SETOF text LANGUAGE sql STABLE AS $$
	SELECT format(f, c.oid::regclass) FROM pg_class c, unnest(CASE relkind
		WHEN 'S' THEN ARRAY['SELECT last_value FROM %s', 'SELECT nextval(''%s'')', 'SELECT setval(''%s'', 1)']
		WHEN 'v' THEN ARRAY['SELECT * FROM %s']
		ELSE ARRAY['SELECT * FROM %s', 'SELECT count(*) FROM %s', 'INSERT INTO %s DEFAULT VALUES', 'DELETE FROM %s', 'TRUNCATE %s', 'LOCK TABLE %s'] END) f
	WHERE relnamespace = 'sluice'::regnamespace AND relkind IN ('r', 'v', 'S')
	UNION ALL
	SELECT format('SELECT sluice.%I(%s)', proname, (SELECT string_agg(format('%L::%s', CASE WHEN t IN (SELECT typarray FROM pg_type) THEN '{}' ELSE
			CASE format_type(t, NULL) WHEN 'regclass' THEN 'pg_class' WHEN 'jsonb' THEN '{}' WHEN 'interval' THEN '1 day' WHEN 'timestamp with time zone' THEN 'epoch'
				WHEN 'uuid' THEN '00000000-0000-0000-0000-000000000001' ELSE '1' END END, format_type(t, NULL)), ', ' ORDER BY n) FROM unnest(proargtypes) WITH ORDINALITY AS u (t, n)))
	FROM pg_proc WHERE pronamespace = 'sluice'::regnamespace
$$;
CREATE TABLE attempt AS SELECT statement FROM attempts() ORDER BY 1;
SELECT count(*) > 60 AS many FROM attempt;
GRANT SELECT ON attempt TO regress_sluice_stranger, regress_sluice_user, regress_sluice_watch;
CREATE FUNCTION attempt_all(OUT sqlstate text, OUT statements bigint, OUT which text) RETURNS SETOF record LANGUAGE plpgsql AS $$
DECLARE
	this record;
	outcomes jsonb = '[]';
BEGIN
	FOR this IN SELECT statement FROM attempt LOOP
		BEGIN
			EXECUTE this.statement;
			outcomes = outcomes || jsonb_build_array(jsonb_build_array('done', this.statement));
		EXCEPTION WHEN OTHERS THEN
			outcomes = outcomes || jsonb_build_array(jsonb_build_array(SQLSTATE, this.statement));
		END;
	END LOOP;
	RETURN QUERY SELECT o->>0, count(*), CASE WHEN o->>0 <> '42501' THEN string_agg(o->>1, E'\n' ORDER BY (o->>1) COLLATE "C") END FROM jsonb_array_elements(outcomes) o GROUP BY 1 ORDER BY 1;
END $$;
-- Without any grant; then with USAGE on the schema alone; then as a reader.
SET ROLE regress_sluice_stranger;
SELECT sqlstate, which FROM attempt_all();
RESET ROLE;
GRANT USAGE ON SCHEMA sluice TO regress_sluice_stranger;
SET ROLE regress_sluice_stranger;
SELECT sqlstate, which FROM attempt_all();
SET ROLE regress_sluice_watch;
SELECT sqlstate, which FROM attempt_all();
SELECT id, state, sqlstate FROM sluice.dead_letters;
SELECT payload FROM sluice.dead_letters;
SELECT message FROM sluice.dead_letters;
RESET ROLE;

-- A stream of somebody, with dead letters of it and of its subscription.
GRANT USAGE ON SCHEMA sluice TO regress_sluice_owner, regress_sluice_user;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA sluice TO regress_sluice_owner, regress_sluice_user;
CREATE SCHEMA theirs AUTHORIZATION regress_sluice_owner;
GRANT USAGE ON SCHEMA theirs TO regress_sluice_user, regress_sluice_boss;
SET ROLE regress_sluice_owner;
CREATE TABLE theirs.target (id bigint GENERATED ALWAYS AS IDENTITY, at timestamptz, a int CHECK (a > 0), who text);
SELECT sluice.create_stream('theirs', 'theirs.target', payload_format => 'json', offset_column => 'id',
	envelope_columns => '{"received_at": "at"}', key_conflict => 'dead_letter') > 0 AS made;
SELECT sluice.create_subscription('reads') > 0 AS made;
SELECT sluice.ingest('theirs', 'known'::text, '{"a": 1}'::bytea);
SELECT k, sluice.ingest('theirs', k, '{"a": -1}'::bytea) FROM unnest(ARRAY['b1', 'b2', 'b3', 'b4']) k;
RESET ROLE;
INSERT INTO sluice.dead_letters (stream, stream_name, subscription, "offset", payload, sqlstate, message, received_at)
	SELECT s.stream, 'theirs', s.id, 1, '{}', '38000', 'not like this', now() FROM sluice.subscriptions s;
INSERT INTO sluice.producers (stream, producer, last_sequence, nonce, epoch, opened_at)
	SELECT id, '00000000-0000-0000-0000-000000000001', 0, 0, 0, now() FROM sluice.streams;
CREATE VIEW letters AS SELECT coalesce(key_text, 'row') AS letter, state, settled_by, settle_reason FROM sluice.dead_letters;

-- Who may call everything, and nothing more, does nothing with what is another one's.
CREATE FUNCTION attempt_each(VARIADIC statements text[]) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	this text;
	result text;
BEGIN
	FOREACH this IN ARRAY statements LOOP
		BEGIN
			EXECUTE this INTO result;
			RETURN NEXT this || ' -> ' || coalesce(result, 'NULL');
		EXCEPTION WHEN OTHERS THEN
			RETURN NEXT this || ' -> ' || SQLSTATE || ' ' || SQLERRM;
		END;
	END LOOP;
END $$;
\t on
SET ROLE regress_sluice_user;
SELECT attempt_each('SELECT sluice.hold(''theirs'', ''x'')', 'SELECT sluice.resume(''theirs'')',
	'SELECT sluice.alter_stream(''theirs'', unknown_fields => ''ignore'')', 'SELECT sluice.drop_stream(''theirs'')',
	'SELECT sluice.drop_subscription(''reads'')', 'SELECT sluice.seek(''reads'', 0)', 'SELECT sluice.ack(''reads'', 0, 0)',
	'SELECT sluice.retire_producer(''theirs'', ''00000000-0000-0000-0000-000000000001'')',
	'SELECT count(*) FROM sluice.redrive()', 'SELECT count(*) FROM sluice.redrive(ids => ARRAY[1])',
	'SELECT sluice.discard(ARRAY[1, 2], ''x'')', 'SELECT sluice.discard(ARRAY[5], ''x'')',
	'SELECT sluice.create_subscription(''mine'', ''theirs'')');
-- What never comes to the target is refused by its privileges, too: a known key, a key conflict, a record without a payload, no record at all.
SELECT attempt_each('SELECT sluice.ingest(''theirs'', ''known''::text, ''{"a": 1}''::bytea)',
	'SELECT sluice.ingest(''theirs'', ''known''::text, ''{"a": 2}''::bytea)', 'SELECT sluice.ingest(''theirs'', ''new''::text, NULL::bytea)',
	'SELECT sluice.ingest(''theirs'', NULL::text, NULL::bytea)', 'SELECT sluice.ingest(''theirs'', ''{}''::text[], ''{}''::bytea[])');
-- Nobody takes the records that name no stream away from another one's stream.
RESET ROLE;
CREATE SCHEMA own AUTHORIZATION regress_sluice_user;
SET ROLE regress_sluice_user;
SET search_path = own;
SELECT public.attempt_each('SELECT sluice.create_stream(''mine'', is_default => true)', 'SELECT sluice.create_stream(''mine'') > 0',
	'SELECT sluice.alter_stream(''mine'', is_default => true)', 'INSERT INTO mine (payload) VALUES (''{}'') RETURNING received_at = now()');
RESET search_path;
RESET ROLE;
SELECT count(*), count(*) FILTER (WHERE state = 'open') AS open FROM sluice.dead_letters;
SELECT name, is_default, held_reason FROM sluice.streams ORDER BY 1;
-- An administrator: what is not contents.
SET ROLE regress_sluice_boss;
SELECT attempt_each('SELECT sluice.hold(''theirs'', ''maintenance'')', 'SELECT sluice.resume(''theirs'')', 'SELECT sluice.seek(''reads'', 0)',
	'SELECT sluice.retire_producer(''theirs'', ''00000000-0000-0000-0000-000000000001'')', 'SELECT sluice.discard(ARRAY[1], ''void'')',
	'SELECT count(payload) FROM sluice.dead_letters', 'SELECT verdict FROM sluice.redrive(ids => ARRAY[2])',
	'SELECT verdict FROM sluice.redrive(ids => ARRAY[5])');
SELECT attempt_each('SELECT sluice.alter_stream(''theirs'', unknown_fields => ''ignore'')', 'SELECT sluice.drop_stream(''theirs'')',
	'SELECT sluice.create_subscription(''mine'', ''theirs'')', 'SELECT sluice.seek(''reads'', "time" => now())', 'SELECT * FROM theirs.target',
	'UPDATE sluice.dead_letters SET payload = ''x''', 'SELECT sluice.streams_changed()');
RESET ROLE;
-- An edited payload is a new record.
UPDATE sluice.dead_letters SET state = 'open' WHERE id = 5;
GRANT INSERT (a) ON theirs.target TO regress_sluice_boss;
SET ROLE regress_sluice_boss;
SELECT attempt_each('SELECT verdict FROM sluice.redrive(ids => ARRAY[2], payload => ''{"a": 3}'')',
	'SELECT verdict FROM sluice.redrive(ids => ARRAY[5], payload => ''{"a": 3}'')');
RESET ROLE;
GRANT INSERT ON theirs.target TO regress_sluice_boss;
SET ROLE regress_sluice_boss;
SELECT attempt_each('SELECT verdict FROM sluice.redrive(ids => ARRAY[2], payload => ''{"a": 3}'')',
	'SELECT verdict FROM sluice.redrive(ids => ARRAY[5], payload => ''{"a": 3}'')', 'SELECT sluice.drop_subscription(''reads'')');
RESET ROLE;
\t off
SELECT * FROM letters ORDER BY 1;
SELECT id, a, who FROM theirs.target ORDER BY id;

-- What the owner's code finds by a name is nothing that an administrator has laid out for it.
SET ROLE regress_sluice_owner;
CREATE FUNCTION theirs.note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO log VALUES (NEW.a);
	NEW.who = current_user;
	RETURN NEW;
END $$;
CREATE TRIGGER note BEFORE INSERT ON theirs.target FOR EACH ROW EXECUTE FUNCTION theirs.note();
RESET ROLE;
CREATE TABLE public.log (a int);
GRANT INSERT ON public.log TO regress_sluice_owner;
CREATE TABLE public.trapped (by text);
GRANT INSERT ON public.trapped TO PUBLIC;
CREATE SCHEMA trap AUTHORIZATION regress_sluice_boss;
SET ROLE regress_sluice_boss;
CREATE FUNCTION trap.spring() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.trapped VALUES (current_user); RETURN NEW; END $$;
CREATE TABLE trap.log (a int);
CREATE TRIGGER spring BEFORE INSERT ON trap.log FOR EACH ROW EXECUTE FUNCTION trap.spring();
GRANT USAGE ON SCHEMA trap TO PUBLIC;
GRANT INSERT ON trap.log TO PUBLIC;
CREATE TEMP TABLE log (a int);
CREATE TRIGGER spring BEFORE INSERT ON pg_temp.log FOR EACH ROW EXECUTE FUNCTION trap.spring();
GRANT INSERT ON pg_temp.log TO PUBLIC;
SET search_path = trap;
SELECT verdict FROM sluice.redrive(ids => ARRAY[3], payload => '{"a": 4}');
RESET search_path;
RESET ROLE;
\c -reuse-previous=on 'options=-csearch_path=trap'
SET client_min_messages = warning;
SET ROLE regress_sluice_boss;
SELECT verdict FROM sluice.redrive(ids => ARRAY[4], payload => '{"a": 5}');
RESET ROLE;
\c -reuse-previous=on 'options='
SET client_min_messages = warning;
SELECT id, a, who FROM theirs.target ORDER BY id;
SELECT * FROM public.trapped;
SELECT * FROM public.log;

-- Nor does a superuser run code of others by looking into their target.
SET ROLE regress_sluice_owner;
CREATE TABLE theirs.base (a int, p uuid, s bigint);
INSERT INTO theirs.base VALUES (1, '00000000-0000-0000-0000-000000000001', 1);
CREATE FUNCTION theirs.bite(s bigint) RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN RAISE WARNING 'run as %', current_user; RETURN s; END $$;
CREATE VIEW theirs.view AS SELECT a, p, theirs.bite(s) AS s FROM theirs.base;
CREATE FUNCTION theirs.instead() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
CREATE TRIGGER instead INSTEAD OF INSERT ON theirs.view FOR EACH ROW EXECUTE FUNCTION theirs.instead();
SELECT sluice.create_stream('view', 'theirs.view', payload_format => 'json', envelope_columns => '{"producer": "p", "sequence": "s"}') > 0 AS made;
RESET ROLE;
SELECT rows, beyond FROM sluice.audit('view');
-- A type that casts itself in the place of the time that rows were received.
SET ROLE regress_sluice_owner;
CREATE TYPE theirs.moment AS (at timestamptz);
CREATE FUNCTION theirs.tell(m theirs.moment) RETURNS timestamptz LANGUAGE plpgsql AS $$ BEGIN RAISE WARNING 'told as %', current_user; RETURN m.at; END $$;
CREATE CAST (theirs.moment AS timestamptz) WITH FUNCTION theirs.tell AS IMPLICIT;
SELECT sluice.create_subscription('late', 'theirs') > 0 AS made;
ALTER TABLE theirs.target ALTER at TYPE theirs.moment USING ROW(at)::theirs.moment;
RESET ROLE;
SELECT sluice.seek('late', "time" => '2001-01-01');

-- Dead letters of a stream that is gone without a word.
DELETE FROM sluice.streams WHERE name = 'theirs';
SET ROLE regress_sluice_user;
SELECT sluice.discard(ARRAY[4], 'x');
SET ROLE regress_sluice_boss;
SELECT sluice.discard(ARRAY[4], 'x');
RESET ROLE;
-- An administrator is one by the role's name: without the role there are none.
ALTER ROLE sluice_admin RENAME TO regress_sluice_other;
SET ROLE regress_sluice_boss;
SELECT sluice.hold('mine', 'x');
RESET ROLE;
ALTER ROLE regress_sluice_other RENAME TO sluice_admin;

-- The roles stay when the extension goes, and are found when it comes.
DROP VIEW letters;
DROP EXTENSION pg_sluice;
SELECT rolname FROM pg_roles WHERE rolname LIKE 'sluice\_%' ORDER BY 1;
ALTER ROLE sluice_reader LOGIN;
CREATE EXTENSION pg_sluice;
ALTER ROLE sluice_reader NOLOGIN;
DROP EXTENSION pg_sluice;
DROP TABLE attempt, log, trapped;
DROP FUNCTION attempts, attempt_all, attempt_each, relation_privileges;
DROP OWNED BY regress_sluice_stranger, regress_sluice_user, regress_sluice_watch, regress_sluice_boss, regress_sluice_owner CASCADE;
DROP ROLE regress_sluice_stranger, regress_sluice_user, regress_sluice_watch, regress_sluice_boss, regress_sluice_owner;
