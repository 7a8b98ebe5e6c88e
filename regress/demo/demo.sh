#!/usr/bin/env bash
# The demo: this machine's own telemetry goes through the endpoint into two
# tables, by a plain gRPC client and by sluice send with a durable buffer; the
# server is killed with SIGKILL half-way and comes back, and SQL and the ledger
# show that nothing was lost and nothing is there twice.  All the while a
# subscription copies the first table into another database, row for row.
# Called by regress/run demo, which staged the server and cleans up.
set -euo pipefail

here=$(cd -- "$(dirname -- "$0")" && pwd)
count=${DEMO_RECORDS:-40000}
data=$SLUICE_WORK/home/demo
logs=$SLUICE_WORK/results
buffer=$SLUICE_WORK/home/buffer
python=$SLUICE_PYTHON

say() {
	printf '\n== %s\n' "$*"
}

die() {
	echo "demo: $*" >&2
	tail -n 20 "$logs/demo-server.log" >&2 || true
	exit 1
}

free_port() {
	"$python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

sql() {
	psql -X -q -v ON_ERROR_STOP=1 -h "$SLUICE_WORK/home" -p "$port" -d postgres "$@"
}

start_server() {
	pg_ctl -D "$data" -l "$logs/demo-server.log" -w start >/dev/null || die "the server does not start"
	"$python" "$here/../client.py" health --address "127.0.0.1:$sluice_port" --wait "$1" >/dev/null ||
		[ "$1" = 0 ] || die "the endpoint does not serve"
}

# As when the machine stops: none of the server's processes can say goodbye.
kill_server() {
	local postmaster pids
	postmaster=$(head -n 1 "$data/postmaster.pid")
	kill -STOP "$postmaster"
	pids="$(cat /proc/"$postmaster"/task/*/children) $postmaster"
	# shellcheck disable=SC2086
	kill -KILL $pids
	for pid in $pids; do
		# Dead but not reaped counts as gone.
		while [ -e "/proc/$pid" ] && ! grep -q '^State:.*[ZX]' "/proc/$pid/status" 2>/dev/null; do
			sleep 0.02
		done
	done
	# Orphans are reaped by init; where it never does, the pid in lock files would look alive.
	for _ in $(seq 100); do
		[ -e "/proc/$postmaster" ] || break
		sleep 0.05
	done
	[ ! -e "/proc/$postmaster" ] || rm -f "$data/postmaster.pid" "$SLUICE_WORK"/home/.s.PGSQL.*.lock
	echo "killed $(wc -w <<<"$pids") processes with SIGKILL"
}

# The number after a name in a line of JSON.
figure() {
	"$python" -c 'import json, sys; print(json.load(open(sys.argv[1]))[sys.argv[2]])' "$1" "$2"
}

say "a throw-away PostgreSQL with pg_sluice in it"
port=$(free_port)
sluice_port=$(free_port)
initdb -D "$data" -U postgres -A trust -E UTF8 --locale=C >"$logs/demo-initdb.log" 2>&1 || die "initdb failed"
cat >>"$data/postgresql.conf" <<END
shared_preload_libraries = 'pg_sluice'
listen_addresses = ''
unix_socket_directories = '$SLUICE_WORK/home'
port = $port
sluice.port = $sluice_port
timezone = 'UTC'
END
start_server 0
export PGUSER=postgres
echo "$(postgres --version), gRPC endpoint on 127.0.0.1:$sluice_port, every commit durable (fsync on)"

say "two tables of our own, and a stream for each"
protoc -I "$here" --include_imports --descriptor_set_out="$logs/telemetry.desc" telemetry.proto
descriptors=$(od -An -v -tx1 "$logs/telemetry.desc" | tr -d ' \n')
cat >"$logs/demo-setup.sql" <<END
CREATE EXTENSION pg_sluice;

CREATE TABLE process_samples (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    sample text NOT NULL,
    sampled_at timestamptz NOT NULL,
    pid integer, command text, state text, cpu_seconds float8, rss_bytes bigint,
    threads integer CONSTRAINT has_threads CHECK (threads > 0)
);
SELECT sluice.create_stream('process_samples', 'process_samples', offset_column => 'id',
    message_type => 'telemetry.ProcessSample', descriptor_set => '\\x$descriptors');

CREATE TABLE process_json (
    sample text NOT NULL,
    sampled_at timestamptz NOT NULL,
    pid integer, command text, state text, cpu_seconds numeric, memory jsonb,
    threads integer CONSTRAINT has_threads CHECK (threads > 0)
);
SELECT sluice.create_stream('process_json', 'process_json', payload_format => 'json');
END
sed -e "s/'.x0a[0-9a-f]*'/:descriptor_set/" "$logs/demo-setup.sql"
sql -o /dev/null -f "$logs/demo-setup.sql"
sql -c 'CREATE DATABASE archive'
sql -d archive -c 'CREATE TABLE process_samples (id bigint PRIMARY KEY, sample text, sampled_at timestamptz, pid integer,
    command text, state text, cpu_seconds float8, rss_bytes bigint, threads integer)'
