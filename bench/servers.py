"""The throw-away servers of the benchmark: PostgreSQL and Redis, on loopback.

Both are children of the benchmark and die with it, even when it is killed
(PR_SET_PDEATHSIG), so that nothing is ever left running.  PostgreSQL refuses
to run as root; as root we start both as the user postgres.
"""

import contextlib
import ctypes
import os
import pwd
import signal
import socket
import subprocess
import time

PR_SET_PDEATHSIG = 1
START_SECONDS = 60
QUERY_SECONDS = 600

# Durable, as a user would run it; large enough that no checkpoint falls into a
# measurement (each one begins with a checkpoint of its own); and no autovacuum,
# which on few cores would hit one measurement and not the next one.
SETTINGS = {
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "shared_buffers": "1GB",
    "min_wal_size": "4GB",
    "max_wal_size": "16GB",
    "checkpoint_timeout": "1h",
    "autovacuum": "off",
}


class ServerError(Exception):
    pass


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _account():
    """As whom the servers run: a keyword dictionary for subprocess."""
    if os.geteuid() != 0:
        return {}
    entry = pwd.getpwnam("postgres")
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def own_by_servers(directory):
    account = _account()
    if account:
        os.chown(directory, account["user"], account["group"])


def _start(command, log, death_signal):
    libc = ctypes.CDLL(None)
    with open(log, "ab") as output:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            start_new_session=True, cwd=os.path.dirname(log),
            preexec_fn=lambda: libc.prctl(PR_SET_PDEATHSIG, death_signal), **_account())


def _stop(process, how):
    if process is None or process.poll() is not None:
        return
    process.send_signal(how)
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _wait_until(ready, process, what, log):
    deadline = time.monotonic() + START_SECONDS
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            with open(log, errors="replace") as lines:
                raise ServerError(f"{what} did not start:\n" + "".join(lines.readlines()[-20:]))
        time.sleep(0.05)


class Session:
    """A psql that is asked one thing after the other."""

    def __init__(self, command):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True, bufsize=1)
        self.pid = self.process.pid

    def ask(self, commands):
        """The one line that they answer; "" where psql gave up."""
        self.process.stdin.write(commands + "\n")
        return self.process.stdout.readline().strip()

    def end(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


class Postgres:
    """A cluster of its own; the database is "bench"."""

    def __init__(self, directory, bindir, preload):
        self.directory = os.path.join(directory, "data")
        self.log = os.path.join(directory, "postgres.log")
        self.bindir = bindir
        self.port = free_port()
        self.sluice_port = free_port()
        self.preload = preload
        self.process = None

    def _program(self, name):
        return os.path.join(self.bindir, name)

    def settings(self):
        settings = dict(SETTINGS)
        if self.preload:
            settings["shared_preload_libraries"] = "pg_sluice"
            settings["sluice.database"] = "bench"
            settings["sluice.listen_addresses"] = "127.0.0.1"
            settings["sluice.port"] = str(self.sluice_port)
            settings["sluice.workers"] = "1"
        return settings

    def conninfo(self, database="bench"):
        return f"host=127.0.0.1 port={self.port} user=bench dbname={database}"

    def start(self):
        subprocess.run(
            [self._program("initdb"), "-D", self.directory, "-U", "bench", "-A", "trust",
             "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"],
            check=True, stdout=subprocess.DEVNULL, cwd=os.path.dirname(self.directory),
            **_account())
        command = [self._program("postgres"), "-D", self.directory, "-p", str(self.port),
                   "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="]
        for name, value in self.settings().items():
            command += ["-c", f"{name}={value}"]
        # SIGQUIT: immediate shutdown, which takes all children along.
        self.process = _start(command, self.log, signal.SIGQUIT)
        _wait_until(self._answers, self.process, "PostgreSQL", self.log)
        self.query("CREATE DATABASE bench", database="postgres")

    def _answers(self):
        return subprocess.run([self._program("pg_isready"), "-q", "-d", self.conninfo("postgres")],
                              check=False).returncode == 0

    def query(self, sql, database="bench"):
        """The answer of psql, unaligned; several statements are one session."""
        result = subprocess.run(
            [self._program("psql"), "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", self.conninfo(database)],
            input=sql, capture_output=True, text=True, check=False, timeout=QUERY_SECONDS)
        if result.returncode != 0:
            raise ServerError(result.stderr.strip())
        return result.stdout.strip()

    @contextlib.contextmanager
    def session(self):
        """A psql that stays connected while the block runs."""
        session = Session([self._program("psql"), "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", self.conninfo()])
        try:
            yield session
        finally:
            session.end()

    @contextlib.contextmanager
    def held_snapshot(self):
        """While the block runs another session holds a REPEATABLE READ snapshot."""
        with self.session() as session:
            if not session.ask("BEGIN ISOLATION LEVEL REPEATABLE READ;\nSELECT pg_current_snapshot();"):
                raise ServerError("could not take a snapshot")
            yield
            # Was it held until now?
            held = session.ask("SELECT count(*) FROM pg_stat_activity\n"
                               "\tWHERE pid = pg_backend_pid() AND backend_xmin IS NOT NULL;")
            if held != "1":
                raise ServerError("the snapshot was lost during the measurement")

    def stop(self):
        _stop(self.process, signal.SIGQUIT)


class PgqTicker:
    """pgqd, which ends the batches of PgQ; every 100 ms, where its own settings say every second."""

    SETTINGS = {"ticker_period": "0.1", "check_period": "1", "maint_period": "3600"}

    def __init__(self, postgres, directory):
        self.log = os.path.join(directory, "pgqd.log")
        self.configuration = os.path.join(directory, "pgqd.ini")
        self.process = None
        with open(self.configuration, "w", encoding="ascii") as file:
            file.write(f"[pgqd]\nbase_connstr = host=127.0.0.1 port={postgres.port} user=bench\n"
                       "initial_database = postgres\ndatabase_list = bench\n")
            file.writelines(f"{name} = {value}\n" for name, value in self.SETTINGS.items())

    def __enter__(self):
        self.process = _start(["pgqd", self.configuration], self.log, signal.SIGKILL)
        return self

    def __exit__(self, *error):
        _stop(self.process, signal.SIGTERM)


class Redis:
    """Append-only file, fsync every second: what services call durable."""

    SETTINGS = {"appendonly": "yes", "appendfsync": "everysec", "save": ""}

    def __init__(self, directory):
        self.directory = directory
        self.log = os.path.join(directory, "redis.log")
        self.port = free_port()
        self.process = None

    def start(self):
        command = ["redis-server", "--bind", "127.0.0.1", "--port", str(self.port),
                   "--dir", self.directory]
        for name, value in self.SETTINGS.items():
            command += [f"--{name}", value]
        self.process = _start(command, self.log, signal.SIGKILL)
        _wait_until(lambda: self._command("PING") == "PONG", self.process, "Redis", self.log)

    def _command(self, *words):
        result = subprocess.run(["redis-cli", "-p", str(self.port), *words],
                                capture_output=True, text=True, check=False, timeout=60)
        return result.stdout.strip()

    def empty(self):
        if self._command("FLUSHALL", "SYNC") != "OK":
            raise ServerError("could not empty Redis")

    def keys(self):
        return int(self._command("DBSIZE"))

    def stop(self):
        _stop(self.process, signal.SIGTERM)
