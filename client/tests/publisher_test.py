"""Producers of libsluice against a gRPC server of another implementation.

    publisher_test.py PUBLISHER-DRIVER [TEST]...

Every test has a server of its own and waits for conditions, never for time to
pass.  Output is TAP.
"""
import base64
import glob
import json
import os
import queue
import re
import subprocess
import sys
import tempfile
import threading
import time
import traceback

import grpc

from certificates import certificates, make, make_ca, server_credentials
from cutting_proxy import Proxy
from publish_server import Behaviour, End, Server, messages

DRIVER = os.path.abspath(sys.argv[1])
PATIENCE = 30
TESTS = []

CONNECTING, CONNECTED, WAITING, REFUSED, FENCED, FORKED, CLOSED = range(7)
OK, ERROR_MEMORY, ERROR_TIMEOUT, ERROR_OPTION, ERROR_FENCED, ERROR_FORKED, ERROR_PROTOCOL = 0, 3, 4, 21, 40, 41, 44
INFO, WARNING, ERROR = range(3)
QUICK = ("backoff_first=20 ms", "backoff_last=100 ms")
REFUSALS = {"NOT_FOUND": "no: {}", "UNIMPLEMENTED": "no: {}", "PERMISSION_DENIED": "not permitted: no: {}",
            "UNAUTHENTICATED": r"login failed: no: {} \(no user was given\)"}


def test(function):
    TESTS.append(function)
    return function


def equal(got, expected, what):
    if got != expected:
        raise AssertionError(f"{what}: got {str(got)[:600]!r}, expected {str(expected)[:600]!r}")


def holds(condition, what):
    if not condition:
        raise AssertionError(str(what)[:2000])


def matches(text, pattern, what):
    holds(re.fullmatch(pattern, text), f"{what}: {text!r} is not {pattern!r}")


class Run:
    """A publisher_driver: COUNT producers with the same settings."""

    def __init__(self, server, *settings, count=1, directory=None, code=OK, env=None):
        self.temporary = tempfile.TemporaryDirectory() if directory is None else None
        self.process = subprocess.Popen(
            [DRIVER, str(count), directory or self.temporary.name, f"server={server}", *settings],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
            env={**os.environ, "HOME": "/nonexistent", **(env or {})})
        self.answers, self.statistics = queue.Queue(), queue.Queue()
        self.log = []
        self.logged = threading.Condition()
        threading.Thread(target=self.read, daemon=True).start()
        opened = self.answers.get(timeout=PATIENCE)
        if code is not None:
            equal(opened["code"], code, "the producer is opened")
        self.code = opened["code"]
        self.text = opened.get("text")

    def __enter__(self):
        return self

    def __exit__(self, failure, *_):
        self.process.stdin.close()
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
        if self.temporary is not None:
            self.temporary.cleanup()
        if failure is None:
            equal(self.process.wait(), 0, "exit status")

    def read(self):
        for line in self.process.stdout:
            said = json.loads(line)
            if "log" in said:
                with self.logged:
                    self.log.append((said["log"], said["text"]))
                    self.logged.notify_all()
            else:
                (self.statistics if "stats" in said else self.answers).put(said)

    def command(self, text, code=OK):
        self.process.stdin.write(text + "\n")
        answer = self.answers.get(timeout=PATIENCE)
        if code is not None:
            equal(answer["code"], code, text)
        return answer["code"]

    def stats(self):
        self.command("stats")
        return self.statistics.get(timeout=PATIENCE)

    def close(self, milliseconds=0, code=OK):
        """Seconds that it took."""
        began = time.monotonic()
        self.command(f"close {milliseconds}", code)
        return time.monotonic() - began

    def wait_log(self, pattern, level=None, after=0):
        """The first line like this."""
        def find():
            return next((entry for entry in self.log[after:] if re.fullmatch(pattern, entry[1])), None)
        with self.logged:
            if not self.logged.wait_for(find, PATIENCE):
                raise AssertionError(f"not logged: {pattern!r}, but {self.log}")
            entry = find()
        if level is not None:
            equal(entry[0], level, f"level of {entry[1]!r}")
        return entry[1]

    def wait_state(self, state):
        until = time.monotonic() + PATIENCE
        while (stats := self.stats())["state"] != state:
            holds(time.monotonic() < until, f"never in state {state}: {stats}")
            time.sleep(0.005)
        return stats


def sent(count, producer=0):
    return [f'{{"producer": {producer}, "n": {n}}}'.encode() for n in range(1, count + 1)]


def address(server):
    return f"127.0.0.1:{server.port}"


def closed_port():
    with Server() as server:
        return server.port


# ---- what goes over the wire ----

