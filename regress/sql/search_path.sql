-- What a superuser finds in search_path before pg_catalog, and among temporary tables, changes nothing: functions,
-- operators, types and tables of others, which write down that they were used.
CREATE EXTENSION pg_sluice;
SET client_min_messages = warning;
\set SHOW_CONTEXT never
SET track_functions = 'all';
CREATE SCHEMA evil;
CREATE TABLE evil.used (what text);
CREATE FUNCTION evil.use(what text) RETURNS boolean LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN INSERT INTO evil.used VALUES (what); RETURN true; END $$;
-- All operators on the types that we compare and calculate with, all functions that our statements call.
DO $$
DECLARE
	o record;
BEGIN
	FOR o IN SELECT oprname, oprleft::regtype AS l, oprright::regtype AS r, oprresult::regtype AS result, oid::regoperator::text AS whole FROM pg_operator
		WHERE oprnamespace = 'pg_catalog'::regnamespace AND oprleft <> 0 AND oprcode <> 0 AND oprname IN ('=', '<>', '<', '>', '<=', '>=', '+', '-', '*', '||')
		AND oprleft = ANY ('{int2,int4,int8,text,name,uuid,timestamptz,interval,bool,bytea,oid,regclass,"\"char\"",anyarray,anynonarray,anycompatiblearray}'::regtype[])
		AND oprright = ANY ('{int2,int4,int8,text,name,uuid,timestamptz,interval,bool,bytea,oid,regclass,"\"char\"",anyarray,anynonarray,anycompatiblearray}'::regtype[]) LOOP
		EXECUTE format('CREATE OR REPLACE FUNCTION evil.%I(%s, %s) RETURNS %s LANGUAGE plpgsql SET search_path = pg_catalog AS $f$ BEGIN PERFORM evil.use(%L); RETURN $1 OPERATOR(pg_catalog.%s) $2; END $f$',
			'op ' || o.oprname, o.l, o.r, o.result, o.whole, o.oprname);
		EXECUTE format('CREATE OPERATOR evil.%s (LEFTARG = %s, RIGHTARG = %s, FUNCTION = evil.%I)', o.oprname, o.l, o.r, 'op ' || o.oprname);
	END LOOP;
	FOR o IN SELECT oid::regprocedure::text AS whole, proname, pg_get_function_arguments(oid) AS arguments, prorettype::regtype AS result, proretset,
			(SELECT string_agg('$' || n, ', ') FROM generate_series(1, pronargs) n) AS call
		FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace AND prokind = 'f' AND provariadic = 0 AND proname IN ('now', 'lower', 'upper', 'length', 'nextval', 'currval', 'lastval', 'unnest',
			'gen_random_uuid', 'jsonb_typeof', 'set_config', 'current_setting', 'quote_ident', 'extract', 'date_part', 'int8', 'int4', 'text', 'timestamptz', 'array_length', 'convert_to') LOOP
		EXECUTE format('CREATE FUNCTION evil.%I(%s) RETURNS %s LANGUAGE plpgsql SET search_path = pg_catalog AS $f$ BEGIN PERFORM evil.use(%L); %s END $f$', o.proname, o.arguments,
			CASE WHEN o.proretset THEN 'SETOF ' ELSE '' END || o.result, o.whole,
			format(CASE WHEN o.proretset THEN 'RETURN QUERY SELECT * FROM pg_catalog.%I(%s);' ELSE 'RETURN pg_catalog.%I(%s);' END, o.proname, coalesce(o.call, '')));
	END LOOP;
	FOR o IN SELECT * FROM (VALUES ('text', 'text'), ('jsonb', 'jsonb'), ('bytea', 'bytea'), ('uuid', 'uuid'), ('name', 'name'), ('regclass', 'regclass')) t (name, type) LOOP
		EXECUTE format('CREATE DOMAIN evil.%I AS pg_catalog.%I CHECK (evil.use(%L))', o.name, o.type, 'type ' || o.name);
	END LOOP;
	FOR o IN SELECT * FROM (VALUES ('count'), ('max'), ('min')) a (name) LOOP
		EXECUTE format('CREATE FUNCTION evil.%I(bigint, bigint) RETURNS bigint LANGUAGE sql AS $f$ SELECT CASE WHEN evil.use(%L) THEN 0::bigint END $f$', o.name || '_step', o.name);
		EXECUTE format('CREATE AGGREGATE evil.%I(bigint) (SFUNC = evil.%I, STYPE = bigint, INITCOND = 0)', o.name, o.name || '_step');
	END LOOP;
