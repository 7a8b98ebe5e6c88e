-- complain if script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION pg_sluice" to load this file. \quit

-- Whoever owns the schema could drop and replace what the workers, which are superusers, rely on.
DO $$
BEGIN
	-- Every name is qualified: the schema that is in question comes first in the search path here.
	IF (SELECT nspowner OPERATOR(pg_catalog.<>) (current_user::pg_catalog.text)::pg_catalog.regrole::pg_catalog.oid
		FROM pg_catalog.pg_namespace WHERE nspname OPERATOR(pg_catalog.=) 'sluice'::pg_catalog.name) THEN
		RAISE insufficient_privilege USING MESSAGE = 'schema "sluice" belongs to another role',
			HINT = 'Drop or rename the schema, then run CREATE EXTENSION again.';
	END IF;
END $$;

--
-- Streams
--

CREATE TABLE sluice.streams (
	id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	uid uuid NOT NULL UNIQUE DEFAULT pg_catalog.gen_random_uuid(),
	name text NOT NULL UNIQUE CHECK (name <> '' AND pg_catalog.length(name) <= 200),
	target regclass NOT NULL,
	owner regrole NOT NULL,
	payload_format text NOT NULL CHECK (payload_format IN ('protobuf', 'json', 'bytes')),
	message_type text CHECK ((message_type IS NOT NULL) = (payload_format = 'protobuf')),
	descriptor_set bytea,
	idempotency_window interval NOT NULL CHECK (idempotency_window > interval '0'),
	offset_column name,
	unknown_fields text NOT NULL CHECK (unknown_fields IN ('reject', 'ignore', 'overflow')),
	overflow_column name CHECK ((overflow_column IS NOT NULL) = (unknown_fields = 'overflow')),
	envelope_columns jsonb NOT NULL DEFAULT '{}' CHECK (pg_catalog.jsonb_typeof(envelope_columns) = 'object'),
	is_default boolean NOT NULL,
	allow_foreign boolean NOT NULL,
	key_conflict text NOT NULL CHECK (key_conflict IN ('duplicate', 'dead_letter')),
	rate integer CHECK (rate >= 0),
	burst integer CHECK (burst >= 0),
	held_reason text,
	home text NOT NULL,
	created_at timestamptz NOT NULL DEFAULT pg_catalog.now()
);
CREATE UNIQUE INDEX streams_default ON sluice.streams (is_default) WHERE is_default;
SELECT pg_catalog.pg_extension_config_dump('sluice.streams', '');
SELECT pg_catalog.pg_extension_config_dump('sluice.streams_id_seq', '');

COMMENT ON TABLE sluice.streams IS 'streams: a name bound to a target table, a payload format and its settings; changed through sluice.create_stream, alter_stream, drop_stream, hold and resume';
COMMENT ON COLUMN sluice.streams.uid IS 'identity of the stream: another stream of the same name has another one';
COMMENT ON COLUMN sluice.streams.owner IS 'the role that called create_stream: records are stored with its privileges, triggers and defaults run as this role';
COMMENT ON COLUMN sluice.streams.idempotency_window IS 'how long a key is remembered at least; all streams of a database share the longest window of them';
COMMENT ON COLUMN sluice.streams.envelope_columns IS 'columns filled from the envelope: {"key" | "received_at" | "client_address" | "role" | "producer" | "sequence": "column"}';
COMMENT ON COLUMN sluice.streams.rate IS 'records a second that all senders of the stream may send together, 0: no limit; NULL: sluice.stream_rate';
COMMENT ON COLUMN sluice.streams.burst IS 'records that may come at once after a time with fewer, 0: as many as in a second; NULL: sluice.stream_burst';
COMMENT ON COLUMN sluice.streams.held_reason IS 'why the stream is held: sluice.hold(); NULL: it is not';
COMMENT ON COLUMN sluice.streams.home IS 'the database that the stream was made or resumed in; elsewhere (restored from a dump) it is held until sluice.resume()';

--
-- Idempotency keys: three generations, see docs/keys.md
--

CREATE TABLE sluice.idempotency_keys_0 (
	payload_hash bigint NOT NULL,
	key uuid NOT NULL,
	stream integer NOT NULL,
	verdict "char" NOT NULL,
	PRIMARY KEY (key, stream) WITH (fillfactor = 100)
) WITH (autovacuum_enabled = off);
CREATE TABLE sluice.idempotency_keys_1 (LIKE sluice.idempotency_keys_0 INCLUDING INDEXES) WITH (autovacuum_enabled = off);
CREATE TABLE sluice.idempotency_keys_2 (LIKE sluice.idempotency_keys_0 INCLUDING INDEXES) WITH (autovacuum_enabled = off);
SELECT pg_catalog.pg_extension_config_dump('sluice.idempotency_keys_0', '');
SELECT pg_catalog.pg_extension_config_dump('sluice.idempotency_keys_1', '');
SELECT pg_catalog.pg_extension_config_dump('sluice.idempotency_keys_2', '');