@test
def records_arrive_once_and_in_order():
    with Server() as server, Run(address(server), "client=tests", "stream=readings") as run:
        for _ in range(20):
            run.command("send 500")
        run.command("flush 20000")
        equal(server.stored(), sent(10000), "what is stored")
        equal(run.wait_log("connected to .*", INFO), f'connected to "{address(server)}"', "the log")
        opening = server.opens[0]
        equal((opening.stream, opening.sent, opening.acked_through, opening.stream_uid), ("readings", 0, 0, b""), "Open")
        equal((len(opening.producer_id), len(opening.nonces)), (16, 1), "Open's identity")
        matches(opening.client, r"tests \(libsluice \d+(\.\d+)+\)", "Open.client")
        stats = run.stats()
        equal((stats["state"], stats["stored"], stats["in_flight"], stats["attempts"], stats["connections"], stats["message"]),
              (CONNECTED, 10000, 0, 1, 1, ""), "statistics")
        run.close()
        server.wait(lambda: server.ends == ["half-closed"], "the call is half-closed")


@test
def verdicts_come_with_acks():
    with Server() as server:
        server.usual = Behaviour(verdicts={2: 2, 5: 3, 6: 3})
        with Run(address(server)) as run:
            run.command("send 10")
            run.command("flush 20000")
            stats = run.stats()
            equal((stats["stored"], stats["duplicates"], stats["dead_lettered"]), (7, 1, 2), "verdicts")


@test
def backlog_is_reported_once_a_second():
    with Server() as server:
        server.usual = Behaviour(deaf=True)
        with Run(address(server)) as run:
            run.command("send 7")
            server.wait(lambda: len(server.reports) >= 3, "three reports")
            times = [when for when, _ in server.reports]
            holds(all(b - a > 0.9 for a, b in zip(times, times[1:])), f"a second between reports: {times}")
            report = server.reports[2][1]
            equal(report.buffered_records, 7, "buffered records")
            holds(abs(report.clock / 1e6 - time.time()) < 2, f"the producer's clock: {report.clock}")
            run.close(code=ERROR_TIMEOUT)


@test
def threads_block_all_signals():
    with Server() as server, Run(address(server)) as run:
        run.command("send 1")
        run.command("flush 20000")
        masks = {}
        for path in glob.glob(f"/proc/{run.process.pid}/task/*/status"):
            with open(path, encoding="ascii") as file:
                status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
            if int(status["Pid"]) != run.process.pid:
                masks[status["Name"]] = int(status["SigBlk"], 16)
        holds("sluice-publish" in masks and len(masks) > 2, f"threads: {masks}")
        wanted = 0xFFFFFFFE7FFBFEFF     # all but KILL, STOP and glibc's own two
        equal({name for name, mask in masks.items() if mask & wanted != wanted}, set(), "threads that take signals")


# ---- ends of calls ----

@test
def fenced_in_the_middle_keeps_everything():
    with Server() as server:
        server.usual = Behaviour(at_batch=End(grpc.StatusCode.FAILED_PRECONDITION, "another run", "FENCED", 3))
        # All are put in before the first batch goes out, with flush.
        with Run(address(server), "linger=10 s", *QUICK) as run:
            run.wait_state(CONNECTED)
            run.command("send 5")
            run.command("flush 20000", ERROR_FENCED)
            stats = run.wait_state(FENCED)
            equal((stats["message"], stats["buffered"]),
                  ("stopped, with all records kept: another copy of this buffer has taken its place "
                   f'("{address(server)}": another run)', 5), "message, records kept")
            equal(len(server.attempts), 1, "attempts")


@test
def refusals_of_the_identity_are_final():
    for reason, state, code, what in (("FENCED", FENCED, ERROR_FENCED, "another copy of this buffer has taken its place"),
                                      ("FORKED", FORKED, ERROR_FORKED, "the server has what this buffer did not send")):
        with Server() as server:
            server.usual = Behaviour(at_open=End(grpc.StatusCode.FAILED_PRECONDITION, "it is so", reason, 17))
            with Run(address(server), *QUICK) as run:
                stats = run.wait_state(state)
                equal(stats["message"], f'stopped, with all records kept: {what} ("{address(server)}": it is so)', "message")
                equal(run.log[-1], (ERROR, stats["message"]), "log")
                run.command("send 1", code)
                run.command("flush -1", OK)
                time.sleep(0.3)         # three times the longest backoff
                equal(len(server.attempts), 1, "attempts")
                holds(run.close() < 1, "closed at once")


@test
def forked_where_the_server_has_more_than_was_sent():
    with Server() as server:
        server.usual = Behaviour(opened=messages.PublishResponse(opened=messages.Opened(
            last_sequence=99, stream_uid=server.uid, limits=server.limits)).SerializeToString())
        with Run(address(server), *QUICK) as run:
            stats = run.wait_state(FORKED)
            equal(stats["message"], "stopped, with all records kept: the server has what this buffer did not send "
                                    f'("{address(server)}": at sequence 99)', "message")
            equal(len(server.attempts), 1, "attempts")


