"""What libsluice does when the server was away: how fast a backlog drains, how soon it is back."""

import math
import os
import subprocess
import sys
import time

from measures import WAIT_SECONDS, MeasureError
from publish import MEGABYTE, STATUS_GAVE_UP, Published
from servers import free_port

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PRODUCERS = 10
RATE = 200                      # records a second, of each producer
POLL_SECONDS = 0.02
IDLE_RECORDS = 100              # within a second


class Drain(Published):
    """Fill a buffer while nothing listens; then another process sends what is in it.

    The file shrinks when the library has nothing to do, so a third one idles with it.
    """

    def __init__(self, name, label):
        super().__init__(name, label, share=5 / 3)

    def store(self, bench, seed, earlier):
        filled, _ = self.publish(bench, "--records", self.records(bench), "--timeout", 0,
                                 server=f"127.0.0.1:{free_port()}", status=STATUS_GAVE_UP)
        before = self._file_mb()
        figures = self.with_worker_cpu(bench, lambda: self._drain(bench))
        figures["filled_rss_mb"] = filled["rss_bytes"] / MEGABYTE
        figures["file_before_mb"] = before
        self.publish(bench, "--records", IDLE_RECORDS, "--rate", IDLE_RECORDS)
        figures["file_after_mb"] = self._file_mb()
        return figures

    def sent(self, bench):
        return self.records(bench) + IDLE_RECORDS

    def _drain(self, bench):
        printed, anonymous = self.publish(bench, "--drain")
        if printed["found"] + printed["records"] < self.records(bench) or printed["resent"] > 0:
            raise MeasureError(f"the buffer did not hold all once: {printed}")
        return {"records_per_s": printed["records_per_s"],
                "client_cpu_us_per_record": printed["cpu_us_per_record"],
                "rss_mb": printed["rss_bytes"] / MEGABYTE,
                "anonymous_mb": anonymous}

    def _file_mb(self):
        """What the buffer takes on disk: holes do not count."""
        return sum(os.stat(os.path.join(self.buffer, name)).st_blocks * 512
                   for name in os.listdir(self.buffer)) / MEGABYTE


class Proxy:
    """regress/proxy.py, the network that fails on command."""

    def __init__(self, upstream):
        command = [sys.executable, os.path.join(TOP, "regress", "proxy.py"), "--upstream", str(upstream)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True, bufsize=1)
        self.address = f"127.0.0.1:{self.process.stdout.readline().strip()}"

    def tell(self, command):
        """CLOCK_MONOTONIC when it was done."""
        self.process.stdin.write(command + "\n")
        answer = self.process.stdout.readline().split()
        if answer[:1] != ["ok"]:
            raise MeasureError(f"the proxy did not do \"{command}\"")
        return float(answer[1])

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


def percentiles(times):
    """By rank, so that each is one of them."""
    ordered = sorted(times)
    return {name: ordered[math.ceil(part * len(ordered)) - 1]
            for name, part in (("p50", 0.5), ("p99", 0.99), ("max", 1))}


class Reconnection(Published):
    """From the end of connections to the first acknowledgement on their successors.

    Options are the library's defaults; how: "cut" resets them on both sides,
    "mute" lets nothing through any more.
    """

    producers = PRODUCERS
    once = True

    def __init__(self, name, label, how, rounds):
        super().__init__(name, label)
        self.how = how
        self.rounds = rounds
        self.count = 0

    def records(self, bench):
        return self.count

    def prepare(self, bench):
        super().prepare(bench)
        bench.postgres.query("""
            SET client_min_messages = warning;
            SELECT sluice.drop_stream('readings', true);
            CREATE TABLE readings (name text, running bigint, kind text, content text);
            SELECT sluice.create_stream('readings', 'readings', payload_format => 'json')""")

    def store(self, bench, seed, earlier):
        rounds = self.rounds if bench.rows >= 100000 else 1
        with Proxy(bench.postgres.sluice_port) as proxy:
            times = self._interrupt(bench, proxy, rounds)
        return {"reconnect_count": len(times),
                **{f"reconnect_{name}_s": value for name, value in percentiles(times).items()}}

    def _interrupt(self, bench, proxy, rounds):
        timeline = os.path.join(self.buffer, "timeline")
        command = [os.path.join(bench.programs, "producer"), "--directory", self.buffer, "--name", "reconnect",
                   "--producers", str(PRODUCERS), "--rate", str(RATE), "--timeline", timeline,
                   "--set", f"server={proxy.address}", "--set", "stream=readings"]
        times = []
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as producer:
            try:
                self._wait_recovered(producer, timeline, 0)
                for _ in range(rounds):
                    at = proxy.tell("mute up") if self.how == "mute" else proxy.tell("cut")
                    if self.how == "mute":
                        proxy.tell("mute down")
                    times += [when - at for when in self._wait_recovered(producer, timeline, at)]
                producer.terminate()
                producer.communicate(timeout=WAIT_SECONDS)
            finally:
                producer.kill()
        if producer.returncode != 0:
            raise MeasureError(f"not all was delivered: {producer.returncode}")
        self.count = int(bench.postgres.query("SELECT sum(last) FROM sluice.ledger WHERE name = 'readings'"))
        return times

    @staticmethod
    def _wait_recovered(producer, timeline, since):
        """When each producer had its first acknowledgement on a connection opened after this time."""
        deadline = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < deadline and producer.poll() is None:
            found = _recoveries(timeline, since)
            if len(found) == PRODUCERS:
                return found.values()
            time.sleep(POLL_SECONDS)
        raise MeasureError("not all producers came back")


def _recoveries(timeline, since):
    opened, found = set(), {}
    if not os.path.exists(timeline):
        return found
    with open(timeline, encoding="ascii") as lines:
        for line in lines:
            if not line.endswith("\n"):
                break
            at, producer, event, _ = line.split("\t")
            if float(at) < since:
                continue
            if event == "opened":
                opened.add(producer)
            elif producer in opened:
                found.setdefault(producer, float(at))
    return found