-- At most one row; none until the first rotation, so that a dump can be restored into a fresh extension.
CREATE TABLE sluice.key_generations (
	singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
	serial bigint NOT NULL,
	current smallint NOT NULL CHECK (current BETWEEN 0 AND 2),
	phase "char" NOT NULL CHECK (phase IN ('d', 'p', 's')),
	spare_empty boolean NOT NULL,
	settled_at timestamptz NOT NULL
);
SELECT pg_catalog.pg_extension_config_dump('sluice.key_generations', '');

COMMENT ON TABLE sluice.key_generations IS 'which generation of idempotency keys is the current one: (current) takes new keys, (current + 2) % 3 is the previous one, (current + 1) % 3 the spare';
COMMENT ON COLUMN sluice.key_generations.serial IS 'counts the changes of this row';
COMMENT ON COLUMN sluice.key_generations.phase IS 'd: double, keys go to current and previous; p: passing, until the transactions of the double phase have ended; s: settled, previous is frozen';
COMMENT ON COLUMN sluice.key_generations.settled_at IS 'since when previous has been frozen: no key in it is younger';

CREATE VIEW sluice.idempotency_keys AS
	SELECT stream, key, verdict, payload_hash, 0 AS generation FROM sluice.idempotency_keys_0
	UNION ALL
	SELECT stream, key, verdict, payload_hash, 1 FROM sluice.idempotency_keys_1
	UNION ALL
	SELECT stream, key, verdict, payload_hash, 2 FROM sluice.idempotency_keys_2;

COMMENT ON VIEW sluice.idempotency_keys IS 'the remembered idempotency keys of all generations; verdict: s stored, d dead-lettered, f filtered';

--
-- Dead letters
--

CREATE TABLE sluice.dead_letters (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	stream integer NOT NULL,
	stream_name text NOT NULL,
	key uuid,
	key_text text,
	producer uuid,
	sequence bigint,
	payload bytea,
	sqlstate text NOT NULL,
	message text NOT NULL,
	detail text,
	hint text,
	context text,
	constraint_name text,
	client_address text,
	received_at timestamptz NOT NULL,
	created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
	state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'redelivery', 'redriven', 'duplicate', 'discarded')),
	settled_at timestamptz,
	settled_by text,
	settle_reason text,
	subscription integer,
	"offset" bigint,
	CHECK ((state IN ('open', 'redelivery')) = (settled_at IS NULL)),
	CHECK ((subscription IS NULL) = ("offset" IS NULL)),
	CHECK (state <> 'redelivery' OR subscription IS NOT NULL)
);
CREATE INDEX dead_letters_open ON sluice.dead_letters (stream, key) WHERE state = 'open';
CREATE INDEX dead_letters_redelivery ON sluice.dead_letters (subscription, id) WHERE state = 'redelivery';
CREATE INDEX dead_letters_producer ON sluice.dead_letters (stream, producer, sequence) WHERE producer IS NOT NULL;
SELECT pg_catalog.pg_extension_config_dump('sluice.dead_letters', '');
SELECT pg_catalog.pg_extension_config_dump('sluice.dead_letters_id_seq', '');

COMMENT ON TABLE sluice.dead_letters IS 'records that the target refused, and rows that the consumer of a subscription could not process, whole, with the reason; settled by sluice.redrive or sluice.discard, never deleted by them';
COMMENT ON COLUMN sluice.dead_letters.key IS 'the idempotency key as it is remembered (16 bytes); NULL: the record came without one';
COMMENT ON COLUMN sluice.dead_letters.key_text IS 'the key as it was sent; NULL where it was not valid text';
COMMENT ON COLUMN sluice.dead_letters.producer IS 'the producer that sent it, with its number in sequence; NULL: it came without one';
COMMENT ON COLUMN sluice.dead_letters.payload IS 'the payload as it was sent; NULL: the record came without one';
COMMENT ON COLUMN sluice.dead_letters.state IS 'open: to be settled; redelivery: put back by sluice.redrive, its subscription''s consumer has not acknowledged it yet; redriven: stored by sluice.redrive, or acknowledged; duplicate: its key had been stored meanwhile; discarded: by sluice.discard, or with its stream or subscription';
COMMENT ON COLUMN sluice.dead_letters.subscription IS 'whose consumer could not process the row, of which payload is a copy as it was sent to it; NULL: the target refused the record';
COMMENT ON COLUMN sluice.dead_letters."offset" IS 'of the row in its stream; NULL: the record has no row';

--
-- Subscriptions
--