@test
def a_replaced_stream_is_asked_rarely():
    with Server() as server:
        server.usual = Behaviour(at_open=End(grpc.StatusCode.FAILED_PRECONDITION, "another one", "STREAM_REPLACED"))
        with Run(address(server), "backoff_first=1 ms", "backoff_last=200 ms") as run:
            run.command("send 3")
            line = run.wait_log('".*" refuses: .*', WARNING)
            matches(line, f'"{address(server)}" refuses: its stream is another one than the one of this name '
                          r"that the buffer has been sent to; next attempt in 0\.[12] s", "log")
            run.wait_state(REFUSED)
            server.wait(lambda: len(server.attempts) >= 4, "attempts go on")
            gaps = [b - a for a, b in zip(server.attempts, server.attempts[1:])]
            holds(all(gap > 0.095 for gap in gaps), f"at the longest backoff: {gaps}")
            server.usual = Behaviour()
            run.command("flush 20000")
            equal(server.stored(), sent(3), "what is stored")


@test
def a_replaced_stream_is_taken_where_allowed():
    with Server() as server, Run(address(server), "on_new_stream=continue", *QUICK) as run:
        run.command("send 3")
        run.command("flush 20000")
        server.uid = os.urandom(16)
        replaced = End(grpc.StatusCode.FAILED_PRECONDITION, "another one", "STREAM_REPLACED")
        server.next_calls = [Behaviour(at_open=replaced)]
        known = len(server.opens)
        server.restart()
        run.command("send 2")
        line = run.wait_log("going on with .*", WARNING)
        matches(line, f'going on with the new stream of "{address(server)}": what was sent and not acknowledged '
                      r"may be stored twice; next attempt in 0\.\d s", "log")
        server.wait(lambda: len(server.opens) >= known + 2, "it opens again")
        equal([bool(opening.stream_uid) for opening in server.opens[known:known + 2]], [True, False], "stream_uid in Open")


@test
def soft_ends_are_tried_again():
    ends = (("ABORTED", "superseded", "SUPERSEDED"), ("OUT_OF_RANGE", "too large", "TOO_LARGE"),
            ("UNAVAILABLE", "the server is draining", None), ("RESOURCE_EXHAUSTED", "no room", None),
            ("INTERNAL", "odd", None), ("FAILED_PRECONDITION", "for no reason", None),
            ("INVALID_ARGUMENT", "odd", "MALFORMED"))
    with Server() as server, Run(address(server), *QUICK) as run:
        done = 0
        for code, details, reason in ends:
            for where in ("at_open", "at_batch", "after_ack"):
                server.next_calls = [Behaviour(**{where: End(grpc.StatusCode[code], details, reason)})]
                before = len(run.log)
                server.restart()
                run.command("send 2")
                done += 2
                run.command("flush 20000")
                what = "could not connect to" if where == "at_open" else "lost the connection to"
                run.wait_log(f'{what} "{address(server)}": {details}; next attempt in 0\\.[01] s', WARNING, after=before)
        equal(server.stored(), sent(done), "what is stored")
        equal(run.wait_state(CONNECTED)["message"], "", "nothing is wrong any more")


@test
def refusals_are_asked_rarely():
    for code, words in REFUSALS.items():
        with Server() as server:
            server.usual = Behaviour(at_open=End(grpc.StatusCode[code], f"no: {code}"))
            with Run(address(server), "backoff_first=1 ms", "backoff_last=200 ms") as run:
                run.command("send 3")
                stats = run.wait_state(REFUSED)
                matches(stats["message"], f'"{address(server)}" refuses: {words.format(code)}; next attempt in 0\\.[12] s', "message")
                equal(run.log[-1], (WARNING, stats["message"]), "log")
                server.wait(lambda: len(server.attempts) >= 3, "attempts go on")
                gaps = [b - a for a, b in zip(server.attempts, server.attempts[1:])]
                holds(all(gap > 0.095 for gap in gaps), f"at the longest backoff: {gaps}")
                server.usual = Behaviour()
                run.command("flush 20000")
                equal(server.stored(), sent(3), "what is stored")


@test
def a_hole_twice_at_one_place_is_fatal():
    with Server() as server, Run(address(server), *QUICK) as run:
        hole = Behaviour(at_batch=End(grpc.StatusCode.INVALID_ARGUMENT, "a hole at 1", "HOLE"))
        server.next_calls = [hole]
        run.command("send 2")
        run.command("flush 20000")      # once is an accident
        run.command("send 2")
        run.command("flush 20000")
        equal(server.stored(), sent(4), "what is stored")
        server.next_calls = [hole, Behaviour(at_open=End(grpc.StatusCode.UNAVAILABLE, "turn")), hole]
        server.restart()
        run.command("send 3", None)
        run.command("flush 20000", ERROR_PROTOCOL)
        stats = run.wait_state(CLOSED)
        equal(stats["message"], f'stopped, with all records kept, because of the protocol with "{address(server)}" '
                                "(please report this): a hole at 1", "message")
        equal(stats["buffered"], 3, "nothing is dropped")


