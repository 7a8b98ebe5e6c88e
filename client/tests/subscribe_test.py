"""sluice subscribe and unsubscribe against a Subscribe server of another gRPC implementation.

    subscribe_test.py SLUICE [TEST]...

Every test has a server of its own and waits for conditions, never for time to
pass.  What goes into a database goes into a PostgreSQL of this test's own.  Output is TAP.
"""
import base64
import contextlib
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

import grpc

from certificates import certificates, server_credentials
from grpc_server import End
from run_tool import PATIENCE, equal, holds, run_tests, test, wait_until
from subscribe_server import Behaviour, Server, messages

SLUICE = os.path.abspath(sys.argv[1])
QUICK = ("--set=backoff_first=10ms", "--set=backoff_last=100ms")

# A shell's background job ignores it, and the tool would then, too; a handler is not inherited.
signal.signal(signal.SIGINT, signal.default_int_handler)


class Run:
    """sluice subscribe, whose outputs are read in threads."""

    def __init__(self, port, *arguments, stdout=subprocess.PIPE):
        self.process = subprocess.Popen([SLUICE, "subscribe", f"--server=127.0.0.1:{port}", *QUICK, *arguments],
                                        stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.PIPE)
        self.out, self.err = b"", ""
        self.threads = [threading.Thread(target=self.read_err, daemon=True)]
        if stdout == subprocess.PIPE:
            self.threads.append(threading.Thread(target=self.read_out, daemon=True))
        for thread in self.threads:
            thread.start()

    def read_out(self):
        while data := self.process.stdout.read1(65536):
            self.out += data

    def read_err(self):
        for line in self.process.stderr:
            self.err += line.decode()

    def lines(self):
        return self.out.decode().splitlines()

    def signal(self, number):
        self.process.send_signal(number)

    def end(self):
        """Exit status."""
        self.process.wait(PATIENCE)
        for thread in self.threads:
            thread.join(PATIENCE)
        return self.process.returncode


def subscribe(port, *arguments):
    run = Run(port, *arguments)
    run.status = run.end()
    return run


