"""Rows out again: Subscribe, and what people use instead (LISTEN, polling, PgQ, COPY).

A consumer checks that every row follows the one that it had before; afterwards no row
may be left that is not acknowledged.
"""

import contextlib
import json
import os
import select
import signal
import subprocess
import time

from measures import LIMIT_SECONDS, WAIT_SECONDS, Endpoint, Measurement, MeasureError
from outages import Proxy, percentiles
from publish import MEGABYTE, Published, memory_mb
from servers import PgqTicker

COLUMNS = """
    device_id text NOT NULL,
    "timestamp" timestamptz NOT NULL,
    temperature_celsius float8 NOT NULL,
    humidity_percent float8 NOT NULL"""
ID = "id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY"

LIVE_RATE = 1000                # rows a second
LIVE_LEAST = 1000               # rows

DROP = """
    SET client_min_messages = warning;
    DO $$ BEGIN
        IF EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_sluice') THEN
            PERFORM sluice.drop_stream(name, true) FROM sluice.streams;
        END IF;
    END $$;
    DROP TABLE IF EXISTS public.readings;"""


def fill(bench, rows):
    """Rows as peer_copy makes them, all visible to everybody."""
    bench.postgres.query(f"""
        INSERT INTO public.readings (device_id, "timestamp", temperature_celsius, humidity_percent)
        SELECT 'sensor-' || lpad((i % 100000)::text, 9, '0'), '2026-01-01'::timestamptz + i * interval '1 millisecond',
            round((random() * 40)::numeric, 2), round((random() * 100)::numeric, 2)
        FROM generate_series(1, {rows}) i;
        VACUUM (FREEZE, ANALYZE) public.readings""")


class Reading(Endpoint):
    """A stream on the four columns, with the offset column before them."""

    number = False              # of rows that tell when they were put in

    def __init__(self, name, label, share=1.0):
        super().__init__(name, label, "none", share)

    def prepare(self, bench):
        number = "number bigint NOT NULL, " if self.number else ""
        format_ = "payload_format => 'json'" if self.number else "message_type => 'ingestion.DataPayload'"
        bench.postgres.query(f"""{DROP}
            CREATE TABLE readings ({ID}, {number}{COLUMNS});
            SELECT sluice.create_stream('readings', 'readings', {format_}, offset_column => 'id')""")

    def consume(self, bench, mode, *arguments):
        return bench.run("subscribe", "--mode", mode, "--server", bench.server, "--stream", "readings", *arguments)

    def verify(self, bench, figures):
        bench.expect_rows("public.readings", self.stored(bench))
        self.expect_acknowledged(bench)

    def stored(self, bench):
        return self.records(bench)

    @staticmethod
    def expect_acknowledged(bench):
        left = bench.postgres.query("""
            SELECT count(*) FROM sluice.subscriptions s
            WHERE position < (SELECT max(id) FROM public.readings)""")
        if left != "0":
            raise MeasureError(f"{left} subscriptions have rows that are not acknowledged")
        bench.expect_rows("sluice.dead_letters", 0)


class Peer(Measurement):
    """Its table is gone afterwards: others make one of that name."""

    def measure(self, bench, seed, earlier):
        try:
            return super().measure(bench, seed, earlier)
        finally:
            bench.postgres.query(DROP)