@test
def a_server_that_breaks_the_protocol_twice_is_left():
    ack = messages.PublishResponse(ack=messages.Ack(through_sequence=3)).SerializeToString()
    beyond = messages.PublishResponse(ack=messages.Ack(through_sequence=4)).SerializeToString()
    odd = messages.PublishResponse(ack=messages.Ack(through_sequence=3, exceptions=[
        messages.Exception(sequence=2, verdict=9)])).SerializeToString()
    invalid = "the server's first message is not a valid Opened"
    unfit = "the server's Ack is not valid, or does not fit what was sent"
    for behaviour, what in ((Behaviour(opened=b"\xff\xff"), invalid), (Behaviour(opened=ack), invalid),
                            (Behaviour(opened=b""), invalid), (Behaviour(ack=b"\x12\xff"), unfit),
                            (Behaviour(ack=beyond), unfit), (Behaviour(ack=odd), unfit)):
        with Server() as server:
            server.usual = behaviour
            with Run(address(server), *QUICK) as run:
                run.command("send 3", None)
                run.command("flush 20000", ERROR_PROTOCOL)
                stats = run.wait_state(CLOSED)
                equal(stats["message"], f'stopped, with all records kept, because of the protocol with "{address(server)}" '
                                        f"(please report this): {what}", "message")
                equal((stats["buffered"], len(server.attempts)), (3, 2), "records kept, attempts")


# ---- connecting ----

@test
def a_server_that_comes_later_is_found():
    port = closed_port()
    with Run(f"127.0.0.1:{port}", *QUICK) as run:
        run.command("send 3")
        line = run.wait_log("could not connect to .*", WARNING)
        matches(line, f'could not connect to "127.0.0.1:{port}": .*[Cc]onnection refused.*; next attempt in 0\\.[01] s', "log")
        with Server(port=port) as server:
            run.command("flush 20000")
            equal(server.stored(), sent(3), "what is stored")
            run.close()


@test
def an_open_without_answer_is_given_up():
    with Server() as server:
        server.next_calls = [Behaviour(silent=True)]
        with Run(address(server), "connect_timeout=300 ms", *QUICK) as run:
            began = time.monotonic()
            run.command("send 3")
            line = run.wait_log("could not connect to .*", WARNING)
            holds(0.2 < time.monotonic() - began < 2, "after the timeout")
            matches(line, f'could not connect to "{address(server)}": no answer within 0\\.3 s; next attempt in 0\\.[01] s', "log")
            run.command("flush 20000")
            server.wait(lambda: server.open_calls == 1, "the silent call was cancelled")


@test
def a_silent_network_is_noticed_by_keepalive():
    with Server() as server, Proxy(server.port) as proxy, \
            Run(address(proxy), "keepalive_time=1 s", "keepalive_timeout=500 ms", "connect_timeout=500 ms", *QUICK) as run:
        run.command("send 3")
        run.command("flush 20000")
        proxy.silent = True
        began = time.monotonic()
        run.command("send 3")
        line = run.wait_log("lost the connection to .*", WARNING)
        holds(time.monotonic() - began < 3, f"within keepalive's time: {time.monotonic() - began}")
        matches(line, f'lost the connection to "{address(proxy)}": .*; next attempt in 0\\.[01] s', "log")
        proxy.silent = False
        run.command("flush 20000")
        equal(server.stored(), sent(6), "what is stored")
        holds(run.close() < 1, "closed at once")


@test
def backoff_doubles_and_an_ack_resets_it():
    port = closed_port()
    with Run(f"127.0.0.1:{port}", "backoff_first=5 ms", "backoff_last=10 s") as run:
        run.command("send 1")
        run.wait_log(r"could not connect to .*; next attempt in \d*[1-9]\.\d s|.*; next attempt in 0\.[3-9] s")
        waits = [float(re.search(r"in (\d+\.\d) s", text)[1]) for _, text in run.log]
        for i, wait in enumerate(waits):
            holds(wait <= 0.005 * 2 ** i + 0.05, f"wait {i} of {waits}")
        with Server(port=port) as server:
            run.command("flush 20000")
            before = len(run.log)
            server.server.stop(None)
            line = run.wait_log("lost the connection to .*", after=before)
            matches(line, r".*; next attempt in 0\.0 s", "the first wait again")


@test
def endpoints_take_turns():
    dead = closed_port()
    with Server() as one, Server() as two:
        away = End(grpc.StatusCode.UNAVAILABLE, "not here")
        one.usual = two.usual = Behaviour(at_open=away)
        servers = f"127.0.0.1:{dead}, {address(one)},{address(two)}"
        with Run(servers, *QUICK) as run:
            run.wait_log(f'could not connect to "{address(two)}".*', after=4)
            names = [re.search(r'"(.*?)"', text)[1] for _, text in run.log][:6]
            equal(names, [f"127.0.0.1:{dead}", address(one), address(two)] * 2, "in order")
            # One that acknowledged is tried once more, then it is the next one's turn.
            one.usual = Behaviour(after_ack=away)
            run.command("send 1")
            run.command("flush 20000")
            one.usual = Behaviour(at_open=away)
            run.wait_log("lost the connection to .*")
            lost = next(i for i, (_, text) in enumerate(run.log) if text.startswith("lost"))
            run.wait_log(f'could not connect to "{address(two)}".*', after=lost)
            after = [re.search(r'"(.*?)"', text)[1] for _, text in run.log[lost:lost + 3]]
            equal(after, [address(one), address(one), address(two)], "once more, then the next")