CREATE TABLE sluice.subscriptions (
	id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	name text NOT NULL UNIQUE CHECK (name <> '' AND pg_catalog.length(name) <= 200),
	stream integer NOT NULL,
	owner regrole NOT NULL,
	guarantee text NOT NULL CHECK (guarantee IN ('at_least_once', 'at_most_once')),
	"position" bigint NOT NULL,
	epoch bigint NOT NULL DEFAULT 0,
	attempt_offset bigint,
	attempts integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
	losses integer NOT NULL DEFAULT 0 CHECK (losses >= 0),
	max_attempts integer NOT NULL DEFAULT 5 CHECK (max_attempts >= 1),
	max_losses integer CHECK (max_losses >= 1),
	retry_delay interval NOT NULL DEFAULT '1 second' CHECK (retry_delay BETWEEN interval '0' AND interval '1 hour'),
	deleted bigint NOT NULL DEFAULT 0 CHECK (deleted >= 0),
	consumer text,
	started_at timestamptz,
	last_ack_at timestamptz,
	created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
	CHECK ((attempt_offset IS NULL) = (attempts = 0))
) WITH (fillfactor = 50);
SELECT pg_catalog.pg_extension_config_dump('sluice.subscriptions', '');
SELECT pg_catalog.pg_extension_config_dump('sluice.subscriptions_id_seq', '');

COMMENT ON TABLE sluice.subscriptions IS 'durable subscriptions: named readers of streams with their positions; changed through sluice.create_subscription, drop_subscription, seek and ack, and by what their consumers acknowledge';
COMMENT ON COLUMN sluice.subscriptions.id IS 'as sluice.dead_letters.subscription has it';
COMMENT ON COLUMN sluice.subscriptions.name IS 'unique in the database: sluice.ack() names a subscription by it alone';
COMMENT ON COLUMN sluice.subscriptions.stream IS 'id of the stream whose rows it reads';
COMMENT ON COLUMN sluice.subscriptions.owner IS 'the role that made it, which may acknowledge, seek and drop it, as the owner of its stream and members of sluice_admin may; one that a consumer made over the network belongs to that';
COMMENT ON COLUMN sluice.subscriptions.guarantee IS 'at_least_once: the position moves on acknowledgement; at_most_once: it moves before rows are sent, and nothing is acknowledged';
COMMENT ON COLUMN sluice.subscriptions."position" IS 'all rows with an offset up to this one are done with';
COMMENT ON COLUMN sluice.subscriptions.epoch IS 'of the last activation, nack or seek: an acknowledgement with any other one is refused';
COMMENT ON COLUMN sluice.subscriptions.attempt_offset IS 'the row that could not be processed, while it is the first one not done with; else NULL';
COMMENT ON COLUMN sluice.subscriptions.attempts IS 'how often that row came back';
COMMENT ON COLUMN sluice.subscriptions.losses IS 'consumers that were lost with rows in flight since the position moved last';
COMMENT ON COLUMN sluice.subscriptions.max_attempts IS 'with so many attempts a row becomes a dead letter of the subscription';
COMMENT ON COLUMN sluice.subscriptions.max_losses IS 'with so many losses the first row not done with becomes a dead letter; NULL: no limit';
COMMENT ON COLUMN sluice.subscriptions.retry_delay IS 'before a row is sent again for the first time; doubles with each attempt, up to a minute';
COMMENT ON COLUMN sluice.subscriptions.deleted IS 'rows that came back for the last time when they had been deleted: there is no dead letter of them';
COMMENT ON COLUMN sluice.subscriptions.consumer IS 'program and version of the consumer that was activated last, as it names itself';
COMMENT ON COLUMN sluice.subscriptions.started_at IS 'when that was; NULL: there was none yet';
COMMENT ON COLUMN sluice.subscriptions.last_ack_at IS 'when a consumer acknowledged last (at_most_once: when rows were sent last)';
COMMENT ON COLUMN sluice.subscriptions.created_at IS 'when it was made';

--
-- Producers
--

-- last_sequence comes from the wire, stored and filtered from COPY's count, dead_lettered, declared and lost from
-- rows written in the same transaction: that they add up is checked by the ingest transaction, too.
CREATE TABLE sluice.producers (
	stream integer NOT NULL,
	producer uuid NOT NULL,
	last_sequence bigint NOT NULL CHECK (last_sequence >= 0),
	nonce bigint NOT NULL,
	epoch bigint NOT NULL,
	stored bigint NOT NULL DEFAULT 0 CHECK (stored >= 0),
	duplicate bigint NOT NULL DEFAULT 0 CHECK (duplicate >= 0),
	dead_lettered bigint NOT NULL DEFAULT 0 CHECK (dead_lettered >= 0),
	filtered bigint NOT NULL DEFAULT 0 CHECK (filtered >= 0),
	declared bigint NOT NULL DEFAULT 0 CHECK (declared >= 0),
	lost bigint NOT NULL DEFAULT 0 CHECK (lost >= 0),
	resent bigint NOT NULL DEFAULT 0,
	opened_at timestamptz NOT NULL,
	retired boolean NOT NULL DEFAULT false,
	last_crc bigint,
	PRIMARY KEY (stream, producer),
	CONSTRAINT producers_explained CHECK (last_sequence = stored + duplicate + dead_lettered + filtered + declared + lost)
) WITH (fillfactor = 50);
SELECT pg_catalog.pg_extension_config_dump('sluice.producers', '');