"$python" "$here/../client.py" health --address "127.0.0.1:$sluice_port" --wait 30 >/dev/null ||
	die "the endpoint does not serve"

say "streaming $count samples of all processes in protobuf (Python), $count in JSON (sluice send, with a buffer)"
echo "and handing the first table's rows out again: sluice subscribe --into the database archive"
archive="host=$SLUICE_WORK/home port=$port dbname=archive user=postgres"
"$SLUICE_TOOL" subscribe --server "127.0.0.1:$sluice_port" --stream process_samples --subscription archive \
	--into "$archive" --quiet 2>"$logs/demo-subscribe.log" &
subscriber=$!
started=$(date +%s.%N)
"$python" "$here/publish.py" --address "127.0.0.1:$sluice_port" --protos "$here/../../proto" \
	--stream process_samples --count "$count" --timeout 300 >"$logs/demo-proto.json" &
proto_client=$!
"$python" "$here/sampler.py" "$count" |
	"$SLUICE_TOOL" send --server "127.0.0.1:$sluice_port" --stream process_json --key sample \
		--buffer "$buffer" --timeout 120 --summary json --no-progress >"$logs/demo-json.json" &
json_client=$!

# Half-way is when half of what sluice send sends is committed, which is the faster one.
patience=1200
while total=$(sql -At -c 'SELECT count(*) FROM process_json') && [ "$total" -lt $((count / 2)) ]; do
	patience=$((patience - 1))
	[ $patience -gt 0 ] || die "only $total records after a minute and more"
	sleep 0.05
done

say "half-way, $total rows committed by sluice send: SIGKILL for the postmaster and all its children"
kill_server
echo
echo "What was read meanwhile waits on disk until the server tells what became of it (sluice buffer stats):"
"$SLUICE_TOOL" buffer stats "$buffer"
echo
start_server 60
echo "started again: crash recovery is done, the endpoint serves, the clients go on"

proto_status=0
wait "$proto_client" || proto_status=$?
json_status=0
wait "$json_client" || json_status=$?
[ "$proto_status" -eq 0 ] || die "the Python client ended with status $proto_status: $(cat "$logs/demo-proto.json")"
# Status 2 is: all acknowledged, some as dead letters.
[ "$json_status" -eq 2 ] || die "sluice send ended with status $json_status: $(cat "$logs/demo-json.json")"
seconds=$("$python" -c 'import sys, time; print("%.1f" % (time.time() - float(sys.argv[1])))' "$started")

proto_sent=$(figure "$logs/demo-proto.json" records)
proto_requests=$(figure "$logs/demo-proto.json" requests)
echo "all acknowledged after $seconds s; Python sent $((proto_requests - proto_sent)) requests again"

patience=600
while [ "$(sql -At -c "SELECT position = (SELECT max(id) FROM process_samples) FROM sluice.subscriptions WHERE name = 'archive'")" != t ]; do
	patience=$((patience - 1))
	[ $patience -gt 0 ] || die "the copy does not catch up: $(cat "$logs/demo-subscribe.log")"
	sleep 0.1
done
kill -TERM "$subscriber"
# Status 5 is: ended by a signal, what was taken is done with.
subscriber_status=0
wait "$subscriber" || subscriber_status=$?
[ "$subscriber_status" -eq 5 ] || die "sluice subscribe ended with status $subscriber_status: $(cat "$logs/demo-subscribe.log")"

say "what the database says"
sql -v proto_sent="$proto_sent" -v json_sent="$count" -f "$here/closing.sql"
columns='id, sample, sampled_at, pid, command, state, cpu_seconds, rss_bytes, threads'
checksum="SELECT count(*) || ' rows, md5 ' || md5(string_agg(x::text, E'\n' ORDER BY id)) FROM (SELECT $columns FROM process_samples) x"
here_is=$(sql -At -c "$checksum")
there_is=$(sql -d archive -At -c "$checksum")
printf 'The subscription, in order, through the same crash:\n  table    %s\n  archive  %s\n' "$here_is" "$there_is"
[ "$here_is" = "$there_is" ] || die "the copy is not the table"
verdict=$(sql -At -c 'SELECT bool_and(balanced) FROM demo_balance')
pg_ctl -D "$data" -m fast -w stop >/dev/null
[ "$verdict" = t ] || die "the figures do not balance"
say "sent = stored + dead letters, nothing twice: it balances"