@test
def another_server_is_asked_soon_where_one_refuses():
    with Server() as one, Server() as two:
        one.usual = two.usual = Behaviour(at_open=End(grpc.StatusCode.NOT_FOUND, "no such stream"))
        with Run(f"{address(one)},{address(two)}", "backoff_first=20 ms", "backoff_last=60 s") as run:
            run.wait_log(f'"{address(one)}" refuses: no such stream; next attempt in 0\\.0 s', WARNING)
            run.wait_log(f'"{address(two)}" refuses: no such stream; next attempt in [3-6]\\d\\.\\d s', WARNING)
            equal(run.stats()["state"], REFUSED, "state")


@test
def unix_sockets_work():
    with tempfile.TemporaryDirectory() as directory:
        path = f"unix:{directory}/socket"
        with Server(address=path) as server, Run(path) as run:
            run.command("send 3")
            run.command("flush 20000")
            equal(server.stored(), sent(3), "what is stored")


@test
def servers_that_cannot_be_are_refused():
    with Run("db1:0", code=ERROR_OPTION) as run:
        equal(run.text, 'server "db1:0" has no valid port (1 to 65535)', "message")
    with Run("db1,,db2", code=ERROR_OPTION) as run:
        equal(run.text, "an element of the list of servers is empty", "message")


# ---- who is who ----

@test
def tls_with_certificates_on_both_sides():
    with tempfile.TemporaryDirectory() as directory:
        certificates(directory)
        credentials = server_credentials(directory, wants_client=True)
        basic = "Basic " + base64.b64encode("mëter:s3cret:".encode()).decode()
        with Server(credentials=credentials, password=basic) as server:
            tls = ("tls=on", f"tls_ca={directory}/ca.pem", f"tls_cert={directory}/device.pem", f"tls_key={directory}/device.key",
                   "user=mëter", "password=s3cret:", *QUICK)
            with Run(address(server), "tls_name=db.test", *tls) as run:
                run.command("send 3")
                run.command("flush 20000")
                equal(server.stored(), sent(3), "what is stored")
            with Run(address(server), "tls_name=other.test", *tls) as run:
                matches(run.wait_log("could not connect to .*", WARNING), '.*: the server\'s certificate is not for "other.test" .*', "the wrong server")
            with Run(address(server), "tls_name=db.test", "tls=on", f"tls_ca={directory}/ca.pem", *QUICK) as run:
                run.wait_log("could not connect to .*", WARNING)
            os.rename(f"{directory}/device.pem", f"{directory}/away.pem")
            with Run(address(server), "tls_name=db.test", *tls) as run:
                run.command("send 2")
                line = run.wait_log("could not connect to .*", WARNING)
                matches(line, f'could not connect to ".*": could not read "{directory}/device.pem": No such file or directory'
                              r"; next attempt in 0\.[01] s", "a file that is missing")
                os.rename(f"{directory}/away.pem", f"{directory}/device.pem")
                run.command("flush 20000")
                with open(f"{directory}/empty.pem", "w", encoding="ascii"):
                    pass
            with Run(address(server), "tls=on", f"tls_ca={directory}/empty.pem", *QUICK) as run:
                run.wait_log(f'could not connect to ".*": "{directory}/empty.pem" has nothing in PEM format; .*', WARNING)


@test
def passwords_do_not_leave_the_machine_in_the_clear():
    with Run("127.0.0.1:1,db.example:50051", "user=meter", "password=secret", code=ERROR_OPTION) as run:
        equal(run.text, 'user and password cannot be sent to "db.example:50051" without tls', "message")
    basic = "Basic " + base64.b64encode(b"meter:secret").decode()
    with Server(password=basic) as server:
        with Run(address(server), "user=meter", "password=secret") as run:
            run.command("send 1")
            run.command("flush 20000")
        with Run(address(server), "user=meter", "password=wrong") as run:
            matches(run.wait_state(REFUSED)["message"], f'"{address(server)}" refuses: login failed: wrong password; next attempt in [3-6]\\d\\.\\d s',
                    "message")
        with Run(address(server)) as run:
            matches(run.wait_state(REFUSED)["message"], r".* refuses: login failed: wrong password \(no user was given\); .*", "no user")
        equal([call.get("authorization", "-")[:5] for call in server.metadata], ["Basic", "Basic", "-"], "only where there is a user")