COMMENT ON TABLE sluice.producers IS 'how far each producer of a stream has come; written in the transactions that store its records, deleted only with its stream';
COMMENT ON COLUMN sluice.producers.last_sequence IS 'all sequences from 1 to this one are settled';
COMMENT ON COLUMN sluice.producers.nonce IS 'of the run of the producer that opened last: a copy of its buffer is told by it';
COMMENT ON COLUMN sluice.producers.epoch IS 'of the call that may store: any other one is refused';
COMMENT ON COLUMN sluice.producers.stored IS 'stored in the target';
COMMENT ON COLUMN sluice.producers.duplicate IS 'came with an idempotency key that was known';
COMMENT ON COLUMN sluice.producers.dead_lettered IS 'written to sluice.dead_letters';
COMMENT ON COLUMN sluice.producers.filtered IS 'swallowed by a trigger of the target';
COMMENT ON COLUMN sluice.producers.declared IS 'declared as dropped by the producer''s own settings: see sluice.gaps';
COMMENT ON COLUMN sluice.producers.lost IS 'declared as lost: see sluice.gaps';
COMMENT ON COLUMN sluice.producers.resent IS 'records sent again though they had been settled: not part of the account';
COMMENT ON COLUMN sluice.producers.retired IS 'not shown in sluice.ledger: sluice.retire_producer; a call of it brings it back';
COMMENT ON COLUMN sluice.producers.last_crc IS 'CRC-32 of the payload of the record last_sequence; NULL: that is a gap';

CREATE TABLE sluice.gaps (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	stream integer NOT NULL,
	producer uuid NOT NULL,
	reason text NOT NULL CHECK (reason IN ('full', 'newest', 'compacted', 'too_large', 'lost_tail', 'server_lost', 'damaged', 'previous_stream')),
	first bigint NOT NULL,
	last bigint NOT NULL,
	dropped bigint NOT NULL CHECK (dropped BETWEEN 1 AND last - first + 1),
	declared_at timestamptz NOT NULL DEFAULT pg_catalog.now()
);
CREATE INDEX gaps_producer ON sluice.gaps (stream, producer, first);
SELECT pg_catalog.pg_extension_config_dump('sluice.gaps', '');
SELECT pg_catalog.pg_extension_config_dump('sluice.gaps_id_seq', '');

COMMENT ON TABLE sluice.gaps IS 'sequences that their producers declared as not coming, a row for each transaction and reason; never deleted but with their stream';
COMMENT ON COLUMN sluice.gaps.reason IS 'the producer''s wish: full (its buffer, the oldest went), newest (its buffer was full, the newest did not get in), compacted, too_large, lost_tail (not yet on its disk when the power went); a loss: server_lost, damaged, previous_stream';
COMMENT ON COLUMN sluice.gaps.dropped IS 'how many of the sequences from first to last';

CREATE VIEW sluice.ledger AS
	SELECT p.stream, s.name, p.producer, 1::bigint AS first, p.last_sequence AS last, p.stored, p.duplicate, p.dead_lettered,
		p.filtered, p.declared, p.lost,
		p.last_sequence - (p.stored + p.duplicate + p.dead_lettered + p.filtered + p.declared + p.lost) AS unexplained
	FROM sluice.producers p LEFT JOIN sluice.streams s ON s.id = p.stream
	WHERE NOT p.retired;
COMMENT ON VIEW sluice.ledger IS 'what became of every sequence from first to last of each producer; unexplained is 0, or something is wrong with pg_sluice';

--
-- Functions
--

CREATE FUNCTION sluice.create_stream(name text, target regclass = NULL, payload_format text = NULL,
	message_type text = NULL, descriptor_set bytea = NULL, idempotency_window interval = '24 hours',
	offset_column name = NULL, unknown_fields text = 'reject', overflow_column name = NULL,
	envelope_columns jsonb = NULL, is_default boolean = NULL, allow_foreign boolean = false,
	key_conflict text = 'duplicate', rate integer = NULL, burst integer = NULL)
RETURNS integer AS 'MODULE_PATHNAME', 'sluice_create_stream' LANGUAGE C;
COMMENT ON FUNCTION sluice.create_stream IS 'bind a stream to a table; makes the table where none is named; returns the id of the stream';

CREATE FUNCTION sluice.alter_stream(name text, target regclass = NULL, payload_format text = NULL,
	message_type text = NULL, descriptor_set bytea = NULL, idempotency_window interval = NULL,
	offset_column name = NULL, unknown_fields text = NULL, overflow_column name = NULL,
	envelope_columns jsonb = NULL, is_default boolean = NULL, allow_foreign boolean = NULL,
	key_conflict text = NULL, rate integer = NULL, burst integer = NULL)
RETURNS void AS 'MODULE_PATHNAME', 'sluice_alter_stream' LANGUAGE C;
COMMENT ON FUNCTION sluice.alter_stream IS 'change settings of a stream; NULL leaves a setting as it is; rate and burst -1 go back to the settings of the server';

CREATE FUNCTION sluice.drop_stream(name text, drop_target boolean = false)
RETURNS void AS 'MODULE_PATHNAME', 'sluice_drop_stream' LANGUAGE C STRICT;
COMMENT ON FUNCTION sluice.drop_stream IS 'drop a stream; its open dead letters are discarded; drop_target drops the table too';

