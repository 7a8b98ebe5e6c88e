"""What is measured, one class for each way into the table.

A measurement starts from empty tables and a fresh checkpoint, runs one program
that prints its figures as a line of JSON, and then counts what is in the
tables: a way that loses or doubles a record has no speed.
"""

import contextlib
import json
import os
import subprocess
import time

LIMIT_SECONDS = 900
WAIT_SECONDS = 60

COLUMNS = """(
    device_id text NOT NULL,
    "timestamp" timestamptz NOT NULL,
    temperature_celsius float8 NOT NULL,
    humidity_percent float8 NOT NULL)"""


class MeasureError(Exception):
    pass


class Bench:
    """The servers, the programs, the sizes: what every measurement needs."""

    def __init__(self, postgres, redis, programs, client, rows, directory):
        self.postgres = postgres
        self.redis = redis
        self.programs = programs
        self.client = client        # the directory of sluice, sluice-load and libsluice
        self.rows = rows
        self.directory = directory  # on the same disk as the servers' data

    @property
    def server(self):
        return f"127.0.0.1:{self.postgres.sluice_port}"

    def run(self, program, *arguments):
        command = [os.path.join(self.programs, program), *map(str, arguments)]
        result = subprocess.run(command, capture_output=True, text=True, check=False,
                                timeout=LIMIT_SECONDS)
        if result.returncode != 0:
            raise MeasureError(f"{program} failed: {result.stderr.strip()}")
        return json.loads(result.stdout)

    def create_tables(self):
        if self.postgres.preload:
            self.postgres.query("CREATE EXTENSION pg_sluice")
        self.postgres.query(f"""
            CREATE SCHEMA peers;
            CREATE TABLE peers.keys (key uuid NOT NULL);
            CREATE UNIQUE INDEX ON peers.keys (key);
            CREATE TABLE peers.readings {COLUMNS};""")

    def expect_rows(self, table, expected):
        found = int(self.postgres.query(f"SELECT count(*) FROM {table}"))
        if found != expected:
            raise MeasureError(f"{table} holds {found} rows, not {expected}")


class Measurement:
    """name: how it is selected; label: how it is shown; share: of --rows.

    once: the first repetition is enough, for one run is many trials.
    """

    share = 1.0
    needs_sluice = False
    once = False

    def __init__(self, name, label, keys="time", share=None):
        self.name = name
        self.label = label
        self.keys = keys
        if share is not None:
            self.share = share

    @property
    def title(self):
        return self.label if self.keys == "none" else f"{self.label}, {self.keys} keys"

    def records(self, bench):
        return max(100, int(bench.rows * self.share))

    def measure(self, bench, seed, earlier):
        """The figures of one run; earlier: those of this repetition so far."""
        self.prepare(bench)
        bench.postgres.query("CHECKPOINT")
        figures = self.store(bench, seed, earlier)
        self.verify(bench, figures)
        return figures

    def prepare(self, bench):
        bench.postgres.query("TRUNCATE peers.keys, peers.readings")

    def store(self, bench, seed, earlier):
        raise NotImplementedError

    def verify(self, bench, figures):
        bench.expect_rows("peers.readings", self.records(bench))
        bench.expect_rows("peers.keys", self.records(bench))

    def arguments(self, bench, seed):
        keys = "time" if self.keys == "none" else self.keys
        return ["--conninfo", bench.postgres.conninfo(), "--keys", keys,
                "--records", self.records(bench), "--seed", seed]


class Copy(Measurement):
    """batch: records a transaction (None: all); piece: records a COPY."""

    def __init__(self, name, label, form, mode="keyed", batch=1000, piece=None, keys="time"):
        super().__init__(name, label, keys)
        self.form = form
        self.mode = mode
        self.batch = batch
        self.piece = piece

    def store(self, bench, seed, earlier):
        batch = self.batch or self.records(bench)
        return bench.run("peer_copy", *self.arguments(bench, seed), "--format", self.form,
                         "--mode", self.mode, "--batch", batch, "--piece", self.piece or batch)

    def verify(self, bench, figures):
        records = self.records(bench)
        bench.expect_rows("peers.readings", records)
        bench.expect_rows("peers.keys", records if self.mode == "keyed" else 0)
        size = bench.postgres.query("SELECT pg_total_relation_size('peers.keys')")
        if self.mode == "keyed":
            figures["bytes_per_key"] = int(size) / records


class Pipeline(Measurement):
    def __init__(self, name, label, mode, batch, keys="time", share=1.0):
        super().__init__(name, label, keys, share)
        self.mode = mode
        self.batch = batch

    def store(self, bench, seed, earlier):
        return bench.run("peer_pipeline", *self.arguments(bench, seed),
                         "--mode", self.mode, "--batch", self.batch)


class RedisFirst(Measurement):
    def __init__(self, name, label, mode, batch, keys="time", share=1.0):
        super().__init__(name, label, keys, share)
        self.mode = mode
        self.batch = batch

    def prepare(self, bench):
        super().prepare(bench)
        bench.redis.empty()

    def store(self, bench, seed, earlier):
        return bench.run("peer_redis", *self.arguments(bench, seed), "--mode", self.mode,
                         "--batch", self.batch, "--redis-port", bench.redis.port)

    def verify(self, bench, figures):
        bench.expect_rows("peers.readings", 0 if self.mode == "memory" else self.records(bench))
        if bench.redis.keys() != self.records(bench):
            raise MeasureError(f"Redis holds {bench.redis.keys()} keys, not {self.records(bench)}")