def live_rows(bench):
    return max(LIVE_LEAST, bench.rows // 30)


class Live(Reading):
    """INSERTs on a schedule, one consumer."""

    number = True

    def records(self, bench):
        return live_rows(bench)

    def store(self, bench, seed, earlier):
        return self.with_worker_cpu(bench, lambda: self.consume(
            bench, "live", "--conninfo", bench.postgres.conninfo(), "--encoding", "json",
            "--batch", self.records(bench), "--rate", LIVE_RATE, "--seed", seed))


class LivePeer(Peer):
    def __init__(self, name, label, mode):
        super().__init__(name, label, "none")
        self.mode = mode

    def records(self, bench):
        return live_rows(bench)

    def prepare(self, bench):
        bench.postgres.query(f"{DROP} CREATE TABLE readings ({ID}, number bigint NOT NULL, {COLUMNS})")

    def store(self, bench, seed, earlier):
        return bench.run("peer_subscribe", "--conninfo", bench.postgres.conninfo(), "--mode", self.mode,
                         "--records", self.records(bench), "--rate", LIVE_RATE, "--seed", seed)

    def verify(self, bench, figures):
        """The program ends with the last row, and fails at one that comes twice."""
        bench.expect_rows("public.readings", 0 if self.mode == "poll" else self.records(bench))


class LivePgq(LivePeer):
    def __init__(self, name, label):
        super().__init__(name, label, "pgq")

    def store(self, bench, seed, earlier):
        bench.postgres.query("""
            SET client_min_messages = warning;
            CREATE EXTENSION IF NOT EXISTS pgq;
            SELECT pgq.create_queue('readings');
            SELECT pgq.set_queue_config('readings', 'ticker_max_lag', '100 milliseconds');
            SELECT pgq.register_consumer('readings', 'bench')""")
        try:
            with PgqTicker(bench.postgres, bench.directory):
                return super().store(bench, seed, earlier)
        finally:
            bench.postgres.query("SELECT pgq.drop_queue('readings', true)")

    def verify(self, bench, figures):
        pass


class Backlog(Reading):
    def __init__(self, name, label, encoding, share=3.0):
        super().__init__(name, label, share)
        self.encoding = encoding

    def prepare(self, bench):
        super().prepare(bench)
        fill(bench, self.records(bench))

    def store(self, bench, seed, earlier):
        return self.with_worker_cpu(bench, lambda: self.take(bench))

    def take(self, bench):
        return self.consume(bench, "backlog", "--encoding", self.encoding, "--records", self.records(bench))


class BacklogTool(Backlog):
    """sluice subscribe > /dev/null"""

    def __init__(self, name, label):
        super().__init__(name, label, "json")

    def take(self, bench):
        command = [os.path.join(bench.client, "sluice"), "subscribe", "--server", bench.server, "--stream", "readings",
                   "--subscription", "bench", "--count", str(self.records(bench)), "--quiet"]
        before = time.monotonic()
        with open(os.devnull, "w", encoding="ascii") as nowhere:
            process = subprocess.Popen(command, stdout=nowhere)
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            raise MeasureError(f"sluice subscribe ended with {process.returncode}")
        return {"records_per_s": self.records(bench) / (time.monotonic() - before),
                "client_cpu_us_per_record": (usage.ru_utime + usage.ru_stime) * 1e6 / self.records(bench)}


class CopyOut(Peer):
    """The same rows in the same order to a program that throws them away."""

    def __init__(self, name, label):
        super().__init__(name, label, "none", share=3.0)

    def prepare(self, bench):
        bench.postgres.query(f"{DROP} CREATE TABLE readings ({ID}, {COLUMNS})")
        fill(bench, self.records(bench))

    def store(self, bench, seed, earlier):
        return bench.run("peer_subscribe", "--conninfo", bench.postgres.conninfo(), "--mode", "copy",
                         "--records", self.records(bench))

    def verify(self, bench, figures):
        bench.expect_rows("public.readings", self.records(bench))


class Followers:
    """Live consumers in one process, which has caught up when the block begins."""

    def __init__(self, bench, count, rows):
        command = [os.path.join(bench.programs, "subscribe"), "--mode", "follow", "--server", bench.server,
                   "--stream", "readings", "--consumers", str(count), "--records", str(rows)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def __enter__(self):
        if self.process.stdout.readline() != "ready\n":
            self.process.kill()
            raise MeasureError(f"the consumers did not start: {self.process.communicate()[1]}")
        return self

    def finish(self):
        """CLOCK_MONOTONIC when the last one had its last row."""
        output, errors = self.process.communicate(timeout=LIMIT_SECONDS)
        if self.process.returncode != 0:
            raise MeasureError(f"not all rows came: {errors.strip()}")
        return json.loads(output)["finished"]

    def __exit__(self, *error):
        self.process.kill()
        self.process.communicate()


class Ingest(Published):
    """Publish at full speed beside live consumers, or beside one that is stopped while records come."""

    def __init__(self, name, label, consumers, stopped=False):
        super().__init__(name, label, share=3.0)
        self.consumers = consumers
        self.stopped = stopped

    def prepare(self, bench):
        super().prepare(bench)
        Reading.prepare(Reading("", ""), bench)

    def store(self, bench, seed, earlier):
        if self.consumers == 0:
            return self.with_worker_cpu(bench, lambda: self._publish(bench))
        with Followers(bench, self.consumers, self.records(bench)) as followers:
            return self._beside(bench, followers)

    def _beside(self, bench, followers):
        if self.stopped:
            followers.process.send_signal(signal.SIGSTOP)
            figures = self.with_worker_cpu(bench, lambda: self._publish(bench))
            followers.process.send_signal(signal.SIGCONT)
            followers.finish()
            return figures

        def publish_and_deliver():
            before = time.monotonic()
            figures = self._publish(bench)
            seconds = followers.finish() - before
            figures["delivered_per_s"] = self.consumers * self.records(bench) / seconds
            return figures
        return self.with_worker_cpu(bench, publish_and_deliver)

    def _publish(self, bench):
        printed, _ = self.publish(bench, "--records", self.records(bench))
        return {"records_per_s": printed["records_per_s"], "client_cpu_us_per_record": printed["cpu_us_per_record"]}

    def verify(self, bench, figures):
        super().verify(bench, figures)
        if self.consumers > 0:
            Reading.expect_acknowledged(bench)


class Many(Reading):
    """Many subscriptions: all take the backlog, then live rows are put in, each of which all are to have."""

    number = True
    RATE = 5

    def __init__(self, name, label, consumers):
        super().__init__(name, label, share=0.01)
        self.consumers = consumers

    def prepare(self, bench):
        super().prepare(bench)
        bench.postgres.query(f"""
            INSERT INTO readings (number, device_id, "timestamp", temperature_celsius, humidity_percent)
            SELECT 0, 'sensor-' || lpad((i % 100000)::text, 9, '0'), '2026-01-01'::timestamptz + i * interval '1 millisecond',
                round((random() * 40)::numeric, 2), round((random() * 100)::numeric, 2)
            FROM generate_series(1, {self.records(bench)}) i""")

    def live(self, bench):
        return max(20, bench.rows // 3000)

    def stored(self, bench):
        return self.records(bench) + self.live(bench)

    def store(self, bench, seed, earlier):
        worker = self.serving_worker(bench)
        before = memory_mb(worker, "RssAnon")
        command = [os.path.join(bench.programs, "subscribe"), "--mode", "fan", "--server", bench.server,
                   "--stream", "readings", "--encoding", "json", "--consumers", str(self.consumers),
                   "--records", str(self.records(bench)), "--conninfo", bench.postgres.conninfo(),
                   "--batch", str(self.live(bench)), "--rate", str(self.RATE), "--seed", str(seed)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            most = before
            while True:
                try:
                    output, errors = process.communicate(timeout=0.1)
                    break
                except subprocess.TimeoutExpired:
                    most = max(most, memory_mb(worker, "RssAnon"))
        if process.returncode != 0:
            raise MeasureError(f"{self.consumers} consumers: {errors.strip()}")
        backlog, live = (json.loads(line) for line in output.splitlines())
        return {**live, "delivered_per_s": backlog["records_per_s"], "worker_mb": most,
                "worker_grown_kb": (most - before) * 1024 / self.consumers}


class Watcher:
    """A consumer that tells when it is active and when its first row comes, behind a proxy of its own."""

    SET = "backoff_first=10ms backoff_last=10ms keepalive_time=1s keepalive_timeout=500ms"

    def __init__(self, bench):
        self.proxy = Proxy(bench.postgres.sluice_port)
        self.command = [os.path.join(bench.programs, "subscribe"), "--mode", "watch", "--server", self.proxy.address,
                        "--stream", "readings"]
        self.start()

    def start(self):
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        env={**os.environ, "SLUICE_BENCH_SET": self.SET})
        self.lines = b""

    def wait(self, event):
        """When it happened; what came before it is forgotten."""
        deadline = time.monotonic() + WAIT_SECONDS
        while True:
            while b"\n" in self.lines:
                line, self.lines = self.lines.split(b"\n", 1)
                word, at = line.decode().split()
                if word == event:
                    return float(at)
            ready, _, _ = select.select([self.process.stdout], [], [], max(0, deadline - time.monotonic()))
            more = os.read(self.process.stdout.fileno(), 65536) if ready else b""
            if not more:
                raise MeasureError(f"no {event} came")
            self.lines += more

    def end(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.end()
        self.proxy.__exit__()


class Takeover(Reading):
    """Two consumers of a subscription: from the end of the active one's connection to the other one's first row.

    how: "cut" resets the connection on both sides, "mute" lets nothing through any more, "kill" is
    SIGKILL.  Rows are there all the time, and nothing is acknowledged.
    """

    once = True
    ROWS = 100
    TIME_S = 1.0                # keepalive of the server, for "mute"
    TIMEOUT_S = 0.5

    def __init__(self, name, label, how, trials):
        super().__init__(name, label)
        self.how = how
        self.trials = trials

    def records(self, bench):
        return self.ROWS

    def prepare(self, bench):
        super().prepare(bench)
        fill(bench, self.ROWS)

    def store(self, bench, seed, earlier):
        trials = self.trials if bench.rows >= 100000 else max(1, self.trials // 10)
        with self.keepalive(bench) if self.how == "mute" else contextlib.nullcontext():
            times = self.take_turns(bench, trials)
        return {"takeover_count": len(times),
                **{f"takeover_{name}_ms": value * 1000 for name, value in percentiles(times).items()}}

    @contextlib.contextmanager
    def keepalive(self, bench):
        """The worker's listener is to be made with it: it is started anew."""
        self.restart_worker(bench, f"""
            ALTER SYSTEM SET sluice.keepalive_time = '{self.TIME_S * 1000:.0f}ms';
            ALTER SYSTEM SET sluice.keepalive_timeout = '{self.TIMEOUT_S * 1000:.0f}ms'""")
        try:
            yield
        finally:
            self.restart_worker(bench, """
                ALTER SYSTEM RESET sluice.keepalive_time;
                ALTER SYSTEM RESET sluice.keepalive_timeout""")

    def restart_worker(self, bench, settings):
        before = self.serving_worker(bench)
        for statement in settings.split(";"):
            bench.postgres.query(statement)
        bench.postgres.query(f"SELECT pg_reload_conf(), pg_terminate_backend({before})")
        deadline = time.monotonic() + WAIT_SECONDS
        while self.serving_worker(bench) == before:
            if time.monotonic() > deadline:
                raise MeasureError("the worker did not start anew")
            time.sleep(0.05)

    def take_turns(self, bench, trials):
        times = []
        with Watcher(bench) as active:
            active.wait("row")
            with Watcher(bench) as standby:
                standby.wait("standby")
                for _ in range(trials):
                    at = self.interrupt(active)
                    times.append(standby.wait("row") - at)
                    if self.how == "kill":
                        active.end()
                        active.start()
                    active.wait("standby")
                    active, standby = standby, active
        return times

    def interrupt(self, active):
        if self.how == "kill":
            at = time.monotonic()
            active.process.kill()
            return at
        at = active.proxy.tell("cut" if self.how == "cut" else "mute up")
        if self.how == "mute":
            active.proxy.tell("mute down")
        return at

    def verify(self, bench, figures):
        bench.expect_rows("public.readings", self.ROWS)
        bench.expect_rows("sluice.dead_letters", 0)


def subscriptions():
    return [
        Live("subscribe-live", "Subscribe, INSERTs at 1,000/s"),
        LivePeer("subscribe-live-notify", "LISTEN/NOTIFY and SELECT, INSERTs at 1,000/s", "notify"),
        LivePeer("subscribe-live-poll", "SKIP LOCKED and DELETE each 100 ms, INSERTs at 1,000/s", "poll"),
        LivePgq("subscribe-live-pgq", "PgQ, ticks and polls each 100 ms, events at 1,000/s"),
        Backlog("subscribe-json", "Subscribe, backlog as JSON", "json"),
        Backlog("subscribe-protobuf", "Subscribe, backlog as protobuf", "protobuf"),
        BacklogTool("subscribe-tool", "sluice subscribe > /dev/null, backlog as JSON"),
        CopyOut("subscribe-copy", "COPY (SELECT ... ORDER BY id) TO STDOUT"),
        Ingest("subscribe-ingest-0", "Publish, no subscriber", 0),
        Ingest("subscribe-ingest-1", "Publish, 1 live subscriber", 1),
        Ingest("subscribe-ingest-10", "Publish, 10 live subscribers", 10),
        Ingest("subscribe-ingest-stopped", "Publish, a subscriber that has stopped reading", 1, stopped=True),
        Many("subscribe-200", "200 subscriptions: backlog, then live rows at 5/s to all", 200),
        Takeover("subscribe-takeover-reset", "takeover, connection reset", "cut", 100),
        Takeover("subscribe-takeover-killed", "takeover, consumer killed", "kill", 50),
        Takeover("subscribe-takeover-silence", "takeover, connection gone silent (keepalive: 1 s + 0.5 s)", "mute", 10),
    ]