CREATE FUNCTION sluice.hold(name text, reason text)
RETURNS void AS 'MODULE_PATHNAME', 'sluice_hold' LANGUAGE C STRICT;
COMMENT ON FUNCTION sluice.hold IS 'hold a stream: nothing is stored in it until sluice.resume; its senders wait';

CREATE FUNCTION sluice.resume(name text)
RETURNS void AS 'MODULE_PATHNAME', 'sluice_resume' LANGUAGE C STRICT;
COMMENT ON FUNCTION sluice.resume IS 'let a stream go on that was held by sluice.hold or came from a dump';

CREATE FUNCTION sluice.ingest(stream text, idempotency_key text, payload bytea)
RETURNS text AS 'MODULE_PATHNAME', 'sluice_ingest' LANGUAGE C;
COMMENT ON FUNCTION sluice.ingest(text, text, bytea) IS 'store one record as the endpoint would, in the caller''s transaction and with the caller''s privileges on the target; returns stored, duplicate, dead_lettered or filtered';

CREATE FUNCTION sluice.ingest(stream text, idempotency_keys text[], payloads bytea[])
RETURNS SETOF text AS 'MODULE_PATHNAME', 'sluice_ingest_array' LANGUAGE C;
COMMENT ON FUNCTION sluice.ingest(text, text[], bytea[]) IS 'store records in one go; returns their verdicts in the same order';

CREATE FUNCTION sluice.create_subscription(name text, stream text = NULL, start text = 'earliest',
	after_offset bigint = NULL, since timestamptz = NULL, guarantee text = 'at_least_once',
	max_attempts integer = 5, max_losses integer = NULL, retry_delay interval = '1 second')
RETURNS integer AS 'MODULE_PATHNAME', 'sluice_create_subscription' LANGUAGE C;
COMMENT ON FUNCTION sluice.create_subscription IS 'make a durable subscription of a stream that begins with its first row (earliest), behind its last offset (latest), behind an offset, or with the first row received at a time or later; returns its id';

CREATE FUNCTION sluice.drop_subscription(name text)
RETURNS void AS 'MODULE_PATHNAME', 'sluice_drop_subscription' LANGUAGE C STRICT;
COMMENT ON FUNCTION sluice.drop_subscription IS 'drop a subscription, its position is forgotten; the call of its consumer ends, its open dead letters are discarded';

CREATE FUNCTION sluice.seek(name text, "offset" bigint = NULL, "time" timestamptz = NULL)
RETURNS void AS 'MODULE_PATHNAME', 'sluice_seek' LANGUAGE C;
COMMENT ON FUNCTION sluice.seek IS 'let a subscription go on behind an offset, or with the first row received at a time or later; what is in flight cannot be acknowledged any more';

CREATE FUNCTION sluice.ack(subscription text, epoch bigint, "offset" bigint, previous bigint = NULL)
RETURNS void AS 'MODULE_PATHNAME', 'sluice_ack' LANGUAGE C;
COMMENT ON FUNCTION sluice.ack IS 'acknowledge all rows up to an offset in the caller''s own transaction, so that the position moves with what the caller did for them, or not at all; an error where it does not fit: epoch is that of the activation, previous the offset that the row follows';

CREATE FUNCTION sluice.redrive(stream text = NULL, ids bigint[] = NULL, payload bytea = NULL,
	OUT id bigint, OUT verdict text)
RETURNS SETOF record AS 'MODULE_PATHNAME', 'sluice_redrive' LANGUAGE C;
COMMENT ON FUNCTION sluice.redrive IS 'try open dead letters again: all, those of a stream, or those of the given ids. Records go to the target, with their keys; rows go to their subscription alone (redelivery). payload replaces the payload of a single one';

CREATE FUNCTION sluice.discard(ids bigint[], reason text)
RETURNS bigint AS 'MODULE_PATHNAME', 'sluice_discard' LANGUAGE C STRICT;
COMMENT ON FUNCTION sluice.discard IS 'give open dead letters up, with a reason; returns how many';

CREATE FUNCTION sluice.retire_producer(stream text, producer uuid)
RETURNS void AS 'MODULE_PATHNAME', 'sluice_retire_producer' LANGUAGE C STRICT;
COMMENT ON FUNCTION sluice.retire_producer IS 'leave a producer that will not come back out of sluice.ledger; what is known of it is kept, and it reappears if it does come back';

CREATE FUNCTION sluice.streams_changed()
RETURNS trigger AS 'MODULE_PATHNAME', 'sluice_streams_changed' LANGUAGE C;
COMMENT ON FUNCTION sluice.streams_changed IS 'tells all sessions and workers to read sluice.streams again';
CREATE TRIGGER streams_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON sluice.streams
	FOR EACH STATEMENT EXECUTE FUNCTION sluice.streams_changed();

--
-- Statistics
--

