"""libsluice and the call Publish, and psql's COPY, which stores the same rows.

After each run the rows are counted and the ledger must balance.
"""

import json
import os
import shutil
import subprocess
import tempfile
import time

from measures import LIMIT_SECONDS, Endpoint, MeasureError, Measurement

STATUS_GAVE_UP = 3
SAMPLE_SECONDS = 0.02
PERCENTILES = ("p50", "p99", "p99_9")
MEGABYTE = 1048576


def memory_mb(pid, member):
    """A member of /proc/PID/status; 0 when the process has ended."""
    try:
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as lines:
            for line in lines:
                if line.startswith(member + ":"):
                    return int(line.split()[1]) / 1024
    except FileNotFoundError:
        pass
    return 0


def run_sluice(bench, *arguments, status=0):
    """(what "sluice bench" printed, the most memory that was its own)"""
    command = [os.path.join(bench.client, "sluice"), "bench", "--json", *map(str, arguments)]
    anonymous = 0
    deadline = time.monotonic() + LIMIT_SECONDS
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            while True:
                try:
                    output, errors = process.communicate(timeout=SAMPLE_SECONDS)
                    break
                except subprocess.TimeoutExpired:
                    anonymous = max(anonymous, memory_mb(process.pid, "RssAnon"))
                    if time.monotonic() > deadline:
                        raise
        except BaseException:
            process.kill()
            raise
    if process.returncode != status:
        raise MeasureError(f"{' '.join(command)} ended with {process.returncode}: {errors.strip()}")
    return json.loads(output), anonymous


class Published(Endpoint):
    """A stream without dead letters, filled by producers whose books balance."""

    producers = 1

    def __init__(self, name, label, keys="none", share=1.0):
        super().__init__(name, label, keys, share)
        self.buffer = None

    def measure(self, bench, seed, earlier):
        self.buffer = tempfile.mkdtemp(prefix="buffer-", dir=bench.directory)
        try:
            return super().measure(bench, seed, earlier)
        finally:
            shutil.rmtree(self.buffer)

    def publish(self, bench, *arguments, server=None, status=0):
        return run_sluice(bench, "--server", server or bench.server, "--stream", "readings",
                          "--buffer", self.buffer, "--payload", "reading", "--keys", self.keys,
                          *arguments, status=status)

    def sent(self, bench):
        """All records, with those that were not measured."""
        return self.records(bench)

    def verify(self, bench, figures):
        records = self.sent(bench)
        bench.expect_rows("public.readings", records)
        bench.expect_rows("sluice.idempotency_keys", 0 if self.keys == "none" else records)
        bench.expect_rows("sluice.dead_letters", 0)
        self.verify_ledger(bench, records)

    def verify_ledger(self, bench, records):
        found = bench.postgres.query("""
            SELECT count(*), sum(last), sum(stored), sum(duplicate), sum(unexplained), max(abs(unexplained))
            FROM sluice.ledger WHERE name = 'readings'""")
        if found != f"{self.producers}|{records}|{records}|0|0|0":
            raise MeasureError(f"the ledger does not balance: {found}")


class Publish(Published):
    """Made-up records, as fast as the buffer takes them or on a schedule."""

    def __init__(self, name, label, keys="none", share=2.0, options=(), snapshot=False):
        super().__init__(name, label, keys, share)
        self.options = list(options)
        self.snapshot = snapshot

    def store(self, bench, seed, earlier):
        return self.with_worker_cpu(bench, lambda: self._run(bench), self.snapshot)

    def _run(self, bench):
        printed, anonymous = self.publish(bench, "--records", self.records(bench), *self.options)
        figures = {"records_per_s": printed["records_per_s"],
                   "client_cpu_us_per_record": printed["cpu_us_per_record"],
                   "send_records_per_s": printed["records"] / printed["put_seconds"],
                   "rss_mb": printed["rss_bytes"] / MEGABYTE,
                   "anonymous_mb": anonymous,
                   "syncs": printed["syncs"]}
        for percentile in PERCENTILES:
            figures[f"{percentile}_us"] = printed["latency_us"][percentile]
            figures[f"send_{percentile}_us"] = printed["send_us"][percentile]
        return figures


class OpenLoop(Publish):
    """On a schedule, at a part of what "publish" did in the same repetition."""

    def __init__(self, name, label, part):
        super().__init__(name, label)
        self.part = part
        self.count = 0

    def records(self, bench):
        return self.count

    def store(self, bench, seed, earlier):
        if "publish" not in earlier:
            raise MeasureError("needs publish in the same repetition, to know what full load is")
        rate = int(earlier["publish"]["records_per_s"] * self.part)
        # 4 seconds at the usual size
        self.count = max(100, int(rate * bench.rows / 75000))
        self.options = ["--rate", str(rate)]
        return super().store(bench, seed, earlier)


class PsqlCopy(Measurement):
    """psql, from a script that holds the rows, into the bare table: what people have today."""

    def __init__(self, name, label, batch=None):
        super().__init__(name, label, "none")
        self.batch = batch

    def store(self, bench, seed, earlier):
        script = os.path.join(bench.directory, "copy.sql")
        self._write_script(bench, script, seed)
        try:
            return self._run_psql(bench, script)
        finally:
            os.unlink(script)

    def verify(self, bench, figures):
        bench.expect_rows("peers.readings", self.records(bench))

    def _write_script(self, bench, script, seed):
        """The rows that peer_copy stores, once they were there."""
        bench.run("peer_copy", *self.arguments(bench, seed), "--mode", "bare", "--batch", self.records(bench))
        rows = bench.postgres.query("COPY peers.readings TO STDOUT (FORMAT csv)").split("\n")
        bench.postgres.query("TRUNCATE peers.readings; CHECKPOINT")
        batch = self.batch or len(rows)
        with open(script, "w", encoding="utf-8") as output:
            for first in range(0, len(rows), batch):
                output.write("COPY peers.readings FROM STDIN (FORMAT csv);\n"
                             + "\n".join(rows[first:first + batch]) + "\n\\.\n")

    def _run_psql(self, bench, script):
        """psql tells when it is ready and when it has run the script; meanwhile the backend's CPU is counted."""
        with bench.postgres.session() as psql:
            backend = int(psql.ask("SELECT pg_backend_pid();"))
            before = (time.monotonic(), _process_cpu(backend), _process_cpu(psql.pid))
            psql.ask(f"\\i {script}\nSELECT 'done';")
            after = (time.monotonic(), _process_cpu(backend), _process_cpu(psql.pid))
        records = self.records(bench)
        return {"records_per_s": records / (after[0] - before[0]),
                "server_cpu_us_per_record": (after[1] - before[1]) / 1000 / records,
                "client_cpu_us_per_record": (after[2] - before[2]) / 1000 / records}


def _process_cpu(pid):
    """Nanoseconds, of a process with one thread."""
    with open(f"/proc/{pid}/schedstat", encoding="ascii") as stat:
        return int(stat.read().split()[0])


class Library(Measurement):
    """How much a program takes along."""

    needs_sluice = True
    once = True

    def __init__(self, name, label):
        super().__init__(name, label, "none")

    def measure(self, bench, seed, earlier):
        stripped = os.path.join(bench.directory, "libsluice.so")
        subprocess.run(["strip", "-o", stripped, os.path.join(bench.client, "libsluice.so")], check=True)
        return {"library_kb": os.path.getsize(stripped) / 1024}