@test
def each_mistake_of_tls_is_told():
    with tempfile.TemporaryDirectory() as directory:
        certificates(directory)
        make_ca(directory, "other")
        make(directory, "db.test", "late", days=-1)
        make(directory, "device", "old", days=-1)
        with open(f"{directory}/words.pem", "w", encoding="ascii") as file:
            file.write("-----BEGIN CERTIFICATE-----\nnone\n-----END CERTIFICATE-----\n")
        subprocess.run(["openssl", "ec", "-in", "device.key", "-aes128", "-passout", "pass:x", "-out", "locked.key"],
                       cwd=directory, check=True, capture_output=True)
        ca = f"tls_ca={directory}/ca.pem"

        def pair(cert, key):
            return ("tls=on", ca, f"tls_cert={directory}/{cert}", f"tls_key={directory}/{key}")

        def tells(server, words, *settings, name="tls_name=db.test"):
            names = (name,) if "tls=on" in settings else ()
            with Run(address(server), *settings, *names, *QUICK) as run:
                line = run.wait_log("could not connect to .*", WARNING)
                matches(line, f'could not connect to "{address(server)}": {re.escape(words)}; next attempt in 0\\.[01] s', words)

        with Server(credentials=server_credentials(directory)) as server:
            tells(server, f'the server\'s certificate is not trusted by "{directory}/other.pem" (tls_ca), or is out of date',
                  "tls=on", f"tls_ca={directory}/other.pem")
            tells(server, "the server's certificate is not trusted by this system (see tls_ca), or is out of date", "tls=on")
            tells(server, 'the server\'s certificate is not for "db2.test" (another name is given by tls_name)', "tls=on", ca,
                  name="tls_name=db2.test")
            tells(server, f'"{directory}/words.pem" (tls_ca) has no certificate', "tls=on", f"tls_ca={directory}/words.pem")
            tells(server, f'"{directory}/words.pem" (tls_cert) has no certificate', *pair("words.pem", "device.key"))
            tells(server, f'"{directory}/device.pem" (tls_key) has no key, or one with a passphrase', *pair("device.pem", "device.pem"))
            tells(server, f'"{directory}/locked.key" (tls_key) has no key, or one with a passphrase', *pair("device.pem", "locked.key"))
            tells(server, f'the key in "{directory}/db.test.key" (tls_key) is not the one of the certificate in "{directory}/device.pem"',
                  *pair("device.pem", "db.test.key"))
            tells(server, f'the certificate in "{directory}/old.pem" (tls_cert) has expired', *pair("old.pem", "old.key"))
            tells(server, "the server breaks off the connection: it wants TLS (option tls), or is going down")
        with Server(credentials=server_credentials(directory, "late")) as server:
            tells(server, f'the server\'s certificate is not trusted by "{directory}/ca.pem" (tls_ca), or is out of date', "tls=on", ca)
        with Server() as server:
            tells(server, "the server speaks no TLS at this port", "tls=on", ca)
        with Server(credentials=server_credentials(directory, wants_client=True)) as server:
            tells(server, "the server breaks off the connection: it wants a client certificate (tls_cert), or is going down", "tls=on", ca)
            os.rename(f"{directory}/ca.pem", f"{directory}/first.pem")
            os.rename(f"{directory}/ca.key", f"{directory}/first.key")
            make_ca(directory)
            make(directory, "device", "stranger")
            tells(server, "the server breaks off the connection: it does not take the certificate of tls_cert, or is going down",
                  "tls=on", f"tls_ca={directory}/first.pem", f"tls_cert={directory}/stranger.pem", f"tls_key={directory}/stranger.key")


@test
def a_target_string_says_it_all():
    basic = "Basic " + base64.b64encode("mëter:s/cr@t:?".encode()).decode()
    with Server(password=basic) as server, \
            Run(f"sluice://m%C3%ABter:s%2Fcr%40t:%3F@{address(server)}/read%2Fings?linger=2%20ms&client=meter%207") as run:
        run.command("send 3")
        run.command("flush 20000")
        equal([(opened.stream, opened.client) for opened in server.opens], [("read/ings", "meter 7 (libsluice 0.1.0)")], "what was asked for")
    with Run("sluice://u:se/cret@h", code=ERROR_OPTION) as run:
        holds("cret" not in run.text and "behind the hosts" in run.text, run.text)
    with Run("sluice://u:p@h,db.test", code=ERROR_OPTION) as run:
        equal(run.text, 'user and password cannot be sent to "h" without tls', "message")