CREATE FUNCTION sluice.home()
RETURNS text AS 'MODULE_PATHNAME', 'sluice_home' LANGUAGE C STABLE STRICT;
COMMENT ON FUNCTION sluice.home IS 'this database, as sluice.streams.home names it';

CREATE FUNCTION sluice.stat_streams(OUT stream integer, OUT received bigint, OUT stored bigint,
	OUT duplicate bigint, OUT dead_lettered bigint, OUT filtered bigint, OUT key_conflicts bigint,
	OUT batches bigint, OUT retries bigint, OUT hold text, OUT sqlstate text, OUT message text,
	OUT hold_since timestamptz, OUT last_commit timestamptz, OUT throttled bigint,
	OUT throttled_time interval)
RETURNS SETOF record AS 'MODULE_PATHNAME', 'sluice_stat_streams' LANGUAGE C STRICT;

CREATE FUNCTION sluice.stat_workers(OUT worker integer, OUT pid integer, OUT state text,
	OUT database name, OUT port integer, OUT calls bigint, OUT records_received bigint,
	OUT records_in_flight bigint, OUT bytes_in_flight bigint, OUT refused_calls bigint,
	OUT listener_restarts bigint, OUT penalties bigint, OUT main_cpu_us bigint, OUT network_cpu_us bigint)
RETURNS SETOF record AS 'MODULE_PATHNAME', 'sluice_stat_workers' LANGUAGE C STRICT;

CREATE VIEW sluice.stat_streams AS
	SELECT s.id AS stream, s.name, s.target,
		COALESCE(t.received, 0) AS received, COALESCE(t.stored, 0) AS stored,
		COALESCE(t.duplicate, 0) AS duplicate, COALESCE(t.dead_lettered, 0) AS dead_lettered,
		COALESCE(t.filtered, 0) AS filtered, COALESCE(t.key_conflicts, 0) AS key_conflicts,
		COALESCE(t.batches, 0) AS batches, COALESCE(t.retries, 0) AS retries,
		(SELECT pg_catalog.count(*) FROM sluice.dead_letters d WHERE d.stream = s.id AND d.state = 'open' AND d.subscription IS NULL) AS open_dead_letters,
		CASE WHEN s.held_reason IS NOT NULL OR s.home <> sluice.home() THEN 'paused' ELSE t.hold END AS hold,
		t.sqlstate,
		CASE WHEN s.held_reason IS NOT NULL THEN s.held_reason
			WHEN s.home <> sluice.home() THEN 'the stream came from another database: sluice.resume() lets it go on'
			ELSE t.message END AS message,
		t.hold_since, t.last_commit,
		COALESCE(s.rate, pg_catalog.current_setting('sluice.stream_rate', true)::integer, 0) AS rate,
		COALESCE(t.throttled, 0) AS throttled,
		COALESCE(t.throttled_time, interval '0') AS throttled_time
	FROM sluice.streams s LEFT JOIN sluice.stat_streams() t ON t.stream = s.id;
COMMENT ON VIEW sluice.stat_streams IS 'what happened to the records of each stream since the server started, and why a stream is held';

CREATE VIEW sluice.stat_workers AS SELECT * FROM sluice.stat_workers();
COMMENT ON VIEW sluice.stat_workers IS 'the workers of the server, their calls, how often each shut out a network (sluice.penalty_time), and the CPU time of their two threads';

CREATE FUNCTION sluice.stat_tls(OUT worker integer, OUT pid integer, OUT enabled boolean, OUT subject text,
	OUT issuer text, OUT serial text, OUT not_before timestamptz, OUT not_after timestamptz,
	OUT loaded_at timestamptz, OUT failed_at timestamptz, OUT failure text)
RETURNS SETOF record AS 'MODULE_PATHNAME', 'sluice_stat_tls' LANGUAGE C STRICT;

CREATE VIEW sluice.stat_tls AS SELECT * FROM sluice.stat_tls();
COMMENT ON VIEW sluice.stat_tls IS 'the certificate of the gRPC port as each worker shows it';
COMMENT ON COLUMN sluice.stat_tls.enabled IS 'false: the port is not encrypted, and the rest is NULL';
COMMENT ON COLUMN sluice.stat_tls.serial IS 'in hexadecimal digits';
COMMENT ON COLUMN sluice.stat_tls.not_after IS 'when the certificate expires; from 14 days before the log has a warning each day';
COMMENT ON COLUMN sluice.stat_tls.loaded_at IS 'when it was read from its files';
COMMENT ON COLUMN sluice.stat_tls.failed_at IS 'when files were last refused and the certificate before them kept; NULL: never since the worker started';
COMMENT ON COLUMN sluice.stat_tls.failure IS 'why';

CREATE FUNCTION sluice.stat_connections(OUT worker integer, OUT pid integer, OUT method text, OUT role oid,
	OUT client_address text, OUT client text, OUT stream integer, OUT producer uuid,
	OUT connected_at timestamptz, OUT records_received bigint, OUT acknowledged bigint,
	OUT records_in_flight bigint, OUT bytes_in_flight bigint, OUT last_message_at timestamptz,
	OUT buffered_records bigint, OUT buffered_bytes bigint, OUT oldest_age interval,
	OUT clock_offset interval, OUT reported_at timestamptz)
