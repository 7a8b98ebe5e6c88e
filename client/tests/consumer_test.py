"""Consumers of libsluice against a gRPC server of another implementation.

    consumer_test.py CONSUMER-DRIVER [TEST]...

Every test has a server of its own and waits for conditions, never for time to
pass.  Output is TAP.
"""
import glob
import json
import os
import queue
import re
import resource
import socket
import subprocess
import sys
import threading
import time

import grpc

from cutting_proxy import Proxy
from grpc_server import End
from run_tool import PATIENCE, equal, holds, run_tests, test, wait_until
from subscribe_server import Behaviour, Server, messages

DRIVER = os.path.abspath(sys.argv[1])

CONNECTING, CONNECTED, WAITING, REFUSED, FENCED, FORKED_STATE, CLOSED_STATE, STANDBY_STATE = range(8)
ROW, STANDBY, ACTIVE, CAUGHT_UP = range(4)
OK, MEMORY, TIMEOUT, REFUSES, STALE, INVALID, OPTION = 0, 3, 4, 6, 7, 20, 21
FORKED, PROTOCOL, CLOSED, DROPPED, ENDED, UNSUITABLE, BEYOND_END, REPLACED = 41, 44, 45, 46, 47, 48, 49, 50
INFO, WARNING, ERROR = range(3)
QUICK = ("backoff_first=20 ms", "backoff_last=100 ms")
REFUSALS = {"NOT_FOUND": "no: {}", "UNIMPLEMENTED": "no: {}", "PERMISSION_DENIED": "not permitted: no: {}",
            "UNAUTHENTICATED": r"login failed: no: {} \(no user was given\)"}
AWAY = End(grpc.StatusCode.UNAVAILABLE, "the server is draining")