def tool(*arguments):
    return subprocess.run([SLUICE, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=PATIENCE, check=False)


def row(n):
    return {"id": n, "name": f"row {n}", "value": n / 8}


def table(count, first=1):
    return [(n, json.dumps(row(n)).encode()) for n in range(first, first + count)]


def unused_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def refusal(code, details, reason=None):
    return Behaviour(at_open=End(grpc.StatusCode[code], details, reason))


# ---- standard output ----

@test
def rows_are_lines_and_acknowledged_when_written():
    with Server(table(5000)) as server:
        run = subscribe(server.port, "--stream=orders", "--subscription=s", "--until-caught-up")
        equal([run.status, run.err], [0, ""], run.err)
        equal([json.loads(line) for line in run.lines()], [row(n) for n in range(1, 5001)], "lines")
        equal(server.subscriptions["s"].position, 5000, "position")
        opening = server.opens[0]
        equal([opening.stream, opening.subscription, opening.create, opening.encoding, opening.wants_start],
              ["orders", "s", True, messages.ENCODING_JSON, False], "Subscribe")
        holds(opening.client.startswith("sluice subscribe (libsluice "), opening.client)
        server.insert(*[payload for _, payload in table(10, 5001)])
        run = subscribe(server.port, "--subscription=s", "--count=4")
        equal([run.status, [json.loads(line)["id"] for line in run.lines()]], [0, [5001, 5002, 5003, 5004]], "goes on")
        equal(server.subscriptions["s"].position, 5004, "no further than the count")


@test
def live_rows_leave_at_once():
    with Server() as server:
        run = Run(server.port)
        for n in range(1, 30):
            server.wait(lambda: server.calls, "it is there")
            server.insert(json.dumps(row(n)).encode())
            wait_until(lambda n=n: len(run.lines()) == n, f"row {n}")
        run.signal(signal.SIGTERM)
        equal(run.end(), 5, run.err)


@test
def where_it_begins():
    with Server(table(10)) as server:
        for where, wanted in (("earliest", ("from", messages.FROM_EARLIEST)), ("7", ("after_offset", 7)),
                              ("2026-01-31T23:59:59.5Z", ("since", 1769903999500000))):
            equal(subscribe(server.port, f"--from={where}", "--until-caught-up").status, 0, where)
            equal(getattr(server.opens[-1], wanted[0]), wanted[1], where)
        run = Run(server.port, "--from=latest", "--count=1")
        server.wait(lambda: [call for call in server.calls if call.told_caught_up], "it has caught up")
        server.insert(b'{"id": 11}')
        equal([run.end(), run.lines()], [0, ['{"id": 11}']], run.err)


@test
def the_outputs():
    payloads = [b'{"a":\n1,\r\n "b": "x"}', b'{"a": 2}']
    with Server(list(enumerate(payloads, 1))) as server:
        server.make("s").attempts[1] = 2
        server.redrive("s", (9, 4, b'{"a": 0}'))
        run = subscribe(server.port, "--until-caught-up")
        equal(run.out, b'{"a": 1,   "b": "x"}\n{"a": 2}\n', "ndjson, each on one line")
        run = subscribe(server.port, "--until-caught-up", "--output=envelope", "--subscription=s")
        equal([json.loads(line) for line in run.lines()],
              [{"offset": 4, "attempts": 0, "redrive": 9, "row": {"a": 0}}, {"offset": 1, "attempts": 2, "row": {"a": 1, "b": "x"}},
               {"offset": 2, "attempts": 0, "row": {"a": 2}}], "envelope")
        equal(server.subscriptions["s"].settled, [(9, True)], "the redriven row, too")
    blobs = [b"", b"\x00\xff\n", b"x" * 300]
    with Server(list(enumerate(blobs, 1))) as server:
        server.encoding = messages.ENCODING_BYTES
        run = subscribe(server.port, "--until-caught-up", "--output=lines")
        equal(run.out, b"\n\x00\xff\n\n" + b"x" * 300 + b"\n", "lines")
        run = subscribe(server.port, "--until-caught-up", "--output=base64")
        equal([base64.b64decode(line) for line in run.out.splitlines()], blobs, "base64")
        run = subscribe(server.port, "--until-caught-up", "--output=protobuf")
        equal(run.out, b"\x00\x03\x00\xff\n\xac\x02" + b"x" * 300, "protobuf")
        equal(server.opens[-1].encoding, messages.ENCODING_PROTOBUF, "its encoding")
        run = subscribe(server.port, "--until-caught-up", "--output=envelope", "--encoding=bytes")
        equal([base64.b64decode(json.loads(line)["payload"]) for line in run.lines()], blobs, "envelope")


@test
def nothing_is_acknowledged_that_was_not_written():
    with Server(table(20000)) as server:
        read, write = os.pipe()
        run = Run(server.port, "--subscription=s", stdout=write)
        os.close(write)
        got = os.read(read, 100)
        server.wait(lambda: len(got) > 0, "the first lines")
        os.close(read)
        equal(run.end(), 3, run.err)
        holds("gave up: could not write to standard output: Broken pipe" in run.err, run.err)
        holds(server.subscriptions["s"].position < 20000, server.subscriptions["s"].position)
    for count in (10, 20000):
        with Server(table(count)) as server, open("/dev/full", "wb") as full:
            run = Run(server.port, "--subscription=s", stdout=full)
            equal([run.end(), server.subscriptions["s"].position], [3, 0], run.err)
            holds("could not write to standard output: No space left on device" in run.err, run.err)


@test
def without_a_standard_output_nothing_is_done_with():
    with Server(table(10)) as server:
        command = [SLUICE, "subscribe", f"--server=127.0.0.1:{server.port}", *QUICK, "--subscription=s"]
        run = subprocess.run(["sh", "-c", 'exec "$@" >&-', "sh", *command], stderr=subprocess.PIPE, text=True, timeout=PATIENCE, check=False)
        equal([run.returncode, server.subscriptions["s"].position], [3, 0], run.stderr)
        equal(run.stderr, "sluice: gave up: could not write to standard output: Bad file descriptor\n", "message")


@test
def a_reader_that_is_slow_holds_the_server():
    rows = [(n, b'{"x": "' + b"y" * 10000 + b'"}') for n in range(1, 3001)]
    with Server(rows) as server:
        read, write = os.pipe()
        run = Run(server.port, "--set=memory=1MB", stdout=write)
        os.close(write)
        sent = -1
        while sent != server.messages_sent:
            sent = server.messages_sent
            time.sleep(0.3)
        holds(server.messages_sent < 10, f"{server.messages_sent} messages of 30")
        with os.fdopen(read, "rb") as pipe:
            wait_until(lambda: pipe.readline() and server.messages_sent > sent, "it goes on")
            run.signal(signal.SIGKILL)
            run.end()


# ---- a command a row ----

@test
def a_command_a_row():
    with Server(table(5)) as server, tempfile.TemporaryDirectory() as directory:
        script = f'cat >>{directory}/got; echo " $SLUICE_SUBSCRIPTION $SLUICE_OFFSET $SLUICE_ATTEMPTS $SLUICE_REDRIVE $1" >>{directory}/got'
        run = subscribe(server.port, "--subscription=s", "--count=5", "--exec", "sh", "-c", script, "sh", "--quiet")
        equal([run.status, run.err], [0, ""], "status")
        with open(f"{directory}/got", encoding="ascii") as file:
            lines = file.read().splitlines()
        equal(lines, [json.dumps(row(n)) + f" s {n} 0 0 --quiet" for n in range(1, 6)], "input and environment")
        equal(server.subscriptions["s"].position, 5, "position")


@test
def what_a_command_refuses_is_given_back_with_its_status():
    with Server(table(4)) as server:
        script = '[ "$SLUICE_OFFSET" != 2 ] || exit $((7 + SLUICE_ATTEMPTS)); [ "$SLUICE_OFFSET" != 3 ] || kill -KILL $$'
        run = subscribe(server.port, "--subscription=s", "--until-caught-up", "--exec", "sh", "-c", script)
        equal(run.status, 2, run.err)
        equal(server.subscriptions["s"].dead, [(2, "exit status 9"), (3, "signal SIGKILL")], "dead letters")
        equal(server.subscriptions["s"].position, 4, "position")
        holds("row 2 is given back (attempt 2): exit status 8" in run.err, run.err)


@test
def a_command_need_not_read_and_a_large_row_is_no_trouble():
    with Server([(1, b"x" * 3000000), (2, b"y" * 3000000)]) as server:
        run = subscribe(server.port, "--subscription=s", "--count=2", "--exec", "sh", "-c",
                        '[ "$SLUICE_OFFSET" = 1 ] || [ "$(wc -c)" = 3000000 ]')
        equal([run.status, run.err], [0, ""], "status")


@test
def a_command_that_is_not_there_says_nothing_about_the_row():
    with Server(table(1)) as server:
        run = subscribe(server.port, "--subscription=s", "--exec", "/nowhere/command")
        equal([run.status, server.said], [3, []], run.err)
        holds('gave up: could not run "/nowhere/command": No such file or directory' in run.err, run.err)


@test
def rows_that_cannot_be_given_back_end_the_run():
    with Server(table(1)) as server:
        run = subscribe(server.port, "--exec", "false")
        equal(run.status, 3, run.err)
        holds("row 1 was refused (exit status 1), and this subscription takes none back" in run.err, run.err)


@test
def a_signal_lets_the_command_finish():
    with Server(table(5)) as server, tempfile.TemporaryDirectory() as directory:
        run = Run(server.port, "--subscription=s", "--exec", "sh", "-c",
                  f'echo >>{directory}/begun; [ "$SLUICE_OFFSET" != 2 ] || until [ -e {directory}/go ]; do sleep 0.02; done')
        wait_until(lambda: os.path.exists(f"{directory}/begun") and os.path.getsize(f"{directory}/begun") == 2, "the second row")
        run.signal(signal.SIGTERM)
        time.sleep(0.2)
        holds(run.process.poll() is None, "it waits")
        with open(f"{directory}/go", "w", encoding="ascii"):
            pass
        equal([run.end(), server.subscriptions["s"].position], [5, 2], run.err)
        server.wait(lambda: server.ends == ["half-closed"], "a graceful end")


@test
def a_second_signal_ends_the_command_too():
    with Server(table(5)) as server, tempfile.TemporaryDirectory() as directory:
        run = Run(server.port, "--subscription=s", "--exec", "sh", "-c", f"echo $$ >{directory}/pid.new; mv {directory}/pid.new {directory}/pid; "
                  "exec sleep 1000")
        wait_until(lambda: os.path.exists(f"{directory}/pid"), "the command")
        with open(f"{directory}/pid", encoding="ascii") as file:
            child = int(file.read())
        run.signal(signal.SIGTERM)
        until = time.monotonic() + PATIENCE
        while run.process.poll() is None and time.monotonic() < until:
            time.sleep(0.1)
            run.signal(signal.SIGTERM)
        equal([run.end(), server.said], [3, []], run.err)
        holds("stopped by a second signal" in run.err, run.err)
        wait_until(lambda: not os.path.exists(f"/proc/{child}") or "Z" in open(f"/proc/{child}/stat", encoding="ascii").read().split()[2],
                   "the command has ended")


@test
def a_command_that_the_signal_ends_as_well_gives_nothing_back():
    with Server(table(5)) as server, tempfile.TemporaryDirectory() as directory:
        run = Run(server.port, "--subscription=s", "--exec", "sh", "-c", f"echo $$ >{directory}/pid.new; mv {directory}/pid.new {directory}/pid; "
                  "exec sleep 1000")
        wait_until(lambda: os.path.exists(f"{directory}/pid"), "the command")
        with open(f"{directory}/pid", encoding="ascii") as file:
            os.kill(int(file.read()), signal.SIGINT)
        run.signal(signal.SIGINT)
        equal([run.end(), server.said], [5, []], run.err)


# ---- usage, failures, signals ----

@test
def wrong_usage_ends_with_status_1():
    for arguments, message in ((["--fro=1"], "unknown option"), (["file"], "arguments that are no options"),
                               (["--exec"], "takes a command"), (["--exec=x"], "takes a command"),
                               (["--output=lines", "--exec", "x"], "exclude each other"),
                               (["--table=x"], "need --into"), (["--on-fork=accept"], "need --into"),
                               (["--into=x", "--table=x"], "needs --subscription"), (["--into=x", "--subscription=s"], "needs --table"),
                               (["--into=x", "--subscription=s", "--table=x", "--guarantee=at_most_once"], "each row once"),
                               (["--encoding=bytes"], "--encoding json"), (["--output=ndjson", "--encoding=stream"], "--encoding json"),
                               (["--into=x", "--subscription=s", "--table=x", "--encoding=bytes"], "--encoding json"),
                               (["--from=yesterday"], 'invalid value for option "since"'), (["--from="], "since"),
                               (["--count=0"], "invalid value"), (["--subscription=" + "x" * 201], "longer than 200"),
                               (["--server=db:0"], "no valid port")):
        run = tool("subscribe", *arguments)
        equal([run.returncode, run.stdout], [1, ""], arguments)
        holds(message in run.stderr, (arguments, run.stderr))


@test
def refusals_and_ends_have_their_status():
    for behaviour, status, text in (
            (refusal("NOT_FOUND", 'stream "x" does not exist'), 4, 'the server refuses: .*stream "x" does not exist'),
            (refusal("PERMISSION_DENIED", "not allowed"), 4, "the server refuses: .*not allowed"),
            (refusal("FAILED_PRECONDITION", "no offset column", "NOT_SUBSCRIBABLE"), 4, "the server refuses: .*no offset column"),
            (refusal("NOT_FOUND", "was dropped", "DROPPED"), 4, "the server refuses: .*was dropped"),
            (refusal("ABORTED", "ended", "UNSUBSCRIBED"), 4, "the server refuses: .*ended"),
            (refusal("OUT_OF_RANGE", "above the end", "BEYOND_END"), 6, "stopped: .*above the end"),
            (refusal("FAILED_PRECONDITION", "lost", "FORKED"), 6, "stopped: .*lost"),
            (refusal("INVALID_ARGUMENT", "odd", "MALFORMED"), 3, "gave up: stopped: .*odd")):
        with Server(table(3)) as server:
            server.usual = behaviour
            run = subscribe(server.port, "--subscription=s")
            equal(run.status, status, run.err)
            holds(re.search(text, run.err.splitlines()[-1]), run.err)


@test
def role_and_tls_are_options_of_subscribe_and_unsubscribe():
    with tempfile.TemporaryDirectory() as directory:
        certificates(directory)
        path = f"{directory}/passwords"
        with Server(table(3), credentials=server_credentials(directory), password="Basic bWV0ZXI6c2VjcmV0") as server:
            with open(path, "w", encoding="ascii") as file:
                file.write(f"127.0.0.1:{server.port}:sluice:meter:secret\n")
            os.chmod(path, 0o600)

            def run(command, *arguments, **environment):
                done = subprocess.run([SLUICE, command, f"--server=127.0.0.1:{server.port}", "--user=meter", "--tls",
                                       f"--tls-ca={directory}/ca.pem", "--tls-name=db.test", *arguments], stdin=subprocess.DEVNULL,
                                      capture_output=True, text=True, timeout=PATIENCE, check=False, env={**os.environ, **environment})
                return done.returncode, done.stderr
            equal(run("subscribe", "-q", "--subscription=s", "--count=3", PGPASSFILE=path), (0, ""), "subscribe")
            equal(run("unsubscribe", "s", PGPASSFILE=path), (0, ""), "unsubscribe")
            os.chmod(path, 0o644)
            code, told = run("unsubscribe", "s", PGPASSFILE=path)
            equal(code, 4, "refused")
            holds(f'sluice: password file "{path}" is not used: others have access to it' in told, told)
            holds("sluice: login failed: wrong password (no password was found)" in told, told)
            equal(run("subscribe", "--subscription=s", "--set=password=secret")[0], 1, "a password on the command line")


@test
def lost_connections_are_told_and_nothing_is_missing():
    away = End(grpc.StatusCode.UNAVAILABLE, "cut by the test")
    with Server(table(2000)) as server:
        server.next_calls = [Behaviour(after_rows=(n, away)) for n in (1, 130, 700)]
        run = subscribe(server.port, "--until-caught-up")
        equal([run.status, [json.loads(line)["id"] for line in run.lines()]], [0, list(range(1, 2001))], run.err)
        holds("cut by the test; next attempt" in run.err and "connected to" in run.err, run.err)
    with Server(table(2000)) as server:
        server.next_calls = [Behaviour(after_rows=(n, away)) for n in (1, 130, 700)]
        run = subscribe(server.port, "--until-caught-up", "--subscription=s", "--quiet")
        got = [json.loads(line)["id"] for line in run.lines()]
        equal([run.status, run.err, sorted(set(got)), server.subscriptions["s"].position], [0, "", list(range(1, 2001)), 2000], "at least once")


@test
def without_a_connection_it_gives_up_where_told():
    run = subscribe(unused_port(), "--timeout=0.5")
    equal(run.status, 3, run.err)
    holds("gave up: no connection for 0.5 s; could not connect to" in run.err, run.err)


@test
def signals_end_it_gracefully():
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        with Server(table(100)) as server:
            run = Run(server.port, "--subscription=s")
            wait_until(lambda r=run: len(r.lines()) == 100, "all rows")
            run.signal(number)
            equal([run.end(), run.err, server.subscriptions["s"].position], [5, "", 100], "status")
            server.wait(lambda s=server: s.ends == ["half-closed"], "a graceful end")
    run = Run(unused_port())
    wait_until(lambda: "could not connect" in run.err, "it tries")
    run.signal(signal.SIGTERM)
    equal(run.end(), 5, run.err)


@test
def a_standby_tells_and_takes_over():
    with Server(table(10)) as server:
        one = Run(server.port, "--subscription=s")
        wait_until(lambda: len(one.lines()) == 10, "the first one has them")
        two = Run(server.port, "--subscription=s")
        wait_until(lambda: "another consumer has the subscription: waiting" in two.err, "the second one waits")
        one.signal(signal.SIGTERM)
        one.end()
        server.insert(b'{"id": 11}')
        wait_until(lambda: two.lines() == ['{"id": 11}'], "and goes on")
        two.signal(signal.SIGTERM)
        equal(two.end(), 5, two.err)


@test
def progress_is_shown():
    with Server(table(10)) as server:
        run = Run(server.port, "--subscription=s", "--progress")
        wait_until(lambda: re.search(r"rows/s, 10 done, offset 10, 0 given back, connected, caught up", run.err), "the line")
        run.signal(signal.SIGTERM)
        equal(run.end(), 5, run.err)


@test
def unsubscribe():
    with Server(table(3)) as server:
        run = Run(server.port, "--subscription=s")
        wait_until(lambda: len(run.lines()) == 3, "rows")
        ended = tool("unsubscribe", f"--server=127.0.0.1:{server.port}", "s")
        equal([ended.returncode, ended.stderr, "s" in server.subscriptions], [0, "", True], "ended")
        equal(run.end(), 4, run.err)
        equal(tool("unsubscribe", f"--server=127.0.0.1:{server.port}", "s", "--drop").returncode, 0, "dropped")
        equal(server.subscriptions, {}, "gone")
        gone = tool("unsubscribe", f"--server=127.0.0.1:{server.port}", "s", "--drop")
        equal([gone.returncode, gone.stderr], [4, 'sluice: subscription "s" does not exist\n'], "once")
    equal(tool("unsubscribe", f"--server=127.0.0.1:{unused_port()}", "s").returncode, 3, "nobody there")
    equal(tool("unsubscribe").returncode, 1, "usage")
    equal(tool("unsubscribe", "").stderr, 'sluice: option "subscription" is empty\n', "no name")


def unsubscribe_from(*servers, options=()):
    """Exit status and what was told."""
    ended = tool("unsubscribe", "--server=" + ",".join(f"127.0.0.1:{server.port}" for server in servers), "s", *options)
    return ended.returncode, ended.stderr


@test
def unsubscribe_comes_when_the_server_wishes():
    def busy(pushback):
        return Behaviour(at_open=End(grpc.StatusCode.RESOURCE_EXHAUSTED, "too busy", pushback=pushback))
    with Server(table(1)) as server, Server(table(1)) as other:
        server.make("s")
        other.make("s")
        server.next_calls = [busy("300"), Behaviour(at_open=End(grpc.StatusCode.UNAVAILABLE, "leaving", pushback="100"))]
        equal(unsubscribe_from(server), (0, ""), "ended")
        gaps = [b - a for a, b in zip(server.attempts, server.attempts[1:])]
        holds(len(gaps) == 2 and gaps[0] >= 0.3 and gaps[1] >= 0.1, gaps)
        # Nobody waits longer than for a server that says nothing.
        server.next_calls = [busy("60000"), busy("-1"), busy("60000")]
        equal(unsubscribe_from(server, other), (0, ""), "the other one is asked at once")
        equal(unsubscribe_from(server), (3, "sluice: too busy\n"), "who is not to come soon gives up")
        equal(unsubscribe_from(server), (3, "sluice: too busy\n"), "and who is to come too late")
        equal((len(server.attempts), len(other.attempts)), (6, 1), "attempts")
        server.usual = busy("100")
        equal(unsubscribe_from(server, options=["--set=connect_timeout=2s"]), (3, "sluice: too busy\n"), "until the time is over")
        holds(server.attempts[-1] - server.attempts[6] < 10 and len(server.attempts) >= 8, server.attempts)


# ---- another database ----

class Database:
    """A PostgreSQL that is reached by a socket."""

    def __init__(self):
        self.directory = tempfile.mkdtemp(prefix="sluice-")
        self.bindir = subprocess.run(["pg_config", "--bindir"], check=True, capture_output=True, text=True).stdout.strip()
        self.prefix = []
        if os.getuid() == 0:
            self.prefix = ["setpriv", "--reuid", "postgres", "--regid", "postgres", "--init-groups"]
            subprocess.run(["chown", "postgres", self.directory], check=True)
        self.run("initdb", "-D", f"{self.directory}/data", "-U", "postgres", "-A", "trust", "-N", "-E", "UTF8", "--locale=C")
        self.start()
        self.conninfo = f"host={self.directory} user=postgres dbname=postgres"

    def run(self, program, *arguments):
        subprocess.run([*self.prefix, f"{self.bindir}/{program}", *arguments], check=True, cwd=self.directory,
                       stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def start(self):
        self.run("pg_ctl", "-D", f"{self.directory}/data", "-w", "-l", f"{self.directory}/log", "-o",
                 f"-c listen_addresses='' -c unix_socket_directories={self.directory} -c fsync=off -c shared_preload_libraries=''", "start")

    def stop(self):
        self.run("pg_ctl", "-D", f"{self.directory}/data", "-m", "immediate", "-w", "stop")

    def drop(self):
        self.stop()
        subprocess.run(["rm", "-rf", self.directory], check=True)

    def sql(self, text):
        """Lines."""
        return subprocess.run([f"{self.bindir}/psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", self.conninfo, "-c", text], check=True,
                              capture_output=True, text=True).stdout.splitlines()

    def fresh(self):
        self.sql("SET client_min_messages = warning; DROP SCHEMA IF EXISTS sluice_sink CASCADE; DROP TABLE IF EXISTS orders CASCADE;"
                 "CREATE TABLE orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text, value double precision,"
                 " arrival bigint GENERATED ALWAYS AS IDENTITY)")

    def rows(self):
        """In the order in which they were put in."""
        return [int(line) for line in self.sql("SELECT id FROM orders ORDER BY arrival")]

    def position(self, name="s"):
        """[] where there is no such table yet."""
        if self.sql("SELECT to_regclass('sluice_sink.positions') IS NULL") == ["t"]:
            return []
        return self.sql(f"SELECT \"offset\", refused FROM sluice_sink.positions WHERE subscription = '{name}'")


DATABASE = None


@contextlib.contextmanager
def database():
    global DATABASE
    if DATABASE is None:
        DATABASE = Database()
    DATABASE.fresh()
    yield DATABASE


def into(sink, *arguments):
    return (f"--into={sink.conninfo}", "--subscription=s", "--stream=orders", *arguments)


@test
def rows_and_position_are_in_one_transaction():
    with Server(table(12000)) as server, database() as sink:
        run = subscribe(server.port, *into(sink), "--until-caught-up")
        equal([run.status, run.err], [0, ""], "status")
        equal(sink.rows(), list(range(1, 12001)), "rows, in order")
        equal(sink.sql("SELECT id, name, value FROM orders WHERE id = 17"), ["17|row 17|2.125"], "a row")
        equal(sink.position(), ["12000|"], "position")
        equal(sink.sql("SELECT replace(stream_uid::text, '-', ''), system_identifier, timeline, lsn FROM sluice_sink.positions"),
              [f"{server.uid.hex()}|7|1|0/{server.lsn:X}"], "token")
        equal(server.subscriptions["s"].position, 12000, "acknowledged")
        server.wait(lambda: server.ends == ["half-closed"], "a graceful end")
        # What the server's position is does not matter.
        server.subscriptions["s"].position = 300
        server.insert(*[payload for _, payload in table(5, 12001)])
        equal(subscribe(server.port, *into(sink), "--until-caught-up").status, 0, "again")
        server.subscriptions["s"].position = 12004
        sink.sql("DELETE FROM orders WHERE id > 12002; UPDATE sluice_sink.positions SET \"offset\" = 12002")
        equal(subscribe(server.port, *into(sink), "--until-caught-up").status, 0, "and behind the server's")
        equal(sink.rows(), list(range(1, 12006)), "each once")


@test
def a_killed_run_and_a_lost_sink_neither_lose_nor_double():
    seed = int(os.environ.get("SLUICE_SEED", "1"))
    print(f"# seed {seed}")
    chance = random.Random(seed)
    with Server() as server, database() as sink:
        stop = threading.Event()

        def write():
            while not stop.is_set():
                server.insert(*[json.dumps(row(n)).encode() for n in range(server.last + 1, server.last + 1 + chance.randint(1, 200))])
                time.sleep(0.005)
        writer = threading.Thread(target=write)
        writer.start()
        runs = [Run(server.port, *into(sink), "--quiet") for _ in range(2)]
        for turn in range(12):
            before = len(server.said)
            server.wait(lambda: len(server.said) > before + 3, "it is at work")
            time.sleep(chance.random() / 50)
            fate = chance.randrange(4)
            if fate == 0:
                server.restart()
            elif fate == 1 and turn % 2 == 0:
                sink.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'sluice subscribe'")
            else:
                victim = chance.randrange(2)
                runs[victim].process.kill()
                runs[victim].end()
                runs[victim] = Run(server.port, *into(sink), "--quiet")
        stop.set()
        writer.join()
        wait_until(lambda: sink.position() == [f"{server.last}|"], "all is there")
        # A call whose client was killed may be counted until Python's gRPC lets go of it.
        server.wait(lambda: server.open_calls >= 2, "both are there")
        for run in runs:
            run.signal(signal.SIGTERM)
        equal([run.end() for run in runs], [5, 5], "status")
        equal(sink.rows(), list(range(1, server.last + 1)), "each row once, in order")
        print(f"# {server.last} rows, {len(server.opens)} calls")


@test
def of_two_servers_that_both_think_they_are_the_one_only_one_gets_through():
    """A partition: two consumers are active at once, each with another server."""
    rows = table(400)
    with Server(rows) as one, Server(rows) as two, database() as sink:
        two.uid = one.uid
        one.rows_a_message = two.rows_a_message = 7
        runs = [Run(server.port, *into(sink)) for server in (one, two)]
        wait_until(lambda: sink.position() == ["400|"], "all is there")
        for run in runs:
            run.signal(signal.SIGTERM)
        equal([run.end() for run in runs], [5, 5], "status")
        equal(sink.rows(), list(range(1, 401)), "each row once, in order")


@test
def a_row_that_the_table_refuses_is_found_and_given_back():
    with Server(table(1000)) as server, database() as sink:
        sink.sql("ALTER TABLE orders ADD CHECK (id NOT IN (1, 500, 501, 1000))")
        run = subscribe(server.port, *into(sink), "--until-caught-up")
        equal(run.status, 2, run.err)
        dead = server.subscriptions["s"].dead
        equal([offset for offset, _ in dead], [1, 500, 501, 1000], "dead letters")
        holds("violates check constraint" in dead[0][1] and "(SQLSTATE 23514)" in dead[0][1], dead)
        equal(sink.rows(), [n for n in range(1, 1001) if n not in (1, 500, 501, 1000)], "all others")
        equal([sink.position(), server.subscriptions["s"].position], [["1000|"], 1000], "position")


@test
def a_run_that_is_killed_before_it_could_pass_a_dead_letter_passes_it_later():
    with Server(table(3)) as server, database() as sink:
        server.make("s")
        equal(subscribe(server.port, *into(sink), "--count=1").status, 0, "the first row")
        # The server has made row 2 a dead letter, and nobody has noted that in the sink.
        sink.sql("UPDATE sluice_sink.positions SET refused = 2")
        server.subscriptions["s"].position = 2
        equal(subscribe(server.port, *into(sink), "--until-caught-up").status, 0, "the rest")
        equal([sink.rows(), sink.position()], [[1, 3], ["3|"]], "without it")
        # The server has not: it comes again.
        sink.sql("UPDATE sluice_sink.positions SET refused = 4")
        server.insert(table(1, 4)[0][1])
        equal(subscribe(server.port, *into(sink), "--until-caught-up").status, 0, "the rest")
        equal([sink.rows(), sink.position()], [[1, 3, 4], ["4|"]], "with it")


@test
def a_deferred_constraint_refuses_at_commit_and_the_row_is_found():
    with Server(table(50)) as server, database() as sink:
        sink.sql("CREATE TABLE IF NOT EXISTS known (id bigint PRIMARY KEY); TRUNCATE known CASCADE;"
                 "INSERT INTO known SELECT n FROM generate_series(1, 50) n WHERE n <> 20;"
                 "ALTER TABLE orders ADD FOREIGN KEY (id) REFERENCES known DEFERRABLE INITIALLY DEFERRED")
        run = subscribe(server.port, *into(sink), "--until-caught-up")
        equal([run.status, [offset for offset, _ in server.subscriptions["s"].dead]], [2, [20]], run.err)
        equal(sink.rows(), [n for n in range(1, 51) if n != 20], "all others")


@test
def redriven_rows_come_once():
    with Server(table(3)) as server, database() as sink:
        server.make("s")
        server.redrive("s", (71, -1, b'{"id": 100, "name": "again"}'), (72, -2, b'{"id": "no number"}'))
        run = subscribe(server.port, *into(sink), "--until-caught-up")
        equal(run.status, 2, run.err)
        equal(server.subscriptions["s"].settled, [(72, False), (71, True)] if server.subscriptions["s"].settled[0][0] == 72
              else [(71, True), (72, False)], "settled")
        equal([sink.rows(), sink.sql("SELECT redrive FROM sluice_sink.redriven")], [[100, 1, 2, 3], ["71"]], "rows")
        server.redrive("s", (71, -1, b'{"id": 100, "name": "again"}'))      # its acknowledgement was lost
        equal(subscribe(server.port, *into(sink), "--until-caught-up").status, 0, "again")
        equal([sink.rows(), server.subscriptions["s"].settled[-1]], [[100, 1, 2, 3], (71, True)], "not twice, and acknowledged")


@test
def members_may_change_and_unknown_ones_are_named():
    rows = table(10) + [(11, b'{"value": 1, "id": 11}'), (12, b'{"id": 12, "n\\u0061me": "x", "name": "y"}'),
                        (13, b' {"id" : 13 } '), (14, b'{"id": 14, "nested": {"a": [1, "}"]}}')]
    with Server(rows[:11] + rows[12:]) as server, database() as sink:
        server.rows[11:] = rows[12:]
        run = subscribe(server.port, *into(sink))
        equal(run.status, 3, run.err)
        holds('gave up: the database of --into: column "nested" of relation "orders" does not exist (SQLSTATE 42703)' in run.err, run.err)
        sink.sql("ALTER TABLE orders ADD nested jsonb")
        equal(subscribe(server.port, *into(sink), "--until-caught-up").status, 0, "after it was mended")
        equal(sink.rows(), [*range(1, 12), 13, 14], "rows")
        equal(sink.sql("SELECT id, name, value, nested FROM orders WHERE id > 10 ORDER BY id"),
              ["11||1|", "13|||", '14|||{"a": [1, "}"]}'], "values")


@test
def what_is_no_object_is_given_back():
    with Server(table(2) + [(3, b"[3]"), (4, b"{}"), (5, b'{"id": '), (6, table(6)[5][1])]) as server, database() as sink:
        run = subscribe(server.port, *into(sink), "--until-caught-up")
        equal([run.status, [offset for offset, _ in server.subscriptions["s"].dead]], [2, [3, 4, 5]], run.err)
        equal(sink.rows(), [1, 2, 6], "the others")


@test
def a_sink_that_cannot_be_used_is_told_at_once():
    with Server(table(1)) as server, database() as sink:
        for arguments, message in (((f"--into=host={sink.directory}/nowhere",), "could not be|connection to server"),
                                   ((f"--into={sink.conninfo}", "--table=nothing.there"), 'schema "nothing" does not exist|relation "nothing.there" does not exist'),
                                   ((f"--into={sink.conninfo}", "--table=a.b.c.d"), "improper")):
            run = subscribe(server.port, "--subscription=s", "--stream=orders", *arguments)
            equal(run.status, 3, run.err)
            holds(re.search(f"sluice: the database of --into: .*({message})", run.err) and run.err.count("\n") == 1, run.err)
        sink.sql("SET client_min_messages = warning; DROP ROLE IF EXISTS guest; CREATE ROLE guest LOGIN; GRANT INSERT ON orders TO guest")
        guest = sink.conninfo.replace("user=postgres", "user=guest")
        sink.sql("DROP SCHEMA sluice_sink CASCADE")
        run = subscribe(server.port, "--subscription=s", "--stream=orders", f"--into={guest}")
        equal(run.status, 3, run.err)
        holds("permission denied for database postgres (SQLSTATE 42501)" in run.err, run.err)
        # With what the documentation says it takes.
        equal(subscribe(server.port, *into(sink), "--until-caught-up").status, 0, "makes the tables")
        sink.sql("GRANT USAGE ON SCHEMA sluice_sink TO guest; GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA sluice_sink TO guest;")
        server.insert(table(1, 2)[0][1])
        run = subscribe(server.port, "--subscription=s", "--stream=orders", f"--into={guest}", "--until-caught-up")
        equal([run.status, sink.rows()], [0, [1, 2]], run.err)
        sink.sql("REVOKE ALL ON ALL TABLES IN SCHEMA sluice_sink FROM guest; REVOKE ALL ON orders FROM guest;"
                 "REVOKE USAGE ON SCHEMA sluice_sink FROM guest; DROP ROLE guest")


@test
def a_sink_that_is_away_for_a_while_is_waited_for():
    with Server(table(100)) as server, database() as sink:
        run = Run(server.port, *into(sink))
        wait_until(lambda: sink.position() == ["100|"], "the first rows")
        sink.stop()
        server.insert(*[payload for _, payload in table(100, 101)])
        wait_until(lambda: run.err.count("subscribing anew in") >= 2, "it is told")
        sink.start()
        wait_until(lambda: sink.position() == ["200|"], "the others")
        run.signal(signal.SIGTERM)
        equal([run.end(), sink.rows()], [5, list(range(1, 201))], run.err)
        # Where it was told how long, it gives up.
        run = Run(server.port, *into(sink), "--timeout=1")
        server.wait(lambda: server.calls, "it is there")
        sink.stop()
        server.insert(*[payload for _, payload in table(1, 201)])
        status = run.end()
        sink.start()
        equal(status, 3, run.err)
        holds("gave up: no connection for 1 s; the database of --into: " in run.err, run.err)


@test
def a_server_that_has_lost_commits_is_not_followed_unless_told():
    with Server(table(10)) as server, database() as sink:
        equal(subscribe(server.port, *into(sink), "--until-caught-up").status, 0, "status")
        server.lsn -= 5                 # a failover to a standby that was behind
        server.rows = server.rows[:8] + [(9, b'{"id": 90}'), (10, b'{"id": 100}'), (11, b'{"id": 110}')]
        run = subscribe(server.port, *into(sink), "--until-caught-up")
        equal(run.status, 6, run.err)
        holds("commits were lost" in run.err and "--on-fork accept goes on" in run.err, run.err)
        equal(sink.rows(), list(range(1, 11)), "nothing was changed")
        run = subscribe(server.port, *into(sink), "--until-caught-up", "--on-fork=accept")
        equal([run.status, sink.rows()], [0, [*range(1, 11), 110]], run.err)
        server.uid = os.urandom(16)
        run = subscribe(server.port, *into(sink), "--until-caught-up")
        equal(run.status, 6, run.err)
        holds("the stream is another one of the same name" in run.err, run.err)


try:
    run_tests(sys.argv[2:])
finally:
    if DATABASE is not None:
        DATABASE.drop()