RETURNS SETOF record AS 'MODULE_PATHNAME', 'sluice_stat_connections' LANGUAGE C STRICT;

CREATE VIEW sluice.stat_connections AS
	SELECT c.worker, c.pid, c.method, r.rolname AS role, c.client_address, c.client, c.stream, s.name, c.producer,
		c.connected_at, c.records_received, c.acknowledged, c.records_in_flight, c.bytes_in_flight, c.last_message_at,
		c.buffered_records, c.buffered_bytes, c.oldest_age, c.clock_offset, c.reported_at
	FROM sluice.stat_connections() c LEFT JOIN sluice.streams s ON s.id = c.stream
		LEFT JOIN pg_catalog.pg_roles r ON r.oid = c.role;
COMMENT ON VIEW sluice.stat_connections IS 'the open calls that send records to this database or take rows from it, up to 1024 of each worker, as they were a tenth of a second ago at most';
COMMENT ON COLUMN sluice.stat_connections.method IS 'IngestData, Publish or Subscribe';
COMMENT ON COLUMN sluice.stat_connections.role IS 'the role that the call acts as; NULL: the owner of its stream';
COMMENT ON COLUMN sluice.stat_connections.client IS 'program and version, as the client of Publish or Subscribe names itself';
COMMENT ON COLUMN sluice.stat_connections.stream IS 'NULL: the call still waits for its stream to be looked up';
COMMENT ON COLUMN sluice.stat_connections.records_received IS 'Subscribe: the client''s acknowledgements, nacks and starts';
COMMENT ON COLUMN sluice.stat_connections.acknowledged IS 'of the records received, those that were answered; Subscribe: rows that were sent';
COMMENT ON COLUMN sluice.stat_connections.records_in_flight IS 'received and not answered yet; Subscribe: messages, in either direction, that are on their way';
COMMENT ON COLUMN sluice.stat_connections.buffered_records IS 'that wait at the client, by its own last report; this column and the next four are NULL without one';
COMMENT ON COLUMN sluice.stat_connections.oldest_age IS 'of the oldest record that waits at the client, when it reported';
COMMENT ON COLUMN sluice.stat_connections.clock_offset IS 'how far the client''s clock was ahead of the server''s when it reported, the report''s journey included';

CREATE FUNCTION sluice.stat_subscriptions(OUT subscription integer, OUT state text, OUT worker integer,
	OUT pid integer, OUT consumer text, OUT client_address text, OUT active_since timestamptz,
	OUT delivered bigint, OUT in_flight bigint, OUT rows_sent bigint, OUT redelivered bigint,
	OUT blocker_pid integer, OUT lag_records bigint, OUT lag_seconds double precision)
RETURNS SETOF record AS 'MODULE_PATHNAME', 'sluice_stat_subscriptions' LANGUAGE C STRICT;

CREATE VIEW sluice.stat_subscriptions AS
	SELECT s.id AS subscription, s.name, t.name AS stream, s.guarantee, s."position", COALESCE(a.state, 'inactive') AS state,
		a.worker, a.pid, a.consumer, a.client_address, a.active_since, a.delivered, a.in_flight, a.rows_sent, a.redelivered,
		s.attempts, s.losses, a.lag_records, a.lag_seconds, a.blocker_pid,
		(SELECT pg_catalog.count(*) FROM sluice.dead_letters d
			WHERE d.stream = s.stream AND d.state = 'open' AND d.subscription = s.id) AS open_dead_letters,
		s.last_ack_at
	FROM sluice.subscriptions s LEFT JOIN sluice.streams t ON t.id = s.stream
		LEFT JOIN sluice.stat_subscriptions() a ON a.subscription = s.id;
COMMENT ON VIEW sluice.stat_subscriptions IS 'durable subscriptions: who consumes them, and how far behind they are; counted with the rights of the stream''s owner';
COMMENT ON COLUMN sluice.stat_subscriptions.state IS 'inactive: no consumer; starting; backlog; live: has caught up; retrying: waits before a row is sent again; blocked: rows wait for a transaction that wrote to the table';
COMMENT ON COLUMN sluice.stat_subscriptions.worker IS 'the worker that serves the consumer; this column and the others up to redelivered are NULL where there is none';
COMMENT ON COLUMN sluice.stat_subscriptions.pid IS 'process id of the worker';
COMMENT ON COLUMN sluice.stat_subscriptions.consumer IS 'program and version, as the consumer names itself';
COMMENT ON COLUMN sluice.stat_subscriptions.delivered IS 'offset of the last row sent since active_since; NULL: none yet';
COMMENT ON COLUMN sluice.stat_subscriptions.in_flight IS 'rows sent and not acknowledged yet';
COMMENT ON COLUMN sluice.stat_subscriptions.rows_sent IS 'since active_since';
COMMENT ON COLUMN sluice.stat_subscriptions.redelivered IS 'of rows_sent, those that had been sent before';
COMMENT ON COLUMN sluice.stat_subscriptions.lag_records IS 'committed rows beyond the position: counted up to 100000, estimated from the offsets if there are more; NULL: they cannot be read (the table is gone or locked, its stream''s owner may not)';
COMMENT ON COLUMN sluice.stat_subscriptions.lag_seconds IS 'age of the first row beyond the position where the stream keeps received_at, else how long ago the consumer had all rows; 0: there is none beyond; NULL: not known';
COMMENT ON COLUMN sluice.stat_subscriptions.blocker_pid IS 'process that rows wait for; NULL: none, or its transaction is a prepared one';