END $$;
SELECT count(*) > 150 AS many FROM pg_proc WHERE pronamespace = 'evil'::regnamespace;
-- Tables that are named as ours and the catalogs are, in the schema and as temporary ones.
CREATE TABLE evil.streams (id int);
CREATE TABLE evil.dead_letters (id int);
CREATE TABLE evil.pg_class (oid oid);
CREATE TEMP TABLE streams (id int);
CREATE TEMP TABLE dead_letters (id int);
CREATE TEMP TABLE pg_class (oid oid);
CREATE TEMP TABLE pg_type (oid oid);
CREATE TABLE public.kept (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, at timestamptz, p uuid, s bigint, a int CHECK (a > 0), b text);
CREATE ROLE regress_sluice_rls;
CREATE TABLE public.policed (a int, b text, j jsonb, u uuid);
ALTER TABLE public.policed ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY all_of_it ON public.policed USING (true) WITH CHECK (a > 0);

-- That the traps work.
SET search_path = evil, pg_catalog;
SELECT now() IS NULL, 1 = 1, lower('A'), 'x'::text;
SELECT DISTINCT what FROM evil.used ORDER BY what USING OPERATOR(pg_catalog.<);
TRUNCATE evil.used;

-- Every function.  Tables are made in the current schema, as CREATE TABLE does.
SELECT sluice.create_stream('kept', 'public.kept'::pg_catalog.regclass, payload_format => 'json', offset_column => 'id', envelope_columns => '{"received_at": "at", "producer": "p", "sequence": "s"}')
	OPERATOR(pg_catalog.>) 0 AS made;
SELECT sluice.create_stream('json made', payload_format => 'json', overflow_column => 'more', unknown_fields => 'overflow') OPERATOR(pg_catalog.>) 0 AS made;
SELECT sluice.create_stream('bytes made', payload_format => 'bytes') OPERATOR(pg_catalog.>) 0 AS made;
SELECT sluice.create_stream('message made', message_type => 'ingestion.DataPayload') OPERATOR(pg_catalog.>) 0 AS made;
SELECT attrelid::pg_catalog.regclass, attname, atttypid::pg_catalog.regtype FROM pg_catalog.pg_attribute WHERE attnum OPERATOR(pg_catalog.>) 0
	AND attrelid OPERATOR(pg_catalog.=) ANY (ARRAY['evil."json made"', 'evil."bytes made"', 'evil."message made"']::pg_catalog.regclass[])
	ORDER BY attrelid USING OPERATOR(pg_catalog.<), attnum USING OPERATOR(pg_catalog.<);