class Run:
    """A consumer_driver."""

    def __init__(self, server, *settings, code=OK):
        self.process = subprocess.Popen([DRIVER, f"server={server}", *settings],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        self.answers = queue.Queue()
        self.log = []
        self.logged = threading.Condition()
        threading.Thread(target=self.read, daemon=True).start()
        opened = self.answers.get(timeout=PATIENCE)
        if code is not None:
            equal(opened["code"], code, "the consumer is opened")
        self.code, self.text = opened["code"], opened["text"]

    def __enter__(self):
        return self

    def __exit__(self, failure, *_):
        self.process.stdin.close()
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
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
                self.answers.put(said)

    def begin(self, text):
        self.process.stdin.write(text + "\n")

    def finish(self, code=OK, what="answer"):
        answer = self.answers.get(timeout=PATIENCE)
        if code is not None:
            equal(answer["code"], code, f"{what}: {answer}")
        return answer

    def command(self, text, code=OK):
        self.begin(text)
        return self.finish(code, text)

    def next(self, timeout=20000, code=OK):
        return self.command(f"next {timeout}", code)

    def event(self, wanted):
        """The next thing, which has to be such an event."""
        event = self.next()
        equal(event["event"], wanted, f"event {event}")
        return event

    def take(self, count):
        return self.command(f"take {count}")["offsets"]

    def stats(self):
        return self.command("stats")

    def close(self, milliseconds=10000, code=OK):
        """Seconds that it took."""
        began = time.monotonic()
        self.command(f"close {milliseconds}", code)
        return time.monotonic() - began

    def wait_log(self, pattern, level=None, after=0):
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


def payload(n):
    return b'{"n": %d}' % n


def table(count, step=1):
    return [(n * step, payload(n)) for n in range(1, count + 1)]


def address(server):
    return f"127.0.0.1:{server.port}"


def unused_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def acknowledged(server):
    return [message.offset for kind, message in server.said if kind == "acknowledge"]


# ---- rows ----

@test
def rows_come_in_order_and_whole():
    with Server(table(5000, step=3)) as server, Run(address(server), "stream=orders", "subscription=billing", "client=tests") as run:
        first = run.next()
        equal((first["event"], first["number"], first["offset"], first["previous"], first["redrive"], first["attempts"],
               first["encoding"], first["position"], first["payload"]), (ROW, 1, 3, 0, 0, 0, 1, 3, '{"n": 1}'), "the first row")
        second = run.next()
        equal((second["previous"], second["offset"], second["epoch"]), (3, 6, first["epoch"]), "the second row")
        equal(run.take(4998), [3 * n for n in range(3, 5001)], "the others")
        run.next(0, TIMEOUT)
        server.insert(b"live")
        live = run.next()
        equal((live["payload"], live["previous"]), ("live", 15000), "a row that came later")
        opening = server.opens[0]
        equal((opening.stream, opening.subscription, opening.create, getattr(opening, "from"), opening.guarantee,
               opening.encoding, opening.max_in_flight, opening.wants_start),
              ("orders", "billing", True, messages.FROM_EARLIEST, 0, 0, 10000, False), "Subscribe")
        holds(re.fullmatch(r"tests \(libsluice \d+(\.\d+)+\)", opening.client), opening.client)
        equal(run.log, [(INFO, f'connected to "{address(server)}", active')], "log")
        stats = run.stats()
        equal((stats["state"], stats["active"], stats["rows"], stats["offset"], stats["acknowledged"], stats["activations"],
               stats["attempts"], stats["connections"], stats["message"]),
              (CONNECTED, 1, 5001, 15001, 0, 1, 1, 1, ""), "statistics")


@test
def the_wishes_are_sent():
    with Server(table(9)) as server:
        with Run(address(server), "from=offset", "after_offset=7", "encoding=bytes", "max_in_flight=5") as run:
            equal(run.take(2), [8, 9], "behind an offset")
        opening = server.opens[0]
        equal((opening.subscription, opening.after_offset, opening.encoding, opening.max_in_flight),
              ("", 7, messages.ENCODING_BYTES, 5), "Subscribe")
        with Run(address(server), "from=time", "since=1970-01-01T00:01Z", "guarantee=at_most_once", "subscription=x",
                 "create=off", code=OK) as run:
            run.next(code=DROPPED)
        opening = server.opens[1]
        equal((getattr(opening, "from"), opening.since, opening.guarantee, opening.create),
              (messages.FROM_TIME, 60000000, messages.AT_MOST_ONCE, False), "Subscribe")
        with Run(address(server), "from=latest") as run:
            run.next(200, TIMEOUT)
            server.insert(b"new")
            equal(run.next()["payload"], "new", "the latest")


@test
def settings_that_cannot_be_are_refused():
    for setting, text in (("server=db1:0", 'server "db1:0" has no valid port (1 to 65535)'),
                          ("after_offset=5", 'option "after_offset" needs "from" to be offset')):
        with Run("127.0.0.1:1", setting, code=OPTION) as run:
            equal(run.text, text, "message")


@test
def threads_block_all_signals():
    with Server(table(1)) as server, Run(address(server)) as run:
        run.next()
        masks = {}
        for path in glob.glob(f"/proc/{run.process.pid}/task/*/status"):
            with open(path, encoding="ascii") as file:
                status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
            if int(status["Pid"]) != run.process.pid:
                masks[status["Name"]] = int(status["SigBlk"], 16)
        holds("sluice-subscr" in masks and len(masks) > 2, f"threads: {masks}")
        wanted = 0xFFFFFFFE7FFBFEFF     # all but KILL, STOP and glibc's own two
        equal({name for name, mask in masks.items() if mask & wanted != wanted}, set(), "threads that take signals")


# ---- acknowledgements ----

@test
def acknowledgements_are_cumulative_and_few():
    with Server(table(20000)) as server, Run(address(server), "subscription=s", "max_in_flight=65536") as run:
        run.take(20000)
        began = time.monotonic()
        for n in range(1, 20001, 40):
            run.begin(f"ack {n}")
        for n in range(1, 20001, 40):
            run.finish()
        run.command("ack 20000")
        server.wait(lambda: server.subscriptions["s"].position == 20000, "all is acknowledged")
        seconds = time.monotonic() - began
        offsets = acknowledged(server)
        equal(offsets, sorted(set(offsets)), "each goes further")
        equal(run.stats()["acknowledgements"], len(offsets), "counted")
        run.command("ack 5")            # nothing that was not said already
        run.close()
        equal(acknowledged(server), offsets, "none goes back")
        print(f"# {len(offsets)} messages for 501 acknowledgements in {seconds:.2f} s")


@test
def many_acknowledgements_while_rows_lie_ready_are_one_message_each_few_milliseconds():
    with Server(table(20001)) as server, Run(address(server), "subscription=s") as run:
        began = time.monotonic()
        run.command("run 20000")
        seconds = time.monotonic() - began
        run.close()
        equal(server.subscriptions["s"].position, 20000, "position")
        # Also where the server waits for one, and where none lies ready.
        holds(len(acknowledged(server)) <= seconds / 0.005 + 20000 / server.rows_a_message + 10,
              f"{len(acknowledged(server))} messages in {seconds} s")
        print(f"# {len(acknowledged(server))} messages for 20000 acknowledgements in {seconds:.2f} s")


@test
def one_row_at_a_time_does_not_wait():
    with Server(table(301)) as server, Run(address(server), "subscription=s", "max_in_flight=1") as run:
        began = time.monotonic()
        run.command("run 300")
        seconds = time.monotonic() - began
        holds(seconds < 1.2, f"{seconds:.2f} s for 300 rows")
        print(f"# {seconds / 300 * 1000:.2f} ms a row")
        run.close()
        equal(server.subscriptions["s"].position, 300, "position")


@test
def only_what_was_not_acknowledged_comes_again():
    with Server(table(100)) as server:
        with Run(address(server), "subscription=s", *QUICK) as run:
            run.take(60)
            run.command("ack 40")
            server.wait(lambda: server.subscriptions["s"].position == 40, "acknowledged")
            server.restart()
            equal(run.take(20), list(range(41, 61)), "again after the connection was lost")
            line = run.wait_log(f'lost the connection to "{address(server)}": .*; next attempt in 0\\.[01] s', WARNING)
            holds(line, "log")
            run.command("ack 60", STALE)    # handed out in an activation that is over
            run.command("ack 80")           # row 60, which was the 80th to be handed out
            run.close()
        equal(server.subscriptions["s"].position, 60, "position")
        with Run(address(server), "subscription=s") as run:
            equal(run.take(40), list(range(61, 101)), "another consumer goes on")


@test
def rows_of_a_lost_connection_are_void():
    with Server(table(1000)) as server, Run(address(server), "subscription=s", *QUICK) as run:
        run.take(10)
        server.wait(lambda: server.messages_sent >= 10, "more rows lie here")
        server.restart()
        run.wait_log("lost the connection .*")
        run.wait_state(CONNECTED)
        equal(run.take(1000), list(range(1, 1001)), "from the position on, none of them doubled")
        equal(run.stats()["activations"], 2, "activations")


@test
def invalid_answers_are_refused():
    with Server(table(10)) as server, Run(address(server), "subscription=s", "events=on") as run:
        active = run.event(ACTIVE)
        equal((active["offset"], active["position"], active["number"]), (0, 0, 0), "the position")
        run.command("ack 1", INVALID)   # not handed out yet
        run.take(3)
        run.command("nack 77", INVALID)
        run.command("ack 2")
        run.command("nack 1", INVALID)  # is acknowledged
        run.command("start 0 1", INVALID)   # nobody asked
        equal(run.next()["offset"], 4, "it goes on")


# ---- rows that are given back ----

@test
def a_row_that_is_given_back_comes_again_and_then_is_a_dead_letter():
    with Server(table(8)) as server, Run(address(server), "subscription=s", "events=on") as run:
        run.event(ACTIVE)
        run.take(4)
        run.command("ack 2")
        seen = []
        for attempt in range(3):
            run.command(f"nack {3 if attempt == 0 else seen[-1]['number']} no, {attempt}")
            run.command("ack 4", STALE)
            equal(run.event(ACTIVE)["offset"], 3 if attempt == 2 else 2, "position")
            seen.append(run.next())
        equal([(row["offset"], row["attempts"]) for row in seen], [(3, 1), (3, 2), (4, 0)], "rows")
        equal(server.subscriptions["s"].dead, [(3, "no, 2")], "dead letters")
        stats = run.stats()
        equal((stats["nacks"], stats["again"], stats["acknowledged"]), (3, 2, 3), "statistics")
        equal([kind for kind, _ in server.said[:2]], ["acknowledge", "nack"], "what was acknowledged goes first")
        equal(run.take(4), [5, 6, 7, 8], "the others")


@test
def a_long_reason_is_cut_behind_a_whole_character():
    with Server(table(1)) as server, Run(address(server), "subscription=s") as run:
        run.next()
        run.command("nack 1 " + "x" * 999 + "ä" + "y" * 500)
        server.wait(lambda: server.said, "the nack")
        equal(server.said[0][1].reason, "x" * 999, "reason")


@test
def a_loop_with_a_callback_acknowledges_and_gives_back():
    rows = [(1, b"good"), (2, b"bad"), (3, b"good"), (4, b"good"), (5, b"stop here")]
    with Server(rows) as server, Run(address(server), "subscription=s") as run:
        run.command("run 6")            # the second one comes three times
        run.close()
        equal((server.subscriptions["s"].position, server.subscriptions["s"].dead), (4, [(2, "it is bad")]), "position, dead letters")


@test
def redriven_rows_are_acknowledged_with_those_around_them():
    with Server(table(10)) as server:
        server.make("s", position=5)
        server.redrive("s", (71, 2, b"two"), (72, 3, b"three"), (73, 4, b"four"))
        with Run(address(server), "subscription=s") as run:
            rows = [run.next() for _ in range(4)]
            equal([(row["redrive"], row["offset"], row["previous"], row["position"]) for row in rows],
                  [(71, 2, 5, 5), (72, 3, 5, 5), (73, 4, 5, 5), (0, 6, 5, 6)], "rows")
            run.command("ack 1")
            server.wait(lambda: server.subscriptions["s"].settled == [(71, True)], "the first")
            run.command("nack 2 still not")
            server.wait(lambda: len(server.subscriptions["s"].settled) == 2, "the second")
            run.command("ack 4")
            server.wait(lambda: server.subscriptions["s"].position == 6, "a row behind them")
            equal(server.subscriptions["s"].settled, [(71, True), (72, False), (73, True)], "all of them")
            equal(run.take(4), [7, 8, 9, 10], "nothing is void")
            run.command("ack 5")        # it goes on
            server.redrive("s", (80, 1, b"one"))
            again = run.next()
            equal((again["redrive"], again["previous"], again["position"]), (80, 10, 10), "later")
            run.command(f"ack {again['number']}")
            server.wait(lambda: server.subscriptions["s"].position == 10, "and what was handed out before it")


# ---- who is active ----

@test
def a_standby_takes_over_where_the_other_one_was():
    with Server(table(10)) as server, Run(address(server), "subscription=s", "events=on") as one, \
            Run(address(server), "subscription=s", "events=on") as two:
        runs = [one, two]
        wait_until(lambda: sorted(run.stats()["state"] for run in runs) == [CONNECTED, STANDBY_STATE], "one is active")
        if two.stats()["state"] == CONNECTED:
            one, two = two, one
        equal((one.event(ACTIVE)["offset"], one.take(4)), (0, [1, 2, 3, 4]), "the active one")
        two.event(STANDBY)
        equal(two.wait_log(".*another.*", INFO), f'connected to "{address(server)}", another consumer has the subscription', "log")
        two.next(100, TIMEOUT)
        one.command("ack 3")
        holds(one.close() < 2, "closed")
        began = time.monotonic()
        active = two.event(ACTIVE)
        print(f"# takeover after a graceful end: {time.monotonic() - began:.3f} s")
        equal((active["offset"], two.take(7)), (3, [4, 5, 6, 7, 8, 9, 10]), "goes on")
        two.event(CAUGHT_UP)
        holds(two.stats()["caught_up"], "statistics")


@test
def a_killed_consumer_is_replaced():
    with Server(table(10)) as server, Run(address(server), "subscription=s") as one:
        one.take(5)
        one.command("ack 5")
        server.wait(lambda: server.subscriptions["s"].position == 5, "acknowledged")
        with Run(address(server), "subscription=s", "events=on") as two:
            two.event(STANDBY)
            began = time.monotonic()
            one.process.kill()
            equal(two.event(ACTIVE)["offset"], 5, "position")
            print(f"# takeover after SIGKILL: {time.monotonic() - began:.3f} s")
        one.process.wait()
        one.process.returncode = 0


@test
def a_seek_makes_void_what_came_before():
    with Server(table(50)) as server, Run(address(server), "subscription=s", "events=on") as run:
        before = run.event(ACTIVE)
        run.take(10)
        server.seek("s", 40)
        until = time.monotonic() + PATIENCE
        while (got := run.next())["event"] != ACTIVE:
            holds(time.monotonic() < until, "never active anew")
        holds(got["epoch"] != before["epoch"] and got["offset"] == 40, f"another activation: {got}")
        run.command("ack 10", STALE)
        equal(run.take(10), list(range(41, 51)), "from there on")


@test
def at_most_once_keeps_what_came():
    with Server(table(50)) as server, Run(address(server), "subscription=s", "guarantee=at_most_once", *QUICK) as run:
        equal(run.next()["offset"], 1, "a row")
        run.command("ack 1")            # is not sent
        run.command("nack 1 no", INVALID)
        server.wait(lambda: server.subscriptions["s"].position == 50, "all was sent")
        run.wait_state(CONNECTED)
        wait_until(lambda: run.stats()["caught_up"], "all is here")
        server.restart()
        run.wait_log("lost the connection .*")
        server.insert(b"new")
        equal(run.take(50), list(range(2, 52)), "nothing is lost that was here, and nothing doubled")
        equal(server.said, [], "what was said")


@test
def an_ephemeral_consumer_goes_on_behind_the_last_row():
    with Server(table(3000)) as server, Run(address(server), *QUICK) as run:
        got = []
        for cut in (1, 7, 700, 1000):
            got += run.take(cut)
            run.command(f"ack {len(got)}")  # is not sent
            before, logged = server.messages_sent, len(run.log)
            server.restart()
            run.wait_log("lost the connection .*", after=logged)
            server.wait(lambda: server.messages_sent > before, "it is back")
        got += run.take(3000 - len(got))
        equal(got, list(range(1, 3001)), "rows")
        equal([kind for kind, _ in server.said], [], "what was said")
        equal((getattr(server.opens[-1], "from"), server.opens[-1].after_offset), (messages.FROM_OFFSET, 1708), "Subscribe")


@test
def an_ephemeral_consumer_from_the_latest_does_not_skip_while_it_is_away():
    with Server(table(10)) as server, Run(address(server), "from=latest", *QUICK) as run:
        run.wait_state(CONNECTED)
        server.stop()
        server.insert(b"meanwhile")
        server.start()
        equal(run.next()["payload"], "meanwhile", "the row")
        equal(server.opens[-1].after_offset, 10, "behind the position that it began with")


# ---- consumers that keep their position ----

@test
def a_consumer_with_its_own_position_is_asked_for_it():
    with Server(table(20)) as server, Run(address(server), "subscription=s", "wants_start=on") as run:
        active = run.event(ACTIVE)
        run.next(200, TIMEOUT)          # nothing comes before
        run.command("start 12 900")
        run.command("start 12 900", INVALID)
        row = run.next()
        equal((row["offset"], row["previous"], row["lsn"]), (13, 12, 1000), "from the token's position on")
        start = server.said[0][1]
        equal((start.epoch, start.token.offset, start.token.lsn, start.token.stream_uid, start.token.system_identifier,
               start.token.timeline, start.accept_fork), (active["epoch"], 12, 900, server.uid, 7, 1, False), "Start")
        run.command("nack 1 no")
        run.event(ACTIVE)
        run.command("start -1 0")       # the server's own
        equal(run.next()["offset"], 13, "again")
        run.command("ack 2")
        run.close()
        equal(server.subscriptions["s"].position, 13, "position")


@test
def a_server_that_has_lost_commits_is_refused_unless_allowed():
    with Server(table(20)) as server:
        with Run(address(server), "subscription=s", "wants_start=on", *QUICK) as run:
            run.event(ACTIVE)
            run.command("start 12 5000")
            run.next(code=FORKED)
            equal(run.stats()["message"], "stopped: the server's past is not the one that is known here "
                                          f'("{address(server)}": commits were lost)', "message")
        with Run(address(server), "subscription=s", "wants_start=on", *QUICK) as run:
            run.event(ACTIVE)
            run.command("accept 12 5000")
            equal(run.next()["offset"], 13, "accepted")
        server.uid = os.urandom(16)
        with Run(address(server), "subscription=s", "wants_start=on", *QUICK) as run:
            run.event(ACTIVE)
            server.uid = os.urandom(16)
            run.command("start 12 900")
            run.next(code=REPLACED)


# ---- flow control ----

def resident(run):
    with open(f"/proc/{run.process.pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


@test
def a_consumer_that_takes_nothing_is_sent_no_more():
    rows = [(n, b"x" * 10000) for n in range(1, 6001)]
    with Server(rows) as server, Run(address(server), "memory=1 MB", "events=off") as run:
        run.next()
        sent = -1
        while sent != server.messages_sent:     # until nothing more is taken from it
            sent = server.messages_sent
            time.sleep(0.3)
        # A message has a megabyte: the memory, the one that was asked for, and what gRPC holds on both sides.
        holds(server.messages_sent <= 5, f"{server.messages_sent} messages of 60 were taken")
        holds(run.stats()["waiting"] < 3 << 20, f"bytes that wait: {run.stats()}")
        equal(run.take(5999), list(range(2, 6001)), "all rows")
        holds(resident(run) < 64 << 20, f"{resident(run)} bytes")


@test
def a_large_row_comes_whole_and_one_that_is_too_large_does_not():
    large = b"y" * (9 << 20)
    with Server([(1, b"a"), (2, large), (3, b"b")]) as server:
        server.rows_a_message = 1
        with Run(address(server), "max_message=16 MB") as run:
            run.next()
            equal(len(run.next()["payload"]), len(large), "length")
            equal(run.next()["payload"], "b", "the next one")
        with Run(address(server), "max_message=2 MB", *QUICK) as run:
            run.next()
            run.next(300, TIMEOUT)
            run.wait_log('lost the connection to ".*": .*larger than max.*', WARNING)


# ---- ends of calls ----

@test
def refusals_that_are_final():
    precondition, argument = grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.INVALID_ARGUMENT
    ends = ((precondition, "NOT_SUBSCRIBABLE", UNSUITABLE, "the stream cannot be subscribed to like this"),
            (argument, "MISMATCH", UNSUITABLE, "the stream cannot be subscribed to like this"),
            (argument, "MALFORMED", PROTOCOL, "the protocol was broken"),
            (grpc.StatusCode.OUT_OF_RANGE, "BEYOND_END", BEYOND_END, "the position is above all offsets that the stream has given out"),
            (grpc.StatusCode.NOT_FOUND, "DROPPED", DROPPED, "the subscription, its stream or the table is not there"),
            (grpc.StatusCode.ABORTED, "UNSUBSCRIBED", ENDED, "the subscription was ended by an Unsubscribe"),
            (precondition, "STREAM_REPLACED", REPLACED, "the stream is another one of the same name"),
            (precondition, "FORKED", FORKED, "the server's past is not the one that is known here"))
    for status, reason, code, what in ends:
        for where in ("at_open", "later"):
            with Server(table(3)) as server:
                end = End(status, "it is so", reason)
                server.usual = Behaviour(at_open=end) if where == "at_open" else Behaviour(after_rows=(3, end))
                with Run(address(server), "subscription=s", *QUICK) as run:
                    while (got := run.next(code=None))["code"] == OK:
                        pass
                    equal(got["code"], code, reason)
                    stats = run.wait_state(CLOSED_STATE)
                    equal(stats["message"], f'stopped: {what} ("{address(server)}": it is so)', "message")
                    equal(run.log[-1], (ERROR, stats["message"]), "log")
                    run.next(0, code)
                    equal(len(server.attempts), 1, "attempts")
                    holds(run.close() < 1, "closed at once")


@test
def ends_after_which_it_goes_on():
    ends = (End(grpc.StatusCode.ABORTED, "another epoch", "STALE_EPOCH"), AWAY, End(grpc.StatusCode.INTERNAL, "odd"),
            End(grpc.StatusCode.RESOURCE_EXHAUSTED, "no room"), End(grpc.StatusCode.FAILED_PRECONDITION, "for no reason"))
    with Server(table(10)) as server:
        for end in ends:
            server.next_calls = [Behaviour(after_rows=(4, end))]
            with Run(address(server), *QUICK) as run:
                equal(run.take(10), list(range(1, 11)), end.details)
                run.wait_log(f'lost the connection to "{address(server)}": {end.details}; next attempt in 0\\.[01] s', WARNING)
                equal(run.stats()["message"], "", "nothing is wrong any more")


@test
def a_stream_that_is_not_there_is_asked_for_rarely():
    for code, words in REFUSALS.items():
        with Server(table(3)) as server:
            server.usual = Behaviour(at_open=End(grpc.StatusCode[code], f"no: {code}"))
            with Run(address(server), "subscription=s", "backoff_first=1 ms", "backoff_last=200 ms") as run:
                stats = run.wait_state(REFUSED)
                holds(re.fullmatch(f'"{address(server)}" refuses: {words.format(code)}; next attempt in 0\\.[12] s', stats["message"]), stats)
                server.wait(lambda: len(server.attempts) >= 3, "attempts go on")
                gaps = [b - a for a, b in zip(server.attempts, server.attempts[1:])]
                holds(all(gap > 0.095 for gap in gaps), f"at the longest backoff: {gaps}")
                server.usual = Behaviour()
                equal(run.take(3), [1, 2, 3], "rows")


@test
def a_server_that_breaks_the_protocol_twice_is_left():
    def response(**members):
        return messages.SubscribeResponse(**members).SerializeToString()

    def rows(epoch, previous, *offsets):
        return response(rows=messages.Rows(epoch=epoch, previous=previous, rows=[messages.Row(offset=n) for n in offsets]))
    active = response(active=messages.Active(epoch=5, position=10, encoding=1))
    invalid, unfit = "the server's message is not a valid SubscribeResponse", "the server's rows do not fit those before them"
    for raw, what in (([b"\xff\xff"], invalid), ([response(active=messages.Active(position=10, encoding=1))], invalid),
                      ([response(active=messages.Active(epoch=5, encoding=9))], invalid),
                      ([rows(5, 0, 1)], unfit), ([active, rows(5, 11, 12)], unfit), ([active, rows(6, 10, 11)], unfit),
                      ([active, rows(5, 10, 12, 12)], invalid), ([active, rows(5, 10, 9)], invalid),
                      ([active, rows(5, 10, 11), rows(5, 12, 13)], unfit),
                      ([active, b"\x1a\x04\x22\x02\x12\x05"], invalid)):
        with Server() as server:
            server.usual = Behaviour(raw=raw)
            with Run(address(server), "subscription=s", *QUICK) as run:
                # Rows that fit are progress: then the count begins anew, and it goes on trying.
                if len(raw) == 3:
                    equal(run.take(4), [11] * 4, "what fits")
                    continue
                got = run.next(code=None)
                equal((got["code"], len(server.attempts)), (PROTOCOL, 2), raw)
                equal(run.stats()["message"], f'stopped: the protocol was broken ("{address(server)}": {what})', "message")


@test
def responses_of_the_future_are_passed_over():
    def response(**members):
        return messages.SubscribeResponse(**members).SerializeToString()
    future = bytes([15 << 3 | 2, 3]) + b"new"
    rows = messages.Rows(epoch=5, previous=0, rows=[messages.Row(offset=4, payload=b"x")]).SerializeToString() + future
    raw = [future, response(active=messages.Active(epoch=5, encoding=1)) + future, bytes([3 << 3 | 2, len(rows)]) + rows]
    with Server() as server:
        server.usual = Behaviour(raw=raw)
        with Run(address(server)) as run:
            equal((run.next()["offset"], run.stats()["attempts"]), (4, 1), "the row")


# ---- connecting ----

@test
def a_server_that_comes_later_is_found():
    port = unused_port()
    with Run(f"127.0.0.1:{port}", *QUICK) as run:
        line = run.wait_log("could not connect to .*", WARNING)
        holds(re.fullmatch(f'could not connect to "127.0.0.1:{port}": .*[Cc]onnection refused.*; next attempt in 0\\.[01] s', line), line)
        run.next(50, TIMEOUT)
        with Server(table(3), port=port):
            equal(run.take(3), [1, 2, 3], "rows")
            run.close()


@test
def a_call_that_is_not_taken_is_given_up():
    with Server(table(3)) as server:
        server.next_calls = [Behaviour(silent=True)]
        with Run(address(server), "connect_timeout=300 ms", *QUICK) as run:
            line = run.wait_log("could not connect to .*", WARNING)
            holds(re.fullmatch(f'could not connect to "{address(server)}": no answer within 0\\.3 s; next attempt in 0\\.[01] s', line), line)
            equal(run.take(3), [1, 2, 3], "rows")
            server.wait(lambda: server.open_calls == 1, "the silent call was cancelled")


@test
def one_that_is_taken_may_take_its_time():
    with Server(table(3)) as server:
        server.usual = Behaviour(raw=[])
        with Run(address(server), "connect_timeout=100 ms", *QUICK) as run:
            server.wait(lambda: server.opens, "the call")
            run.next(500, TIMEOUT)
            equal(len(server.attempts), 1, "attempts")
            holds(run.close() < 1, "closed at once")


@test
def a_silent_network_is_noticed_by_keepalive():
    with Server(table(3)) as server, Proxy(server.port) as proxy, \
            Run(address(proxy), "subscription=s", "keepalive_time=1 s", "keepalive_timeout=500 ms", "connect_timeout=500 ms",
                *QUICK) as run:
        run.take(3)
        proxy.silent = True
        began = time.monotonic()
        line = run.wait_log("lost the connection to .*", WARNING)
        holds(time.monotonic() - began < 3, f"within keepalive's time: {time.monotonic() - began}")
        holds(re.fullmatch(f'lost the connection to "{address(proxy)}": .*; next attempt in 0\\.[01] s', line), line)
        proxy.cut()
        proxy.silent = False
        equal(run.take(3), [1, 2, 3], "again")


@test
def after_a_reset_rows_flow_soon():
    with Server(table(1000)) as server, Proxy(server.port) as proxy, Run(address(proxy), *QUICK) as run:
        got = []
        for _ in range(20):
            got += run.take(50)
            proxy.cut()
        equal(got, list(range(1, 1001)), "each once")


@test
def backoff_doubles_and_rows_reset_it():
    port = unused_port()
    with Run(f"127.0.0.1:{port}", "backoff_first=5 ms", "backoff_last=10 s") as run:
        run.wait_log(r"could not connect to .*; next attempt in \d*[1-9]\.\d s|.*; next attempt in 0\.[3-9] s")
        waits = [float(re.search(r"in (\d+\.\d) s", text)[1]) for _, text in run.log]
        for i, wait in enumerate(waits):
            holds(wait <= 0.005 * 2 ** i + 0.05, f"wait {i} of {waits}")
        with Server(table(1), port=port) as server:
            run.next()
            before = len(run.log)
            server.server.stop(None)
            line = run.wait_log("lost the connection to .*", after=before)
            holds(re.fullmatch(r".*; next attempt in 0\.0 s", line), f"the first wait again: {line}")


@test
def being_active_alone_does_not_reset_the_backoff():
    with Server() as server:
        server.usual = Behaviour(raw=[messages.SubscribeResponse(active=messages.Active(epoch=5, encoding=1)).SerializeToString(),
                                      b"\xff"])
        server.next_calls = [Behaviour(at_open=AWAY)] * 6
        with Run(address(server), "backoff_first=5 ms", "backoff_last=10 s") as run:
            run.wait_log('lost the connection to ".*')
            bound = 0.005 * 2 ** 6
            waits = [float(re.search(r"in (\d+\.\d) s", text)[1]) for level, text in run.log if level == WARNING]
            holds(waits[-1] <= bound + 0.05, waits)


@test
def endpoints_take_turns():
    dead = unused_port()
    with Server(table(6)) as one, Server(table(6)) as two:
        one.usual = two.usual = Behaviour(at_open=AWAY)
        with Run(f"127.0.0.1:{dead}, {address(one)},{address(two)}", *QUICK) as run:
            run.wait_log(f'could not connect to "{address(two)}".*', after=4)
            names = [re.search(r'"(.*?)"', text)[1] for _, text in run.log][:6]
            equal(names, [f"127.0.0.1:{dead}", address(one), address(two)] * 2, "in order")
            # One that sent something is tried once more, then it is the next one's turn.
            one.usual = Behaviour(after_rows=(3, AWAY))
            equal(run.take(3), [1, 2, 3], "from the first one")
            one.usual = Behaviour(at_open=AWAY)
            two.usual = Behaviour()
            equal(run.take(3), [4, 5, 6], "and the rest from the next")


@test
def unix_sockets_tls_and_passwords_are_as_with_producers():
    with Run("127.0.0.1:1,db.example:50051", "user=meter", "password=secret", code=OPTION) as run:
        equal(run.text, 'user and password cannot be sent to "db.example:50051" without tls', "message")
    with Server(table(1), password="Basic bWV0ZXI6c2VjcmV0") as server:
        with Run(address(server), "user=meter", "password=secret") as run:
            run.next()
        with Run(address(server), "user=meter", "password=wrong") as run:
            holds("refuses: login failed: wrong password" in run.wait_state(REFUSED)["message"], run.log)


@test
def the_servers_wishes_are_heard():
    with Server(table(3)) as server:
        server.next_calls = [Behaviour(at_open=End(grpc.StatusCode.RESOURCE_EXHAUSTED, "too busy", pushback="300")),
                             Behaviour(after_rows=(1, End(grpc.StatusCode.UNAVAILABLE, "grown old", "RECONNECT")))]
        with Run(address(server), "backoff_first=60 s", "backoff_last=60 s") as run:
            equal(run.take(3), [1, 2, 3], "rows")
            holds(server.attempts[1] - server.attempts[0] >= 0.3, server.attempts)
            holds(any(level == INFO and text.startswith(f'"{address(server)}" asks for a new connection: grown old; in ')
                      for level, text in run.log), run.log)
            equal(len([level for level, _ in run.log if level == WARNING]), 1, run.log)


# ---- stopping ----

@test
def closing_sends_what_was_acknowledged_and_the_next_one_begins_at_once():
    with Server(table(1000)) as server:
        for _ in range(10):
            with Run(address(server), "subscription=s") as run:
                got = run.take(100)
                run.command("ack 100")
                run.close()
                equal(server.subscriptions["s"].position, got[-1], "position")
                server.wait(lambda: server.subscriptions["s"].holder is None, "it is free")
        equal(server.ends, ["half-closed"] * 10, "ends")
        equal(server.subscriptions["s"].positions[-1], 1000, "all of it")


@test
def closing_reads_past_what_nobody_took():
    rows = [(n, b"x" * 10000) for n in range(1, 2001)]
    with Server(rows) as server, Run(address(server), "subscription=s", "memory=1 MB") as run:
        run.take(5)
        run.command("ack 5")
        holds(run.close() < 5, "closed")
        equal(server.subscriptions["s"].position, 5, "position")


@test
def closing_where_nobody_confirms_takes_its_time():
    with Server(table(3)) as server, Proxy(server.port) as proxy, Run(address(proxy), "subscription=s") as run:
        run.take(3)
        proxy.silent = True
        run.command("ack 3")
        holds(0.4 < run.close(500, TIMEOUT) < 2, "closed after the time")
    with Server(table(3)) as server, Proxy(server.port) as proxy, Run(address(proxy), "subscription=s") as run:
        run.take(3)
        proxy.silent = True
        holds(run.close(500) < 2, "nothing was acknowledged, so nothing has to be confirmed")


@test
def closing_does_not_vouch_for_what_a_lost_connection_may_have_taken_along():
    with Server(table(6)) as server:
        with Run(address(server), "subscription=s", "backoff_first=30 s") as run:
            run.take(6)
            run.command("ack 3")
            server.wait(lambda: server.subscriptions["s"].position == 3, "acknowledged")
            server.usual = Behaviour(at_open=AWAY)
            server.end_calls(AWAY)
            run.wait_state(WAITING)
            holds(run.close(10000, TIMEOUT) < 0.9, "at once, and nobody has confirmed it")
        server.usual = Behaviour()
        with Run(address(server), "subscription=s", *QUICK) as run:
            run.take(3)
            run.command("ack 3")
            server.wait(lambda: server.subscriptions["s"].position == 6, "acknowledged")
            server.end_calls(AWAY)
            wait_until(lambda: run.stats()["activations"] == 2, "active again")
            run.close()


@test
def stopping_is_quick_in_every_state():
    with Server(table(3)) as server:
        with Run(address(server)) as run:
            run.take(3)
            holds(run.close(0) < 0.9, "at once")
        server.usual = Behaviour(silent=True)
        with Run(address(server)) as run:
            server.wait(lambda: len(server.opens) == 2, "Subscribe has come")
            holds(run.close() < 0.9, "while it opens")
        server.usual = Behaviour(at_open=AWAY)
        with Run(address(server), "backoff_first=30 s") as run:
            run.wait_state(WAITING)
            holds(run.close() < 0.9, "while it waits")
        server.usual = Behaviour()
        with Run(address(server), "subscription=s") as one, Run(address(server), "subscription=s") as two:
            wait_until(lambda: STANDBY_STATE in (one.stats()["state"], two.stats()["state"]), "a standby")
            holds(one.close() < 0.9 and two.close() < 0.9, "active and standby")
        with Run(address(server), "subscription=s", "wants_start=on") as run:
            run.event(ACTIVE)
            holds(run.close() < 0.9, "while a start is owed")


@test
def a_thread_that_waits_comes_back_when_told():
    with Server(table(1)) as server, Run(address(server), "subscription=s") as run:
        run.next()
        run.command("stop")
        run.next(-1, CLOSED)
        run.command("ack 1")
        run.close()
        equal(server.subscriptions["s"].position, 1, "what was acknowledged meanwhile counts")


# ---- Unsubscribe ----

@test
def unsubscribe_ends_the_consumers_and_drops():
    with Server(table(3)) as server:
        with Run(address(server), "subscription=s") as one, Run(address(server), "subscription=s") as two:
            wait_until(lambda: sorted(run.stats()["state"] for run in (one, two)) == [CONNECTED, STANDBY_STATE], "one is active")
            two.command("unsubscribe")
            for run in (one, two):
                while (got := run.next(code=None))["code"] == OK:
                    pass
                equal(got["code"], ENDED, "told")
        holds("s" in server.subscriptions, "it is still there")
        with Run(f"127.0.0.1:{unused_port()},{address(server)}", "subscription=s", "connect_timeout=1 s") as run:
            equal(run.command("drop")["text"], "no error", "message")
            equal(server.subscriptions, {}, "it is gone")
            equal(run.command("drop", DROPPED)["text"], 'subscription "s" does not exist', "message")
    with Run(f"127.0.0.1:{unused_port()}", "subscription=s", *QUICK) as run:
        holds("refused" in run.command("drop", TIMEOUT)["text"], "nobody there")
    with Run(f"127.0.0.1:{unused_port()}") as run:
        equal(run.command("drop", OPTION)["text"], 'option "subscription" is empty', "message")
    with socket.create_server(("127.0.0.1", 0)) as mute:
        with Run(f"127.0.0.1:{mute.getsockname()[1]}", "subscription=s", "connect_timeout=300 ms") as run:
            equal(run.command("drop", TIMEOUT)["text"], "no answer within 0.3 s", "message")


# ---- no memory ----

def until_third_row(run):
    """Where memory was short the connection was given up, and they come again.  The number of the last one."""
    rows = []
    while rows[-3:] != [(9, 0), (0, 1), (0, 2)]:
        row = run.next(code=None)
        if row["code"] == OK:
            rows.append((row["redrive"], row["offset"]))
        else:
            equal(row["code"], MEMORY, "no row")
    holds(len(rows) <= 6, rows)
    return row["number"]


@test
def every_allocation_may_fail_while_it_opens():
    with Server(table(5)) as server:
        server.make("s").redriven.append((9, 0, b"again"))
        for n in range(1, 1000):
            server.make("s").redriven.append((9, 0, b"again"))
            with Run(address(server), "subscription=s", f"fail={n}", *QUICK, code=None) as run:
                if run.code != OK:
                    equal(run.code, MEMORY, f"allocation {n}: {run.text}")
                    continue
                last = until_third_row(run)
                while run.command(f"nack {last} no", None)["code"] == MEMORY:
                    pass
                until_third_row(run)
                if run.command("failed", None)["code"] == 0:
                    break
        print(f"# {n - 1} allocations failed, one after the other")
        holds(10 < n < 999, f"allocations: {n}")


@test
def every_allocation_may_fail_while_it_runs():
    with Server(table(100)) as server, Run(address(server), "user=meter", "password=secret", *QUICK) as run:
        got = []
        for n in range(1, 1000):
            run.command(f"fail {n}")
            server.restart()
            got += run.take(1)
            server.insert(b"more")
            got += run.take(1)
            if run.command("failed", None)["code"] == 0:
                break
        print(f"# {n - 1} allocations failed, one after the other")
        holds(4 < n < 999, f"allocations: {n}")
        equal(got, list(range(1, len(got) + 1)), "rows")


run_tests(sys.argv[2:])