CREATE FUNCTION sluice.audit(stream text, OUT producer uuid, OUT rows bigint, OUT doubled bigint,
	OUT beyond bigint, OUT redriven bigint, OUT missing bigint)
RETURNS SETOF record AS 'MODULE_PATHNAME', 'sluice_audit' LANGUAGE C STRICT;
COMMENT ON FUNCTION sluice.audit IS 'compare a stream''s target, which must keep producer and sequence, with the ledger. Of each producer: rows in the target; sequences that are there more than once (doubled); sequences above its last one (beyond); dead letters that were redriven; and how many rows fewer there are than were stored and redriven (missing; negative: more)';

--
-- Privileges: see docs/roles.md.  All of this comes last, so that it covers every object above;
-- an upgrade script that makes objects ends with the same.
--
-- No function is SECURITY DEFINER: those in C act as the extension's owner where they touch our own
-- tables and nowhere else, and check themselves whose stream it is.  Row types keep their USAGE for
-- PUBLIC: to name one takes the schema's.
--

REVOKE ALL ON SCHEMA sluice FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA sluice FROM PUBLIC;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA sluice FROM PUBLIC;
REVOKE ALL ON ALL ROUTINES IN SCHEMA sluice FROM PUBLIC;

-- Roles belong to the cluster: another database, or a dump of it, may have brought them already.
DO $$
DECLARE
	wanted record;
BEGIN
	FOR wanted IN VALUES ('sluice_reader', 'pg_sluice: may read streams, the ledger and statistics, no payloads'),
		('sluice_admin', 'pg_sluice: may administer the streams and subscriptions of all owners') LOOP
		BEGIN
			EXECUTE pg_catalog.format('CREATE ROLE %I NOLOGIN', wanted.column1);
			EXECUTE pg_catalog.format('COMMENT ON ROLE %I IS %L', wanted.column1, wanted.column2);
		EXCEPTION WHEN duplicate_object OR unique_violation THEN
			IF (SELECT rolcanlogin FROM pg_catalog.pg_roles WHERE rolname = wanted.column1) THEN
				RAISE WARNING USING MESSAGE = pg_catalog.format('role "%s" is there already and can log in', wanted.column1),
					HINT = 'It has privileges in schema "sluice" now. It is meant to be granted to roles that log in: ALTER ROLE ... NOLOGIN.';
			END IF;
		END;
	END LOOP;
	IF NOT EXISTS (SELECT FROM pg_catalog.pg_auth_members
		WHERE roleid = 'sluice_reader'::regrole AND member = 'sluice_admin'::regrole) THEN
		GRANT sluice_reader TO sluice_admin;
	END IF;
END $$;

GRANT USAGE ON SCHEMA sluice TO sluice_reader;
GRANT SELECT ON sluice.streams, sluice.subscriptions, sluice.producers, sluice.gaps, sluice.ledger TO sluice_reader;
-- Of dead letters neither what was sent (payload, key) nor what quotes it: messages and details hold values of the payload.
GRANT SELECT (id, stream, stream_name, producer, sequence, sqlstate, constraint_name, received_at, created_at,
	state, settled_at, settled_by, subscription, "offset") ON sluice.dead_letters TO sluice_reader;
GRANT EXECUTE ON FUNCTION sluice.home(), sluice.audit(text) TO sluice_reader;
-- The views of statistics, and the functions behind them, which run as who looks at the view.
DO $$
DECLARE
	object record;
BEGIN
	FOR object IN SELECT oid::regclass AS name FROM pg_catalog.pg_class
		WHERE relnamespace = 'sluice'::regnamespace AND relkind = 'v' AND relname LIKE 'stat\_%' LOOP
		EXECUTE pg_catalog.format('GRANT SELECT ON %s TO sluice_reader', object.name);
	END LOOP;
	FOR object IN SELECT oid::regprocedure AS name FROM pg_catalog.pg_proc
		WHERE pronamespace = 'sluice'::regnamespace AND proname LIKE 'stat\_%' LOOP
		EXECUTE pg_catalog.format('GRANT EXECUTE ON FUNCTION %s TO sluice_reader', object.name);
	END LOOP;
END $$;

GRANT SELECT ON ALL TABLES IN SCHEMA sluice TO sluice_admin;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA sluice TO sluice_admin;
REVOKE ALL ON FUNCTION sluice.streams_changed() FROM sluice_admin;