class Sluice(Measurement):
    """Ours: a stream on a table like that of the peers, and empty key tables."""

    needs_sluice = True
    own_table = False

    def prepare(self, bench):
        target = "NULL" if self.own_table else "'readings'"
        create = "" if self.own_table else f"CREATE TABLE readings {COLUMNS};"
        # Keys outlive their stream until their generation is rotated: the
        # tables are emptied, as those of the peers are.
        bench.postgres.query(f"""
            SET client_min_messages = warning;
            SELECT sluice.drop_stream(name, true) FROM sluice.streams;
            TRUNCATE {", ".join(self._key_tables(bench))};
            {create}
            SELECT sluice.create_stream('readings', target => {target},
                message_type => 'ingestion.DataPayload');""")

    @staticmethod
    def _key_tables(bench):
        return bench.postgres.query("""
            SELECT c.oid::regclass
            FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE n.nspname = 'sluice' AND c.relname ~ '^idempotency_keys_' AND c.relkind = 'r'""").split()

    def verify(self, bench, figures):
        records = self.records(bench)
        bench.expect_rows("public.readings", records)
        bench.expect_rows("sluice.idempotency_keys", records)
        bench.expect_rows("sluice.dead_letters", 0)
        # Of few keys the empty pages are most.
        if self.share >= 1:
            sizes = [bench.postgres.query(f"SELECT pg_total_relation_size('{table}')")
                     for table in self._key_tables(bench)]
            figures["bytes_per_key"] = sum(map(int, sizes)) / records


class Ingest(Sluice):
    def __init__(self, name, label, keys="time", own_table=False):
        super().__init__(name, label, keys)
        self.own_table = own_table

    def store(self, bench, seed, earlier):
        return bench.run("ingest", *self.arguments(bench, seed), "--stream", "readings",
                         "--batch", 1000)


class Endpoint(Sluice):
    """Over gRPC: what the worker's threads use while the records are stored."""

    def with_worker_cpu(self, bench, run, snapshot=False):
        """The figures that run() returns, and the worker's CPU."""
        pid = self.serving_worker(bench)
        with bench.postgres.held_snapshot() if snapshot else contextlib.nullcontext():
            before = _thread_cpu(pid)
            figures = run()
            after = _thread_cpu(pid)
        records = self.records(bench)
        for thread, ns in after.items():
            figures[f"{thread}_cpu_us_per_record"] = (ns - before.get(thread, 0)) / 1000 / records
        figures["server_cpu_us_per_record"] = (figures["main_cpu_us_per_record"]
                                               + figures["network_cpu_us_per_record"])
        return figures

    @staticmethod
    def serving_worker(bench):
        """The worker's pid, once it has noticed the extension and serves."""
        deadline = time.monotonic() + WAIT_SECONDS
        while True:
            found = bench.postgres.query("SELECT pid, state FROM sluice.stat_workers").split("|")
            if found[-1] == "serving":
                return int(found[0])
            if time.monotonic() > deadline:
                raise MeasureError(f"the worker does not serve: {found}")
            time.sleep(0.05)


class Load(Endpoint):
    """IngestData, the plain protocol, as any gRPC client speaks it."""

    def __init__(self, name, label, keys="time", share=2.0, mode=(), snapshot=False, half=False):
        super().__init__(name, label, keys, share)
        self.mode = list(mode)
        self.snapshot = snapshot
        self.half = half

    def store(self, bench, seed, earlier):
        mode = list(self.mode)
        if self.half:
            if "load-time" not in earlier:
                raise MeasureError("needs load-time in the same repetition, to know the half of it")
            mode += ["--rate", str(int(earlier["load-time"]["records_per_s"] / 2))]
        return self.with_worker_cpu(bench, lambda: self._run_load(bench, mode), self.snapshot)

    def _run_load(self, bench, mode):
        command = [os.path.join(bench.client, "sluice-load"), "--server", bench.server,
                   "--stream", "readings", "--records", str(self.records(bench)),
                   "--keys", self.keys, *mode]
        result = subprocess.run(command, capture_output=True, text=True, check=False,
                                timeout=LIMIT_SECONDS)
        if result.returncode != 0:
            raise MeasureError(f"{' '.join(command)} failed: {result.stderr.strip()}")
        printed = json.loads(result.stdout)
        if printed["acknowledged"] != self.records(bench):
            raise MeasureError(f"not all records were acknowledged: {result.stdout}")
        return {"records_per_s": printed["records_per_s"],
                "client_cpu_us_per_record": printed["client_cpu_us_per_record"],
                "p50_us": printed["latency_us"]["p50"], "p99_us": printed["latency_us"]["p99"]}


def _thread_cpu(pid):
    """Nanoseconds of the worker's main thread, and of all others together."""
    cpu = {"main": 0, "network": 0}
    for task in os.listdir(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{task}/schedstat", encoding="ascii") as stat:
                ns = int(stat.read().split()[0])
        except FileNotFoundError:
            continue
        cpu["main" if int(task) == pid else "network"] += ns
    return cpu