SELECT sluice.alter_stream('json made', idempotency_window => '2 days', key_conflict => 'dead_letter');
SELECT sluice.hold('kept', 'for a test');
SELECT sluice.resume('kept');
SELECT sluice.ingest('kept', 'k1'::pg_catalog.text, '{"a": 1, "b": "x"}'::pg_catalog.bytea);
SELECT sluice.ingest('kept', 'k1'::pg_catalog.text, '{"a": 1, "b": "x"}'::pg_catalog.bytea);
SELECT sluice.ingest('kept', '{k2,k3,k4}'::pg_catalog.text[], '{"{\"a\": 2}","{\"a\": -1}","{\"a\": -2}"}'::pg_catalog.bytea[]);
SELECT sluice.ingest('json made', 'k'::pg_catalog.text, '{"payload": {"x": [1]}, "other": 2}'::pg_catalog.bytea);
SELECT sluice.ingest('bytes made', 'k'::pg_catalog.text, 'x'::pg_catalog.bytea);
RESET search_path;
-- Where row security applies records go in by INSERT ... SELECT: a statement, with the caller's search_path.
GRANT USAGE ON SCHEMA sluice, evil TO regress_sluice_rls;
GRANT INSERT ON evil.used TO regress_sluice_rls;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA sluice TO regress_sluice_rls;
ALTER TABLE public.policed OWNER TO regress_sluice_rls;
SET ROLE regress_sluice_rls;
SET search_path = evil, pg_catalog;
SELECT sluice.create_stream('policed', 'public.policed'::pg_catalog.regclass, payload_format => 'json') OPERATOR(pg_catalog.>) 0 AS made;
SELECT sluice.ingest('policed', 'k'::pg_catalog.text, '{"a": 1, "b": "x", "j": {"y": null}, "u": "00000000-0000-0000-0000-000000000001"}'::pg_catalog.bytea);
RESET ROLE;
SELECT sluice.create_subscription('first', 'kept') OPERATOR(pg_catalog.>) 0 AS made;
SELECT sluice.create_subscription('second', 'kept', since => '2001-01-01', guarantee => 'at_most_once') OPERATOR(pg_catalog.>) 0 AS made;
SELECT sluice.seek('first', 1);
SELECT sluice.seek('first', "time" => '2001-01-01');
SELECT sluice.ack('first', 1, 1);
SELECT sluice.drop_subscription('second');
SELECT verdict FROM sluice.redrive('kept');
SELECT verdict FROM sluice.redrive(ids => ARRAY[1]::pg_catalog.int8[], payload => '{"a": 5}');
SELECT sluice.discard(ARRAY[2]::pg_catalog.int8[], 'no use');
INSERT INTO sluice.producers (stream, producer, last_sequence, nonce, epoch, opened_at) VALUES (1, '00000000-0000-0000-0000-000000000001', 0, 0, 0, pg_catalog.now());
SELECT sluice.retire_producer('kept', '00000000-0000-0000-0000-000000000001');
SELECT * FROM sluice.audit('kept');
SELECT sluice.home() IS NULL AS nowhere;
SELECT sluice.drop_stream('bytes made', true);
-- Every relation.
SELECT pg_catalog.format('SELECT pg_catalog.count(*) OPERATOR(pg_catalog.>=) 0 AS %I FROM sluice.%I', relname, relname) FROM pg_catalog.pg_class
	WHERE relnamespace OPERATOR(pg_catalog.=) 'sluice'::pg_catalog.regnamespace AND relkind OPERATOR(pg_catalog.=) ANY ('{r,v}'::pg_catalog."char"[]) ORDER BY relname USING OPERATOR(pg_catalog.<) \gexec
SELECT name, guarantee, state, lag_records FROM sluice.stat_subscriptions;
RESET search_path;

-- None of the traps was used.
SELECT DISTINCT what FROM evil.used ORDER BY 1;
SELECT id, a, b FROM public.kept ORDER BY id;
SELECT * FROM public.policed;
SELECT key_text, state FROM sluice.dead_letters ORDER BY id;
-- None of the functions was left out (ack came to its checks only, and is not counted).
SELECT pg_stat_force_next_flush();
SELECT p.oid::regprocedure FROM pg_proc p LEFT JOIN pg_stat_user_functions f ON f.funcid = p.oid
	WHERE pronamespace = 'sluice'::regnamespace AND coalesce(f.calls, 0) = 0;
DROP EXTENSION pg_sluice;
DROP SCHEMA evil CASCADE;
DROP TABLE public.kept, public.policed;
DROP OWNED BY regress_sluice_rls;
DROP ROLE regress_sluice_rls;