@test
def a_password_is_found_in_the_environment_or_a_file():
    def refused(server, *settings, env):
        with Run(address(server), "user=meter", *settings, env=env) as run:
            matches(run.wait_state(REFUSED)["message"], r'.* refuses: login failed: wrong password \(no password was found\); .*', "none")
            return [text for level, text in run.log if text.startswith("password file")]

    def accepted(server, *settings, env):
        with Run(address(server), "user=meter", *settings, env=env) as run:
            run.command("send 1")
            run.command("flush 20000")
            return run.log

    with tempfile.TemporaryDirectory() as home, Server(password="Basic " + base64.b64encode(b"meter:secret").decode()) as server:
        path = f"{home}/.pgpass"

        def write(line, mode=0o600):
            with open(path, "w", encoding="ascii") as file:
                file.write(f"# passwords\n127.0.0.1:1:*:*:another port\n{line}\n*:*:*:*:the last line\n")
            os.chmod(path, mode)

        equal(refused(server, env={"HOME": home}), [], "no file: nothing is told")
        equal(refused(server, env={"PGPASSFILE": path}), [f'password file "{path}" could not be read: No such file or directory'],
              "one that was named")
        write(f"127.0.0.1:{server.port}:sluice:meter:secret")
        accepted(server, env={"HOME": home})
        accepted(server, env={"PGPASSFILE": path})
        accepted(server, f"passfile={path}", env={})
        accepted(server, f"passfile={path}", env={"PGPASSWORD": "secret", "PGPASSFILE": "/nonexistent"})
        write("*:*:*:*:wrong")
        accepted(server, "password=secret", env={"HOME": home, "PGPASSWORD": "wrong"})
        accepted(server, env={"HOME": home, "PGPASSWORD": "secret"})
        write("*:*:*:meter:secret", 0o640)
        equal(refused(server, env={"HOME": home}),
              [f'password file "{path}" is not used: others have access to it; its permissions should be u=rw (0600) or less'], "others can read it")
        equal(refused(server, f"passfile={home}", env={}), [f'password file "{home}" is not a plain file'], "a directory")


@test
def each_server_has_its_own_line_of_the_password_file_which_is_read_anew():
    with tempfile.TemporaryDirectory() as home, \
            Server(password="Basic " + base64.b64encode(b"m:one").decode()) as one, \
            Server(password="Basic " + base64.b64encode(b"m:two").decode()) as two:
        one.producers, one.uid = two.producers, two.uid         # the same database
        path = f"{home}/.pgpass"
        with open(path, "w", encoding="ascii") as file:
            file.write(f"127.0.0.1:{one.port}:*:m:old\n127.0.0.1:{two.port}:*:m:two\n")
        os.chmod(path, 0o600)
        with Run(f"{address(one)},{address(two)}", "user=m", *QUICK, env={"HOME": home}) as run:
            run.command("send 1")
            run.command("flush 20000")
            equal((len(one.opens), two.stored()), (0, sent(1)), "the second one takes it")
            with open(path, "w", encoding="ascii") as file:
                file.write(f"127.0.0.1:{one.port}:*:m:one\n")
            two.stop()
            run.wait_log(f'connected to "{address(one)}"', INFO)


# ---- the server's wishes ----

@test
def a_hint_to_stay_away_is_obeyed_and_spread():
    count = 30
    busy = End(grpc.StatusCode.RESOURCE_EXHAUSTED, "too busy", pushback="500")
    with Server(threads=count + 20) as server:
        server.next_calls = [Behaviour(at_open=busy) for _ in range(count)]
        with Run(address(server), "backoff_first=1 ms", "backoff_last=10 ms", count=count) as run:
            run.command("send 1")
            run.command("flush 30000")
            first, again = max(server.attempts[:count]), server.attempts[count:]
            equal(len(again), count, "one more attempt was enough for each")
            waits = sorted(float(re.search(r"too busy; next attempt in (\d\.\d) s", text)[1]) for level, text in run.log if level == WARNING)
            holds(0.45 <= waits[0] and waits[-1] <= 1.05 and waits[-1] - waits[0] >= 0.2, f"from the hint to twice as long, spread: {waits}")
            holds(min(again) >= min(server.attempts) + 0.5, "nobody comes before")
            print(f"# {count} came back from {min(again) - first:.2f} s to {max(again) - first:.2f} s after the last refusal; hint 0.5 s")


@test
def a_hint_that_is_no_time_means_not_soon():
    for pushback in ("-1", "soon"):
        with Server() as server:
            server.usual = Behaviour(at_open=End(grpc.StatusCode.RESOURCE_EXHAUSTED, "no", pushback=pushback))
            with Run(address(server), "backoff_first=1 ms", "backoff_last=60 s") as run:
                run.wait_log(r"could not connect to .*: no; next attempt in [3-6]\d\.\d s", WARNING)


@test
def a_server_that_wants_a_new_connection_gets_it_without_a_warning():
    with Server() as server:
        server.next_calls = [Behaviour(after_ack=End(grpc.StatusCode.UNAVAILABLE, "grown old", "RECONNECT"))]
        with Run(address(server), "backoff_first=60 s", "backoff_last=60 s") as run:
            run.command("send 1")
            run.command("flush 20000")
            run.wait_log(f'"{address(server)}" asks for a new connection: grown old; in [01]\\.\\d s', INFO)
            run.command("send 1")
            run.command("flush 20000")
            equal([text for level, text in run.log if level != INFO], [], "warnings")
            equal((len(server.attempts), server.stored()), (2, sent(2)), "attempts, and what is stored")


# ---- stopping ----

@test
def stopping_is_quick_in_every_state():
    with Server() as server:
        server.usual = Behaviour(deaf=True)
        with Run(address(server)) as run:
            run.command("send 3")
            server.wait(lambda: server.batches > 0, "a batch is on its way")
            holds(run.close(code=ERROR_TIMEOUT) < 0.9, "with records in flight")
        server.usual = Behaviour(silent=True)
        with Run(address(server)) as run:
            server.wait(lambda: server.open_calls > 0 and len(server.opens) == 2, "Open has come")
            holds(run.close() < 0.9, "while it opens")
        server.usual = Behaviour(at_open=End(grpc.StatusCode.UNAVAILABLE, "no"))
        with Run(address(server), "backoff_first=30 s") as run:
            run.wait_state(WAITING)
            holds(run.close() < 0.9, "while it waits")
    with Server() as server, Proxy(server.port) as proxy, Run(address(proxy)) as run:
        run.command("send 3")
        run.command("flush 20000")
        proxy.silent = True
        holds(0.5 < run.close() < 2, "where nobody confirms the end")


# ---- no memory ----

@test
def every_allocation_may_fail_while_it_opens():
    with Server() as server:
        for n in range(1, 1000):
            with Run(address(server), f"fail={n}", *QUICK, code=None) as run:
                if run.code != OK:
                    equal(run.code, ERROR_MEMORY, f"allocation {n}: {run.text}")
                    continue
                while run.command("send 1", None) != OK:
                    pass
                run.command("flush 20000")
                if run.command("failed", None) == 0:
                    break
        print(f"# {n - 1} allocations failed, one after the other")
        holds(10 < n < 999, f"allocations: {n}")


@test
def every_allocation_may_fail_while_it_runs():
    with Server() as server, Run(address(server), "user=meter", "password=secret", *QUICK) as run:
        server.usual = Behaviour(verdicts={n: 2 for n in range(1, 10000, 2)})
        for n in range(1, 1000):
            run.command(f"fail {n}")
            server.restart()
            while run.command("send 2", None) != OK:
                pass
            run.command("flush 20000")
            if run.command("failed", None) == 0:
                break
        print(f"# {n - 1} allocations failed, one after the other")
        holds(5 < n < 999, f"allocations: {n}")
        payloads = server.stored()
        equal(payloads, sent(len(payloads)), "what is stored")


# ---- many ----

@test
def two_hundred_come_back_spread():
    count = 200
    with Server(threads=count + 20) as server, Proxy(server.port) as proxy, \
            Run(address(proxy), count=count) as run:
        run.command("send 1")
        run.command("flush 30000")
        equal(len(server.acks), count, "all are connected")
        connected = len(proxy.accepted)
        cut = proxy.cut()
        run.command("send 1")
        run.command("flush 30000")
        came = sorted(when - cut for when in proxy.accepted[connected:])
        equal(len(came), count, "one attempt was enough for each")
        buckets = [sum(1 for when in came if i / 10 <= when < (i + 1) / 10) for i in range(int(came[-1] * 10) + 1)]
        for i, size in enumerate(buckets):
            print(f"# {i * 100:5} ms {size:4} {'*' * size}")
        holds(max(buckets) <= count / 4, f"no bucket has more than a quarter: {buckets}")
        holds(came[-1] < 2.5, f"and nobody waits long: {came[-1]}")
        equal(len(server.stored()), 2 * count, "what is stored")


@test
def after_a_reset_records_flow_soon():
    count = 100
    with Server(threads=count + 20) as server, Proxy(server.port) as proxy, Run(address(proxy), count=count) as run:
        run.command("send 1")
        run.command("flush 30000")
        times = []
        for _ in range(2):
            server.acks.clear()
            cut = proxy.cut()
            run.command("send 1")
            run.command("flush 30000")
            times += [when - cut for when in server.acks]
        times.sort()
        p50, p99 = times[len(times) // 2], times[len(times) * 99 // 100]
        print(f"# from RST to the first Ack: p50 {p50:.3f} s, p99 {p99:.3f} s, most {times[-1]:.3f} s, of {len(times)}")
        holds(p99 <= 1.5, "p99 is within 1.5 s")


def main():
    wanted = sys.argv[2:]
    tests = [test for test in TESTS if not wanted or test.__name__ in wanted]
    failed = 0
    for number, function in enumerate(tests, 1):
        began = time.monotonic()
        try:
            function()
            print(f"ok {number} - {function.__name__} # {time.monotonic() - began:.1f} s")
        except Exception:               # noqa: BLE001
            failed += 1
            print(f"not ok {number} - {function.__name__}")
            print("# " + traceback.format_exc().replace("\n", "\n# "))
        sys.stdout.flush()
    print(f"1..{len(tests)}")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
